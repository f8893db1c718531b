// What the requests on the control socket do: renew, cancel, test, rollback, revoke, adopt, import, sync, ping, attach. Main
// thread only; what may take time (a revocation, a bundle written) is a job of the leader's workers and answers when it is
// done.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent/control/control_server.h"
#include "agent/lead/leader.h"
#include "agent/verbs/account_verbs.h"

namespace evercert {

class Verbs {
 public:
  // `hand_over`: another agent of our own server, newer than we, asks to lead. `render`: writes the status pages; who was told
  // that it is done finds it there.
  Verbs(AgentContext& context, Leader& leader, std::function<void(ControlServer::Client)> hand_over,
        std::function<void()> render);

  Result<Done> open() { return server_.open(context_.state_path); }
  void say_alive() { server_.say_alive(); }
  // For who leads, now and then: makes the socket anew where somebody took its name away.
  void keep_socket();
  // Streams it to whoever waits for it.
  void on_event(const Event& event);
  [[nodiscard]] ControlServer& server() { return server_; }

 private:
  struct Waiting {  // a renew request
    struct Awaited {
      std::size_t keys = 0;    // still to be published
      std::string generation;  // the last that was
      bool served = false;
      bool exported = false;
      unsigned failed_exports = 0;
    };
    std::map<std::string, Awaited> names;
    std::map<std::string, std::string> failed;  // and why
    std::size_t count = 0;                      // of certificates at its beginning
    bool person = false;                        // one of them waits for somebody
    std::string last;
  };
  // Requests to cancel: what they wait for, and what the CA has said of it so far.
  struct Cancelling {
    std::string name;
    std::string said;
    int exit = 0;
  };
  void cancelled(const Event& event);
  // Whether the event is the last that a request waits for of its certificate, which then is waited for no more.
  bool ends(Waiting& waiting, const Event& event) const;
  void request(ControlServer::Client client, const nlohmann::json& request, bool proved);
  void gone(ControlServer::Client client);
  void renew(ControlServer::Client client, const nlohmann::json& request);
  void conclude(ControlServer::Client client, const Waiting& waiting);
  static std::string still_waited_for(const Waiting& waiting);
  // A line of progress for this client alone.
  void tell(ControlServer::Client client, const char* name, const std::string& certificate, const std::string& sentence);
  void rollback(ControlServer::Client client, const nlohmann::json& request);
  void revoke(ControlServer::Client client, const nlohmann::json& request);
  // Whether there is anything to revoke, for who asks a person before they do.
  void revocable(ControlServer::Client client, const nlohmann::json& request);
  void cancel(ControlServer::Client client, const nlohmann::json& request);
  void test(ControlServer::Client client, const nlohmann::json& request);
  void adopt(ControlServer::Client client, const nlohmann::json& request);
  void attach(ControlServer::Client client, const nlohmann::json& request);
  [[nodiscard]] bool follows(const std::string& instance) const;
  void told_by_follower(const std::string& instance, const nlohmann::json& message);
  void proved(const nlohmann::json& message);
  // Runs on a worker; the answer goes out on the main thread.
  void work(ControlServer::Client client, std::function<Result<std::string>()> action);
  const PlanUnion::Item* item_of(ControlServer::Client client, const nlohmann::json& request);
  // Why item_of() finds none.
  [[nodiscard]] std::string unknown(const std::string& name) const;

  AgentContext& context_;
  Leader& leader_;
  std::function<void(ControlServer::Client)> hand_over_;
  std::function<void()> render_;
  std::map<ControlServer::Client, Waiting> waiting_;
  std::map<ControlServer::Client, Cancelling> cancelling_;
  std::map<ControlServer::Client, std::string> followers_;  // their instance
  std::optional<std::chrono::steady_clock::time_point> socket_told_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  ControlServer server_;
  AccountVerbs account_;
};

}  // namespace evercert
