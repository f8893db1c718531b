#include "agent/renewal/polling.h"

#include <algorithm>
#include <array>
#include <span>

#include "serving/base/bounds.h"

namespace evercert {
namespace {

using std::chrono::milliseconds;

constexpr std::array<milliseconds, 6> validation_row{milliseconds(250),  milliseconds(500),  milliseconds(1000),
                                                     milliseconds(2000), milliseconds(3000), milliseconds(5000)};
// Requests were seen, the verdict is near: the CA only has to put the answers together.
constexpr std::array<milliseconds, 4> verdict_row{milliseconds(20), milliseconds(50), milliseconds(100), milliseconds(250)};
constexpr std::array<milliseconds, 11> issuance_row{
    milliseconds(5),   milliseconds(10),   milliseconds(20),   milliseconds(50),   milliseconds(100), milliseconds(250),
    milliseconds(500), milliseconds(1000), milliseconds(2000), milliseconds(3000), milliseconds(5000)};
// A CA that works on an order for more than two minutes may take hours.
constexpr std::array<milliseconds, 4> patient_row{std::chrono::minutes(1), std::chrono::minutes(2), std::chrono::minutes(5),
                                                  std::chrono::minutes(10)};
// People take hours and days: soon after the order, then hourly, then daily.
constexpr std::array<milliseconds, 6> people_row{std::chrono::seconds(15), std::chrono::minutes(1),  std::chrono::minutes(5),
                                                 std::chrono::minutes(15), std::chrono::minutes(30), std::chrono::hours(1)};
constexpr std::chrono::hours hourly_until{24};
constexpr std::chrono::hours daily{24};
constexpr milliseconds shortest_patience{std::chrono::minutes(1)};
constexpr milliseconds patience{std::chrono::minutes(2)};
constexpr milliseconds longest_poll{std::chrono::minutes(5)};
constexpr milliseconds after_last_hit{20};
constexpr milliseconds after_expected_hits{3};
constexpr milliseconds after_missing_hits{60};

milliseconds at(std::span<const milliseconds> row, unsigned index) {
  return row[std::min<std::size_t>(index, row.size() - 1)];
}

milliseconds varied(milliseconds pause, double random) {
  return milliseconds(static_cast<milliseconds::rep>(static_cast<double>(pause.count()) * (0.8 + 0.4 * random)));
}

}  // namespace

void Polling::begin(For what, std::size_t challenges, Time now) {
  *this = Polling();
  what_ = last_what_ = what;
  challenges_ = challenges;
  begun_ = last_ = now;
}

bool Polling::begin_again(For what, std::size_t challenges, Time now, bool onward) {
  constexpr unsigned new_rows_at_most = 4;
  const bool other = new_rows_ < new_rows_at_most;
  if (onward || other) {
    const unsigned rows = new_rows_ + (onward ? 0 : 1);
    begin(what, challenges, now);
    new_rows_ = rows;
    return true;
  }
  what_ = last_what_ = what;
  challenges_ = challenges;
  return false;
}

void Polling::follow_clock(Time seen, std::chrono::system_clock::duration by) {
  for (Time* const at : {&begun_, &last_, &last_hit_}) {
    if (*at > seen + by) *at += by;
  }
}

void Polling::saw(std::uint32_t hits, Time now) {
  if (hits <= hits_) return;
  hits_ = hits;
  last_hit_ = now;
  polls_since_hit_ = 0;
}

void Polling::polled(std::optional<std::chrono::seconds> retry_after, Time now) {
  ++polls_;
  ++polls_since_hit_;
  if (last_ - begun_ > patience) ++patient_polls_;
  last_ = now;
  hits_when_polled_ = hits_;
  retry_after_ = retry_after;
}

Time Polling::next(const Experience& experience, double random) const {
  if (what_ == For::people) {
    const milliseconds pause = last_ - begun_ > hourly_until ? daily : at(people_row, polls_);
    // Nobody is asked later than a day and a tenth.
    return last_ + std::max(std::min<milliseconds>(varied(pause, random), daily + std::chrono::minutes(daily) / 10),
                            milliseconds(retry_after_ ? bounded_wish(*retry_after_) : std::chrono::seconds(0)));
  }
  const bool long_since = last_ - begun_ > patience;
  if (retry_after_) {
    // A wish never to wait is none: it is answered within the row, and once patience has begun once a minute.
    const milliseconds least = long_since ? shortest_patience : at(issuance_row, polls_);
    return last_ + std::clamp<milliseconds>(*retry_after_, least, longest_poll);
  }
  if (what_ == For::issuance) {
    return last_ + (long_since ? varied(at(patient_row, patient_polls_), random)
                               : varied(at(issuance_row, polls_), polls_ < 3 ? 0.5 : random));
  }
  if (long_since) return last_ + varied(at(patient_row, patient_polls_), random);
  if (hits_ > hits_when_polled_ || (hits_ == 0 && polls_ == 0)) {
    const Time fallback = last_ + at(validation_row, polls_);
    if (hits_ == 0) return fallback;
    const auto expected = experience.hits_per_challenge * challenges_;
    if (expected == 0) return std::max(last_hit_ + after_last_hit, last_);
    if (hits_ >= expected) return last_hit_ + after_expected_hits;
    return std::min(fallback, last_hit_ + after_missing_hits);
  }
  if (hits_ > 0 && polls_since_hit_ <= verdict_row.size()) {
    return last_ + varied(at(verdict_row, polls_since_hit_ > 0 ? polls_since_hit_ - 1 : 0), random);
  }
  return last_ + varied(at(validation_row, polls_), random);
}

}  // namespace evercert
