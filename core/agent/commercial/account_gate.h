// The pace at which one account at a commercial CA is asked, whoever asks: orders, imports and the lists that are read by
// themselves. CAs count per account or key, so there is one gate for each, shared by all issuers that name it.
// Rule: after a refusal for too many requests one asks, and the others wait for what it is told.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "evercert/result.h"

namespace evercert {

// So many at once, then one in each such time.
struct RequestPace {
  unsigned burst;
  std::chrono::milliseconds each;
};

// What a CA's documents allow. nullopt: they name no limit.
struct AccountPace {
  std::optional<RequestPace> requests;
  std::optional<RequestPace> orders;  // requests that place something are counted here, too
};

// CERTInext refuses about 16 orders in ten seconds, whichever interface they come by.
inline constexpr RequestPace certinext_orders{5, std::chrono::milliseconds(1500)};

// Thread-safe. Times are those of the steady clock: a machine's clock that is turned must not stop orders.
class AccountGate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Who would have to wait longer comes back later instead of keeping a thread.
  static constexpr std::chrono::milliseconds patience{4000};

  explicit AccountGate(const AccountPace& pace);
  // The gate of this account, made by whoever names it first and gone with the last that holds it.
  static std::shared_ptr<AccountGate> of(const std::string& account, const AccountPace& pace);

  struct Answer {
    bool come_in;
    std::chrono::milliseconds wait;  // before the request goes out, or before it is worth coming again
  };
  // `order`: the request places something.
  Answer ask(bool order, Time now);
  // Waits as long as that. Errors: rate_limited with the problem issuer_turn (issuer.h), for who has to come again.
  Result<Done> enter(bool order, const std::stop_token& stop);

  // What became of a request that was let through. `retry_after`: the CA's own wish; `orders_only`: it limits nothing else.
  void passed(bool order);
  // How long everybody waits now.
  std::chrono::seconds refused(bool orders_only, std::optional<std::chrono::seconds> retry_after, Time now);
  void lost(bool order);  // there was no answer: another one may ask

 private:
  struct Row {
    std::optional<RequestPace> pace;
    Time next{};           // when the burst is free again
    Time promised{};       // to the last of those who were sent away
    bool limited = false;  // by the CA's word
    bool asking = false;   // one is on its way while the others wait
    Time until{};
    unsigned refusals = 0;  // in a row

    [[nodiscard]] bool closed(Time now) const { return limited && (asking || now < until); }
    [[nodiscard]] std::chrono::milliseconds wait(Time now) const;
    std::chrono::milliseconds send_away(std::chrono::milliseconds wait, Time now);
    void count(Time now);
    std::chrono::seconds refuse(std::optional<std::chrono::seconds> retry_after, Time now);
  };

  std::mutex mutex_;  // guards what follows
  Row requests_;
  Row orders_;
};

}  // namespace evercert
