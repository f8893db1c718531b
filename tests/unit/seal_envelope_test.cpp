#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>

#include "serving/base/encoding.h"
#include "serving/store/seal.h"
#include "store_fixture.h"

namespace evercert::test {

class SealEnvelopeTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(SealEnvelopeTest);
  CPPUNIT_TEST(what_was_sealed_opens_again);
  CPPUNIT_TEST(nothing_at_all_can_be_sealed_and_opened);
  CPPUNIT_TEST(two_seals_of_the_same_bytes_differ);
  CPPUNIT_TEST(an_empty_file_is_told_apart);
  CPPUNIT_TEST(a_foreign_file_is_told_apart);
  CPPUNIT_TEST(a_newer_format_is_told_apart);
  CPPUNIT_TEST(a_file_under_another_seal_key_is_locked);
  CPPUNIT_TEST(another_key_with_the_same_id_opens_nothing);
  CPPUNIT_TEST(a_file_does_not_open_under_another_name_generation_or_kind);
  CPPUNIT_TEST(a_truncated_file_never_opens);
  CPPUNIT_TEST(a_lengthened_file_never_opens);
  CPPUNIT_TEST(a_flipped_bit_is_always_noticed);
  CPPUNIT_TEST(faults_become_the_error_that_the_caller_must_act_on);
  CPPUNIT_TEST(an_unusable_key_seals_nothing);
  CPPUNIT_TEST(the_derivation_gives_the_example_of_rfc_5869);
  CPPUNIT_TEST(the_keys_of_a_seal_key_never_change);
  CPPUNIT_TEST(a_seal_key_survives_its_text_form);
  CPPUNIT_TEST(a_broken_seal_key_is_refused);
  CPPUNIT_TEST_SUITE_END();

  const SealKey key_ = fixed_keys().serving;
  const SealLabel label_{SealedKind::bundle, "www.example.com", 7};
  const Bytes content_ = bytes_of("a private key");

  [[nodiscard]] Bytes sealed() const { return *seal(key_, label_, content_); }
  [[nodiscard]] std::optional<SealFault> fault(BytesView file) const { return unseal(key_, label_, file).fault; }

  void what_was_sealed_opens_again() {
    const Unsealed opened = unseal(key_, label_, sealed());
    CPPUNIT_ASSERT(!opened.fault);
    CPPUNIT_ASSERT(std::ranges::equal(opened.content.view(), content_));
  }

  void nothing_at_all_can_be_sealed_and_opened() {
    const Unsealed opened = unseal(key_, label_, *seal(key_, label_, {}));
    CPPUNIT_ASSERT(!opened.fault && opened.content.empty());
  }

  void two_seals_of_the_same_bytes_differ() { CPPUNIT_ASSERT(sealed() != sealed()); }

  void an_empty_file_is_told_apart() { CPPUNIT_ASSERT(fault({}) == SealFault::empty); }

  void a_foreign_file_is_told_apart() {
    CPPUNIT_ASSERT(fault(bytes_of("-----BEGIN PRIVATE KEY-----")) == SealFault::foreign);
    CPPUNIT_ASSERT(fault(bytes_of("x")) == SealFault::foreign);
  }

  void a_newer_format_is_told_apart() {
    Bytes file = sealed();
    file[10] = 2;
    CPPUNIT_ASSERT(fault(file) == SealFault::newer);
    file.resize(11);  // a newer header may well be shorter than ours
    CPPUNIT_ASSERT(fault(file) == SealFault::newer);
    file[10] = 0;
    CPPUNIT_ASSERT(fault(file) == SealFault::damaged);
  }

  void a_file_under_another_seal_key_is_locked() {
    CPPUNIT_ASSERT(unseal(fixed_keys(8).serving, label_, sealed()).fault == SealFault::locked);
  }

  void another_key_with_the_same_id_opens_nothing() {
    CPPUNIT_ASSERT(unseal(fixed_keys().agent, label_, sealed()).fault == SealFault::damaged);
  }

