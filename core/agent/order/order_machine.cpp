#include "agent/order/order_machine.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "agent/net/http_client.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

// How far an order has come by the CA's own word. `responded`: whether we have said that the challenges are ready.
OrderState state_by(IssuerOrderStatus status, bool responded) {
  switch (status) {
    case IssuerOrderStatus::pending:
      return responded ? OrderState::pending : OrderState::placed;
    case IssuerOrderStatus::ready:
      return OrderState::ready;
    case IssuerOrderStatus::processing:
    case IssuerOrderStatus::waiting_for_people:
      return OrderState::processing;
    case IssuerOrderStatus::valid:
      return OrderState::valid;
    case IssuerOrderStatus::invalid:
      return OrderState::invalid;
  }
  return OrderState::invalid;
}

// A request whose sender was killed may still be on its way to the CA, or in the making there.
constexpr std::chrono::seconds until_settled{2};

// A record that spreads is looked for this often.
constexpr std::chrono::seconds look_again{1};

// "http-01=2,dns-01=1"
std::string challenge_counts(const std::vector<Challenge>& challenges) {
  std::map<std::string, unsigned> kinds;
  for (const auto& challenge : challenges) ++kinds[to_string(challenge.kind)];
  std::string text;
  for (const auto& [kind, number] : kinds) text += (text.empty() ? "" : ",") + kind + "=" + std::to_string(number);
  return text;
}

// Those whose names the CA complains of; all where it names none of them.
std::vector<Challenge> failed_of(const std::vector<Challenge>& challenges, const Error& error) {
  std::set<std::string> names;
  if (error.problem) {
    for (const auto& part : error.problem->subproblems) names.insert(part.identifier);
  }
  std::vector<Challenge> failed;
  for (const auto& challenge : challenges) {
    if (names.contains(challenge.identifier.value) || names.contains("*." + challenge.identifier.value))
      failed.push_back(challenge);
  }
  return failed.empty() ? challenges : failed;
}

bool order_is_dead(ErrorKind kind) {
  return kind == ErrorKind::issuer_refused || kind == ErrorKind::challenge_failed;
}

std::string names_of(const std::vector<Identifier>& identifiers) {
  std::string text;
  for (const auto& identifier : identifiers) text += (text.empty() ? "" : ", ") + identifier.value;
  return text;
}

}  // namespace

struct OrderMachine::Step {
  using Action = Result<StepResult> (OrderMachine::*)();
  OrderState from;
  const char* name;
  Action action;
  const char* outside;      // what anybody else can see of it
  const char* written;      // what is on disk before
  const char* after_crash;  // what a process that finds this state does first
  std::vector<std::pair<OrderState, Course>> to;

  static const std::vector<Step>& table();
};

const std::vector<OrderMachine::Step>& OrderMachine::Step::table() {
  using enum OrderState;
  using enum Course;
  static const std::vector<Step> steps{
      {planned,
       "place",
       &OrderMachine::place,
       "newOrder",
       "key, request and `placing`, fsynced",
       "places",
       {{placed, onward}, {ready, onward}, {processing, waits}, {valid, onward}, {invalid, onward}, {placing, waits}}},
      {placing,
       "look for",
       &OrderMachine::look_for,
       "asks the CA for an order of ours that it may know",
       "nothing new",
       "looks for it; places only if there is still none after two seconds",
       {{placed, onward},
        {ready, onward},
        {processing, waits},
        {valid, onward},
        {invalid, onward},
        {placing, waits},
        {planned, setback}}},
      {placed,
       "authorize",
       &OrderMachine::authorize,
       "reads the authorizations, presents every open challenge",
       "the CA's reference, fsynced",
       "authorizes",
       {{presented, onward}, {pending, onward}, {processing, waits}, {invalid, onward}}},
      {presented,
       "respond",
       &OrderMachine::respond,
       "tells the CA of one challenge, once its answer can be seen everywhere",
       "`placed`",
       "authorizes again",
       {{presented, each_challenge}, {presented, waits}, {pending, waits}, {invalid, onward}}},
      {pending,
       "poll",
       &OrderMachine::refresh,
       "asks for the order",
       "`placed`",
       "authorizes: what is validated needs nothing more",
       {{pending, waits}, {ready, onward}, {processing, waits}, {valid, onward}, {invalid, onward}, {placed, setback}}},
      {ready,
       "finalize",
       &OrderMachine::finalize,
       "finalize with the request",
       "`placed`, with key and request",
       "authorizes, then polls",
       {{processing, waits}, {valid, onward}, {invalid, onward}, {finalizing, waits}, {ready, setback}, {placed, setback}}},
      {finalizing,
       "poll",
       &OrderMachine::refresh,
       "asks for the order",
       "`placed`",
       "authorizes, then polls: the CA says whether it has the request",
       {{processing, waits}, {valid, onward}, {invalid, onward}, {ready, setback}, {placed, setback}}},
      {processing,
       "poll",
       &OrderMachine::refresh,
       "asks for the order",
       "`placed`",
       "authorizes, then polls",
       {{processing, waits}, {valid, onward}, {invalid, onward}, {ready, setback}, {pending, setback}, {placed, setback}}},
      {valid,
       "collect",
       &OrderMachine::collect,
       "downloads the certificate",
       "`placed`",
       "polls and downloads it again, unless the newest bundle has it",
       {{issued, onward}, {invalid, onward}}},
      {invalid,
       "abandon",
       &OrderMachine::abandon,
       "deactivates the open authorizations",
       "`invalid` and why",
       "abandons",
       {{failed, onward}}},
  };
  return steps;
}

