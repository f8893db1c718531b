#include "agent/issuer/commercial_issuer.h"

#include <algorithm>

#include "agent/acme/chain.h"
#include "agent/issuer/caa.h"
#include "agent/issuer/rest.h"
#include "serving/publish/bundle.h"

namespace evercert {
namespace {

using std::chrono::seconds;

// How soon to ask again while the CA works, and while it is not ready to say how names are proved.
constexpr seconds working_pause{3};
constexpr seconds not_yet_pause{15};
// A check that failed is asked for again after this; so often, before the next way of proving is tried.
constexpr seconds between_checks{20};
constexpr unsigned checks_per_way = 3;
// Approvals that the CA gives by itself take no longer.
constexpr seconds approval_grace{30};

// What is kept as IssuerOrder::detail.
struct Detail {
  std::string request_key;         // digest of the request's public key, to know our certificate again
  std::vector<std::string> names;  // as ordered
  std::size_t way = 0;             // which of the issuer's ways of proving is tried
  bool presented = false;          // its challenges were handed out
  unsigned checks = 0;             // asked for with this way
  std::int64_t placed_at = 0;      // seconds since 1970
  std::int64_t checked_at = 0;

  [[nodiscard]] std::string text() const {
    return dump_json({{"request_key", request_key},
                      {"names", names},
                      {"way", way},
                      {"presented", presented},
                      {"checks", checks},
                      {"placed_at", placed_at},
                      {"checked_at", checked_at}});
  }
};

Result<Detail> detail_of(const IssuerOrder& order) {
  const std::string what = "the detail of the order " + order.reference;
  auto json = parse_json(order.detail, what);
  if (!json) return Error{ErrorKind::internal, json.error().message};
  auto key = json_text(*json, "request_key", what);
  auto names = json_texts(*json, "names", what);
  auto way = json_number(*json, "way", what);
  auto checks = json_number(*json, "checks", what);
  auto placed = json_number(*json, "placed_at", what);
  auto checked = json_number(*json, "checked_at", what);
  if (!key || !names || !way || !checks || !placed || !checked) return Error{ErrorKind::internal, what + " is damaged"};
  Detail detail;
  detail.request_key = *key;
  detail.names = *names;
  detail.way = static_cast<std::size_t>(*way);
  detail.presented = member_of(*json, "presented") == true;
  detail.checks = static_cast<unsigned>(*checks);
  detail.placed_at = *placed;
  detail.checked_at = *checked;
  return detail;
}

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

class CommercialIssuer : public Issuer {
 public:
  CommercialIssuer(const IssuerSpec& spec, std::unique_ptr<CommercialApi> api, const IssuerSurroundings& surroundings)
      : spec_(spec), api_(std::move(api)), clock_(surroundings.clock), events_(surroundings.events), stop_(surroundings.stop) {}

  [[nodiscard]] const IssuerSpec& spec() const override { return spec_; }
  Result<std::string> test_login() override { return api_->test_login(); }
  Result<IssuerOrder> place(const Wanted& wanted) override;
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override;
  Result<std::vector<Challenge>> challenges(IssuerOrder& order) override;
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override;
  Result<IssuerOrder> refresh(const IssuerOrder& order) override;
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override;
  Result<IssuedCertificate> collect(const IssuerOrder& order) override;
  Result<Done> abandon(const IssuerOrder& order) override;
  Result<Done> revoke(BytesView leaf, int reason, const Secret* certificate_key) override;

 private:
  Result<IssuerOrder> fresh_order(std::string reference, const Wanted& wanted) const;
  std::optional<Challenge> challenge_of(const Task& task, const std::string& name, ChallengeKind kind) const;
  Result<IssuerOrder> next_way(IssuerOrder order, Detail detail, const std::string& why);
  Result<IssuerOrder> validating(IssuerOrder order, Detail detail, const Progress& progress);
  Result<IssuerOrder> write_mails(IssuerOrder order, Detail detail);
  IssuerOrder people(IssuerOrder order, const Detail& detail, const std::string& said) const;
  [[nodiscard]] std::int64_t now() const { return std::chrono::system_clock::to_time_t(clock_.now()); }
  [[nodiscard]] std::string who() const { return "issuer " + spec_.name; }

