#include "agent/commercial/account_gate.h"

#include <algorithm>
#include <map>

#include "agent/issuer/issuer.h"
#include "serving/base/bounds.h"

namespace evercert {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Where the CA does not say how long: a wait of seconds to minutes is what documents name.
constexpr seconds first_pause{10};
constexpr seconds longest_pause{180};
constexpr milliseconds until_the_one_has_asked{1000};

}  // namespace

AccountGate::AccountGate(const AccountPace& pace) {
  requests_.pace = pace.requests;
  orders_.pace = pace.orders;
}

std::shared_ptr<AccountGate> AccountGate::of(const std::string& account, const AccountPace& pace) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<AccountGate>> gates;
  const std::lock_guard lock(mutex);
  std::erase_if(gates, [](const auto& entry) { return entry.second.expired(); });
  if (auto known = gates[account].lock()) return known;
  auto made = std::make_shared<AccountGate>(pace);
  gates[account] = made;
  return made;
}

milliseconds AccountGate::Row::wait(Time now) const {
  if (!pace) return milliseconds(0);
  const Time free = next - pace->each * (pace->burst - 1);
  return free <= now ? milliseconds(0) : std::chrono::ceil<milliseconds>(free - now);
}

// Each of them at another time, so that they do not all come back for one place.
milliseconds AccountGate::Row::send_away(milliseconds wait, Time now) {
  promised = std::max(promised + pace->each, now + wait);
  return std::chrono::ceil<milliseconds>(promised - now);
}

void AccountGate::Row::count(Time now) {
  if (pace) next = std::max(next, now) + pace->each;
  asking = limited;
}

seconds AccountGate::Row::refuse(std::optional<seconds> retry_after, Time now) {
  // Several may have been on their way when the first of them was refused.
  if (!limited || asking) ++refusals;
  limited = true;
  asking = false;
  const seconds ours = std::min(first_pause * (1U << std::min(refusals - 1, 5U)), longest_pause);
  until = std::max(until, now + std::clamp(retry_after.value_or(ours), seconds(1), longest_wish));
  // The CA counts otherwise than we do: from then on one after the other.
  if (pace) next = std::max(next, until + pace->each * (pace->burst - 1));
  return std::chrono::ceil<seconds>(until - now);
}

AccountGate::Answer AccountGate::ask(bool order, Time now) {
  const std::lock_guard lock(mutex_);
  Row none;
  Row& orders = order ? orders_ : none;
  if (requests_.closed(now) || orders.closed(now)) {
    const Time until = std::max(requests_.closed(now) ? requests_.until : now, orders.closed(now) ? orders.until : now);
    return {false, std::max(std::chrono::ceil<milliseconds>(until - now), until_the_one_has_asked)};
  }
  const milliseconds for_request = requests_.wait(now);
  const milliseconds for_order = orders.wait(now);
  const milliseconds wait = std::max(for_request, for_order);
  if (wait > patience) return {false, (for_order >= for_request ? orders : requests_).send_away(wait, now)};
  requests_.count(now);
  orders.count(now);
  return {true, wait};
}

Result<Done> AccountGate::enter(bool order, const std::stop_token& stop) {
  const Answer answer = ask(order, std::chrono::steady_clock::now());
  if (!answer.come_in) {
    Error turn{ErrorKind::rate_limited, "the CA takes only so many requests in a time; this one waits for its turn"};
    turn.retry_after = std::chrono::ceil<seconds>(answer.wait);
    turn.problem = std::make_shared<const Problem>(Problem{issuer_turn, "", "", {}});
    return turn;
  }
  if (answer.wait.count() == 0) return Done{};
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, answer.wait, [] { return false; });
  if (!stop.stop_requested()) return Done{};
  lost(order);
  return Error{ErrorKind::connection, "the request was given up because the program ends"};
}

void AccountGate::passed(bool order) {
  const std::lock_guard lock(mutex_);
  for (Row* row : {&requests_, order ? &orders_ : &requests_}) {
    row->limited = row->asking = false;
    row->refusals = 0;
  }
}

seconds AccountGate::refused(bool orders_only, std::optional<seconds> retry_after, Time now) {
  const std::lock_guard lock(mutex_);
  if (!orders_only) orders_.asking = false;
  return (orders_only ? orders_ : requests_).refuse(retry_after, now);
}

void AccountGate::lost(bool order) {
  const std::lock_guard lock(mutex_);
  requests_.asking = false;
  if (order) orders_.asking = false;
}

}  // namespace evercert
