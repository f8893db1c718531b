// Apache's servers as the core wants to know them: their names and listeners, and what their lines tell other modules. Those
// modules keep that to themselves, so it is read off the tree of all lines that Apache has just interpreted.
#include <ap_listen.h>
#include <util_cfgtree.h>

#include <algorithm>
#include <map>
#include <set>

#include "configuration.h"

namespace evercert {
namespace {

bool is_line(const ap_directive_t& line, const char* name) {
  return ::strcasecmp(line.directive, name) == 0;
}

std::vector<std::string> words_of(const ap_directive_t& line, apr_pool_t* pool) {
  std::vector<std::string> words;
  const char* rest = line.args;
  while (*rest != '\0') words.emplace_back(ap_getword_conf(pool, &rest));
  if (!words.empty() && line.directive[0] == '<' && words.back().ends_with('>')) words.back().pop_back();
  if (!words.empty() && words.back().empty()) words.pop_back();
  return words;
}

// What one level, the main server or a virtual host, says to others than us.
struct Said {
  std::string engine;  // SSLEngine, in lower case; empty: not said
  bool certificate = false;
  bool name = false;
  bool proxy_protocol = false;
};

struct Tree {
  Said main;
  std::map<std::pair<std::string, int>, Said> hosts;  // by the place of <VirtualHost>
  std::map<std::string, std::string> md_names;        // names that mod_md manages, to the places of their lines
};

class Reading {
 public:
  explicit Reading(apr_pool_t* pool) : pool_(pool) {}

  Tree read() {
    read_lines(ap_conftree, tree_.main, false);
    return std::move(tree_);
  }

 private:
  void read_lines(const ap_directive_t* line, Said& said, bool in_host) {
    for (; line != nullptr; line = line->next) {
      if (!in_host && is_line(*line, "<VirtualHost"))
        read_lines(line->first_child, tree_.hosts[{line->filename, line->line_num}], true);
      else if (line->directive[0] != '<')
        read_line(*line, said);
      if (is_line(*line, "MDomain") || is_line(*line, "<MDomain") || is_line(*line, "<MDomainSet")) read_md(*line);
    }
  }

  void read_line(const ap_directive_t& line, Said& said) {
    if (is_line(line, "SSLCertificateFile")) said.certificate = true;
    if (is_line(line, "ServerName")) said.name = true;
    if (is_line(line, "RemoteIPProxyProtocol")) said.proxy_protocol = first_word(line) == "on";
    if (is_line(line, "SSLEngine")) said.engine = first_word(line);
  }

  void read_md(const ap_directive_t& line) {
    add_md(line, line);
    for (const ap_directive_t* inner = line.first_child; inner != nullptr; inner = inner->next)
      if (is_line(*inner, "MDMember") || is_line(*inner, "MDMembers")) add_md(*inner, line);
  }

  void add_md(const ap_directive_t& names, const ap_directive_t& line) {
    const std::string place = Place{line.filename, static_cast<unsigned>(line.line_num)}.text();
    for (const std::string& word : words_of(names, pool_))
      if (word != "auto" && word != "manual") tree_.md_names.emplace(word, place);
  }

  std::string first_word(const ap_directive_t& line) {
    const auto words = words_of(line, pool_);
    std::string word = words.empty() ? "" : words.front();
    ap_str_tolower(word.data());
    return word;
  }

