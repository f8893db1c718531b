#include "agent/acme/placed_orders.h"

#include "agent/acme/order.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::size_t page_limit = 200;

}  // namespace

Result<std::optional<std::string>> order_list_of(Account& account) {
  auto url = account.url();
  if (!url) return url.error();
  auto response = account.post({*url, "", "show our account", ""});
  if (!response) return response.error();
  auto json = parse_json(response->body, "the account " + *url);
  if (!json) return Error{ErrorKind::connection, json.error().message};
  auto list = json_optional_text(*json, "orders", "the account " + *url);
  if (!list) return Error{ErrorKind::connection, list.error().message};
  return *list;
}

Result<std::vector<std::string>> placed_orders(Account& account, const std::string& who) {
  auto list = order_list_of(account);
  if (!list) return list.error();
  std::vector<std::string> orders;
  std::string page = list->value_or("");
  for (std::size_t pages = 0; !page.empty() && pages < page_limit; ++pages) {
    auto response = account.post({page, "", "list our orders", ""});
    // Some CAs name a list that they do not have.
    if (!response && response.error().kind == ErrorKind::issuer_refused) return std::vector<std::string>();
    if (!response) return response.error();
    auto urls = parse_order_list(response->body);
    if (!urls) return urls.error().with_prefix(who);
    orders.insert(orders.end(), urls->begin(), urls->end());
    const auto next = links(*response, "next");
    page = next.empty() ? "" : next.front();
  }
  return orders;
}

}  // namespace evercert
