// Drives one order from nothing to a certificate, one step at a time. A step is one visible outside action; the table of
// steps in order_machine.cpp is the whole machine, and the diagram in docs/explanation is printed from it.
// Rule: nothing here waits or retries. A step ends in the next state, in a wish to be called again later, or in an Error that
// leaves the record where a later call, or another process after a crash, carries on. When is decided by renewal/.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/challenge/solver.h"
#include "agent/issuer/issuer.h"
#include "agent/observe/event.h"
#include "agent/order/order_record.h"
#include "serving/base/clock.h"
#include "serving/key/key_provider.h"

namespace evercert {

// What has to happen before the next step is worth taking.
enum class Wait {
  none,        // go on at once
  validation,  // the CA validates: its requests can be seen arriving
  answers,     // what proves a name cannot be seen everywhere yet: it is looked for again
  issuance,    // the CA works on the certificate
  people,      // somebody at the CA or here must act
  setback,     // the CA sent the order back: not at once, and later each time (OrderRecord::setbacks)
  ended,       // issued or failed
};

struct StepResult {
  Wait wait = Wait::none;
  std::optional<std::chrono::seconds> retry_after = std::nullopt;  // the CA's wish
  std::optional<IssuedCertificate> issued = std::nullopt;          // of the step that collected it
};

// What a way from one state to another costs. The rule that keeps every order from running in circles: the ways `onward` lead
// to later states only, so that there are few of them in a row; all others begin with a pause.
enum class Course {
  onward,          // to a later state, at once
  each_challenge,  // the same state, at once, as many times as there are challenges
  waits,           // after a pause that the row of polls sets
  setback,         // to the same or an earlier state: counted, after a pause that grows with the count
};
struct OrderEdge {
  OrderState from;
  OrderState to;
  Course course;
};
// Every way of the table of steps. A way that is not in it is taken as a setback.
std::vector<OrderEdge> order_edges();

class OrderMachine {
 public:
  // All must outlive the machine. `solver`: of the challenge kind that the issuer is set to.
  struct Parts {
    Issuer& issuer;
    ChallengeSolver& solver;
    KeyProvider& keys;
    OrderRecords& records;
    const Clock& clock;
    Events& events;
  };

  // A new order: nothing is made or written before the first step. `known` and `subscriptions` come from the record before it.
  OrderMachine(Parts parts, const CertificateSpec& certificate, const KeySpec& key, std::vector<std::string> known,
               std::map<std::string, std::string> subscriptions = {});
  // Before the first step: the order before this one was never placed. The CA is to know this one by the same reference, so
  // that whichever of their records is found later leads to it; key and request serve again where they are there.
  void follow(const OrderRecord& unplaced);
  // An order found on disk. One that was never placed by its record, and could have been, is looked for first.
  OrderMachine(Parts parts, OrderRecord record);

  // Takes one step. After an Error the same step is to be taken again, later; its kind tells how much later.
  Result<StepResult> step();

  // The order is not wanted any more (the configuration changed); the next steps give it up.
  Result<Done> give_up(const Error& why);
  // The collected certificate is good later only: it stays in the record, and the CA is not asked for it again.
  Result<Done> keep(IssuedCertificate issued);
  // The collected certificate is published: the key leaves the record, the history stays.
  Result<Done> published();

  [[nodiscard]] const OrderRecord& record() const { return record_; }
  [[nodiscard]] OrderState state() const { return record_.state; }

 private:
  struct Step;
  static const Step* step_from(OrderState state);
  static Course course_of(const Step& step, OrderState to);
  friend std::string order_diagram();
  friend std::vector<OrderEdge> order_edges();

  Result<StepResult> place();
  Result<StepResult> look_for();
  Result<StepResult> authorize();
  Result<StepResult> respond();
  Result<StepResult> refresh();
  Result<StepResult> finalize();
  Result<StepResult> collect();
  Result<StepResult> abandon();
  [[nodiscard]] bool is_paid_for(const Error& refusal) const;

  Result<Done> look_for_unanswered();
  Result<Done> prepare();
  Result<StepResult> adopt(IssuerOrder order, Durability durability);
  Result<StepResult> refused(const Error& error);
  Result<StepResult> set_back(OrderState from);
  void pass(OrderState state);  // in memory only
  Result<Done> enter(OrderState state, Durability durability);
  Result<Done> write(Durability durability);
  void tell(const char* name, LogLevel level, const std::string& sentence,
            std::vector<std::pair<std::string, std::string>> fields = {});

  Parts parts_;
  OrderRecord record_;
  // Set when memory is ahead of the disk: the next step begins with writing, before it acts.
  std::optional<Durability> unwritten_;
  std::size_t responded_ = 0;  // challenges; responding again after a crash does no harm
};

// The table of steps as a Mermaid state diagram and a Markdown table.
std::string order_diagram();

}  // namespace evercert