  apr_pool_t* pool_;
  Tree tree_;
};

std::string spelled(const apr_sockaddr_t& address, unsigned port) {
  char host[APRMAXHOSTLEN];
  if (apr_sockaddr_ip_getbuf(host, sizeof host, const_cast<apr_sockaddr_t*>(&address)) != APR_SUCCESS) return "";
  const bool is_version_6 = ::strchr(host, ':') != nullptr;
  return (is_version_6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" + std::to_string(port);
}

std::pair<std::string, int> place_of(const server_rec& server) {
  return {std::string(text(server.defn_name)), static_cast<int>(server.defn_line_number)};
}

// Where a server is reached at a listener: its own address where it names one, else the listener's.
std::vector<std::string> addresses_of(const server_rec& server, const ap_listen_rec& listener) {
  std::vector<std::string> found;
  const apr_sockaddr_t* const bound = listener.bind_addr;
  if (server.is_virtual == 0) return {spelled(*bound, bound->port)};
  for (const server_addr_rec* address = server.addrs; address != nullptr; address = address->next) {
    if (address->host_port != 0 && address->host_port != bound->port) continue;
    if (apr_sockaddr_is_wildcard(address->host_addr) != 0 || apr_sockaddr_equal(address->host_addr, bound) != 0)
      found.push_back(spelled(*bound, bound->port));
    else if (apr_sockaddr_is_wildcard(bound) != 0)
      found.push_back(spelled(*address->host_addr, bound->port));
  }
  return found;
}

std::vector<std::string> names_of(const server_rec& server, bool is_named) {
  std::vector<std::string> names;
  if (is_named) names.emplace_back(text(server.server_hostname));
  for (const apr_array_header_t* more : {server.names, server.wild_names})
    for (int i = 0; more != nullptr && i < more->nelts; ++i) names.emplace_back(text(APR_ARRAY_IDX(more, i, const char*)));
  return names;
}

// Adds the ports at which the server speaks TLS to `tls_ports`.
void find_listeners(FoundServer& found, bool proxy_protocol, unsigned tls_port, std::set<unsigned>& tls_ports) {
  for (const ap_listen_rec* listener = ap_listeners; listener != nullptr; listener = listener->next) {
    const unsigned port = listener->bind_addr->port;
    for (const std::string& address : addresses_of(*found.server, *listener)) {
      found.expects_tls = found.expects_tls || text(listener->protocol) == "https" || port == tls_port;
      if (!found.tls) continue;
      tls_ports.insert(port);
      found.facts.listeners.push_back({address});
      if (proxy_protocol) found.facts.listeners.back().emplace_back("proxy_protocol");
    }
  }
}

}  // namespace

std::vector<FoundServer> find_servers(server_rec* main, unsigned tls_port) {
  Tree tree = Reading(main->process->pconf).read();
  std::vector<FoundServer> all;
  std::set<unsigned> tls_ports;
  for (server_rec* server = main; server != nullptr; server = server->next) {
    Said said = tree.main;
    if (server != main) {
      const Said& written = tree.hosts[place_of(*server)];
      if (!written.engine.empty()) said.engine = written.engine;
      said.certificate = said.certificate || written.certificate;
      said.proxy_protocol = said.proxy_protocol || written.proxy_protocol;
      said.name = written.name;
    }
    FoundServer found;
    found.server = server;
    found.facts.place = {std::string(text(server->defn_name)), server->defn_line_number};
    found.facts.names = names_of(*server, said.name);
    found.tls = said.engine == "on" || said.engine == "optional";
    found.tls_written = !said.engine.empty();
    found.has_certificate = said.certificate;
    found.writes_certificate = server != main && tree.hosts[place_of(*server)].certificate;
    find_listeners(found, said.proxy_protocol, tls_port, tls_ports);
    for (const std::string& name : found.facts.names)
      if (const auto md = tree.md_names.find(name); md != tree.md_names.end()) found.managed_by_md = md->second;
    all.push_back(std::move(found));
  }
  std::set<unsigned> plain_ports;
  for (const ap_listen_rec* listener = ap_listeners; listener != nullptr; listener = listener->next)
    if (!tls_ports.contains(listener->bind_addr->port)) plain_ports.insert(listener->bind_addr->port);
  for (FoundServer& found : all)
    for (const unsigned port : plain_ports) found.facts.plain_ports.push_back(std::to_string(port));
  return all;
}

}  // namespace evercert
