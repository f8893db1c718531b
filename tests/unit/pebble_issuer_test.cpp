#include <cppunit/extensions/HelperMacros.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <set>

#include "agent/challenge/http_responder.h"
#include "agent/lead/make_issuer.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/key/key_provider.h"
#include "unit/pebble_server.h"

namespace evercert {
namespace {

using testing::PebbleServer;

class KeptRecords : public AccountRecords {
 public:
  Result<std::optional<AccountRecord>> load(const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(id);
    if (found == records_.end()) return std::optional<AccountRecord>();
    return std::optional<AccountRecord>(account_record_from(found->second));
  }
  Result<AccountRecord> add(const std::string& id, const AccountRecord& record) override {
    const std::lock_guard lock(mutex_);
    records_.emplace(id, to_json(record));
    return account_record_from(records_.at(id));
  }
  Result<Done> save(const std::string& id, const AccountRecord& record) override {
    const std::lock_guard lock(mutex_);
    records_[id] = to_json(record);
    return Done{};
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Json> records_;
};

// Answers of all tests; tells when a validation request was seen.
class Answers {
 public:
  void put(const Challenge& challenge) {
    const std::lock_guard lock(mutex_);
    answers_[challenge.token] = challenge.answer;
  }
  std::optional<std::string> find(std::string_view token) {
    const std::lock_guard lock(mutex_);
    const auto found = answers_.find(std::string(token));
    if (found == answers_.end()) return std::nullopt;
    ++hits_;
    seen_.notify_all();
    return found->second;
  }
  void wait_for_hits(int count) {
    std::unique_lock lock(mutex_);
    seen_.wait_for(lock, std::chrono::seconds(10), [&] { return hits_ >= count; });
    hits_ = 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable seen_;
  std::map<std::string, std::string> answers_;
  int hits_ = 0;
};

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <typename Value>
Value good(Result<Value> result) {
  CPPUNIT_ASSERT_MESSAGE(result ? "" : result.error().message, result.has_value());
  return std::move(*result);
}

class PebbleIssuerTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(PebbleIssuerTest);
  CPPUNIT_TEST(fifty_certificates_cost_seven_requests_each_besides_three);
  CPPUNIT_TEST(several_names_share_one_order);
  CPPUNIT_TEST(an_external_account_is_bound_and_missing_ones_are_asked_for);
  CPPUNIT_TEST(a_strict_server_takes_our_requests);
  CPPUNIT_TEST(half_of_all_nonces_may_be_refused);
  CPPUNIT_TEST(the_preferred_chain_is_chosen_and_a_missing_one_is_no_failure);
  CPPUNIT_TEST(a_chain_of_three_is_sorted_and_without_root);
  CPPUNIT_TEST(an_account_that_was_forgotten_is_made_again_in_the_same_attempt);
  CPPUNIT_TEST(an_account_is_found_again_from_its_record);
  CPPUNIT_TEST(a_certificate_is_revoked_by_account_and_by_key);
  CPPUNIT_TEST(an_order_whose_answer_was_lost_is_found);
  CPPUNIT_TEST(an_abandoned_order_becomes_invalid);
  CPPUNIT_TEST(each_kind_of_account_key_works);
  CPPUNIT_TEST(a_failed_validation_names_the_name);
  CPPUNIT_TEST(terms_that_were_not_accepted_need_a_person);
  CPPUNIT_TEST(a_profile_that_is_not_offered_is_left_out_unless_required);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    requests_ = 0;
    polls_ = 0;
    events_seen_.clear();
    records_ = std::make_unique<KeptRecords>();
    answers_ = std::make_unique<Answers>();
    responder_ =
        good(HttpResponder::start({"127.0.0.1"}, PebbleServer::http_port, [this](std::string_view, std::string_view path) {
          return answers_->find(path.substr(path.rfind('/') + 1));
        }));
  }
  void tearDown() override {
    issuer_.reset();
    responder_.reset();
    server_.reset();
  }

  void fifty_certificates_cost_seven_requests_each_besides_three() {
    start({});
    issue({"warm.example"});
    CPPUNIT_ASSERT_EQUAL(7 + 3 + polls_, requests_.load());
    requests_ = polls_ = 0;
    const double before = processor_seconds();
    for (int i = 0; i < 50; ++i) issue({"n" + std::to_string(i) + ".example"});
    const double spent = (processor_seconds() - before) * 1000 / 50;
    std::cerr << "\n  " << requests_ / 50.0 << " requests per certificate, of which " << polls_ / 50.0 << " repeated polls; "
              << spent << " ms CPU per certificate (client, key, request, responder)\n";
    CPPUNIT_ASSERT_EQUAL(50 * 7 + polls_, requests_.load());
  }

