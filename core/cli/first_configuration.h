// The first configuration of a server: which files, with what in them, and what is left for a person to do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/machine.h"
#include "evercert/result.h"

namespace evercert {

// Checked, and spelled as it is to be written.
struct FirstPlan {
  std::string issuer;  // its name in the configuration
  std::string uri;     // an address, or a CA's word
  std::vector<std::string> names;
  std::string contact;                        // or empty
  std::string trusted;                        // the path, or empty
  std::vector<std::string> external_account;  // key identifier and path, or empty
};

struct FirstConfiguration {
  struct File {
    std::string path;
    std::string text;
  };
  File file;
  std::optional<File> addition;    // what belongs into a file that is the operator's
  std::vector<std::string> steps;  // in order, before the certificate is there
  // Where the agent of another user has the default one, which a server would refuse then.
  std::optional<std::string> state_path;
  std::string taken_by;  // that user
};

// Errors: storage, there is no such server here; configuration, evercert is in its configuration already.
Result<FirstConfiguration> first_for_nginx(const Machine& machine, const FirstPlan& plan);
Result<FirstConfiguration> first_for_apache(const Machine& machine, const FirstPlan& plan);
Result<FirstConfiguration> first_for_haproxy(const Machine& machine, const FirstPlan& plan);

}  // namespace evercert
