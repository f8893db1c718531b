// Keeps one key of one certificate alive: decides when to order, drives the order machine step by step, waits, backs off,
// gives up, and hands what was issued to whoever publishes. One job of Workers; its steps never overlap.
// Rule: every pause that protects the CA is on disk before it begins, so that a restart does not shorten it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/order/order_machine.h"
#include "agent/renewal/acceptance.h"
#include "agent/renewal/budget.h"
#include "agent/renewal/pace.h"
#include "agent/renewal/validation_ledger.h"
#include "agent/renewal/workers.h"
#include "serving/certificate/bundle.h"

namespace evercert {

// A CA account as the renewals of a plan see it.
struct IssuerAccess {
  std::shared_ptr<Issuer> issuer;
  std::shared_ptr<ChallengeSolver> solver;
  std::shared_ptr<Budget> budget;
  // Digest of the issuer's options: what somebody corrected is tried at once.
  std::string options{};
};

// What is published now for this key.
struct Installed {
  Lifetime lifetime;
  std::uint64_t generation = 0;
  bool covers = true;  // it has all names that the plan wants
  bool revoked = false;
};

struct RenewalParts {
  const Clock& clock;
  Events& events;
  OrderRecords& orders;
  PaceRecords& paces;
  ValidationLedger& validations;
  KeyProvider& keys;
  // The certificate's issuer of that name; nullopt: it cannot be used, and the reason is an event already.
  std::function<std::optional<IssuerAccess>(const std::string& issuer)> access;
  // Puts what was issued before the servers. storage: try again; issuer_refused: it is not what was asked for.
  std::function<Result<Done>(const CertificateSpec&, BundlePair, const std::string& issuer)> publish;
  // Whether the newest bundle holds the key of this record already.
  std::function<bool(const OrderRecord&)> is_published;
  // Watches for the validation requests of a job; all that were seen since.
  std::function<void(const std::string& job, const std::vector<Challenge>&)> watch_hits;
  std::function<std::uint32_t(const std::string& job)> hits;
  std::function<void(const std::string& job)> poke;
  std::function<double()> random;  // 0 … 1
  // Puts what another line has before the servers, where that covers all names and lasts longer. False: there is no such line.
  std::function<bool(const CertificateSpec&, const KeySpec&)> take_cover{};
  // An open order for the same names, key and issuer in the records of a line that no plan names: ours from now on.
  std::function<Result<std::optional<OrderRecord>>(const CertificateSpec&, const KeySpec&)> find_order{};
  // A name that another certificate wants, that only the present generation of this one has, and that `fresh` lacks.
  std::function<std::optional<std::string>(const CertificateSpec&, const std::vector<Identifier>& fresh)> lent{};
  // The generation that was published once, where what is stored is older, or nothing.
  std::function<std::optional<std::uint64_t>(const CertificateSpec&)> missing{};
};

// What the status page shows of it.
struct RenewalView {
  std::optional<OrderState> order;  // while there is one
  std::string issuer;
  std::string reference;
  Time order_since;
  std::optional<Time> next;
  std::string why;
  std::string now;
  std::optional<Pace::Failure> failure;
  std::map<std::string, Pace::SetAside> set_aside;  // issuers that were left for the next one
  bool held = false;
  bool waits_for_begin = false;  // the certificate has been issued, and is not valid yet
};

class Renewal {
 public:
  Renewal(RenewalParts parts, CertificateSpec certificate, KeySpec key);

  [[nodiscard]] const std::string& job() const { return job_; }
  [[nodiscard]] const CertificateSpec& certificate() const { return certificate_; }
  [[nodiscard]] const KeySpec& key() const { return key_; }

  // One step, for Workers.
  Workers::Again run();
  // The issuer that the next step asks, if it asks one. Between steps, and only by whoever takes them.
  [[nodiscard]] const std::string& asks() const;

