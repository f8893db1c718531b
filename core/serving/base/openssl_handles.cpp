#include "serving/base/openssl_handles.h"

#include <openssl/err.h>
#include <openssl/pem.h>

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

int refuse_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*unused*/) {
  return -1;
}

bool was_pass_phrase_wanted() {
  const unsigned long newest = ERR_peek_last_error();
  return ERR_GET_LIB(newest) == ERR_LIB_PEM && ERR_GET_REASON(newest) == PEM_R_BAD_PASSWORD_READ;
}

bool wants_pass_phrase(std::string_view pem) {
  // RFC 1421 section 4.6.1.1 and RFC 7468 section 11.
  return pem.find("Proc-Type: 4,ENCRYPTED") != std::string_view::npos ||
         pem.find("-----BEGIN ENCRYPTED") != std::string_view::npos;
}

CleanErrorQueue::~CleanErrorQueue() {
  ERR_clear_error();
}

}  // namespace evercert
