#include "agent/lead/known_lines.h"

#include <algorithm>

namespace evercert {

LineIndex& KnownLines::index() {
  if (index_) return *index_;
  const auto state = open_();
  if (!state) log_.write(LogLevel::error, "what is stored cannot be read: " + state.error().message);
  const StoredLines stored = state ? stored_lines(**state, serving_, nullptr) : StoredLines();
  if (alone_ && !stored.trouble.empty()) log_.write(LogLevel::error, stored.trouble);
  return index_.emplace(stored.lines, clock_.now());
}

void KnownLines::put(StoredLine line) {
  const std::lock_guard lock(mutex_);
  const StoredLine* const before = index().find(line.name);
  if (before != nullptr && before->generation == line.generation) return;
  std::sort(line.identifiers.begin(), line.identifiers.end());
  line.identifiers.erase(std::unique(line.identifiers.begin(), line.identifiers.end()), line.identifiers.end());
  index().put(line);
  changed_ = true;
}

void KnownLines::forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (index().find(name) == nullptr) return;
  index().remove(name);
  changed_ = true;
}

std::vector<StoredLine> KnownLines::covering(const CertificateSpec& certificate) {
  std::vector<StoredLine> found;
  {
    const std::lock_guard lock(mutex_);
    for (const StoredLine* const line : index().all_with(certificate.identifiers)) {
      const bool of_its_issuers = line->issuer == "import" || std::find(certificate.issuers.begin(), certificate.issuers.end(),
                                                                        line->issuer) != certificate.issuers.end();
      if (line->name != certificate.name && of_its_issuers && line->not_after > clock_.now()) found.push_back(*line);
    }
  }
  std::sort(found.begin(), found.end(), [](const StoredLine& a, const StoredLine& b) { return a.not_after > b.not_after; });
  return found;
}

std::optional<StoredLine> KnownLines::best_for(const Identifier& identifier, const std::string& but) {
  const std::lock_guard lock(mutex_);
  const StoredLine* const line = index().best_for(identifier, but);
  return line != nullptr && line->not_after > clock_.now() ? std::optional(*line) : std::nullopt;
}

std::optional<StoredLine> KnownLines::find(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const StoredLine* const line = index().find(name);
  return line == nullptr ? std::nullopt : std::optional(*line);
}

std::vector<StoredLine> KnownLines::all() {
  const std::lock_guard lock(mutex_);
  std::vector<StoredLine> lines;
  for (const auto& [name, line] : index().lines())
    if (line.not_after > clock_.now()) lines.push_back(line);
  return lines;
}

std::string KnownLines::line_for(const std::vector<Identifier>& identifiers, const std::string& wanted) {
  const std::lock_guard lock(mutex_);
  return evercert::line_for(identifiers, wanted, index());
}

std::optional<Bytes> KnownLines::changed_index() {
  std::vector<StoredLine> lines;
  {
    const std::lock_guard lock(mutex_);
    if (!index_ || !changed_) return std::nullopt;
    changed_ = false;
    for (const auto& [name, line] : index().lines()) lines.push_back(line);
  }
  auto sealed = seal_line_index(serving_, lines);
  if (!sealed) return std::nullopt;
  return std::move(*sealed);
}

}  // namespace evercert
