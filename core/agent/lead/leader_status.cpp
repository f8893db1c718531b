// What the leader shows on the status page, and what it counts for it.
#include <unistd.h>

#include <algorithm>

#include "agent/commercial/commercial_account.h"
#include "agent/lead/leader.h"
#include "agent/observe/remedies.h"
#include "serving/base/bounds.h"

namespace evercert {
namespace {

std::vector<std::pair<std::string, std::uint64_t>> flattened(
    const std::map<std::pair<std::string, std::string>, std::uint64_t>& counts) {
  std::vector<std::pair<std::string, std::uint64_t>> flat;
  for (const auto& [key, count] : counts) flat.emplace_back(key.first + std::string(1, '\0') + key.second, count);
  return flat;
}

StatusProblem revoked_problem(const Publication::Current& current, Time since, const std::string& name) {
  return {"revoked",
          "generation " + std::to_string(current.generation) + " is revoked" +
              (current.served ? " and served all the same" : "") + ": clients that ask the CA refuse it",
          since, "Say `evercert renew " + name + "` to order another, or take the name out of the configuration."};
}

// "http-01=2,dns-01=1", as the order machine writes it.
std::map<std::string, std::uint64_t> counts_of(const std::string& text) {
  constexpr std::uint64_t most = std::uint64_t{1} << 32;
  std::map<std::string, std::uint64_t> counts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::size_t middle = text.find('=', begin);
    if (middle < end)
      counts[text.substr(begin, middle - begin)] +=
          whole_number_in(std::string_view(text).substr(middle + 1, end - middle - 1), 0, most).value_or(0);
    begin = end + 1;
  }
  return counts;
}

}  // namespace

void Leader::watch_revoked() {
  constexpr std::chrono::hours between_reminders{24};
  const Time now = context_.clock.now();
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, renewals] : renewals_) names.push_back(name);
  }
  for (const auto& name : names) {
    const auto current = publication_.current(name);
    const auto revoked = current.revoked_at();
    {
      const std::lock_guard lock(mutex_);
      Time& told = revoked_told_[name];
      if (!revoked) told = Time();
      if (!revoked || is_recent(told, now, between_reminders)) continue;
      told = now;
    }
    const StatusProblem problem = revoked_problem(current, *revoked, name);
    Event event;
    event.name = "revoked_served";
    event.level = LogLevel::error;
    event.certificate = name;
    event.issuer = current.issuer;
    event.sentence = name + ": " + problem.message + ". " + problem.remedy;
    event.fields = {{"generation", std::to_string(current.generation)}};
    context_.events.tell(std::move(event));
  }
}

void Leader::count(const Event& event) {
  // The first look at what was asked for comes soon.
  if (event.name == "cancellation_requested" || event.name == "revocation_requested") workers_->poke(accounts_job);
  const auto is_one_of = [&](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), event.name) != names.end();
  };
  if (is_one_of({"renewal_failed", "action_required", "issuer_changed", "published", "served", "not_served", "rolled_back"}))
    watch_soon(event.certificate);
  const std::lock_guard lock(mutex_);
  if (event.name == "issued") ++order_results_[{event.issuer, "issued"}];
  if (event.name == "renewal_failed") ++order_results_[{event.issuer, "failed"}];
  if (!is_one_of({"order_ready", "challenges_failed"})) return;
  const std::string result = event.name == "order_ready" ? "valid" : "failed";
  for (const auto& [name, value] : event.fields) {
    if (name != "challenges") continue;
    for (const auto& [kind, number] : counts_of(value)) challenge_results_[{kind, result}] += number;
  }
}

