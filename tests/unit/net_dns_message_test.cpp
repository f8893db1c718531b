#include <cppunit/extensions/HelperMacros.h>

#include "agent/net/dns_message.h"

namespace evercert {
namespace {

// Messages as name servers send them, octet by octet (RFC 1035 section 4.1).
class DnsMessageTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(DnsMessageTest);
  CPPUNIT_TEST(a_question_holds_name_type_and_the_wish_for_recursion);
  CPPUNIT_TEST(a_name_that_cannot_be_one_is_no_question);
  CPPUNIT_TEST(records_of_all_types_are_read);
  CPPUNIT_TEST(strings_of_a_text_record_are_joined);
  CPPUNIT_TEST(names_are_lower_case_without_the_last_dot);
  CPPUNIT_TEST(refusals_and_truncation_are_told);
  CPPUNIT_TEST(an_answer_to_another_question_is_refused);
  CPPUNIT_TEST(a_message_cut_anywhere_is_refused_or_read_in_part);
  CPPUNIT_TEST(an_update_names_zone_and_record_and_is_signed);
  CPPUNIT_TEST(an_update_that_is_not_signed_is_refused);
  CPPUNIT_TEST(a_value_longer_than_a_string_is_cut_into_several);
  CPPUNIT_TEST_SUITE_END();

