// How CommercialIssuer has the names of an order proved, one way after the other.
#include <algorithm>

#include "agent/commercial/commercial_issuer.h"
#include "agent/commercial/rest_api.h"
#include "serving/config/identifier.h"

namespace evercert {
namespace {

using std::chrono::seconds;

// A check that failed is asked for again after this; so often, before the next way of proving is tried.
constexpr seconds between_checks{20};
constexpr unsigned checks_per_way = 3;
// Names that a CA adds to an order; more are a fault of it.
constexpr std::size_t most_added = 100;
// What was laid out goes away after a day; people and CAs may take longer.
constexpr std::chrono::hours laid_out_anew{12};

std::string host_of(const std::string& name) {
  return name.starts_with("*.") ? name.substr(2) : name;
}

bool same_domain(const std::string& ours, const std::string& theirs) {
  return ours == theirs || host_of(ours) == theirs;
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

std::optional<Challenge> CommercialIssuer::challenge_of(const Task& task, const std::string& name, ChallengeKind kind) const {
  Challenge challenge;
  challenge.kind = kind;
  challenge.identifier = {IdentifierKind::dns, name};
  challenge.location = name;
  if (kind == ChallengeKind::http_file) {
    challenge.token = host_of(name) + "/" + task.file;
    challenge.answer = task.content;
    return challenge;
  }
  challenge.token = task.record;
  if (challenge.token.empty()) {
    challenge.token = spec_.purchase.validation_name;
    const std::string mark = "{domain}";
    challenge.token.replace(challenge.token.find(mark), mark.size(), host_of(name));
  }
  challenge.answer = task.value;
  return challenge;
}

Result<std::vector<Challenge>> CommercialIssuer::challenges(IssuerOrder& order) {
  auto detail = detail_of(order);
  if (!detail) return detail.error();
  std::vector<Challenge> open;
  const ChallengeKind kind = spec_.challenges[std::min(detail->way, spec_.challenges.size() - 1)];
  if (kind == ChallengeKind::email) {
    auto written = write_mails(order, *detail);
    if (!written) return written.error();
    order = std::move(*written);
    return open;
  }
  for (const auto& name : detail->to_prove()) {
    auto task = api_->task(order.reference, name, kind);
    if (!task) return paid_for(task.error());
    if (task->readiness == Task::Readiness::verified) continue;
    if (task->readiness == Task::Readiness::not_yet) {
      order.status = IssuerOrderStatus::processing;
      order.retry_after = not_yet_pause(*detail);
      return std::vector<Challenge>();
    }
    const bool wildcard_file = kind == ChallengeKind::http_file && name.starts_with("*.");
    if (task->readiness == Task::Readiness::refused || wildcard_file) {
      auto moved = next_way(order, *detail, wildcard_file ? "a wildcard cannot be proved by a file" : task->said);
      if (!moved) return moved.error();
      order = std::move(*moved);
      // The machine asks for the challenges of the new way once the order is pending again.
      if (order.status == IssuerOrderStatus::pending) order.status = IssuerOrderStatus::processing;
      order.retry_after = seconds(0);
      return std::vector<Challenge>();
    }
    open.push_back(*challenge_of(*task, name, kind));
  }
  detail->presented = true;
  detail->presented_at = detail->checked_at = now();
  order.detail = detail->text();
  return open;
}

Result<Done> CommercialIssuer::respond(const IssuerOrder& order, const Challenge& challenge) {
  return api_->verify(order.reference, challenge.location, challenge.kind, "");
}

Result<IssuerOrder> CommercialIssuer::write_mails(IssuerOrder order, CommercialDetail detail) {
  for (const auto& name : detail.to_prove()) {
    auto task = api_->task(order.reference, name, ChallengeKind::email);
    if (!task) return paid_for(task.error());
    if (task->readiness == Task::Readiness::verified) continue;
    if (task->readiness == Task::Readiness::not_yet) {
      order.status = IssuerOrderStatus::processing;
      order.retry_after = not_yet_pause(detail);
      return order;
    }
    const auto& offered = task->addresses;
    if (std::find(offered.begin(), offered.end(), spec_.purchase.email) == offered.end() && !offered.empty()) {
      return people(std::move(order), detail,
                    "cannot be proved by mail to " + spec_.purchase.email + ": for " + name + " the CA writes to " +
                        listed(offered) + "; put one of these into challenge email:ADDRESS");
    }
    auto sent = api_->verify(order.reference, name, ChallengeKind::email, spec_.purchase.email);
    if (!sent && sent.error().kind == ErrorKind::issuer_refused) {
      return people(std::move(order), detail,
                    "cannot be proved by mail to " + spec_.purchase.email + " (" + sent.error().message +
                        "); ask the CA to which addresses it writes for " + name +
                        ", and put one into challenge email:ADDRESS");
    }
    if (!sent) return sent.error();
  }
  detail.presented = true;
  detail.checked_at = now();
  return people(std::move(order), detail,
                "waits for the link in the mail that the CA sent to " + spec_.purchase.email + " for " +
                    listed(detail.to_prove()) + "; open it, it is valid for a day");
}

Result<IssuerOrder> CommercialIssuer::next_way(IssuerOrder order, CommercialDetail detail, const std::string& why) {
  const auto& ways = spec_.challenges;
  if (detail.way + 1 >= ways.size()) {
    return people(std::move(order), detail,
                  "could not be validated by " + std::string(to_string(ways[std::min(detail.way, ways.size() - 1)])) + ": " +
                      why + "; correct that, or name another way in challenge");
  }
  const std::string before = to_string(ways[detail.way]);
  ++detail.way;
  detail.presented = false;
  detail.checks = 0;
  events_.tell({"validation_method_changed",
                LogLevel::warn,
                {},
                detail.names.empty() ? "" : detail.names.front(),
                spec_.name,
                who() + ": " + before + " failed for the order " + order.reference + " (" + why + "), " +
                    to_string(ways[detail.way]) + " is tried next",
                {}});
  order.status = IssuerOrderStatus::pending;
  order.authorize_again = true;
  order.detail = detail.text();
  return order;
}

// Some names are not proved yet: challenges are handed out, the CA is asked to look again, or another way is tried.
Result<IssuerOrder> CommercialIssuer::validating(IssuerOrder order, CommercialDetail detail, const Progress& progress) {
  order.status = IssuerOrderStatus::pending;
  order.retry_after = commercial_working_pause;
  // Names that the CA has put into the order (www) are proved like ours.
  for (const auto& domain : progress.domains) {
    const auto to_prove = detail.to_prove();
    const bool known =
        std::any_of(to_prove.begin(), to_prove.end(), [&](const std::string& name) { return same_domain(name, domain.name); });
    if (known || domain.verified || detail.added.size() >= most_added || !parse_identifier(domain.name)) continue;
    detail.added.push_back(domain.name);
    detail.presented = false;
  }
  const ChallengeKind kind = spec_.challenges[std::min(detail.way, spec_.challenges.size() - 1)];
  const bool old = kind != ChallengeKind::email && since(detail.presented_at) > seconds(laid_out_anew).count();
  if (!detail.presented || old) {
    order.authorize_again = true;
    order.detail = detail.text();
    return order;
  }
  std::vector<std::string> open;
  for (const auto& name : detail.to_prove()) {
    const auto found = std::find_if(progress.domains.begin(), progress.domains.end(),
                                    [&](const DomainProgress& domain) { return same_domain(name, domain.name); });
    if (found != progress.domains.end() && found->rejected) {
      return next_way(std::move(order), std::move(detail), "the CA rejected " + name);
    }
    if (found == progress.domains.end() || !found->verified) open.push_back(name);
  }
  if (kind == ChallengeKind::email) {
    return people(std::move(order), detail,
                  "waits for the link in the mail that the CA sent to " + spec_.purchase.email + " for " + listed(open) +
                      "; open it, it is valid for a day");
  }
  if (since(detail.checked_at) < between_checks.count()) {
    order.detail = detail.text();
    return order;
  }
  if (detail.checks + 1 >= checks_per_way && detail.way + 1 < spec_.challenges.size()) {
    return next_way(std::move(order), std::move(detail), "the CA did not find what it looked for at " + listed(open));
  }
  for (const auto& name : open) {
    // A check that finds nothing is no error: the order's progress tells.
    auto looked = api_->verify(order.reference, name, kind, "");
    if (!looked && looked.error().kind == ErrorKind::connection) return looked.error();
  }
  ++detail.checks;
  detail.checked_at = now();
  if (detail.checks >= checks_per_way) {
    // Some CAs do not tell which of both is missing.
    const std::string& organization = spec_.purchase.organization;
    return people(
        std::move(order), detail,
        "is not validated: the CA does not find by " + std::string(to_string(kind)) + " what proves " + listed(open) +
            "; check that these names lead here and, for http-file, that port " + std::to_string(spec_.http_port) +
            " is open from the Internet" +
            (organization.empty() ? "" : ", and in the CA's portal whether organization " + organization + " is validated"));
  }
  order.detail = detail.text();
  return order;
}

}  // namespace evercert
