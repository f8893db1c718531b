// Apache as the core sees it: log, memory that goes with a pool. Used by all files of the module.
// Rule: every callback that Apache, APR or OpenSSL calls runs inside guarded(); no exception reaches C code.
#pragma once

// Before all other headers of Apache, which need it and do not include it.
extern "C" {
#include <httpd.h>
}

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <unistd.h>

#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "evercert/log.h"
#include "evercert/result.h"

extern "C" {
// The one symbol that Apache looks up, so it is declared visible before anything mentions it.
[[gnu::visibility("default")]] extern module AP_MODULE_DECLARE_DATA evercert_module;
APLOG_USE_MODULE(evercert);
}

namespace evercert {

// Apache's strings may be null.
inline std::string_view text(const char* value) {
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// One line at one of Apache's levels; null: before there is a server, on stderr.
void log_line(int level, const server_rec* server, std::string_view line);

// An object that goes with a pool of the process that made it: children inherit the pool, and their end must not run what
// belongs to their parent.
template <typename Object>
Object* pool_new(apr_pool_t* pool) {
  struct Held {
    const pid_t owner = ::getpid();
    Object object;
  };
  auto* const held = new Held();
  apr_pool_cleanup_register(
      pool, held,
      [](void* kept) {
        auto* const mine = static_cast<Held*>(kept);
        if (mine->owner == ::getpid()) delete mine;
        return APR_SUCCESS;
      },
      apr_pool_cleanup_null);
  return &held->object;
}

// Runs a callback's body; what it throws becomes `on_failure` and a line in the log.
template <typename Value, typename Action>
Value guarded(Value on_failure, Action&& action) noexcept {
  return at_boundary<Value>(on_failure, std::forward<Action>(action), [](const std::string& why) {
    log_line(APLOG_ERR, ap_server_conf, "a callback of the module failed: " + why);
  });
}

// The core's log is Apache's error log, whose functions any thread may call.
class ApacheLogger : public Logger {
 public:
  void write(LogLevel level, std::string_view line) override;
};

}  // namespace evercert
