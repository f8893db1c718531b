// A throw-away ACME server on loopback for tests: pebble and its DNS, with certificates of their own in a temporary directory.
// Used by the pebble tests. Ends only what it started.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "evercert/secret.h"

namespace evercert::testing {

class PebbleServer {
 public:
  static constexpr int first_port = 31300;
  static constexpr int http_port = first_port + 3;  // where pebble validates

  struct Options {
    std::map<std::string, std::string> environment;
    std::string external_key;  // base64url; set: external accounts are required, key identifier "kid-1"
    bool strict = false;
  };
  explicit PebbleServer(Options options);
  ~PebbleServer();
  PebbleServer(const PebbleServer&) = delete;
  PebbleServer& operator=(const PebbleServer&) = delete;

  // Pebble keeps everything in memory: a restart forgets accounts, orders and its own CA.
  void restart();

  [[nodiscard]] std::string directory() const;
  [[nodiscard]] std::string management() const;
  [[nodiscard]] const Secret& trusted() const { return trusted_; }

 private:
  void start_pebble();
  pid_t start(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment, int port);
  static void end(pid_t& process);

  Options options_;
  std::string folder_;
  Secret trusted_;
  pid_t pebble_ = -1;
  pid_t dns_ = -1;
};

}  // namespace evercert::testing
