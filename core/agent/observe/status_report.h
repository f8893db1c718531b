// The one status structure and its faces. The agent's loop fills it; the shape of the JSON is fixed (docs/reference).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evercert {

using Time = std::chrono::system_clock::time_point;

// waiting ordering issued served issued_not_served failing expired action_required held. "served" only while `served` is set;
// "issued": nobody has seen it served yet, or nobody looks.
enum class CertificateState { waiting, ordering, issued, served, issued_not_served, failing, expired, action_required, held };
const char* to_string(CertificateState state);

struct StatusProblem {
  std::string kind;  // to_string(ErrorKind), or not_served, not_taken, export, hook, revoked
  std::string message;
  Time since;
  std::string remedy;  // what a person can do (remedies.h)
};

struct CertificateStatus {
  std::string name;
  std::vector<std::string> identifiers;
  std::string issuer;  // of the generation served, else the one that is asked
  CertificateState state = CertificateState::waiting;
  std::uint64_t generation = 0;
  std::string serial;  // hexadecimal, lower case, of the first key's leaf
  std::optional<Time> not_before;
  std::optional<Time> not_after;  // the earliest of all keys
  std::vector<std::string> keys;  // "ecdsa:256"
  struct Served {
    std::uint64_t generation = 0;
    Time since;
    std::string listener;
  };
  std::optional<Served> served;
  struct Next {
    Time at;
    std::string why;  // "two thirds of its life are over", "another try"
  };
  std::optional<Next> next;
  std::string now;  // what is being done this moment, or empty
  std::optional<StatusProblem> problem;
  std::optional<Time> failing_since;  // the first of a row of failures, whatever the problem is called by now
  // An issuer that was left for the next one in the certificate's list, until a certificate is issued.
  struct SetAside {
    std::string issuer;
    std::string key;
    std::string kind;  // of what it failed by: to_string(ErrorKind)
    std::string message;
    Time since;
    Time until;  // it is not asked before
  };
  std::vector<SetAside> set_aside;
  // Names in the certificate that is served, where they are others than the identifiers.
  std::vector<std::string> certificate_identifiers;
  // What another line is served for until this one has it.
  struct Meanwhile {
    std::string identifier;
    std::string line;
  };
  std::vector<Meanwhile> meanwhile;
};

// A line of certificates that no configuration names. It is kept until it has ended.
struct UnnamedLine {
  std::string name;
  std::vector<std::string> identifiers;
  std::string issuer;
  std::uint64_t generation = 0;
  Time not_after;
  std::vector<std::string> keys;
};

struct OrderStatusLine {
  std::string certificate;
  std::string key;
  std::string issuer;
  std::string state;  // of the order machine
  std::string reference;
  Time since;
};

// The account at a commercial CA, as last seen.
struct AccountStatus {
  std::string issuer;
  std::string offers;    // "10 products, 2 organizations"
  std::string balance;   // "120.00", or empty where the CA does not tell it
  std::string currency;  // or empty
  bool low = false;      // it will not do for the next order, or is below low_balance
  Time seen;
};

// What a commercial CA was asked for and has not done yet.
struct AwaitedStatus {
  std::string issuer;
  std::string what;  // "cancellation", "revocation"
  std::string certificate;
  std::string order;  // of a cancellation
  Time since;
};

struct Counters {                                                      // since the agent started
  std::vector<std::pair<std::string, std::uint64_t>> issuer_requests;  // key: issuer NUL status class ("2xx")
  std::vector<std::pair<std::string, std::uint64_t>> orders;           // key: issuer NUL result ("issued", "failed")
  std::vector<std::pair<std::string, std::uint64_t>> challenges;       // key: kind NUL result
};

struct StatusReport {
  std::string server;   // "nginx/1.22.1", or "none"
  std::string version;  // evercert's
  Time generated_at;
  struct Agent {
    std::string state;  // "leader" or "follower"
    int pid = 0;
    Time since;
    std::vector<std::string> followers;  // servers whose plans the leader also works
  } agent;
  std::vector<CertificateStatus> certificates;
  std::vector<OrderStatusLine> orders;
  std::vector<AccountStatus> accounts;
  std::vector<UnnamedLine> unnamed;
  std::vector<AwaitedStatus> awaited;
  Counters counters;
  Time last_run;
};

std::string render_json(const StatusReport& report);
std::string render_metrics(const StatusReport& report);  // Prometheus text format 0.0.4
std::string render_html(const StatusReport& report);
std::string render_text(const StatusReport& report);  // a table for terminals
// In a few words, for a server's own status page.
std::string render_section_rows(const StatusReport& report);
std::string render_section_lines(const StatusReport& report);

// What people are told of accounts, as it comes: not yet printable().
std::string awaited_sentence(const std::string& issuer, const std::string& what, const std::string& certificate,
                             const std::string& order, const std::string& since);
std::string low_balance_sentence(const std::string& issuer, const std::string& balance, const std::string& currency,
                                 const std::string& seen);

// RFC 3339 in UTC, seconds. The form of every time we write.
std::string to_rfc3339(Time time);

}  // namespace evercert
