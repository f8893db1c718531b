#include "nginx_host.h"

namespace evercert {

namespace {

constexpr std::string_view prefix = "evercert: ";

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
  ngx_log_error(level, log, 0, "evercert: %*s", line.size(), line.data());
}

}  // namespace evercert
