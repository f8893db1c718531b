// HAProxy's stats socket as the tests of delivery want it: answers each command by what its beginning says, and keeps what it
// was asked. For refusals that no real HAProxy can be brought to; the real one is asked in tests/server.
#pragma once

#include <cppunit/TestAssert.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "evercert/descriptor.h"

namespace evercert::test {

class StatsSocketStub {
 public:
  StatsSocketStub(std::string path, std::vector<std::pair<std::string, std::string>> answers)
      : path_(std::move(path)), answers_(std::move(answers)), end_(::eventfd(0, EFD_CLOEXEC)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CPPUNIT_ASSERT_EQUAL(0, ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
    CPPUNIT_ASSERT_EQUAL(0, ::listen(listener_.get(), 16));
    thread_ = std::thread([this] { serve(); });
  }
  StatsSocketStub(const StatsSocketStub&) = delete;
  StatsSocketStub& operator=(const StatsSocketStub&) = delete;
  ~StatsSocketStub() {
    ::eventfd_write(end_.get(), 1);
    thread_.join();
    ::unlink(path_.c_str());
  }

  // The commands without what follows `<<`, in their order.
  [[nodiscard]] std::vector<std::string> heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  [[nodiscard]] std::string payload() const {
    const std::lock_guard lock(mutex_);
    return payload_;
  }

 private:
  void serve() {
    for (;;) {
      std::array<pollfd, 2> watched{pollfd{listener_.get(), POLLIN, 0}, pollfd{end_.get(), POLLIN, 0}};
      ::poll(watched.data(), watched.size(), -1);
      if (watched[1].revents != 0) return;
      const Descriptor link(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::string command;
      std::array<char, 4096> part;
      for (ssize_t size = 0; (size = ::recv(link.get(), part.data(), part.size(), 0)) > 0;)
        command.append(part.data(), static_cast<std::size_t>(size));
      const std::string said = answer_to(command);
      ::send(link.get(), said.data(), said.size(), MSG_NOSIGNAL);
    }
  }

  std::string answer_to(const std::string& command) {
    const std::lock_guard lock(mutex_);
    const auto end = command.find('\n');
    heard_.push_back(command.substr(0, end));
    if (command.find("<<\n") != std::string::npos) payload_ = command.substr(end + 1);
    // What is asked again may be answered otherwise: the first answer that is left is taken, the last one stays.
    for (auto answer = answers_.begin(); answer != answers_.end(); ++answer) {
      if (!command.starts_with(answer->first)) continue;
      const std::string said = answer->second;
      for (auto later = answer + 1; later != answers_.end(); ++later) {
        if (later->first != answer->first) continue;
        answers_.erase(answer);
        break;
      }
      return said;
    }
    return "Unknown command.\n";
  }

  const std::string path_;
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::string>> answers_;
  std::vector<std::string> heard_;
  std::string payload_;
  Descriptor listener_;
  Descriptor end_;
  std::thread thread_;
};

}  // namespace evercert::test
