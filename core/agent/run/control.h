// The control socket: state_path/state/agent.sock, a Unix stream socket of the leader. One JSON object a line in both
// directions. Peers are told apart by SO_PEERCRED: reading verbs for everybody who may connect (mode 0660, the server's
// group), changing verbs for uid 0, or for the owner where nothing was privileged.
//
// Requests:
//   {"verb":"ping"}                                          reading
//   {"verb":"renew","name":N,"force":bool,"wait":bool}   or "all":true   changing; ends after the event `served`; without
//        "wait" as soon as the agent has begun
//   {"verb":"rollback","name":N,"to":G}      "to" optional   changing
//   {"verb":"revoke","name":N,"reason":R}                    changing
//   {"verb":"adopt","name":N,"origin":TEXT,"issuer":TEXT,"pairs":[{"leaf":B64,"chain":[B64],"private":B64}]}   changing
//   {"verb":"import","issuer":N,"names":[N],"open":bool,"with":["expired","revoked","rejected"],"group":G,"since":DATE,
//        "until":DATE,"keys":[B64]}                           changing; all but "issuer" optional; ends with its client
//   {"verb":"sync","issuer":N}               "issuer" optional    changing
//   {"verb":"attach","server":TEXT,"plan":B64}               from another agent; "plan" is a SealedKind::message under the
//        agent key, named "attach", of {"instance":ID,"settings":evercert.json,"files":{path:B64}}: who can seal it belongs
//        to this state directory. Answer {"you":"follow"}: stay connected, end of file means that there is no leader;
//        or, for the same instance, {"you":"lead"} once the lock is free. A follower sends
//        {"served":NAME,"generation":G,"listener":TEXT,"milliseconds":M} (or "not_served" with "message") on it,
//        {"shown":TOKEN} when its server gives the answer to a challenge by now, and {"asked":TOKEN,"times":N} when a CA
//        asked for it N times more.
// Answers to all others: {"accepted":true} at once where the request may take a while, any number of
// {"event":{"name","at","certificate","issuer","sentence",…fields}} as things happen, then one
// {"done":true,"exit":0..5,"message":TEXT}.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "evercert/board.h"
#include "evercert/result.h"

namespace evercert {

// Path of the socket for a state_path.
std::string control_socket_path(const std::string& state_path);

// One connection as a client.
class ControlConnection {
 public:
  // connection: nobody listens (no agent leads).
  static Result<ControlConnection> open(const std::string& state_path);
  Result<Done> send(const nlohmann::json& message);
  // The next message; nullopt at end of file. connection: nothing came before the deadline.
  Result<std::optional<nlohmann::json>> receive(std::chrono::milliseconds timeout);
  // Whether receive() would return at once, or will before the timeout.
  [[nodiscard]] bool ready(std::chrono::milliseconds timeout) const;
  [[nodiscard]] int descriptor() const { return socket_.get(); }

  explicit ControlConnection(Descriptor socket) : socket_(std::move(socket)) {}

 private:
  Descriptor socket_;
  std::string buffer_;
};

}  // namespace evercert