  void several_names_share_one_order() {
    start({});
    const auto issued = issue({"a.example", "b.example", "c.example"});
    CPPUNIT_ASSERT(!issued.certificate.leaf.empty());
    CPPUNIT_ASSERT_EQUAL(5 + 2 * 3 + 3 + polls_, requests_.load());
  }

  void an_external_account_is_bound_and_missing_ones_are_asked_for() {
    const Bytes key = random_bytes(48);
    start({{}, to_base64url(key), false});
    auto refused = issuer_->place(wanted({"a.example"}));
    CPPUNIT_ASSERT(!refused && refused.error().kind == ErrorKind::configuration);
    CPPUNIT_ASSERT(refused.error().message.find("external_account_key") != std::string::npos);
    spec_.external_account = ExternalAccount{"kid-1", Secret(key)};
    make();
    issue({"a.example"});
  }

  void a_strict_server_takes_our_requests() {
    start({{}, "", true});
    issue({"a.example"});
  }

  void half_of_all_nonces_may_be_refused() {
    start({{{"PEBBLE_WFE_NONCEREJECT", "50"}}, "", false});
    for (int i = 0; i < 20; ++i) issue({"n" + std::to_string(i) + ".example"});
  }

  void the_preferred_chain_is_chosen_and_a_missing_one_is_no_failure() {
    start({{{"PEBBLE_ALTERNATE_ROOTS", "2"}}, "", false});
    std::set<std::string> roots;
    HttpSettings settings;
    settings.trusted_certificates_pem = server_->trusted();
    const auto client = make_http_client(std::move(settings));
    for (const char* number : {"0", "1", "2"}) {
      const auto pem = good(client->send({"GET", server_->management() + "/roots/" + number, "", "", {}})).body;
      const BioHandle input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
      const CertificateHandle root(PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr));
      roots.insert(common_name(X509_get_subject_name(root.get())));
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, roots.size());
    for (const std::string& root : roots) {
      spec_.preferred_chain = root;
      make();
      const auto issued = issue({"a.example"});
      CPPUNIT_ASSERT_EQUAL(root, top_issuer(issued.certificate));
    }
    CPPUNIT_ASSERT(!events_seen_.contains("chain_not_offered"));
    spec_.preferred_chain = "No Such Root";
    make();
    CPPUNIT_ASSERT(!issue({"a.example"}).certificate.chain.empty());
    CPPUNIT_ASSERT(events_seen_.contains("chain_not_offered"));
  }

  void a_chain_of_three_is_sorted_and_without_root() {
    start({{{"PEBBLE_CHAIN_LENGTH", "3"}}, "", false});
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, issue({"a.example"}).certificate.chain.size());
  }

  void an_account_that_was_forgotten_is_made_again_in_the_same_attempt() {
    start({});
    issue({"a.example"});
    server_->restart();
    issue({"b.example"});
    CPPUNIT_ASSERT_EQUAL(1, events_seen_["account_lost"]);
    CPPUNIT_ASSERT_EQUAL(2, events_seen_["account_created"]);
    // Once an hour and no more.
    server_->restart();
    auto refused = issuer_->place(wanted({"c.example"}));
    CPPUNIT_ASSERT(!refused);
    CPPUNIT_ASSERT_EQUAL(1, events_seen_["account_lost"]);
  }

  void an_account_is_found_again_from_its_record() {
    start({});
    issue({"a.example"});
    make();
    requests_ = polls_ = 0;
    issue({"b.example"});
    CPPUNIT_ASSERT_EQUAL(7 + 2 + polls_, requests_.load());
    CPPUNIT_ASSERT_EQUAL(1, events_seen_["account_created"]);
  }

