// Import and rollback without a running agent: what other programs left is adopted once, and only when it holds.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/lead/election.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "unit/cli_ground.h"

namespace {

using namespace evercert;
using namespace evercert::cli_tests;

class ImportTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ImportTest);
  CPPUNIT_TEST(certbots_lineages_become_first_generations);
  CPPUNIT_TEST(nginx_acmes_state_becomes_first_generations);
  CPPUNIT_TEST(mod_mds_store_becomes_first_generations);
  CPPUNIT_TEST(what_is_there_already_is_skipped_and_what_lasts_longer_is_adopted);
  CPPUNIT_TEST(an_expired_certificate_is_skipped);
  CPPUNIT_TEST(a_key_that_does_not_match_is_refused);
  CPPUNIT_TEST(a_name_that_could_leave_its_folder_is_refused);
  CPPUNIT_TEST(only_the_names_asked_for_are_adopted);
  CPPUNIT_TEST(a_given_name_is_used_for_one_certificate_only);
  CPPUNIT_TEST(a_folder_without_certificates_is_an_error);
  CPPUNIT_TEST(a_running_agent_is_asked_to_adopt);
  CPPUNIT_TEST(an_agent_that_holds_its_lock_but_is_silent_is_exit_five);
  CPPUNIT_TEST(a_missing_state_directory_needs_a_user);
  CPPUNIT_TEST(a_user_other_than_the_owner_is_refused);
  CPPUNIT_TEST(an_import_before_the_first_start_is_listed_and_shown);
  CPPUNIT_TEST(root_gives_up_its_privileges_before_it_creates);
  CPPUNIT_TEST(rollback_serves_the_earlier_generation_again);
  CPPUNIT_TEST(rollback_without_an_earlier_generation_changes_nothing);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    folder_.emplace();
    std::filesystem::create_directories(folder_->path() + "/state");
    std::filesystem::create_directories(folder_->path() + "/other");
  }
  void tearDown() override { folder_.reset(); }

  void certbots_lineages_become_first_generations() {
    add_lineage("www.example.com", make_certificate("DNS:www.example.com,DNS:example.com", 86400));
    add_lineage("wild", make_certificate("DNS:*.example.org", 86400));
    write_text(live() + "/README", "not a lineage");
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out + outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.out, holds(outcome.out, "adopted"));
    CPPUNIT_ASSERT(stored("www.example.com", 1));
    CPPUNIT_ASSERT(stored("*.example.org", 1));
    const Outcome again = import({"certbot", live(), "--json"});
    Result<Json> json = parse_json(again.out, "import");
    CPPUNIT_ASSERT(json.has_value() && (*json)["format"] == 1 && (*json)["certificates"].size() == 2);
    CPPUNIT_ASSERT((*json)["certificates"][0]["verdict"] == "skipped");
  }
  void nginx_acmes_state_becomes_first_generations() {
    const MadeCertificate made = make_certificate("DNS:www.example.com", 86400);
    write_text(other() + "/www.example.com-1f2e3d4c5b6a7988.crt", made.pem);
    write_text(other() + "/www.example.com-1f2e3d4c5b6a7988.key", made.key_pem);
    write_text(other() + "/account.key", made.key_pem);
    const Outcome outcome = import({"nginx-acme", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out + outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT(stored("www.example.com", 1));
  }
  void mod_mds_store_becomes_first_generations() {
    // The CA put another name first; the store, and so the server, calls it after its own.
    for (const char* name : {"www", "plain", "waiting"})
      std::filesystem::create_directories(other() + "/domains/" + name + ".example.com");
    const MadeCertificate curve = make_certificate("DNS:a.example.com,DNS:www.example.com", 86400);
    write_text(other() + "/domains/www.example.com/pubcert.secp256r1.pem", curve.pem);
    write_text(other() + "/domains/www.example.com/privkey.secp256r1.pem", curve.key_pem);
    write_text(other() + "/domains/www.example.com/pubcert.pem", "of another key, which is left alone");
    const MadeCertificate plain = make_certificate("DNS:plain.example.com", 86400);
    write_text(other() + "/domains/plain.example.com/pubcert.pem", plain.pem);
    write_text(other() + "/domains/plain.example.com/privkey.pem", plain.key_pem);
    write_text(other() + "/domains/waiting.example.com/md.json", "{}");
    const Outcome outcome = import({"mod-md", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out + outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT(stored("www.example.com", 1));
    CPPUNIT_ASSERT(stored("plain.example.com", 1));
    CPPUNIT_ASSERT(!stored("waiting.example.com", 1));
    CPPUNIT_ASSERT(holds(import({"mod-md", other() + "/domains"}).out, "skipped"));
  }
  void what_is_there_already_is_skipped_and_what_lasts_longer_is_adopted() {
    add_lineage("www.example.com", make_certificate("DNS:www.example.com", 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other()}).exit);
    const Outcome same = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, same.exit);
    CPPUNIT_ASSERT_MESSAGE(same.out, holds(same.out, "skipped"));
    add_lineage("www.example.com", make_certificate("DNS:www.example.com", 2 * 86400));
    CPPUNIT_ASSERT(holds(import({"certbot", other()}).out, "adopted"));
    CPPUNIT_ASSERT(stored("www.example.com", 2));
  }
  void an_expired_certificate_is_skipped() {
    add_lineage("old", make_certificate("DNS:old.example.com", 3600));
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.out, holds(outcome.out, "skipped: it expired"));
  }
  void a_key_that_does_not_match_is_refused() {
    MadeCertificate made = make_certificate("DNS:www.example.com", 86400);
    made.key_pem = make_certificate("DNS:x", 86400).key_pem;
    add_lineage("bad", made);
    add_lineage("good", make_certificate("DNS:good.example.com", 86400));
    add_lineage("garbage", {"no certificate", "no key"});
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.out, holds(outcome.out, "www.example.com  refused"));
    CPPUNIT_ASSERT_MESSAGE(outcome.out, holds(outcome.out, "garbage  refused"));
    CPPUNIT_ASSERT(!stored("www.example.com", 1));
    CPPUNIT_ASSERT(stored("good.example.com", 1));
    CPPUNIT_ASSERT(!holds(outcome.out + outcome.err, "PRIVATE"));
  }
  void a_name_that_could_leave_its_folder_is_refused() {
    add_lineage("evil", make_certificate("DNS:../../evil", 86400));
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out, int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT(!std::filesystem::exists(folder_->path() + "/evil"));
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, import({"certbot", live() + "/evil", "--name", "../evil"}).exit);
  }
  void only_the_names_asked_for_are_adopted() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    add_lineage("two", make_certificate("DNS:two.example.com", 86400));
    const Outcome outcome = import({"certbot", other(), "two.example.com", "three"});
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.out, holds(outcome.out, "three  refused: there is no such certificate"));
    CPPUNIT_ASSERT(stored("two.example.com", 1));
    CPPUNIT_ASSERT(!stored("one.example.com", 1));
  }
  void a_given_name_is_used_for_one_certificate_only() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    add_lineage("two", make_certificate("DNS:two.example.com", 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, import({"certbot", other(), "--name", "site"}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other(), "one", "--name", "site"}).exit);
    CPPUNIT_ASSERT(stored("site", 1));
  }
  void a_folder_without_certificates_is_an_error() {
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, import({"certbot", other()}).exit);
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, import({"nginx-acme", other()}).exit);
    CPPUNIT_ASSERT(holds(import({"certbot", other() + "/nowhere"}).err, "nowhere"));
  }
  void a_running_agent_is_asked_to_adopt() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    FakeAgent agent(folder_->path(), "{\"done\":true,\"exit\":0,\"message\":\"as generation 1\"}\n");
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out + outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT_EQUAL(std::string("one.example.com  adopted: as generation 1\n"), outcome.out);
    const Json request = agent.request();
    CPPUNIT_ASSERT(request["verb"] == "adopt" && request["origin"] == "import" && request["issuer"] == "import");
    CPPUNIT_ASSERT(request["pairs"].size() == 1 && request["pairs"][0].contains("private"));
    CPPUNIT_ASSERT(!stored("one.example.com", 1));
  }
  void an_agent_that_holds_its_lock_but_is_silent_is_exit_five() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    const Result<Descriptor> held = open_leader_file(folder_->path());
    CPPUNIT_ASSERT_MESSAGE(held ? "" : held.error().message, held.has_value());
    Election leader(held->get());
    const Result<bool> leads = leader.stand();
    CPPUNIT_ASSERT(leads && *leads);
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.err, int{exit_unreachable}, outcome.exit);
    CPPUNIT_ASSERT(!stored("one.example.com", 1));
  }
  void a_missing_state_directory_needs_a_user() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    std::filesystem::remove_all(folder_->path() + "/state");
    const Outcome outcome = import({"certbot", other()});
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "--user"));
    CPPUNIT_ASSERT(!std::filesystem::exists(folder_->path() + "/seal.key"));
    CPPUNIT_ASSERT(holds(import({"certbot", other(), "--user", "nobody-of-this-name"}).err, "there is no user"));
  }
  void a_user_other_than_the_owner_is_refused() {
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    const char* const other_user = ::geteuid() == 0 ? "daemon" : "root";
    const Outcome outcome = import({"certbot", other(), "--user", other_user});
    CPPUNIT_ASSERT_EQUAL(int{exit_usage}, outcome.exit);
    CPPUNIT_ASSERT_MESSAGE(outcome.err, holds(outcome.err, "already, not to " + std::string(other_user)));
    CPPUNIT_ASSERT(!stored("one.example.com", 1));
  }
  void an_import_before_the_first_start_is_listed_and_shown() {
    add_lineage("one", make_certificate("DNS:one.example.com,DNS:www.one.example.com", 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other()}).exit);
    const Outcome list = run({"list", "--state", folder_->path()});
    CPPUNIT_ASSERT_EQUAL(std::string("one.example.com\n"), list.out);
    CPPUNIT_ASSERT_MESSAGE(list.err,
                           holds(list.err, "no server has been started") && holds(list.err, "named by no configuration"));
    CPPUNIT_ASSERT(holds(run({"status", "--state", folder_->path()}).out, "for one.example.com, www.one.example.com"));
    CPPUNIT_ASSERT(holds(run({"status", "--json", "--state", folder_->path()}).out, "\"unnamed\":[{"));
    const Outcome show = run({"show", "www.one.example.com", "--state", folder_->path()});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(show.err, int{exit_done}, show.exit);
    CPPUNIT_ASSERT_MESSAGE(show.out, holds(show.out, "SHA-256") && holds(show.out, "taken over as generation 1"));
  }
  void root_gives_up_its_privileges_before_it_creates() {
    if (::geteuid() != 0) {
      return;  // only root has something to give up
    }
    add_lineage("one", make_certificate("DNS:one.example.com", 86400));
    constexpr uid_t owner = 65534;
    std::filesystem::permissions(folder_->path(), std::filesystem::perms(0755));
    CPPUNIT_ASSERT_EQUAL(0, ::chown((folder_->path() + "/state").c_str(), owner, owner));
    const pid_t child = ::fork();
    CPPUNIT_ASSERT(child >= 0);
    if (child == 0) {
      const int exit = import({"certbot", other()}).exit;
      ::_exit(exit == exit_done && ::geteuid() == owner && ::getegid() == owner && ::setuid(0) != 0 ? 0 : 1);
    }
    int status = -1;
    CPPUNIT_ASSERT_EQUAL(child, ::waitpid(child, &status, 0));
    CPPUNIT_ASSERT_EQUAL(0, status);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_->path() + "/state")) {
      struct stat facts {};
      CPPUNIT_ASSERT_EQUAL(0, ::lstat(entry.path().c_str(), &facts));
      CPPUNIT_ASSERT_EQUAL_MESSAGE(entry.path().string(), owner, facts.st_uid);
      CPPUNIT_ASSERT_EQUAL_MESSAGE(entry.path().string(), mode_t{0}, facts.st_mode & 07);
    }
    CPPUNIT_ASSERT(stored("one.example.com", 1));
  }
  void rollback_serves_the_earlier_generation_again() {
    add_lineage("www.example.com", make_certificate("DNS:www.example.com", 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other()}).exit);
    add_lineage("www.example.com", make_certificate("DNS:www.example.com", 2 * 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other()}).exit);
    const Outcome outcome = run({"rollback", "www.example.com", "--state", folder_->path(), "--json"});
    CPPUNIT_ASSERT_EQUAL_MESSAGE(outcome.out + outcome.err, int{exit_done}, outcome.exit);
    CPPUNIT_ASSERT(stored("www.example.com", 3));
    CPPUNIT_ASSERT(holds(trail(), "\"rolled_back\"") && holds(trail(), "\"generation\":3"));
    CPPUNIT_ASSERT(holds(trail(), "\"www.example.com was taken over as generation 2\""));
    CPPUNIT_ASSERT(holds(trail(), "\"www.example.com was rolled back; the older certificate is now generation 3\""));
  }
  void rollback_without_an_earlier_generation_changes_nothing() {
    add_lineage("www.example.com", make_certificate("DNS:www.example.com", 86400));
    CPPUNIT_ASSERT_EQUAL(int{exit_done}, import({"certbot", other()}).exit);
    CPPUNIT_ASSERT(run({"rollback", "www.example.com", "--state", folder_->path()}).exit != exit_done);
    CPPUNIT_ASSERT(run({"rollback", "www.example.com", "--to", "7", "--state", folder_->path()}).exit != exit_done);
    CPPUNIT_ASSERT(run({"rollback", "unknown", "--state", folder_->path()}).exit != exit_done);
    CPPUNIT_ASSERT_EQUAL(int{exit_failed}, run({"rollback", "../x", "--state", folder_->path()}).exit);
    CPPUNIT_ASSERT(!stored("www.example.com", 2));
  }

 private:
  [[nodiscard]] std::string other() const { return folder_->path() + "/other"; }
  [[nodiscard]] std::string live() const { return other() + "/live"; }
  [[nodiscard]] Outcome import(std::vector<std::string> words) const {
    words.insert(words.begin(), "import");
    words.insert(words.end(), {"--state", folder_->path()});
    return run(words);
  }
  // As certbot lays them out: live/ holds links into archive/.
  void add_lineage(const std::string& name, const MadeCertificate& made) const {
    const std::string archive = other() + "/archive/" + name;
    std::filesystem::create_directories(archive);
    std::filesystem::create_directories(live() + "/" + name);
    write_text(archive + "/fullchain1.pem", made.pem);
    write_text(archive + "/privkey1.pem", made.key_pem);
    for (const char* kind : {"fullchain", "privkey"}) {
      const std::string link = live() + "/" + name + "/" + kind + ".pem";
      if (!std::filesystem::exists(link)) {
        std::filesystem::create_symlink("../../archive/" + name + "/" + kind + "1.pem", link);
      }
    }
  }
  [[nodiscard]] bool stored(const std::string& name, std::uint64_t generation) const {
    return std::filesystem::exists(folder_->path() + "/state/certificates/" + file_name_of(name) + "/" +
                                   std::to_string(generation) + ".bundle");
  }
  [[nodiscard]] std::string trail() const {
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(folder_->path() + "/state/events")) {
      std::ifstream file(entry.path());
      text.append(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return text;
  }
  std::optional<Folder> folder_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ImportTest);

}  // namespace
