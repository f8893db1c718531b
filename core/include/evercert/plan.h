// Plan: what the operator asked for, after it has been proved sensible. Only check() makes one; nothing downstream re-checks.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evercert/dns_settings.h"
#include "evercert/purchase.h"
#include "evercert/result.h"
#include "evercert/secret.h"
#include "evercert/settings.h"

namespace evercert {

enum class IdentifierKind { dns, ip };
// A name a certificate may be asked for (RFC 8555 section 9.7.7): lower case A-labels without trailing dot, or an IP address
// in its canonical text form (RFC 8738). A wildcard is a dns identifier that begins with "*.".
struct Identifier {
  IdentifierKind kind = IdentifierKind::dns;
  std::string value;
  [[nodiscard]] bool is_wildcard() const { return value.starts_with("*."); }
  bool operator==(const Identifier&) const = default;
  auto operator<=>(const Identifier&) const = default;
};

enum class KeyAlgorithm { ecdsa, rsa };
struct KeySpec {
  KeyAlgorithm algorithm = KeyAlgorithm::ecdsa;
  unsigned bits = 256;                     // ecdsa: 256, 384, 521; rsa: 2048, 3072, 4096
  [[nodiscard]] std::string text() const;  // "ecdsa:256": the form of configuration, status and file names
  bool operator==(const KeySpec&) const = default;
};
Result<KeySpec> parse_key_spec(std::string_view text);

struct ExternalAccount {  // RFC 8555 section 7.3.4
  std::string kid;
  Secret hmac_key;  // decoded
};

struct Profile {
  std::string name;
  bool required = false;
};

struct Proxy {
  std::string uri;   // scheme://host:port, or empty for none
  std::string user;  // empty: no authentication
  Secret password;
};

// RFC 8555's three, and what other CAs ask for: a file below /.well-known/pki-validation/, a record with a name and value of
// theirs, a mail that a person answers.
enum class ChallengeKind { http_01, tls_alpn_01, dns_01, http_file, dns_txt, dns_cname, email };
const char* to_string(ChallengeKind kind);  // "http-01", "http-file"

struct IssuerSpec {
  std::string name;
  std::string type = "acme";
  std::string uri;  // the directory, or the base of the CA's API
  KeySpec account_key;
  Secret account_key_pem;                            // set when account_key names a file
  ChallengeKind challenge = ChallengeKind::http_01;  // the first of them
  std::vector<ChallengeKind> challenges;             // in order: the next is tried when one fails
  bool common_name_in_csr = false;
  std::vector<std::string> contacts;  // URIs, mailto: added where missing
  std::optional<ExternalAccount> external_account;
  std::string preferred_chain;
  std::optional<Profile> profile;
  Secret trusted_certificates_pem;  // empty: the system's
  bool verify = true;
  bool terms_accepted = false;
  Proxy proxy;
  unsigned max_orders = 16;                 // in flight
  bool orders = true;                       // false: only when a person asks
  DnsSettings dns;                          // the plan's
  std::uint16_t http_port = 80;             // the plan's
  Purchase purchase;                        // of types other than acme
  std::vector<std::string> caa_identities;  // under which names the CA looks for itself in CAA records
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds timeout{30};  // of a whole request
  std::string import_path;           // state_path of an earlier client to take certificates over from, or empty
  Place place;
  [[nodiscard]] bool proves_wildcards() const;
  // Whether an order costs money: never placed twice, never given up by itself.
  [[nodiscard]] bool is_paid() const { return type != "acme"; }
};

// One of the server's own TLS listeners, to be asked what it serves.
struct ProofAddress {
  std::string host;  // an address that can be dialled: 0.0.0.0 has become 127.0.0.1, [::] has become ::1
  std::uint16_t port = 443;
  std::string unix_path;        // set instead of host and port
  bool proxy_protocol = false;  // send a PROXY UNKNOWN line first
  bool every = false;           // it listens at every address, of which host is the first
                                // to be tried
  bool operator==(const ProofAddress&) const = default;
  [[nodiscard]] std::string text() const;
};

struct CertificateSpec {
  std::string name;                     // of its line (lines.h)
  bool named = false;                   // written with name=: its line is found by that alone
  std::vector<Identifier> identifiers;  // sorted, unique; the first written stays the first
  std::vector<std::string> issuers;     // names, in order of preference
  std::vector<KeySpec> keys;            // at least one, no two of the same algorithm
  bool placeholder = false;             // a self-signed stand-in until the first generation
  bool proof = true;
  std::vector<ProofAddress> proof_addresses;
  Place place;
};

// For software that reads PEM files.
struct ExportSpec {
  std::string path;         // empty: nothing is exported
  std::string written;      // as the operator spells the option; "export_path in FILE:LINE" where this process read the file
  std::string runtime_api;  // HAProxy's stats socket, or empty
  std::string master_cli;   // HAProxy's master socket, or empty
  std::vector<std::string> hook;  // a command and its arguments, or empty
};

struct Plan {
  std::string state_path;
  std::string server;       // "nginx/1.22.1", or empty without a server
  std::string agent_user;   // empty: the server's
  std::string program;      // absolute path of the agent's program
  std::string pem_path;     // where HAProxy reads its certificates
  std::string http_listen;  // address at which an agent without a server answers http-01; empty: all
  ExportSpec exports;
  std::uint16_t http_port = 80;
  std::uint16_t tls_port = 443;
  unsigned cache_size = 10000;  // parsed certificates a worker keeps
  DnsSettings dns;
  std::vector<IssuerSpec> issuers;
  std::vector<CertificateSpec> certificates;

