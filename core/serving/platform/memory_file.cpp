#include "serving/platform/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

#ifndef MFD_NOEXEC_SEAL
constexpr unsigned noexec_seal = 0x0008U;  // Linux 6.3
#else
constexpr unsigned noexec_seal = MFD_NOEXEC_SEAL;
#endif

constexpr int fixed_size_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

Result<Descriptor> make_memory_file(const char* name) {
  constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // Asked for first because systems with vm.memfd_noexec=2 allow nothing else; older kernels do not know it.
  Descriptor file(::memfd_create(name, flags | noexec_seal));
  if (!file.valid() && errno == EINVAL) file = Descriptor(::memfd_create(name, flags));
  if (!file.valid()) return system_error(ErrorKind::storage, "cannot create a memory file", errno);
  // The default is 0777, with which every process of the same user could open it again through /proc.
  if (::fchmod(file.get(), 0600) != 0) return system_error(ErrorKind::storage, "cannot protect a memory file", errno);
  return file;
}

Result<Descriptor> make_fixed_memory_file(const char* name, std::size_t size) {
  auto file = make_memory_file(name);
  if (!file) return file;
  if (::ftruncate(file->get(), static_cast<off_t>(size)) != 0)
    return system_error(ErrorKind::storage, "cannot give a memory file its size", errno);
  if (::fcntl(file->get(), F_ADD_SEALS, fixed_size_seals) != 0)
    return system_error(ErrorKind::storage, "cannot seal a memory file", errno);
  return file;
}

Result<void*> map_memory_file(int descriptor, std::size_t size, bool writable, const std::string& what) {
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return system_error(ErrorKind::storage, "the " + what + " is not a memory file", errno);
  // Without these seals another process could cut the file and kill every reader with SIGBUS.
  if ((seals & fixed_size_seals) != fixed_size_seals)
    return Error{ErrorKind::storage, "the " + what + " is not sealed against changes of its size"};
  struct stat facts {};
  if (::fstat(descriptor, &facts) != 0) return system_error(ErrorKind::storage, "cannot read the size of the " + what, errno);
  if (static_cast<std::size_t>(facts.st_size) != size)
    return Error{ErrorKind::storage, "the " + what + " has " + std::to_string(facts.st_size) + " bytes instead of " +
                                         std::to_string(size) + ": it was made by another version of evercert"};
  void* memory = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return system_error(ErrorKind::storage, "cannot map the " + what, errno);
  return memory;
}

void unmap_memory(void* memory, std::size_t size) noexcept {
  if (memory != nullptr) ::munmap(memory, size);
}

Result<Descriptor> reopen_read_only(int descriptor) {
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    return system_error(ErrorKind::storage, "cannot open a memory file for reading (is /proc mounted?)", errno);
  return file;
}

}  // namespace evercert
