#include "serving/base/openssl_handles.h"

#include <openssl/err.h>

#include <array>

namespace evercert {

Error openssl_error(ErrorKind kind, const std::string& what) {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  if (first == 0) return {kind, what};
  if (const char* reason = ERR_reason_error_string(first)) return {kind, what + ": " + reason};
  std::array<char, 256> text{};
  ERR_error_string_n(first, text.data(), text.size());
  return {kind, what + ": " + text.data()};
}

CleanErrorQueue::~CleanErrorQueue() {
  ERR_clear_error();
}

}  // namespace evercert
