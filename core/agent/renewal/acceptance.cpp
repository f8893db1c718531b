#include "agent/renewal/acceptance.h"

#include "agent/observe/status_report.h"

namespace evercert {
namespace {

Acceptance unusable(std::string sentence) {
  return {Acceptance::Verdict::unusable, {}, Error{ErrorKind::issuer_refused, std::move(sentence)}};
}

}  // namespace

Acceptance judge_issued(const LeafFacts& issued, const std::optional<ServedNow>& served, bool insisted, Time now) {
  if (issued.not_after <= now) {
    return unusable("the issued certificate is not taken: it ended at " + to_rfc3339(issued.not_after) +
                    ", before it came, or this machine's clock is fast");
  }
  if (issued.not_before > now + longest_wait_for_begin) {
    return unusable("the issued certificate is not taken: it begins at " + to_rfc3339(issued.not_before) +
                    ", which is too far ahead to be waited for, or this machine's clock is slow");
  }
  const bool serves = served && served->covers && served->lifetime.not_after > now;
  if (serves && !insisted && issued.not_after < served->lifetime.not_after) {
    return unusable("the issued certificate is not taken: it ends at " + to_rfc3339(issued.not_after) +
                    ", sooner than the one that is served, which ends at " + to_rfc3339(served->lifetime.not_after) +
                    "; renew --force takes such a one");
  }
  if (issued.not_before > now + begin_tolerance) {
    return {Acceptance::Verdict::wait, issued.not_before - begin_tolerance, std::nullopt};
  }
  return {};
}

}  // namespace evercert
