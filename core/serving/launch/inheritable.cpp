// What outlives reloads (Instance) and what one configuration hands over (Cycle), as descriptors.
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/board.h"
#include "evercert/descriptor.h"
#include "evercert/launch.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/launch/carried_format.h"
#include "serving/platform/files.h"
#include "serving/platform/memory_file.h"

namespace evercert {

namespace {

Error too_large(const std::string& what, std::size_t size) {
  return {ErrorKind::configuration, what + " would take " + std::to_string(size) + " bytes on its way to the agent, and " +
                                        std::to_string(largest_memory_file) +
                                        " is the most that it reads: part the configuration between servers, each with a "
                                        "state_path of its own"};
}

const std::string all_settings = "the checked configuration";
const std::string all_files = "what the files of secrets and certificates hold that the configuration names";

// Of its base64 text.
constexpr std::size_t encoded_size(std::size_t size) {
  return (size + 2) / 3 * 4;
}

// No less than it takes as JSON: what is far from the limit need not be written twice.
std::size_t most_json_size(const Settings& settings) {
  constexpr std::size_t around = 64;  // quotes, commas, names of members
  constexpr std::size_t escaped = 6;
  std::size_t size = around;
  const auto add = [&size](const Section& section) {
    size += around + section.name.size() * escaped;
    for (const Setting& setting : section.settings) {
      size += around;
      for (const std::string& word : setting.words) size += around + word.size() * escaped;
    }
  };
  add(settings.global);
  for (const Section& section : settings.issuers) add(section);
  for (const Section& section : settings.certificates) add(section);
  return size;
}

Result<Descriptor> sealed_memory_file(const char* name, std::string_view content, const std::string& what) {
  // What the reader would refuse is not handed to it.
  if (content.size() > largest_memory_file) return too_large(what, content.size());
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

Result<Done> Cycle::fits(const Settings& settings, const DiskFiles& files) {
  constexpr std::size_t keys = 1024;
  std::size_t secrets = keys;
  for (const auto& [path, content] : files.carried())
    secrets += dump_json(path).size() + encoded_size(content.view().size()) + 4;
  if (secrets > largest_memory_file) return too_large(all_files, secrets);
  if (most_json_size(settings) <= largest_memory_file) return Done{};
  if (const std::size_t size = to_json(settings).size(); size > largest_memory_file) return too_large(all_settings, size);
  return Done{};
}

Result<Cycle> Cycle::create(const Settings& settings, const SealKeys& keys, const DiskFiles& files, Descriptor leader) {
  Cycle cycle;
  cycle.leader = std::move(leader);
  auto plan = sealed_memory_file("evercert-plan", to_json(settings), all_settings);
  if (!plan) return plan.error();
  cycle.plan = std::move(*plan);
  std::string text = render_secrets(keys, files);
  auto secrets = sealed_memory_file("evercert-secrets", text, all_files);
  wipe(text);
  if (!secrets) return secrets.error();
  cycle.secrets = std::move(*secrets);
  return cycle;
}

}  // namespace evercert
