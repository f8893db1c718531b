#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <ostream>
#include <tuple>

#include "agent/issuer/revocation_reasons.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "serving/base/bounds.h"

namespace evercert {
namespace {

std::vector<std::string> reason_names() {
  std::vector<std::string> names;
  names.reserve(std::size(revocation_reasons));
  for (const auto& reason : revocation_reasons) names.emplace_back(reason.name);
  return names;
}

struct Verb {
  const char* name;
  int (*command)(const Request&, Surroundings&);
};

int run_agent(const Request& request, Surroundings& surroundings) {
  if (request.descriptor < 0 && request.config.empty()) {
    surroundings.err << "evercert run: give --config FILE, the configuration to work on\n";
    return exit_usage;
  }
  return surroundings.run({request.descriptor, {}, request.config, request.state_path});
}

int run_keeper_of(const Request& request, Surroundings& surroundings) {
  return surroundings.run({request.descriptor, request.kept_program, {}, {}});
}

int import_anything(const Request& request, Surroundings& surroundings) {
  return request.source_kind == "issuer" ? import_orders(request, surroundings) : import_certificates(request, surroundings);
}

bool is_day(const std::string& text) {
  constexpr std::string_view shape = "dddd-dd-dd";
  return text.size() == shape.size() && std::equal(text.begin(), text.end(), shape.begin(), [](char letter, char wanted) {
           return wanted == 'd' ? letter >= '0' && letter <= '9' : letter == wanted;
         });
}

constexpr Verb verbs[] = {
    {"status", print_status},       {"list", print_list},    {"show", print_certificate}, {"renew", ask_renew},
    {"rollback", roll_back},        {"revoke", ask_revoke},  {"cancel", ask_cancel},      {"test", ask_test},
    {"import", import_anything},    {"sync", ask_sync},      {"run", run_agent},          {"version", print_version},
    {"reference", print_reference}, {"keep", run_keeper_of},
};

void add_place(CLI::App& command, Request& request) {
  auto* state = command.add_option("--state", request.state_path, "The state directory (state_path)")->type_name("DIR");
  command.add_option("--config", request.config, "Read the state_path from this evercert.json")
      ->type_name("FILE")
      ->excludes(state);
}

// "90", "90s", "5m", "2h": one second to a week.
std::optional<std::chrono::seconds> duration_of(const std::string& text) {
  unsigned count = 0;
  const auto [rest, fault] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const unsigned seconds = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  constexpr unsigned week = 7 * 24 * 3600;
  if (fault != std::errc() || seconds == 0 || count == 0 || count > week / seconds) return std::nullopt;
  return std::chrono::seconds(count * seconds);
}

void add_timeout(CLI::App& command, Request& request) {
  command
      .add_option_function<std::string>(
          "--timeout", [&request](const std::string& text) { request.timeout = duration_of(text); },
          "How long to wait for the agent, such as 90s, 5m or 2h; without it five minutes")
      ->type_name("DURATION")
      ->check([](const std::string& text) {
        return duration_of(text) ? std::string() : text + " is no duration; write one from 1s to 168h, such as 90s, 5m or 2h";
      });
}

void add_json(CLI::App& command, Request& request) {
  command.add_flag("--json", request.json, "Print JSON");
}

void add_reading_verbs(CLI::App& app, Request& request) {
  CLI::App* status = app.add_subcommand("status", "What is served, until when, and what happens next");
  status->add_option("name", request.name, "Only this certificate")->type_name("NAME");
  status->footer(
      "Examples:\n  evercert status\n  evercert status www.example.com --json\n"
      "Ends with 0 when it could be read, whatever it says.");
  CLI::App* list = app.add_subcommand("list", "The names of all certificates, one a line");
  list->footer("Examples:\n  evercert list\n  evercert list --config /etc/evercert/evercert.json");
  CLI::App* show = app.add_subcommand("show", "One certificate: its keys, its last problem, its last events");
  show->add_option("name", request.name, "The certificate")->type_name("NAME")->required();
  show->footer("Examples:\n  evercert show www.example.com\n  evercert show www.example.com --json | jq .events");
  for (CLI::App* command : {status, list, show}) {
    add_place(*command, request);
    add_json(*command, request);
  }
}

void add_import(CLI::App& app, Request& request) {
  CLI::App* import = app.add_subcommand(
      "import",
      "Takes over what certbot, Apache's mod_md or nginx's own ACME module obtained, or what exists at a commercial CA");
  import->add_option("kind", request.source_kind, "certbot, mod-md, nginx-acme or issuer")
      ->type_name("KIND")
      ->required()
      ->check(CLI::IsMember({"certbot", "mod-md", "nginx-acme", "issuer"}));
  import
      ->add_option(
          "path", request.source_path,
          "certbot's folder (/etc/letsencrypt), mod_md's MDStoreDir, the issuer's state_path; or the name of an issuer")
      ->type_name("PATH")
      ->required();
  import->add_option("names", request.names, "Only these")->type_name("NAME");
  import->add_option("--name", request.name, "Adopt under this name (when there is only one)")->type_name("NAME");
  import->add_option("--user", request.user, "The server's user, when the state directory does not exist yet")
      ->type_name("USER");
  OrderWish& orders = request.orders;
  // One after each --key: what follows is the name of an issuer or of a certificate.
  import->add_option("--key", orders.keys, "issuer: a file with a private key, or a folder of such files")
      ->type_name("PATH")
      ->allow_extra_args(false);
  auto* open = import->add_flag("--open", orders.open, "issuer: only orders that are open");
  import->add_option("--with", orders.with, "issuer: orders of this state, too: expired, revoked or rejected")
      ->type_name("STATE")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"expired", "revoked", "rejected"}))
      ->excludes(open);
  import->add_option("--group", orders.group, "issuer: only orders of this group, organization or division")->type_name("ID");
  for (const auto& [option, day, meaning] :
       {std::tuple("--since", &orders.since, "issuer: only orders of this day and later"),
        std::tuple("--until", &orders.until, "issuer: only orders of this day and earlier")}) {
    import->add_option(option, *day, meaning)->type_name("YYYY-MM-DD")->check([](const std::string& text) {
      return is_day(text) ? std::string() : text + " is no day; write YYYY-MM-DD";
  });
}
import->footer(
    "Examples:\n  evercert import certbot /etc/letsencrypt\n"
    "  evercert import mod-md /etc/apache2/md\n"
    "  evercert import nginx-acme /var/cache/nginx/acme_example www.example.com\n"
    "  evercert import issuer bought --key /etc/ssl/private --since 2026-01-01");
