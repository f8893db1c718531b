#include "agent/commercial/rest_api.h"

#include <algorithm>

#include "agent/commercial/offers.h"
#include "agent/net/address.h"

namespace evercert {
namespace {

constexpr int unauthorized = 401;
constexpr int forbidden = 403;
constexpr int no_such_place = 404;
constexpr std::chrono::minutes believable_gap{2};

}  // namespace

RestApi::RestApi(IssuerSpec spec, std::unique_ptr<HttpClient> http, const Clock& clock, RefusalRemedies remedies)
    : spec_(std::move(spec)), rest_(spec_, std::move(http), clock, {&spec_.purchase.secret}), remedies_(remedies) {}

void RestApi::join(std::shared_ptr<AccountGate> gate, std::stop_token stop) {
  gate_ = std::move(gate);
  stop_ = std::move(stop);
}

Result<RestAnswer> RestApi::ask(const RestRequest& request) {
  const bool order = request.effect == RestRequest::Effect::places;
  for (bool again = false;; again = true) {
    if (gate_) {
      if (auto in = gate_->enter(order, stop_); !in) return in.error().with_prefix(rest_.who() + " did not " + request.what);
    }
    auto ready = signed_request(request);
    if (!ready) {
      if (gate_) gate_->lost(order);
      return ready.error();
    }
    auto answer = rest_.send(*ready);
    if (answer) {
      if (gate_) gate_->passed(order);
      return answer;
    }
    Error error = answer.error();
    if (error.kind == ErrorKind::rate_limited) {
      slow_down(error, false);
    } else if (gate_) {
      gate_->lost(order);
    }
    if (again || !has_ended(error) || request.effect != RestRequest::Effect::reads) return error;
  }
}

void RestApi::slow_down(Error& error, bool orders_only) {
  if (!gate_) return;
  error.retry_after = gate_->refused(orders_only, error.retry_after, std::chrono::steady_clock::now());
}

Result<Json> RestApi::get(const RestRequest& request) {
  auto answer = ask(request);
  if (!answer) return answer.error();
  if (!succeeded(*answer)) return failed(*answer, request.what);
  return std::move(answer->json);
}

Result<Done> RestApi::tell(RestRequest request) {
  request.effect = RestRequest::Effect::changes;
  auto answer = get(request);
  if (!answer) return answer.error();
  return Done{};
}

RefusalCause RestApi::cause_of(const Refusal&) const {
  return RefusalCause::other;
}

Error RestApi::failed(const RestAnswer& answer, const std::string& what) {
  const Refusal refusal = refusal_in(answer);
  std::string said = answer.good() ? "" : "HTTP status " + std::to_string(answer.status);
  const bool told = refusal.said.find(refusal.code) != std::string::npos;
  for (const std::string& part : {told ? std::string() : refusal.code, refusal.said}) {
    if (!part.empty() && said.find(part) == std::string::npos) said += (said.empty() ? "" : " ") + part;
  }
  if (said.empty()) said = "its answer does not say whether it succeeded";
  Error error = rest_.refused(ErrorKind::issuer_refused, what, said);
  error.problem = std::make_shared<const Problem>(Problem{refusal.code, rest_.quoted(refusal.said), "", {}});
  // What is not found without a word of what it is, or as a route, is the place itself.
  if (answer.status == no_such_place && (contains_word(refusal.code, "route") ||
                                         (refusal.code.empty() && (refusal.said.empty() || refusal.said == "Not Found")))) {
    error.kind = ErrorKind::connection;
    error.message += "; there is no such interface at " + origin_of(spec_.uri) + ": check uri";
    error.problem = std::make_shared<const Problem>(Problem{not_the_interface, rest_.quoted(refusal.said), "", {}});
    return error;
  }
  RefusalCause cause = cause_of(refusal);
  if (cause == RefusalCause::other && (answer.status == unauthorized || answer.status == forbidden)) {
    cause = RefusalCause::login;
  }
  // What looks like a wrong secret may be a wrong clock.
  const bool by_time = cause == RefusalCause::login || (cause == RefusalCause::other && may_be_the_clock(refusal));
  if (by_time && answer.clock_gap && std::chrono::abs(*answer.clock_gap) > believable_gap) {
    error.kind = ErrorKind::action_required;
    error.message += "; the clocks of this machine and of the CA are " +
                     std::to_string(std::chrono::abs(*answer.clock_gap).count()) + " s apart: set this machine's clock";
    return error;
  }
  switch (cause) {
    case RefusalCause::other:
      name_shortage(error, refusal.code + " " + refusal.said);
      if (error.kind == ErrorKind::rate_limited) slow_down(error, false);
      break;
    case RefusalCause::passing:
      error.kind = ErrorKind::connection;
      break;
    case RefusalCause::login:
      error.kind = ErrorKind::action_required;
      error.message += std::string("; ") + remedies_.login;
      break;
    case RefusalCause::settings:
      error.kind = ErrorKind::action_required;
      error.message += std::string("; ") + remedies_.settings;
      break;
    case RefusalCause::money:
      error.kind = ErrorKind::action_required;
      error.message += "; fill up the account at the CA";
      break;
  }
  return error;
}

Error RestApi::nameless(const std::string& what) const {
  return rest_.refused(ErrorKind::connection, what, "it names no order, so it is not known whether there is an order");
}

Result<std::string> RestApi::reason_word(int reason, const char* RevocationReason::*column) const {
  std::string taken;
  for (const auto& row : revocation_reasons) {
    if (row.*column == nullptr) continue;
    if (row.number == reason) return std::string(row.*column);
    taken += (taken.empty() ? "" : ", ") + std::string(row.name);
  }
  return Error{ErrorKind::configuration, rest_.who() + " takes only the reasons " + taken + "; say one of them"};
}

Result<std::string> CommercialApi::reissue(const Subscription& subscription, const Wanted&) {
  return Error{ErrorKind::issuer_refused, title() + " cannot reissue the order " + subscription.order};
}

Result<std::optional<std::string>> CommercialApi::find_reissue(const Subscription&, const Wanted&,
                                                               const std::vector<std::string>&) {
  return std::optional<std::string>();
}

std::string code_of(const Error& error) {
  return error.problem ? error.problem->type : "";
}

Error forgotten(Error error) {
  error.kind = ErrorKind::issuer_refused;
  error.problem = std::make_shared<const Problem>(Problem{order_forgotten, "", "", {}});
  return error;
}

Error paid_for(Error error) {
  if (error.kind == ErrorKind::issuer_refused) error.kind = ErrorKind::action_required;
  return error;
}

Error too_early(Error error, std::chrono::seconds pause) {
  if (error.kind != ErrorKind::issuer_refused) return error;
  error.kind = ErrorKind::rate_limited;
  error.retry_after = pause;
  error.problem = std::make_shared<const Problem>(Problem{issuer_not_yet, error.problem ? error.problem->detail : "", "", {}});
  return error;
}

bool is_among(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace evercert
