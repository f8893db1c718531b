#include "agent/run/agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "agent/run/inheritance.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/launch/carried_format.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr std::chrono::milliseconds step_bound{2000};
// Requests that are still under way after this are broken off at a hand-over; their records carry on elsewhere.
constexpr std::chrono::milliseconds hand_over_bound{5000};
constexpr std::chrono::milliseconds heartbeat{1000};
constexpr std::chrono::minutes status_interval{1};
constexpr std::chrono::seconds longest_first_look{10};

}  // namespace

Result<bool> Agent::run() {
  election_.emplace(context_.leader_file);
  answered_ = std::chrono::steady_clock::now();
  auto trail = AuditTrail::open(context_.state_path, context_.log);
  if (trail) {
    trail_.emplace(std::move(trail).value());
  } else {
    context_.log.write(LogLevel::error, "there will be no audit trail: " + trail.error().message);
  }
  event_log_.emplace(context_.log);
  // Log and trail are written where an event happens; everything else about it is the main thread's.
  context_.events.subscribe([this](const Event& event) {
    event_log_->record(event);
    const bool leads = role_.load() == Role::leader;
    if (trail_ && (leads || event.name == "agent_started")) trail_->record(event);
    context_.loop.post([this, event] { on_event(event); });
  });
  listen();
  Event started;
  started.name = "agent_started";
  started.sentence = "the agent of " + (context_.plan->server.empty() ? "no server" : context_.plan->server) + " started";
  started.fields = {{"pid", std::to_string(getpid())}};
  context_.events.tell(started);
  tick();
  campaign();
  if (descriptors_.manager != nullptr) descriptors_.manager->ready();
  context_.loop.run();

  verbs_.reset();
  follower_.reset();
  if (leader_ && clean_) leader_.reset();
  // Where a step still runs, the lock goes with the process: nobody may begin while our threads can touch an order.
  if (clean_) election_->resign();
  return clean_;
}

void Agent::end() {
  context_.loop.post([this] { finish(std::chrono::steady_clock::now()); });
}

std::string Agent::renew(const std::string& certificate) {
  if (!leader_) return "another agent leads this state directory; ask with `evercert renew " + certificate + "`";
  const auto wished = leader_->renew(certificate, false);
  if (wished.keys > 0) return "the renewal begins";
  if (!wished.refused) return "nothing is known of it";
  return wished.refused->why +
         (wished.refused->fresh ? "; `evercert renew " + certificate + " --force` in a shell overrides it" : "");
}

void Agent::listen() {
  if (descriptors_.channel >= 0) {
    parent_ = getppid();
    context_.loop.watch(descriptors_.channel, POLLIN, [this](short) { hear(); });
  }
  if (descriptors_.signals >= 0) {
    context_.loop.watch(descriptors_.signals, POLLIN, [this](short) {
      context_.loop.unwatch(descriptors_.signals);
      finish(std::chrono::steady_clock::now());
    });
  }
}

// --- who leads ---

void Agent::hear() {
  ServerWord word = hear_server(descriptors_.channel);
  const bool goes_already = ending_;
  if (word.gone || !word.again.empty()) {
    successor_ = word.gone ? "" : word.again;
    successor_image_ = std::move(word.image);
  }
  if (word.gone) context_.loop.unwatch(descriptors_.channel);
  if (!goes_already && (word.gone || !successor_.empty())) finish(std::chrono::steady_clock::now());
}

void Agent::campaign() {
  if (ending_ || role_.load() == Role::retired || leader_) return;
  follower_.reset();
  role_ = Role::candidate;
  auto won = election_->stand();
  if (!won) {
    if (told_late_ != won.error().message) context_.log.write(LogLevel::error, won.error().message);
    told_late_ = won.error().message;
  } else if (*won) {
    campaigns_ = 0;
    return lead();
  }
  follower_ = std::make_unique<Follower>(context_, descriptors_.wake, [this] {
    // Not from within the follower's own call.
    if (follower_ && follower_->following()) return context_.loop.post([this] { campaign(); });
    campaign_later();
  });
  if (auto attached = follower_->attach(); attached) {
    role_ = Role::follower;
    return;
  }
  follower_.reset();
  campaign_later();
}