add_place(*import, request);
add_timeout(*import, request);
add_json(*import, request);
}  // namespace

void add_changing_verbs(CLI::App& app, Request& request) {
  CLI::App* renew = app.add_subcommand("renew", "Orders anew, and returns when the server presents it");
  auto* name = renew->add_option("name", request.name, "The certificate")->type_name("NAME");
  renew->add_flag("--all", request.all, "All certificates")->excludes(name);
  renew->add_flag("--force", request.force, "Although nothing is due, and against the guards that keep a CA's limits");
  renew->add_flag("--no-wait", request.no_wait, "Return as soon as the agent has begun");
  renew->footer("Examples:\n  evercert renew www.example.com\n  evercert renew --all --force");

  CLI::App* rollback = app.add_subcommand("rollback", "Serves an earlier generation again");
  rollback->add_option("name", request.name, "The certificate")->type_name("NAME")->required();
  rollback->add_option("--to", request.to, "The generation to return to; without it the one before")
      ->type_name("N")
      ->check([](const std::string& text) {
        // CLI11 would take -1 for the highest number that there is.
        return whole_number_in(text, 1, highest_generation) ? std::string() : text + " is no generation; write a number from 1";
      });
  rollback->footer("Examples:\n  evercert rollback www.example.com\n  evercert rollback www.example.com --to 3");

  CLI::App* revoke = app.add_subcommand("revoke", "Tells the CA that a certificate must not be trusted any more");
  revoke->add_option("name", request.name, "The certificate")->type_name("NAME")->required();
  revoke->add_option("--reason", request.reason, "Why")->type_name("REASON")->check(CLI::IsMember(reason_names()));
  // Sectigo takes no more; CERTInext refuses semicolons.
  constexpr std::size_t longest_comment = 500;
  revoke->add_option("--comment", request.comment, "A remark for the CA's records; commercial CAs keep one")
      ->type_name("TEXT")
      ->check([](const std::string& text) {
        const bool good = text.size() <= longest_comment && text.find(';') == std::string::npos;
        return good ? std::string() : std::string("has at most 500 characters and no semicolon");
      });
  revoke->add_flag("--yes", request.yes, "Do not ask");
  revoke->footer(
      "Examples:\n  evercert revoke www.example.com --reason superseded\n"
      "  evercert revoke www.example.com --reason keyCompromise --yes");

  CLI::App* cancel = app.add_subcommand("cancel", "Gives up the open order of a certificate, at the CA too where it can be");
  cancel->add_option("name", request.name, "The certificate")->type_name("NAME")->required();
  cancel->footer("Examples:\n  evercert cancel www.example.com");

  CLI::App* test = app.add_subcommand("test", "Logs in at a CA, to see whether it takes our credentials");
  test->add_option("kind", request.source_kind, "issuer")->type_name("KIND")->required()->check(CLI::IsMember({"issuer"}));
  test->add_option("name", request.name, "The issuer")->type_name("NAME")->required();
  test->footer("Examples:\n  evercert test issuer default");

  CLI::App* sync =
      app.add_subcommand("sync", "Reads anew what commercial CAs offer: products, organizations, domains, balance");
  sync->add_option("name", request.name, "Only this issuer")->type_name("ISSUER");
  sync->footer("Examples:\n  evercert sync\n  evercert sync bought");

  add_import(app, request);
  for (CLI::App* command : {renew, rollback, revoke, cancel, test, sync}) {
    add_place(*command, request);
    add_timeout(*command, request);
    add_json(*command, request);
  }
}