StatusReport Leader::report() {
  StatusReport report;
  report.server = context_.plan->server.empty() ? "none" : context_.plan->server;
  report.version = EVERCERT_VERSION;
  report.generated_at = report.last_run = context_.clock.now();
  report.agent.state = "leader";
  report.agent.pid = static_cast<int>(getpid());
  report.agent.since = since_;
  report.agent.followers = plans_.servers();
  for (const auto& [name, item] : plans_.items()) report.certificates.push_back(status_of(item, report));
  for (const auto& issuer : issuer_accounts_.issuers()) {
    IssuerAccount* const account = issuer->account();
    if (account == nullptr) continue;
    for (auto& one : account->awaited()) {
      report.awaited.push_back({issuer->spec().name, one.what, one.certificate, one.order, one.since});
    }
    const auto seen = account->seen();
    if (!seen) continue;
    report.accounts.push_back({issuer->spec().name, seen->offers, seen->balance ? text_of_cents(*seen->balance) : "",
                               seen->currency, seen->low, seen->at});
  }
  report_lines(report);
  const std::lock_guard lock(mutex_);
  report.counters = {flattened(requests_), flattened(order_results_), flattened(challenge_results_)};
  return report;
}

CertificateStatus Leader::status_of(const PlanUnion::Item& item, StatusReport& report) {
  const auto& certificate = item.certificate;
  const Time now = context_.clock.now();
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
  const std::set<Identifier> wanted(certificate.identifiers.begin(), certificate.identifiers.end());
  const std::set<Identifier> there(current.identifiers.begin(), current.identifiers.end());
  if (current.generation != 0 && there != wanted)
    for (const auto& identifier : there) status.certificate_identifiers.push_back(identifier.value);
  for (const auto& identifier : certificate.identifiers) {
    if (there.contains(identifier)) continue;
    if (const auto line = lines_.best_for(identifier, certificate.name))
      status.meanwhile.push_back({identifier.value, line->name});
  }

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
  std::optional<StatusProblem> failed;
  if (failure) {
    failed = {to_string(failure->kind), failure->message, failure->said_since,
              failure->remedy.empty() ? remedy_for(to_string(failure->kind)) : failure->remedy};
    status.failing_since = failure->since;
  }
  for (auto& left : status.set_aside) left.message = spelled(left.message, context_.plan->server);
  const bool person = failure && (failure->kind == ErrorKind::action_required || failure->kind == ErrorKind::configuration);
  // The word and the problem are of one piece: each line is a claim, and what it is made from.
  const auto say = [&](CertificateState state, std::initializer_list<std::optional<StatusProblem>> problems) {
    status.state = state;
    for (const auto& problem : problems) {
      if (!status.problem) status.problem = problem;
    }
  };
  const auto& stored = current.stored;
  const auto revoked = current.revoked_at();
  if (held) {
    say(CertificateState::held, {stored, failed});
  } else if (revoked) {
    say(CertificateState::action_required, {revoked_problem(current, *revoked, certificate.name)});
    if (failure) status.failing_since = std::min(failure->since, *revoked);
  } else if (person) {
    say(CertificateState::action_required, {failed});
  } else if (status.not_after && *status.not_after <= now) {
    say(CertificateState::expired, {failed, stored, current.not_served});
  } else if (failed) {
    say(CertificateState::failing, {failed});
  } else if (current.not_served || (current.not_exported && context_.delivery.serves && !current.served)) {
    say(CertificateState::issued_not_served, {current.not_taken, current.not_exported, current.not_served});
  } else if (current.generation != 0) {
    say(current.served ? CertificateState::served : CertificateState::issued,
        {stored, current.not_taken, current.not_exported, current.hook_failed});
  } else {
    say(ordering ? CertificateState::ordering : CertificateState::waiting, {stored});
  }
  if (status.problem) {
    const std::string& server = context_.plan->server;
    status.problem->message = spelled(status.problem->message, server);
    status.problem->remedy = spelled(status.problem->remedy, server);
  }
  {
    const std::lock_guard lock(mutex_);
    if (not_looked_at_.contains(certificate.name)) status.now = "reading what is stored";
  }
  return status;
}

}  // namespace evercert
