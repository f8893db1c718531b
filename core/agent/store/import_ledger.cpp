#include "agent/store/import_ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "evercert/descriptor.h"
#include "evercert/state.h"
#include "serving/base/json.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr const char* imports_folder = "imports";
constexpr std::int64_t ledger_format = 1;

std::optional<Json> line_at(std::string_view& rest) {
  const auto end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  auto json = parse_json(line, "a line");
  // A line that a kill has torn says nothing; its order is read again.
  if (!json || !json->is_object()) return std::nullopt;
  return std::optional<Json>(std::in_place, std::move(*json));
}

std::string ledger_text(const Json& json, const char* member) {
  auto text = json_optional_text(json, member, "a line");
  return text && *text ? **text : "";
}

}  // namespace

Result<ImportLedger> ImportLedger::open(int state_directory, const std::string& issuer, const std::string& uri) {
  if (::mkdirat(state_directory, imports_folder, 0700) != 0 && errno != EEXIST) {
    return system_error(ErrorKind::storage, "cannot make the directory state/imports", errno);
  }
  const std::string path = std::string(imports_folder) + "/" + file_name_of(issuer) + ".jsonl";
  Descriptor file(::openat(state_directory, path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return system_error(ErrorKind::storage, "cannot open state/" + path, errno);
  auto content = read_descriptor(file.get(), largest_ledger);
  if (!content) return content.error();
  std::string_view rest(reinterpret_cast<const char*>(content->data()), content->size());
  const bool torn = !rest.empty() && rest.back() != '\n';

  ImportLedger ledger(std::move(file), path);
  const auto head = rest.empty() ? std::nullopt : line_at(rest);
  const auto format = head ? json_number(*head, "format", "a ledger") : Result<std::int64_t>(0);
  if (!head || ledger_text(*head, "uri") != uri || !format || *format != ledger_format) {
    if (::ftruncate(ledger.file_.get(), 0) != 0) return system_error(ErrorKind::storage, "cannot write state/" + path, errno);
    if (auto begun = ledger.append(dump_json({{"format", ledger_format}, {"uri", uri}})); !begun) return begun.error();
    return ledger;
  }
  while (!rest.empty()) {
    const auto line = line_at(rest);
    if (!line) continue;
    auto end = json_number(*line, "not_after", "a line");
    if (!end) continue;
    ledger.orders_[ledger_text(*line, "order")] = {ledger_text(*line, "version"), ledger_text(*line, "key"), *end};
  }
  if (torn) {
    if (auto ended = ledger.append(""); !ended) return ended.error();
  }
  return ledger;
}

const ImportLedger::Known* ImportLedger::find(const std::string& order) const {
  const auto found = orders_.find(order);
  return found == orders_.end() ? nullptr : &found->second;
}

Result<Done> ImportLedger::add(const std::string& order, const std::string& name, const Known& known) {
  auto written = append(dump_json(
      {{"order", order}, {"name", name}, {"version", known.version}, {"key", known.key}, {"not_after", known.not_after}}));
  if (!written) return written;
  orders_[order] = known;
  return Done{};
}

Result<Done> ImportLedger::append(const std::string& line) {
  const std::string text = line + "\n";
  const ssize_t count = ::write(file_.get(), text.data(), text.size());
  if (count < 0) return system_error(ErrorKind::storage, "cannot write state/" + path_, errno);
  if (static_cast<std::size_t>(count) != text.size()) {
    return Error{ErrorKind::storage, "cannot write state/" + path_ + ": the disk is full"};
  }
  return Done{};
}

}  // namespace evercert
