#include <cppunit/extensions/HelperMacros.h>

#include "store_fixture.h"

namespace evercert::test {

class StoreFillTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoreFillTest);
  CPPUNIT_TEST(the_newest_generation_is_put_on_the_board);
  CPPUNIT_TEST(a_damaged_generation_gives_way_to_the_one_before);
  CPPUNIT_TEST(a_locked_generation_is_reported_for_people);
  CPPUNIT_TEST(a_certificate_without_bundles_has_a_slot_and_nothing_to_serve);
  CPPUNIT_TEST(a_lost_seal_key_does_not_flood_the_log);
  CPPUNIT_TEST_SUITE_END();

  class Lines : public Logger {
   public:
    void write(LogLevel level, std::string_view line) override {
      lines.emplace_back(line);
      if (level == LogLevel::error) ++errors;
    }
    std::vector<std::string> lines;
    int errors = 0;
  };

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "evercert";
  const SealKey key_ = fixed_keys().serving;
  Lines log_;

  void put(const std::string& name, std::uint64_t generation, const SealKey& key) const {
    static const Bundle pattern = make_bundle("pattern");
    Bundle bundle = pattern;
    bundle.name = name;
    bundle.generation = generation;
    write_bytes(path_ + "/state/" + bundle_path(name, generation), *seal_bundle(key, bundle));
  }

  [[nodiscard]] Board fill(const std::vector<std::string>& names) {
    Plan plan;
    for (const std::string& name : names) {
      plan.certificates.emplace_back();
      plan.certificates.back().name = name;
    }
    const auto memory = Board::create();
    CPPUNIT_ASSERT(memory.has_value());
    auto board = Board::map(memory->get(), Board::Access::write);
    CPPUNIT_ASSERT(board.has_value());
    CPPUNIT_ASSERT(prepare_state_directories(path_, geteuid(), getegid()).has_value());
    const auto state = StateReader::open(path_);
    CPPUNIT_ASSERT(state.has_value());
    fill_board(*board, *state, key_, plan, log_);
    return std::move(*board);
  }
  static std::uint64_t generation(const Board& board, const std::string& name) { return board.generation(*board.find(name)); }

  void the_newest_generation_is_put_on_the_board() {
    put("a", 9, key_);
    put("a", 10, key_);
    put("*.example.com", 2, key_);
    const Board board = fill({"a", "*.example.com"});
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{10}, generation(board, "a"));
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{2}, generation(board, "*.example.com"));
    CPPUNIT_ASSERT(log_.lines.empty());
  }

  void a_damaged_generation_gives_way_to_the_one_before() {
    put("a", 1, key_);
    put("a", 2, key_);
    std::filesystem::resize_file(path_ + "/state/" + bundle_path("a", 2), 100);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, generation(fill({"a"}), "a"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.lines.size());
    CPPUNIT_ASSERT(log_.lines[0].find("damaged") != std::string::npos);
  }

  void a_locked_generation_is_reported_for_people() {
    put("a", 1, key_);
    put("a", 2, fixed_keys(9).serving);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{1}, generation(fill({"a"}), "a"));
    CPPUNIT_ASSERT_EQUAL(1, log_.errors);
    CPPUNIT_ASSERT(log_.lines[0].find("action required") != std::string::npos);
  }

  void a_certificate_without_bundles_has_a_slot_and_nothing_to_serve() {
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, generation(fill({"a"}), "a"));
    CPPUNIT_ASSERT(log_.lines.empty());
  }

  void a_lost_seal_key_does_not_flood_the_log() {
    std::vector<std::string> names;
    for (int number = 0; number < 100; ++number) {
      names.push_back("site" + std::to_string(number));
      put(names.back(), 1, fixed_keys(9).serving);
    }
    const Board board = fill(names);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{0}, generation(board, "site0"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{21}, log_.lines.size());
    CPPUNIT_ASSERT(log_.lines.back().starts_with("80 more"));
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(StoreFillTest);

}  // namespace evercert::test
