// Lines of certificates: all generations that are stored under one name. That name is for people and folders; a configuration
// finds its line by the names in its certificate (docs/decisions, "Lines"). Pure functions over what is stored, for the
// starter, which asks before the first handshake, and for the agent, which must come to the same answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evercert/log.h"
#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/state.h"

namespace evercert {

// What the newest generation that opens holds.
struct StoredLine {
  std::string name;
  std::uint64_t generation = 0;
  std::vector<Identifier> identifiers;  // of the leaf, sorted, unique
  std::vector<KeySpec> keys;
  std::string issuer;                               // as in the bundle
  std::chrono::system_clock::time_point not_after;  // of the pair that ends first
  // Each of them, word for word; a wildcard stands for itself only.
  [[nodiscard]] bool holds_all(const std::vector<Identifier>& wanted) const;
};

// How much is looked at beyond the index. Whoever may write below state/ can make folders without end, and a server that starts
// waits for no more than this.
struct LookBudget {
  std::size_t folders = 20'000;
  std::size_t bytes = std::size_t{256} << 20;  // of bundles that were read whole
  std::chrono::milliseconds time{2000};
};
struct StoredLines {
  std::vector<StoredLine> lines;  // by name
  std::string trouble;            // what was not looked at, why and what to do, in one sentence; empty: nothing
};
// Every line below state/certificates. One that is damaged, locked or of a newer release is left out. Reads the index, and the
// bundles that are not in it, those in folders that certificates of `plan` (nullptr: none) are called after first: names there
// are hints, whoever serves looks at the certificate itself.
StoredLines stored_lines(const StateFiles& state, const SealKey& serving, const Plan* plan, const LookBudget& budget = {});
// The index as it is to be written to state/index (line_index_file): sealed, so that nobody else can make one.
Result<Bytes> seal_line_index(const SealKey& serving, const std::vector<StoredLine>& lines);
constexpr const char* line_index_file = "index";

// Which lines have a name, quickly. Holds no line that has ended.
class LineIndex {
 public:
  LineIndex() = default;
  LineIndex(const std::vector<StoredLine>& lines, std::chrono::system_clock::time_point now);
  void put(const StoredLine& line);  // new, or in the place of the one with its name
  void remove(const std::string& name);
  // What a handshake for this name can be served from, besides the line `but`: a certificate with the very name before one
  // with a wildcard, then the one that lasts longest. nullptr: nothing.
  [[nodiscard]] const StoredLine* best_for(const Identifier& identifier, std::string_view but) const;
  // Lines whose certificate has all of these names, word for word.
  [[nodiscard]] std::vector<const StoredLine*> all_with(const std::vector<Identifier>& identifiers) const;
  [[nodiscard]] std::vector<const StoredLine*> with(const Identifier& identifier) const;
  [[nodiscard]] const StoredLine* find(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, StoredLine, std::less<>>& lines() const { return lines_; }

 private:
  std::map<std::string, StoredLine, std::less<>> lines_;
  std::unordered_map<std::string, std::vector<std::string>> by_identifier_;
};

// Gives every certificate of the plan the name of its line: the one written with name=; else that of the line with the same set
// of names, with the smallest set that has them all, or with most of them; else its first name, or a free one like it. No line
// is given twice. The names that differ go into `settings` (option `lines`), so that check() over the same settings, in
// another process, comes to the same plan.
void find_lines(Plan& plan, Settings& settings, const std::vector<StoredLine>& stored,
                std::chrono::system_clock::time_point now);

// Both for a server that starts: what is stored in `state_path`, and the plan's certificates have the names of their lines.
StoredLines find_stored_lines(const std::string& state_path, const SealKey& serving, Plan& plan, Settings& settings);

// `wanted`, or the next free one like it: "www.example.com-2".
std::string free_line_name(const std::string& wanted, const std::function<bool(const std::string&)>& is_taken);

// The line that an imported certificate belongs to: the one with its set of names, else a free name like `wanted`.
std::string line_for(const std::vector<Identifier>& identifiers, const std::string& wanted, const LineIndex& stored);

}  // namespace evercert
