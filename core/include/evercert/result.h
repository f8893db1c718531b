// What every fallible function of evercert returns, and the one place where exceptions stop.
// Used everywhere. Rule: a function that returns Result does not throw, except std::bad_alloc; no exception crosses a C
// callback.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace evercert {

// Chosen by what the caller does next, not by where it happened.
enum class ErrorKind {
  configuration,     // stop until the configuration changes
  action_required,   // a person must act (terms, payment, an unknown seal key, a newer format); say it once
  issuer_refused,    // this order is dead; a new one after back-off
  rate_limited,      // wait retry_after; counts as no failure
  connection,        // the peer could not be reached or did not answer; repeat the same step soon
  key_provider,      // a key could not be made, opened or used
  storage,           // the state directory failed or a file in it is damaged; keep serving, alarm
  challenge_failed,  // a name could not be validated; the problem tells which
  internal,          // our own fault
  dns,               // a record could not be written, looked up or seen; repeat the same step, the CA is not to blame
};

// The word for a kind in status, events and logs.
const char* to_string(ErrorKind kind);

// A problem document (RFC 7807) with the subproblems of RFC 8555 section 6.7.1, as the peer stated it.
struct Problem {
  std::string type;  // as sent, for example urn:ietf:params:acme:error:dns
  std::string detail;
  std::string instance;  // a page for a person, or empty
  struct Subproblem {
    std::string type;
    std::string detail;
    std::string identifier;  // the name it speaks of, or empty
  };
  std::vector<Subproblem> subproblems;
};

struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;                                             // one sentence: what happened, to what, why. Never a secret.
  std::optional<std::chrono::seconds> retry_after = std::nullopt;  // the peer's own wish
  std::shared_ptr<const Problem> problem = nullptr;                // what the peer said, if it did
  bool denied = false;                                             // for want of rights, which another user has

  // The same error with "what: " before its sentence.
  [[nodiscard]] Error with_prefix(const std::string& what) const {
    Error copy = *this;
    copy.message = what + ": " + message;
    return copy;
  }
};

struct Done {};

// Either a value or an Error. The member names are those of std::expected.
template <typename Value>
class [[nodiscard]] Result {
 public:
  Result(Value value) : content_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return content_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  Value& value() & { return std::get<0>(content_); }
  const Value& value() const& { return std::get<0>(content_); }
  Value&& value() && { return std::get<0>(std::move(content_)); }
  Value& operator*() & { return value(); }
  const Value& operator*() const& { return value(); }
  Value&& operator*() && { return std::move(*this).value(); }
  Value* operator->() { return &value(); }
  const Value* operator->() const { return &value(); }

  const Error& error() const& { return std::get<1>(content_); }
  Error&& error() && { return std::get<1>(std::move(content_)); }

 private:
  std::variant<Value, Error> content_;
};

// Runs `action` and turns anything it throws into `on_failure`. The sentence of the exception goes to `report`
// (callable with std::string), which must not throw. For every C callback, thread start and main.
template <typename Value, typename Action, typename Report>
Value at_boundary(Value on_failure, Action&& action, Report&& report) noexcept {
  try {
    return std::forward<Action>(action)();
  } catch (const std::exception& failure) {
    try {
      report(std::string(failure.what()));
    } catch (...) {
      return on_failure;
    }
  } catch (...) {
    return on_failure;
  }
  return on_failure;
}

}  // namespace evercert
