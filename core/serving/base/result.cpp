#include "evercert/result.h"

namespace evercert {

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::configuration:
      return "configuration";
    case ErrorKind::action_required:
      return "action_required";
    case ErrorKind::issuer_refused:
      return "issuer_refused";
    case ErrorKind::rate_limited:
      return "rate_limited";
    case ErrorKind::connection:
      return "connection";
    case ErrorKind::key_provider:
      return "key_provider";
    case ErrorKind::storage:
      return "storage";
    case ErrorKind::challenge_failed:
      return "challenge_failed";
    case ErrorKind::dns:
      return "dns";
    case ErrorKind::internal:
      break;
  }
  return "internal";
}

}  // namespace evercert