  // From any thread; poke the job afterwards.
  void installed(std::optional<Installed> what);
  void hold(const Error& why);  // never replaced until a person decides
  // The plan wants it no more: its place at the issuer is free.
  void leave();
  // A person asks: now, past the back-off; with `force` also past the storm guard.
  struct Refusal {
    std::string why;
    bool fresh = false;  // it was issued a short while ago: nothing to do, unless forced; else a person must decide first
  };
  std::optional<Refusal> request(bool force);

  // An order that exists at the CA and is ours becomes the open order. The reason why not, if there is one already.
  std::optional<std::string> take_over(OrderRecord record);

  // A person asks that the open order is given up. The reason why not, if there is none.
  std::optional<std::string> cancel();

  [[nodiscard]] RenewalView view() const;

 private:
  std::optional<Workers::Again> load(Time now);
  // It is for the names and the key of now.
  [[nodiscard]] bool is_wanted(const OrderRecord& record) const;
  static Error not_wanted();
  // Times that were set by a clock that has been turned back since are taken as the spans that they were.
  void follow_clock(Time now);
  void drop_unsent();
  void save_pace();
  void answered();
  void remind_of_pause(Time now);
  bool adopt_given(Time now);
  Workers::Again consider(Time now);
  // Until when what came last forbids another order. `unsettled`: somebody asks, and the last try brought no certificate.
  static std::optional<Time> guarded(const std::vector<Issue>& issues, const std::optional<Installed>& installed,
                                     bool unsettled, Time now);
  // Who asks for an order: nobody (it is due), a person, or a person who overrides the guards.
  enum class Asked { due, by_person, by_force };
  Workers::Again begin_order(const std::optional<Installed>& installed, Asked asked, const std::string& why, Time now);
  // Whether the CA is asked first for what the record on disk says was never placed.
  bool doubts(const std::string& issuer_to_ask);
  // Sets access_. Whether the configuration has the CA of the record still, which is given the name that it has now.
  bool find_issuer_of(OrderRecord& record);
  void cannot_read(const Error& error, Time now);
  void tell_lost_purchase(Time now);
  // Why what was bought, and is not here any more, is not bought again by itself.
  [[nodiscard]] std::optional<Error> lost_purchase() const;
  Workers::Again carry_on(Time now);
  Workers::Again take_step(Time now);
  Workers::Again publish(Time now);
  // What was issued is good later: it is kept, and published then.
  Workers::Again keep_until(Time begins, Time now);
  // What was issued would take a name off TLS that another certificate does not have yet: it is kept until that one has it.
  Workers::Again keep_for(const std::string& name, Time now);
  // What was issued cannot be taken.
  Workers::Again not_usable(Error why, Time now);
  Workers::Again step_failed(const Error& error, Time now);
  Workers::Again order_failed(const Error& error, Time now);
  void remember_published();
  void clean_up(const OrderRecord& record);
  void end_order();
  // The open order was never placed. `again`: its key and request are good for the next.
  void keep_unplaced(bool again);
  // An order that waits longer than this leaves its place to others.
  static constexpr std::chrono::minutes place_is_kept{1};
  void end_place();
  Workers::Again order_again(const Error& error, Time now);
  // What has not failed and comes by itself, until it has taken too long.
  bool is_patient(const Error& error, Time now);
  Workers::Again put_off(const Error& error, Time now);
  // The CA answered: who waits for its return goes on.
  void reached(Time now);
  void look_for_hits(Time now);
  // Says once what people must do while the order waits for them, and reminds of it daily. nullopt: nothing.
  void note_people(const std::optional<std::string>& why, Time now);
  [[nodiscard]] std::optional<std::string> people_must(Wait wait, bool stuck) const;
  // From when on the open order has begun, as far as this clock can tell.
  void count_from_beginning(Time now);
  // The longest that it is waited for: what remains of a day, of the certificate that is served, of the order by the CA's word.
  [[nodiscard]] Time end_of_waiting() const;
  // Whether the CA keeps the open order from getting on for longer than that. Only what is asked again shows it.
  bool is_stuck(Time now);
  [[nodiscard]] std::string stuck_sentence() const;
  [[nodiscard]] bool is_paid() const { return access_->issuer->spec().is_paid(); }
  [[nodiscard]] bool is_fault_of_the_ca(const Error& error) const;
  // Another order, or another CA, may do better.
  Workers::Again give_up_stuck(Time now);
  [[nodiscard]] bool proves_by_dns() const;
  [[nodiscard]] std::string remedy_of(const Error& error) const;
  Time note_failure(const Error& error, Time now, std::optional<Time> probe = std::nullopt);
  // A failed validation is counted for its names; until when they may not be validated again.
  std::optional<Time> note_validation(const Error& error, Time now);
  [[nodiscard]] std::vector<std::string> names() const;
  // Whether another issuer is to be asked from now on.
  bool choose_issuer(const Error& error);
  // Leaves the issuer of that name with its failure and its pause; when the next one may be asked.
  Time move_on(const std::string& left, const Error& error, Time now);
  void tell(const char* name, LogLevel level, const std::string& sentence,
            std::vector<std::pair<std::string, std::string>> fields = {});
  void show(const std::string& now_text, std::optional<Time> next, const std::string& why);
  // The issuer, its options or the names are others than those with which it failed, so that pause is over.
  [[nodiscard]] bool is_corrected();
  // What a person may correct: the issuer's options and the names.
  [[nodiscard]] std::string options_of(const IssuerAccess& access) const;
  [[nodiscard]] OrderMachine::Parts machine_parts() const;
  [[nodiscard]] double share_left(Time now) const;

