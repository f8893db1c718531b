#include "agent/lead/leader.h"

#include <algorithm>
#include <random>

#include "agent/commercial/commercial_account.h"

namespace evercert {
namespace {

constexpr unsigned worker_threads = 8;

double random_share() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

std::string status_class(int status) {
  return status == 0 ? "none" : std::to_string(status / 100) + "xx";
}

}  // namespace

Leader::Leader(AgentContext& context, std::function<void()> changed)
    : context_(context),
      changed_(std::move(changed)),
      accounts_(context.store, context.keys.agent),
      offers_(context.store, context.keys.agent),
      orders_(context.store, context.keys.agent, &context.reached),
      paces_(context.store, context.keys.agent),
      validations_(context.store, context.keys.agent),
      left_orders_(context.store, orders_),
      lines_([this] { return context_.open_state(); }, context.keys.serving, context.clock, context.log,
             context.plan->server.empty()),
      keys_(context.key_provider ? context.key_provider : make_file_keys()),
      stored_answers_(context.store, context.keys.agent),
      shared_answers_(stored_answers_, stop_.get_token()),
      board_answers_(context.board),
      files_({&shared_answers_, &board_answers_}, context.clock),
      hit_watch_(context.board, context.report),
      issuer_accounts_(context.make_issuer ? context.make_issuer
                                : [this](const IssuerSpec& spec) {
                                    const auto answered = [this](const std::string& issuer, int status) {
                                      const std::lock_guard lock(mutex_);
                                      ++requests_[{issuer, status_class(status)}];
                                    };
                                    const auto revoked = [this](const std::string& certificate, const Bytes& leaf) {
                                      publication_.revoked(certificate, {leaf});
                                      watch_revoked();
                                    };
                                    return make_issuer(spec, {accounts_, context_.events, context_.clock, stop_.get_token(),
                                                              answered, &offers_, revoked});
                                  },
             [this](const IssuerSpec& spec) { return make_solver(spec); }, context.events),
      alarms_(context.events, context.clock),
      since_(context.clock.now()),
      workers_(context.workers(worker_threads)),
      publication_({context.store, context.keys.serving, context.board, context.clock, context.events, *workers_,
                    [this](const std::string& certificate) { refresh(certificate); },
                    {},
                    [this] { context_.loop.post(changed_); },
                    context.outlet,
                    context.delivery,
                    &context.reached,
                    context.prove}) {}

Leader::~Leader() {
  abort_requests();
  workers_->stop();
}

void Leader::start() {
  if (auto swept = context_.store.sweep(context_.clock.now()); !swept) {
    context_.log.write(LogLevel::warn, swept.error().message);
  }
  sweep();
  watch_what_happens();
  tend_accounts();
  import_from_issuers();
  apply(plans_.put({context_.instance, context_.plan->server, context_.plan, true}));
}

// Open answers survive a crash of ours in the store: they go back on the board, and those whose time has passed go away.
void Leader::sweep() {
  constexpr double after_orders = 2;
  workers_->add("sweeping", after_orders, context_.clock.now(), [this]() -> Workers::Again {
    const Time now = context_.clock.now();
    tell_of_clock(now);
    auto open = stored_answers_.sweep(now);
    if (open) {
      for (const auto& answer : *open) static_cast<void>(board_answers_.put(answer).has_value());
    }
    context_.board.sweep_answers(now);
    watch_all();
    watch_revoked();
    return {now + std::chrono::minutes(1)};
  });
}

// Every renewal reckons anew when that happens (Workers); a person should know of it once.
void Leader::tell_of_clock(Time now) {
  constexpr std::chrono::seconds corrected{30};
  const Time before = std::exchange(swept_at_, now);
  if (before <= now + corrected) return;
  Event event;
  event.name = "clock_turned_back";
  event.level = LogLevel::warn;
  event.at = now;
  event.sentence =
      "the clock was turned back from " + to_rfc3339(before) + " to " + to_rfc3339(now) + "; what is due is reckoned anew";
  context_.events.tell(std::move(event));
}

// What CAs offer, and what money is left there, is read anew now and then.
void Leader::tend_accounts() {
  constexpr double after_imports = 4;
  static constexpr std::chrono::minutes between_looks{10};
  // What was asked for before a restart is looked at soon after it.
  static constexpr std::chrono::seconds first_look{5};
  workers_->add(accounts_job, after_imports, context_.clock.now() + first_look, [this]() -> Workers::Again {
    Time next = context_.clock.now() + between_looks;
    for (const auto& issuer : issuer_accounts_.issuers()) {
      IssuerAccount* const account = issuer->account();
      const auto wanted = account == nullptr ? std::nullopt : account->tend();
      if (wanted) next = std::min(next, *wanted);
    }
    context_.loop.post(changed_);
    return {next};
  });
}

void Leader::follow(PlanSource source) {
  apply(plans_.put(std::move(source)));
}

void Leader::forget(const std::string& source) {
  apply(plans_.remove(source));
}

void Leader::apply(const PlanUnion::Change& change) {
  for (const auto& [name, sentence] : change.conflicts) {
    Event event;
    event.name = "action_required";
    event.level = LogLevel::error;
    event.certificate = name;
    event.sentence = sentence;
    event.fields = {{"kind", "configuration"}};
    context_.events.tell(std::move(event));
  }
  for (const auto& name : change.removed) remove(name);
  std::set<std::string> named;
  std::map<Identifier, std::set<std::string>> wanted;
  for (const auto& [name, item] : plans_.items()) {
    named.insert(name);
    for (const auto& identifier : item.certificate.identifiers) wanted[identifier].insert(name);
  }
  {
    const std::lock_guard lock(mutex_);
    wanted_by_ = std::move(wanted);
  }
  left_orders_.named(std::move(named));
  std::map<std::shared_ptr<const Plan>, std::set<std::string>> asked;
  for (const auto& [name, item] : plans_.items()) {
    asked[item.plan].insert(item.certificate.issuers.begin(), item.certificate.issuers.end());
  }
  std::set<std::shared_ptr<const Plan>> plans;
  for (const auto& [plan, issuers] : asked) plans.insert(plan);
  issuer_accounts_.keep(plans);
  for (const auto& name : change.added) add(name);
  // Accounts are looked after although nothing may be due to be ordered there for months.
  for (const auto& [plan, issuers] : asked) {
    for (const auto& issuer : issuers) {
      const IssuerSpec* spec = plan->issuer(issuer);
      if (spec != nullptr && spec->is_paid()) static_cast<void>(issuer_accounts_.access(*spec).has_value());
    }
  }
  // What is gone tells no event.
  if (!change.removed.empty()) context_.loop.post(changed_);
}

void Leader::add(const std::string& certificate) {
  const PlanUnion::Item& item = *plans_.find(certificate);
  for (const auto& key : item.certificate.keys) {
    auto renewal = std::make_shared<Renewal>(parts_for(item), item.certificate, key);
    {
      const std::lock_guard lock(mutex_);
      renewals_[certificate].push_back(renewal);
      not_looked_at_.insert(certificate);
    }
    // Everybody looks before anybody orders, so that the most urgent can go first.
    constexpr double look_first = -1;
    workers_->add(renewal->job(), look_first, context_.clock.now(),
                  [this, renewal, plan = item.plan, looked = std::make_shared<bool>(false)]() -> Workers::Again {
                    const bool first = !*looked;
                    if (first) {
                      const auto seen = publication_.look(renewal->certificate(), true);
                      looked_at(renewal->certificate().name);
                      // What cannot be read may well be there: nothing is ordered in its place.
                      if (seen.unreadable) return {context_.clock.now() + std::chrono::seconds(5)};
                      *looked = true;
                      refresh(renewal->certificate().name);
                    }
                    auto again = renewal->run();
                    // Accounts of one CA are slow or silent together.
                    const IssuerSpec* asked = plan->issuer(renewal->asks());
                    again.group = asked == nullptr ? "" : asked->uri;
                    // What an earlier agent left behind (a failure, a time for the next try) is known only now.
                    if (first) context_.loop.post(changed_);
                    return again;
                  });
  }
}

void Leader::looked_at(const std::string& certificate) {
  {
    const std::lock_guard lock(mutex_);
    if (not_looked_at_.erase(certificate) == 0 || !not_looked_at_.empty()) return;
  }
  watch_revoked();
  context_.loop.post(changed_);
}

bool Leader::has_looked() const {
  const std::lock_guard lock(mutex_);
  return not_looked_at_.empty();
}

void Leader::remove(const std::string& certificate) {
  std::vector<std::shared_ptr<Renewal>> gone;
  {
    const std::lock_guard lock(mutex_);
    const auto found = renewals_.find(certificate);
    if (found == renewals_.end()) return;
    gone.swap(found->second);
    renewals_.erase(found);
    not_looked_at_.erase(certificate);
    kept_for_others_.erase(certificate);
  }
  alarms_.forget(certificate);
  for (const auto& renewal : gone) {
    workers_->remove(renewal->job());
    hit_watch_.watch(renewal->job(), {});
    renewal->leave();
  }
}

RenewalParts Leader::parts_for(const PlanUnion::Item& item) {
  return {context_.clock,
          context_.events,
          orders_,
          paces_,
          validations_,
          *keys_,
          [this, plan = item.plan](const std::string& issuer) -> std::optional<IssuerAccess> {
            const IssuerSpec* spec = plan->issuer(issuer);
            return spec == nullptr ? std::nullopt : issuer_accounts_.access(*spec);
          },
          [this](const CertificateSpec& certificate, BundlePair pair, const std::string& issuer) {
            return publication_.publish(certificate, std::move(pair), issuer);
          },
          [this](const OrderRecord& record) { return publication_.holds_key_of(record); },
          [this](const std::string& job, const std::vector<Challenge>& challenges) { hit_watch_.watch(job, challenges); },
          [this](const std::string& job) { return hit_watch_.hits(job); },
          [this](const std::string& job) { workers_->poke(job); },
          context_.random ? context_.random : random_share,
          [this](const CertificateSpec& certificate, const KeySpec& key) { return take_cover(certificate, key); },
          [this](const CertificateSpec& certificate, const KeySpec& key) { return left_orders_.take(certificate, key); },
          [this](const CertificateSpec& certificate, const std::vector<Identifier>& fresh) { return lent(certificate, fresh); },
          [this](const CertificateSpec& certificate) { return publication_.missing(certificate.name); }};
}

std::unique_ptr<ChallengeSolver> Leader::make_solver(const IssuerSpec& spec) {
  const auto http = std::make_shared<Http01>(std::vector<AnswerPlace*>{&files_}, context_.clock);
  const auto dns = std::make_shared<DnsRecords>(spec.dns, context_.clock, stop_.get_token());
  return std::make_unique<SolverByKind>(std::map<ChallengeKind, std::shared_ptr<ChallengeSolver>>{
      {ChallengeKind::http_01, http},
      {ChallengeKind::http_file, http},
      {ChallengeKind::dns_01, dns},
      {ChallengeKind::dns_txt, dns},
      {ChallengeKind::dns_cname, dns},
  });
}

std::optional<IssuerAccess> Leader::access_of(const PlanUnion::Item& item, const std::string& issuer) {
  const IssuerSpec* spec = item.plan->issuer(issuer);
  return spec == nullptr ? std::nullopt : issuer_accounts_.access(*spec);
}

std::vector<std::shared_ptr<Renewal>> Leader::renewals_of(const std::string& certificate) const {
  const std::lock_guard lock(mutex_);
  const auto found = renewals_.find(certificate);
  return found == renewals_.end() ? std::vector<std::shared_ptr<Renewal>>() : found->second;
}

void Leader::refresh(const std::string& certificate) {
  const auto current = publication_.current(certificate);
  std::set<std::string> waiting;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, identifiers] : kept_for_others_) waiting.insert(name);
  }
  for (const auto& name : waiting)
    for (const auto& renewal : renewals_of(name)) workers_->poke(renewal->job());
  if (current.generation != 0) {
    StoredLine line{certificate, current.generation, current.identifiers, {}, current.issuer, {}};
    for (const auto& pair : current.pairs) line.keys.push_back(pair.key);
    if (const auto lifetime = current.lifetime()) line.not_after = lifetime->not_after;
    lines_.put(std::move(line));
  }
  for (const auto& renewal : renewals_of(certificate)) {
    if (current.held) {
      renewal->hold({ErrorKind::action_required, current.stored ? current.stored->message : "the newest bundle is locked"});
      continue;
    }
    std::optional<Installed> installed;
    const auto& keys = renewal->certificate().keys;
    for (const auto& pair : current.pairs) {
      const bool same = pair.key.algorithm == renewal->key().algorithm;
      // Another kind of key, which no key of the certificate asks for, serves until renewal is due.
      const bool stands_in =
          std::none_of(keys.begin(), keys.end(), [&](const KeySpec& key) { return key.algorithm == pair.key.algorithm; });
      if (same || (stands_in && !installed))
        installed = Installed{pair.lifetime, current.generation, pair.covers, current.is_revoked(pair)};
      if (same) break;
    }
    renewal->installed(installed);
    workers_->poke(renewal->job());
  }
}

