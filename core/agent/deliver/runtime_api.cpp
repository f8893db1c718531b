#include "agent/deliver/runtime_api.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/deliver/cli_socket.h"
#include "serving/base/encoding.h"

namespace evercert {
namespace {

std::vector<std::string_view> lines_of(std::string_view answer) {
  std::vector<std::string_view> lines;
  while (!answer.empty()) {
    const std::size_t end = std::min(answer.find('\n'), answer.size());
    lines.push_back(answer.substr(0, end));
    answer.remove_prefix(std::min(end + 1, answer.size()));
  }
  return lines;
}

// The rest of the line that begins with `key`.
std::optional<std::string> field(const std::string& answer, std::string_view key) {
  for (const std::string_view line : lines_of(answer))
    if (line.starts_with(key)) return std::string(line.substr(key.size()));
  return std::nullopt;
}

// As `show ssl cert` prints it: capitals.
std::string fingerprint(BytesView leaf) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ::EVP_Digest(leaf.data(), leaf.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
  std::string text = to_hex({digest.data(), size});
  for (char& letter : text)
    if (letter >= 'a' && letter <= 'f') letter = static_cast<char>(letter - 'a' + 'A');
  return text;
}

class Exchange {
 public:
  Exchange(const std::string& socket, const RuntimeFile& file) : socket_(socket), file_(file), path_(file.path()) {}

  Result<Done> run() {
    auto seen = ask("show ssl cert " + path_);
    if (!seen) return seen.error();
    const auto status = field(*seen, "Status: ");
    const bool known = status.has_value();
    const bool used = status == "Used";
    if (!known && seen->find("ot found") == std::string::npos) return refusal(*seen);
    const bool same = known && field(*seen, "SHA1 FingerPrint: ") == fingerprint(file_.leaf);
    if (same && used) return Done{};
    if (auto free = free_transaction(); !free) return free;
    if (!used)
      if (auto listed = find_list(); !listed) return listed;
    if (!known)
      if (auto made = expect("new ssl cert " + path_, "New empty"); !made) return made;
    auto done = same ? Result<Done>(Done{}) : set_and_commit();
    if (done && !used) done = expect("add ssl crt-list " + list_ + " " + path_, "Success");
    // An empty one would be in the way of the next try.
    if (!done && !known) static_cast<void>(ask("del ssl cert " + path_).has_value());
    return done;
  }

 private:
  Result<std::string> ask(const std::string& command) { return ask_haproxy(socket_, command + "\n"); }

  Result<Done> expect(const std::string& command, const char* word) {
    auto said = ask(command);
    if (!said) return said.error();
    return said->find(word) == std::string::npos ? refusal(*said) : Result<Done>(Done{});
  }

  [[nodiscard]] Error refusal(const std::string& said) const {
    return {ErrorKind::internal, "HAProxy refuses " + path_ + " at its stats socket: " + first_line(said)};
  }

  // One that an agent before us left open is ended; that of somebody else is waited for.
  Result<Done> free_transaction() {
    auto listed = ask("show ssl cert");
    if (!listed) return listed.error();
    const auto open = field(*listed, "*");
    if (!open) return Done{};
    if (open->starts_with(file_.directory + "/")) return expect("abort ssl cert " + *open, "aborted");
    return Error{ErrorKind::internal, "somebody else is changing " + *open + " at HAProxy's stats socket; " + path_ +
                                          " waits until that is done (if nobody is: abort ssl cert " + *open + ")"};
  }

  // A new certificate is served by whoever reads its directory.
  Result<Done> find_list() {
    auto lists = ask("show ssl crt-list");
    if (!lists) return lists.error();
    for (const std::string_view line : lines_of(*lists))
      if (line == file_.directory || line == file_.directory + "/") list_ = line;
    if (!list_.empty()) return Done{};
    return Error{ErrorKind::internal, "HAProxy has never heard of " + path_ +
                                          ", and no bind of it reads the directory: write `crt " + file_.directory +
                                          "` there, or reload it after naming the file"};
  }

  Result<Done> set_and_commit() {
    // A command ends at the first empty line: there is none inside PEM as we write it.
    std::string command = "set ssl cert " + path_ + " <<\n" + std::string(file_.content.text());
    if (!command.ends_with('\n')) command += '\n';
    command += '\n';
    const std::size_t size = command.size();
    auto said = ask_haproxy(socket_, command);
    wipe(command);
    if (!said) return said.error();
    const std::string begun = "certificate " + path_ + "!";
    if (said->find("ransaction") != std::string::npos && said->find(begun) != std::string::npos) {
      auto done = expect("commit ssl cert " + path_, "Success");
      if (!done) abort(path_);
      return done;
    }
    // HAProxy 2.6 put it into a transaction that another began just now: better no change than a mixed one.
    static constexpr std::string_view other = "ransaction updated for certificate ";
    const auto at = said->find(other);
    const auto end = said->find('!', at == std::string::npos ? 0 : at);
    abort(at == std::string::npos || end == std::string::npos ? path_
                                                              : said->substr(at + other.size(), end - at - other.size()));
    if (said->find_first_not_of("\r\n ") == std::string::npos)
      return Error{ErrorKind::internal, "HAProxy does not answer to " + std::to_string(size) + " bytes for " + path_ +
                                            " at its stats socket; raise tune.bufsize above that, or use master_cli"};
    return refusal(*said);
  }

  void abort(const std::string& path) { static_cast<void>(ask("abort ssl cert " + path).has_value()); }

  const std::string& socket_;
  const RuntimeFile& file_;
  const std::string path_;
  std::string list_;
};

}  // namespace

Result<Done> bring_to_haproxy(const std::string& socket_path, const RuntimeFile& file) {
  return Exchange(socket_path, file).run();
}

Result<Done> reload_by_master(const std::string& path) {
  auto said = ask_haproxy(path, "reload\n");
  if (!said) return said.error();
  if (said->find("Success=0") != std::string::npos)
    return Error{ErrorKind::internal, "HAProxy's master could not reload: " + first_line(*said)};
  return Done{};
}

}  // namespace evercert