  void a_file_does_not_open_under_another_name_generation_or_kind() {
    const Bytes file = sealed();
    CPPUNIT_ASSERT(unseal(key_, {SealedKind::bundle, "other.example.com", 7}, file).fault == SealFault::damaged);
    CPPUNIT_ASSERT(unseal(key_, {SealedKind::bundle, "www.example.com", 8}, file).fault == SealFault::damaged);
    CPPUNIT_ASSERT(unseal(key_, {SealedKind::order, "www.example.com", 7}, file).fault == SealFault::damaged);
  }

  void a_truncated_file_never_opens() {
    const Bytes whole = sealed();
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CPPUNIT_ASSERT(fault(BytesView(whole).subspan(0, length)) == (length == 0 ? SealFault::empty : SealFault::damaged));
    }
  }

  void a_lengthened_file_never_opens() {
    Bytes file = sealed();
    file.push_back(0);
    CPPUNIT_ASSERT(fault(file) == SealFault::damaged);
  }

  void a_flipped_bit_is_always_noticed() {
    const Bytes whole = sealed();
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Bytes flipped = whole;
      flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1U << (bit % 8)));
      const Unsealed opened = unseal(key_, label_, flipped);
      CPPUNIT_ASSERT(opened.fault.has_value() && opened.content.empty());
    }
  }

  void faults_become_the_error_that_the_caller_must_act_on() {
    for (const SealFault for_people : {SealFault::newer, SealFault::locked}) {
      CPPUNIT_ASSERT(seal_error(for_people, "it").kind == ErrorKind::action_required);
    }
    for (const SealFault lost : {SealFault::empty, SealFault::foreign, SealFault::damaged}) {
      CPPUNIT_ASSERT(seal_error(lost, "it").kind == ErrorKind::storage);
      CPPUNIT_ASSERT(seal_error(lost, "it").message.starts_with("it is damaged"));
    }
  }

  void an_unusable_key_seals_nothing() {
    CPPUNIT_ASSERT(!seal(SealKey{}, label_, content_));
    CPPUNIT_ASSERT(!seal(SealKey{key_.id, Secret(Bytes(16, 1))}, label_, content_));
    CPPUNIT_ASSERT(!seal(SealKey{"not hexadecimal!", key_.key}, label_, content_));
    CPPUNIT_ASSERT(unseal(SealKey{}, label_, sealed()).fault == SealFault::locked);
  }

  void the_derivation_gives_the_example_of_rfc_5869() {  // appendix A.1
    Bytes salt;
    for (std::uint8_t byte = 0; byte <= 0x0c; ++byte) salt.push_back(byte);
    std::string info;
    for (int byte = 0xf0; byte <= 0xf9; ++byte) info += static_cast<char>(byte);
    const auto derived = hkdf_sha256(Bytes(22, 0x0b), salt, info, 42);
    CPPUNIT_ASSERT_EQUAL(std::string("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
                         to_hex(derived->view()));
  }

  void the_keys_of_a_seal_key_never_change() {
    const SealKeys keys = fixed_keys();
    CPPUNIT_ASSERT_EQUAL(std::string("ea9f755b2e3d1133"), keys.serving.id);
    CPPUNIT_ASSERT_EQUAL(keys.serving.id, keys.agent.id);
    CPPUNIT_ASSERT_EQUAL(std::string("f4b2d8dd284bc318"), to_hex(sha256(keys.serving.key.view())).substr(0, 16));
    CPPUNIT_ASSERT_EQUAL(std::string("92076477bbe40c99"), to_hex(sha256(keys.agent.key.view())).substr(0, 16));
  }

  void a_seal_key_survives_its_text_form() {
    const Secret root(Bytes(32, 0xfe));
    const auto read = read_seal_key_text(seal_key_text(root).view(), "seal.key");
    CPPUNIT_ASSERT(read && std::ranges::equal(read->view(), root.view()));
  }

  void a_broken_seal_key_is_refused() {
    const Bytes whole = bytes_of(seal_key_text(Secret(Bytes(32, 0xfe))).text());
    for (std::size_t length = 0; length + 1 < whole.size(); ++length) {
      CPPUNIT_ASSERT(!read_seal_key_text(BytesView(whole).subspan(0, length), "seal.key"));
    }
    const auto newer = read_seal_key_text(bytes_of("evercert-seal-key 2 something\n"), "seal.key");
    CPPUNIT_ASSERT(newer.error().kind == ErrorKind::action_required);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(SealEnvelopeTest);

}  // namespace evercert::test
