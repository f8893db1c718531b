#include "fake/format_samples.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>

#include "agent/commercial/cached_account.h"
#include "agent/deliver/hook.h"
#include "agent/lead/sealed_accounts.h"
#include "agent/lead/stored_offers.h"
#include "agent/observe/audit_trail.h"
#include "agent/renewal/validation_ledger.h"
#include "agent/store/file_store.h"
#include "agent/store/revoked_leaves.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "fake/kept_log.h"
#include "fake/leader_of_tests.h"
#include "serving/base/json.h"
#include "serving/platform/files.h"

namespace evercert::samples {
namespace {

using namespace std::chrono_literals;

const Bytes some_bytes{1, 2, 3, 250, 251, 252};

Error problem() {
  Error error{ErrorKind::rate_limited, "the CA is busy"};
  error.retry_after = 120s;
  auto stated = std::make_shared<Problem>();
  stated->type = "urn:ietf:params:acme:error:rateLimited";
  error.problem = stated;
  return error;
}

Pace::Failure failure() {
  Pace::Failure failed{ErrorKind::connection, "no connection", moment - 2h, 3, "as written then"};
  failed.rows = {{ErrorKind::connection, 3}, {ErrorKind::dns, 2}};
  failed.until_asked = true;
  failed.remedy = "open the firewall";
  return failed;
}

std::unique_ptr<Store> store_of(const std::string& state_path) {
  return make_file_store(Descriptor(::open((state_path + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                         leader_of_tests(), {});
}

// The working directory for as long as it lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& path) { std::filesystem::current_path(path); }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
  }

 private:
  const std::filesystem::path before_ = std::filesystem::current_path();
};

}  // namespace

OrderRecord order() {
  OrderRecord record;
  record.certificate = certificate;
  record.identifiers = {{IdentifierKind::dns, certificate}, {IdentifierKind::ip, "192.0.2.1"}};
  record.key = {KeyAlgorithm::rsa, 3072};
  record.issuer = issuer;
  record.issuer_uri = issuer_uri;
  record.our_reference = "ours-1";
  record.private_key = Secret(some_bytes);
  record.key_reference = "pkcs11:object=one";
  record.request = some_bytes;
  record.state = OrderState::processing;
  record.order = IssuerOrder{"https://ca.example/order/1",
                             IssuerOrderStatus::waiting_for_people,
                             R"({"private":"to the issuer"})",
                             {},
                             problem(),
                             false};
  record.challenges = {
      {ChallengeKind::dns_txt, {IdentifierKind::dns, certificate}, "_token", "answer", "https://ca.example/1"}};
  record.known = {"https://ca.example/order/0"};
  record.subscriptions = {{issuer_uri, R"({"until":1})"}};
  record.issued = IssuedCertificate{some_bytes, {some_bytes, {9}}, R"({"brought":"more"})"};
  record.problem = problem();
  record.attempts = 4;
  record.setbacks = 5;
  record.history = {{moment - 1h, OrderState::placing}, {moment, OrderState::processing}};
  return record;
}

Pace pace() {
  Pace kept;
  kept.failure = failure();
  kept.next_attempt = moment + 1h;
  kept.issuer_index = 1;
  kept.issuer_failures = 2;
  kept.unusable = 3;
  kept.set_aside = {{"first", {failure(), moment + 30min}}};
  kept.seen_at = moment;
  kept.forgotten_at = moment - 3h;
  kept.remember_issue({{IdentifierKind::dns, certificate}}, {moment - 24h, 90s * 86400});
  return kept;
}

AccountRecord account() {
  return {issuer_uri, "https://ca.example/account/1", Secret(some_bytes), std::vector<std::string>{"ops@example.com"}};
}

Offers offers() {
  Offers known;
  known.products = std::vector<Offer>{{"842", "One name", {1, 2}, 1000}, {"843", "All names", {}, {}}};
  known.organizations = std::vector<Offer>{{"7", "Example Ltd", {}, {}}};
  known.groups = std::vector<Offer>{{"8", "Everybody", {}, {}}};
  known.domains = {"example.com"};
  known.domain_count = 12;
  known.balance = 12'345;
  known.currency = "EUR";
  known.fetched_at = moment;
  known.domains_at = moment - 1h;
  return known;
}

std::vector<OpenRequest> requests() {
  return {{OpenRequest::What::cancellation, certificate, "4711", {}, moment, {}},
          {OpenRequest::What::revocation, wildcard, "", some_bytes, moment - 1h, {}}};
}

std::map<std::string, std::string> left_alone() {
  return {{"4712", certificate}, {"4713", ""}};
}

OpenAnswer answer() {
  return {ChallengeKind::http_file, "www.example.com/.well-known/pki-validation/file.txt", "what the CA reads", moment + 24h};
}

StoredLine line() {
  // The issuer is not that of the bundle: what is read shows whether it was read off the index.
  return {certificate,
          generation,
          {{IdentifierKind::dns, wildcard}, {IdentifierKind::dns, certificate}, {IdentifierKind::ip, "192.0.2.1"}},
          {{KeyAlgorithm::ecdsa, 384}, {KeyAlgorithm::rsa, 3072}},
          "told by the index",
          moment};
}

ImportLedger::Known imported() {
  return {"0a:1b", "0123456789abcdef", 1'800'000'000};
}

std::vector<RevokedLeaf> revoked() {
  return {{std::string(64, 'a')}, {std::string(64, 'b')}};
}

Event event() {
  return {"published",
          LogLevel::notice,
          moment,
          certificate,
          issuer,
          "generation 3 is published",
          {{"generation", std::to_string(generation)}, {"key", "ecdsa:256"}}};
}

std::vector<std::string> hook() {
  return {"/bin/mkdir", "told"};
}

std::string tell_hook(const std::string& state_path) {
  const WorkingDirectory inside(state_path);
  const auto store = store_of(state_path);
  auto plan = std::make_shared<Plan>();
  plan->exports.hook = hook();
  plan->certificates.emplace_back().name = certificate;
  KeptLog log;
  std::promise<std::string> came;
  Hook told(
      plan, *store, [](const std::function<void()>& action) { action(); }, log, 24h);
  told.give(plan->certificates.front(), generation,
            [&](const Result<Done>& result) { came.set_value(result ? "" : result.error().message); });
  return came.get_future().get();
}

std::string write(const std::string& state_path, const Bundle& bundle) {
  auto keys = seal_keys(state_path);
  if (!keys) return keys.error().message;
  ::mkdir((state_path + "/state").c_str(), 0750);
  const Descriptor state(::open((state_path + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto store = store_of(state_path);
  std::string faults;
  const auto note = [&faults](const auto& result) {
    if (!result) faults += result.error().message + "\n";
  };

  auto leader = open_leader_file(state_path);
  note(leader);
  if (leader) note(ReachedNumbers(leader->get()).raise(certificate, generation));
  if (auto sealed = seal_bundle(keys->serving, bundle); sealed)
    note(store->put(bundle_path(bundle.name, bundle.generation), *sealed, {}));
  if (auto index = seal_line_index(keys->serving, {line()}); index) note(write_file(state.get(), line_index_file, *index, {}));

  note(OrderRecords(*store, keys->agent).save(order(), Durability::process));
  note(PaceRecords(*store, keys->agent).save(certificate, KeyAlgorithm::rsa, pace()));
  ValidationLedger validations(*store, keys->agent);
  for (std::size_t count = 0; count < failed_validations_an_hour; ++count)
    note(validations.failed(issuer_uri, {certificate}, moment + std::chrono::minutes(count)));
  note(SealedAccounts(*store, keys->agent).save(account_id, account()));
  StoredOffers known(*store, keys->agent);
  note(known.save(issuer, OfferRecords::What::offers, to_json(offers())));
  note(known.save(issuer, OfferRecords::What::requests, to_json(requests())));
  note(known.save(issuer, OfferRecords::What::left_alone, json_of_left_alone(left_alone())));
  note(StoredAnswers(*store, keys->agent).put(answer()));
  note(keep_revoked_leaves(*store, certificate, revoked()));
  auto ledger = ImportLedger::open(state.get(), issuer, issuer_uri);
  note(ledger);
  if (ledger) note(ledger->add("4711", certificate, imported()));
  KeptLog log;
  auto trail = AuditTrail::open(state_path, log);
  note(trail);
  if (trail) trail->record(event());
  faults += tell_hook(state_path);
  std::filesystem::remove(state_path + "/told");
  return faults + log.all();
}

}  // namespace evercert::samples
