#include "agent/commercial/commercial_issuer.h"

#include <algorithm>

#include "agent/commercial/rest_api.h"
#include "agent/issuer/caa.h"
#include "agent/issuer/chain.h"
#include "serving/certificate/bundle.h"

namespace evercert {
namespace {

using std::chrono::seconds;

// Approvals that the CA gives by itself take no longer.
constexpr seconds approval_grace{30};
// A reissue that somebody else waits for; and how long the certificate before is handed out in its place.
constexpr seconds busy_pause{600};
constexpr std::chrono::seconds reissue_grace{86400};
// How long one is looked for that took the place of ours.
constexpr std::chrono::seconds replacement_grace{3600};

}  // namespace

CommercialIssuer::CommercialIssuer(IssuerSpec spec, std::unique_ptr<CommercialApi> api, const IssuerSurroundings& surroundings)
    : spec_(std::move(spec)),
      api_(std::move(api)),
      clock_(surroundings.clock),
      events_(surroundings.events),
      stop_(surroundings.stop) {
  if (auto account = api_->make_account()) {
    desk_.emplace(spec_, *api_, std::move(account), surroundings,
                  [this](const std::string& order, const Wanted& wanted) { return fresh_order(order, wanted, false); });
  }
}

// A login that works is not enough to order: what the issuer's options name must exist there, too.
Result<std::string> CommercialIssuer::test_login() {
  auto known = api_->test_login();
  if (!known || !desk_) return known;
  auto offers = desk_->sync(false);
  if (!offers) return offers.error().with_prefix("the login works, but");
  if (const auto missing = offers->missing_in(spec_.purchase)) {
    return Error{ErrorKind::action_required, who() + ": the login works, but " + *missing};
  }
  return *known + "; " + offers->summary();
}

Result<IssuerOrder> CommercialIssuer::fresh_order(std::string reference, const Wanted& wanted, bool reissue) const {
  auto key = request_key_digest(wanted.request);
  if (!key) return key.error();
  CommercialDetail detail;
  detail.request_key = *key;
  for (const auto& identifier : wanted.identifiers) detail.names.push_back(identifier.value);
  detail.certificate = wanted.certificate;
  detail.placed_at = now();
  detail.reissue = reissue;
  IssuerOrder order;
  order.reference = std::move(reference);
  order.status = IssuerOrderStatus::pending;
  order.detail = detail.text();
  return order;
}

std::optional<Subscription> CommercialIssuer::running(const Wanted& wanted) const {
  auto subscription = subscription_from(wanted.subscription);
  if (!subscription || !api_->can_reissue(*subscription, wanted)) return std::nullopt;
  return is_worth_a_reissue(*subscription, wanted, clock_.now()) ? subscription : std::nullopt;
}

// nullopt: the CA does not do it for this order, so a new one has to be placed.
Result<std::optional<std::string>> CommercialIssuer::reissue(const Subscription& subscription, const Wanted& wanted) {
  auto reference = api_->reissue(subscription, wanted);
  if (reference) return std::optional<std::string>(std::move(*reference));
  if (reference.error().kind != ErrorKind::issuer_refused) return reference.error();
  // One that was not waited for may be under way; what the order can bring is not to be paid again.
  auto progress = api_->track(subscription.order);
  if (progress && (progress->stage == Stage::working || progress->stage == Stage::people)) {
    Error busy{ErrorKind::rate_limited, who() + ": the order " + subscription.order +
                                            " has a reissue under way that is not ours any more; it is waited for"};
    busy.retry_after = busy_pause;
    return busy;
  }
  events_.tell({"reissue_refused",
                LogLevel::warn,
                {},
                wanted.certificate,
                spec_.name,
                reference.error().message + "; a new order is placed",
                {{"order", subscription.order}}});
  return std::optional<std::string>();
}

Result<IssuerOrder> CommercialIssuer::place(const Wanted& wanted) {
  if (auto permitted = check_caa(spec_, spec_.caa_identities, wanted.identifiers, stop_); !permitted) return permitted.error();
  if (const auto subscription = running(wanted)) {
    auto reissued = reissue(*subscription, wanted);
    if (!reissued) return reissued.error();
    if (*reissued) return fresh_order(std::move(**reissued), wanted, true);
  }
  if (desk_) {
    if (auto free = desk_->check_open_orders(wanted.identifiers.front().value); !free) return free.error();
    if (auto offered = desk_->check_options(); !offered) return offered.error();
  }
  auto reference = api_->place(wanted);
  if (!reference) return desk_ ? desk_->explained(reference.error()) : reference.error();
  return fresh_order(std::move(reference).value(), wanted, false);
}

Result<std::optional<IssuerOrder>> CommercialIssuer::find(const Wanted& wanted, const std::vector<std::string>& known) {
  auto reference = api_->find(wanted, known);
  if (!reference) return reference.error();
  bool reissued = false;
  if (const auto subscription = running(wanted); subscription && !*reference) {
    reference = api_->find_reissue(*subscription, wanted, known);
    if (!reference) return reference.error();
    reissued = reference->has_value();
  }
  if (!*reference) return std::optional<IssuerOrder>();
  auto order = fresh_order(std::move(**reference), wanted, reissued);
  if (!order) return order.error();
  return std::optional<IssuerOrder>(std::move(*order));
}

IssuerOrder CommercialIssuer::people(IssuerOrder order, const CommercialDetail& detail, const std::string& said) const {
  order.status = IssuerOrderStatus::waiting_for_people;
  order.detail = detail.text();
  order.authorize_again = false;
  order.problem =
      Error{ErrorKind::action_required, who() + ": the order " + order.reference + " at " + api_->title() + " " + said};
  return order;
}

Result<IssuerOrder> CommercialIssuer::refresh(const IssuerOrder& before) {
  auto detail = detail_of(before);
  if (!detail) return detail.error();
  auto progress = api_->track(before.reference);
  if (!progress) return progress.error();
  IssuerOrder order = before;
  if (progress->ends) {
    detail->ends = std::chrono::system_clock::to_time_t(*progress->ends);
    order.detail = detail->text();
  }
  order.problem.reset();
  order.retry_after.reset();
  order.authorize_again = false;
  if (progress->replaced) {
    auto successor = successor_of(order, *detail, *progress);
    if (!successor) return successor.error();
    if (*successor) return (*successor)->status == IssuerOrderStatus::valid ? std::move(**successor) : refresh(**successor);
    if (since(detail->placed_at) < replacement_grace.count()) {
      order.status = IssuerOrderStatus::processing;
      order.retry_after = not_yet_pause(*detail);
      return order;
    }
  }
  switch (progress->stage) {
    case Stage::issued:
      order.status = IssuerOrderStatus::valid;
      return order;
    case Stage::dead:
      order.status = IssuerOrderStatus::invalid;
      order.problem = Error{ErrorKind::action_required,
                            who() + ": the order " + order.reference + " " + progress->said +
                                "; nothing is ordered again before somebody says evercert renew",
                            std::nullopt, std::make_shared<const Problem>(Problem{order_rejected, "", "", {}})};
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
  const bool patient = since(detail->placed_at) < approval_grace.count();
  if (progress->stage == Stage::people && !patient) return people(std::move(order), *detail, progress->said);
  order.status = IssuerOrderStatus::processing;
  order.retry_after = progress->domains_known ? commercial_working_pause : not_yet_pause(*detail);
  return order;
}

Result<std::optional<IssuerOrder>> CommercialIssuer::successor_of(const IssuerOrder& order, const CommercialDetail& detail,
                                                                  const Progress& progress) {
  const auto moved = [&](const std::string& reference, IssuerOrderStatus status) {
    CommercialDetail fresh = detail;
    fresh.presented = false;
    fresh.checks = 0;
    // It is no order of ours that could be taken back by itself.
    fresh.reissue = true;
    IssuerOrder successor = order;
    successor.reference = reference;
    successor.status = status;
    successor.detail = fresh.text();
    tell("order_moved", LogLevel::notice, detail.certificate, reference,
         "the order " + order.reference + " goes on at " + api_->title() + " under the number " + reference);
    return std::optional<IssuerOrder>(std::move(successor));
  };
  std::vector<std::string> open;
  for (const auto& reference : progress.successors) {
    auto theirs = api_->track(reference);
    if (!theirs) return theirs.error();
    if (theirs->replaced) continue;
    if (theirs->stage == Stage::working || theirs->stage == Stage::people) open.push_back(reference);
    if (theirs->stage != Stage::issued) continue;
    auto pem = api_->download(reference);
    if (!pem && (pem.error().kind == ErrorKind::issuer_refused || is_waiting(pem.error()))) continue;
    if (!pem) return pem.error();
    if (read_chain(*pem, detail.request_key)) return moved(reference, IssuerOrderStatus::valid);
  }
  // One that is open shows no key; where there is only one, its certificate will be compared when it comes.
  if (open.size() == 1) return moved(open.front(), IssuerOrderStatus::pending);
  return std::optional<IssuerOrder>();
}

seconds CommercialIssuer::not_yet_pause(const CommercialDetail& detail) const {
  return std::clamp(seconds(now() - detail.placed_at), commercial_shortest_not_yet, commercial_longest_not_yet);
}

// The request goes along when the order is placed.
Result<IssuerOrder> CommercialIssuer::finalize(const IssuerOrder& order, const Wanted&) {
  return refresh(order);
}

seconds CommercialIssuer::reissue_pause(const CommercialDetail& detail) const {
  return std::clamp(seconds(since(detail.placed_at) / 4), commercial_shortest_not_yet, busy_pause);
}

Result<IssuedCertificate> CommercialIssuer::collect(const IssuerOrder& order) {
  auto detail = detail_of(order);
  if (!detail) return detail.error();
  auto pem = api_->download(order.reference);
  if (!pem) return paid_for(pem.error());
  auto chain = read_chain(*pem, detail->request_key);
  if (!chain) {
    // The order is paid for: what it brought must be looked at by somebody, not ordered again.
    Error error = chain.error().with_prefix(who() + ": the order " + order.reference);
    if (error.kind != ErrorKind::issuer_refused) return error;
    error.kind = ErrorKind::action_required;
    // A CA may hand out the certificate before for a while.
    if (detail->reissue && now() - detail->placed_at < reissue_grace.count()) {
      error = too_early(Error{ErrorKind::issuer_refused, error.message}, reissue_pause(*detail));
    }
    return error;
  }
  // Fetching it from an address in the leaf would hide what visitors of other servers of this CA see.
  if (chain->issuer_names.size() == 1) {
    return Error{ErrorKind::action_required, who() + ": the CA hands out the certificate of the order " + order.reference +
                                                 " without the intermediate that signed it (" + chain->issuer_names.front() +
                                                 "), and clients would refuse it alone; ask the CA, it is asked for again"};
  }
  IssuedCertificate issued = std::move(chain->certificates);
  if (auto facts = leaf_facts(issued.leaf)) {
    const std::int64_t not_before = std::chrono::system_clock::to_time_t(facts->not_before);
    const std::int64_t not_after = std::chrono::system_clock::to_time_t(facts->not_after);
    issued.subscription =
        text_of({order.reference, detail->names, facts->serial, not_before, not_after, std::max(detail->ends, not_after)});
  }
  return issued;
}

Result<Done> CommercialIssuer::abandon(const IssuerOrder& order) {
  // What is dead at the CA needs no cancelling.
  if (order.status == IssuerOrderStatus::invalid) return Done{};
  auto detail = detail_of(order);
  // Cancelling would take back what the order has brought before.
  if (detail && detail->reissue) return Done{};
  const std::string certificate = detail ? detail->certificate : "";
  const auto cancelled = api_->cancel(order.reference, "not wanted any more");
  // It may have to be paid: whoever looks after money should know what is true, not what was asked for.
  const auto progress = api_->track(order.reference);
  const bool gone = progress ? progress->stage == Stage::dead : is_forgotten(progress.error());
  const std::string the_order = who() + ": the order " + order.reference;
  if (gone) {
    tell("order_cancelled", LogLevel::notice, certificate, order.reference, the_order + " was cancelled at the CA");
    return Done{};
  }
  const bool asked = cancelled || cancelled.error().kind == ErrorKind::connection || !progress;
  if (!asked) {
    tell("order_not_cancelled", LogLevel::warn, certificate, order.reference,
         cancelled.error().message + "; the order " + order.reference +
             " goes on there and may have to be paid: look at it in the portal, or take over what it brings with evercert "
             "import "
             "issuer");
    return cancelled;
  }
  if (desk_) desk_->await({OpenRequest::What::cancellation, certificate, order.reference, {}, clock_.now(), {}});
  const std::string why = cancelled ? "and has not done it yet" : "and the answer was lost (" + cancelled.error().message + ")";
  tell("cancellation_requested", LogLevel::warn, certificate, order.reference,
       "the CA was asked to cancel the order " + order.reference + " " + why +
           "; it is looked at until it is true, and the status shows it");
  return Done{};
}

void CommercialIssuer::tell(const char* name, LogLevel level, const std::string& certificate, const std::string& order,
                            const std::string& sentence) {
  const std::string said = sentence.starts_with("issuer ") ? sentence : who() + ": " + sentence;
  events_.tell({name, level, {}, certificate, spec_.name, said, {{"order", order}}});
}

Result<Fulfilment> CommercialIssuer::revoke(BytesView leaf, const Revocation& why, const Secret*) {
  auto facts = leaf_facts(leaf);
  if (!facts) return facts.error();
  const auto asked = api_->revoke(*facts, why.reason, why.comment.empty() ? "revoked by evercert" : why.comment);
  const bool lost = !asked && asked.error().kind == ErrorKind::connection;
  // Its answer may be lost or only say that the request was taken: what the CA shows is what is said.
  const auto state = api_->revocation_of(*facts);
  if (state && *state == Settled::yes) return Fulfilment::done;
  if (!asked && !lost) return asked.error();
  if (lost && state && *state == Settled::no) {
    Error none = asked.error();
    none.message += "; the CA shows no revocation: ask again";
    return none;
  }
  if (lost && !state) {
    Error unknown = asked.error();
    unknown.message += "; whether the certificate is revoked is not known, the CA does not tell (" + state.error().message +
                       "): ask again, that does no harm";
    return unknown;
  }
  if (desk_) {
    desk_->await({OpenRequest::What::revocation, why.certificate, "", Bytes(leaf.begin(), leaf.end()), clock_.now(), {}});
  }
  return Fulfilment::requested;
}

std::unique_ptr<Issuer> make_commercial_issuer(const IssuerSpec& spec, std::unique_ptr<CommercialApi> api,
                                               const IssuerSurroundings& surroundings) {
  return std::make_unique<CommercialIssuer>(spec, std::move(api), surroundings);
}

}  // namespace evercert
