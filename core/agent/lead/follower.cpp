#include "agent/lead/follower.h"

#include <poll.h>
#include <sys/eventfd.h>

#include "agent/control/control.h"
#include "agent/lead/attachment.h"
#include "serving/base/bounds.h"
#include "serving/base/json.h"

namespace evercert {
namespace {
constexpr unsigned follower_threads = 2;
}

Follower::Follower(AgentContext& context, int wake, std::function<void()> alone)
    : context_(context),
      wake_(wake),
      alone_(std::move(alone)),
      stored_answers_(context.store, context.keys.agent),
      board_answers_(context.board),
      hit_watch_(context.board, context.report),
      workers_(context.workers(follower_threads)),
      publication_({context.store,
                    context.keys.serving,
                    context.board,
                    context.clock,
                    context.events,
                    *workers_,
                    [](const std::string&) {},
                    [this, alive = std::weak_ptr<bool>(alive_)](const Event& event) {
                      Json message{{event.name, event.certificate}};
                      for (const auto& [field, value] : event.fields) {
                        const bool counts = field == "generation" || field == "milliseconds";
                        const auto number = counts ? whole_number_in(value, 0, highest_generation) : std::nullopt;
                        message[field] = number ? Json(*number) : Json(value);
                      }
                      context_.loop.post([this, alive, message] {
                        if (!alive.expired() && leader_) static_cast<void>(leader_->send(message).has_value());
                      });
                    },
                    {},
                    context.outlet,
                    context.delivery,
                    &context.reached,
                    context.prove}) {}

Follower::~Follower() {
  watches_.clear();
  workers_->stop();
  if (leader_) context_.loop.unwatch(leader_->descriptor());
  if (following_ && wake_ >= 0) context_.loop.unwatch(wake_);
}

Result<Done> Follower::attach() {
  auto connection = ControlConnection::open(context_.state_path, context_.keys.agent, ControlConnection::Wait::no);
  if (!connection) return connection.error();
  leader_.emplace(std::move(connection).value());
  if (const auto begun = ask(); !begun) return begun.error();
  context_.loop.watch(leader_->descriptor(), POLLIN, [this](short) { heard(); });
  return Done{};
}

// Our plan holds secrets: it is sent once the leader has proved to be one. False: not yet.
Result<bool> Follower::ask() {
  if (asked_) return true;
  const auto proved = leader_->prove(std::chrono::milliseconds(0));
  if (!proved || !*proved) return proved;
  auto plan = seal_attachment(context_);
  if (!plan) return plan.error();
  auto sent = leader_->send({{"verb", "attach"}, {"server", context_.plan->server}, {"plan", *plan}});
  if (!sent && sent.error().kind != ErrorKind::connection)
    context_.log.write(LogLevel::error, "the leader cannot be told what this server wants: " + sent.error().message);
  if (!sent) return sent.error();
  return asked_ = true;
}

void Follower::heard() {
  const auto asked = ask();
  if (!asked) {
    leave();
    return;
  }
  if (!*asked) return;
  heard_ = std::chrono::steady_clock::now();
  while (leader_->ready(std::chrono::milliseconds(0)) && take_message()) {
  }
}

// There is no leader behind this connection, or none any more.
bool Follower::leave() {
  context_.loop.unwatch(leader_->descriptor());
  alone_();
  return false;
}

bool Follower::take_message() {
  auto message = leader_->receive(std::chrono::milliseconds(0));
  // A part of a message: the rest is on its way. A broken connection shows as end of file next.
  if (!message && message.error().kind == ErrorKind::connection && !leader_->ended()) return false;
  if (!message || !*message || !(**message).is_object()) return leave();
  if ((**message).contains("alive")) return true;
  const auto you = json_optional_text(**message, "you", "the leader's answer");
  if (you && *you && **you == "follow") {
    follow();
    return true;
  }
  if ((**message).contains("done")) {
    const auto why = json_optional_text(**message, "message", "the leader's answer");
    context_.log.write(LogLevel::error,
                       "the leader refuses our plan: " + (why && *why ? **why : std::string("no reason given")));
    // Our server is served from the store all the same; another try comes with the end of this connection.
    follow();
    return true;
  }
  return leave();
}

void Follower::follow() {
  if (std::exchange(following_, true)) return;
  const auto tell = [this](void (Follower::*what)(const std::string&)) {
    return [this, what, alive = std::weak_ptr<bool>(alive_)](const std::string& key) {
      context_.loop.post([this, what, key, alive] {
        if (!alive.expired()) (this->*what)(key);
      });
    };
  };
  auto bundles = context_.store.watch("certificates/", tell(&Follower::changed));
  auto answers = context_.store.watch("challenges/", tell(&Follower::answer_changed));
  for (auto* watch : {&bundles, &answers}) {
    if (*watch) {
      watches_.push_back(std::move(*watch).value());
    } else {
      context_.log.write(LogLevel::error, "changes by the leader cannot be watched: " + watch->error().message);
    }
  }
  changed("certificates/");
  answer_changed("challenges/");
  // The leader frees what has expired on its own board alone.
  workers_->add("sweeping", 2, context_.clock.now(), [this]() -> Workers::Again {
    const Time now = context_.clock.now();
    context_.board.sweep_answers(now);
    return {now + std::chrono::minutes(1)};
  });
  if (wake_ < 0) return;
  context_.loop.watch(wake_, POLLIN, [this](short) {
    eventfd_t count = 0;
    static_cast<void>(eventfd_read(wake_, &count));
    tell_hits();
  });
}

void Follower::look_later(const CertificateSpec& certificate) {
  workers_->add("look at " + certificate.name, 1, context_.clock.now(), [this, certificate]() -> Workers::Again {
    publication_.look(certificate, true);
    return {std::nullopt, true};
  });
}

void Follower::changed(const std::string& key) {
  for (const auto& certificate : context_.plan->certificates) {
    const std::string folder = "certificates/" + file_name_of(certificate.name) + "/";
    if (key == "certificates/" || key.starts_with(folder)) look_later(certificate);
  }
}

void Follower::answer_changed(const std::string& key) {
  if (key == "challenges/") {
    auto open = context_.store.list(key);
    if (!open) return;
    for (const auto& one : *open) answer_changed(one);
    return;
  }
  auto answer = stored_answers_.get(key);
  if (!answer || !*answer) {
    hit_watch_.watch(key, {});
    tokens_.erase(key);
    return;
  }
  if (!board_answers_.put(**answer)) return;
  static_cast<void>(leader_->send({{"shown", (*answer)->token}}).has_value());
  if (!tokens_.emplace(key, (*answer)->token).second) return;
  hit_watch_.watch(key, {{(*answer)->kind, {}, (*answer)->token, "", ""}});
}

// Only the leader asks the CA: it is to know at once that the CA has been here, not at its next turn.
void Follower::tell_hits() {
  for (const auto& [key, hits] : hit_watch_.risen()) {
    static_cast<void>(leader_->send({{"asked", tokens_.at(key)}, {"times", hits}}).has_value());
  }
}

}  // namespace evercert