  void a_certificate_is_revoked_by_account_and_by_key() {
    start({});
    const auto first = issue({"a.example"});
    good(issuer_->revoke(first.certificate.leaf, {4}, nullptr));
    CPPUNIT_ASSERT(revocation(first.certificate.leaf).find("\"Revoked\"") != std::string::npos);
    good(issuer_->revoke(first.certificate.leaf, {4}, nullptr));
    const auto second = issue({"b.example"});
    CPPUNIT_ASSERT(revocation(second.certificate.leaf).find("\"Valid\"") != std::string::npos);
    good(issuer_->revoke(second.certificate.leaf, {1}, &second.key));
    CPPUNIT_ASSERT(revocation(second.certificate.leaf).find("\"Revoked\"") != std::string::npos);
  }

  void an_order_whose_answer_was_lost_is_found() {
    start({});
    std::vector<std::string> known;
    for (int i = 0; i < 5; ++i) known.push_back(issue({"a.example"}).reference);
    const Wanted lost = wanted({"a.example"});
    CPPUNIT_ASSERT(!good(issuer_->find(lost, known)));
    // Valid orders for the same name that have another key are not ours.
    CPPUNIT_ASSERT(!good(issuer_->find(lost, {})));
    const auto placed = good(issuer_->place(lost));
    const auto found = good(issuer_->find(lost, known));
    CPPUNIT_ASSERT(found);
    CPPUNIT_ASSERT_EQUAL(placed.reference, found->reference);
    CPPUNIT_ASSERT(!good(issuer_->find(wanted({"b.example"}), known)));
    known.push_back(placed.reference);
    CPPUNIT_ASSERT(!good(issuer_->find(lost, known)));
    // Finished but not remembered: the key tells that it is ours.
    finish(*found, lost);
    known.pop_back();
    const auto again = good(issuer_->find(lost, known));
    CPPUNIT_ASSERT(again && again->status == IssuerOrderStatus::valid);
  }