// The holder of the lock does not listen, or something else listens in its place: it begins, or it ends. Soon one or the other
// is over.
void Agent::campaign_later() {
  const std::chrono::milliseconds pause(std::min(5U << std::min(campaigns_++, 6U), 250U));
  context_.loop.after(pause, [this] { campaign(); });
}

// Whoever leads and does not answer keeps everybody from renewing.
void Agent::watch_leader() {
  const auto now = std::chrono::steady_clock::now();
  if (leader_ || ending_ || role_.load() == Role::retired) {
    answered_ = now;
    return;
  }
  if (follower_ && follower_->heard_at()) answered_ = std::max(answered_, *follower_->heard_at());
  if (now - answered_ < agent_silence) return;
  if (const auto holder = election_->holder()) return end_silent_leader(*holder);
  campaign();
}

void Agent::end_silent_leader(const Election::Holder& holder) {
  constexpr std::chrono::minutes between_lines{10};
  const Ending ending = end_silent(*election_, holder);
  const auto now = std::chrono::steady_clock::now();
  if (ending != Ending::ended && now - told_silent_ < between_lines) return;
  told_silent_ = now;
  const std::string process = "process " + (holder.pid > 0 ? std::to_string(holder.pid) : std::string("of another container"));
  std::string line = process + " holds the lead of " + context_.state_path + " and does not answer";
  if (ending == Ending::ended) {
    line += "; it was ended, and another agent leads";
    // The next look is for who comes then.
    answered_ = now;
    campaign_later();
  } else if (ending == Ending::waits_for_disk) {
    line += ": it waits for a disk, and nothing is renewed until that answers; look at the file system of state_path";
  } else {
    line += ": nothing is renewed until it does; end it, its server starts another";
  }
  context_.log.write(LogLevel::error, line);
}

void Agent::lead() {
  role_ = Role::leader;
  leader_ = std::make_unique<Leader>(context_, [this] { status_wanted(); });
  if (descriptors_.wake >= 0) {
    context_.loop.watch(descriptors_.wake, POLLIN, [this](short) {
      std::uint64_t count = 0;
      static_cast<void>(::read(descriptors_.wake, &count, sizeof count) == 0);
      if (leader_) leader_->hits_came();
    });
  }
  verbs_ = std::make_unique<Verbs>(
      context_, *leader_,
      [this](ControlServer::Client successor) {
        leader_->pause();
        retire_when_idle(successor, std::chrono::steady_clock::now());
      },
      [this] { write_pages(); });
  if (auto opened = verbs_->open(); !opened) {
    context_.log.write(LogLevel::error, "the command line cannot reach this agent: " + opened.error().message);
  }
  Event event;
  event.name = "agent_leads";
  event.sentence = "this agent leads";
  event.fields = {{"pid", std::to_string(getpid())}};
  context_.events.tell(event);
  leads_since_ = std::chrono::steady_clock::now();
  leader_->start();
  status_wanted();
  // Should a certificate be hard to look at, the others are shown all the same.
  context_.loop.after(longest_first_look, [this] { status_wanted(); });
}

// The successor may only begin once nothing of ours can touch an order any more.
void Agent::retire_when_idle(ControlServer::Client successor, std::chrono::steady_clock::time_point since) {
  if (!leader_ || ending_) return;
  if (!leader_->idle()) {
    if (std::chrono::steady_clock::now() - since > hand_over_bound) leader_->abort_requests();
    context_.loop.after(std::chrono::milliseconds(5), [this, successor, since] { retire_when_idle(successor, since); });
    return;
  }
  Event event;
  event.name = "agent_handed_over";
  event.sentence = "a newer agent of the same server takes over";
  context_.events.tell(event);
  if (descriptors_.wake >= 0) context_.loop.unwatch(descriptors_.wake);
  leader_->abort_requests();
  role_ = Role::retired;
  election_->resign();
  verbs_->server().send(successor, Json{{"you", "lead"}});
  // Not from within a call of theirs.
  context_.loop.post([this] {
    verbs_.reset();
    leader_.reset();
  });
}

