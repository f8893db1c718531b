// What the leader shows on the status page, and what it counts for it.
#include <unistd.h>

#include "agent/issuer/commercial_account.h"
#include "agent/run/leader.h"

namespace evercert {
namespace {

std::vector<std::pair<std::string, std::uint64_t>> flattened(
    const std::map<std::pair<std::string, std::string>, std::uint64_t>& counts) {
  std::vector<std::pair<std::string, std::uint64_t>> flat;
  for (const auto& [key, count] : counts) flat.emplace_back(key.first + std::string(1, '\0') + key.second, count);
  return flat;
}

}  // namespace

void Leader::count(const Event& event) {
  const std::lock_guard lock(mutex_);
  if (event.name == "issued") ++order_results_[{event.issuer, "issued"}];
  if (event.name == "renewal_failed") {
    ++order_results_[{event.issuer, "failed"}];
    for (const auto& [name, value] : event.fields) {
      if (name == "kind" && value == "challenge_failed") ++challenge_results_[{"http-01", "failed"}];
    }
  }
  if (event.name == "order_ready") ++challenge_results_[{"http-01", "valid"}];
}

StatusReport Leader::report() {
  StatusReport report;
  report.server = ground_.plan->server.empty() ? "none" : ground_.plan->server;
  report.version = EVERCERT_VERSION;
  report.generated_at = report.last_run = ground_.clock.now();
  report.agent.state = "leader";
  report.agent.pid = static_cast<int>(getpid());
  report.agent.since = since_;
  report.agent.followers = plans_.servers();
  for (const auto& [name, item] : plans_.items()) report.certificates.push_back(status_of(item, report));
  for (const auto& issuer : seats_.issuers()) {
    IssuerAccount* const account = issuer->account();
    const auto seen = account == nullptr ? std::nullopt : account->seen();
    if (!seen) continue;
    report.accounts.push_back({issuer->spec().name, seen->offers, seen->balance ? text_of_cents(*seen->balance) : "",
                               seen->currency, seen->low, seen->at});
  }
  const std::lock_guard lock(mutex_);
  report.counters = {flattened(requests_), flattened(order_results_), flattened(challenge_results_)};
  return report;
}

CertificateStatus Leader::status_of(const PlanUnion::Item& item, StatusReport& report) {
  const auto& certificate = item.certificate;
  const Time now = ground_.clock.now();
  const auto current = publication_.current(certificate.name);
  CertificateStatus status;
  status.name = certificate.name;
  for (const auto& identifier : certificate.identifiers) status.identifiers.push_back(identifier.value);
  status.issuer = current.generation != 0 ? current.issuer : certificate.issuers.front();
  status.generation = current.generation;
  status.serial = current.serial;
  if (const auto lifetime = current.lifetime()) {
    status.not_before = lifetime->not_before;
    status.not_after = lifetime->not_after;
  }
  for (const auto& pair : current.pairs) status.keys.push_back(pair.key.text());
  if (current.pairs.empty()) {
    for (const auto& key : certificate.keys) status.keys.push_back(key.text());
  }
  status.served = current.served;
  status.problem = current.problem;

  bool ordering = false;
  bool held = current.held;
  std::optional<Pace::Failure> failure;
  for (const auto& renewal : renewals_of(certificate.name)) {
    const RenewalView view = renewal->view();
    held = held || view.held;
    if (view.next && (!status.next || *view.next < status.next->at))
      status.next = CertificateStatus::Next{*view.next, view.why};
    if (!view.now.empty()) status.now = view.now;
    if (view.failure) failure = view.failure;
    for (const auto& [issuer, left] : view.set_aside) {
      if (!left.failure) continue;
      status.set_aside.push_back({issuer, renewal->key().text(), to_string(left.failure->kind), left.failure->message,
                                  left.failure->since, left.next_attempt});
    }
    if (view.order && *view.order != OrderState::issued && *view.order != OrderState::failed) {
      ordering = ordering || !view.waits_for_begin;
      report.orders.push_back(
          {certificate.name, renewal->key().text(), view.issuer, to_string(*view.order), view.reference, view.order_since});
    }
  }
  if (failure && !status.problem) {
    status.problem =
        StatusProblem{to_string(failure->kind), failure->message, failure->since, remedy_for(to_string(failure->kind))};
  }
  const bool person = failure && (failure->kind == ErrorKind::action_required || failure->kind == ErrorKind::configuration);
  if (held) {
    status.state = CertificateState::held;
  } else if (person) {
    status.state = CertificateState::action_required;
  } else if (status.not_after && *status.not_after <= now) {
    status.state = CertificateState::expired;
  } else if (failure) {
    status.state = CertificateState::failing;
  } else if (current.not_served) {
    status.state = CertificateState::issued_not_served;
  } else if (current.generation != 0) {
    status.state = CertificateState::served;
  } else {
    status.state = ordering ? CertificateState::ordering : CertificateState::waiting;
  }
  return status;
}

}  // namespace evercert