  void an_abandoned_order_becomes_invalid() {
    start({});
    auto order = good(issuer_->place(wanted({"a.example"})));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, good(issuer_->challenges(order)).size());
    good(issuer_->abandon(order));
    CPPUNIT_ASSERT(good(issuer_->challenges(order)).empty());
    good(issuer_->abandon(order));
  }

  void each_kind_of_account_key_works() {
    start({});
    for (const KeySpec& key :
         {KeySpec{KeyAlgorithm::ecdsa, 384}, KeySpec{KeyAlgorithm::ecdsa, 521}, KeySpec{KeyAlgorithm::rsa, 2048}}) {
      spec_.account_key = key;
      make();
      issue({"a.example"});
    }
  }

  void a_failed_validation_names_the_name() {
    start({});
    auto order = good(issuer_->place(wanted({"bad.example", "good.example"})));
    for (const auto& challenge : good(issuer_->challenges(order))) {
      if (challenge.identifier.value == "good.example") answers_->put(challenge);
      good(issuer_->respond(order, challenge));
    }
    order = poll(order, IssuerOrderStatus::pending);
    CPPUNIT_ASSERT(order.status == IssuerOrderStatus::invalid);
    CPPUNIT_ASSERT(order.problem && order.problem->kind == ErrorKind::challenge_failed);
    CPPUNIT_ASSERT_MESSAGE(order.problem->message, order.problem->message.find("bad.example") != std::string::npos);
    CPPUNIT_ASSERT(order.problem->message.find("good.example") == std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::string("bad.example"), order.problem->problem->subproblems.back().identifier);
  }

  void terms_that_were_not_accepted_need_a_person() {
    start({});
    spec_.terms_accepted = false;
    make();
    auto refused = issuer_->place(wanted({"a.example"}));
    CPPUNIT_ASSERT(!refused && refused.error().kind == ErrorKind::configuration);
    CPPUNIT_ASSERT(refused.error().message.find("accept_terms_of_service") != std::string::npos);
  }

  void a_profile_that_is_not_offered_is_left_out_unless_required() {
    start({});
    spec_.profile = Profile{"nonesuch", false};
    make();
    issue({"a.example"});
    CPPUNIT_ASSERT(events_seen_.contains("profile_not_offered"));
    spec_.profile->required = true;
    make();
    auto refused = issuer_->place(wanted({"a.example"}));
    CPPUNIT_ASSERT(!refused && refused.error().kind == ErrorKind::issuer_refused);
  }

 private:
  struct Issued {
    IssuedCertificate certificate;
    std::string reference;
    Secret key;
  };

  void start(PebbleServer::Options options) {
    server_ = std::make_unique<PebbleServer>(std::move(options));
    spec_ = IssuerSpec{};
    spec_.name = "pebble";
    spec_.uri = server_->directory();
    spec_.trusted_certificates_pem = server_->trusted();
    spec_.terms_accepted = true;
    spec_.contacts = {"mailto:ops@example.com"};
    make();
  }

  void make() {
    issuer_.reset();
    if (!events_) {
      events_ = std::make_unique<Events>();
      events_->subscribe([this](const Event& event) { ++events_seen_[event.name]; });
    }
    issuer_ = good(make_issuer(spec_, {*records_, *events_, clock_, {}, [this](const std::string&, int) { ++requests_; }}));
  }

  Wanted wanted(const std::vector<std::string>& names, Secret* bytes = nullptr) {
    Wanted wanted;
    wanted.certificate = names.front();
    for (const auto& name : names) wanted.identifiers.push_back({IdentifierKind::dns, name});
    auto key = good(make_file_keys()->generate({}));
    wanted.request = good(make_request(key, wanted.identifiers, false));
    if (bytes != nullptr) *bytes = key.bytes;
    return wanted;
  }

  IssuerOrder poll(IssuerOrder order, IssuerOrderStatus leaving) {
    for (int attempt = 0; attempt < 500; ++attempt) {
      order = good(issuer_->refresh(order));
      if (order.status != leaving) return order;
      ++polls_;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // pebble tells nobody when it is done
    }
    CPPUNIT_FAIL("the order does not go on");
    return order;
  }

  IssuedCertificate finish(IssuerOrder order, const Wanted& wanted) {
    const auto open = good(issuer_->challenges(order));
    for (const auto& challenge : open) answers_->put(challenge);
    for (const auto& challenge : open) good(issuer_->respond(order, challenge));
    // Pebble asks three times for each name.
    answers_->wait_for_hits(3 * static_cast<int>(open.size()));
    if (order.status == IssuerOrderStatus::pending) order = poll(order, IssuerOrderStatus::pending);
    CPPUNIT_ASSERT_MESSAGE(order.problem ? order.problem->message : "", order.status == IssuerOrderStatus::ready);
    order = good(issuer_->finalize(order, wanted));
    if (order.status == IssuerOrderStatus::processing) order = poll(order, IssuerOrderStatus::processing);
    CPPUNIT_ASSERT(order.status == IssuerOrderStatus::valid);
    return good(issuer_->collect(order));
  }

  Issued issue(const std::vector<std::string>& names) {
    Issued issued;
    const Wanted need = wanted(names, &issued.key);
    const auto order = good(issuer_->place(need));
    issued.reference = order.reference;
    issued.certificate = finish(order, need);
    return issued;
  }

  static std::string common_name(const X509_NAME* name) {
    const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (index < 0) return {};
    const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text))};
  }
  static std::string top_issuer(const IssuedCertificate& issued) {
    const Bytes& top = issued.chain.empty() ? issued.leaf : issued.chain.back();
    const std::uint8_t* position = top.data();
    const CertificateHandle parsed(d2i_X509(nullptr, &position, static_cast<long>(top.size())));
    return common_name(X509_get_issuer_name(parsed.get()));
  }
  std::string revocation(const Bytes& leaf) {
    const std::uint8_t* position = leaf.data();
    const CertificateHandle parsed(d2i_X509(nullptr, &position, static_cast<long>(leaf.size())));
    const ASN1_INTEGER* serial = X509_get0_serialNumber(parsed.get());
    const Bytes bytes(serial->data, serial->data + serial->length);
    HttpSettings settings;
    settings.trusted_certificates_pem = server_->trusted();
    return good(make_http_client(std::move(settings))
                    ->send({"GET", server_->management() + "/cert-status-by-serial/" + to_hex(bytes), "", "", {}}))
        .body;
  }

  SystemClock clock_;
  std::unique_ptr<PebbleServer> server_;
  std::unique_ptr<KeptRecords> records_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<Answers> answers_;
  std::unique_ptr<HttpResponder> responder_;
  std::unique_ptr<Issuer> issuer_;
  IssuerSpec spec_;
  std::map<std::string, int> events_seen_;
  std::atomic<int> requests_{0};
  int polls_ = 0;
};
CPPUNIT_TEST_SUITE_REGISTRATION(PebbleIssuerTest);

}  // namespace
}  // namespace evercert
