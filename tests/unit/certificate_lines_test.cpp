// How a configuration finds the lines of certificates that are stored.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>

#include "evercert/lines.h"
#include "serving/config/identifier.h"

namespace evercert {

class LinesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LinesTest);
  CPPUNIT_TEST(the_same_names_in_another_order_are_the_same_line);
  CPPUNIT_TEST(without_its_first_name_a_certificate_finds_the_smallest_line_that_has_them_all);
  CPPUNIT_TEST(with_a_name_in_front_it_finds_the_line_that_has_most_of_them);
  CPPUNIT_TEST(of_several_that_want_one_line_the_one_it_is_called_after_has_it);
  CPPUNIT_TEST(a_name_given_by_the_operator_is_never_looked_for_by_names);
  CPPUNIT_TEST(a_line_of_other_names_that_is_valid_lends_its_name_to_nobody);
  CPPUNIT_TEST(an_ended_line_is_found_by_its_whole_set_only);
  CPPUNIT_TEST(what_was_found_travels_with_the_settings);
  CPPUNIT_TEST(a_name_is_covered_by_the_very_name_before_a_wildcard);
  CPPUNIT_TEST(ten_thousand_lines_are_found_at_once);
  CPPUNIT_TEST_SUITE_END();

  using Time = std::chrono::system_clock::time_point;
  static std::vector<Identifier> names(const std::vector<std::string>& texts) {
    std::vector<Identifier> identifiers;
    for (const std::string& text : texts) identifiers.push_back({IdentifierKind::dns, text});
    return identifiers;
  }
  StoredLine line(const std::string& name, const std::vector<std::string>& texts, int days = 60) const {
    auto identifiers = names(texts);
    std::sort(identifiers.begin(), identifiers.end());
    return {name, 1, identifiers, {KeySpec{}}, "test", now_ + std::chrono::hours(24 * days)};
  }
  static CertificateSpec wish(const std::vector<std::string>& texts, const std::string& name = "") {
    CertificateSpec spec;
    spec.identifiers = names(texts);
    spec.named = !name.empty();
    spec.name = name.empty() ? certificate_name_of(spec.identifiers.front()) : name;
    spec.issuers = {"test"};
    spec.keys = {KeySpec{}};
    return spec;
  }
  // The names of the lines that were found, in the order of the wishes.
  std::vector<std::string> found(const std::vector<CertificateSpec>& wishes, const std::vector<StoredLine>& stored) {
    Plan plan;
    plan.certificates = wishes;
    settings_ = {};
    find_lines(plan, settings_, stored, now_);
    std::vector<std::string> lines;
    for (const auto& certificate : plan.certificates) lines.push_back(certificate.name);
    return lines;
  }
  using Names = std::vector<std::string>;

  void the_same_names_in_another_order_are_the_same_line() {
    CPPUNIT_ASSERT(Names{"a"} == found({wish({"b", "a"})}, {line("a", {"a", "b"}), line("b", {"b", "c", "a"})}));
  }

  void without_its_first_name_a_certificate_finds_the_smallest_line_that_has_them_all() {
    CPPUNIT_ASSERT(Names{"a"} == found({wish({"b"})}, {line("a", {"a", "b"}), line("x", {"x", "b", "c"})}));
  }

  void with_a_name_in_front_it_finds_the_line_that_has_most_of_them() {
    CPPUNIT_ASSERT(Names{"a"} == found({wish({"new", "a", "b"})}, {line("a", {"a", "b"}), line("b", {"b"})}));
  }

  void of_several_that_want_one_line_the_one_it_is_called_after_has_it() {
    CPPUNIT_ASSERT((Names{"b", "a"}) == found({wish({"b"}), wish({"a"})}, {line("a", {"a", "b"})}));
  }

  void a_name_given_by_the_operator_is_never_looked_for_by_names() {
    CPPUNIT_ASSERT((Names{"shop", "a"}) == found({wish({"a", "b"}, "shop"), wish({"a"})}, {line("a", {"a", "b"})}));
    CPPUNIT_ASSERT(settings_.global.settings.empty());
  }

  void a_line_of_other_names_that_is_valid_lends_its_name_to_nobody() {
    CPPUNIT_ASSERT(Names{"a-2"} == found({wish({"a"})}, {line("a", {"x", "y"})}));
    CPPUNIT_ASSERT(Names{"a"} == found({wish({"a"})}, {line("a", {"x", "y"}, -1)}));
  }

  void an_ended_line_is_found_by_its_whole_set_only() {
    CPPUNIT_ASSERT(Names{"a"} == found({wish({"b", "a"})}, {line("a", {"a", "b"}, -1)}));
    CPPUNIT_ASSERT(Names{"b"} == found({wish({"b"})}, {line("a", {"a", "b"}, -1)}));
    CPPUNIT_ASSERT(Names{"c"} == found({wish({"b", "a"})}, {line("a", {"a", "b"}, -1), line("c", {"b", "a"})}));
  }

  void what_was_found_travels_with_the_settings() {
    const std::string text = R"({"issuers": {"test": {"uri": "https://ca.test/dir"}},
      "certificates": [{"identifiers": ["b", "a"]}, {"identifiers": ["c"]}]})";
    Settings settings;
    CPPUNIT_ASSERT(read_settings_text(settings, text, "test.json"));
    DiskFiles files;
    Checked checked = check(settings, files, false);
    CPPUNIT_ASSERT(checked.plan);
    find_lines(*checked.plan, settings, {line("a", {"a", "b"})}, now_);
    Settings carried;
    CPPUNIT_ASSERT(read_settings_text(carried, to_json(settings), "carried.json"));
    const Checked again = check(carried, files, false);
    CPPUNIT_ASSERT(again.plan);
    CPPUNIT_ASSERT_EQUAL(std::string("a"), again.plan->certificates[0].name);
    CPPUNIT_ASSERT_EQUAL(std::string("c"), again.plan->certificates[1].name);
    CPPUNIT_ASSERT_EQUAL(std::string("b"), again.plan->certificates[0].identifiers.front().value);
  }

  void a_name_is_covered_by_the_very_name_before_a_wildcard() {
    LineIndex index({line("w", {"*.e.test"}, 80), line("x", {"x.e.test", "y.f.test"}, 20), line("old", {"z.g.test"}, -1)},
                    now_);
    CPPUNIT_ASSERT_EQUAL(std::string("x"), index.best_for(names({"x.e.test"}).front(), "")->name);
    CPPUNIT_ASSERT_EQUAL(std::string("w"), index.best_for(names({"x.e.test"}).front(), "x")->name);
    CPPUNIT_ASSERT(index.best_for(names({"z.g.test"}).front(), "") == nullptr);
    CPPUNIT_ASSERT(index.all_with(names({"x.e.test"})).size() == 1);  // a wildcard stands for itself only
    index.put(line("x", {"other.test"}));
    CPPUNIT_ASSERT(index.best_for(names({"y.f.test"}).front(), "") == nullptr);
  }

  void ten_thousand_lines_are_found_at_once() {
    std::vector<StoredLine> stored;
    std::vector<CertificateSpec> wishes;
    for (int i = 0; i < 10000; ++i) {
      const std::string first = "n" + std::to_string(i) + ".test";
      stored.push_back(line(first, {first, "www." + first}));
      wishes.push_back(wish({"www." + first, first}));
    }
    const auto lines = found(wishes, stored);
    for (std::size_t i = 0; i < lines.size(); ++i) CPPUNIT_ASSERT_EQUAL(stored[i].name, lines[i]);
  }

  const Time now_ = std::chrono::system_clock::now();
  Settings settings_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(LinesTest);

}  // namespace evercert
