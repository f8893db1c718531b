// The control socket: state_path/state/agent.sock, a Unix stream socket of the leader, mode 0660. Whoever may write to state/
// can put another socket there, so that nothing is sent or believed before both ends have proved that they hold the agent key
// (sealed_stream.h), which root derives from seal.key and other agents of the state directory were given:
//   client {"seal":B64URL} and a newline, then the server's {"seal":B64URL} and a newline: numbers used once
//   from then on sealed frames, one JSON object each: the server's {"agent":PID}, then the client's {"client":1}, then requests
// In clear, one JSON object a line, the server answers "ping" and refuses the rest; our own client speaks nothing in clear.
//
// Requests:
//   {"verb":"ping"}                                          also in clear
//   {"verb":"renew","name":N,"force":bool,"wait":bool}   or "all":true   ends after the event `served`; without "wait" as soon
//        as the agent has begun
//   {"verb":"rollback","name":N,"to":G}      "to" optional
//   {"verb":"revoke","name":N,"reason":R}
//   {"verb":"adopt","name":N,"origin":TEXT,"issuer":TEXT,"pairs":[{"leaf":B64,"chain":[B64],"private":B64}]}
//   {"verb":"import","issuer":N,"names":[N],"open":bool,"with":["expired","revoked","rejected"],"group":G,"since":DATE,
//        "until":DATE,"keys":[B64]}                         all but "issuer" optional; ends with its client
//   {"verb":"sync","issuer":N}               "issuer" optional
//   {"verb":"attach","server":TEXT,"plan":B64}               from another agent; "plan" is a SealedKind::message under the
//        agent key, named "attach", of {"instance":ID,"settings":evercert.json,"files":{path:B64}}: who can seal it belongs
//        to this state directory. Answer {"you":"follow"}: stay connected, end of file means that there is no leader;
//        or, for the same instance, {"you":"lead"} once the lock is free. A follower sends
//        {"served":NAME,"generation":G,"listener":TEXT,"milliseconds":M} (or "not_served" with "message") on it,
//        {"shown":TOKEN} when its server gives the answer to a challenge by now, and {"asked":TOKEN,"times":N} when a CA
//        asked for it N times more.
// Answers to all others: {"accepted":true} at once where the request may take a while, any number of
// {"event":{"name","at","certificate","issuer","sentence",…fields}} as things happen, then one
// {"done":true,"exit":0..5,"message":TEXT}. {"alive":1} comes every agent_beat to everybody who has proved himself; an agent
// that says nothing for agent_silence (carried_format.h) does not answer any more.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "agent/control/sealed_stream.h"
#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

// Path of the socket for a state_path.
std::string control_socket_path(const std::string& state_path);
// Whether anybody listens there, who need not be an agent; nullopt: we may not ask.
std::optional<bool> somebody_listens(const std::string& state_path);

// One connection as a client.
class ControlConnection {
 public:
  enum class Wait { no, a_while };  // for an agent whose queue of connections is full
  // Errors: connection: nobody listens (no agent leads).
  static Result<ControlConnection> open(const std::string& state_path, const SealKey& agent, Wait wait = Wait::a_while);
  // True: the agent has proved itself, and may be sent requests. False: not before the timeout. connection: what listens there
  // is no agent of this state directory.
  Result<bool> prove(std::chrono::milliseconds timeout);
  Result<Done> send(const nlohmann::json& message);
  // The next message; nullopt at end of file. connection: nothing came before the deadline.
  Result<std::optional<nlohmann::json>> receive(std::chrono::milliseconds timeout);
  // Whether receive() would return at once, or will before the timeout.
  [[nodiscard]] bool ready(std::chrono::milliseconds timeout) const;
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  // Who listens, as the kernel says; a process number of 0 is of one that is not to be seen from here.
  struct Listener {
    pid_t pid = 0;
    uid_t user = 0;
  };
  [[nodiscard]] std::optional<Listener> listener() const;
  // As it said when it proved itself.
  [[nodiscard]] std::int64_t agent_pid() const { return agent_pid_; }
  [[nodiscard]] bool ended() const { return ended_; }  // the other side sends no more

  // `socket`: connected, does not block.
  ControlConnection(Descriptor socket, const SealKey& agent) : socket_(std::move(socket)), agent_(agent) {}

 private:
  Result<Done> say_number();
  Result<Done> send_bytes(std::string_view bytes);
  // False: the deadline passed first.
  Result<bool> fetch(std::chrono::steady_clock::time_point deadline);
  // Until the server has said its number.
  Result<Done> begin_stream();

  Descriptor socket_;
  SealKey agent_;
  Bytes number_;
  std::optional<SealedStream> stream_;
  bool proved_ = false;
  std::int64_t agent_pid_ = 0;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace evercert