OrderMachine::OrderMachine(Parts parts, const CertificateSpec& certificate, const KeySpec& key, std::vector<std::string> known,
                           std::map<std::string, std::string> subscriptions)
    : parts_(parts) {
  record_.certificate = certificate.name;
  record_.identifiers = certificate.identifiers;
  record_.key = key;
  record_.issuer = parts.issuer.spec().name;
  record_.issuer_uri = parts.issuer.spec().uri;
  record_.our_reference = to_hex(random_bytes(16));
  record_.known = std::move(known);
  record_.subscriptions = std::move(subscriptions);
  record_.history.push_back({parts.clock.now(), OrderState::planned});
}

OrderMachine::OrderMachine(Parts parts, OrderRecord record) : parts_(parts), record_(std::move(record)) {
  // Whoever placed it may have been killed just now.
  if (record_.is_doubtful()) pass(OrderState::placing);
}

void OrderMachine::follow(const OrderRecord& unplaced) {
  record_.our_reference = unplaced.our_reference;
  record_.private_key = unplaced.private_key;
  record_.key_reference = unplaced.key_reference;
  record_.request = unplaced.request;
}

const OrderMachine::Step* OrderMachine::step_from(OrderState state) {
  for (const auto& step : Step::table()) {
    if (step.from == state) return &step;
  }
  return nullptr;
}

Result<StepResult> OrderMachine::step() {
  if (unwritten_) {
    if (auto written = write(*unwritten_); !written) return written.error();
  }
  const Step* step = step_from(record_.state);
  if (step == nullptr) return StepResult{Wait::ended};
  const OrderState before = record_.state;
  const std::size_t answered = responded_;
  auto result = (this->*step->action)();
  if (!result) {
    ++record_.attempts;
    return result;
  }
  if (result->wait == Wait::ended) return result;
  const bool next_challenge = record_.state == before && responded_ > answered;
  const bool at_once = result->wait == Wait::none && !next_challenge;
  const Course course = course_of(*step, record_.state);
  if (course == Course::setback || (at_once && course != Course::onward)) return set_back(before);
  return result;
}

// Where there are two ways the slower one: the faster is recognised by what it did.
Course OrderMachine::course_of(const Step& step, OrderState to) {
  Course course = Course::setback;
  for (const auto& [state, cost] : step.to) {
    if (state == to) course = cost;
  }
  return course;
}

Result<StepResult> OrderMachine::set_back(OrderState from) {
  ++record_.setbacks;
  if (auto written = write(Durability::process); !written) return written.error();
  constexpr unsigned worth_a_line = 3;
  if (record_.setbacks == worth_a_line) {
    tell("order_set_back", LogLevel::warn,
         "the CA keeps the order for " + names_of(record_.identifiers) + " from getting on: it went from " + to_string(from) +
             " to " + to_string(record_.state) + ", the " + std::to_string(worth_a_line) +
             "rd time that it went back or stood still; it is asked ever more rarely");
  }
  return StepResult{Wait::setback};
}

// --- the steps ---

Result<StepResult> OrderMachine::place() {
  if (auto prepared = prepare(); !prepared) return prepared.error();
  if (parts_.issuer.spec().is_paid())
    record_.purchase = parts_.records.last_purchase(record_.certificate, record_.key.algorithm).number + 1;
  // From here on the CA may know the order: a crash must find that out before anything is placed.
  if (auto entered = enter(OrderState::placing, Durability::power); !entered) {
    record_.state = OrderState::planned;
    unwritten_.reset();
    return entered.error();
  }
  auto order = parts_.issuer.place(record_.wanted());
  if (!order) {
    const Error& error = order.error();
    const bool unsent = error.problem && error.problem->type == server_unreachable;
    // No answer, or one that makes no sense: the order may exist, so the state stays `placing`.
    if (!unsent && (error.kind == ErrorKind::connection || error.kind == ErrorKind::internal)) return error;
    if (auto entered = enter(OrderState::planned, Durability::process); !entered) return entered.error();
    return error;
  }
  return adopt(std::move(order).value(), Durability::power);
}

