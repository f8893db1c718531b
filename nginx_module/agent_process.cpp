#include "agent_process.h"

#include <chrono>

namespace evercert {

namespace {

constexpr ngx_msec_t tend_interval = 5000;

AgentProcess* owner_of(ngx_event_t* event) {
  return static_cast<AgentProcess*>(static_cast<ngx_connection_t*>(event->data)->data);
}

}  // namespace

AgentProcess::AgentProcess(Supervisor::Program program, const Instance& instance, Cycle& cycle, Logger& log)
    : supervisor_(std::move(program), instance, cycle, log), log_(log) {
  identity_.data = this;
  identity_.fd = -1;
  timer_.data = &identity_;
  timer_.log = ngx_cycle->log;
  // A draining worker would wait for the timer; nothing here is worth waiting for.
  timer_.cancelable = 1;
  timer_.handler = [](ngx_event_t* event) {
    guarded(0, [&] {
      owner_of(event)->on_timer();
      return 0;
    });
  };
}

AgentProcess::~AgentProcess() {
  unwatch();
  if (timer_.timer_set) ngx_del_timer(&timer_);
}

void AgentProcess::start() {
  if (!supervisor_.start()) return follow(Supervisor::State::gone);
  watch();
  follow(Supervisor::State::running);
}

void AgentProcess::on_readable() {
  follow(supervisor_.on_readable());
}

void AgentProcess::on_timer() {
  if (supervisor_.descriptor() < 0) return start();
  if (watched_ == nullptr && supervisor_.on_readable() == Supervisor::State::gone) return follow(Supervisor::State::gone);
  follow(supervisor_.tend());
}

void AgentProcess::follow(Supervisor::State state) {
  if (state == Supervisor::State::running) {
    if (!timer_.timer_set) ngx_add_timer(&timer_, tend_interval);
    return;
  }
  unwatch();
  if (timer_.timer_set) ngx_del_timer(&timer_);
  ngx_add_timer(&timer_, static_cast<ngx_msec_t>(supervisor_.restart_delay().count()));
}

void AgentProcess::watch() {
  watched_ = ngx_get_connection(supervisor_.descriptor(), ngx_cycle->log);
  if (watched_ == nullptr) {
    log_.write(LogLevel::warn, "nginx has no free connection to watch the agent with: it is asked every five seconds instead");
    return;
  }
  watched_->data = this;
  watched_->read->log = ngx_cycle->log;
  watched_->read->handler = [](ngx_event_t* event) {
    guarded(0, [&] {
      owner_of(event)->on_readable();
      return 0;
    });
  };
  if (ngx_add_event(watched_->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
    log_.write(LogLevel::warn, "nginx cannot watch the agent's descriptor: it is asked every five seconds instead");
    unwatch();
  }
}

// The descriptor is the supervisor's: nginx only forgets it.
void AgentProcess::unwatch() {
  if (watched_ == nullptr) return;
  if (watched_->read->active) ngx_del_event(watched_->read, NGX_READ_EVENT, NGX_CLOSE_EVENT);
  if (watched_->read->posted) {
    ngx_delete_posted_event(watched_->read);
  }
  ngx_free_connection(watched_);
  watched_->fd = -1;
  watched_ = nullptr;
}

}  // namespace evercert
