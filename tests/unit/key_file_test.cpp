#include <cppunit/extensions/HelperMacros.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <future>

#include "store_fixture.h"

namespace evercert::test {

using namespace std::string_literals;

class KeyFileTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(KeyFileTest);
  CPPUNIT_TEST(every_kind_of_key_is_made_and_opened_again);
  CPPUNIT_TEST(unknown_kinds_are_refused);
  CPPUNIT_TEST(broken_bytes_are_refused_at_every_length);
  CPPUNIT_TEST(keys_are_opened_by_many_threads_at_once);
  CPPUNIT_TEST(a_key_elsewhere_is_not_opened_from_bytes);
  CPPUNIT_TEST(a_request_names_all_identifiers_and_is_signed);
  CPPUNIT_TEST(a_common_name_is_added_when_wanted_and_short_enough);
  CPPUNIT_TEST(a_request_without_names_is_refused);
  CPPUNIT_TEST(pem_keys_of_three_kinds_are_read);
  CPPUNIT_TEST(an_encrypted_pem_key_is_refused_without_asking);
  CPPUNIT_TEST(curves_and_sizes_that_we_do_not_serve_are_refused);
  CPPUNIT_TEST_SUITE_END();

 public:
  void tearDown() override { CPPUNIT_ASSERT_EQUAL(0UL, ERR_peek_error()); }

 private:
  const std::unique_ptr<KeyProvider> keys_ = make_file_keys();

