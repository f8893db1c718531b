#include "apache_host.h"

#include "evercert/settings.h"
#include "evercert/text.h"

namespace evercert {

namespace {

constexpr std::string_view prefix = "evercert: ";

int apache_level(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return APLOG_ERR;
    case LogLevel::warn:
      return APLOG_WARNING;
    case LogLevel::notice:
      return APLOG_NOTICE;
    case LogLevel::info:
      return APLOG_INFO;
    case LogLevel::debug:
      break;
  }
  return APLOG_DEBUG;
}

}  // namespace

void log_line(int level, const server_rec* server, std::string_view line) {
  if (line.starts_with(prefix)) line.remove_prefix(prefix.size());
  ap_log_error(APLOG_MARK, level, 0, server, "evercert: %s", printable(spelled(line, "Apache")).c_str());
}

void ApacheLogger::write(LogLevel level, std::string_view line) {
  log_line(apache_level(level), ap_server_conf, line);
}

}  // namespace evercert
