#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "serving/base/limits.h"

namespace evercert {
namespace {

// What an agent finds in its two memory files may come from anybody who can start it.
class LaunchCarriedTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchCarriedTest);
  CPPUNIT_TEST(what_a_cycle_carries_comes_back);
  CPPUNIT_TEST(what_the_reader_would_refuse_is_not_written);
  CPPUNIT_TEST(files_that_are_too_large_together_are_refused);
  CPPUNIT_TEST(a_file_that_can_still_change_is_refused);
  CPPUNIT_TEST(secrets_of_another_shape_are_refused_without_quoting_them);
  CPPUNIT_TEST(secrets_of_another_release_ask_for_a_restart);
  CPPUNIT_TEST_SUITE_END();

  static constexpr const char* marker = "bWFya2Vy";  // must never stand in a sentence

  static Descriptor sealed(const std::string& content, bool finally = true) {
    Descriptor file(memfd_create("carried", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(content.size()), write(file.get(), content.data(), content.size()));
    if (finally) {
      CPPUNIT_ASSERT_EQUAL(0, fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
    }
    return file;
  }

  void what_a_cycle_carries_comes_back() {
    const SealKeys keys{{"0011223344556677", Secret(Bytes(32, 1))}, {"0011223344556677", Secret(Bytes(32, 2))}};
    DiskFiles files;
    const auto cycle = Cycle::create({}, keys, files, Descriptor(open("/dev/null", O_RDWR | O_CLOEXEC)));
    CPPUNIT_ASSERT(cycle.has_value());
    const auto carried = read_secrets(cycle->secrets.get());
    CPPUNIT_ASSERT_MESSAGE(carried ? "" : carried.error().message, carried.has_value());
    CPPUNIT_ASSERT_EQUAL(keys.serving.id, carried->keys.serving.id);
    CPPUNIT_ASSERT(std::ranges::equal(keys.serving.key.view(), carried->keys.serving.key.view()));
    CPPUNIT_ASSERT(std::ranges::equal(keys.agent.key.view(), carried->keys.agent.key.view()));
    CPPUNIT_ASSERT(read_memory_file(cycle->plan.get()).has_value());
  }

  // The reader's limit, to the byte.
  void what_the_reader_would_refuse_is_not_written() {
    DiskFiles files;
    Settings settings;
    const std::string start = "/";
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "program", std::array{start}, {}));
    const std::size_t room = largest_memory_file - to_json(settings).size();
    auto& word = settings.global.settings.front().words.front();
    word.append(room, 'x');
    CPPUNIT_ASSERT_EQUAL(largest_memory_file, to_json(settings).size());
    const SealKeys keys{{"0011223344556677", Secret(Bytes(32, 1))}, {"0011223344556677", Secret(Bytes(32, 2))}};
    CPPUNIT_ASSERT(Cycle::fits(settings, files));
    const auto cycle = Cycle::create(settings, keys, files, {});
    CPPUNIT_ASSERT(cycle && read_memory_file(cycle->plan.get()));
    word += 'x';
    for (const Error& error : {Cycle::fits(settings, files).error(), Cycle::create(settings, keys, files, {}).error()}) {
      CPPUNIT_ASSERT(error.kind == ErrorKind::configuration);
      CPPUNIT_ASSERT(error.message.find(std::to_string(largest_memory_file + 1) + " bytes") != std::string::npos);
      CPPUNIT_ASSERT(error.message.find(std::to_string(largest_memory_file) + " is the most") != std::string::npos);
    }
  }

  void files_that_are_too_large_together_are_refused() {
    const std::string path = std::filesystem::temp_directory_path() / ("evercert-carried-" + std::to_string(::getpid()));
    std::ofstream(path) << std::string(largest_named_file, 'x');
    DiskFiles files;
    // One file under many names: what is carried is counted by name.
    std::string name = path;
    while (Cycle::fits({}, files)) {
      CPPUNIT_ASSERT(files.carried().size() < 64);
      CPPUNIT_ASSERT(files.read(name, FileSource::Care::plain));
      name.insert(0, "/");
    }
    std::filesystem::remove(path);
    CPPUNIT_ASSERT(files.carried().size() > 40);
    const SealKeys keys{{"0011223344556677", Secret(Bytes(32, 1))}, {"0011223344556677", Secret(Bytes(32, 2))}};
    CPPUNIT_ASSERT(Cycle::create({}, keys, files, {}).error().kind == ErrorKind::configuration);
  }

  void a_file_that_can_still_change_is_refused() {
    CPPUNIT_ASSERT(!read_memory_file(sealed("{}", false).get()));
    CPPUNIT_ASSERT(!read_memory_file(Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)).get()));
    CPPUNIT_ASSERT(!read_memory_file(-1));
  }

  void secrets_of_another_shape_are_refused_without_quoting_them() {
    const std::string word = marker;
    for (const std::string& content : std::vector<std::string>{
             "", "{\"" + word, "[\"" + word + "\"]", "{\"format\":1}",
             "{\"format\":1,\"seal\":{\"id\":\"0\",\"serving\":\"" + word + "!\",\"agent\":\"AA==\"},\"files\":{}}",
             "{\"format\":1,\"seal\":{\"id\":\"0\",\"serving\":\"AA==\"},\"files\":{}}",
             "{\"format\":1,\"seal\":\"" + word + "\",\"files\":{}}",
             "{\"format\":1,\"seal\":{\"id\":\"0\",\"serving\":\"AA==\",\"agent\":\"AA==\"},\"files\":[\"" + word + "\"]}",
             "{\"format\":1,\"seal\":{\"id\":\"0\",\"serving\":\"AA==\",\"agent\":\"AA==\"},\"files\":{\"/a\":7}}"}) {
      const auto carried = read_secrets(sealed(content).get());
      CPPUNIT_ASSERT_MESSAGE(content, !carried);
      CPPUNIT_ASSERT_MESSAGE(carried.error().message, carried.error().message.find(word) == std::string::npos);
    }
  }

  void secrets_of_another_release_ask_for_a_restart() {
    const auto carried = read_secrets(sealed("{\"format\":2}").get());
    CPPUNIT_ASSERT(!carried && carried.error().message.find("restart the server") != std::string::npos);
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(LaunchCarriedTest);

}  // namespace
}  // namespace evercert
