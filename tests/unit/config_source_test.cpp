// Files that a configuration names: from disk with care, from copies; and the example that we ship.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "serving/base/encoding.h"
#include "serving/platform/file_system.h"
#include "unit/config_fixture.h"

namespace evercert::test {

class FileSourceTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(FileSourceTest);
  CPPUNIT_TEST(a_file_is_read_and_carried);
  CPPUNIT_TEST(a_secret_that_everybody_can_read_is_refused_with_the_remedy);
  CPPUNIT_TEST(a_secret_that_everybody_can_change_is_refused);
  CPPUNIT_TEST(what_is_no_regular_file_is_refused_without_waiting);
  CPPUNIT_TEST(a_file_over_a_mebibyte_is_refused);
  CPPUNIT_TEST(a_missing_file_is_named_with_the_reason);
  CPPUNIT_TEST(copies_serve_what_came_along_and_nothing_else);
  CPPUNIT_TEST(an_agent_checks_the_same_settings_over_the_copies);
  CPPUNIT_TEST(network_file_systems_are_known_by_number);
  CPPUNIT_TEST(a_path_that_does_not_exist_lies_where_its_parent_lies);
  CPPUNIT_TEST(the_example_we_ship_passes_the_check);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("evercert-source-" + to_hex(random_bytes(8)));
    std::filesystem::create_directory(folder_);
  }

  void tearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void a_file_is_read_and_carried() {
    DiskFiles files;
    const std::string path = write("key", "secret", 0640);
    const auto read = files.read(path, FileSource::Care::secret);
    CPPUNIT_ASSERT(read);
    CPPUNIT_ASSERT_EQUAL(std::string("secret"), std::string(read->text()));
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, files.carried().size());
    CPPUNIT_ASSERT_EQUAL(std::string("secret"), std::string(files.carried().at(path).text()));
  }

  void a_secret_that_everybody_can_read_is_refused_with_the_remedy() {
    const std::string path = write("key", "hunter2", 0644);
    refused(path, FileSource::Care::secret, "chmod o-rw " + path);
    DiskFiles files;
    CPPUNIT_ASSERT(files.read(path, FileSource::Care::plain));
  }

  void a_secret_that_everybody_can_change_is_refused() {
    refused(write("key", "hunter2", 0602), FileSource::Care::secret, "everybody");
  }

  void what_is_no_regular_file_is_refused_without_waiting() {
    refused(folder_, FileSource::Care::plain, "is not a regular file");
    const std::string pipe = folder_ / "pipe";
    CPPUNIT_ASSERT_EQUAL(0, ::mkfifo(pipe.c_str(), 0600));
    refused(pipe, FileSource::Care::secret, "is not a regular file");
  }

  void a_file_over_a_mebibyte_is_refused() {
    DiskFiles files;
    CPPUNIT_ASSERT(files.read(write("most", std::string(1 << 20, 'a'), 0600), FileSource::Care::secret));
    refused(write("more", std::string((1 << 20) + 1, 'a'), 0600), FileSource::Care::plain, "larger than 1 MiB");
  }

  void a_missing_file_is_named_with_the_reason() {
    refused(folder_ / "gone", FileSource::Care::plain, (folder_ / "gone").string() + ": No such file or directory");
  }

  void copies_serve_what_came_along_and_nothing_else() {
    CarriedFiles files({{"/a", Secret::from_text("x")}});
    CPPUNIT_ASSERT_EQUAL(std::string("x"), std::string(files.read("/a", FileSource::Care::secret)->text()));
    const auto other = files.read("/etc/passwd", FileSource::Care::plain);
    CPPUNIT_ASSERT(!other);
    assert_contains(other.error().message, "/etc/passwd did not come along");
  }

  void an_agent_checks_the_same_settings_over_the_copies() {
    const std::string path = write("hmac", "c2VjcmV0\n", 0600);
    const Settings settings = settings_of(document(R"(, "external_account_key": ["kid", ")" + path + "\"]", ""));
    DiskFiles disk;
    CPPUNIT_ASSERT(check(settings, disk, false).plan.has_value());
    std::filesystem::remove(path);
    CarriedFiles carried(disk.carried());
    const Checked again = check(settings_of(to_json(settings)), carried, false);
    CPPUNIT_ASSERT_MESSAGE(all_of(again), again.plan.has_value());
    CPPUNIT_ASSERT_EQUAL(std::string("secret"), std::string(again.plan->issuers[0].external_account->hmac_key.text()));
  }

  void network_file_systems_are_known_by_number() {
    CPPUNIT_ASSERT_EQUAL(std::string("NFS"), network_file_system(0x6969).value_or(""));
    CPPUNIT_ASSERT_EQUAL(std::string("SMB"), network_file_system(0xff534d42).value_or(""));
    CPPUNIT_ASSERT_EQUAL(std::string("SMB"), network_file_system(static_cast<unsigned long>(-28095166L)).value_or(""));
    CPPUNIT_ASSERT_EQUAL(std::string("FUSE"), network_file_system(0x65735546).value_or(""));
    CPPUNIT_ASSERT_EQUAL(std::string("Ceph"), network_file_system(0x00c36400).value_or(""));
    CPPUNIT_ASSERT_EQUAL(std::string("9p"), network_file_system(0x01021997).value_or(""));
    for (const unsigned long local : {0xef53UL, 0x58465342UL, 0x9123683eUL, 0x794c7630UL, 0x01021994UL})
      CPPUNIT_ASSERT(!network_file_system(local));
  }

  void a_path_that_does_not_exist_lies_where_its_parent_lies() {
    CPPUNIT_ASSERT(network_file_system_of(folder_ / "a" / "b" / "c") == network_file_system_of(folder_));
    CPPUNIT_ASSERT(network_file_system_of("/nonexistent/a") == network_file_system_of("/"));
  }

  void the_example_we_ship_passes_the_check() {
    std::ifstream file(std::filesystem::path(EVERCERT_TEST_DATA "/../../conf/evercert.example.json").lexically_normal());
    std::string example((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    CPPUNIT_ASSERT(!example.empty());
    // Files named in it live below a folder of ours instead.
    write("shared.json", "{}", 0644);
    write("hmac.key", "c2VjcmV0", 0600);
    write("proxy.password", "secret\n", 0600);
    write("certinext.secret", "secret\n", 0600);
    write("update.key", "key \"update\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };\n", 0600);
    const std::string path = write("evercert.json", example, 0644);
    Settings settings;
    const auto read = read_settings_file(settings, path);
    CPPUNIT_ASSERT_MESSAGE(read ? "" : read.error().message, read.has_value());
    DiskFiles disk;
    Checked result = check(settings, disk, false);
    assert_error(result, "ssl_trusted_certificate", 55, "ca.pem: No such file or directory");
    for (Section& issuer : settings.issuers)
      std::erase_if(issuer.settings, [](const Setting& setting) { return setting.option->name == "ssl_trusted_certificate"; });
    result = check(settings, disk, false);
    CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value() && result.complaints.empty());
    for (const Option& option : options())
      if (!option.from_server && option.name != "shared_zone")
        CPPUNIT_ASSERT_MESSAGE(std::string(option.name),
                               example.find("\"" + std::string(option.name) + "\":") != std::string::npos);
  }

 private:
  std::string write(const std::string& name, const std::string& content, mode_t mode) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    CPPUNIT_ASSERT_EQUAL(0, ::chmod(path.c_str(), mode));
    return path;
  }

  static void refused(const std::string& path, FileSource::Care care, const std::string& part) {
    DiskFiles files;
    const auto read = files.read(path, care);
    CPPUNIT_ASSERT(!read);
    CPPUNIT_ASSERT(read.error().kind == ErrorKind::configuration);
    assert_contains(read.error().message, part);
    CPPUNIT_ASSERT(read.error().message.find("hunter2") == std::string::npos);
    CPPUNIT_ASSERT(files.carried().empty());
  }

  std::filesystem::path folder_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(FileSourceTest);

}  // namespace evercert::test
