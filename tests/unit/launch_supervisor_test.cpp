#include <cppunit/extensions/HelperMacros.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "evercert/board.h"
#include "evercert/text.h"
#include "launch_steps.h"
#include "serving/launch/restart_pause.h"

namespace evercert {

using launch_steps::KeptLog;
using launch_steps::ProgramDirectory;
using launch_steps::serve;
using launch_steps::serve_to_the_end;

class LaunchSupervisorTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(LaunchSupervisorTest);
  CPPUNIT_TEST(the_agent_gets_its_descriptors_and_nothing_else);
  CPPUNIT_TEST(secrets_are_neither_in_arguments_nor_environment);
  CPPUNIT_TEST(the_agent_starts_with_clean_signals_and_limits);
  CPPUNIT_TEST(a_privileged_starter_drops_to_another_user);
  CPPUNIT_TEST(a_program_that_its_user_may_read_is_executed_from_a_copy);
  CPPUNIT_TEST(a_program_that_is_closed_to_others_is_executed_as_it_is);
  CPPUNIT_TEST(a_program_that_became_readable_is_refused_with_the_remedy);
  CPPUNIT_TEST(a_readable_program_that_cannot_be_copied_is_refused_with_the_remedy);
  CPPUNIT_TEST(a_script_is_executed_with_a_warning);
  CPPUNIT_TEST(an_agent_that_cannot_start_is_told_once_not_at_each_try);
  CPPUNIT_TEST(an_agent_that_goes_on_gets_the_copy_of_the_next_program);
  CPPUNIT_TEST(the_agent_ends_with_its_server);
  CPPUNIT_TEST(a_crash_is_told_with_its_signal_and_the_agent_comes_back);
  CPPUNIT_TEST(an_end_before_ready_is_told_as_such);
  CPPUNIT_TEST(a_missing_program_is_told_with_its_path);
  CPPUNIT_TEST(an_agent_that_never_gets_ready_is_ended);
  CPPUNIT_TEST(an_agent_that_others_could_look_into_gets_nothing);
  CPPUNIT_TEST(garbage_is_ignored_and_lines_are_made_safe);
  CPPUNIT_TEST(a_flood_is_ended);
  CPPUNIT_TEST(descriptors_are_sent_once);
  CPPUNIT_TEST(a_second_start_while_one_runs_is_refused);
  CPPUNIT_TEST(a_leader_file_that_could_not_be_opened_is_opened_by_a_later_start);
  CPPUNIT_TEST(a_starter_that_may_not_open_the_leader_file_says_what_helps);
  CPPUNIT_TEST(pauses_double_to_a_minute_and_begin_anew_after_a_long_life);
  CPPUNIT_TEST(a_running_agent_is_told_to_begin_again_and_gets_its_descriptors_anew);
  CPPUNIT_TEST(an_agent_that_waits_for_its_descriptors_says_ready_once_more);
  CPPUNIT_TEST(an_agent_that_is_gone_cannot_be_told);
  CPPUNIT_TEST(a_start_with_a_pause_begins_after_it_or_ends_with_its_starter);
  CPPUNIT_TEST(an_end_that_the_server_saw_is_logged_and_makes_the_next_start_wait);
  CPPUNIT_TEST(an_end_that_the_server_saw_before_the_last_word_was_read_is_told_by_that_word);
  CPPUNIT_TEST(no_process_and_no_descriptor_is_left_behind);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    auto instance = Instance::create();
    CPPUNIT_ASSERT_MESSAGE(instance ? "" : instance.error().message, instance);
    instance_ = *instance;
    SealKeys keys;
    keys.serving = {"0123456789abcdef", Secret::from_text("serving key, 32 bytes of secrecy")};
    keys.agent = {"0123456789abcdef", Secret::from_text("agent key, 32 bytes of secrecy!!")};
    DiskFiles files;
    const std::string path = (programs_.path() / "key.pem").string();
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    CPPUNIT_ASSERT_EQUAL(ssize_t{17}, ::write(file.get(), "a very secret key", 17));
    CPPUNIT_ASSERT(files.read(path, FileSource::Care::secret));
    auto cycle = Cycle::create({}, keys, files, launch_steps::some_file());
    CPPUNIT_ASSERT_MESSAGE(cycle ? "" : cycle.error().message, cycle);
    cycle_ = std::move(*cycle);
    log_ = std::make_unique<KeptLog>();
  }

  void the_agent_gets_its_descriptors_and_nothing_else() {
    // A number that a careless child would keep.
    const Descriptor stray(::fcntl(instance_->board.get(), F_DUPFD, 50));
    auto supervisor = started("tell_all");
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("descriptors=0 1 2 3 "), log_->line_with("descriptors="));
    CPPUNIT_ASSERT_EQUAL("instance=" + instance_->id, log_->line_with("instance="));
    CPPUNIT_ASSERT_EQUAL(std::string("secrets=right seal=0123456789abcdef"), log_->line_with("secrets="));
    CPPUNIT_ASSERT_EQUAL(std::string("input=/dev/null"), log_->line_with("input="));
    auto board = Board::map(instance_->board.get(), Board::Access::read);
    CPPUNIT_ASSERT(board);
    CPPUNIT_ASSERT_EQUAL(std::uint64_t{42}, board->generation(board->find("from-the-child").value()));
    CPPUNIT_ASSERT_EQUAL(1U, ReportPage::map(instance_->report.get())->hits(7));
  }

  void secrets_are_neither_in_arguments_nor_environment() {
    ::setenv("EVERCERT_TEST_ENVIRONMENT", "must not travel", 1);
    auto supervisor = started("tell_all");
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    ::unsetenv("EVERCERT_TEST_ENVIRONMENT");
    CPPUNIT_ASSERT_EQUAL(std::string("arguments=evercert run --descriptor 3 "), log_->line_with("arguments="));
    CPPUNIT_ASSERT_EQUAL(std::string("environment="), log_->line_with("environment="));
  }

  void the_agent_starts_with_clean_signals_and_limits() {
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    sigset_t before;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    auto supervisor = started("tell_all");
    sigset_t after;
    ::sigprocmask(SIG_SETMASK, &before, &after);
    ::signal(SIGPIPE, SIG_DFL);
    CPPUNIT_ASSERT_EQUAL(1, ::sigismember(&after, SIGUSR1));
    CPPUNIT_ASSERT_EQUAL(0, ::sigismember(&after, SIGTERM));
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("SigIgn: 0000000000000000"), log_->line_with("SigIgn"));
    CPPUNIT_ASSERT_EQUAL(std::string("SigBlk: 0000000000000000"), log_->line_with("SigBlk"));
    CPPUNIT_ASSERT_EQUAL(std::string("NoNewPrivs: 1"), log_->line_with("NoNewPrivs"));
    CPPUNIT_ASSERT_EQUAL(std::string("umask=23"), log_->line_with("umask="));
    CPPUNIT_ASSERT_EQUAL(std::string("core=0"), log_->line_with("core="));
    CPPUNIT_ASSERT_EQUAL(std::string("dumpable=0"), log_->line_with("dumpable="));
  }

  void a_privileged_starter_drops_to_another_user() {
    if (::geteuid() != 0) return;
    auto supervisor = started("tell_all", 65534);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("Uid: 65534 65534 65534 65534"), log_->line_with("Uid"));
    CPPUNIT_ASSERT_EQUAL(std::string("Gid: 65534 65534 65534 65534"), log_->line_with("Gid"));
    CPPUNIT_ASSERT_EQUAL(std::string("Groups: 65534 "), log_->line_with("Groups"));
    CPPUNIT_ASSERT_EQUAL(std::string("CapPrm: 0000000000000000"), log_->line_with("CapPrm"));
  }

  void a_program_that_its_user_may_read_is_executed_from_a_copy() {
    if (::geteuid() != 0) return;
    auto program = hidden("tell_all", 0755);
    CPPUNIT_ASSERT(program.hidden && program.image);
    auto supervisor = begun(program);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("at first others may look into it: no"), log_->line_with("at first"));
    CPPUNIT_ASSERT_EQUAL(std::string("descriptors=0 1 2 3 "), log_->line_with("descriptors="));
  }

  void a_program_that_is_closed_to_others_is_executed_as_it_is() {
    if (::geteuid() != 0) return;
    auto program = hidden("tell_all", 0711);
    CPPUNIT_ASSERT(program.hidden && !program.image);
    auto supervisor = begun(program);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("at first others may look into it: no"), log_->line_with("at first"));
  }

  void a_program_that_became_readable_is_refused_with_the_remedy() {
    if (::geteuid() != 0) return;
    auto program = hidden("tell_all", 0711);
    CPPUNIT_ASSERT_EQUAL(0, ::chmod((programs_.path() / "program").c_str(), 0755));
    auto supervisor = begun(program);
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), log_->all().find("chmod 0711 " + program.path) != std::string::npos);
  }

  void a_readable_program_that_cannot_be_copied_is_refused_with_the_remedy() {
    if (::geteuid() != 0) return;
    const std::string path = (programs_.path() / "huge").string();
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
    CPPUNIT_ASSERT_EQUAL(0, ::ftruncate(file.get(), off_t{300} << 20));
    Supervisor::Program program{.path = path, .become = 65534, .become_group = 65534};
    const auto refused = hide(program, *log_);
    CPPUNIT_ASSERT(!refused && refused.error().kind == ErrorKind::configuration);
    CPPUNIT_ASSERT_MESSAGE(refused.error().message, refused.error().message.ends_with("chmod 0711 " + path));
    CPPUNIT_ASSERT_EQUAL(0, ::chmod(path.c_str(), 0711));
    CPPUNIT_ASSERT(hide(program, *log_) && program.hidden && !program.image);
  }

  void a_script_is_executed_with_a_warning() {
    if (::geteuid() != 0) return;
    const std::string path = (programs_.path() / "script").string();
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0755));
    const std::string text = "#!/bin/sh\nexec " + programs_.program("tell_all") + " \"$@\"\n";
    CPPUNIT_ASSERT_EQUAL(static_cast<ssize_t>(text.size()), ::write(file.get(), text.data(), text.size()));
    Supervisor::Program program{.path = path, .become = 65534, .become_group = 65534};
    CPPUNIT_ASSERT(hide(program, *log_).has_value());
    CPPUNIT_ASSERT(!program.hidden && !program.image);
    CPPUNIT_ASSERT(!log_->line_with("is a script").empty());
  }

  void an_agent_that_cannot_start_is_told_once_not_at_each_try() {
    // One is found before anything is forked for it, the other when it is to be executed.
    for (const char* const path : {"/no/such/program", "/usr"}) {
      const std::size_t before = log_->lines().size();
      Supervisor supervisor({.path = path}, *instance_, cycle_, *log_);
      for (int round = 0; round < 10; ++round)
        if (supervisor.start()) CPPUNIT_ASSERT(serve_to_the_end(supervisor));
      CPPUNIT_ASSERT_EQUAL_MESSAGE(log_->all(), before + 1, log_->lines().size());
      CPPUNIT_ASSERT(supervisor.restart_delay() > std::chrono::seconds(20));
    }
  }

  void an_agent_that_goes_on_gets_the_copy_of_the_next_program() {
    if (::geteuid() != 0) return;
    auto supervisor = begun(hidden("obedient", 0711));
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT(supervisor->begin_again(hidden("obedient", 0755)));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("again=").empty(); }));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), log_->line_with("again=").find(" with a copy") != std::string::npos);
  }

  void the_agent_ends_with_its_server() {
    auto supervisor = started("obedient");
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    const pid_t agent = supervisor->pid();
    supervisor.reset();
    CPPUNIT_ASSERT_EQUAL(0, exit_of(agent));
  }

  void a_crash_is_told_with_its_signal_and_the_agent_comes_back() {
    auto supervisor = started("crash");
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("the agent has gone by signal 9").empty());
    CPPUNIT_ASSERT_EQUAL(std::int64_t{50}, std::int64_t{supervisor->restart_delay().count()});
    CPPUNIT_ASSERT(supervisor->start());
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{100}, std::int64_t{supervisor->restart_delay().count()});
  }

  void an_end_before_ready_is_told_as_such() {
    auto supervisor = started("unknown behaviour");
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("gone before it was ready with exit code 3").empty());
  }

  void a_missing_program_is_told_with_its_path() {
    Supervisor supervisor({"/nonexistent/evercert"}, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT(!supervisor.start());
    CPPUNIT_ASSERT_EQUAL(pid_t{-1}, supervisor.pid());
    const std::string line = log_->line_with("cannot execute /nonexistent/evercert: No such file or directory");
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !line.empty());
    CPPUNIT_ASSERT(supervisor.restart_delay() > std::chrono::milliseconds::zero());
  }

  void an_agent_that_never_gets_ready_is_ended() {
    auto supervisor = started("silent", {}, std::chrono::milliseconds(30));
    const pid_t agent = supervisor->pid();
    const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, agent, 0U)));
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("did not become ready within 30 ms").empty());
    pollfd ended{process.get(), POLLIN, 0};
    CPPUNIT_ASSERT_EQUAL(1, ::poll(&ended, 1, 10000));
  }

  void an_agent_that_others_could_look_into_gets_nothing() {
    // Root's own processes cannot be told apart this way, and need not be.
    const bool privileged = ::geteuid() == 0;
    auto supervisor = started("unprotected", privileged ? std::optional<uid_t>(65534) : std::nullopt);
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("gets no secrets: it lets other processes").empty());
  }

  void garbage_is_ignored_and_lines_are_made_safe() {
    auto supervisor = started("garbage");
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    const auto lines = log_->lines();
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, lines.size());
    CPPUNIT_ASSERT(lines[0].first == LogLevel::warn);
    CPPUNIT_ASSERT_EQUAL(std::string("two lines\\x1b[31m"), lines[0].second);
    CPPUNIT_ASSERT_EQUAL(std::string(longest_line - 3, 'y') + "...", lines[1].second);
    CPPUNIT_ASSERT(lines[2].first == LogLevel::notice);
  }

  void a_flood_is_ended() {
    auto supervisor = started("flood");
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
  }

  void descriptors_are_sent_once() {
    auto supervisor = started("twice");
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    const pid_t agent = supervisor->pid();
    supervisor.reset();
    CPPUNIT_ASSERT_EQUAL(0, exit_of(agent));
  }

  void a_second_start_while_one_runs_is_refused() {
    auto supervisor = started("obedient");
    const pid_t agent = supervisor->pid();
    CPPUNIT_ASSERT(!supervisor->start());
    CPPUNIT_ASSERT_EQUAL(agent, supervisor->pid());
  }

  void a_leader_file_that_could_not_be_opened_is_opened_by_a_later_start() {
    const std::string leader = without_leader();
    Supervisor supervisor({.path = programs_.program("obedient")}, *instance_, cycle_, *log_);
    for (int round = 0; round < 3; ++round) CPPUNIT_ASSERT(!supervisor.start());
    CPPUNIT_ASSERT_EQUAL_MESSAGE(log_->all(), std::size_t{0}, log_->lines().size());  // whoever tried at first has told it
    CPPUNIT_ASSERT_EQUAL(std::int64_t{5000}, std::int64_t{supervisor.restart_delay().count()});
    CPPUNIT_ASSERT_EQUAL(0, ::rmdir(leader.c_str()));
    CPPUNIT_ASSERT(supervisor.start());
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("can be opened again").empty());
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{0}, std::int64_t{supervisor.restart_delay().count()});
  }

  void a_starter_that_may_not_open_the_leader_file_says_what_helps() {
    if (::geteuid() != 0) return;
    const std::string leader = without_leader();
    CPPUNIT_ASSERT_EQUAL(0, ::rmdir(leader.c_str()));
    Supervisor supervisor({.path = programs_.program("obedient")}, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT_EQUAL(0, ::seteuid(65534));
    const bool first = supervisor.start();
    const bool second = supervisor.start();
    CPPUNIT_ASSERT_EQUAL(0, ::seteuid(0));
    CPPUNIT_ASSERT(!first && !second);
    CPPUNIT_ASSERT_EQUAL_MESSAGE(log_->all(), std::size_t{1}, log_->lines().size());
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("reload the server").empty());
  }

  void pauses_double_to_a_minute_and_begin_anew_after_a_long_life() {
    RestartPause pause;
    CPPUNIT_ASSERT_EQUAL(std::int64_t{0}, std::int64_t{pause.value().count()});
    std::int64_t expected = 50;
    for (unsigned loss = 0; loss < 15; ++loss) {
      pause.lost(std::chrono::seconds(59));
      CPPUNIT_ASSERT_EQUAL(std::min<std::int64_t>(expected, 60000), std::int64_t{pause.value().count()});
      expected *= 2;
    }
    pause.lost(std::chrono::seconds(60));
    CPPUNIT_ASSERT_EQUAL(std::int64_t{50}, std::int64_t{pause.value().count()});
  }

  void a_running_agent_is_told_to_begin_again_and_gets_its_descriptors_anew() {
    auto supervisor = started("obedient");
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    const pid_t agent = supervisor->pid();
    CPPUNIT_ASSERT(supervisor->begin_again({.path = "/opt/another/evercert"}));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("again=").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("again=/opt/another/evercert"), log_->line_with("again="));
    CPPUNIT_ASSERT_EQUAL(agent, supervisor->pid());
  }

  void an_agent_that_waits_for_its_descriptors_says_ready_once_more() {
    // Nobody has looked at its first word yet: the message that says again reaches it before its descriptors do.
    auto supervisor = started("tell_all");
    CPPUNIT_ASSERT(supervisor->begin_again({.path = "/opt/another/evercert"}));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    CPPUNIT_ASSERT_EQUAL(std::string("secrets=right seal=0123456789abcdef"), log_->line_with("secrets="));
  }

  void an_agent_that_is_gone_cannot_be_told() {
    auto supervisor = started("crash");
    CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    const auto told = supervisor->begin_again({.path = "/opt/another/evercert"});
    CPPUNIT_ASSERT(!told && told.error().kind == ErrorKind::connection);
  }

  void a_start_with_a_pause_begins_after_it_or_ends_with_its_starter() {
    Supervisor::Program program;
    program.path = programs_.program("tell_all");
    auto supervisor = std::make_unique<Supervisor>(program, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT(supervisor->start(std::chrono::milliseconds(40)));
    CPPUNIT_ASSERT_MESSAGE(log_->all(), serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    supervisor.reset();
    supervisor = std::make_unique<Supervisor>(program, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT(supervisor->start(std::chrono::hours(1)));
    const pid_t waiting = supervisor->pid();
    supervisor.reset();
    CPPUNIT_ASSERT_EQUAL(0, exit_of(waiting));
  }

  void an_end_that_the_server_saw_is_logged_and_makes_the_next_start_wait() {
    auto supervisor = started("obedient");
    CPPUNIT_ASSERT(serve(*supervisor, [&] { return !log_->line_with("done").empty(); }));
    supervisor->ended("by signal 9");
    CPPUNIT_ASSERT(!log_->line_with("the agent's process ended by signal 9").empty());
    CPPUNIT_ASSERT(supervisor->descriptor() < 0);
    CPPUNIT_ASSERT(supervisor->restart_delay() > std::chrono::milliseconds::zero());
    supervisor->ended("by signal 9");
    CPPUNIT_ASSERT_EQUAL(std::int64_t{50}, std::int64_t{supervisor->restart_delay().count()});
  }

  void an_end_that_the_server_saw_before_the_last_word_was_read_is_told_by_that_word() {
    Supervisor::Program program;
    program.path = (programs_.path() / "without-interpreter").string();
    std::ofstream(program.path) << "#!/nowhere/at/all\n";
    std::filesystem::permissions(program.path, std::filesystem::perms::owner_all);
    auto supervisor = std::make_unique<Supervisor>(program, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT(supervisor->start(std::chrono::milliseconds(1)));
    CPPUNIT_ASSERT_EQUAL(127, WEXITSTATUS(exit_of(supervisor->pid())));
    supervisor->ended("with exit code 127");
    CPPUNIT_ASSERT(supervisor->descriptor() < 0);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), !log_->line_with("the agent does not start: cannot execute").empty());
    CPPUNIT_ASSERT_MESSAGE(log_->all(), log_->line_with("exit code 127").empty());
  }

  void no_process_and_no_descriptor_is_left_behind() {
    const auto before = open_descriptors();
    {
      auto supervisor = started("crash");
      for (unsigned round = 0; round < 5; ++round) {
        CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
        CPPUNIT_ASSERT(supervisor->start());
      }
      CPPUNIT_ASSERT(serve_to_the_end(*supervisor));
    }
    CPPUNIT_ASSERT_EQUAL(before, open_descriptors());
  }

 private:
  std::unique_ptr<Supervisor> started(const std::string& behaviour, std::optional<uid_t> user = {},
                                      std::chrono::milliseconds ready_within = std::chrono::seconds(20)) {
    Supervisor::Program program;
    program.path = programs_.program(behaviour);
    program.become = user;
    program.become_group = user.value_or(0);
    program.ready_within = ready_within;
    auto supervisor = std::make_unique<Supervisor>(program, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), supervisor->start());
    return supervisor;
  }

  // As a starter that is root prepares it.
  Supervisor::Program hidden(const std::string& behaviour, unsigned mode) {
    Supervisor::Program program{.path = programs_.program(behaviour), .become = 65534, .become_group = 65534};
    CPPUNIT_ASSERT_EQUAL(0, ::chmod((programs_.path() / "program").c_str(), mode));
    const auto done = hide(program, *log_);
    CPPUNIT_ASSERT_MESSAGE(done ? "" : done.error().message, done.has_value());
    return program;
  }
  std::unique_ptr<Supervisor> begun(const Supervisor::Program& program) {
    auto supervisor = std::make_unique<Supervisor>(program, *instance_, cycle_, *log_);
    CPPUNIT_ASSERT_MESSAGE(log_->all(), supervisor->start());
    return supervisor;
  }

  // A directory has its name; returns that.
  std::string without_leader() {
    cycle_.leader.reset();
    cycle_.leader_of = programs_.path().string();
    cycle_.leader_user = ::geteuid();
    std::string leader = cycle_.leader_of + "/leader";
    CPPUNIT_ASSERT_EQUAL(0, ::mkdir(leader.c_str(), 0700));
    return leader;
  }

  static int exit_of(pid_t agent) {
    int status = -1;
    CPPUNIT_ASSERT_EQUAL(agent, ::waitpid(agent, &status, 0));
    return status;
  }

  static std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  ProgramDirectory programs_;
  std::shared_ptr<Instance> instance_;
  Cycle cycle_;
  std::unique_ptr<KeptLog> log_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(LaunchSupervisorTest);

}  // namespace evercert