  const IssuerSpec spec_;
  const std::unique_ptr<CommercialApi> api_;
  const Clock& clock_;
  Events& events_;
  const std::stop_token stop_;
};

Result<IssuerOrder> CommercialIssuer::fresh_order(std::string reference, const Wanted& wanted) const {
  auto key = request_key_digest(wanted.request);
  if (!key) return key.error();
  Detail detail;
  detail.request_key = *key;
  for (const auto& identifier : wanted.identifiers) detail.names.push_back(identifier.value);
  detail.placed_at = now();
  IssuerOrder order;
  order.reference = std::move(reference);
  order.status = IssuerOrderStatus::pending;
  order.detail = detail.text();
  return order;
}

Result<IssuerOrder> CommercialIssuer::place(const Wanted& wanted) {
  if (auto permitted = check_caa(spec_, wanted.identifiers, stop_); !permitted) return permitted.error();
  auto reference = api_->place(wanted);
  if (!reference) return reference.error();
  return fresh_order(std::move(reference).value(), wanted);
}

Result<std::optional<IssuerOrder>> CommercialIssuer::find(const Wanted& wanted, const std::vector<std::string>& known) {
  auto reference = api_->find(wanted, known);
  if (!reference) return reference.error();
  if (!*reference) return std::optional<IssuerOrder>();
  auto order = fresh_order(std::move(**reference), wanted);
  if (!order) return order.error();
  return std::optional<IssuerOrder>(std::move(*order));
}

IssuerOrder CommercialIssuer::people(IssuerOrder order, const Detail& detail, const std::string& said) const {
  order.status = IssuerOrderStatus::waiting_for_people;
  order.detail = detail.text();
  order.authorize_again = false;
  order.problem =
      Error{ErrorKind::action_required, who() + ": the order " + order.reference + " at " + api_->title() + " " + said};
  return order;
}

// --- how names are proved ---

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
  for (const auto& name : detail->names) {
    auto task = api_->task(order.reference, name, kind);
    if (!task) return task.error();
    if (task->readiness == Task::Readiness::verified) continue;
    if (task->readiness == Task::Readiness::not_yet) {
      order.status = IssuerOrderStatus::processing;
      order.retry_after = not_yet_pause;
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
  detail->checked_at = now();
  order.detail = detail->text();
  return open;
}

Result<Done> CommercialIssuer::respond(const IssuerOrder& order, const Challenge& challenge) {
  return api_->verify(order.reference, challenge.location, challenge.kind, "");
}

Result<IssuerOrder> CommercialIssuer::write_mails(IssuerOrder order, Detail detail) {
  for (const auto& name : detail.names) {
    auto task = api_->task(order.reference, name, ChallengeKind::email);
    if (!task) return task.error();
    if (task->readiness == Task::Readiness::verified) continue;
    if (task->readiness == Task::Readiness::not_yet) {
      order.status = IssuerOrderStatus::processing;
      order.retry_after = not_yet_pause;
      return order;
    }
    const auto& offered = task->addresses;
    if (std::find(offered.begin(), offered.end(), spec_.purchase.email) == offered.end() && !offered.empty()) {
      return people(std::move(order), detail,
                    "cannot be proved by mail to " + spec_.purchase.email + ": for " + name + " the CA writes to " +
                        listed(offered) + "; put one of these into challenge email:ADDRESS");
    }
    auto sent = api_->verify(order.reference, name, ChallengeKind::email, spec_.purchase.email);
    if (!sent) return sent.error();
  }
  detail.presented = true;
  detail.checked_at = now();
  return people(std::move(order), detail,
                "waits for the link in the mail that the CA sent to " + spec_.purchase.email + " for " + listed(detail.names) +
                    "; open it, it is valid for a day");
}

Result<IssuerOrder> CommercialIssuer::next_way(IssuerOrder order, Detail detail, const std::string& why) {
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
Result<IssuerOrder> CommercialIssuer::validating(IssuerOrder order, Detail detail, const Progress& progress) {
  order.status = IssuerOrderStatus::pending;
  order.retry_after = working_pause;
  if (!detail.presented) {
    order.authorize_again = true;
    order.detail = detail.text();
    return order;
  }
  std::vector<std::string> open;
  for (const auto& name : detail.names) {
    const auto found = std::find_if(progress.domains.begin(), progress.domains.end(),
                                    [&](const DomainProgress& domain) { return same_domain(name, domain.name); });
    if (found != progress.domains.end() && found->rejected) {
      return next_way(std::move(order), std::move(detail), "the CA rejected " + name);
    }
    if (found == progress.domains.end() || !found->verified) open.push_back(name);
  }
  const ChallengeKind kind = spec_.challenges[std::min(detail.way, spec_.challenges.size() - 1)];
  if (kind == ChallengeKind::email) {
    return people(std::move(order), detail,
                  "waits for the link in the mail that the CA sent to " + spec_.purchase.email + " for " + listed(open) +
                      "; open it, it is valid for a day");
  }
  if (now() - detail.checked_at < between_checks.count()) {
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
    return people(std::move(order), detail,
                  "is not validated: the CA does not find by " + std::string(to_string(kind)) + " what proves " + listed(open) +
                      "; check that these names lead here and, for http-file, that port 80 is open from the Internet");
  }
  order.detail = detail.text();
  return order;
}

// --- how it goes on ---

Result<IssuerOrder> CommercialIssuer::refresh(const IssuerOrder& before) {
  auto detail = detail_of(before);
  if (!detail) return detail.error();
  auto progress = api_->track(before.reference);
  if (!progress) return progress.error();
  IssuerOrder order = before;
  order.problem.reset();
  order.retry_after.reset();
  order.authorize_again = false;
  switch (progress->stage) {
    case Stage::issued:
      order.status = IssuerOrderStatus::valid;
      return order;
    case Stage::dead:
      order.status = IssuerOrderStatus::invalid;
      order.problem = Error{ErrorKind::issuer_refused, who() + ": the order " + order.reference + " " + progress->said};
      return order;
    case Stage::people:
      if (!progress->may_pass) return people(std::move(order), *detail, progress->said);
      break;
    case Stage::working:
      break;
  }
  const bool all_verified =
      progress->domains_known && std::all_of(progress->domains.begin(), progress->domains.end(),
                                             [](const DomainProgress& domain) { return domain.verified; });
  if (progress->domains_known && !all_verified) return validating(std::move(order), *detail, *progress);
  const bool patient = now() - detail->placed_at < approval_grace.count();
  if (progress->stage == Stage::people && !patient) return people(std::move(order), *detail, progress->said);
  order.status = IssuerOrderStatus::processing;
  order.retry_after = progress->domains_known ? working_pause : not_yet_pause;
  return order;
}

// The request goes along when the order is placed.
Result<IssuerOrder> CommercialIssuer::finalize(const IssuerOrder& order, const Wanted&) {
  return refresh(order);
}

Result<IssuedCertificate> CommercialIssuer::collect(const IssuerOrder& order) {
  auto detail = detail_of(order);
  if (!detail) return detail.error();
  auto pem = api_->download(order.reference);
  if (!pem) return pem.error();
  auto chain = read_chain(*pem, detail->request_key);
  if (chain) return std::move(chain->certificates);
  // The order is paid for: what it brought must be looked at by somebody, not ordered again.
  Error error = chain.error().with_prefix(who() + ": the order " + order.reference);
  if (error.kind == ErrorKind::issuer_refused) error.kind = ErrorKind::action_required;
  return error;
}

Result<Done> CommercialIssuer::abandon(const IssuerOrder& order) {
  auto cancelled = api_->cancel(order.reference, "not wanted any more");
  // It may have to be paid: whoever looks after money should know.
  const std::string sentence = cancelled
                                   ? who() + ": the order " + order.reference + " was cancelled at the CA"
                                   : cancelled.error().message + "; look at the order " + order.reference + " in the portal";
  events_.tell({cancelled ? "order_cancelled" : "order_not_cancelled",
                cancelled ? LogLevel::notice : LogLevel::warn,
                {},
                "",
                spec_.name,
                sentence,
                {{"order", order.reference}}});
  return cancelled;
}

Result<Done> CommercialIssuer::revoke(BytesView leaf, int reason, const Secret*) {
  auto facts = leaf_facts(leaf);
  if (!facts) return facts.error();
  return api_->revoke(*facts, reason, "revoked by evercert");
}

}  // namespace

std::unique_ptr<Issuer> make_commercial_issuer(const IssuerSpec& spec, std::unique_ptr<CommercialApi> api,
                                               const IssuerSurroundings& surroundings) {
  return std::make_unique<CommercialIssuer>(spec, std::move(api), surroundings);
}

}  // namespace evercert
