// The catalog: the reading side in a process that serves. Names to certificates, certificates to parsed objects, one atomic
// load to know that what is in memory is current. No network, no directory scan, no lock held across a parse.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evercert/board.h"
#include "evercert/log.h"
#include "evercert/state.h"

namespace evercert {

// Server name → something small (a CertificateSlot). One per server block or virtual host: exact, then wildcard (one label,
// RFC 6125 section 6.4.3), then the first one added as default. Case and a trailing dot do not matter.
class NameIndex {
 public:
  // Lower case, without a trailing dot.
  static std::string normal(std::string_view server_name);

  void add(const Identifier& identifier, CertificateSlot slot);
  // `server_name` empty: the client sent none. nullopt only when the index is empty.
  [[nodiscard]] std::optional<CertificateSlot> find(std::string_view server_name) const;
  [[nodiscard]] bool has(std::string_view server_name) const;  // the very name or its wildcard was added
  [[nodiscard]] bool empty() const { return !first_; }

 private:
  [[nodiscard]] std::optional<CertificateSlot> find_named(std::string_view server_name) const;
  std::unordered_map<std::string, CertificateSlot> exact_;
  std::unordered_map<std::string, CertificateSlot> wildcard_;  // key without "*."
  std::optional<CertificateSlot> first_;
};

// One generation of one certificate, parsed; immutable, shared by all connections that use it.
class ServedCertificate {
 public:
  virtual ~ServedCertificate() = default;
  [[nodiscard]] virtual std::uint64_t generation() const = 0;
  // It names this server and has not ended. True for a client that sent no name, as long as it has not.
  [[nodiscard]] virtual bool is_good_for(std::string_view server_name) const = 0;
  // Puts all leaf, chain, key sets into a connection, after removing what is there (certificate callback). False: OpenSSL
  // refused; its error queue is clean.
  virtual bool apply(SSL* connection) const = 0;
  [[nodiscard]] virtual std::string pem_chain() const = 0;  // of the first key: leaf and chain as PEM, no key
};

class Catalog {
 public:
  // `capacity`: parsed certificates kept; the least recently used go first. `report` may be null.
  Catalog(Board board, StateReader state, SealKey serving, std::unique_ptr<ReportPage> report, std::size_t capacity,
          Logger& log);
  ~Catalog();

  // Tells the catalog which certificate lives in a slot (names are not on the board), and the highest generation of it that was
  // ever published: an older one is served rather than none, and told.
  void know(CertificateSlot slot, const std::string& certificate, std::uint64_t reached = 0);
  // True when some generation can be served. One atomic load once the agent has put it on the board.
  [[nodiscard]] bool has(CertificateSlot slot);
  // The current generation; on any load error the one in memory, else the previous one on disk, else null. Thread-safe.
  // While the board knows none (the agent has just been started, or does not run): the newest on disk that opens, looked for
  // once. So the first handshake needs no agent, and a start need not read ten thousand bundles.
  // A generation that failed to load is tried again after a second, not at each handshake.
  [[nodiscard]] std::shared_ptr<const ServedCertificate> find(CertificateSlot slot);

  [[nodiscard]] const Board& board() const;
  // Looks up an open challenge and reports the hit; `wake` is the eventfd of the agent, or -1.
  [[nodiscard]] std::optional<std::string> answer(ChallengeKind kind, std::string_view token, int wake);
  // What a GET or HEAD is to be answered with ahead of all that the server does otherwise: ACME's challenges and the files that
  // other CAs look for. `host`: as the request names it, with or without a port. nullopt: not ours.
  [[nodiscard]] std::optional<std::string> answer_http(std::string_view host, std::string_view path, int wake);

 private:
  class Content;
  std::unique_ptr<Content> content_;
};

// For SSL_set_session_id_context: differs between certificates by name, so that a session of one is not resumed at another.
std::array<unsigned char, 32> session_context(std::string_view certificate_name);

// A self-signed certificate (P-256, one week, kept in memory) for a name that has none yet.
Result<std::shared_ptr<const ServedCertificate>> make_placeholder(const std::string& certificate,
                                                                  const std::vector<Identifier>& names);
// The same as a file in memory, leaf and key as PEM, for a server that must load some file before its callbacks count.
class PlaceholderFile {
 public:
  // The path, for this process only; good until the next call.
  Result<std::string> write(const std::string& certificate, const std::vector<Identifier>& names);
  void close() { file_.reset(); }

 private:
  Descriptor file_;
};

}  // namespace evercert