Result<StepResult> OrderMachine::look_for() {
  auto found = parts_.issuer.find(record_.wanted(), record_.known);
  if (!found) return found.error();
  if (*found) {
    // Whatever the record was put back from, this is the last that was placed.
    const LastPurchase last = parts_.records.last_purchase(record_.certificate, record_.key.algorithm);
    if (parts_.issuer.spec().is_paid()) record_.purchase = std::max(record_.purchase, last.number + (last.open ? 0 : 1));
    return adopt(std::move(**found), Durability::power);
  }
  const auto passed = record_.history.empty() ? until_settled : parts_.clock.now() - record_.history.back().at;
  if (passed >= std::chrono::seconds(0) && passed < until_settled) {
    return StepResult{Wait::issuance, std::chrono::seconds(1)};
  }
  if (auto entered = enter(OrderState::planned, Durability::process); !entered) return entered.error();
  return StepResult{};
}

Result<StepResult> OrderMachine::authorize() {
  auto challenges = parts_.issuer.challenges(*record_.order);
  if (!challenges) return refused(challenges.error());
  for (const auto& challenge : *challenges) {
    if (auto presented = parts_.solver.present(challenge); !presented) {
      return refused(
          presented.error().with_prefix("the challenge for " + challenge.identifier.value + " could not be presented"));
    }
  }
  // What an earlier way of proving laid out is of no use any more.
  for (const auto& before : record_.challenges) {
    const bool kept = std::any_of(challenges->begin(), challenges->end(), [&](const Challenge& now) {
      return now.kind == before.kind && now.token == before.token && now.answer == before.answer;
    });
    if (!kept) static_cast<void>(parts_.solver.clean_up(before).has_value());
  }
  record_.challenges = std::move(challenges).value();
  responded_ = 0;
  const auto status = record_.order->status;
  if (status == IssuerOrderStatus::processing || status == IssuerOrderStatus::waiting_for_people) {
    return adopt(*record_.order, Durability::process);
  }
  // Every authorization is valid already (the CA remembers an earlier one): only the order's own state is to be asked for.
  const bool none = record_.challenges.empty();
  pass(none ? OrderState::pending : OrderState::presented);
  if (!none)
    tell("challenge_presented", LogLevel::info, "the challenges for " + names_of(record_.identifiers) + " can be asked for");
  return StepResult{};
}

Result<StepResult> OrderMachine::respond() {
  if (responded_ < record_.challenges.size()) {
    const Challenge& challenge = record_.challenges[responded_];
    auto visible = parts_.solver.visible(challenge);
    if (!visible) return refused(visible.error());
    if (!*visible) return StepResult{Wait::answers, look_again};
    auto told = parts_.issuer.respond(*record_.order, challenge);
    // RFC 8555 section 7.5.1: a challenge that is under way or done may be refused; the order then says what became of it.
    if (!told && !order_is_dead(told.error().kind)) return told.error();
    ++responded_;
  }
  if (responded_ < record_.challenges.size()) return StepResult{};
  pass(OrderState::pending);
  return StepResult{Wait::validation};
}

Result<StepResult> OrderMachine::refresh() {
  auto order = parts_.issuer.refresh(*record_.order);
  if (!order) return refused(order.error());
  return adopt(std::move(order).value(), Durability::process);
}

Result<StepResult> OrderMachine::finalize() {
  if (record_.private_key.empty() && record_.key_reference.empty()) {
    return refused(Error{ErrorKind::issuer_refused, "the record of the order for " + record_.certificate + " holds no key"});
  }
  pass(OrderState::finalizing);
  auto order = parts_.issuer.finalize(*record_.order, record_.wanted());
  if (!order) return refused(order.error());
  const bool taken = order->status != IssuerOrderStatus::ready && order->status != IssuerOrderStatus::pending;
  if (taken) tell("finalized", LogLevel::info, "the request for " + record_.certificate + " is at the CA");
  return adopt(std::move(order).value(), Durability::process);
}

