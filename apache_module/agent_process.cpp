#include "agent_process.h"

#include <ap_listen.h>
#include <ap_mpm.h>
#include <sys/wait.h>

#include <csignal>

namespace evercert {

namespace {

// Outlive configurations, as the module does: it is never unloaded.
KeptAgent* kept = nullptr;
ApacheLogger log;

// Apache passes on what is left when an exit code or a signal is taken out of wait(2)'s status, and does not say which of the
// two; APR passes on the status itself. Of the small numbers an agent ends with the first by its own will.
std::string how_it_ended(int reason, int status) {
  constexpr int largest_of_ours = 2;
  if (reason == APR_OC_REASON_LOST) return "in a way that nobody saw";
  if (status > 0xff) return "with exit code " + std::to_string(WEXITSTATUS(status));
  if (status > largest_of_ours && status < NSIG) return "by signal " + std::to_string(status);
  return "with exit code " + std::to_string(status);
}

}  // namespace

KeptAgent* kept_agent() {
  return kept;
}

Result<Done> keep_agent() {
  if (kept != nullptr) return Done{};
  static ApacheChildren children;
  auto instance = Instance::create();
  if (!instance) return instance.error();
  kept = new KeptAgent(children, std::move(*instance), log);
  return Done{};
}

void ApacheChildren::watch(KeptAgent::Child child, pid_t pid) {
  Watched& watched = of(child);
  watched.process.pid = pid;
  apr_pool_create(&watched.pool, ap_server_conf->process->pool);
  apr_proc_other_child_register(&watched.process, report, &watched, nullptr, watched.pool);
}

void ApacheChildren::unwatch(KeptAgent::Child child) {
  Watched& watched = of(child);
  if (watched.pool == nullptr) return;
  apr_proc_other_child_unregister(&watched);
  apr_pool_destroy(watched.pool);
  watched.pool = nullptr;
}

void ApacheChildren::report(int reason, void* watched, int status) {
  guarded(0, [&] {
    const auto child = static_cast<Watched*>(watched)->child;
    if (reason == APR_OC_REASON_RESTART)
      child == KeptAgent::Child::agent ? kept->end() : kept->end_relay();
    else if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST)
      kept->ended(child, how_it_ended(reason, status));
    return 0;
  });
}

bool ApacheChildren::is_stopping() {
  int state = AP_MPMQ_STOPPING;
  return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

void ApacheChildren::prepare_relay() {
  ap_close_listeners();
}

}  // namespace evercert
