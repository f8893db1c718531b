// The program: lends the command line its streams, its terminal and the agent.
#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "agent/run/keeper.h"
#include "agent/run/program.h"
#include "cli/command_line.h"
#include "serving/config/environment.h"

namespace {

std::size_t terminal_columns() {
  winsize size{};
  return ::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + (count > 0 ? 1 : 0), words + count);
  evercert::Surroundings surroundings{std::cin,
                                      std::cout,
                                      std::cerr,
                                      ::isatty(STDOUT_FILENO) == 1 && !evercert::environment_says_no_color(),
                                      terminal_columns(),
                                      [](const evercert::RunRequest& request) {
                                        if (!request.kept_program.empty())
                                          return evercert::run_keeper(request.descriptor, request.kept_program);
                                        evercert::RunOptions options;
                                        options.descriptor = request.descriptor;
                                        options.config_file = request.config_file;
                                        options.state_path = request.state_path;
                                        return evercert::run_program(options);
                                      }};
  return evercert::run_command_line(arguments, surroundings);
}
