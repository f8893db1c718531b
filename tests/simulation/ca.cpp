#include "simulation/ca.h"

#include <algorithm>

#include "agent/acme/problem.h"
#include "agent/net/http_client.h"
#include "serving/base/encoding.h"
#include "simulation/keys.h"

namespace evercert::simulation {
namespace {

// RFC 8555 section 6.7, and one of no RFC.
const std::vector<std::string>& problem_types() {
  static const std::vector<std::string> types{"accountDoesNotExist",
                                              "alreadyRevoked",
                                              "badCSR",
                                              "badNonce",
                                              "badPublicKey",
                                              "badRevocationReason",
                                              "caa",
                                              "compound",
                                              "connection",
                                              "dns",
                                              "incorrectResponse",
                                              "invalidContact",
                                              "malformed",
                                              "orderNotReady",
                                              "rateLimited",
                                              "rejectedIdentifier",
                                              "serverInternal",
                                              "tls",
                                              "unauthorized",
                                              "unsupportedContact",
                                              "unsupportedIdentifier",
                                              "userActionRequired",
                                              "externalAccountRequired",
                                              "badSignatureAlgorithm",
                                              "thingsHappen"};
  return types;
}

Error no_answer(bool sent) {
  Error error{ErrorKind::connection, sent ? "the CA did not answer in time" : "the CA cannot be reached"};
  if (!sent) error.problem = std::make_shared<const Problem>(Problem{server_unreachable, "", "", {}});
  return error;
}

}  // namespace

class IssuerOfCa : public Issuer {
 public:
  IssuerOfCa(IssuerSpec spec, Ca& ca) : spec_(std::move(spec)), ca_(ca) {}
  [[nodiscard]] const IssuerSpec& spec() const override { return spec_; }
  Result<std::string> test_login() override { return std::string("somebody"); }
  Result<IssuerOrder> place(const Wanted& wanted) override { return ca_.place(wanted); }
  Result<std::optional<IssuerOrder>> find(const Wanted& wanted, const std::vector<std::string>& known) override {
    return ca_.find(wanted, known);
  }
  Result<std::vector<Challenge>> challenges(IssuerOrder& order) override { return ca_.challenges(order); }
  Result<Done> respond(const IssuerOrder& order, const Challenge& challenge) override { return ca_.respond(order, challenge); }
  Result<IssuerOrder> refresh(const IssuerOrder& order) override { return ca_.refresh(order); }
  Result<IssuerOrder> finalize(const IssuerOrder& order, const Wanted& wanted) override { return ca_.finalize(order, wanted); }
  Result<IssuedCertificate> collect(const IssuerOrder& order) override { return ca_.collect(order); }
  Result<Done> abandon(const IssuerOrder& order) override { return ca_.abandon(order); }
  Result<Fulfilment> revoke(BytesView leaf, const Revocation&, const Secret*) override { return ca_.revoke(leaf); }

 private:
  IssuerSpec spec_;
  Ca& ca_;
};

Ca::Ca(IssuerSpec spec, World world) : spec_(std::move(spec)), world_(std::move(world)) {}

std::unique_ptr<Issuer> Ca::issuer(const IssuerSpec& spec) {
  return std::make_unique<IssuerOfCa>(spec, *this);
}

std::string Ca::need_of(const Wanted& wanted) {
  std::vector<std::string> names;
  for (const auto& identifier : wanted.identifiers) names.push_back(identifier.value);
  std::sort(names.begin(), names.end());
  std::string need = wanted.key.algorithm == KeyAlgorithm::rsa ? "RSA" : "ECDSA";
  for (const auto& name : names) need += " " + name;
  return need;
}

// --- the wire ---

std::optional<seconds> Ca::odd_wait() {
  if (!one_in(weather.odd_waits)) return std::nullopt;
  static const std::vector<seconds> waits{seconds(0), seconds(1), seconds(30), hours(1), day * 10, day * 1100};
  return world_.dice.of(waits);
}

Error Ca::refuse(const std::string& action, CaOrder* order, Error error) {
  // Our side may take an order for dead that was refused in the middle.
  const bool dead = error.kind == ErrorKind::issuer_refused || error.kind == ErrorKind::challenge_failed;
  if (order != nullptr && dead) order->told_dead = true;
  world_.history.add(spec_.name, "refuses", [&] {
    return action + " of " + (order == nullptr ? "an order" : order->reference) + ", " + to_string(error.kind) + ": " +
           error.message +
           (error.retry_after ? " (retry after " + std::to_string(error.retry_after->count()) + " s)" : std::string());
  });
  world_.refused(*this, action, order, error);
  return error;
}

std::optional<Error> Ca::begin(const std::string& action, CaOrder* order) {
  // Others may place what they need in between.
  const std::string placing = placing_;
  world_.on_wire(action, false);
  placing_ = placing;
  if (weather.down || one_in(weather.lost_requests)) {
    world_.history.add(spec_.name, "is not reached", [&] { return action; });
    world_.refused(*this, action, order, no_answer(false));
    return no_answer(weather.down ? false : world_.dice.once_in(2));
  }
  world_.asked(*this, action, order);
  world_.history.add(spec_.name, "is asked", [&] { return action + (order == nullptr ? "" : " " + order->reference); });
  if (one_in(weather.limits)) {
    return refuse(action, order,
                  {ErrorKind::rate_limited, "too many requests", odd_wait().value_or(hours(1)),
                   std::make_shared<const Problem>(Problem{"urn:ietf:params:acme:error:rateLimited", "", "", {}})});
  }
  if (one_in(weather.refusals)) {
    const Problem problem{"urn:ietf:params:acme:error:" + world_.dice.of(problem_types()), "it says so", "", {}};
    const int status = world_.dice.once_in(3) ? 500 : 403;
    return refuse(
        action, order,
        {kind_of(problem, ProblemOf::request, status), problem.type, odd_wait(), std::make_shared<const Problem>(problem)});
  }
  return std::nullopt;
}

std::optional<Error> Ca::end(const std::string& action, CaOrder*) {
  world_.on_wire(action, true);
  if (!one_in(weather.lost_answers)) return std::nullopt;
  world_.history.add(spec_.name, "is not heard", [&] { return action; });
  return no_answer(true);
}

// --- orders ---

CaOrder* Ca::known(const IssuerOrder& order) {
  const auto found = orders_.find(order.reference);
  if (found == orders_.end()) return nullptr;
  if (!found->second.gone && one_in(weather.forgets)) {
    found->second.gone = true;
    world_.history.add(spec_.name, "forgets", [&] { return order.reference; });
  }
  return found->second.gone ? nullptr : &found->second;
}

Error Ca::forgotten(const std::string& action) {
  return refuse(action, nullptr,
                {ErrorKind::issuer_refused, "no such order", std::nullopt,
                 std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}})});
}

