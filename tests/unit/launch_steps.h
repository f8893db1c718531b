// What the tests of launching share: a temporary directory with the child program under the
// names of its behaviours, and a little event loop.
#pragma once

#include <cppunit/TestAssert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "fake/kept_log.h"

namespace evercert::launch_steps {

using evercert::KeptLog;

class ProgramDirectory {
 public:
  ProgramDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evercert-launch-XXXXXX").string();
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    // Other users execute from here, too.
    CPPUNIT_ASSERT_EQUAL(0, ::chmod(path_.c_str(), 0755));
    std::filesystem::copy_file(EVERCERT_LAUNCH_CHILD, path_ / "program");
  }
  ProgramDirectory(const ProgramDirectory&) = delete;
  ProgramDirectory& operator=(const ProgramDirectory&) = delete;
  ~ProgramDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string program(const std::string& behaviour) const {
    const auto link = path_ / behaviour;
    if (!std::filesystem::exists(link)) std::filesystem::create_symlink("program", link);
    return link.string();
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// In the place of one that an agent would keep something in.
inline Descriptor some_file() {
  return Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

// Serves the supervisor until `enough`, at most 20 s. False: it took longer.
inline bool serve(Supervisor& supervisor, const std::function<bool()>& enough) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!enough()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (supervisor.descriptor() < 0) return enough();
    pollfd readable{supervisor.descriptor(), POLLIN, 0};
    if (::poll(&readable, 1, 20) > 0)
      supervisor.on_readable();
    else
      supervisor.tend();
  }
  return true;
}

// Serves until the agent is gone.
inline bool serve_to_the_end(Supervisor& supervisor) {
  return serve(supervisor, [&] { return supervisor.descriptor() < 0; });
}

}  // namespace evercert::launch_steps
