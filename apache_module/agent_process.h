// What Apache lends to the agent that it keeps: APR's list of other children, which the parent process looks at once a second.
// Rule: a maintenance callback may come between two configurations, so nothing here belongs to one's pools.
#pragma once

#include <apr_thread_proc.h>

#include "apache_host.h"
#include "evercert/kept_agent.h"

namespace evercert {

class ApacheChildren : public KeptAgent::Server {
 public:
  void watch(KeptAgent::Child child, pid_t pid) override;
  void unwatch(KeptAgent::Child child) override;
  [[nodiscard]] bool is_stopping() override;
  void prepare_relay() override;

 private:
  // Its address is the tag that APR knows a child by.
  struct Watched {
    KeptAgent::Child child;
    apr_proc_t process{};
    apr_pool_t* pool = nullptr;  // of the registration
  };
  static void report(int reason, void* watched, int status);
  Watched& of(KeptAgent::Child child) { return child == KeptAgent::Child::agent ? agent_ : relay_; }

  Watched agent_{KeptAgent::Child::agent};
  Watched relay_{KeptAgent::Child::relay};
};

// The one that this server keeps; made at the first real start, never gone. `kept_agent()` is null before.
KeptAgent* kept_agent();
Result<Done> keep_agent();

}  // namespace evercert