Leader::Wished Leader::renew(const std::string& certificate, bool force) {
  Wished wished;
  for (const auto& renewal : renewals_of(certificate)) {
    auto refused = renewal->request(force);
    if (!refused) {
      ++wished.keys;
    } else if (!wished.refused || wished.refused->fresh) {
      wished.refused = std::move(refused);
    }
    workers_->poke(renewal->job());
  }
  return wished;
}

std::optional<std::string> Leader::cancel(const std::string& certificate) {
  std::optional<std::string> refused = certificate + " has no open order";
  for (const auto& renewal : renewals_of(certificate)) {
    if (renewal->cancel()) continue;
    refused.reset();
    workers_->poke(renewal->job());
  }
  return refused;
}

std::optional<std::string> Leader::take_over(OrderRecord record) {
  for (const auto& renewal : renewals_of(record.certificate)) {
    if (renewal->key() != record.key) continue;
    auto refused = renewal->take_over(std::move(record));
    if (!refused) workers_->poke(renewal->job());
    return refused;
  }
  return "no configuration names the certificate \"" + record.certificate + "\" with this kind of key";
}

std::set<std::string> Leader::under_way(const std::string& issuer) const {
  std::set<std::string> references;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, renewals] : renewals_) {
    for (const auto& renewal : renewals) {
      const RenewalView view = renewal->view();
      if (view.order && view.issuer == issuer && !view.reference.empty()) references.insert(view.reference);
    }
  }
  return references;
}

void Leader::hits_came() {
  for (const auto& risen : hit_watch_.risen()) workers_->poke(risen.job);
}

void Leader::hits_came(const std::string& token, std::uint32_t hits) {
  hit_watch_.seen_elsewhere(token, hits);
  hits_came();
}

void Leader::pause() {
  static_cast<void>(workers_->pause(std::chrono::milliseconds(0)));
}

bool Leader::idle() {
  return workers_->idle();
}

}  // namespace evercert
