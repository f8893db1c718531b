#include <cppunit/extensions/HelperMacros.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "evercert/configuration.h"
#include "evercert/status.h"
#include "fake/state_directory.h"
#include "launch_steps.h"

namespace evercert {

using launch_steps::KeptLog;

// What every server's front end does with it, from the first directive to a process that serves.
class LaunchConfigurationTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchConfigurationTest);
  CPPUNIT_TEST(a_host_inherits_mode_and_options_from_above);
  CPPUNIT_TEST(a_host_becomes_a_section_with_the_facts_of_its_server);
  CPPUNIT_TEST(a_real_start_forgets_secrets_and_opens_in_processes_that_serve);
  CPPUNIT_TEST(a_restart_with_the_key_of_before_serves_on_without_an_agent);
  CPPUNIT_TEST(a_stand_in_is_given_only_where_it_is_wanted);
  CPPUNIT_TEST(a_stand_in_can_be_a_file);
  CPPUNIT_TEST(what_stands_in_the_way_of_exports_is_said_with_its_remedy);
  CPPUNIT_TEST(a_check_refuses_what_the_agent_would_not_read);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_check_refuses_what_the_agent_would_not_read() {
    const std::size_t limit = std::size_t{64} << 20;
    for (const std::size_t size : {limit / 2, limit}) {
      Configuration configuration(log_);
      const std::vector<std::string> program{"/" + std::string(size, 'x')};
      CPPUNIT_ASSERT(set(configuration.settings().global, Scope::global, "program", program, place_));
      const auto& complaints = configuration.check("nginx", "/unused", place_);
      const bool refused = std::any_of(complaints.begin(), complaints.end(), [&](const Complaint& complaint) {
        return complaint.severity == Complaint::Severity::error && complaint.place.text() == place_.text() &&
               complaint.message.find(std::to_string(limit) + " is the most") != std::string::npos;
      });
      CPPUNIT_ASSERT_EQUAL(size == limit, refused);
    }
  }

  void what_stands_in_the_way_of_exports_is_said_with_its_remedy() {
    const std::string folder = std::filesystem::temp_directory_path() / ("evercert-export-" + std::to_string(::getpid()));
    const auto says = [&](uid_t user, gid_t group, const std::string& words) {
      const auto trouble = export_trouble(folder, user, group);
      CPPUNIT_ASSERT_MESSAGE("\"" + trouble.value_or("nothing") + "\" should say \"" + words + "\"",
                             words.empty() ? !trouble : trouble && trouble->find(words) != std::string::npos);
    };
    CPPUNIT_ASSERT(!export_trouble("", 65534, 65534));
    says(65534, 65534, "install -d");
    std::ofstream(folder) << "a file";
    says(65534, 65534, "is no directory");
    std::filesystem::remove(folder);
    CPPUNIT_ASSERT_EQUAL(0, ::mkdir(folder.c_str(), 0755));
    says(::geteuid() == 0 ? 65534 : 0x7ffffffe, ::getegid(), "chown");
    says(::geteuid(), ::getegid(), "");
    // As an agent's user that owns the directory, but is not in its group.
    if (::geteuid() == 0) {
      CPPUNIT_ASSERT_EQUAL(0, ::chown(folder.c_str(), 65534, 0));
      says(65534, 65534, "usermod -aG");
      CPPUNIT_ASSERT_EQUAL(0, ::chmod(folder.c_str(), 02755));
      says(65534, 65534, "");
    }
    std::filesystem::remove(folder);
  }

  void a_host_inherits_mode_and_options_from_above() {
    HostWish above;
    above.mode = HostWish::Mode::on;
    CPPUNIT_ASSERT(set(above.options, Scope::certificate, "key", std::vector<std::string>{"rsa:2048"}, place_));
    CPPUNIT_ASSERT(set(above.options, Scope::certificate, "proof", std::vector<std::string>{"off"}, place_));
    HostWish below;
    CPPUNIT_ASSERT(set(below.options, Scope::certificate, "key", std::vector<std::string>{"ecdsa:384"}, place_));
    CPPUNIT_ASSERT(!below.active());
    below.inherit(above);
    CPPUNIT_ASSERT(below.active() && below.inherited);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, below.options.settings.size());
    CPPUNIT_ASSERT_EQUAL(std::string("ecdsa:384"), below.options.settings.front().words.front());
    HostWish off;
    off.mode = HostWish::Mode::off;
    off.inherit(above);
    CPPUNIT_ASSERT(!off.active());
  }

  void a_host_becomes_a_section_with_the_facts_of_its_server() {
    Configuration configuration(log_);
    Host host;
    configure(configuration, host, HostWish::Mode::each);
    CPPUNIT_ASSERT_MESSAGE(complaints(configuration), configuration.plan() != nullptr);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, configuration.plan()->certificates.size());
    CPPUNIT_ASSERT_EQUAL(std::uint16_t{8443}, configuration.plan()->certificates[0].proof_addresses.at(0).port);
    CPPUNIT_ASSERT_EQUAL(std::string("/usr/bin/true"), configuration.agent_program(1, 1)->path);
    CPPUNIT_ASSERT_EQUAL(std::string("Test/1"), configuration.plan()->server);
  }

  void a_real_start_forgets_secrets_and_opens_in_processes_that_serve() {
    Configuration configuration(log_);
    Host host;
    begin(configuration, host);
    CPPUNIT_ASSERT(configuration.plan() == nullptr && configuration.settings().issuers.empty());
    CPPUNIT_ASSERT(configuration.carried() && configuration.wake() >= 0);
    configuration.close_secrets();
    CPPUNIT_ASSERT(!configuration.carried() && !configuration.instance()->board.valid());
    const auto opened = configuration.open();
    CPPUNIT_ASSERT_MESSAGE(opened ? "" : opened.error().message, opened);
    CPPUNIT_ASSERT(configuration.catalog() != nullptr && configuration.state() != nullptr);
    CPPUNIT_ASSERT(!configuration.open());  // the key is given once
    CPPUNIT_ASSERT(!configuration.servable(host, "a.test"));
    const std::string* name = nullptr;
    CPPUNIT_ASSERT(configuration.certificate_for(host, "b.test", &name) == nullptr);
    CPPUNIT_ASSERT_EQUAL(std::string("a.test"), *name);
  }

  void a_restart_with_the_key_of_before_serves_on_without_an_agent() {
    Configuration before(log_);
    Host first;
    begin(before, first);
    const SealKey key = *before.serving_key();
    Configuration after(log_);
    Host second;
    configure(after, second, HostWish::Mode::on);
    const auto served = after.serve_on(*Instance::create(), key);
    CPPUNIT_ASSERT_MESSAGE(served ? "" : served.error().message, served);
    CPPUNIT_ASSERT(!after.carried() && after.open());
  }

  void a_stand_in_is_given_only_where_it_is_wanted() {
    wish_.options = {};
    CPPUNIT_ASSERT(set(wish_.options, Scope::certificate, "placeholder", std::vector<std::string>{"on"}, place_));
    Configuration configuration(log_);
    Host host;
    begin(configuration, host);
    CPPUNIT_ASSERT(configuration.open());
    CPPUNIT_ASSERT(configuration.servable(host, "a.test"));
    const auto stand_in = configuration.certificate_for(host, "a.test");
    CPPUNIT_ASSERT(stand_in != nullptr && stand_in == configuration.certificate_for(host, "b.test"));
    host.has_own = true;
    CPPUNIT_ASSERT(configuration.certificate_for(host, "a.test") == nullptr);
  }

  void a_stand_in_can_be_a_file() {
    PlaceholderFile file;
    const auto path = file.write("a.test", {{IdentifierKind::dns, "a.test"}});
    CPPUNIT_ASSERT(path);
    std::ifstream text(*path);
    const std::string pem(std::istreambuf_iterator<char>(text), {});
    CPPUNIT_ASSERT(pem.find("BEGIN CERTIFICATE") != std::string::npos);
    CPPUNIT_ASSERT(pem.find("BEGIN PRIVATE KEY") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(*path, *file.write("b.test", {{IdentifierKind::dns, "b.test"}}));
    file.close();
    CPPUNIT_ASSERT(!std::filesystem::exists(*path));
  }

 private:
  void configure(Configuration& configuration, Host& host, HostWish::Mode mode) {
    Settings& settings = configuration.settings();
    CPPUNIT_ASSERT(set(settings.global, Scope::global, "state_path", std::vector<std::string>{directory_.path()}, place_));
    Section issuer;
    issuer.name = "only";
    CPPUNIT_ASSERT(set(issuer, Scope::issuer, "uri", std::vector<std::string>{"https://ca.test/directory"}, place_));
    CPPUNIT_ASSERT(set(issuer, Scope::issuer, "accept_terms_of_service", std::vector<std::string>{"on"}, place_));
    settings.issuers.push_back(issuer);
    wish_.mode = mode;
    wish_.place = place_;
    const auto added = configuration.add_host(host, wish_, {place_, {"a.test", "b.test"}, {{"127.0.0.1:8443"}}, {"80"}});
    CPPUNIT_ASSERT_MESSAGE(added ? "" : added.error().message, added);
    configuration.check("Test/1", "/usr/bin/true", place_);
  }

  void begin(Configuration& configuration, Host& host) {
    configure(configuration, host, HostWish::Mode::on);
    CPPUNIT_ASSERT_MESSAGE(complaints(configuration), configuration.plan() != nullptr);
    const auto begun = configuration.begin(*Instance::create());
    CPPUNIT_ASSERT_MESSAGE(begun ? "" : begun.error().message, begun);
  }

  std::string complaints(Configuration& configuration) {
    std::string all;
    for (const Complaint& complaint : configuration.check("Test/1", "/usr/bin/true", place_)) all += complaint.message + "\n";
    return all;
  }

  const Place place_{"/etc/test.conf", 7};
  StateDirectory directory_;
  KeptLog log_;
  HostWish wish_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(LaunchConfigurationTest);

}  // namespace evercert
