// The leader's end of the control socket (control.h): accepts, tells peers apart, cuts lines, and sends without ever waiting
// for a client. What a request means is verbs.h's. Main thread only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/run/loop.h"
#include "evercert/result.h"

namespace evercert {

class ControlServer {
 public:
  using Client = std::uint64_t;
  struct Handlers {
    // `may_change`: the peer is uid 0, or the owner where nothing was privileged.
    std::function<void(Client client, const nlohmann::json& request, bool may_change)> request;
    std::function<void(Client client)> gone;
  };
  ControlServer(Loop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Only for who holds the election's lock: a socket left behind is replaced. Errors: storage.
  Result<Done> open(const std::string& state_path);
  // A client that does not read what is sent to it is dropped once too much waits for it.
  void send(Client client, const nlohmann::json& message);
  // The answer {"done":true,…}; the connection ends once it is read.
  void finish(Client client, int exit, const std::string& message);
  void drop(Client client);

 private:
  struct Peer {
    Descriptor socket;
    uid_t uid = 0;
    std::string in;
    std::string out;
    bool ending = false;
  };
  void accept_one();
  void ready(Client client, short events);
  bool read_lines(Client client);
  void flush(Client client);

  Loop& loop_;
  Handlers handlers_;
  Descriptor listener_;
  bool owner_may_change_ = false;
  Client next_ = 1;
  std::map<Client, Peer> peers_;
};

}  // namespace evercert