Result<StepResult> OrderMachine::collect() {
  if (record_.issued) {
    StepResult kept{Wait::ended};
    kept.issued = record_.issued;
    return kept;
  }
  auto issued = parts_.issuer.collect(*record_.order);
  if (!issued && is_paid_for(issued.error())) {
    Error kept = issued.error();
    kept.kind = ErrorKind::action_required;
    kept.message += "; it is issued and paid for, so that nothing is ordered in its place: ask the CA, or cancel it and renew";
    return kept;
  }
  if (!issued) return refused(issued.error());
  // What the order may still bring is paid for: it is on disk before the certificate is anywhere.
  if (!issued->subscription.empty() && record_.subscriptions[record_.issuer_uri] != issued->subscription) {
    record_.subscriptions[record_.issuer_uri] = issued->subscription;
    if (auto written = write(Durability::process); !written) return written.error();
  }
  tell("issued", LogLevel::info, "the CA issued the certificate for " + names_of(record_.identifiers));
  StepResult result{Wait::ended};
  result.issued = std::move(issued).value();
  return result;
}

// Refused is what has been issued, and neither the CA nor a person there says that the order is over.
bool OrderMachine::is_paid_for(const Error& refusal) const {
  const bool over = is_forgotten(refusal) || (refusal.problem && refusal.problem->type == order_rejected);
  return order_is_dead(refusal.kind) && !over && parts_.issuer.spec().is_paid();
}

Result<StepResult> OrderMachine::abandon() {
  // Giving up is a courtesy to the CA: when it fails the authorizations expire by themselves.
  const bool forgotten = record_.problem && is_forgotten(*record_.problem);
  if (record_.problem && record_.problem->kind == ErrorKind::challenge_failed && !record_.challenges.empty())
    tell("challenges_failed", LogLevel::info, "not every name of " + record_.certificate + " could be validated",
         {{"challenges", challenge_counts(failed_of(record_.challenges, *record_.problem))}});
  if (auto looked = look_for_unanswered(); !looked) return looked.error();
  if (record_.order && !forgotten) {
    const auto abandoned = parts_.issuer.abandon(*record_.order);
    // It goes on there and may have to be paid: whether there is to be a second one is for a person to say.
    if (!abandoned && parts_.issuer.spec().is_paid() && record_.problem && record_.problem->kind == ErrorKind::configuration)
      record_.problem = Error{ErrorKind::action_required,
                              "the order " + record_.order->reference +
                                  " is not wanted any more, and the CA does not cancel it (" + abandoned.error().message +
                                  "): look at it there; evercert renew " + record_.certificate + " orders what is wanted now",
                              std::nullopt, std::make_shared<const Problem>(Problem{order_rejected, "", "", {}})};
  }
  for (const auto& challenge : record_.challenges) static_cast<void>(parts_.solver.clean_up(challenge).has_value());
  if (record_.order) record_.known.push_back(record_.order->reference);
  record_.private_key.wipe();
  record_.challenges.clear();
  record_.issued.reset();
  if (auto entered = enter(OrderState::failed, Durability::process); !entered) return entered.error();
  return StepResult{Wait::ended};
}

// What was placed without an answer may be there, to be given up as well. Where it costs money that is found out first; else it
// ends by itself.
Result<Done> OrderMachine::look_for_unanswered() {
  const bool placed = std::any_of(record_.history.begin(), record_.history.end(),
                                  [](const auto& mark) { return mark.state == OrderState::placing; });
  if (record_.order || !placed || record_.request.empty()) return Done{};
  auto found = parts_.issuer.find(record_.wanted(), record_.known);
  if (found && *found) record_.order = std::move(**found);
  if (!found && parts_.issuer.spec().is_paid()) return found.error();
  return Done{};
}

// --- what they share ---

Result<Done> OrderMachine::prepare() {
  if (!record_.request.empty()) return Done{};
  auto key = parts_.keys.generate(record_.key);
  if (!key) return key.error();
  auto request = make_request(*key, record_.identifiers, parts_.issuer.spec().common_name_in_csr);
  if (!request) return request.error();
  record_.private_key = std::move(key->bytes);
  record_.key_reference = std::move(key->reference);
  record_.request = std::move(request).value();
  return Done{};
}

