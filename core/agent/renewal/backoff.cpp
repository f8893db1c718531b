#include "agent/renewal/backoff.h"

#include <algorithm>
#include <array>
#include <span>

#include "serving/base/bounds.h"

namespace evercert {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<seconds, 9> connection_row{seconds(5), seconds(15), seconds(30), minutes(1), minutes(2),
                                                minutes(5), minutes(10), minutes(20), minutes(30)};
// Four failed validations within an hour at the most, one less than Let's Encrypt allows.
constexpr std::array<seconds, 7> challenge_row{seconds(5), minutes(1), minutes(15), hours(1), hours(3), hours(6), hours(24)};
constexpr std::array<seconds, 5> refused_row{minutes(1), minutes(10), minutes(100), hours(6), hours(24)};
constexpr std::array<seconds, 6> storage_row{seconds(5), seconds(15), seconds(30), minutes(1), minutes(2), minutes(5)};
constexpr std::array<seconds, 1> person_row{hours(24)};
constexpr std::array<seconds, 1> limited_row{hours(1)};
// A CA that names a time and refuses again when it has come is asked ever more rarely, up to once a minute: what it works on
// may take a while, and it knows better than we do.
constexpr std::array<seconds, 8> named_limit_row{seconds(1),  seconds(1),  seconds(2),  seconds(5),
                                                 seconds(10), seconds(20), seconds(30), seconds(60)};

std::span<const seconds> row_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::connection:
      return connection_row;
    case ErrorKind::challenge_failed:
      return challenge_row;
    case ErrorKind::issuer_refused:
    case ErrorKind::internal:
      return refused_row;
    case ErrorKind::storage:
    case ErrorKind::key_provider:
    case ErrorKind::dns:
      return storage_row;
    case ErrorKind::rate_limited:
      return limited_row;
    case ErrorKind::configuration:
    case ErrorKind::action_required:
      return person_row;
  }
  return refused_row;
}

milliseconds stretched(milliseconds pause, double factor) {
  return milliseconds(static_cast<milliseconds::rep>(static_cast<double>(pause.count()) * factor));
}

}  // namespace

std::string problem_word(const Error& error) {
  if (!error.problem) return "";
  const auto& type = error.problem->type;
  const auto colon = type.rfind(':');
  return colon == std::string::npos ? type : type.substr(colon + 1);
}

milliseconds setback_pause(unsigned setbacks) {
  // The first one may be a race between two answers of the CA.
  constexpr std::array<milliseconds, 7> row{milliseconds(250), seconds(1), seconds(5), seconds(30),
                                            minutes(2),        minutes(5), minutes(10)};
  return row[std::min<std::size_t>(setbacks > 0 ? setbacks - 1 : 0, row.size() - 1)];
}

milliseconds backoff_pause(const BackoffQuery& query) {
  const auto row = row_of(query.error.kind);
  const std::size_t index = std::min<std::size_t>(query.failures > 0 ? query.failures - 1 : 0, row.size() - 1);
  milliseconds pause = row[index];
  const std::string word = problem_word(query.error);
  // CAs may keep CAA records for eight hours: asking again sooner than in one finds the old answer.
  if (word == "caa") pause = std::max<milliseconds>(pause, hours(1));
  if (word == "rejectedIdentifier" || word == "unsupportedIdentifier" || word == "invalidProfile") pause = hours(24);

  switch (query.error.kind) {
    case ErrorKind::connection:
      if (query.failures > row.size() && query.remaining_share > 0.5) pause = hours(1);
      pause = stretched(pause, 0.5 + query.random);
      break;
    case ErrorKind::rate_limited:
      if (query.error.retry_after) {
        const std::size_t limits =
            std::min<std::size_t>(query.failures > 0 ? query.failures - 1 : 0, named_limit_row.size() - 1);
        pause = std::max<milliseconds>(bounded_wish(*query.error.retry_after), named_limit_row[limits]);
      }
      return stretched(pause, 1.0 + 0.1 * query.random);
    default:
      pause = stretched(pause, 1.0 + 0.05 * query.random);
  }
  // In the last twentieth of its life a certificate uses what failures CAs allow: four an hour.
  if (query.emergency && query.error.kind != ErrorKind::action_required) pause = std::min<milliseconds>(pause, minutes(20));
  if (query.error.retry_after) pause = std::max<milliseconds>(pause, bounded_wish(*query.error.retry_after));
  return pause;
}

}  // namespace evercert
