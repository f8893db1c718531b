// The leader's work: one renewal per certificate and kind of key of all plans, publication, and what the status page shows.
// Made when an agent is elected, gone when it hands over. Main thread only, but for what Workers run.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/challenge/dns_records.h"
#include "agent/challenge/hit_watch.h"
#include "agent/challenge/http_01.h"
#include "agent/challenge/joined_files.h"
#include "agent/challenge/shared_answers.h"
#include "agent/challenge/solver_by_kind.h"
#include "agent/lead/agent_context.h"
#include "agent/lead/import_sources.h"
#include "agent/lead/known_lines.h"
#include "agent/lead/left_orders.h"
#include "agent/lead/plan_union.h"
#include "agent/lead/sealed_accounts.h"
#include "agent/lead/stored_offers.h"
#include "agent/observe/alarms.h"
#include "agent/publish/publication.h"

namespace evercert {

class Leader {
 public:
  // `changed`: the status differs though no event tells why. Called on the main thread.
  Leader(AgentContext& context, std::function<void()> changed);
  ~Leader();
  Leader(const Leader&) = delete;
  Leader& operator=(const Leader&) = delete;

  // Carries open orders on and schedules the own plan.
  void start();
  void follow(PlanSource source);  // a follower's plan
  void forget(const std::string& source);

  // No new step begins. idle(): the running ones have ended and written their records.
  void pause();
  [[nodiscard]] bool idle();
  void abort_requests() { stop_.request_stop(); }

  // Validation requests were seen, by our own server or by a follower's.
  void hits_came();
  void hits_came(const std::string& token, std::uint32_t hits);
  // Every certificate was looked at once: what report() says is made from the store.
  [[nodiscard]] bool has_looked() const;
  // Tells, at once and daily, which revoked certificates are served. From any thread.
  void watch_revoked();
  void count(const Event& event);
  [[nodiscard]] StatusReport report();

  // For the control socket.
  struct Wished {
    std::size_t keys = 0;                     // how many of the certificate's keys are renewed now
    std::optional<Renewal::Refusal> refused;  // why not, of the others
  };
  Wished renew(const std::string& certificate, bool force);
  // Gives up the open orders of a certificate; the reason why not.
  std::optional<std::string> cancel(const std::string& certificate);
  // An order that is open at the CA becomes the open order of its certificate; the reason why not. From any thread.
  std::optional<std::string> take_over(OrderRecord record);
  // The CA's references of the orders that are under way at an issuer.
  [[nodiscard]] std::set<std::string> under_way(const std::string& issuer) const;
  [[nodiscard]] const PlanUnion& plans() const { return plans_; }
  [[nodiscard]] Publication& publication() { return publication_; }
  // For what is found out elsewhere: revoked and still served, older than it should be.
  [[nodiscard]] Alarms& alarms() { return alarms_; }
  [[nodiscard]] SharedAnswers& shared_answers() { return shared_answers_; }
  [[nodiscard]] Workers& workers() { return *workers_; }
  std::optional<IssuerAccess> access_of(const PlanUnion::Item& item, const std::string& issuer);
  // What every renewal of a certificate is to know after a change.
  void refresh(const std::string& certificate);
  // What puts a bundle before the servers, to be done by a worker: in the line it is called after, or, where that is only a
  // proposal, in the one that has its names. A line that no configuration names is kept for one that will. Main thread only.
  std::function<Result<std::string>()> adopting(Bundle bundle, bool named);
  [[nodiscard]] KnownLines& lines() { return lines_; }

 private:
  void import_from_issuers();
  std::optional<std::string> import_one(const Found& found);
  void apply(const PlanUnion::Change& change);
  void add(const std::string& certificate);
  void remove(const std::string& certificate);
  [[nodiscard]] RenewalParts parts_for(const PlanUnion::Item& item);
  [[nodiscard]] CertificateStatus status_of(const PlanUnion::Item& item, StatusReport& report);
  void report_lines(StatusReport& report);
  bool take_cover(const CertificateSpec& certificate, const KeySpec& key);
  std::optional<std::string> lent(const CertificateSpec& certificate, const std::vector<Identifier>& fresh);
  std::vector<std::shared_ptr<Renewal>> renewals_of(const std::string& certificate) const;
  [[nodiscard]] std::unique_ptr<ChallengeSolver> make_solver(const IssuerSpec& spec);
  void looked_at(const std::string& certificate);
  void sweep();
  void tell_of_clock(Time now);
  static constexpr const char* accounts_job = "accounts";
  void watch_what_happens();
  void watch_all();
  void watch_soon(const std::string& certificate);
  void watch(const std::string& certificate);
  void watch_expiry(const std::string& certificate, const Publication::Current& current);
  void watch_renewal(const std::string& certificate, const Publication::Current& current);
  void tend_accounts();

  AgentContext& context_;
  std::function<void()> changed_;
  std::stop_source stop_;
  SealedAccounts accounts_;
  StoredOffers offers_;
  OrderRecords orders_;
  PaceRecords paces_;
  ValidationLedger validations_;
  Time swept_at_;  // of the job "sweeping" only
  LeftOrders left_orders_;
  KnownLines lines_;
  std::shared_ptr<KeyProvider> keys_;
  StoredAnswers stored_answers_;
  SharedAnswers shared_answers_;
  BoardAnswers board_answers_;
  JoinedFiles files_;
  HitWatch hit_watch_;
  IssuerAccounts issuer_accounts_;
  PlanUnion plans_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, std::vector<std::shared_ptr<Renewal>>> renewals_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> requests_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> order_results_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> challenge_results_;
  std::set<std::string> not_looked_at_;
  std::map<std::string, Time> revoked_told_;
  std::set<std::string> to_watch_;                                  // guarded by mutex_, too
  std::map<Identifier, std::set<std::string>> wanted_by_;           // likewise; certificates of all plans
  std::map<std::string, std::vector<Identifier>> kept_for_others_;  // likewise; names in what is issued and waits for others
  Alarms alarms_;
  Time since_;
  std::unique_ptr<Workers> workers_;  // its threads use all above: they end first
  Publication publication_;
};

}  // namespace evercert
