// How a configuration finds its lines. No file is touched here.
#include "evercert/lines.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_set>

namespace evercert {
namespace {

using Time = std::chrono::system_clock::time_point;

std::string set_text(std::vector<Identifier> identifiers) {
  std::sort(identifiers.begin(), identifiers.end());
  std::string text;
  for (const Identifier& identifier : identifiers) text += identifier.value + "\n";
  return text;
}

class Finding {
 public:
  Finding(Plan& plan, const std::vector<StoredLine>& stored, Time now) : plan_(plan), stored_(stored), now_(now) {
    for (std::size_t i = 0; i < stored.size(); ++i) {
      by_set_[set_text(stored[i].identifiers)].push_back(i);
      by_name_.emplace(stored[i].name, i);
      if (stored[i].not_after <= now) continue;
      for (const Identifier& identifier : stored[i].identifiers) by_identifier_[identifier.value].push_back(i);
    }
  }

  // Line names by what the certificates would be called without them, where they differ.
  std::map<std::string, std::string> run() {
    for (std::size_t i = 0; i < plan_.certificates.size(); ++i) {
      if (plan_.certificates[i].named)
        taken_.insert(plan_.certificates[i].name);
      else
        open_.push_back(i);
    }
    using Choice = const StoredLine* (Finding::*)(const CertificateSpec&) const;
    for (const Choice choice :
         std::array<Choice, 4>{&Finding::equal, &Finding::own_superset, &Finding::superset, &Finding::most})
      give(choice);
    std::map<std::string, std::string> renamed;
    // Who keeps its first name has it before somebody else looks for a free one.
    std::erase_if(open_, [&](std::size_t i) {
      return is_free_for_new(plan_.certificates[i].name) && take(i, plan_.certificates[i].name);
    });
    for (const std::size_t i : std::exchange(open_, {}))
      take(i, free_line_name(plan_.certificates[i].name, [&](const std::string& name) { return !is_free_for_new(name); }));
    for (const auto& [index, line] : lines_) {
      CertificateSpec& certificate = plan_.certificates[index];
      if (certificate.name == line) continue;
      renamed[certificate.name] = line;
      certificate.name = line;
    }
    return renamed;
  }

 private:
  void give(const StoredLine* (Finding::*choice)(const CertificateSpec&) const) {
    std::erase_if(open_, [&](std::size_t i) {
      const StoredLine* const line = (this->*choice)(plan_.certificates[i]);
      return line != nullptr && take(i, line->name);
    });
  }

  bool take(std::size_t index, const std::string& line) {
    lines_[index] = line;
    taken_.insert(line);
    return true;
  }

  [[nodiscard]] bool is_taken(const StoredLine& line) const { return taken_.contains(line.name); }

  // A folder without a certificate that is worth anything may be gone on with.
  [[nodiscard]] bool is_free_for_new(const std::string& name) const {
    const auto found = by_name_.find(name);
    return !taken_.contains(name) && (found == by_name_.end() || stored_[found->second].not_after <= now_);
  }

  [[nodiscard]] const StoredLine* equal(const CertificateSpec& certificate) const {
    const auto found = by_set_.find(set_text(certificate.identifiers));
    if (found == by_set_.end()) return nullptr;
    const StoredLine* best = nullptr;
    const auto rank = [&](const StoredLine& line) {
      return std::tuple(line.not_after > now_, line.not_after, line.name == certificate.name);
    };
    for (const std::size_t i : found->second)
      if (!is_taken(stored_[i]) && (best == nullptr || rank(*best) < rank(stored_[i]))) best = &stored_[i];
    return best;
  }

  // Of several that want one line, the one it is called after has it.
  [[nodiscard]] const StoredLine* own_superset(const CertificateSpec& certificate) const {
    const auto found = by_name_.find(certificate.name);
    if (found == by_name_.end()) return nullptr;
    const StoredLine& line = stored_[found->second];
    return !is_taken(line) && line.not_after > now_ && line.holds_all(certificate.identifiers) ? &line : nullptr;
  }

  [[nodiscard]] const StoredLine* superset(const CertificateSpec& certificate) const {
    const auto found = by_identifier_.find(certificate.identifiers.front().value);
    if (found == by_identifier_.end()) return nullptr;
    const StoredLine* best = nullptr;
    const auto is_better = [](const StoredLine& line, const StoredLine& than) {
      if (line.identifiers.size() != than.identifiers.size()) return line.identifiers.size() < than.identifiers.size();
      return line.not_after > than.not_after;
    };
    for (const std::size_t i : found->second) {
      const StoredLine& line = stored_[i];
      if (is_taken(line) || !line.holds_all(certificate.identifiers)) continue;
      if (best == nullptr || is_better(line, *best)) best = &line;
    }
    return best;
  }

