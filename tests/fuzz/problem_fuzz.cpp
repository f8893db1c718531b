// What a CA may answer: problem documents, orders, authorizations, headers.
#include <cstddef>
#include <cstdint>
#include <string>

#include "agent/acme/order.h"
#include "agent/acme/problem.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace evercert;
  HttpResponse response;
  response.status = 400;
  response.body.assign(reinterpret_cast<const char*>(bytes), size);
  response.fields = {{"Retry-After", response.body}, {"Link", response.body}};
  static_cast<void>(refusal(response, "issuer fuzz", "answer", {}));
  static_cast<void>(links(response, "next"));
  static_cast<void>(retry_after_in(response.body, {}));
  static_cast<void>(parse_authorization(response.body, "https://ca.example/authz"));
  static_cast<void>(parse_order_list(response.body));
  static_cast<void>(order_of({"https://ca.example/order", IssuerOrderStatus::pending, response.body, {}, {}}));
  // What is read must be written so that it can be read again.
  if (auto order = parse_order(response.body, "https://ca.example/order")) {
    if (!order_of({order->url, order->status, order->to_detail(), {}, {}})) __builtin_trap();
  }
  return 0;
}
