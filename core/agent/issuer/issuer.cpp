#include "agent/issuer/issuer.h"

namespace evercert {

const char* to_string(IssuerOrderStatus status) {
  switch (status) {
    case IssuerOrderStatus::pending:
      return "pending";
    case IssuerOrderStatus::ready:
      return "ready";
    case IssuerOrderStatus::processing:
      return "processing";
    case IssuerOrderStatus::valid:
      return "valid";
    case IssuerOrderStatus::invalid:
      return "invalid";
    case IssuerOrderStatus::waiting_for_people:
      return "waiting_for_people";
  }
  return "unknown";
}

}  // namespace evercert
