// The leader's end of the control socket (control.h): accepts, has peers prove themselves, cuts messages, and sends without
// ever waiting for a client. What a request means is verbs.h's. Main thread only.
//
// Everybody of the server's group may connect, so that places are kept: connections that have not proved themselves have their
// own bounds, for each user and for all, and a few seconds; root has places that nobody else takes; the oldest goes first.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "agent/control/sealed_stream.h"
#include "agent/net/acceptor.h"
#include "agent/net/loop.h"
#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

class ControlServer {
 public:
  using Client = std::uint64_t;
  struct Handlers {
    // `proved`: the peer holds the agent key. What is asked for or said without is a stranger's word.
    std::function<void(Client client, const nlohmann::json& request, bool proved)> request;
    std::function<void(Client client)> gone;
  };
  ControlServer(Loop& loop, const SealKey& agent, Handlers handlers)
      : loop_(loop), agent_(agent), handlers_(std::move(handlers)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Only for who holds the election's lock: a socket left behind is replaced. Errors: storage.
  Result<Done> open(const std::string& state_path);
  // Whether somebody has taken the socket's name away or given it to another; to be made anew by open() then.
  [[nodiscard]] bool lost_its_name() const;
  // A client that does not read what is sent to it is dropped once too much waits for it.
  void send(Client client, const nlohmann::json& message);
  // The answer {"done":true,…}; the connection ends once it is read.
  void finish(Client client, int exit, const std::string& message);
  void drop(Client client);
  // Says to everybody who has proved himself that this process is not stuck.
  void say_alive();

 private:
  struct Peer {
    Descriptor socket;
    uid_t uid = 0;
    std::chrono::steady_clock::time_point since;
    std::string in;
    std::string out;
    std::optional<SealedStream> stream;  // from the client's number on
    bool proved = false;
    bool ending = false;
  };
  void listen_again();
  void accept_one();
  bool make_room(std::optional<uid_t> user);
  void sweep();
  void ready(Client client, short events);
  bool read(Client client);
  bool read_clear(Client client);
  bool read_sealed(Client client);
  bool greet(Peer& peer, const std::string& number);
  void flush(Client client);

  Loop& loop_;
  const SealKey& agent_;
  Handlers handlers_;
  Acceptor acceptor_;
  Descriptor listener_;
  Descriptor directory_;  // where it has its name
  struct stat named_ {};
  bool sweeping_ = false;
  Client next_ = 1;
  std::map<Client, Peer> peers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace evercert
