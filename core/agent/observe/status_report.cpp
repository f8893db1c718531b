#include "agent/observe/status_report.h"

#include <array>
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

std::string remedy_for(const std::string& kind) {
  struct Remedy {
    std::string_view kind;
    std::string_view sentence;
  };
  static constexpr std::array remedies{
      Remedy{"configuration", "Correct the configuration and reload the server."},
      Remedy{"action_required", "Do what the message asks for; nothing is tried again before that."},
      Remedy{"issuer_refused", "Read the CA's reason; if the configuration is right, the next attempt may be accepted."},
      Remedy{"rate_limited", "Nothing to do: the next attempt waits until the CA allows it."},
      Remedy{"connection", "Check that this host reaches the CA (network, proxy, resolver); attempts go on."},
      Remedy{"key_provider", "Check the key: the token, its PIN and its free space, or the algorithm asked for."},
      Remedy{"storage", "Check free space, owner and mode of the state directory; damaged files are in quarantine/."},
      Remedy{"challenge_failed", "Check that each name points to this server and that port 80 is open from the Internet."},
      Remedy{"dns", "Check the name servers, their keys and policies, or the program that writes records; attempts go on."},
      Remedy{"not_served", "Check that the server listens where the proof asks it, or set proof_address or proof off."},
      Remedy{"not_taken", "Nothing to do at first: it is given to the server again. If it stays so, reload the server."},
      Remedy{"export", "See to what the message names (export_path, runtime_api, master_cli); it is tried again by itself."},
      Remedy{"hook",
             "Run the command as the agent's user to see why it fails; it is run again by itself until it ends with 0."},
      Remedy{"older_generation",
             "Find out who changed the state directory; then renew, or accept what is there with rollback."},
      Remedy{"internal", "This is a fault in evercert: please report it with the log's lines around this time."},
  };
  for (const Remedy& remedy : remedies) {
    if (remedy.kind == kind) {
      return std::string(remedy.sentence);
    }
  }
  return "See the log for the lines before this one.";
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