Result<IssuerOrder> Ca::place(const Wanted& wanted) {
  placing_ = need_of(wanted);
  if (auto fault = begin("place", nullptr)) return *fault;
  world_.placed(*this, wanted);
  CaOrder order;
  order.reference = spec_.name + "/" + std::to_string(next_order_++);
  order.wanted = wanted;
  order.need = need_of(wanted);
  order.placed_at = world_.times.now;
  for (const auto& identifier : wanted.identifiers) {
    const auto valid = validated_.find(identifier.value);
    if (valid == validated_.end() || valid->second < world_.times.now) order.unproved.push_back(identifier.value);
  }
  if (one_in(weather.people)) {
    order.people_until = world_.times.now + world_.dice.between(minutes(1), day * 3);
  }
  if (order.unproved.empty()) order.status = IssuerOrderStatus::ready;
  order.ready_at = world_.times.now;
  CaOrder& kept = orders_[order.reference] = std::move(order);
  world_.history.add(spec_.name, "takes an order", [&] { return kept.reference + " for " + kept.need; });
  IssuerOrder said = told(kept);
  if (auto fault = end("place", &kept)) return *fault;
  return said;
}

Result<std::optional<IssuerOrder>> Ca::find(const Wanted& wanted, const std::vector<std::string>& known_orders) {
  if (auto fault = begin("find", nullptr)) return *fault;
  std::optional<IssuerOrder> found;
  for (auto& [reference, order] : orders_) {
    if (order.gone || order.wanted.reference != wanted.reference) continue;
    if (std::find(known_orders.begin(), known_orders.end(), reference) != known_orders.end()) continue;
    found = told(order);
  }
  if (auto fault = end("find", nullptr)) return *fault;
  return found;
}

Result<std::vector<Challenge>> Ca::challenges(IssuerOrder& asked) {
  CaOrder* const order = known(asked);
  if (auto fault = begin("challenges", order)) return *fault;
  if (order == nullptr) return forgotten("challenges");
  std::vector<Challenge> open;
  order->handed_out = true;
  const IssuerOrder now = told(*order);
  if (now.status != IssuerOrderStatus::pending) {
    asked.status = now.status;
    asked.problem = now.problem;
  } else {
    for (const auto& name : order->unproved) {
      std::string token = "token-" + order->reference + "-" + name;
      std::replace_if(
          token.begin(), token.end(), [](char letter) { return letter == '/' || letter == '.' || letter == '*'; }, '_');
      open.push_back({ChallengeKind::http_01, {IdentifierKind::dns, name}, token, token + ".print", order->reference});
    }
  }
  if (auto fault = end("challenges", order)) return *fault;
  return open;
}

void Ca::validate(CaOrder& order, const std::string& name, const std::string& token) {
  const auto answer = world_.ask_server({IdentifierKind::dns, name}, token);
  const bool good = answer == token + ".print" && !one_in(weather.failing);
  world_.history.add(spec_.name, good ? "has validated" : "could not validate",
                     [&] { return name + " for " + order.reference; });
  if (!good) {
    order.failed_name = name;
    order.status = IssuerOrderStatus::invalid;
    order.problem = Error{ErrorKind::challenge_failed, name + " could not be validated", std::nullopt,
                          std::make_shared<const Problem>(Problem{"urn:ietf:params:acme:error:unauthorized", "", "", {}})};
    return;
  }
  std::erase(order.unproved, name);
  validated_[name] = world_.times.now + day * static_cast<int>(world_.dice.below(30));
}

