// The command line of `evercert`: words become a Request, a Request becomes one command. Everything it touches of the outside
// (streams, terminal, the agent's loop) is lent by main, so that tests run whole command lines inside their own process.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace evercert {

// The exit codes are part of the interface; scripts rely on them.
enum ExitCode : int {
  exit_done = 0,           // done, or nothing to do
  exit_failed = 1,         //
  exit_usage = 2,          // the words make no command
  exit_configuration = 3,  // the configuration was refused
  exit_people = 4,         // a person is needed
  exit_unreachable = 5,    // no agent answers
};

struct RunRequest {
  int descriptor = -1;
  std::string kept_program;  // be the keeper of this program, not the agent
  std::string config_file;
  std::string state_path;
};

struct Surroundings {
  std::istream& in;
  std::ostream& out;  // results
  std::ostream& err;  // everything else
  bool colours = false;
  std::size_t columns = 0;  // of the terminal; 0: there is none
  std::function<int(const RunRequest&)> run;
};

// import issuer: which orders, and keys to bind them to.
struct OrderWish {
  std::vector<std::string> keys;  // paths
  bool open = false;
  std::vector<std::string> with;
  std::string group;
  std::string since;
  std::string until;
};

// quickstart: what the configuration is to say, and of which machine.
struct FirstWish {
  std::string server;  // nginx, apache or haproxy
  std::vector<std::string> names;
  std::string issuer = "letsencrypt";
  std::string contact;
  std::string trusted;                        // ssl_trusted_certificate
  std::vector<std::string> external_account;  // key identifier and file, or empty
  std::string root;                           // the machine's files are below it
  bool write = false;
};

struct Request {
  std::string verb;
  std::string state_path;  // --state
  std::string config;      // --config
  bool json = false;
  std::string name;
  std::vector<std::string> names;  // import: only these
  bool all = false;
  bool force = false;
  bool yes = false;
  std::optional<std::uint64_t> to;
  std::string reason;
  std::string source_kind;  // import: certbot, mod-md, nginx-acme or issuer
  std::string source_path;  // or the issuer's name
  OrderWish orders;
  FirstWish first;
  std::string comment;
  std::string user;  // import into a state directory that does not exist yet
  int descriptor = -1;
  std::string kept_program;
  std::optional<std::chrono::seconds> timeout;  // of those that ask the agent
  bool no_wait = false;                         // renew
};

// Runs one command line (without the program's name). Never throws.
int run_command_line(const std::vector<std::string>& arguments, Surroundings& surroundings);

}  // namespace evercert
