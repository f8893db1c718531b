// A small agent for the tests of launching: what it does is told by the name under which it is executed, because it gets
// neither arguments nor an environment of ours.
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "agent/run/inheritance.h"
#include "agent/run/keeper.h"
#include "evercert/board.h"
#include "evercert/launch.h"

namespace {

using evercert::LogLevel;

constexpr int channel = 3;

void say(std::string_view text) {
  ::send(channel, text.data(), text.size(), MSG_NOSIGNAL);
}

int wait_for_the_end() {
  for (;;) {
    pollfd readable{channel, POLLIN, 0};
    ::poll(&readable, 1, -1);
    const evercert::ServerWord word = evercert::hear_server(channel);
    if (!word.again.empty())
      say("{\"log\":\"info\",\"line\":\"again=" + word.again + (word.image.valid() ? " with a copy" : "") + "\"}");
    if (!word.again.empty()) say("{\"ready\":1}");
    if (word.gone) return 0;
  }
}

// The numbers of all open descriptors; a sanitizer's own are far above what a program opens.
std::string open_descriptors() {
  std::vector<int> numbers;
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory))
    if (entry->d_name[0] != '.' && std::stoi(entry->d_name) != ::dirfd(directory)) numbers.push_back(std::stoi(entry->d_name));
  ::closedir(directory);
  std::sort(numbers.begin(), numbers.end());
  std::string text;
  for (const int number : numbers) text += std::to_string(number) + " ";
  return text;
}

std::string file_text(const char* path) {
  std::ifstream file(path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

std::string status_line(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(field + ":")) return line;
  return field + ": missing";
}

std::string link_of(int descriptor) {
  std::string target(256, '\0');
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), target.data(), target.size());
  target.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return target;
}

int tell_all() {
  // Before it is protected: afterwards an ordinary user may not even read its own.
  const bool lookable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
  const std::string at_start = open_descriptors();
  const std::string arguments = file_text("/proc/self/cmdline");
  const std::string environment = file_text("/proc/self/environ");
  auto inheritance = evercert::receive_inheritance(channel);
  if (!inheritance) return 9;
  evercert::ChannelLogger log(channel);
  log.write(LogLevel::info, "descriptors=" + at_start);
  log.write(LogLevel::info, std::string("at first others may look into it: ") + (lookable ? "yes" : "no"));
  log.write(LogLevel::info, "arguments=" + arguments);
  log.write(LogLevel::info, "environment=" + environment);
  log.write(LogLevel::info, "instance=" + inheritance->instance);
  log.write(LogLevel::info, "input=" + link_of(0));
  const mode_t mask = ::umask(0);
  log.write(LogLevel::info, "umask=" + std::to_string(mask));
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  log.write(LogLevel::info, "core=" + std::to_string(core.rlim_cur));
  log.write(LogLevel::info, "dumpable=" + std::to_string(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)));
  for (const char* field : {"Uid", "Gid", "Groups", "NoNewPrivs", "SigBlk", "SigIgn", "CapPrm"})
    log.write(LogLevel::info, status_line(field));
  auto board = evercert::Board::map(inheritance->board.get(), evercert::Board::Access::write);
  auto report = evercert::ReportPage::map(inheritance->report.get());
  auto plan = evercert::read_memory_file(inheritance->plan.get());
  auto secrets = evercert::read_secrets(inheritance->secrets.get());
  if (!board || !report || !plan || !secrets) return 8;
  const auto slot = board->add("from-the-child");
  if (!slot) return 7;
  board->publish(*slot, 42);
  report->hit(7);
  log.write(LogLevel::info, "plan=" + std::string(plan->text()));
  const bool right = secrets->files.size() == 1 && secrets->files.begin()->second.text() == "a very secret key";
  log.write(LogLevel::info, std::string("secrets=") + (right ? "right" : "wrong") + " seal=" + secrets->keys.agent.id);
  log.write(LogLevel::notice, "done");
  return wait_for_the_end();
}

int be_obedient() {
  auto inheritance = evercert::receive_inheritance(channel);
  if (!inheritance) return 9;
  evercert::ChannelLogger log(channel);
  log.write(LogLevel::notice, "done");
  return wait_for_the_end();
}

// What a keeper starts, and how important it takes itself.
int tell_pid() {
  auto inheritance = evercert::receive_inheritance(channel);
  if (!inheritance) return 9;
  evercert::ChannelLogger log(channel);
  log.write(LogLevel::notice, "nice=" + std::to_string(::getpriority(PRIO_PROCESS, 0)));
  log.write(LogLevel::notice, "link=" + std::string(inheritance->link.valid() ? "there" : "missing"));
  log.write(LogLevel::notice, "pid=" + std::to_string(::getpid()) + ";");
  return wait_for_the_end();
}

int crash() {
  auto inheritance = evercert::receive_inheritance(channel);
  if (!inheritance) return 9;
  ::raise(SIGKILL);
  return 0;
}

int send_garbage() {
  say("no JSON at all");
  say("{\"log\":\"info\"}");
  say("{\"log\":7,\"line\":\"number\"}");
  say("{\"log\":\"shout\",\"line\":\"unknown level\"}");
  say("[[[[[[[[");
  say("\xff\xfe");
  say("{\"log\":\"info\",\"line\":\"" + std::string(60000, 'x') + "\"}");
  say(R"({"log":"warn","line":"two\nlines\u001b[31m"})");
  say("{\"log\":\"info\",\"line\":\"" + std::string(5000, 'y') + "\"}");
  return be_obedient();
}

int be_ready_twice() {
  auto inheritance = evercert::receive_inheritance(channel);
  if (!inheritance) return 9;
  say("{\"ready\":1}");
  evercert::ChannelLogger log(channel);
  log.write(LogLevel::notice, "done");
  pollfd readable{channel, POLLIN, 0};
  ::poll(&readable, 1, -1);
  char byte = 0;
  return ::recv(channel, &byte, 1, 0) > 0 ? 9 : 0;
}

int flood() {
  static constexpr std::string_view text = "{\"unknown\":1}";
  while (::send(channel, text.data(), text.size(), MSG_NOSIGNAL) >= 0) {
  }
  return 0;
}

int be_ready_unprotected() {
  say("{\"ready\":1}");
  return wait_for_the_end();
}

}  // namespace

int main(int count, char** words) {
  // As `evercert keep --descriptor 3 --program PATH`: what it starts is told by that path.
  if (count == 6 && words[1] == std::string("keep")) return evercert::run_keeper(channel, words[5]);
  const std::string path = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  const std::map<std::string, int (*)()> behaviours = {
      {"tell_all", tell_all}, {"obedient", be_obedient},    {"pid", tell_pid},
      {"crash", crash},       {"garbage", send_garbage},    {"twice", be_ready_twice},
      {"flood", flood},       {"silent", wait_for_the_end}, {"unprotected", be_ready_unprotected}};
  // By descriptor: a copy has no name.
  if (path.starts_with("/dev/fd/")) return tell_all();
  const auto behaviour = behaviours.find(path.substr(path.rfind('/') + 1));
  return behaviour == behaviours.end() ? 3 : behaviour->second();
}
