// Events on their way: to listeners, to the log, to the audit trail; also when the disk is full.
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "agent/observe/audit_trail.h"
#include "agent/observe/event.h"
#include "agent/observe/event_json.h"
#include "agent/observe/event_log.h"
#include "serving/base/json.h"

namespace {

using namespace evercert;
using namespace std::chrono_literals;

class Lines : public Logger {
 public:
  void write(LogLevel level, std::string_view line) override { lines.emplace_back(level, line); }
  std::vector<std::pair<LogLevel, std::string>> lines;
};

// Files cannot grow beyond this while it lives; writes fail as on a full disk, without the signal.
class FullDisk {
 public:
  explicit FullDisk(rlim_t size) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = before_;
    limit.rlim_cur = size;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

Event served_event() {
  Event event;
  event.name = "served";
  event.level = LogLevel::notice;
  event.at = std::chrono::system_clock::time_point(1800000000123ms);  // 2027-01-15T08:00:00.123Z
  event.certificate = "www.example.com";
  event.issuer = "example";
  event.sentence = "certificate is served";
  event.fields = {{"generation", "3"}, {"order", "https://ca.example/order/81"}, {"seconds", "0.4"}};
  return event;
}

class EventsTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(EventsTest);
  CPPUNIT_TEST(every_listener_hears_every_event_with_its_time);
  CPPUNIT_TEST(a_listener_that_throws_does_not_silence_the_others);
  CPPUNIT_TEST(events_of_many_threads_arrive_one_at_a_time);
  CPPUNIT_TEST(an_event_is_one_json_object);
  CPPUNIT_TEST(a_field_cannot_displace_a_member);
  CPPUNIT_TEST(a_number_that_is_none_stays_text);
  CPPUNIT_TEST_SUITE_END();

 public:
  void every_listener_hears_every_event_with_its_time() {
    Events events;
    std::vector<Event> first;
    std::vector<Event> second;
    events.subscribe([&](const Event& event) { first.push_back(event); });
    events.subscribe([&](const Event& event) { second.push_back(event); });
    Event without_time;
    without_time.name = "issued";
    events.tell(without_time);
    events.tell(served_event());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, first.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, second.size());
    CPPUNIT_ASSERT(first[0].at > std::chrono::system_clock::time_point{});
    CPPUNIT_ASSERT(first[1].at == served_event().at);
  }
  void a_listener_that_throws_does_not_silence_the_others() {
    Events events;
    int heard = 0;
    events.subscribe([](const Event&) { throw std::runtime_error("no"); });
    events.subscribe([&](const Event&) { ++heard; });
    events.tell(served_event());
    CPPUNIT_ASSERT_EQUAL(1, heard);
  }
  void events_of_many_threads_arrive_one_at_a_time() {
    Events events;
    int heard = 0;  // not atomic on purpose: the promise is what protects it
    events.subscribe([&](const Event&) { ++heard; });
    std::vector<std::jthread> threads;
    for (int index = 0; index < 4; ++index) {
      threads.emplace_back([&] {
        for (int round = 0; round < 500; ++round) {
          events.tell(served_event());
        }
      });
    }
    threads.clear();
    CPPUNIT_ASSERT_EQUAL(2000, heard);
  }
  void an_event_is_one_json_object() {
    const Json wanted{{"name", "served"},    {"at", "2027-01-15T08:00:00.123Z"},
                      {"level", "notice"},   {"certificate", "www.example.com"},
                      {"issuer", "example"}, {"sentence", "certificate is served"},
                      {"generation", 3},     {"order", "https://ca.example/order/81"},
                      {"seconds", 0.4}};
    CPPUNIT_ASSERT_EQUAL(dump_json(wanted), dump_json(event_json(served_event())));
  }
  void a_field_cannot_displace_a_member() {
    Event event = served_event();
    event.certificate.clear();
    event.fields = {{"name", "x"}, {"at", "x"}, {"certificate", "other"}, {"sentence", "x"}};
    const Json json = event_json(event);
    CPPUNIT_ASSERT(json["name"] == "served");
    CPPUNIT_ASSERT(json["sentence"] == "certificate is served");
    CPPUNIT_ASSERT(!json.contains("certificate"));
  }
  void a_number_that_is_none_stays_text() {
    Event event = served_event();
    event.fields = {{"generation", "none"}, {"seconds", ""}};
    CPPUNIT_ASSERT(event_json(event)["generation"] == "none");
    CPPUNIT_ASSERT(event_json(event)["seconds"] == "");
  }
};

class EventLogTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(EventLogTest);
  CPPUNIT_TEST(a_line_is_a_sentence_and_fixed_fields);
  CPPUNIT_TEST(what_a_ca_says_cannot_begin_a_line_of_its_own);
  CPPUNIT_TEST(a_warning_that_repeats_is_held_back_for_an_hour_and_counted);
  CPPUNIT_TEST(warnings_of_other_certificates_are_not_held_back);
  CPPUNIT_TEST(good_news_is_never_held_back);
  CPPUNIT_TEST(a_clock_that_went_back_does_not_silence_warnings);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_line_is_a_sentence_and_fixed_fields() {
    CPPUNIT_ASSERT_EQUAL(
        std::string(
            "certificate is served, certificate=\"www.example.com\" issuer=\"example\" order=\"https://ca.example/order/81\""),
        log_line(served_event()));
    Event bare;
    bare.sentence = "the agent started";
    CPPUNIT_ASSERT_EQUAL(std::string("the agent started"), log_line(bare));
  }
  void what_a_ca_says_cannot_begin_a_line_of_its_own() {
    Event event;
    event.sentence = "no\r\n[emerg] all is lost\x1b[2J";
    event.certificate = "a\" issuer=\"b\n";
    CPPUNIT_ASSERT_EQUAL(std::string("no  [emerg] all is lost\\x1b[2J, certificate=\"a\\\" issuer=\\\"b \""), log_line(event));
  }
  void a_warning_that_repeats_is_held_back_for_an_hour_and_counted() {
    Lines lines;
    EventLog log(lines);
    Event event = warning();
    for (int minute = 0; minute < 60; minute += 10) {
      event.at = warning().at + std::chrono::minutes(minute);
      log.record(event);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, lines.lines.size());
    event.at = warning().at + 60min;
    log.record(event);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, lines.lines.size());
    CPPUNIT_ASSERT(lines.lines[1].second.find("(5 more times since this was last written)") != std::string::npos);
    event.at = warning().at + 121min;
    log.record(event);
    CPPUNIT_ASSERT_EQUAL(log_line(event), lines.lines.at(2).second);
  }
  void warnings_of_other_certificates_are_not_held_back() {
    Lines lines;
    EventLog log(lines);
    for (int index = 0; index < 5000; ++index) {
      Event event = warning();
      event.certificate = std::to_string(index);
      log.record(event);
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{5000}, lines.lines.size());
  }
  void good_news_is_never_held_back() {
    Lines lines;
    EventLog log(lines);
    log.record(served_event());
    log.record(served_event());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, lines.lines.size());
    CPPUNIT_ASSERT(lines.lines[0].first == LogLevel::notice);
  }
  void a_clock_that_went_back_does_not_silence_warnings() {
    Lines lines;
    EventLog log(lines);
    log.record(warning());
    Event event = warning();
    event.at -= 24h;
    log.record(event);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, lines.lines.size());
  }

 private:
  static Event warning() {
    Event event = served_event();
    event.name = "renewal_failed";
    event.level = LogLevel::warn;
    event.sentence = "the CA did not answer";
    return event;
  }
};

class AuditTrailTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(AuditTrailTest);
  CPPUNIT_TEST(each_event_is_a_line_in_the_file_of_its_month);
  CPPUNIT_TEST(nobody_outside_the_group_may_read_it);
  CPPUNIT_TEST(a_line_cut_off_by_a_crash_is_closed_first);
  CPPUNIT_TEST(a_full_disk_is_told_once_and_writing_resumes);
  CPPUNIT_TEST(a_removed_file_is_begun_anew);
  CPPUNIT_TEST(a_link_in_place_of_the_folder_is_refused);
  CPPUNIT_TEST(a_missing_state_directory_is_an_error);
  CPPUNIT_TEST(files_of_months_to_come_do_not_hide_what_happened);
  CPPUNIT_TEST_SUITE_END();

 public:
  void setUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "evercert_trail_XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    root_ = pattern;
    std::filesystem::create_directory(root_ + "/state");
  }
  void tearDown() override { std::filesystem::remove_all(root_); }

  void each_event_is_a_line_in_the_file_of_its_month() {
    AuditTrail trail = opened();
    trail.record(served_event());
    Event later = served_event();
    later.at += 24h * 31;
    trail.record(later);
    trail.record(served_event());
    const std::vector<Json> january = events_in("2027-01");
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, january.size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, events_in("2027-02").size());
    CPPUNIT_ASSERT(january[0]["format"] == 1);
    CPPUNIT_ASSERT(january[0]["certificate"] == "www.example.com");
    CPPUNIT_ASSERT(january[0]["generation"] == 3);
    CPPUNIT_ASSERT(january[0]["at"] == "2027-01-15T08:00:00.123Z");
  }
  void nobody_outside_the_group_may_read_it() {
    const mode_t before = ::umask(0);
    AuditTrail trail = opened();
    trail.record(served_event());
    ::umask(before);
    struct stat facts {};
    CPPUNIT_ASSERT_EQUAL(0, ::stat(file("2027-01").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(mode_t{0640}, facts.st_mode & 07777);
    CPPUNIT_ASSERT_EQUAL(0, ::stat((root_ + "/state/events").c_str(), &facts));
    CPPUNIT_ASSERT_EQUAL(mode_t{0750}, facts.st_mode & 07777);
  }
  void a_line_cut_off_by_a_crash_is_closed_first() {
    opened().record(served_event());
    std::ofstream(file("2027-01"), std::ios::app) << "{\"format\":1,\"na";
    AuditTrail trail = opened();
    trail.record(served_event());
    trail.record(served_event());
    CPPUNIT_ASSERT_EQUAL(std::size_t{3}, events_in("2027-01").size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, broken_);
  }
  void a_full_disk_is_told_once_and_writing_resumes() {
    AuditTrail trail = opened();
    trail.record(served_event());
    const auto line = std::filesystem::file_size(file("2027-01"));
    {
      const FullDisk full(line + line / 2);
      trail.record(served_event());  // half of it fits
      trail.record(served_event());  // nothing fits
      trail.record(served_event());
    }
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, log_.lines.size());
    CPPUNIT_ASSERT(log_.lines[0].first == LogLevel::warn);
    trail.record(served_event());
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, log_.lines.size());
    CPPUNIT_ASSERT(log_.lines[1].second.find("3 events") != std::string::npos);
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, events_in("2027-01").size());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, broken_);
  }
  void a_removed_file_is_begun_anew() {
    AuditTrail trail = opened();
    trail.record(served_event());
    std::filesystem::remove(file("2027-01"));
    trail.record(served_event());
    CPPUNIT_ASSERT_EQUAL(std::size_t{1}, events_in("2027-01").size());
  }
  void a_link_in_place_of_the_folder_is_refused() {
    std::filesystem::create_directory(root_ + "/elsewhere");
    std::filesystem::create_directory_symlink(root_ + "/elsewhere", root_ + "/state/events");
    CPPUNIT_ASSERT(!AuditTrail::open(root_, log_).has_value());
  }
  void a_missing_state_directory_is_an_error() {
    const Result<AuditTrail> trail = AuditTrail::open(root_ + "/nowhere", log_);
    CPPUNIT_ASSERT(!trail.has_value());
    CPPUNIT_ASSERT(trail.error().kind == ErrorKind::storage);
    CPPUNIT_ASSERT(trail.error().message.find("nowhere") != std::string::npos);
  }
  void files_of_months_to_come_do_not_hide_what_happened() {
    AuditTrail trail = opened();
    Event event = served_event();
    event.at = std::chrono::system_clock::now();
    trail.record(event);
    for (int month = 0; month < 100; ++month) {
      std::ofstream(file("99" + std::to_string(month / 10) + std::to_string(month % 10) + "-01"))
          << R"({"certificate":"www.example.com","name":"invented"})"
          << "\n";
    }
    const auto state = StateReader::open(root_);
    CPPUNIT_ASSERT(state.has_value());
    const auto events = recent_events(*state, "www.example.com", 5);
    CPPUNIT_ASSERT(events && events->size() == 1 && events->front()["name"] == "served");
  }

 private:
  AuditTrail opened() {
    Result<AuditTrail> trail = AuditTrail::open(root_, log_);
    CPPUNIT_ASSERT_MESSAGE(trail ? "" : trail.error().message, trail.has_value());
    return std::move(*trail);
  }
  [[nodiscard]] std::string file(const std::string& month) const { return root_ + "/state/events/" + month + ".jsonl"; }
  std::vector<Json> events_in(const std::string& month) {
    std::ifstream text(file(month));
    std::vector<Json> events;
    broken_ = 0;
    for (std::string line; std::getline(text, line);) {
      Result<Json> event = parse_json(line, "a line");
      if (event) {
        events.push_back(*event);
      } else {
        ++broken_;
      }
    }
    return events;
  }

  std::string root_;
  Lines log_;
  std::size_t broken_ = 0;
};

CPPUNIT_TEST_SUITE_REGISTRATION(EventsTest);
CPPUNIT_TEST_SUITE_REGISTRATION(EventLogTest);
CPPUNIT_TEST_SUITE_REGISTRATION(AuditTrailTest);

}  // namespace