  static RequestHandle parse_request(const Bytes& der) {
    const std::uint8_t* at = der.data();
    return RequestHandle(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  }

  static std::vector<std::string> names_of(X509_REQ* request) {
    const ExtensionsHandle extensions(X509_REQ_get_extensions(request));
    const NamesHandle names(
        static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
    std::vector<std::string> found;
    for (int at = 0; at < sk_GENERAL_NAME_num(names.get()); ++at) {
      const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), at);
      const ASN1_STRING* const text = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
      found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                         static_cast<std::size_t>(ASN1_STRING_length(text)));
    }
    return found;
  }

  static std::string common_name_of(X509_REQ* request) {
    std::array<char, 256> text{};
    const int size = X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, text.data(),
                                               static_cast<int>(text.size()));
    return size < 0 ? "" : std::string(text.data());
  }

  static Secret pem_of(EVP_PKEY* key, const char* form, const EVP_CIPHER* cipher) {
    const BioHandle memory(BIO_new(BIO_s_mem()));
    const auto* const password = reinterpret_cast<const unsigned char*>("secret");
    const int size = cipher != nullptr ? 6 : 0;
    if (std::string_view(form) == "traditional") {
      PEM_write_bio_PrivateKey_traditional(memory.get(), key, cipher, password, size, nullptr, nullptr);
    } else {
      PEM_write_bio_PKCS8PrivateKey(memory.get(), key, cipher, cipher != nullptr ? "secret" : nullptr, size, nullptr, nullptr);
    }
    char* begin = nullptr;
    const long length = BIO_get_mem_data(memory.get(), &begin);
    return Secret::from_text({begin, static_cast<std::size_t>(length)});
  }

  void every_kind_of_key_is_made_and_opened_again() {
    for (const KeySpec& spec :
         {KeySpec{KeyAlgorithm::ecdsa, 256}, KeySpec{KeyAlgorithm::ecdsa, 384}, KeySpec{KeyAlgorithm::ecdsa, 521},
          KeySpec{KeyAlgorithm::rsa, 2048}, KeySpec{KeyAlgorithm::rsa, 3072}, KeySpec{KeyAlgorithm::rsa, 4096}}) {
      const auto made = keys_->generate(spec);
      CPPUNIT_ASSERT_MESSAGE(spec.text(), made.has_value());
      CPPUNIT_ASSERT(*spec_of(made->handle.get()) == spec);
      const auto opened = keys_->open(made->bytes, made->reference);
      CPPUNIT_ASSERT(opened && EVP_PKEY_eq(opened->handle.get(), made->handle.get()) == 1);
    }
  }

  void unknown_kinds_are_refused() {
    CPPUNIT_ASSERT(keys_->generate({KeyAlgorithm::ecdsa, 255}).error().kind == ErrorKind::key_provider);
    CPPUNIT_ASSERT(keys_->generate({KeyAlgorithm::rsa, 1024}).error().kind == ErrorKind::key_provider);
  }

  void broken_bytes_are_refused_at_every_length() {
    const auto made = keys_->generate({});
    const BytesView whole = made->bytes.view();
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const auto opened = keys_->open(Secret(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))), "");
      CPPUNIT_ASSERT(!opened && opened.error().kind == ErrorKind::key_provider);
    }
    Bytes longer(whole.begin(), whole.end());
    longer.push_back(0);
    CPPUNIT_ASSERT(!keys_->open(Secret(longer), ""));
  }

  void keys_are_opened_by_many_threads_at_once() {
    const auto first = keys_->generate({});
    const auto second = keys_->generate({KeyAlgorithm::rsa, 2048});
    std::vector<std::future<bool>> threads;
    for (const auto* made : {&*first, &*second, &*first, &*second}) {
      threads.push_back(std::async(std::launch::async, [this, made] {
        for (int round = 0; round < 50; ++round) {
          const auto opened = keys_->open(made->bytes, "");
          if (!opened || EVP_PKEY_eq(opened->handle.get(), made->handle.get()) != 1) return false;
        }
        return true;
      }));
    }
    for (auto& thread : threads) CPPUNIT_ASSERT(thread.get());
  }

  void a_key_elsewhere_is_not_opened_from_bytes() {
    CPPUNIT_ASSERT(keys_->open({}, "pkcs11:object=web").error().message.find("pkcs11:object=web") != std::string::npos);
  }

  void a_request_names_all_identifiers_and_is_signed() {
    for (const KeySpec& spec : {KeySpec{}, KeySpec{KeyAlgorithm::ecdsa, 384}, KeySpec{KeyAlgorithm::rsa, 2048}}) {
      const auto key = keys_->generate(spec);
      const auto der = make_request(*key,
                                    {{IdentifierKind::dns, "www.example.com"},
                                     {IdentifierKind::dns, "*.example.com"},
                                     {IdentifierKind::ip, "192.0.2.7"},
                                     {IdentifierKind::ip, "2001:db8::7"}},
                                    false);
      CPPUNIT_ASSERT(der.has_value());
      const RequestHandle request = parse_request(*der);
      CPPUNIT_ASSERT(X509_REQ_verify(request.get(), key->handle.get()) == 1);
      const auto names = names_of(request.get());
      CPPUNIT_ASSERT_EQUAL(std::size_t{4}, names.size());
      CPPUNIT_ASSERT(names[0] == "www.example.com" && names[1] == "*.example.com" && names[2] == "\xc0\x00\x02\x07"s);
      CPPUNIT_ASSERT(names[3].size() == 16 && names[3].back() == 7);
      CPPUNIT_ASSERT_EQUAL(0, X509_NAME_entry_count(X509_REQ_get_subject_name(request.get())));
    }
  }

  void a_common_name_is_added_when_wanted_and_short_enough() {
    const auto key = keys_->generate({});
    const std::string longer = std::string(53, 'a') + ".example.com";  // 65 characters
    const std::vector<Identifier> names{{IdentifierKind::ip, "192.0.2.7"}, {IdentifierKind::dns, "www.example.com"}};
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.com"), common_name_of(parse_request(*make_request(*key, names, true)).get()));
    const auto too_long = make_request(*key, {{IdentifierKind::dns, longer}}, true);
    CPPUNIT_ASSERT_EQUAL(std::string(), common_name_of(parse_request(*too_long).get()));
    const auto just_fits = make_request(*key, {{IdentifierKind::dns, longer.substr(1)}}, true);
    CPPUNIT_ASSERT_EQUAL(longer.substr(1), common_name_of(parse_request(*just_fits).get()));
  }

  void a_request_without_names_is_refused() {
    const auto key = keys_->generate({});
    CPPUNIT_ASSERT(make_request(*key, {}, false).error().kind == ErrorKind::key_provider);
    CPPUNIT_ASSERT(make_request(*key, {{IdentifierKind::ip, "not an address"}}, false).error().kind == ErrorKind::key_provider);
  }

  void pem_keys_of_three_kinds_are_read() {
    for (const KeySpec& spec : {KeySpec{}, KeySpec{KeyAlgorithm::rsa, 2048}}) {
      const auto key = keys_->generate(spec);
      for (const char* const form : {"traditional", "pkcs8"}) {
        const auto read = read_pem_key(pem_of(key->handle.get(), form, nullptr));
        CPPUNIT_ASSERT(read && std::ranges::equal(read->bytes.view(), key->bytes.view()));
      }
    }
    CPPUNIT_ASSERT(!read_pem_key(Secret::from_text("no key at all")));
    CPPUNIT_ASSERT(!read_pem_key({}));
  }

  void an_encrypted_pem_key_is_refused_without_asking() {
    const auto key = keys_->generate({});
    for (const char* const form : {"traditional", "pkcs8"}) {
      const auto read = read_pem_key(pem_of(key->handle.get(), form, EVP_aes_128_cbc()));
      CPPUNIT_ASSERT(!read && read.error().message.find("encrypted") != std::string::npos);
    }
  }

  void curves_and_sizes_that_we_do_not_serve_are_refused() {
    const KeyHandle strange_curve(EVP_EC_gen("secp256k1"));
    CPPUNIT_ASSERT(spec_of(strange_curve.get()).error().kind == ErrorKind::configuration);
    const KeyHandle other_kind(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    CPPUNIT_ASSERT(spec_of(other_kind.get()).error().kind == ErrorKind::configuration);
    const KeyHandle short_key(EVP_RSA_gen(1024));
    CPPUNIT_ASSERT(spec_of(short_key.get()).error().kind == ErrorKind::configuration);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(KeyFileTest);

}  // namespace evercert::test
