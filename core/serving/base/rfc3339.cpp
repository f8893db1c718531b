#include "serving/base/rfc3339.h"

#include <algorithm>

#include "serving/base/bounds.h"

namespace evercert {
namespace {

// 'd' stands for a digit, anything else for itself.
bool fits(std::string_view text, std::string_view shape) {
  return text.size() == shape.size() && std::equal(text.begin(), text.end(), shape.begin(), [](char c, char wanted) {
           return wanted == 'd' ? c >= '0' && c <= '9' : c == wanted;
         });
}

std::optional<std::int64_t> offset_in(std::string_view text) {
  if (text == "Z") return 0;
  if (!fits(text, "+dd:dd") && !fits(text, "-dd:dd")) return std::nullopt;
  const auto hours = whole_number_in(text.substr(1, 2), 0, 23);
  const auto minutes = whole_number_in(text.substr(4, 2), 0, 59);
  if (!hours || !minutes) return std::nullopt;
  const auto seconds = static_cast<std::int64_t>(*hours * 3600 + *minutes * 60);
  return text.front() == '+' ? seconds : -seconds;
}

}  // namespace

std::optional<std::chrono::system_clock::time_point> time_in(std::string_view text) {
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd";
  if (!fits(text.substr(0, shape.size()), shape)) return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t length, unsigned most) {
    return whole_number_in(text.substr(at, length), 0, most);
  };
  const auto year = part(0, 4, 9999);
  const auto month = part(5, 2, 12);
  const auto day = part(8, 2, 31);
  const auto hour = part(11, 2, 23);
  const auto minute = part(14, 2, 59);
  const auto second = part(17, 2, 60);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  std::string_view rest = text.substr(shape.size());
  if (rest.starts_with('.')) {
    const auto end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
    if (end == 1) return std::nullopt;
    rest.remove_prefix(end);
  }
  const auto offset = offset_in(rest);
  if (!offset) return std::nullopt;
  const auto since = std::chrono::sys_days(date).time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since).count();
  return moment_of(seconds + static_cast<std::int64_t>(*hour * 3600 + *minute * 60 + *second) - *offset);
}

}  // namespace evercert
