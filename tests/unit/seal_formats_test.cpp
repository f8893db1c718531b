// One of everything that a state_path holds, as it was first written: what opens today must open for ever, and what is written
// today is what lies there. The samples are never made anew. A change of what is written asks for a second set beside them
// (format_samples writes one) and a test like this for it, while this one goes on to read the first.
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/commercial/cached_account.h"
#include "agent/lead/sealed_accounts.h"
#include "agent/lead/stored_offers.h"
#include "agent/observe/audit_trail.h"
#include "agent/renewal/validation_ledger.h"
#include "agent/store/bundles.h"
#include "agent/store/event_tail.h"
#include "agent/store/file_store.h"
#include "agent/store/revoked_leaves.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "fake/format_samples.h"
#include "fake/leader_of_tests.h"
#include "serving/base/json.h"
#include "serving/store/seal.h"
#include "store_fixture.h"

namespace evercert::test {
namespace {

struct Sealed {
  const char* path;  // below the state_path
  SealedKind kind;
  const char* label;
  std::uint64_t generation = 0;
};

// Written out here, and not asked of the code: a label that changes is a file that does not open any more.
const Sealed sealed_files[] = {
    {"state/certificates/www.example.com/3.bundle", SealedKind::bundle, "www.example.com", 3},
    {"state/index", SealedKind::message, "index of lines"},
    {"state/orders/www.example.com.rsa.order", SealedKind::order, "orders/www.example.com.rsa.order"},
    {"state/orders/www.example.com.rsa.pace", SealedKind::order, "orders/www.example.com.rsa.pace"},
    {"state/orders/validations_8.pace", SealedKind::order, "orders/validations_8.pace"},
    {"state/accounts/0123456789abcdef.account", SealedKind::account, "0123456789abcdef"},
    {"state/accounts/39deaf7caa6bbb32.offers", SealedKind::account, "39deaf7caa6bbb32.offers"},
    {"state/accounts/39deaf7caa6bbb32.requests", SealedKind::account, "39deaf7caa6bbb32.requests"},
    {"state/accounts/39deaf7caa6bbb32.left_alone", SealedKind::account, "39deaf7caa6bbb32.left_alone"},
    {"state/challenges/http-file.0066fd34e126f2fde887f3ed7acb17308bf65bb4.answer", SealedKind::challenge,
     "challenges/http-file.0066fd34e126f2fde887f3ed7acb17308bf65bb4.answer"},
};
const char* const plain_files[] = {
    "seal.key",
    "leader",
    "state/events/2023-11.jsonl",
    "state/hooks/2c52b97253a06802/www.example.com",
    "state/imports/bought.jsonl",
    "state/revoked/www.example.com",
};
// Magic, kind, format, key id and generation of the envelope.
constexpr std::size_t envelope_head = 27;

std::set<std::string> files_below(const std::string& directory) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file() && entry.file_size() > 0)
      found.insert(std::filesystem::relative(entry.path(), directory).string());
  return found;
}

}  // namespace

class SealFormatsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SealFormatsTest);
  CPPUNIT_TEST(the_seal_key_is_read);
  CPPUNIT_TEST(the_bundle_opens);
  CPPUNIT_TEST(every_record_is_read_whole);
  CPPUNIT_TEST(failed_validations_are_counted);
  CPPUNIT_TEST(the_index_is_believed);
  CPPUNIT_TEST(what_is_not_sealed_is_read);
  CPPUNIT_TEST(the_hook_is_not_told_again);
  CPPUNIT_TEST(what_is_written_today_is_what_lies_there);
  CPPUNIT_TEST(a_bundle_of_a_newer_format_is_refused_and_left_alone);
  CPPUNIT_TEST_SUITE_END();

  const std::string samples_ = std::string(EVERCERT_TEST_DATA) + "/formats/1/";
  const TemporaryDirectory directory_;  // a copy of them, which readers may change
  SealKeys keys_;
  std::unique_ptr<Store> store_;

 public:
  void setUp() override {
    std::filesystem::copy(samples_, directory_.path(), std::filesystem::copy_options::recursive);
    for (const char* const name : {"seal.key", "leader"})
      std::filesystem::permissions(directory_ / name, std::filesystem::perms(0600));
    keys_ = *derive_seal_keys(*read_seal_key_text(file_bytes(samples_ + "seal.key"), "seal.key"));
    store_ = open_store(directory_.path());
  }

 private:
  static std::unique_ptr<Store> open_store(const std::string& state_path) {
    return make_file_store(Descriptor(open((state_path + "/state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                           leader_of_tests(), {});
  }
  [[nodiscard]] Bundle frozen_bundle() const {
    return *open_bundle(keys_.serving, samples::certificate, samples::generation, file_bytes(samples_ + bundle_in_state()));
  }
  static std::string bundle_in_state() { return "state/" + bundle_path(samples::certificate, samples::generation); }
  // What a sealed file says. Fails when it does not open under the label that it had.
  [[nodiscard]] std::string content(const std::string& directory, const Sealed& file) const {
    const SealKey& key = file.kind == SealedKind::bundle || file.kind == SealedKind::message ? keys_.serving : keys_.agent;
    const auto opened = unseal(key, {file.kind, file.label, file.generation}, file_bytes(directory + "/" + file.path));
    CPPUNIT_ASSERT_MESSAGE(directory + "/" + file.path + " does not open under its label", !opened.fault);
    return std::string(opened.content.text());
  }
  void assert_kept(const std::string& path) const {
    for (const Sealed& file : sealed_files)
      if (file.path == path) CPPUNIT_ASSERT_EQUAL(content(samples_, file), content(directory_.path(), file));
  }

  void the_seal_key_is_read() {
    const auto keys = existing_seal_keys(directory_.path());
    CPPUNIT_ASSERT(keys && *keys);
    CPPUNIT_ASSERT_EQUAL(derive_seal_keys(Secret(Bytes(32, 7)))->agent.id, (*keys)->agent.id);
  }

  void the_bundle_opens() {
    const Bundle bundle = frozen_bundle();
    CPPUNIT_ASSERT_EQUAL(std::string("example"), bundle.issuer);
    CPPUNIT_ASSERT_EQUAL(std::string("order"), bundle.origin);
    CPPUNIT_ASSERT(bundle.issued_at == std::chrono::system_clock::from_time_t(1'700'000'000));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, bundle.identifiers.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, bundle.pairs.size());
    CPPUNIT_ASSERT(bundle.pairs[0].key == KeySpec{} && bundle.pairs[1].key == (KeySpec{KeyAlgorithm::rsa, 2048}));
    CPPUNIT_ASSERT(verify_bundle(bundle, std::chrono::system_clock::from_time_t(4'000'000'000)).has_value());
  }

  // Read by the product, written again by it: nothing is lost on the way.
  void every_record_is_read_whole() {
    OrderRecords orders(*store_, keys_.agent);
    const auto order = orders.load(samples::certificate, KeyAlgorithm::rsa);
    CPPUNIT_ASSERT(order && *order);
    CPPUNIT_ASSERT(to_json(**order) == to_json(samples::order()));
    CPPUNIT_ASSERT(orders.save(**order, Durability::process));

    PaceRecords paces(*store_, keys_.agent);
    const Pace pace = paces.load(samples::certificate, KeyAlgorithm::rsa);
    CPPUNIT_ASSERT(pace.failure && pace.failure->remedy == samples::pace().failure->remedy);
    CPPUNIT_ASSERT(paces.save(samples::certificate, KeyAlgorithm::rsa, pace));

    SealedAccounts accounts(*store_, keys_.agent);
    const auto account = accounts.load(samples::account_id);
    CPPUNIT_ASSERT(account && *account);
    CPPUNIT_ASSERT(to_json(**account) == to_json(samples::account()));
    CPPUNIT_ASSERT(accounts.save(samples::account_id, **account));

    StoredOffers known(*store_, keys_.agent);
    Offers offers;
    std::vector<OpenRequest> requests;
    const auto read = [&](OfferRecords::What what, const OfferRecords::Reader& reader) {
      const auto loaded = known.load(samples::issuer, what, reader);
      CPPUNIT_ASSERT(loaded && *loaded);
    };
    read(OfferRecords::What::offers, [&](const Json& json) { offers = offers_from(json); });
    read(OfferRecords::What::requests, [&](const Json& json) { requests = open_requests_from(json); });
    CPPUNIT_ASSERT(to_json(offers) == to_json(samples::offers()) && to_json(requests) == to_json(samples::requests()));
    CPPUNIT_ASSERT(known.save(samples::issuer, OfferRecords::What::offers, to_json(offers)));
    CPPUNIT_ASSERT(known.save(samples::issuer, OfferRecords::What::requests, to_json(requests)));
    std::map<std::string, std::string> left_alone;
    read(OfferRecords::What::left_alone, [&](const Json& json) { left_alone = left_alone_from(json); });
    CPPUNIT_ASSERT(left_alone == samples::left_alone());
    CPPUNIT_ASSERT(known.save(samples::issuer, OfferRecords::What::left_alone, json_of_left_alone(left_alone)));

    StoredAnswers answers(*store_, keys_.agent);
    const auto open = answers.sweep(samples::moment);
    CPPUNIT_ASSERT(open && open->size() == 1 && open->front().expires == samples::answer().expires);
    CPPUNIT_ASSERT(answers.put(open->front()));

    for (const Sealed& file : sealed_files) assert_kept(file.path);
    CPPUNIT_ASSERT(store_->list("quarantine/")->empty());
  }

  void failed_validations_are_counted() {
    const ValidationLedger validations(*store_, keys_.agent);
    const auto until =
        validations.blocked_until(samples::issuer_uri, {samples::certificate}, samples::moment + std::chrono::minutes(4));
    CPPUNIT_ASSERT(until == samples::moment + std::chrono::hours(1));
  }

  void the_index_is_believed() {
    const auto state = StateReader::open(directory_.path());
    CPPUNIT_ASSERT(state.has_value());
    const auto lines = stored_lines(*state, keys_.serving, nullptr).lines;
    CPPUNIT_ASSERT(lines.size() == 1);
    const StoredLine expected = samples::line();
    const StoredLine& line = lines.front();
    CPPUNIT_ASSERT_EQUAL(expected.issuer, line.issuer);
    CPPUNIT_ASSERT_EQUAL(expected.name, line.name);
    CPPUNIT_ASSERT_EQUAL(expected.generation, line.generation);
    CPPUNIT_ASSERT(line.identifiers == expected.identifiers && line.keys == expected.keys);
    CPPUNIT_ASSERT(line.not_after == expected.not_after);
  }

  void what_is_not_sealed_is_read() {
    const auto leader = existing_leader_file(directory_.path());
    CPPUNIT_ASSERT(leader && *leader);
    CPPUNIT_ASSERT_EQUAL(samples::generation, ReachedNumbers((*leader)->get()).of(samples::certificate));

    CPPUNIT_ASSERT(read_revoked_leaves(*store_, samples::certificate) == samples::revoked());

    const Descriptor inside(open((directory_ / "state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto ledger = ImportLedger::open(inside.get(), samples::issuer, samples::issuer_uri);
    CPPUNIT_ASSERT(ledger.has_value());
    const auto* const known = ledger->find("4711");
    const auto expected = samples::imported();
    CPPUNIT_ASSERT(known != nullptr && known->version == expected.version && known->key == expected.key);
    CPPUNIT_ASSERT_EQUAL(expected.not_after, known->not_after);

    const auto events = recent_events(*StateReader::open(directory_.path()), samples::certificate, 10);
    CPPUNIT_ASSERT(events && events->size() == 1);
    const Event event = samples::event();
    CPPUNIT_ASSERT_EQUAL(event.name, events->front().at("name").get<std::string>());
    CPPUNIT_ASSERT_EQUAL(event.sentence, events->front().at("sentence").get<std::string>());
    CPPUNIT_ASSERT_EQUAL(bundle_path(samples::certificate, samples::generation), key_of_event(events->front().dump()));
  }

  // It would fail the second time: its directory is there.
  void the_hook_is_not_told_again() {
    std::filesystem::create_directory(directory_ / "told");
    CPPUNIT_ASSERT_EQUAL(std::string(), samples::tell_hook(directory_.path()));
    std::filesystem::remove_all(directory_ / "state/hooks");
    CPPUNIT_ASSERT(samples::tell_hook(directory_.path()).find("exit code 1") != std::string::npos);
  }

  void what_is_written_today_is_what_lies_there() {
    const TemporaryDirectory today;
    std::filesystem::copy(samples_ + "seal.key", today / "seal.key");
    std::filesystem::permissions(today / "seal.key", std::filesystem::perms(0600));
    CPPUNIT_ASSERT_EQUAL(std::string(), samples::write(today.path(), frozen_bundle()));
    std::set<std::string> known;
    for (const Sealed& file : sealed_files) {
      known.insert(file.path);
      CPPUNIT_ASSERT_EQUAL(content(samples_, file), content(today.path(), file));
      Bytes head = file_bytes(samples_ + file.path);
      Bytes head_today = file_bytes(today / file.path);
      head.resize(envelope_head);
      head_today.resize(envelope_head);
      CPPUNIT_ASSERT_MESSAGE(file.path, head == head_today);
    }
    for (const char* const path : plain_files) {
      known.insert(path);
      CPPUNIT_ASSERT_MESSAGE(path, file_bytes(samples_ + path) == file_bytes(today / path));
    }
    CPPUNIT_ASSERT(known == files_below(samples_));
    CPPUNIT_ASSERT(known == files_below(today.path()));
  }

  void a_bundle_of_a_newer_format_is_refused_and_left_alone() {
    const std::string path = directory_ / bundle_in_state();
    Bytes newer = file_bytes(path);
    newer[10] = 2;  // the envelope's format, low byte
    write_bytes(path, newer);
    CPPUNIT_ASSERT(open_bundle(keys_.serving, samples::certificate, samples::generation, newer).error().kind ==
                   ErrorKind::action_required);
    const auto newest = newest_bundle(*store_, keys_.serving, samples::certificate);
    CPPUNIT_ASSERT(newest && newest->held && !newest->bundle && newest->damaged.empty());
    CPPUNIT_ASSERT(file_bytes(path) == newer);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(SealFormatsTest);

}  // namespace evercert::test
