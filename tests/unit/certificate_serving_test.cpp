#include <cppunit/extensions/HelperMacros.h>
#include <malloc.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <thread>

#include "certificate_steps.h"
#include "evercert/board.h"
#include "serving/certificate/served_pairs.h"

// Of the sanitizers' allocators, for which mallinfo2 tells nothing.
extern "C" [[gnu::weak]] std::size_t __sanitizer_get_current_allocated_bytes();

namespace evercert {

using catalog_steps::Authority;
using catalog_steps::Handshakes;
using catalog_steps::Hello;
using catalog_steps::KeptLog;
using catalog_steps::new_key;
using catalog_steps::Shaken;
using catalog_steps::Shelf;
using catalog_steps::Site;

class CatalogServingTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(CatalogServingTest);
  CPPUNIT_TEST(each_client_gets_the_key_type_it_can_use);
  CPPUNIT_TEST(names_lead_to_their_certificates_in_real_handshakes);
  CPPUNIT_TEST(a_static_certificate_is_overridden_whole);
  CPPUNIT_TEST(the_next_handshake_after_publication_gets_the_new_generation);
  CPPUNIT_TEST(nothing_is_served_before_the_first_generation);
  CPPUNIT_TEST(a_damaged_newest_generation_leaves_the_one_in_memory);
  CPPUNIT_TEST(with_nothing_in_memory_the_previous_generation_on_disk_is_served);
  CPPUNIT_TEST(before_the_agent_speaks_the_newest_on_disk_is_served);
  CPPUNIT_TEST(before_the_agent_speaks_a_damaged_newest_gives_way_to_the_one_before);
  CPPUNIT_TEST(the_disk_is_looked_at_once_while_the_board_is_silent);
  CPPUNIT_TEST(a_failed_generation_is_tried_again_later_not_at_once);
  CPPUNIT_TEST(a_key_of_another_certificate_is_refused);
  CPPUNIT_TEST(a_key_that_lives_elsewhere_is_refused_with_a_line);
  CPPUNIT_TEST(a_connection_that_refuses_the_certificate_leaves_no_errors_behind);
  CPPUNIT_TEST(the_least_recently_used_certificate_goes_first);
  CPPUNIT_TEST(threads_are_served_while_entries_go_and_generations_come);
  CPPUNIT_TEST(equal_chains_are_held_once);
  CPPUNIT_TEST(the_chain_is_shown_as_pem_without_the_key);
  CPPUNIT_TEST(a_stand_in_is_served_for_its_names);
  CPPUNIT_TEST(an_open_challenge_is_answered_counted_and_wakes_the_agent);
  CPPUNIT_TEST(a_cached_certificate_costs_at_most_8_kilobytes);
  CPPUNIT_TEST_SUITE_END();

 public:
  void tearDown() override { CPPUNIT_ASSERT_EQUAL(0UL, ::ERR_peek_error()); }

