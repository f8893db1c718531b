// A copy of the agent's program that nobody but root can read.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "serving/platform/files.h"

#ifndef MFD_EXEC  // Linux 6.3
#define MFD_EXEC 0x0010U
#endif

namespace evercert {

namespace {

constexpr off_t largest_program = off_t{256} << 20;
constexpr mode_t executable_only = 0111;
constexpr mode_t readable_by_others = S_IRGRP | S_IROTH;

bool is_script(int file) {
  std::array<char, 2> begin{};
  return ::pread(file, begin.data(), begin.size(), 0) == 2 && begin[0] == '#' && begin[1] == '!';
}

Result<Descriptor> memory_for_program() {
  constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  Descriptor file(::memfd_create("evercert", flags | MFD_EXEC));
  // Kernels before that flag do not know it, and need none.
  if (!file.valid() && errno == EINVAL) file = Descriptor(::memfd_create("evercert", flags));
  if (!file.valid()) return system_error(ErrorKind::configuration, "memfd_create", errno);
  return file;
}

Result<Descriptor> copy_of(int program, off_t size) {
  if (size > largest_program) return Error{ErrorKind::configuration, "it is larger than 256 MiB"};
  auto copy = memory_for_program();
  if (!copy) return copy.error();
  for (off_t done = 0; done < size;) {
    const ssize_t count = ::sendfile(copy->get(), program, &done, static_cast<std::size_t>(size - done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error(ErrorKind::configuration, "copying", count < 0 ? errno : EIO);
  }
  if (::fchmod(copy->get(), executable_only) != 0) return system_error(ErrorKind::configuration, "fchmod", errno);
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy->get(), F_ADD_SEALS, seals) != 0) return system_error(ErrorKind::configuration, "sealing", errno);
  // One that can be executed and nothing else.
  Descriptor path(::open(("/proc/self/fd/" + std::to_string(copy->get())).c_str(), O_PATH | O_CLOEXEC));
  if (!path.valid()) return system_error(ErrorKind::configuration, "/proc/self/fd", errno);
  return path;
}

}  // namespace

Result<Done> check_program(const std::string& path) {
  struct stat facts {};
  int code = ::access(path.c_str(), X_OK) == 0 && ::stat(path.c_str(), &facts) == 0 ? 0 : errno;
  if (code == 0 && S_ISDIR(facts.st_mode)) code = EISDIR;
  if (code == 0) return Done{};
  return system_error(ErrorKind::configuration,
                      "the agent's program \"" + path + "\" cannot be executed, install it or name another (option program)",
                      code);
}

Result<Done> hide(Supervisor::Program& program, Logger& log) {
  program.image.reset();
  program.hidden = false;
  if (::geteuid() != 0 || program.become == uid_t{0}) return Done{};
  const Descriptor file(::open(program.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts {};
  // One that is missing is told of when it is to be executed, and again each time until it is there.
  if (!file.valid() || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    program.hidden = true;
    return Done{};
  }
  if (is_script(file.get())) {
    log.write(LogLevel::warn, "evercert: the program " + program.path +
                                  " is a script: what it executes may be looked into by other processes of the agent's user "
                                  "until it has protected itself; name the program itself (option program)");
    return Done{};
  }
  program.hidden = true;
  if ((facts.st_mode & readable_by_others) == 0 && facts.st_uid == 0) return Done{};
  auto copy = copy_of(file.get(), facts.st_size);
  if (!copy)
    return Error{ErrorKind::configuration,
                 "the program " + program.path +
                     " may be read by the agent's user, which could then look into it while it starts, and no "
                     "copy of it can be made in memory (" +
                     copy.error().message + "); do: chown root " + program.path + " && chmod 0711 " + program.path};
  program.image = std::make_shared<const Descriptor>(std::move(*copy));
  return Done{};
}

}  // namespace evercert