  [[nodiscard]] const StoredLine* most(const CertificateSpec& certificate) const {
    std::map<std::size_t, std::size_t> counts;
    for (const Identifier& identifier : certificate.identifiers)
      if (const auto found = by_identifier_.find(identifier.value); found != by_identifier_.end())
        for (const std::size_t i : found->second) ++counts[i];
    const StoredLine* best = nullptr;
    std::size_t most = 0;
    const auto rank = [&](const StoredLine& line) { return std::pair(line.name == certificate.name, line.not_after); };
    for (const auto& [i, count] : counts) {
      const StoredLine& line = stored_[i];
      if (is_taken(line) || count < most) continue;
      if (best != nullptr && count == most && rank(line) <= rank(*best)) continue;
      best = &line;
      most = count;
    }
    return best;
  }

  Plan& plan_;
  const std::vector<StoredLine>& stored_;
  const Time now_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_set_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_map<std::string, std::vector<std::size_t>> by_identifier_;  // lines that have not ended
  std::vector<std::size_t> open_;                                            // certificates without a line so far
  std::unordered_map<std::size_t, std::string> lines_;
  std::unordered_set<std::string> taken_;
};

}  // namespace

bool StoredLine::holds_all(const std::vector<Identifier>& wanted) const {
  return std::all_of(wanted.begin(), wanted.end(), [&](const Identifier& identifier) {
    return std::binary_search(identifiers.begin(), identifiers.end(), identifier);
  });
}

LineIndex::LineIndex(const std::vector<StoredLine>& lines, Time now) {
  for (const StoredLine& line : lines)
    if (line.not_after > now) put(line);
}

void LineIndex::remove(const std::string& name) {
  const auto found = lines_.find(name);
  if (found == lines_.end()) return;
  for (const Identifier& identifier : found->second.identifiers) std::erase(by_identifier_[identifier.value], name);
  lines_.erase(found);
}

void LineIndex::put(const StoredLine& line) {
  remove(line.name);
  lines_.emplace(line.name, line);
  for (const Identifier& identifier : line.identifiers) by_identifier_[identifier.value].push_back(line.name);
}

std::vector<const StoredLine*> LineIndex::with(const Identifier& identifier) const {
  std::vector<const StoredLine*> found;
  if (const auto names = by_identifier_.find(identifier.value); names != by_identifier_.end())
    for (const std::string& name : names->second) found.push_back(&lines_.at(name));
  return found;
}

const StoredLine* LineIndex::best_for(const Identifier& identifier, std::string_view but) const {
  const auto best_of = [&](const Identifier& one) {
    const StoredLine* best = nullptr;
    for (const StoredLine* const line : with(one))
      if (line->name != but && (best == nullptr || line->not_after > best->not_after)) best = line;
    return best;
  };
  const StoredLine* const exact = best_of(identifier);
  const std::size_t dot = identifier.value.find('.');
  if (exact != nullptr || identifier.kind != IdentifierKind::dns || identifier.is_wildcard() || dot == std::string::npos)
    return exact;
  return best_of({IdentifierKind::dns, "*" + identifier.value.substr(dot)});
}

std::vector<const StoredLine*> LineIndex::all_with(const std::vector<Identifier>& identifiers) const {
  if (identifiers.empty()) return {};
  std::vector<const StoredLine*> found = with(identifiers.front());
  std::erase_if(found, [&](const StoredLine* line) { return !line->holds_all(identifiers); });
  return found;
}

const StoredLine* LineIndex::find(std::string_view name) const {
  const auto found = lines_.find(name);
  return found == lines_.end() ? nullptr : &found->second;
}

void find_lines(Plan& plan, Settings& settings, const std::vector<StoredLine>& stored, Time now) {
  if (stored.empty()) return;
  const auto renamed = Finding(plan, stored, now).run();
  for (const auto& [first_name, line] : renamed)
    static_cast<void>(set(settings.global, Scope::global, "lines", std::array{first_name, line}, {}).has_value());
}

StoredLines find_stored_lines(const std::string& state_path, const SealKey& serving, Plan& plan, Settings& settings) {
  const auto state = StateReader::open(state_path);
  if (!state) return {{}, "what is stored cannot be read: " + state.error().message};
  StoredLines stored = stored_lines(*state, serving, &plan);
  find_lines(plan, settings, stored.lines, std::chrono::system_clock::now());
  return stored;
}

std::string free_line_name(const std::string& wanted, const std::function<bool(const std::string&)>& is_taken) {
  std::string name = wanted;
  for (unsigned number = 2; is_taken(name); ++number) name = wanted + "-" + std::to_string(number);
  return name;
}

std::string line_for(const std::vector<Identifier>& identifiers, const std::string& wanted, const LineIndex& stored) {
  const StoredLine* best = nullptr;
  for (const StoredLine* const line : stored.all_with(identifiers))
    if (line->identifiers.size() == identifiers.size() && (best == nullptr || line->not_after > best->not_after)) best = line;
  if (best != nullptr) return best->name;
  return free_line_name(wanted, [&](const std::string& name) { return stored.find(name) != nullptr; });
}

}  // namespace evercert