  [[nodiscard]] const IssuerSpec* issuer(std::string_view name) const;
  [[nodiscard]] const CertificateSpec* certificate(std::string_view name) const;
};

// Files that the configuration names (secrets, trusted certificates). The privileged starter reads them from disk while it
// checks; the agent, which may not be able to, checks the same settings again over the copies that travelled with them.
class FileSource {
 public:
  enum class Care { plain, secret };  // secret: refused when others than the owner and group can read it
  virtual ~FileSource() = default;
  virtual Result<Secret> read(const std::string& path, Care care) = 0;
};

// Reads from disk and keeps a copy of all that was read, to be carried on.
class DiskFiles : public FileSource {
 public:
  Result<Secret> read(const std::string& path, Care care) override;
  [[nodiscard]] const std::map<std::string, Secret>& carried() const { return carried_; }

 private:
  std::map<std::string, Secret> carried_;
};

// Reads from such copies only.
class CarriedFiles : public FileSource {
 public:
  explicit CarriedFiles(std::map<std::string, Secret> files) : files_(std::move(files)) {}
  Result<Secret> read(const std::string& path, Care care) override;

 private:
  std::map<std::string, Secret> files_;
};

struct Complaint {
  enum class Severity { notice, warning, error };
  Severity severity = Severity::error;
  Place place;
  std::string option;           // the option's name, or empty
  std::string message;          // what is wrong, and what to write instead, options as this file spells them; without the place
  Scope scope = Scope::global;  // of the option
};

struct Checked {
  std::optional<Plan> plan;           // absent when any complaint is an error
  std::vector<Complaint> complaints;  // all of them, in the order of the operator's file
  // For each section of Settings::certificates the certificates of the plan that came of it (equal ones are one; the option
  // `evercert each` makes several).
  std::vector<std::vector<std::size_t>> certificates_of_section;
};

// Reads and compares everything; touches no network, makes no key, no file. `check_state_path` also looks at the file system
// below state_path (a network file system without locks is refused unless forced), and complains of options that have no effect
// on this server; the agent skips both.
Checked check(const Settings& settings, FileSource& files, bool check_state_path = true);

// The plan as evercert.json, without secrets: files are named, not copied. check(read_settings_text(to_json(p))) gives p again.
std::string to_json(const Settings& settings);

}  // namespace evercert
