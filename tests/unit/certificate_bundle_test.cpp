#include <cppunit/extensions/HelperMacros.h>
#include <openssl/err.h>

#include <algorithm>

#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/certificate/read_certificate.h"
#include "serving/key/key_provider.h"
#include "serving/store/seal.h"
#include "store_fixture.h"

namespace evercert::test {

class StoreBundleTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreBundleTest);
  CPPUNIT_TEST(a_bundle_comes_back_whole);
  CPPUNIT_TEST(a_reference_takes_the_place_of_key_bytes);
  CPPUNIT_TEST(a_bundle_does_not_open_under_another_name_or_generation);
  CPPUNIT_TEST(a_truncated_bundle_never_opens);
  CPPUNIT_TEST(a_flipped_bit_anywhere_never_opens);
  CPPUNIT_TEST(newer_contents_are_for_people);
  CPPUNIT_TEST(contents_of_another_shape_are_damaged);
  CPPUNIT_TEST(a_good_bundle_is_proved);
  CPPUNIT_TEST(a_key_of_another_leaf_is_found);
  CPPUNIT_TEST(a_leaf_with_fewer_names_is_found_and_one_with_more_is_good);
  CPPUNIT_TEST(dates_that_make_no_sense_are_found);
  CPPUNIT_TEST(a_chain_that_does_not_link_up_is_found);
  CPPUNIT_TEST(a_leaf_of_another_kind_of_key_is_found);
  CPPUNIT_TEST(bytes_that_are_no_certificate_are_found);
  CPPUNIT_TEST(facts_are_read_off_a_leaf);
  CPPUNIT_TEST(public_keys_are_found_in_certificates_and_requests);
  CPPUNIT_TEST(bytes_cut_anywhere_hold_no_public_key);
  CPPUNIT_TEST(a_certificate_read_twice_is_the_same_object);
  CPPUNIT_TEST(the_path_holds_name_and_generation);
  CPPUNIT_TEST_SUITE_END();

 public:
  void tearDown() override { CPPUNIT_ASSERT_EQUAL(0UL, ERR_peek_error()); }

 private:
  const SealKey key_ = fixed_keys().serving;
  const LittleCa ca_;
  const std::chrono::system_clock::time_point now_ = std::chrono::system_clock::now();

  [[nodiscard]] std::string proof_of(const Bundle& bundle) const {
    const auto verified = verify_bundle(bundle, now_);
    if (verified) return "proved";
    CPPUNIT_ASSERT(verified.error().kind == ErrorKind::storage);
    return verified.error().message;
  }
  static void assert_says(const std::string& part, const std::string& whole) {
    CPPUNIT_ASSERT_MESSAGE(whole, whole.find(part) != std::string::npos);
  }

  void a_bundle_comes_back_whole() {
    Bundle bundle = make_bundle("www.example.com", ca_, {KeySpec{}, KeySpec{KeyAlgorithm::rsa, 2048}});
    bundle.generation = 5;
    bundle.identifiers.push_back({IdentifierKind::ip, "2001:db8::1"});
    const auto opened = open_bundle(key_, "www.example.com", 5, *seal_bundle(key_, bundle));
    CPPUNIT_ASSERT(opened.has_value());
    CPPUNIT_ASSERT_EQUAL(bundle.name, opened->name);
    CPPUNIT_ASSERT_EQUAL(bundle.generation, opened->generation);
    CPPUNIT_ASSERT_EQUAL(bundle.issuer, opened->issuer);
    CPPUNIT_ASSERT_EQUAL(bundle.origin, opened->origin);
    CPPUNIT_ASSERT(bundle.issued_at == opened->issued_at && bundle.identifiers == opened->identifiers);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, opened->pairs.size());
    for (std::size_t at = 0; at < 2; ++at) {
      CPPUNIT_ASSERT(bundle.pairs[at].key == opened->pairs[at].key && bundle.pairs[at].leaf == opened->pairs[at].leaf);
      CPPUNIT_ASSERT(bundle.pairs[at].chain == opened->pairs[at].chain);
      CPPUNIT_ASSERT(std::ranges::equal(bundle.pairs[at].private_key.view(), opened->pairs[at].private_key.view()));
    }
  }

  void a_reference_takes_the_place_of_key_bytes() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.pairs[0].private_key.wipe();
    bundle.pairs[0].reference = "pkcs11:token=t;object=o";
    const auto opened = open_bundle(key_, "a", 1, *seal_bundle(key_, bundle));
    CPPUNIT_ASSERT_EQUAL(bundle.pairs[0].reference, opened->pairs[0].reference);
    CPPUNIT_ASSERT(opened->pairs[0].private_key.empty());
    CPPUNIT_ASSERT_EQUAL(std::string("proved"), proof_of(*opened));
  }

  void a_bundle_does_not_open_under_another_name_or_generation() {
    const Bytes file = *seal_bundle(key_, make_bundle("a", ca_));
    CPPUNIT_ASSERT(open_bundle(key_, "b", 1, file).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(open_bundle(key_, "a", 2, file).error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(open_bundle(fixed_keys(9).serving, "a", 1, file).error().kind == ErrorKind::action_required);
  }

  void a_truncated_bundle_never_opens() {
    const Bytes file = *seal_bundle(key_, make_bundle("a", ca_));
    for (std::size_t length = 0; length < file.size(); ++length) {
      CPPUNIT_ASSERT(open_bundle(key_, "a", 1, BytesView(file).subspan(0, length)).error().kind == ErrorKind::storage);
    }
  }

  void a_flipped_bit_anywhere_never_opens() {
    Bytes file = *seal_bundle(key_, make_bundle("a", ca_));
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
      const auto mask = static_cast<std::uint8_t>(1U << (bit % 8));
      file[bit / 8] ^= mask;
      CPPUNIT_ASSERT(!open_bundle(key_, "a", 1, file));
      file[bit / 8] ^= mask;
    }
    CPPUNIT_ASSERT(open_bundle(key_, "a", 1, file).has_value());
  }

  [[nodiscard]] Result<Bundle> open_document(const Json& document) const {
    return open_bundle(key_, "a", 1, *seal(key_, {SealedKind::bundle, "a", 1}, Json::to_cbor(document)));
  }

  void newer_contents_are_for_people() {
    CPPUNIT_ASSERT(open_document({{"format", 2}, {"name", "a"}}).error().kind == ErrorKind::action_required);
  }

  void contents_of_another_shape_are_damaged() {
    const Json pair = {
        {"key", "ecdsa:256"}, {"leaf", Json::binary({1})}, {"chain", Json::array()}, {"private", Json::binary({2})}};
    const Json good = {{"format", 1},
                       {"name", "a"},
                       {"issuer", "i"},
                       {"identifiers", {{{"type", "dns"}, {"value", "a"}}}},
                       {"issued_at", 1000000},
                       {"origin", "order"},
                       {"pairs", Json::array({pair})}};
    CPPUNIT_ASSERT(open_document(good).has_value());
    for (const auto& [member, value] : good.items()) {
      for (const Json& wrong : {Json(), Json(nullptr), Json(-1.5), Json("text"), Json::array({1}), Json::object()}) {
        if (wrong.type() == value.type() && !wrong.is_array()) continue;
        Json changed = good;
        changed[member] = wrong;
        const auto opened = open_document(changed);
        CPPUNIT_ASSERT_MESSAGE(member, !opened && opened.error().kind == ErrorKind::storage);
        assert_says("damaged", opened.error().message);
      }
    }
    for (const auto& [member, value] : pair.items()) {
      Json changed = good;
      changed["pairs"][0].erase(member);
      CPPUNIT_ASSERT(!open_document(changed));
    }
    CPPUNIT_ASSERT(!open_document(Json::array()));
    CPPUNIT_ASSERT(!open_bundle(key_, "a", 1, *seal(key_, {SealedKind::bundle, "a", 1}, bytes_of("\xff no CBOR"))));
  }

  void a_good_bundle_is_proved() {
    CPPUNIT_ASSERT_EQUAL(
        std::string("proved"),
        proof_of(make_bundle("a", ca_, {KeySpec{}, KeySpec{KeyAlgorithm::rsa, 2048}, {KeyAlgorithm::ecdsa, 384}})));
  }

  void a_key_of_another_leaf_is_found() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.pairs[0].private_key = make_bundle("a", ca_).pairs[0].private_key;
    assert_says("does not match", proof_of(bundle));
    bundle.pairs[0].private_key.wipe();
    assert_says("no bytes", proof_of(bundle));
  }

  void a_leaf_with_fewer_names_is_found_and_one_with_more_is_good() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.identifiers.push_back({IdentifierKind::dns, "more.example.com"});
    assert_says("does not cover more.example.com", proof_of(bundle));
    bundle.identifiers = {{IdentifierKind::dns, "www.example.com"}};
    // What the CA has added does no harm.
    CPPUNIT_ASSERT_EQUAL(std::string("proved"), proof_of(bundle));
    bundle.pairs = {ca_.issue({}, {})};
    assert_says("does not cover www.example.com", proof_of(bundle));
  }

  void dates_that_make_no_sense_are_found() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.pairs = {ca_.issue({}, {.identifiers = bundle.identifiers, .begins = std::chrono::hours(1)})};
    assert_says("not valid yet", proof_of(bundle));
    bundle.pairs = {
        ca_.issue({}, {.identifiers = bundle.identifiers, .begins = std::chrono::hours(-2), .ends = std::chrono::hours(-3)})};
    assert_says("ends before it begins", proof_of(bundle));
    bundle.pairs = {
        ca_.issue({}, {.identifiers = bundle.identifiers, .begins = std::chrono::hours(-9), .ends = std::chrono::hours(-3)})};
    CPPUNIT_ASSERT_EQUAL(std::string("proved"), proof_of(bundle));  // expired, which is renewal's affair
    // The clock's nanoseconds end in 2262.
    for (const int years : {240, 300, 7000}) {
      bundle.pairs = {ca_.issue({}, {.identifiers = bundle.identifiers, .ends = std::chrono::hours(years * 365 * 24)})};
      CPPUNIT_ASSERT_EQUAL(std::string("proved"), proof_of(bundle));
      const auto facts = leaf_facts(bundle.pairs[0].leaf);
      CPPUNIT_ASSERT(facts->not_after > now_ + std::chrono::hours(200 * 365 * 24));
    }
  }

  void a_chain_that_does_not_link_up_is_found() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.pairs[0].chain.push_back(ca_.root());
    CPPUNIT_ASSERT_EQUAL(std::string("proved"), proof_of(bundle));
    std::swap(bundle.pairs[0].chain[0], bundle.pairs[0].chain[1]);
    assert_says("does not link up", proof_of(bundle));
    // The same names, other keys.
    bundle.pairs[0].chain = LittleCa().issue({}, {}).chain;
    assert_says("certificate 1 of the chain", proof_of(bundle));
  }

  void a_leaf_of_another_kind_of_key_is_found() {
    Bundle bundle = make_bundle("a", ca_);
    bundle.pairs[0].key = {KeyAlgorithm::rsa, 2048};
    assert_says("ecdsa:256 instead of rsa:2048", proof_of(bundle));
  }

  void bytes_that_are_no_certificate_are_found() {
    const Bundle bundle = make_bundle("a", ca_);
    const Bytes& leaf = bundle.pairs[0].leaf;
    for (std::size_t length = 0; length < leaf.size(); ++length) {
      Bundle broken = bundle;
      broken.pairs[0].leaf.resize(length);
      CPPUNIT_ASSERT(proof_of(broken) != "proved");
    }
    Bundle none = bundle;
    none.pairs.clear();
    assert_says("there is none", proof_of(none));
    Bundle chain = bundle;
    chain.pairs[0].chain[0].pop_back();
    assert_says("cannot be read", proof_of(chain));
  }

  void facts_are_read_off_a_leaf() {
    const BundlePair pair = ca_.issue({}, {.identifiers = {{IdentifierKind::dns, "WWW.example.com"},
                                                           {IdentifierKind::ip, "192.0.2.1"},
                                                           {IdentifierKind::ip, "2001:DB8:0:0:0:0:0:1"}}});
    const auto facts = leaf_facts(pair.leaf);
    CPPUNIT_ASSERT(facts.has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("1234abcd"), facts->serial);
    CPPUNIT_ASSERT(facts->not_after - facts->not_before == std::chrono::hours(24 * 90 + 1));
    CPPUNIT_ASSERT(facts->identifiers == (std::vector<Identifier>{{IdentifierKind::dns, "www.example.com"},
                                                                  {IdentifierKind::ip, "192.0.2.1"},
                                                                  {IdentifierKind::ip, "2001:db8::1"}}));
    CPPUNIT_ASSERT(facts->sha256 == sha256(pair.leaf));
    CPPUNIT_ASSERT(!leaf_facts({}));
  }

  static Bytes public_key_of(EVP_PKEY* key) {
    std::uint8_t* begin = nullptr;
    const int size = i2d_PUBKEY(key, &begin);
    const OpensslBytesHandle owned(begin);
    return {begin, begin + size};
  }

  void public_keys_are_found_in_certificates_and_requests() {
    for (const KeySpec& spec : {KeySpec{}, KeySpec{KeyAlgorithm::rsa, 2048}}) {
      const auto key = make_file_keys()->generate(spec);
      const Bytes expected = public_key_of(key->handle.get());
      const auto request = make_request(*key, {{IdentifierKind::dns, "www.example.com"}}, true);
      CPPUNIT_ASSERT(std::ranges::equal(expected, public_key_in_request(*request)));
      const auto certificate = make_certificate(key->handle.get(), "leaf", {}, nullptr, key->handle.get());
      CPPUNIT_ASSERT(std::ranges::equal(expected, public_key_in_certificate(der_of(certificate.get()))));
      // RFC 5280 section 4.1.2.1: version 1 is not written.
      CPPUNIT_ASSERT_EQUAL(1, X509_set_version(certificate.get(), X509_VERSION_1));
      CPPUNIT_ASSERT(X509_sign(certificate.get(), key->handle.get(), EVP_sha256()) > 0);
      CPPUNIT_ASSERT(std::ranges::equal(expected, public_key_in_certificate(der_of(certificate.get()))));
    }
  }

  void bytes_cut_anywhere_hold_no_public_key() {
    const auto key = make_file_keys()->generate({});
    const Bytes request = *make_request(*key, {{IdentifierKind::dns, "www.example.com"}}, true);
    const Bytes leaf = ca_.issue({}, {}).leaf;
    for (std::size_t length = 0; length < std::max(request.size(), leaf.size()); ++length) {
      // A copy of exactly that size: a read past the end is seen by the sanitizers.
      const Bytes request_part(request.begin(),
                               request.begin() + static_cast<std::ptrdiff_t>(std::min(length, request.size() - 1)));
      const Bytes leaf_part(leaf.begin(), leaf.begin() + static_cast<std::ptrdiff_t>(std::min(length, leaf.size() - 1)));
      CPPUNIT_ASSERT(public_key_in_request(request_part).empty());
      CPPUNIT_ASSERT(public_key_in_certificate(leaf_part).empty());
    }
  }

  void a_certificate_read_twice_is_the_same_object() {
    const Bytes leaf = ca_.issue({}, {}).leaf;
    const auto first = read_certificate(leaf);
    const auto again = read_certificate(leaf);
    CPPUNIT_ASSERT(first && again && first->get() == again->get());
    // Many others in between: it is read anew, and the first one is still ours.
    for (int count = 0; count < 100; ++count) CPPUNIT_ASSERT(read_certificate(ca_.issue({}, {}).leaf).has_value());
    const auto anew = read_certificate(leaf);
    CPPUNIT_ASSERT(anew && first->get() != anew->get() && X509_cmp(first->get(), anew->get()) == 0);
  }

  void the_path_holds_name_and_generation() {
    CPPUNIT_ASSERT_EQUAL(std::string("certificates/_wildcard_.example.com/12.bundle"), bundle_path("*.example.com", 12));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreBundleTest);

}  // namespace evercert::test
