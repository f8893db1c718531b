// What a server's own configuration says of the names that are to get certificates, and of its ports. It goes by the words that
// stand there and understands no variables, so that it proposes and a person decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/machine.h"

namespace evercert {

// The block or virtual host that answers for a name: the one with TLS where there are several.
struct TakenSite {
  Spot spot;  // of the name there
  std::string name;
  bool tls = false;
  bool own_certificate = false;
  bool redirects = false;  // it does nothing but send visitors elsewhere
};

struct TakenSites {
  std::vector<TakenSite> taken;
  std::vector<std::string> free;
};

// The files of nginx's configuration, included ones too, in the order in which nginx reads them.
std::vector<std::string> files_of_nginx(const Machine& machine, const std::string& main);
// `words`: with their signs.
TakenSites sites_of_nginx(const std::vector<Spot>& words, const std::vector<std::string>& names);
TakenSites sites_of_apache(const std::vector<Spot>& words, const std::vector<std::string>& names);

// HAProxy's first bind of each of the two ports.
struct TakenBinds {
  std::optional<Spot> plain;
  std::optional<Spot> tls;
  bool tls_is_on = false;  // `ssl` is written there
};
TakenBinds binds_of_haproxy(const std::vector<Spot>& words);

// The port of "443", "192.0.2.1:443", "[::]:443", "*:443".
bool is_port(const std::string& address, const std::string& port);

}  // namespace evercert
