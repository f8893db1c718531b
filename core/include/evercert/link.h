// The way between an agent and the serving process of a server that cannot read bundles itself (HAProxy's worker, in its
// chroot): certificates come down as PEM, and what became of them goes up. The worker never holds a key that opens bundles.
// What goes up is not trusted: it comes from a process that faces the network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/descriptor.h"
#include "evercert/log.h"
#include "evercert/pem.h"

namespace evercert {

struct LinkEnds {
  Descriptor agent;
  Descriptor worker;
  static Result<LinkEnds> create();
};

// A new generation of a certificate, or what became of a renewal that was asked for.
struct LinkMessage {
  std::string certificate;
  std::uint64_t generation = 0;  // 0: `said` is the answer to ask_renewal()
  std::vector<PemFile> files;
  std::string said;
};

// The worker's side. Nothing here ever waits.
class AgentLink {
 public:
  // `keeper`: the channel of start_keeper().
  AgentLink(Descriptor keeper, Descriptor worker, Logger& log);

  // The first process that serves lets the agent begin.
  void go();
  // Passes on what the agent logged; says once when no agent can be started any more.
  void tend();
  std::optional<LinkMessage> receive();
  void swapped(const std::string& certificate, std::uint64_t generation);
  void refused(const std::string& certificate, std::uint64_t generation, std::string_view why);
  // Like `evercert renew NAME`, never forced. False: the agent does not listen.
  bool ask_renewal(const std::string& certificate);

 private:
  bool send(const std::string& message);

  Descriptor keeper_;
  Descriptor worker_;
  Logger& log_;
  std::vector<char> room_;
};

}  // namespace evercert
