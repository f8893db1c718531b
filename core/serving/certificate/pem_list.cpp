#include "serving/certificate/pem_list.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "evercert/descriptor.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr const char* list_name = ".evercert";
constexpr unsigned list_mode = 0600;

}  // namespace

Result<PemList> PemList::open(const Descriptor& directory) {
  const auto text = read_file(directory.get(), list_name, largest_pem_list);
  if (!text) return text.error();
  std::set<std::string> files;
  std::string file;
  if (*text)
    for (const std::uint8_t byte : **text) {
      if (byte != '\n')
        file += static_cast<char>(byte);
      else if (!file.empty())
        files.insert(std::exchange(file, {}));
    }
  return PemList(directory, std::move(files));
}

Result<Done> PemList::add(const std::string& file) {
  if (has(file)) return Done{};
  if (!end_.valid()) {
    end_ =
        Descriptor(::openat(directory_->get(), list_name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, list_mode));
    if (!end_.valid()) return system_error(ErrorKind::storage, std::string("cannot open ") + list_name, errno);
  }
  const std::string line = file + "\n";
  if (::write(end_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    return system_error(ErrorKind::storage, std::string("cannot write ") + list_name, errno);
  files_.insert(file);
  return Done{};
}

Result<Done> PemList::keep(const std::set<std::string>& files) {
  if (files == files_) return Done{};
  std::string text;
  for (const std::string& file : files) text += file + "\n";
  WriteOptions options;
  options.mode = list_mode;
  options.durable = false;
  auto done =
      write_file(directory_->get(), list_name, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, options);
  if (!done) return done;
  files_ = files;
  end_.reset();
  return Done{};
}

}  // namespace evercert
