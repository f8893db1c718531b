// What outlives reloads (Instance) and what one configuration hands over (Cycle), as descriptors.
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/launch.h"
#include "serving/base/files.h"
#include "serving/base/json.h"
#include "serving/publish/memory_file.h"

namespace evercert {

namespace {

constexpr unsigned carried_format = 1;
constexpr std::size_t largest_memory_file = std::size_t{64} << 20;
constexpr int final_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

void wipe(Json& value) {
  if (auto* text = value.get_ptr<std::string*>())
    wipe(*text);
  else if (value.is_structured())
    for (auto& member : value) wipe(member);
}

Result<Descriptor> sealed_memory_file(const char* name, std::string_view content) {
  auto file = make_memory_file(name);
  if (!file) return file;
  while (!content.empty()) {
    const ssize_t count = ::write(file->get(), content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(ErrorKind::storage, "cannot write a memory file", errno);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  if (::fcntl(file->get(), F_ADD_SEALS, final_seals) != 0)
    return system_error(ErrorKind::storage, "cannot seal a memory file", errno);
  return file;
}

// Written by hand: a JSON library would leave copies of the secrets behind.
std::string render_secrets(const SealKeys& keys, const DiskFiles& files) {
  std::size_t size = 1024;
  for (const auto& [path, content] : files.carried()) size += 2 * path.size() * 6 + content.view().size() * 4 / 3 + 16;
  std::string text;
  text.reserve(size);
  const auto append = [&text](BytesView bytes) {
    std::string encoded = to_base64(bytes);
    text.append("\"").append(encoded).append("\"");
    wipe(encoded);
  };
  text.append("{\"format\":").append(std::to_string(carried_format)).append(",\"seal\":{\"id\":");
  text.append(dump_json(keys.serving.id)).append(",\"serving\":");
  append(keys.serving.key.view());
  text.append(",\"agent\":");
  append(keys.agent.key.view());
  text.append("},\"files\":{");
  const char* separator = "";
  for (const auto& [path, content] : files.carried()) {
    text.append(separator).append(dump_json(path)).append(":");
    append(content.view());
    separator = ",";
  }
  text.append("}}");
  return text;
}

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

Result<std::shared_ptr<Instance>> Instance::create() {
  auto instance = std::make_shared<Instance>();
  instance->id = to_hex(random_bytes(16));
  auto board = Board::create();
  if (!board) return board.error();
  instance->board = std::move(*board);
  auto read_only = Board::read_only(instance->board.get());
  if (!read_only) return read_only.error();
  instance->board_read_only = std::move(*read_only);
  auto report = ReportPage::create();
  if (!report) return report.error();
  instance->report = std::move(*report);
  instance->wake = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!instance->wake.valid()) return system_error(ErrorKind::storage, "cannot create an event descriptor", errno);
  return instance;
}

Result<Cycle> Cycle::create(const Settings& settings, const SealKeys& keys, const DiskFiles& files) {
  Cycle cycle;
  auto plan = sealed_memory_file("evercert-plan", to_json(settings));
  if (!plan) return plan.error();
  cycle.plan = std::move(*plan);
  std::string text = render_secrets(keys, files);
  auto secrets = sealed_memory_file("evercert-secrets", text);
  wipe(text);
  if (!secrets) return secrets.error();
  cycle.secrets = std::move(*secrets);
  return cycle;
}

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
  wipe(*document);
  return carried;
}

}  // namespace evercert
