// The state directory as a server's starter and its workers see it: the seal key (read by the privileged starter only) and
// the bundles below state_path/state (read by everybody who serves).
//
// Layout, owners and modes: docs/reference/state-directory.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/log.h"
#include "evercert/plan.h"
#include "evercert/result.h"
#include "evercert/secret.h"

namespace evercert {

// A key that seals files of one kind: derived from state_path/seal.key by HKDF-SHA-256 (RFC 5869).
struct SealKey {
  std::string id;  // 16 hex digits, the same for both keys of one seal.key: tells which key a file was sealed with
  Secret key;      // 32 bytes
};
struct SealKeys {
  SealKey serving;  // bundles
  SealKey agent;    // account keys, orders, challenge answers
};

// Creates state_path and state_path/state when missing (empty, modes as documented), nothing else. Allowed under
// configuration checks. `owner`/`group`: of the agent and of the server; ignored when not privileged. Like all that reads the
// seal key, refused (configuration) for root where anybody else could exchange what lies there. Where an agent of another user
// has the directory, the refusal proposes one of this user's own: `advice` says how it is named in this configuration.
using StatePathAdvice = std::function<std::string(const std::string& own_path)>;
Result<Done> prepare_state_directories(const std::string& state_path, std::uint32_t owner, std::uint32_t group,
                                       const StatePathAdvice& advice = {});
// What is proposed: "/var/lib/evercert-haproxy".
std::string own_state_path(const std::string& state_path, const std::string& user);

// That refusal alone, touching nothing. Errors: configuration.
Result<Done> check_state_path(const std::string& state_path);

// Reads state_path/seal.key, making it (0600, random, fsynced) at the first real start. Errors: storage; one of another user
// is refused.
Result<SealKeys> seal_keys(const std::string& state_path);
// The same without making one: NotFound is an empty optional.
Result<std::optional<SealKeys>> existing_seal_keys(const std::string& state_path);

// What lies below state_path/state, to be read.
class StateFiles {
 public:
  virtual ~StateFiles() = default;
  // Contents of a file by its path below state/ ("certificates/www.example.com/3.bundle"). nullopt: no such file. One of more
  // than `limit` bytes is an error, and none of it is read.
  [[nodiscard]] virtual Result<std::optional<Bytes>> read(const std::string& path, std::size_t limit) const = 0;
  // Its first bytes, `size` at most, however large it is.
  [[nodiscard]] virtual Result<std::optional<Bytes>> read_start(const std::string& path, std::size_t size) const = 0;
  // Names in a directory below state/, unsorted; empty when the directory does not exist.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& path) const = 0;
};

// Read access below a directory descriptor, following no links.
class StateReader : public StateFiles {
 public:
  static Result<StateReader> open(const std::string& state_path);

  [[nodiscard]] Result<std::optional<Bytes>> read(const std::string& path, std::size_t limit) const override;
  [[nodiscard]] Result<std::optional<Bytes>> read_start(const std::string& path, std::size_t size) const override;
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const override;
  [[nodiscard]] int descriptor() const { return directory_.get(); }

 private:
  explicit StateReader(Descriptor directory) : directory_(std::move(directory)) {}
  Descriptor directory_;
};

// The directory name of a certificate: its name with "*" written "_wildcard_".
std::string file_name_of(std::string_view certificate);

// The generation that "<digits>.bundle" names; nullopt for any other name, also where the number is beyond what we ever write.
std::optional<std::uint64_t> generation_in(std::string_view file_name);

// Generations of a certificate on disk, newest first. Looks at names only.
Result<std::vector<std::uint64_t>> generations_of(const StateFiles& state, std::string_view certificate);

}  // namespace evercert
