#include "agent/commercial/commercial_account.h"

#include <algorithm>
#include <chrono>

#include "agent/commercial/rest.h"
#include "serving/base/bounds.h"

namespace evercert {

const char* to_string(ListedState state) {
  switch (state) {
    case ListedState::open:
      return "open";
    case ListedState::issued:
      return "issued";
    case ListedState::expired:
      return "expired";
    case ListedState::revoked:
      return "revoked";
    case ListedState::rejected:
      return "rejected";
  }
  return "unknown";
}

bool OrderFilter::fits(const ListedOrder& order) const {
  if (!states.contains(order.state)) return false;
  if (!names.empty() && std::find(names.begin(), names.end(), order.name) == names.end()) return false;
  if (!group.empty() && !order.group.empty() && order.group != group) return false;
  if (!order.ordered.empty() && order.ordered < since) return false;
  return order.ordered.empty() || until.empty() || order.ordered <= until;
}

long long whole_number(const Json& object, std::string_view member) {
  constexpr std::uint64_t highest = 999'999'999'999'999'999;
  return static_cast<long long>(whole_number_in(loose_text(object, member), 0, highest).value_or(0));
}

long long page_in(const std::string& next) {
  return static_cast<long long>(whole_number_in(next, 1, farthest_page).value_or(1));
}

std::pair<std::size_t, std::size_t> place_in(const std::string& next) {
  const auto space = std::min(next.find(' '), next.size());
  const auto status = whole_number_in(std::string_view(next).substr(0, space), 0, farthest_page);
  const auto position = whole_number_in(std::string_view(next).substr(std::min(space + 1, next.size())), 0, farthest_page);
  return {status && position ? *status : 0, status && position ? *position : 0};
}

std::string day_in(const std::string& time) {
  constexpr std::string_view shape = "dddd-dd-dd";
  if (time.size() < shape.size()) return "";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool digit = time[i] >= '0' && time[i] <= '9';
    if (shape[i] == 'd' ? !digit : time[i] != shape[i]) return "";
  }
  return time.substr(0, shape.size());
}

}  // namespace evercert
