#include "agent/issuer/commercial_account.h"

#include <algorithm>
#include <chrono>

#include "agent/issuer/rest.h"

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
  constexpr std::size_t longest = 18;
  const std::string text = loose_text(object, member);
  const bool digits = !text.empty() && text.size() <= longest && text.find_first_not_of("0123456789") == std::string::npos;
  return digits ? std::stoll(text) : 0;
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
