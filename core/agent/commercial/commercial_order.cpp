#include "agent/commercial/commercial_order.h"

#include <algorithm>

#include "agent/commercial/rest.h"

namespace evercert {
namespace {

// A certificate that ends sooner after the one it replaces is not worth the work; a new order is placed instead.
constexpr std::int64_t least_gain = std::int64_t{14} * 86400;

constexpr std::int64_t most_ways = 100;
constexpr std::int64_t most_checks = 1'000'000;

std::int64_t seconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::system_clock::to_time_t(time);
}

}  // namespace

std::string CommercialDetail::text() const {
  return dump_json({{"request_key", request_key},
                    {"names", names},
                    {"added", added},
                    {"certificate", certificate},
                    {"way", way},
                    {"presented", presented},
                    {"presented_at", presented_at},
                    {"checks", checks},
                    {"placed_at", placed_at},
                    {"checked_at", checked_at},
                    {"reissue", reissue},
                    {"ends", ends}});
}

std::vector<std::string> CommercialDetail::to_prove() const {
  std::vector<std::string> all = names;
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

Result<CommercialDetail> detail_of(const IssuerOrder& order) {
  const std::string what = "the detail of the order " + order.reference;
  auto json = parse_json(order.detail, what);
  if (!json) return Error{ErrorKind::internal, json.error().message};
  auto key = json_text(*json, "request_key", what);
  auto names = json_texts(*json, "names", what);
  auto way = json_number(*json, "way", what, 0, most_ways);
  auto checks = json_number(*json, "checks", what, 0, most_checks);
  auto placed = json_number(*json, "placed_at", what);
  auto checked = json_number(*json, "checked_at", what);
  if (!key || !names || !way || !checks || !placed || !checked) return Error{ErrorKind::internal, what + " is damaged"};
  CommercialDetail detail;
  detail.request_key = *key;
  detail.names = *names;
  if (auto added = json_texts(*json, "added", what)) detail.added = std::move(*added);
  detail.way = static_cast<std::size_t>(*way);
  detail.presented = member_of(*json, "presented") == true;
  // Of orders of before it was kept it is not known: they are laid out anew.
  const Json& presented_at = member_of(*json, "presented_at");
  if (presented_at.is_number_integer()) detail.presented_at = presented_at.get<std::int64_t>();
  detail.checks = static_cast<unsigned>(*checks);
  detail.placed_at = *placed;
  detail.checked_at = *checked;
  detail.reissue = member_of(*json, "reissue") == true;
  if (auto ends = json_number(*json, "ends", what)) detail.ends = *ends;
  detail.certificate = loose_text(*json, "certificate");
  return detail;
}

std::string text_of(const Subscription& subscription) {
  return dump_json({{"order", subscription.order},
                    {"names", subscription.names},
                    {"serial", subscription.serial},
                    {"not_before", subscription.not_before},
                    {"not_after", subscription.not_after},
                    {"ends", subscription.ends}});
}

std::optional<Subscription> subscription_from(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::string what = "a running order";
  auto json = parse_json(text, what);
  if (!json) return std::nullopt;
  auto order = json_text(*json, "order", what);
  auto names = json_texts(*json, "names", what);
  auto serial = json_text(*json, "serial", what);
  auto not_before = json_number(*json, "not_before", what);
  auto not_after = json_number(*json, "not_after", what);
  auto ends = json_number(*json, "ends", what);
  if (!order || !names || !serial || !not_before || !not_after || !ends) return std::nullopt;
  return Subscription{*order, *names, *serial, *not_before, *not_after, *ends};
}

bool is_worth_a_reissue(const Subscription& subscription, const Wanted& wanted, std::chrono::system_clock::time_point now) {
  std::vector<std::string> before = subscription.names;
  std::vector<std::string> names;
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  std::sort(before.begin(), before.end());
  std::sort(names.begin(), names.end());
  if (subscription.ends - seconds_of(now) < least_gain) return false;
  if (names != before || subscription.ends - subscription.not_after >= least_gain) return true;
  // Whoever replaces a young certificate wants another key, not another term.
  return seconds_of(now) < subscription.not_before + (subscription.not_after - subscription.not_before) / 2;
}

}  // namespace evercert
