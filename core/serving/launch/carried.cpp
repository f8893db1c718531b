// The agent's side of a Cycle: what it finds in its two memory files.
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/launch.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/launch/carried_format.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

Result<Secret> secret_member(const Json& object, const std::string& member) {
  auto text = json_text(object, member, "the secrets");
  if (!text) return text.error();
  auto bytes = from_base64(*text);
  wipe(*text);
  if (!bytes) return bytes.error().with_prefix("the secrets: " + member);
  return Secret(std::move(*bytes));
}

Result<CarriedSecrets> interpret_secrets(const Json& document) {
  const auto format = json_number(document, "format", "the secrets");
  if (!format) return format.error();
  if (*format != carried_format)
    return Error{ErrorKind::internal, "the secrets have format " + std::to_string(*format) +
                                          ", which this program does not read; restart the server after an upgrade"};
  const auto seal = document.find("seal");
  const auto files = document.find("files");
  if (seal == document.end() || files == document.end() || !files->is_object())
    return Error{ErrorKind::internal, "the secrets are incomplete"};
  auto id = json_text(*seal, "id", "the secrets");
  if (!id) return id.error();
  auto serving = secret_member(*seal, "serving");
  if (!serving) return serving.error();
  auto agent = secret_member(*seal, "agent");
  if (!agent) return agent.error();
  CarriedSecrets carried{{{*id, std::move(*serving)}, {*id, std::move(*agent)}}, {}};
  for (const auto& [path, content] : files->items()) {
    auto bytes = secret_member(*files, path);
    if (!bytes) return bytes.error();
    carried.files.emplace(path, std::move(*bytes));
  }
  return carried;
}

}  // namespace

Result<Secret> read_memory_file(int descriptor) {
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0) return system_error(ErrorKind::storage, "cannot read the seals of a memory file", errno);
  if ((seals & final_seals) != final_seals) return Error{ErrorKind::storage, "a memory file is not sealed against changes"};
  struct stat facts {};
  if (::fstat(descriptor, &facts) != 0) return system_error(ErrorKind::storage, "cannot read a memory file", errno);
  const auto size = static_cast<std::size_t>(facts.st_size);
  if (size > largest_memory_file) return Error{ErrorKind::storage, "a memory file is too large"};
  // At offsets of our own: the file offset is shared with every process that holds the same descriptor.
  Bytes content(size);
  for (std::size_t filled = 0; filled < size;) {
    const ssize_t count = ::pread(descriptor, content.data() + filled, size - filled, static_cast<off_t>(filled));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error(ErrorKind::storage, "cannot read a memory file", count < 0 ? errno : EIO);
    filled += static_cast<std::size_t>(count);
  }
  return Secret(std::move(content));
}

Result<CarriedSecrets> read_secrets(int descriptor) {
  auto content = read_memory_file(descriptor);
  if (!content) return content.error();
  auto document = parse_json(content->text(), "the secrets");
  // Not the parser's own sentence: it quotes the text.
  if (!document) return Error{ErrorKind::internal, "the secrets are not JSON"};
  auto carried = interpret_secrets(*document);
  wipe_texts(*document);
  return carried;
}

}  // namespace evercert