  RenewalParts parts_;
  CertificateSpec certificate_;
  KeySpec key_;
  std::string job_;

  // Of the running step only.
  bool loaded_ = false;
  Time seen_;  // the clock at the last look
  bool turned_back_ = false;
  Pace pace_;
  std::optional<IssuerAccess> access_;
  std::unique_ptr<OrderMachine> machine_;
  // Found on disk (OrderRecord::is_doubtful).
  std::optional<OrderRecord> doubtful_;
  bool in_doubt_ = false;       // the open order is that
  bool purchase_lost_ = false;  // LastPurchase::is_lost
  // Where one is open that no issuer of the configuration can be asked for.
  std::optional<std::string> left_purchase_;
  std::optional<Pace::Failure> unreadable_;  // the record on disk, as told
  std::optional<OrderRecord> unplaced_;      // the order before, which the CA does not know
  std::vector<std::string> known_;
  std::map<std::string, std::string> subscriptions_;
  std::optional<IssuedCertificate> issued_;
  bool begin_told_ = false;
  bool lent_told_ = false;
  Polling polling_;
  std::optional<Time> retry_at_;
  bool waits_for_probe_ = false;  // the pause ends with the outage
  bool hits_told_ = false;
  Time put_off_since_;
  std::optional<Pace::Failure> people_;  // what they must do, while it is waited for
  Time people_told_;
  OrderState farthest_ = OrderState::planned;  // of the open order
  Time begun_;                                 // it
  std::optional<Time> overdue_since_;          // when it was seen first that it takes too long and gets on no more
  bool has_place_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::optional<Installed> installed_;
  // The next due time is worth an event, of this level. At a start nothing has changed, for ten thousand certificates.
  std::optional<LogLevel> announce_ = LogLevel::debug;
  std::optional<Error> held_;
  std::optional<OrderRecord> given_;  // to be taken over
  bool requested_ = false;
  unsigned requests_ = 0;  // counted, so that one that comes during a publication is not taken for answered by it
  bool forced_ = false;
  bool cancelled_ = false;
  bool ask_now_ = false;      // an order that waits is to be asked for at once
  bool tell_people_ = false;  // who asks is to hear what people must do, though it was told before
  std::vector<Issue> issues_;
  std::string asked_uri_;  // of the issuer whose limits a request would touch; empty: not known yet
  std::shared_ptr<Budget> budget_;
  RenewalView view_;
};

// The name of its job: certificate and kind of key.
std::string renewal_job(const std::string& certificate, KeyAlgorithm algorithm);

}  // namespace evercert