Result<StepResult> OrderMachine::adopt(IssuerOrder order, Durability durability) {
  const bool placed_now = !record_.order;
  const bool responded =
      !order.authorize_again && (record_.state == OrderState::pending || record_.state == OrderState::processing);
  StepResult result;
  result.retry_after = order.retry_after;
  const OrderState next = state_by(order.status, responded);
  if (order.status == IssuerOrderStatus::waiting_for_people) {
    result.wait = Wait::people;
  } else if (next == OrderState::processing) {
    result.wait = Wait::issuance;
  } else if (next == OrderState::pending) {
    result.wait = Wait::validation;
  }
  // What people had to do is done once the CA does not say so any more.
  if (order.problem || next != OrderState::invalid) record_.problem = order.problem;
  if (next == OrderState::invalid && !record_.problem) {
    record_.problem = Error{ErrorKind::issuer_refused, "the CA declared the order invalid without saying why"};
  }
  const bool same = record_.order && record_.state == next && record_.order->detail == order.detail;
  record_.order = std::move(order);
  // Once the reference is on disk the CA knows the rest: a process that finds `placed` asks it and goes on from there.
  if (placed_now || next == OrderState::invalid) {
    if (auto entered = enter(next, durability); !entered) return entered.error();
  } else if (!same) {
    pass(next);
    // People may take days: who must do what, and since when, is to survive a restart.
    if (result.wait == Wait::people) {
      if (auto written = write(durability); !written) return written.error();
    }
  }
  if (placed_now) tell("order_placed", LogLevel::info, "an order for " + names_of(record_.identifiers) + " was placed");
  if (!same && next == OrderState::ready)
    tell("order_ready", LogLevel::info, "every name of " + record_.certificate + " is validated",
         {{"challenges", challenge_counts(record_.challenges)}});
  return result;
}

// The CA refused in the middle of an order: it is dead. Anything else leaves the state for another try.
Result<StepResult> OrderMachine::refused(const Error& error) {
  if (!order_is_dead(error.kind)) return error;
  record_.problem = error;
  if (auto entered = enter(OrderState::invalid, Durability::process); !entered) return entered.error();
  return StepResult{};
}

void OrderMachine::pass(OrderState state) {
  if (record_.state != state) {
    constexpr std::size_t remembered = 32;
    // When the order began is never forgotten.
    if (record_.history.size() >= remembered) record_.history.erase(record_.history.begin() + 1);
    record_.history.push_back({parts_.clock.now(), state});
  }
  record_.state = state;
}

Result<Done> OrderMachine::enter(OrderState state, Durability durability) {
  pass(state);
  return write(durability);
}

Result<Done> OrderMachine::write(Durability durability) {
  unwritten_ = durability;
  auto saved = parts_.records.save(record_, durability);
  if (saved) unwritten_.reset();
  return saved;
}

Result<Done> OrderMachine::give_up(const Error& why) {
  record_.problem = why;
  return enter(OrderState::invalid, Durability::process);
}

Result<Done> OrderMachine::keep(IssuedCertificate issued) {
  record_.issued = std::move(issued);
  return write(Durability::process);
}

Result<Done> OrderMachine::published() {
  if (record_.order) record_.known.push_back(record_.order->reference);
  constexpr std::size_t remembered = 20;
  if (record_.known.size() > remembered) record_.known.erase(record_.known.begin());
  record_.private_key.wipe();
  record_.issued.reset();
  record_.request.clear();
  record_.challenges.clear();
  return enter(OrderState::issued, Durability::process);
}

void OrderMachine::tell(const char* name, LogLevel level, const std::string& sentence,
                        std::vector<std::pair<std::string, std::string>> fields) {
  Event event;
  event.name = name;
  event.level = level;
  event.at = parts_.clock.now();
  event.certificate = record_.certificate;
  event.issuer = record_.issuer;
  event.sentence = sentence;
  event.fields = std::move(fields);
  event.fields.emplace_back("key", record_.key.text());
  if (record_.order) event.fields.emplace_back("order", record_.order->reference);
  parts_.events.tell(std::move(event));
}

std::vector<OrderEdge> order_edges() {
  std::vector<OrderEdge> edges;
  for (const auto& step : OrderMachine::Step::table()) {
    for (const auto& [next, course] : step.to) edges.push_back({step.from, next, course});
  }
  return edges;
}

std::string order_diagram() {
  std::string text = "```mermaid\nstateDiagram-v2\n  [*] --> planned\n";
  for (const auto& step : OrderMachine::Step::table()) {
    for (const auto& [next, course] : step.to) {
      const bool stays = next == step.from && course != Course::setback;
      if (stays) continue;
      text += std::string("  ") + to_string(step.from) + " --> " + to_string(next) + ": " + step.name +
              (course == Course::setback ? ", paused and counted" : "") + "\n";
    }
  }
  text += "  issued --> [*]\n  failed --> [*]\n```\n\n";
  text += "| in state | step | what others can see | on disk before | after a crash |\n|---|---|---|---|---|\n";
  for (const auto& step : OrderMachine::Step::table()) {
    text += std::string("| ") + to_string(step.from) + " | " + step.name + " | " + step.outside + " | " + step.written + " | " +
            step.after_crash + " |\n";
  }
  return text;
}

}  // namespace evercert