void Agent::finish(std::chrono::steady_clock::time_point since) {
  if (context_.loop.ended()) return;
  if (!ending_ && descriptors_.manager != nullptr) descriptors_.manager->stopping();
  if (!ending_ && leader_) leader_->pause();
  ending_ = true;
  if (!leader_ || leader_->idle()) return context_.loop.end();
  // Whoever begins anew may let a request come to its end: the server lives on and waits for nothing.
  if (std::chrono::steady_clock::now() - since > (successor_.empty() ? step_bound : hand_over_bound)) {
    clean_ = false;
    return context_.loop.end();
  }
  context_.loop.after(std::chrono::milliseconds(2), [this, since] { finish(since); });
}

// --- what goes on all the time ---

void Agent::tick() {
  if (role_.load() != Role::retired) context_.board.beat(context_.clock.now(), role_.load() == Role::leader);
  // Where the starter was killed, another of its children may hold the channel open.
  if (descriptors_.channel >= 0 && getppid() != parent_) return finish(std::chrono::steady_clock::now());
  const auto now = std::chrono::steady_clock::now();
  if (now - beaten_ >= agent_beat) {
    beaten_ = now;
    // What does not fit is for a starter that does not read anyway.
    if (descriptors_.channel >= 0)
      static_cast<void>(::send(descriptors_.channel, beat_message.data(), beat_message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) <
                        0);
    if (descriptors_.manager != nullptr) descriptors_.manager->alive();
    if (verbs_) verbs_->say_alive();
    if (verbs_ && role_.load() == Role::leader) verbs_->keep_socket();
  }
  watch_leader();
  if (now - pages_.written() > status_interval) status_wanted();
  context_.loop.after(heartbeat, [this] { tick(); });
}

void Agent::on_event(const Event& event) {
  if (leader_) leader_->count(event);
  if (verbs_) verbs_->on_event(event);
  status_wanted();
}

void Agent::status_wanted() {
  if (!leader_ || status_due_) return;
  status_due_ = true;
  context_.loop.after(pages_.left(std::chrono::steady_clock::now()), [this] { render(); });
}

void Agent::render() {
  status_due_ = false;
  if (!leader_) return;
  // Before the store was read nothing is known: what an earlier agent wrote says more. The end of the last look asks again.
  if (!leader_->has_looked() && std::chrono::steady_clock::now() - leads_since_ < longest_first_look) return;
  write_pages();
}

void Agent::write_pages() {
  if (!leader_) return;
  pages_.begin();
  const StatusReport report = leader_->report();
  const std::pair<const char*, std::string> pages[] = {
      {"status.json", render_json(report)},         {"status.html", render_html(report)},
      {"status.prom", render_metrics(report)},      {"status.txt", render_text(report)},
      {"section.tsv", render_section_rows(report)}, {"section.txt", render_section_lines(report)}};
  WriteOptions options;
  options.durable = false;
  for (const auto& [name, text] : pages) {
    const BytesView bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    auto written = write_file(context_.state_directory, name, bytes, options);
    if (!written && told_late_ != written.error().message) {
      context_.log.write(LogLevel::error, "the status page could not be written: " + written.error().message);
    }
    told_late_ = written ? "" : written.error().message;
    if (!written) break;
  }
  if (const auto index = leader_->lines().changed_index()) {
    options.mode = 0600;
    // One that no start would read is not written.
    const bool fits = index->size() <= largest_index;
    auto written = fits ? write_file(context_.state_directory, line_index_file, *index, options)
                        : Result<Done>(Error{ErrorKind::storage, "it would be " + std::to_string(index->size()) + " bytes, " +
                                                                     std::to_string(largest_index) + " are the most"});
    if (!written) context_.log.write(LogLevel::warn, "the index of what is stored is not written: " + written.error().message);
  }
  pages_.end(std::chrono::steady_clock::now());
}

}  // namespace evercert