  static Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }
  static std::string number(unsigned value, int size) {
    std::string text;
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) text += static_cast<char>((value >> shift) & 0xff);
    return text;
  }
  static std::string name(const std::string& dotted) {
    std::string text;
    for (std::size_t at = 0; at < dotted.size();) {
      const auto dot = std::min(dotted.find('.', at), dotted.size());
      text += static_cast<char>(dot - at);
      text += dotted.substr(at, dot - at);
      at = dot + 1;
    }
    return text + '\0';
  }
  static std::string record(const std::string& owner, unsigned type, const std::string& data) {
    return name(owner) + number(type, 2) + number(1, 2) + number(60, 4) + number(static_cast<unsigned>(data.size()), 2) + data;
  }
  // `flags`: those of RFC 1035 section 4.1.1; 0x8180 is a usual answer.
  static Bytes answer(const DnsMessage& asked, unsigned flags, const std::vector<std::string>& records) {
    std::string all = number(asked.id, 2) + number(flags, 2) + number(1, 2) + number(static_cast<unsigned>(records.size()), 2) +
                      number(0, 4) + name("www.example.test") + number(16, 2) + number(1, 2);
    for (const auto& one : records) all += one;
    return bytes(all);
  }
  static constexpr unsigned usual = 0x8180;
  const DnsMessage asked_ = *make_query({"www.example.test", DnsType::txt, true});
  const TsigKey key_ = [] {
    TsigKey key;
    key.name = "update";
    key.algorithm = "hmac-sha256";
    key.secret = Secret::from_text("c2VjcmV0IG9mIGEgdGVzdCBhbmQgbm90aGluZyBlbHNl");
    return key;
  }();

 public:
  void a_question_holds_name_type_and_the_wish_for_recursion() {
    const std::string wire(asked_.wire.begin(), asked_.wire.end());
    CPPUNIT_ASSERT(wire.find(name("www.example.test") + number(16, 2) + number(1, 2)) != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(1, asked_.wire[2] & 1);
    const auto direct = make_query({"www.example.test", DnsType::caa, false});
    CPPUNIT_ASSERT_EQUAL(0, direct->wire[2] & 1);
    CPPUNIT_ASSERT(std::string(direct->wire.begin(), direct->wire.end()).find(number(257, 2)) != std::string::npos);
  }

  void a_name_that_cannot_be_one_is_no_question() {
    CPPUNIT_ASSERT(!make_query({std::string(64, 'a') + ".test", DnsType::txt, true}));
    CPPUNIT_ASSERT(!make_query({"two..dots.test", DnsType::txt, true}));
  }

  void records_of_all_types_are_read() {
    const struct {
      DnsType type;
      unsigned number;
      std::string data;
      std::string value;
    } rows[] = {{DnsType::a, 1, "\x7f" + std::string(2, '\0') + "\x01", "127.0.0.1"},
                {DnsType::aaaa, 28, std::string(15, '\0') + "\x01", "::1"},
                {DnsType::ns, 2, name("ns1.example.test"), "ns1.example.test"},
                {DnsType::cname, 5, name("other.test"), "other.test"},
                {DnsType::soa, 6, name("ns1.example.test") + name("host.example.test") + number(1, 4) + std::string(16, '\0'),
                 "ns1.example.test"},
                {DnsType::txt, 16, std::string("\x05") + "value", "value"},
                {DnsType::caa, 257, std::string(1, '\0') + "\x05" + "issueca.example",
                 std::string(1, '\0') + "\x05" + "issueca.example"}};
    for (const auto& row : rows) {
      const auto read = read_answer(answer(asked_, usual, {record("www.example.test", row.number, row.data)}), asked_);
      CPPUNIT_ASSERT_MESSAGE(to_string(row.type), read && read->answer.size() == 1);
      CPPUNIT_ASSERT(read->answer.front().type == row.type);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(to_string(row.type), row.value, read->answer.front().value);
    }
    // Types that nobody here asks for are passed over.
    const auto other =
        read_answer(answer(asked_, usual, {record("www.example.test", 15, number(5, 2) + name("mx.test"))}), asked_);
    CPPUNIT_ASSERT(other && other->answer.empty());
  }

  void strings_of_a_text_record_are_joined() {
    const std::string data = std::string("\x03") + "abc" + '\0' + "\x02" + "de";
    const auto read = read_answer(answer(asked_, usual, {record("www.example.test", 16, data)}), asked_);
    CPPUNIT_ASSERT_EQUAL(std::string("abcde"), read->answer.front().value);
  }

  void names_are_lower_case_without_the_last_dot() {
    const auto read = read_answer(answer(asked_, usual, {record("WWW.Example.TEST", 5, name("Other.Test"))}), asked_);
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.test"), read->answer.front().name);
    CPPUNIT_ASSERT_EQUAL(std::string("other.test"), read->answer.front().value);
  }

  void refusals_and_truncation_are_told() {
    const auto refused = read_answer(answer(asked_, 0x8185, {}), asked_);
    CPPUNIT_ASSERT(refused && refused->code == 5);
    CPPUNIT_ASSERT_EQUAL(std::string("REFUSED (5)"), dns_code_text(refused->code));
    const auto nothing = read_answer(answer(asked_, 0x8183, {}), asked_);
    CPPUNIT_ASSERT(nothing && nothing->code == dns_no_such_name && !nothing->truncated);
    CPPUNIT_ASSERT(read_answer(answer(asked_, 0x8380, {}), asked_)->truncated);
  }

  void an_answer_to_another_question_is_refused() {
    Bytes other = answer(asked_, usual, {});
    other[1] = static_cast<std::uint8_t>(other[1] ^ 1U);
    CPPUNIT_ASSERT(!read_answer(other, asked_));
    CPPUNIT_ASSERT(!read_answer(answer(asked_, 0x0100, {}), asked_));  // a question, no answer
  }

  void a_message_cut_anywhere_is_refused_or_read_in_part() {
    const Bytes whole = answer(asked_, usual, {record("www.example.test", 16, std::string("\x05") + "value")});
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const auto read = read_answer(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), asked_);
      CPPUNIT_ASSERT_MESSAGE(std::to_string(size), !read || read->answer.empty());
      CPPUNIT_ASSERT(read || read.error().kind == ErrorKind::dns);
    }
  }

  void an_update_names_zone_and_record_and_is_signed() {
    const auto update = make_update("example.test", DnsChange::add, {"_proof.example.test", DnsType::txt, "value", 60}, key_);
    CPPUNIT_ASSERT(update && !update->mac.empty());
    const std::string wire(update->wire.begin(), update->wire.end());
    CPPUNIT_ASSERT_EQUAL(5, (update->wire[2] >> 3) & 15);  // RFC 2136 section 2.2
    CPPUNIT_ASSERT(wire.find(name("example.test") + number(6, 2)) != std::string::npos);
    CPPUNIT_ASSERT(wire.find("value") != std::string::npos && wire.find(name("update")) != std::string::npos);
    const auto removal =
        make_update("example.test", DnsChange::remove, {"_proof.example.test", DnsType::txt, "value", 60}, key_);
    CPPUNIT_ASSERT(removal && removal->wire != update->wire);
  }

  void an_update_that_is_not_signed_is_refused() {
    const auto update = make_update("example.test", DnsChange::add, {"_proof.example.test", DnsType::txt, "value", 60}, key_);
    const std::string bare = number(update->id, 2) + number(0xa800, 2) + std::string(8, '\0');
    const auto read = read_update_answer(bytes(bare), *update, key_);
    CPPUNIT_ASSERT(!read && read.error().kind == ErrorKind::dns);
  }

  void a_value_longer_than_a_string_is_cut_into_several() {
    const std::string value(300, 'v');
    const auto update = make_update("example.test", DnsChange::add, {"_proof.example.test", DnsType::txt, value, 60}, key_);
    CPPUNIT_ASSERT(update.has_value());
    const std::string wire(update->wire.begin(), update->wire.end());
    CPPUNIT_ASSERT(wire.find("\xff" + std::string(255, 'v') + "\x2d" + std::string(45, 'v')) != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(DnsMessageTest);

}  // namespace
}  // namespace evercert