Result<Done> Ca::respond(const IssuerOrder& asked, const Challenge& challenge) {
  CaOrder* const order = known(asked);
  if (auto fault = begin("respond", order)) return *fault;
  if (order == nullptr) return forgotten("respond");
  if (order->status == IssuerOrderStatus::pending) {
    validate(*order, challenge.identifier.value, challenge.token);
    if (order->status == IssuerOrderStatus::pending && order->unproved.empty()) {
      order->status = IssuerOrderStatus::ready;
      order->ready_at = world_.times.now + world_.dice.between(milliseconds(10), seconds(20));
    }
  }
  if (auto fault = end("respond", order)) return *fault;
  return Done{};
}

IssuerOrder Ca::told(CaOrder& order) {
  IssuerOrder said;
  said.reference = order.reference;
  said.status = order.status;
  said.problem = order.problem;
  const Time now = world_.times.now;
  // RFC 8555 section 7.1.6: what is not finished in time is over.
  const bool unfinished = order.status == IssuerOrderStatus::pending || order.status == IssuerOrderStatus::ready;
  if (unfinished && now > order.placed_at + day * 7) {
    said.status = order.status = IssuerOrderStatus::invalid;
    said.problem = order.problem = Error{ErrorKind::issuer_refused, "the order has expired"};
  }
  if (order.status == IssuerOrderStatus::ready && now < order.ready_at) said.status = IssuerOrderStatus::pending;
  if (order.status == IssuerOrderStatus::processing && now >= order.valid_at) {
    order.leaf = sign(order);
    said.status = order.status = IssuerOrderStatus::valid;
  }
  const bool alive = said.status != IssuerOrderStatus::invalid && said.status != IssuerOrderStatus::valid;
  if (alive && order.people_until && now < *order.people_until) {
    said.status = IssuerOrderStatus::waiting_for_people;
    said.problem = Error{ErrorKind::action_required, "somebody must approve the order"};
  }
  if (said.status == IssuerOrderStatus::invalid) {
    // What our side is never told it cannot count.
    if (!order.told_dead && !order.failed_name.empty()) world_.not_validated(*this, order.failed_name);
    order.told_dead = true;
  }
  said.authorize_again = said.status == IssuerOrderStatus::pending && order.status == said.status && !order.handed_out;
  said.retry_after = odd_wait();
  return said;
}

Result<IssuerOrder> Ca::refresh(const IssuerOrder& asked) {
  CaOrder* const order = known(asked);
  if (auto fault = begin("refresh", order)) return *fault;
  if (order == nullptr) return forgotten("refresh");
  IssuerOrder said = told(*order);
  const auto before = said_before_.find(order->reference);
  if (before != said_before_.end() && one_in(weather.stale)) {
    world_.history.add(spec_.name, "says again", [&] { return order->reference + " is " + to_string(before->second.status); });
    said = before->second;
  }
  said_before_[order->reference] = said;
  if (auto fault = end("refresh", order)) return *fault;
  return said;
}

Result<IssuerOrder> Ca::finalize(const IssuerOrder& asked, const Wanted& wanted) {
  CaOrder* const order = known(asked);
  if (auto fault = begin("finalize", order)) return *fault;
  if (order == nullptr) return forgotten("finalize");
  if (told(*order).status == IssuerOrderStatus::ready && !weather.never_ready) {
    order->wanted.request = wanted.request;
    order->status = IssuerOrderStatus::processing;
    order->valid_at = world_.times.now + world_.dice.between(milliseconds(5), std::max<milliseconds>(weather.slow, seconds(3)));
  }
  IssuerOrder said = told(*order);
  if (auto fault = end("finalize", order)) return *fault;
  return said;
}

Result<IssuedCertificate> Ca::collect(const IssuerOrder& asked) {
  CaOrder* const order = known(asked);
  if (auto fault = begin("collect", order)) return *fault;
  if (order == nullptr) return forgotten("collect");
  if (order->status != IssuerOrderStatus::valid)
    return refuse("collect", order, {ErrorKind::issuer_refused, "it is not issued"});
  if (auto fault = end("collect", order)) return *fault;
  order->collected = true;
  return IssuedCertificate{order->leaf, {}, ""};
}

Result<Done> Ca::abandon(const IssuerOrder& asked) {
  if (const auto found = orders_.find(asked.reference); found != orders_.end()) found->second.abandoned = true;
  CaOrder* const order = known(asked);
  if (auto fault = begin("abandon", order)) return *fault;
  if (auto fault = end("abandon", order)) return *fault;
  return Done{};
}

Result<Fulfilment> Ca::revoke(BytesView leaf) {
  if (auto fault = begin("revoke", nullptr)) return *fault;
  const auto found = leaves_.find(sha256(leaf));
  if (found == leaves_.end()) return refuse("revoke", nullptr, {ErrorKind::issuer_refused, "no such certificate"});
  found->second.revoked = true;
  if (auto fault = end("revoke", nullptr)) return *fault;
  return Fulfilment::done;
}

}  // namespace evercert::simulation