void add_other_verbs(CLI::App& app, Request& request) {
  CLI::App* run = app.add_subcommand("run", "The agent itself, without a server of its own");
  run->add_option("--config", request.config, "The configuration")->type_name("FILE");
  run->add_option("--state", request.state_path, "Instead of the configuration's state_path")->type_name("DIR");
  // What a server's module starts the agent with.
  run->add_option("--descriptor", request.descriptor)->group("");
  run->footer(
      "Examples:\n  evercert run --config /etc/evercert/evercert.json\n"
      "  evercert run --config evercert.json --state /var/lib/evercert");
  CLI::App* version = app.add_subcommand("version", "Which evercert and which OpenSSL this is");
  add_json(*version, request);
  version->footer("Examples:\n  evercert version\n  evercert version --json");
}

// For those who build evercert (the page is committed, and a test compares) and for servers.
void add_hidden_verbs(CLI::App& app, Request& request) {
  CLI::App* reference = app.add_subcommand("reference", "Prints a page of the reference");
  reference->group("");
  reference->add_option("page", request.name)->required()->check(CLI::IsMember({"options"}));
  CLI::App* keep = app.add_subcommand("keep", "Starts the agent of a server that cannot, and again when it is lost");
  keep->group("");
  keep->add_option("--descriptor", request.descriptor)->required();
  keep->add_option("--program", request.kept_program)->required();
}

// CLI11 only says that something was left over; a mistyped verb deserves the word that was meant.
std::optional<std::string> unknown_verb(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0].starts_with("-")) {
    return std::nullopt;
  }
  std::vector<std::string> known;
  for (const Verb& verb : verbs) {
    known.emplace_back(verb.name);
  }
  if (std::find(known.begin(), known.end(), arguments[0]) != known.end()) {
    return std::nullopt;
  }
  const std::string near = nearest_word(arguments[0], known);
  return "evercert has no command \"" + arguments[0] + "\"" +
         (near.empty() ? "; evercert --help lists them" : ", did you mean \"" + near + "\"?");
}

int parse_and_run(const std::vector<std::string>& arguments, Surroundings& surroundings) {
  if (const std::optional<std::string> sentence = unknown_verb(arguments)) {
    surroundings.err << printable(*sentence) << "\n";
    return exit_usage;
  }
  Request request;
  CLI::App app("Certificates that order, renew and swap themselves inside the web server you already run.", "evercert");
  app.require_subcommand(1);
  app.footer(
      "Ends with 0 done or nothing to do, 1 failed, 2 usage, 3 configuration refused, 4 a person is needed, 5 no agent "
      "answers.\nExamples:\n  evercert status\n  evercert renew www.example.com");
  add_reading_verbs(app, request);
  add_changing_verbs(app, request);
  add_other_verbs(app, request);
  add_hidden_verbs(app, request);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& refusal) {
    const bool help = refusal.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(refusal, surroundings.out, surroundings.err);
    return help ? exit_done : exit_usage;
  }
  request.verb = app.get_subcommands().front()->get_name();
  const auto* verb =
      std::find_if(std::begin(verbs), std::end(verbs), [&](const Verb& one) { return request.verb == one.name; });
  return verb->command(request, surroundings);
}

}  // namespace evercert

std::string nearest_word(const std::string& word, const std::vector<std::string>& known) {
  // Levenshtein's distance with exchanged neighbours counted once (optimal string alignment).
  const auto distance = [&](const std::string& other) {
    std::vector<std::vector<std::size_t>> steps(word.size() + 1, std::vector<std::size_t>(other.size() + 1));
    for (std::size_t row = 0; row <= word.size(); ++row) {
      for (std::size_t column = 0; column <= other.size(); ++column) {
        if (row == 0 || column == 0) {
          steps[row][column] = row + column;
          continue;
        }
        const std::size_t change = word[row - 1] == other[column - 1] ? 0 : 1;
        std::size_t best =
            std::min({steps[row - 1][column] + 1, steps[row][column - 1] + 1, steps[row - 1][column - 1] + change});
        if (row > 1 && column > 1 && word[row - 1] == other[column - 2] && word[row - 2] == other[column - 1]) {
          best = std::min(best, steps[row - 2][column - 2] + 1);
        }
        steps[row][column] = best;
      }
    }
    return steps[word.size()][other.size()];
  };
  std::string nearest;
  std::size_t smallest = std::numeric_limits<std::size_t>::max();
  for (const std::string& other : known) {
    const std::size_t far = distance(other);
    if (far < smallest && far <= std::max<std::size_t>(1, other.size() / 3)) {
      smallest = far;
      nearest = other;
    }
  }
  return nearest;
}

int run_command_line(const std::vector<std::string>& arguments, Surroundings& surroundings) {
  return at_boundary(
      static_cast<int>(exit_failed), [&] { return parse_and_run(arguments, surroundings); },
      [&](const std::string& what) { surroundings.err << "evercert: " << printable(what) << "\n"; });
}

}  // namespace evercert
