// What is installed and configured on a machine, as far as a first configuration depends on it. Reads only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evercert {

// A word of a configuration, and where it stands.
struct Spot {
  std::string file;  // as the machine itself calls it
  unsigned line = 0;
  std::string word;
  [[nodiscard]] std::string text() const { return file + ":" + std::to_string(line); }
};

class Machine {
 public:
  // `root`: the machine's files are below it; empty: this machine.
  explicit Machine(std::string root);

  [[nodiscard]] bool has(const std::string& path) const;
  // Of links, what they lead to below the root. Empty where there is none, or none to be read.
  [[nodiscard]] std::string text(const std::string& path) const;
  // Paths in a directory that end so, in order; not those that begin with a dot.
  [[nodiscard]] std::vector<std::string> files_in(const std::string& directory, std::string_view ending) const;
  [[nodiscard]] bool has_ipv6() const;
  // Of its own users. nullopt: there is none of that name.
  [[nodiscard]] std::optional<std::uint32_t> user(const std::string& name) const;
  // The user who has a state directory, of a number that may have no name; nullopt: nobody, since nothing is in it.
  [[nodiscard]] std::optional<std::uint32_t> owner_of_state(const std::string& state_path) const;
  [[nodiscard]] std::string user_name(std::uint32_t user) const;
  // Where a file of the machine is for us.
  [[nodiscard]] std::string place(const std::string& path) const { return root_ + path; }
  // "sudo systemctl reload-or-restart nginx", as this machine's init system has it.
  [[nodiscard]] std::string reload(const std::string& service) const;

 private:
  [[nodiscard]] std::string followed(const std::string& path) const;
  [[nodiscard]] std::vector<std::pair<std::string, std::uint32_t>> users() const;
  std::string root_;
};

// The words of a configuration: separated by white space and, where `signs` says so, by ; { and }, which are words then.
// Comments (#) are skipped, quotes taken off.
std::vector<Spot> words_in(const std::string& text, const std::string& file, bool signs);

}  // namespace evercert
