#include "agent/observe/remedies.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace evercert {
namespace {

enum class How { any, by_http, by_dns };

// The first row that fits. `words` and `signs` are alternatives between bars, empty for any; signs are looked for in what was
// said, whatever the case of its letters. "{link}" stands for where the peer sends a person, "{port}" for where a CA knocks.
struct Case {
  std::string_view kind;
  std::string_view words;
  std::string_view signs;
  How how;
  std::string_view remedy;
};

constexpr std::array cases{
    // RFC 8555 section 6.7: what a CA found when it looked at a name.
    Case{"challenge_failed", "caa", "", How::any,
         "A CAA record of the name forbids this CA: add one that permits it, or order from another issuer. CAs may go by the "
         "old "
         "records for eight hours."},
    Case{"challenge_failed", "dns", "", How::by_http,
         "Check from outside that the name is delegated, has an A or AAAA record that leads to this server, and that DNSSEC, "
         "where "
         "it is used, is sound."},
    Case{"challenge_failed", "dns", "", How::by_dns,
         "Check from outside that the zone's name servers answer and that DNSSEC, where it is used, is sound."},
    Case{"challenge_failed", "connection", "could not resolve|no such host|nxdomain|servfail|no address", How::by_http,
         "The CA finds no address for the name: check from outside that it is delegated and has an A or AAAA record that leads "
         "to this server."},
    Case{"challenge_failed", "connection", "refused", How::by_http,
         "Nothing takes connections on port {port} where the CA knocks: let a server listen there, at each address that the "
         "name "
         "has "
         "(A and AAAA records)."},
    Case{
        "challenge_failed", "connection", "timeout|timed out|firewall|no route|unreachable", How::by_http,
        "The CA's connections to port {port} are lost on the way: open it in firewalls and routers for the whole Internet, for "
        "IPv6, "
        "too, if the name has an AAAA record."},
    Case{"challenge_failed", "connection", "", How::by_http,
         "Check from outside that http://NAME/.well-known/acme-challenge/ is answered on port {port}, at each address that the "
         "name "
         "has."},
    Case{"challenge_failed", "tls", "", How::by_http,
         "Something redirects the CA to https, which does not work there: do not redirect /.well-known/acme-challenge/."},
    Case{"challenge_failed", "unauthorized|incorrectResponse", "", How::by_http,
         "Another server answers for the name, or a proxy in front of this one does: check that the A and AAAA records lead "
         "here "
         "and that /.well-known/acme-challenge/ is passed on."},
    Case{"challenge_failed", "unauthorized|incorrectResponse", "", How::by_dns,
         "The CA saw another TXT record, or none: check that records are written into the zone that the world sees, and that "
         "all "
         "its name servers have them (dns_propagation)."},
    Case{"challenge_failed", "", "", How::any,
         "What the CA found at the name stands in the message; the next try is at the time shown."},

    Case{"connection", "unreachable", "resolve", How::any,
         "Check the host in the option uri, and this machine's resolver; attempts go on."},
    Case{"connection", "unreachable|silent", "", How::any,
         "Check that this host may reach the CA (network, firewall, option proxy); attempts go on."},
    Case{"connection", "untrusted", "", How::any,
         "If this is the right server, name the file with its CA certificate in ssl_trusted_certificate; if not, something on "
         "the "
         "way answers in its place."},
    Case{"connection", "notDirectory", "", How::any,
         "What answers there is no ACME directory: compare the option uri with the address that the CA publishes."},
    Case{"connection|issuer_refused", "notInterface", "", How::any,
         "What answers there is not the CA's interface: compare the option uri with the base address in the CA's "
         "documentation."},
    Case{"connection", "unencrypted", "", How::any,
         "Nothing is sent unencrypted: tell the CA which address it names; attempts go on."},
    Case{"connection", "", "the proxy ", How::any, "Check the option proxy, and what the proxy lets through; attempts go on."},
    Case{"connection", "", "", How::any, "What came back, or did not, stands in the message; attempts go on by themselves."},

    Case{"configuration", "externalAccountRequired", "", How::any,
         "Set external_account_key to the key identifier and the HMAC key that the CA gives its customers, and reload the "
         "server."},
    Case{"configuration", "externalAccount", "", How::any,
         "Compare external_account_key with what the CA gave you, key identifier and HMAC key, and reload the server; many CAs "
         "take "
         "each only once."},
    Case{"configuration", "contact", "", How::any,
         "Set the option contact to a mail address that the CA takes, and reload the server."},
    Case{"configuration", "termsOfService", "", How::any,
         "Read {link}, set accept_terms_of_service if you agree, and reload the server."},
    Case{"configuration", "", "", How::any, "Correct the configuration and reload the server."},

    Case{"action_required", "userActionRequired", "", How::any,
         "Read {link} and do what it asks for; then evercert renew NAME orders at once."},
    Case{"action_required", "rateLimited", "", How::any,
         "Follow the link in the message, where the CA takes the name up again; then evercert renew NAME orders at once."},
    Case{"action_required", "orderCancelled", "", How::any, "Nothing is ordered again before evercert renew NAME."},
    Case{"action_required", "", "", How::any,
         "Do what the message asks for; an open order goes on by itself, else evercert renew NAME orders at once."},
    Case{"held", "", "", How::any, "Do what the message asks for; nothing is ordered or replaced before that."},

    Case{"rate_limited", "", "", How::any, "Nothing to do: the CA allows the next try at the time shown."},

    Case{"issuer_refused", "rejectedIdentifier|unsupportedIdentifier", "", How::any,
         "The CA does not issue for this name: take it out of the certificate, or order it from another issuer."},
    Case{"issuer_refused", "badCSR|badPublicKey", "", How::any,
         "The CA does not take such a key or request: choose another kind of key, or see the CA's words in the message."},
    Case{"issuer_refused", "orderStuck", "", How::any,
         "Ask the CA why it does not end its orders, or name another issuer beside it; the next try is at the time shown."},
    Case{"issuer_refused", "", "", How::any, "The CA's own words stand in the message; the next try is at the time shown."},

    Case{"key_provider", "", "", How::any, "Check the key: the token, its PIN and its free space, or the algorithm asked for."},
    Case{"storage", "", "", How::any,
         "Check free space, owner and mode of the state directory; damaged files are in quarantine/."},
    Case{"dns", "", "", How::any,
         "Check the name servers, their keys and policies, or the program that writes records; attempts go on."},
    Case{"not_served", "", "", How::any,
         "Check that the server listens where the proof asks it, or set proof_address or proof off."},
    Case{"not_taken", "", "", How::any,
         "Nothing to do at first: it is given to the server again. If it stays so, reload the server."},
    Case{"export", "", "permission denied", How::any,
         "The agent's user may not do that: name one that may with agent_user (HAProxy's own, where it owns the socket), or "
         "give that user the right; it is tried again by itself."},
    Case{"export", "", "", How::any,
         "See to what the message names (export_path, runtime_api, master_cli); it is tried again by itself."},
    Case{"hook", "", "", How::any,
         "Run the command as the agent's user to see why it fails; it is run again by itself until it ends with 0."},
    Case{"older_generation", "", "", How::any,
         "Find out who changed the state directory; then renew, or accept what is there with rollback."},
    Case{"internal", "", "", How::any, "This is a fault in evercert: please report it with the log's lines around this time."},
};

bool is_among(std::string_view word, std::string_view alternatives) {
  for (std::size_t begin = 0; begin <= alternatives.size();) {
    const std::size_t end = std::min(alternatives.find('|', begin), alternatives.size());
    if (alternatives.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

bool said_any_of(std::string_view said, std::string_view alternatives) {
  const auto same = [](char left, char right) { return (left >= 'A' && left <= 'Z' ? left - 'A' + 'a' : left) == right; };
  for (std::size_t begin = 0; begin <= alternatives.size();) {
    const std::size_t end = std::min(alternatives.find('|', begin), alternatives.size());
    const std::string_view sign = alternatives.substr(begin, end - begin);
    if (std::search(said.begin(), said.end(), sign.begin(), sign.end(), same) != said.end()) return true;
    begin = end + 1;
  }
  return false;
}

bool row_fits(const Case& row, const Trouble& trouble) {
  return is_among(trouble.kind, row.kind) && (row.words.empty() || is_among(trouble.word, row.words)) &&
         (row.signs.empty() || said_any_of(trouble.said, row.signs)) &&
         (row.how == How::any || (row.how == How::by_dns) == trouble.by_dns);
}

std::string port_text(unsigned http_port) {
  return std::to_string(http_port) + (http_port == 80 ? "" : " (option http_port)");
}

std::string last_component(const std::string& type) {
  const auto colon = type.rfind(':');
  return colon == std::string::npos ? type : type.substr(colon + 1);
}

}  // namespace

Trouble trouble_of(const Error& error, bool by_dns, unsigned http_port) {
  Trouble trouble{to_string(error.kind), "", error.message, "", by_dns, http_port};
  if (!error.problem) return trouble;
  const Problem& problem = *error.problem;
  trouble.word = last_component(problem.type);
  trouble.link = problem.instance;
  // RFC 8555 section 6.7.1: "compound" only says that the parts do.
  if (trouble.word == "compound" && !problem.subproblems.empty()) {
    const auto telling = std::find_if(problem.subproblems.begin(), problem.subproblems.end(), [&](const auto& part) {
      const std::string word = last_component(part.type);
      return std::any_of(cases.begin(), cases.end(), [&](const Case& row) {
        return !row.words.empty() && is_among(trouble.kind, row.kind) && is_among(word, row.words);
      });
    });
    trouble.word = last_component((telling == problem.subproblems.end() ? problem.subproblems.begin() : telling)->type);
  }
  std::string said = problem.detail;
  for (const auto& part : problem.subproblems) said += " " + part.detail;
  if (!said.empty()) trouble.said = std::move(said);
  return trouble;
}

std::string remedy_for(const Trouble& trouble) {
  const auto row = std::find_if(cases.begin(), cases.end(), [&](const Case& one) { return row_fits(one, trouble); });
  std::string remedy(row == cases.end() ? "See the log for the lines before this one." : row->remedy);
  const auto fill_in = [&](std::string_view mark, const std::string& words) {
    if (const auto at = remedy.find(mark); at != std::string::npos) remedy.replace(at, mark.size(), words);
  };
  fill_in("{link}", trouble.link.empty() ? "what the message names" : trouble.link);
  fill_in("{port}", port_text(trouble.http_port));
  return remedy;
}

std::string remedy_for(const std::string& kind) {
  return remedy_for(Trouble{kind, "", "", "", false, 80});
}

}  // namespace evercert