  void each_client_gets_the_key_type_it_can_use() {
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com"), rsa("a.example.com")});
    Site site = site_of({"a.example.com"});
    const Handshakes handshakes(&Site::choose, &site);
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      const Shaken with_ecdsa = handshakes.shake({"a.example.com", version, KeyAlgorithm::ecdsa});
      const Shaken with_rsa = handshakes.shake({"a.example.com", version, KeyAlgorithm::rsa});
      CPPUNIT_ASSERT_EQUAL(EVP_PKEY_EC, with_ecdsa.key_type);
      CPPUNIT_ASSERT_EQUAL(EVP_PKEY_RSA, with_rsa.key_type);
      CPPUNIT_ASSERT_EQUAL(2, with_ecdsa.chain_length);
      CPPUNIT_ASSERT_EQUAL(2, with_rsa.chain_length);
    }
  }

  void names_lead_to_their_certificates_in_real_handshakes() {
    for (const std::string name : {"first.example.org", "*.example.com", "www.example.com"})
      shelf_.write(name, 1, {ecdsa(name)});
    Site site = site_of({"first.example.org", "*.example.com", "www.example.com"});
    const Handshakes handshakes(&Site::choose, &site);
    const auto served = [&](const std::string& name) { return handshakes.shake({name}).common_name; };
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.com"), served("WWW.example.com"));
    CPPUNIT_ASSERT_EQUAL(std::string("*.example.com"), served("other.example.com."));
    CPPUNIT_ASSERT_EQUAL(std::string("first.example.org"), served("unknown.example.net"));
    CPPUNIT_ASSERT_EQUAL(std::string("first.example.org"), served(""));
  }

  void a_static_certificate_is_overridden_whole() {
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com")});
    Site site = site_of({"a.example.com"});
    const Handshakes handshakes(&Site::choose, &site);
    const auto other = served_from({rsa("static.example.com")});
    const TlsHandle loan(::SSL_new(handshakes.server()));
    CPPUNIT_ASSERT(other->apply(loan.get()));
    CPPUNIT_ASSERT_EQUAL(1, ::SSL_CTX_use_certificate(handshakes.server(), ::SSL_get_certificate(loan.get())));
    CPPUNIT_ASSERT_EQUAL(1, ::SSL_CTX_use_PrivateKey(handshakes.server(), ::SSL_get_privatekey(loan.get())));
    CPPUNIT_ASSERT_EQUAL(std::string("a.example.com"), handshakes.shake({"a.example.com"}).common_name);
    const Shaken with_rsa = handshakes.shake({"a.example.com", TLS1_3_VERSION, KeyAlgorithm::rsa});
    CPPUNIT_ASSERT_EQUAL(std::string(), with_rsa.common_name);
  }

  void the_next_handshake_after_publication_gets_the_new_generation() {
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com")});
    Site site = site_of({"a.example.com"});
    const Handshakes handshakes(&Site::choose, &site);
    const long first = handshakes.shake({"a.example.com"}).serial;
    const auto held = catalog_->find(0);
    shelf_.write("a.example.com", 2, {ecdsa("a.example.com")});
    CPPUNIT_ASSERT_EQUAL(first, handshakes.shake({"a.example.com"}).serial);
    shelf_.publish("a.example.com", 2);
    CPPUNIT_ASSERT(first != handshakes.shake({"a.example.com"}).serial);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, shelf_.report().loaded(0));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, held->generation());
  }

  void nothing_is_served_before_the_first_generation() {
    const CertificateSlot slot = shelf_.publish("a.example.com", 0);
    catalog_ = shelf_.catalog(log_);
    catalog_->know(slot, "a.example.com");
    CPPUNIT_ASSERT(!catalog_->has(slot));
    CPPUNIT_ASSERT(!catalog_->find(slot));
    CPPUNIT_ASSERT(!catalog_->find(77));
    shelf_.publish("a.example.com", 3);
    CPPUNIT_ASSERT(catalog_->has(slot));
    CPPUNIT_ASSERT(!catalog_->find(slot));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("cannot load generation 3"));
  }

  void a_damaged_newest_generation_leaves_the_one_in_memory() {
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com")});
    Site site = site_of({"a.example.com"});
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
    shelf_.write("a.example.com", 2, {ecdsa("a.example.com")});
    damage("a.example.com", 2);
    shelf_.publish("a.example.com", 2);
    for (unsigned round = 0; round < 20; ++round) CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("cannot load generation 2"));
  }

  void with_nothing_in_memory_the_previous_generation_on_disk_is_served() {
    for (const std::uint64_t generation : {1U, 2U}) shelf_.write("a.example.com", generation, {ecdsa("a.example.com")});
    damage("a.example.com", 2);
    Site site = site_of({"a.example.com"}, 2);
    CPPUNIT_ASSERT(catalog_->find(0));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("generation 1 is served instead of generation 2"));
  }

  void before_the_agent_speaks_the_newest_on_disk_is_served() {
    for (const std::uint64_t generation : {9U, 10U}) shelf_.write("a.example.com", generation, {ecdsa("a.example.com")});
    Site site = site_of({"a.example.com"}, 0);
    CPPUNIT_ASSERT(catalog_->has(0));
    const auto served = catalog_->find(0);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{10}, served->generation());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{10}, shelf_.report().loaded(0));
    // What the agent then says is there already: it is not read again.
    shelf_.publish("a.example.com", 10);
    CPPUNIT_ASSERT(served == catalog_->find(0));
    shelf_.write("a.example.com", 11, {ecdsa("a.example.com")});
    shelf_.publish("a.example.com", 11);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{11}, catalog_->find(0)->generation());
    CPPUNIT_ASSERT_EQUAL(std::string(), log_.text());
  }

  void before_the_agent_speaks_a_damaged_newest_gives_way_to_the_one_before() {
    for (const std::uint64_t generation : {1U, 2U}) shelf_.write("a.example.com", generation, {ecdsa("a.example.com")});
    damage("a.example.com", 2);
    Site site = site_of({"a.example.com"}, 0);
    for (unsigned round = 0; round < 20; ++round) CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("generation 1 is served instead of generation 2"));
    damage("a.example.com", 1);
    Site other = site_of({"a.example.com"}, 0);
    CPPUNIT_ASSERT(!catalog_->has(0));
  }

  void the_disk_is_looked_at_once_while_the_board_is_silent() {
    Site site = site_of({"a.example.com"}, 0);
    CPPUNIT_ASSERT(!catalog_->has(0));
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com")});
    CPPUNIT_ASSERT(!catalog_->has(0));
    shelf_.publish("a.example.com", 1);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
  }

  void a_failed_generation_is_tried_again_later_not_at_once() {
    shelf_.write("a.example.com", 1, {ecdsa("a.example.com")});
    Site site = site_of({"a.example.com"});
    CPPUNIT_ASSERT(catalog_->find(0));
    shelf_.publish("a.example.com", 2);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, catalog_->find(0)->generation());
    shelf_.write("a.example.com", 2, {ecdsa("a.example.com")});
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (catalog_->find(0)->generation() == 1 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, catalog_->find(0)->generation());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("cannot load generation 2"));
  }

  void a_key_of_another_certificate_is_refused() {
    BundlePair pair = ecdsa("a.example.com");
    pair.private_key = ecdsa("a.example.com").private_key;
    shelf_.write("a.example.com", 1, {pair});
    Site site = site_of({"a.example.com"});
    CPPUNIT_ASSERT(!catalog_->find(0));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("does not belong to its certificate"));
  }

  void a_key_that_lives_elsewhere_is_refused_with_a_line() {
    BundlePair pair = ecdsa("a.example.com");
    pair.private_key = Secret();
    pair.reference = "pkcs11:token=test";
    shelf_.write("a.example.com", 1, {pair});
    Site site = site_of({"a.example.com"});
    CPPUNIT_ASSERT(!catalog_->find(0));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.count("the key lives elsewhere (pkcs11:token=test)"));
  }

  void a_connection_that_refuses_the_certificate_leaves_no_errors_behind() {
    const auto served = served_from({ecdsa("a.example.com")});
    const TlsContextHandle context(::SSL_CTX_new(::TLS_server_method()));
    ::SSL_CTX_set_security_level(context.get(), 5);
    const TlsHandle connection(::SSL_new(context.get()));
    CPPUNIT_ASSERT(!served->apply(connection.get()));
    CPPUNIT_ASSERT_EQUAL(0UL, ::ERR_peek_error());
  }

  void the_least_recently_used_certificate_goes_first() {
    const std::vector<std::string> names = {"a.example.com", "b.example.com", "c.example.com"};
    for (const std::string& name : names) shelf_.write(name, 1, {ecdsa(name)});
    Site site = site_of(names, 1, 2);
    const auto held = catalog_->find(1);
    CPPUNIT_ASSERT(catalog_->find(0) && held && catalog_->find(0) && catalog_->find(2));
    for (const std::string& name : names) std::filesystem::remove(shelf_.file_of(name, 1));
    CPPUNIT_ASSERT(catalog_->find(0));
    CPPUNIT_ASSERT(catalog_->find(2));
    CPPUNIT_ASSERT(!catalog_->find(1));
    CPPUNIT_ASSERT(!held->pem_chain().empty());
  }

  void threads_are_served_while_entries_go_and_generations_come() {
    constexpr unsigned count = 12;
    std::vector<std::string> names;
    std::vector<BundlePair> pairs;
    for (unsigned number = 0; number < count; ++number) {
      names.push_back("host-" + std::to_string(number) + ".example.com");
      pairs.push_back(ecdsa(names.back()));
      shelf_.write(names.back(), 1, {pairs.back()});
    }
    Site site = site_of(names, 1, 4);
    const TlsContextHandle context(::SSL_CTX_new(::TLS_server_method()));
    std::atomic<unsigned> missing{0};
    std::atomic<unsigned> fallen{0};
    {
      std::vector<std::jthread> readers;
      for (unsigned reader = 0; reader < 4; ++reader)
        readers.emplace_back([&, reader] {
          std::vector<std::uint64_t> seen(count, 0);
          for (unsigned round = 0; round < 150; ++round) {
            const unsigned slot = (round * 5 + reader) % count;
            const std::uint64_t least = seen[slot];
            const auto served = catalog_->find(slot);
            const TlsHandle connection(::SSL_new(context.get()));
            if (!served || !served->apply(connection.get())) ++missing;
            if (served && served->generation() < least) ++fallen;
            if (served) seen[slot] = served->generation();
          }
        });
      for (std::uint64_t generation = 2; generation < 6; ++generation)
        for (unsigned number = 0; number < count; ++number) {
          shelf_.write(names[number], generation, {pairs[number]});
          shelf_.publish(names[number], generation);
        }
    }
    CPPUNIT_ASSERT_EQUAL(0U, missing.load());
    CPPUNIT_ASSERT_EQUAL(0U, fallen.load());
    CPPUNIT_ASSERT_EQUAL(std::string(), log_.text());
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{5}, catalog_->find(3)->generation());
  }

  void equal_chains_are_held_once() {
    ChainPool pool;
    const Authority other;
    const auto first = pool.intern(ecdsa("a.example.com").chain);
    const auto second = pool.intern(ecdsa("b.example.com").chain);
    const auto third = pool.intern(other.issue("c.example.com", KeyAlgorithm::ecdsa).chain);
    CPPUNIT_ASSERT(first && second && third);
    CPPUNIT_ASSERT(first->get() == second->get());
    CPPUNIT_ASSERT(first->get() != third->get());
    CPPUNIT_ASSERT(!pool.intern({Bytes{1, 2, 3}}));
  }

  void the_chain_is_shown_as_pem_without_the_key() {
    const std::string text = served_from({ecdsa("a.example.com"), rsa("a.example.com")})->pem_chain();
    const std::string begin = "-----BEGIN CERTIFICATE-----";
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, text.find(begin));
    CPPUNIT_ASSERT(text.find(begin, 1) != std::string::npos);
    CPPUNIT_ASSERT(text.find(begin, text.find(begin, 1) + 1) == std::string::npos);
    CPPUNIT_ASSERT(text.find("PRIVATE") == std::string::npos);
  }

  void a_stand_in_is_served_for_its_names() {
    const auto stand_in = make_placeholder("a.example.com", {{IdentifierKind::dns, "a.example.com"},
                                                             {IdentifierKind::dns, "*.b.example.com"},
                                                             {IdentifierKind::ip, "2001:db8::1"}});
    CPPUNIT_ASSERT_MESSAGE(stand_in ? "" : stand_in.error().message, stand_in);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, (*stand_in)->generation());
    const ServedCertificate* served = stand_in->get();
    const Handshakes handshakes(
        [](SSL* connection, void* argument) {
          return static_cast<const ServedCertificate*>(argument)->apply(connection) ? 1 : 0;
        },
        const_cast<ServedCertificate*>(served));
    const Shaken shaken = handshakes.shake({"a.example.com"});
    CPPUNIT_ASSERT_EQUAL(std::string("a.example.com"), shaken.common_name);
    CPPUNIT_ASSERT_EQUAL(1, shaken.chain_length);
    const TlsHandle connection(::SSL_new(handshakes.server()));
    CPPUNIT_ASSERT(served->apply(connection.get()));
    const auto facts = leaf_facts(catalog_steps::der_of(::SSL_get_certificate(connection.get())));
    CPPUNIT_ASSERT(facts);
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, facts->identifiers.size());
  }

  void an_open_challenge_is_answered_counted_and_wakes_the_agent() {
    catalog_ = shelf_.catalog(log_);
    const Descriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const auto slot = shelf_.board().add_answer(ChallengeKind::http_01, "token", "token.thumbprint",
                                                std::chrono::system_clock::now() + std::chrono::hours(1));
    CPPUNIT_ASSERT(slot);
    CPPUNIT_ASSERT(!catalog_->answer(ChallengeKind::http_01, "unknown", wake.get()));
    pollfd readable{wake.get(), POLLIN, 0};
    CPPUNIT_ASSERT_EQUAL(0, ::poll(&readable, 1, 0));
    CPPUNIT_ASSERT_EQUAL(std::string("token.thumbprint"), *catalog_->answer(ChallengeKind::http_01, "token", wake.get()));
    CPPUNIT_ASSERT_EQUAL(1, ::poll(&readable, 1, 0));
    CPPUNIT_ASSERT(catalog_->answer(ChallengeKind::http_01, "token", -1));
    CPPUNIT_ASSERT_EQUAL(2U, shelf_.report().hits(*slot));
  }

  void a_cached_certificate_costs_at_most_8_kilobytes() {
    constexpr unsigned count = 200;
    std::vector<std::string> names;
    for (unsigned number = 0; number < count; ++number) {
      names.push_back("host-" + std::to_string(number) + ".customers.example.com");
      shelf_.write(names.back(), 1, {ecdsa(names.back())});
    }
    Site site = site_of(names, 1, count);
    CPPUNIT_ASSERT(catalog_->find(0));
    const std::size_t before = allocated();
    for (CertificateSlot slot = 1; slot < count; ++slot) CPPUNIT_ASSERT(catalog_->find(slot));
    const std::size_t each = (allocated() - before) / (count - 1);
    CPPUNIT_ASSERT_MESSAGE(std::to_string(each) + " bytes each", each > 0 && each <= 8192);
  }

 private:
  BundlePair ecdsa(const std::string& name) const { return authority_.issue(name, KeyAlgorithm::ecdsa); }
  BundlePair rsa(const std::string& name) const { return authority_.issue(name, KeyAlgorithm::rsa); }

  static std::size_t allocated() {
    return __sanitizer_get_current_allocated_bytes != nullptr ? __sanitizer_get_current_allocated_bytes()
                                                              : ::mallinfo2().uordblks;
  }

  static std::shared_ptr<const ServedCertificate> served_from(std::vector<BundlePair> pairs) {
    ChainPool pool;
    Bundle bundle;
    bundle.generation = 1;
    bundle.pairs = std::move(pairs);
    auto served = parse_bundle(bundle, pool);
    CPPUNIT_ASSERT_MESSAGE(served ? "" : served.error().message, served);
    return *served;
  }

  // Publishes all names, in the order of their slots, and makes the catalog.
  Site site_of(const std::vector<std::string>& names, std::uint64_t generation = 1, std::size_t capacity = 100) {
    catalog_ = shelf_.catalog(log_, capacity);
    Site site{catalog_.get(), {}};
    for (const std::string& name : names) {
      const CertificateSlot slot = shelf_.publish(name, generation);
      catalog_->know(slot, name);
      site.names.add({IdentifierKind::dns, name}, slot);
    }
    return site;
  }

  void damage(const std::string& name, std::uint64_t generation) const {
    const std::string file = shelf_.file_of(name, generation);
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  }

  const Authority authority_;
  const Shelf shelf_;
  KeptLog log_;
  std::unique_ptr<Catalog> catalog_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(CatalogServingTest);

}  // namespace evercert
