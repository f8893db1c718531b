#include "agent/observe/status_report.h"

#include <cstdio>

namespace evercert {

const char* to_string(CertificateState state) {
  switch (state) {
    case CertificateState::waiting:
      return "waiting";
    case CertificateState::ordering:
      return "ordering";
    case CertificateState::issued:
      return "issued";
    case CertificateState::served:
      return "served";
    case CertificateState::issued_not_served:
      return "issued_not_served";
    case CertificateState::failing:
      return "failing";
    case CertificateState::expired:
      return "expired";
    case CertificateState::action_required:
      return "action_required";
    case CertificateState::held:
      return "held";
  }
  return "waiting";
}

std::string to_rfc3339(Time time) {
  using namespace std::chrono;
  const auto seconds_whole = floor<seconds>(time);
  const auto day = floor<days>(seconds_whole);
  const year_month_day date(day);
  const hh_mm_ss clock(seconds_whole - day);
  char text[40];
  static_cast<void>(std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                  static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                                  static_cast<int>(clock.seconds().count())));
  return text;
}

}  // namespace evercert
