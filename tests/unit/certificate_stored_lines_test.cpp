// What is stored, among folders that nobody named.
#include <cppunit/extensions/HelperMacros.h>

#include "evercert/lines.h"
#include "serving/base/limits.h"
#include "serving/store/seal.h"
#include "store_fixture.h"

namespace evercert::test {

using namespace std::chrono_literals;

// Counts what is read whole.
class CountedFiles : public StateFiles {
 public:
  explicit CountedFiles(const StateFiles& files) : files_(files) {}
  [[nodiscard]] Result<std::optional<Bytes>> read(const std::string& path, std::size_t limit) const override {
    if (path != line_index_file) ++whole;
    return files_.read(path, limit);
  }
  [[nodiscard]] Result<std::optional<Bytes>> read_start(const std::string& path, std::size_t size) const override {
    ++starts;
    return files_.read_start(path, size);
  }
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override {
    if (fails_to_list) return Error{ErrorKind::storage, "a directory in the state directory holds more than a million files"};
    return files_.list(path);
  }
  mutable std::size_t whole = 0;
  mutable std::size_t starts = 0;
  bool fails_to_list = false;

 private:
  const StateFiles& files_;
};

class StoredLinesTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(StoredLinesTest);
  CPPUNIT_TEST(all_lines_are_found_within_the_budget);
  CPPUNIT_TEST(folders_end_the_look_and_the_plans_own_come_first);
  CPPUNIT_TEST(bytes_end_the_look);
  CPPUNIT_TEST(time_ends_the_look_but_the_index_is_believed);
  CPPUNIT_TEST(what_is_no_bundle_by_its_header_is_not_read_whole);
  CPPUNIT_TEST(the_index_is_believed_where_folders_cannot_be_listed);
  CPPUNIT_TEST_SUITE_END();

  using Names = std::vector<std::string>;

  std::string path(const std::string& below) const { return directory_ / ("state/" + below); }
  void store(const std::string& name) const {
    write_bytes(path(bundle_path(name, 1)), *seal_bundle(key_, make_bundle(name, ca_)));
  }
  void store_index(const Names& names) const {
    std::vector<StoredLine> lines;
    for (const std::string& name : names) lines.push_back({name, 1, {{IdentifierKind::dns, name}}, {KeySpec{}}, "test", {}});
    write_bytes(path(line_index_file), *seal_line_index(key_, lines));
  }
  // Sealed by its header, and as large as any may be.
  void forge(const std::string& name, std::uint64_t generation) const {
    Bytes file = *seal(key_, {SealedKind::bundle, name, generation}, {});
    file.resize(largest_bundle);
    write_bytes(path(bundle_path(name, generation)), file);
  }
  StoredLines look(const LookBudget& budget = {}, const Plan* plan = nullptr) {
    const auto state = StateReader::open(directory_.path());
    CPPUNIT_ASSERT(state);
    CountedFiles files(*state);
    files.fails_to_list = fails_to_list_;
    StoredLines found = stored_lines(files, key_, plan, budget);
    whole_ = files.whole;
    starts_ = files.starts;
    return found;
  }
  static Names names_of(const StoredLines& stored) {
    Names names;
    for (const StoredLine& line : stored.lines) names.push_back(line.name);
    return names;
  }
  static void assert_told(const std::string& words, const StoredLines& stored) {
    CPPUNIT_ASSERT_MESSAGE(stored.trouble, stored.trouble.starts_with(words));
    CPPUNIT_ASSERT_MESSAGE(stored.trouble, stored.trouble.find("see who made") != std::string::npos);
  }

  void all_lines_are_found_within_the_budget() {
    store("b.test");
    store("*.a.test");
    store("known.test");
    store_index({"known.test"});
    const StoredLines stored = look();
    CPPUNIT_ASSERT((Names{"*.a.test", "b.test", "known.test"}) == names_of(stored));
    CPPUNIT_ASSERT_EQUAL(std::string(), stored.trouble);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, whole_);
  }

  void folders_end_the_look_and_the_plans_own_come_first() {
    store("known.test");
    store_index({"known.test"});
    Plan plan;
    for (const char* const name : {"*.a.test", "b.test"}) {
      store(name);
      plan.certificates.emplace_back().name = name;
    }
    for (int i = 0; i < 20; ++i) std::filesystem::create_directories(path("certificates/x" + std::to_string(i)));
    const StoredLines stored = look({.folders = 2}, &plan);
    CPPUNIT_ASSERT((Names{"*.a.test", "b.test", "known.test"}) == names_of(stored));
    assert_told("20 of 22 folders in state/certificates", stored);
  }

  void bytes_end_the_look() {
    for (int folder = 0; folder < 10; ++folder)
      for (std::uint64_t generation = 1; generation <= 3; ++generation) forge("x" + std::to_string(folder), generation);
    assert_told("9 of 10 folders in state/certificates", look({.bytes = 4 * largest_bundle}));
    CPPUNIT_ASSERT_EQUAL(std::size_t{4}, whole_);
  }

  void time_ends_the_look_but_the_index_is_believed() {
    store("b.test");
    store("known.test");
    store_index({"known.test"});
    const StoredLines stored = look({.time = 0ms});
    CPPUNIT_ASSERT(Names{"known.test"} == names_of(stored));
    assert_told("1 of 1 folders", stored);
    CPPUNIT_ASSERT_EQUAL(std::size_t{0}, starts_);
  }

  void what_is_no_bundle_by_its_header_is_not_read_whole() {
    for (std::uint64_t generation = 2; generation <= 9; ++generation)
      write_bytes(path(bundle_path("b.test", generation)), Bytes(largest_bundle));
    write_bytes(path(bundle_path("b.test", 10)), Bytes(3));
    write_bytes(path(bundle_path("b.test", 11)), {});
    store("b.test");
    CPPUNIT_ASSERT(Names{"b.test"} == names_of(look()));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, whole_);
    CPPUNIT_ASSERT_EQUAL(std::size_t{11}, starts_);
  }

  void the_index_is_believed_where_folders_cannot_be_listed() {
    store("known.test");
    store_index({"known.test"});
    fails_to_list_ = true;
    const StoredLines stored = look();
    CPPUNIT_ASSERT(Names{"known.test"} == names_of(stored));
    assert_told("a directory in the state directory holds more than a million files; only the index", stored);
  }

  const TemporaryDirectory directory_;
  const SealKey key_ = fixed_keys().serving;
  const LittleCa ca_;
  bool fails_to_list_ = false;
  std::size_t whole_ = 0;
  std::size_t starts_ = 0;
};

CPPUNIT_TEST_SUITE_REGISTRATION(StoredLinesTest);

}  // namespace evercert::test
