// nginx as the core sees it: log, memory that goes with a pool, strings. Used by all files of both modules.
// Rule: every callback that nginx or OpenSSL calls runs inside guarded(); no exception reaches C code.
#pragma once

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
}

#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evercert/log.h"
#include "evercert/result.h"

namespace evercert {

inline std::string_view text(const ngx_str_t& value) {
  return {reinterpret_cast<const char*>(value.data), value.len};
}
// A copy that lives as long as the pool, with a zero behind it. Throws bad_alloc.
ngx_str_t pool_text(ngx_pool_t* pool, std::string_view value);

// What a server_name directive holds, patterns with their "~". nginx has those only if it was built with PCRE.
template <typename Name>
std::vector<std::string> server_names(const ngx_array_t& given) {
  std::vector<std::string> names;
  for (const auto* name = static_cast<const Name*>(given.elts); name != static_cast<const Name*>(given.elts) + given.nelts;
       ++name) {
    bool pattern = false;
    if constexpr (requires { name->regex; }) pattern = name->regex != nullptr;
    if (pattern || name->name.len != 0) names.push_back((pattern ? "~" : "") + std::string(text(name->name)));
  }
  return names;
}

// One line in nginx's log, at one of its levels.
void log_line(ngx_uint_t level, ngx_log_t* log, std::string_view line);

// An object whose destructor runs when the pool is destroyed. Throws bad_alloc.
template <typename Object, typename... Arguments>
Object* pool_new(ngx_pool_t* pool, Arguments&&... arguments) {
  static_assert(alignof(Object) <= NGX_ALIGNMENT);
  ngx_pool_cleanup_t* const cleanup = ngx_pool_cleanup_add(pool, 0);
  void* const room = ngx_palloc(pool, sizeof(Object));
  if (cleanup == nullptr || room == nullptr) throw std::bad_alloc();
  auto* const object = new (room) Object(std::forward<Arguments>(arguments)...);
  cleanup->data = object;
  cleanup->handler = [](void* held) { static_cast<Object*>(held)->~Object(); };
  return object;
}

// Runs a callback's body; what it throws becomes `on_failure` and a line in the log.
template <typename Value, typename Action>
Value guarded(Value on_failure, Action&& action) noexcept {
  return at_boundary<Value>(on_failure, std::forward<Action>(action), [](const std::string& why) {
    log_line(NGX_LOG_ERR, ngx_cycle->log, "a callback of the module failed: " + why);
  });
}

// The core's log is nginx's error log of the running cycle. For processes with one thread, as all of nginx's are.
class NginxLogger : public Logger {
 public:
  void write(LogLevel level, std::string_view line) override;
};

}  // namespace evercert
