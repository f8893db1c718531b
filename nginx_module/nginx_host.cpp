#include "nginx_host.h"

#include "evercert/settings.h"
#include "evercert/text.h"

namespace evercert {

namespace {

constexpr std::string_view prefix = "evercert: ";

ngx_uint_t nginx_level(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return NGX_LOG_ERR;
    case LogLevel::warn:
      return NGX_LOG_WARN;
    case LogLevel::notice:
      return NGX_LOG_NOTICE;
    case LogLevel::info:
      return NGX_LOG_INFO;
    case LogLevel::debug:
      break;
  }
  return NGX_LOG_DEBUG;
}

}  // namespace

ngx_str_t pool_text(ngx_pool_t* pool, std::string_view value) {
  auto* const data = static_cast<u_char*>(ngx_pnalloc(pool, value.size() + 1));
  if (data == nullptr) throw std::bad_alloc();
  value.copy(reinterpret_cast<char*>(data), value.size());
  data[value.size()] = 0;
  return {value.size(), data};
}

void log_line(ngx_uint_t level, ngx_log_t* log, std::string_view line) {
  if (log == nullptr) return;
  if (line.starts_with(prefix)) line.remove_prefix(prefix.size());
  const std::string shown = printable(spelled(line, "nginx"));
  ngx_log_error(level, log, 0, "evercert: %*s", shown.size(), shown.data());
}

void NginxLogger::write(LogLevel level, std::string_view line) {
  log_line(nginx_level(level), ngx_cycle->log, line);
}

}  // namespace evercert
