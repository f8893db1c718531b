#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "evercert/descriptor.h"
#include "evercert/launch.h"

namespace evercert {
namespace {

// What an agent finds in its two memory files may come from anybody who can start it.
class LaunchCarriedTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchCarriedTest);
  CPPUNIT_TEST(what_a_cycle_carries_comes_back);
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
