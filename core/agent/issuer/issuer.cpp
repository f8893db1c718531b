#include "agent/issuer/issuer.h"

namespace evercert {

bool is_forgotten(const Error& error) {
  return error.problem && error.problem->type == order_forgotten;
}

bool is_waiting(const Error& error) {
  return error.problem && (error.problem->type == issuer_not_yet || error.problem->type == issuer_turn);
}

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
