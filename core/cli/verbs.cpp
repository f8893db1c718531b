#include "cli/verbs.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "agent/issuer/revocation_reasons.h"
#include "cli/commands.h"
#include "serving/base/bounds.h"
#include "serving/base/rfc3339.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

std::vector<std::string> reason_names() {
  std::vector<std::string> names;
  names.reserve(std::size(revocation_reasons));
  for (const auto& reason : revocation_reasons) names.emplace_back(reason.name);
  return names;
}

int run_agent(const Request& request, Surroundings& surroundings) {
  if (request.descriptor < 0 && request.config.empty())
    return refuse(request, surroundings, exit_usage, "evercert run: give --config FILE, the configuration to work on");
  return surroundings.run({request.descriptor, {}, request.config, request.state_path});
}

int run_keeper_of(const Request& request, Surroundings& surroundings) {
  return surroundings.run({request.descriptor, request.kept_program, {}, {}});
}

int import_anything(const Request& request, Surroundings& surroundings) {
  return request.source_kind == "issuer" ? import_orders(request, surroundings) : import_certificates(request, surroundings);
}

bool is_day(const std::string& text) {
  return time_in(text + "T00:00:00Z").has_value();
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

void add_place(CLI::App& command, Request& request) {
  auto* state = command.add_option("--state", request.state_path, "The state directory (option state_path)")->type_name("DIR");
  command.add_option("--config", request.config, "Read the state_path from this evercert.json")
      ->type_name("FILE")
      ->excludes(state);
}

void add_json(CLI::App& command, Request& request) {
  command.add_flag("--json", request.json, "Print results and errors as JSON");
}

void add_reading(CLI::App& command, Request& request) {
  add_place(command, request);
  add_json(command, request);
}

void add_asking(CLI::App& command, Request& request) {
  add_place(command, request);
  command
      .add_option_function<std::string>(
          "--timeout", [&request](const std::string& text) { request.timeout = duration_of(text); },
          "How long to wait for the agent, such as 90s, 5m or 2h; without it five minutes")
      ->type_name("DURATION")
      ->check([](const std::string& text) {
        return duration_of(text) ? std::string() : text + " is no duration; write one from 1s to 168h, such as 90s, 5m or 2h";
      });
  add_json(command, request);
}

void add_name(CLI::App& command, Request& request, const char* meaning = "The certificate") {
  command.add_option("NAME", request.name, meaning)->type_name("")->required();
}

void status_options(CLI::App& command, Request& request) {
  command.add_option("NAME", request.name, "Only this certificate")->type_name("");
  add_reading(command, request);
}

void show_options(CLI::App& command, Request& request) {
  add_name(command, request);
  add_reading(command, request);
}

void renew_options(CLI::App& command, Request& request) {
  auto* name = command.add_option("NAME", request.name, "The certificate")->type_name("");
  command.add_flag("--all", request.all, "All certificates, but those of issuers with order off")->excludes(name);
  command.add_flag("--force", request.force, "Although nothing is due, and against the guards that keep a CA's limits");
  command.add_flag("--no-wait", request.no_wait, "Return as soon as the agent has begun");
  add_asking(command, request);
}

void rollback_options(CLI::App& command, Request& request) {
  add_name(command, request);
  command.add_option("--to", request.to, "The generation to return to; without it the one before")
      ->type_name("N")
      ->check([](const std::string& text) {
        // CLI11 would take -1 for the highest number that there is.
        return whole_number_in(text, 1, highest_generation) ? std::string() : text + " is no generation; write a number from 1";
      });
  add_asking(command, request);
}

void revoke_options(CLI::App& command, Request& request) {
  add_name(command, request);
  command.add_option("--reason", request.reason, "Why")->type_name("REASON")->check(CLI::IsMember(reason_names()));
  // Sectigo takes no more; CERTInext refuses semicolons.
  constexpr std::size_t longest_comment = 500;
  command.add_option("--comment", request.comment, "A remark for the CA's records; commercial CAs keep one")
      ->type_name("TEXT")
      ->check([](const std::string& text) {
        const bool good = text.size() <= longest_comment && text.find(';') == std::string::npos;
        return good ? std::string() : std::string("has at most 500 characters and no semicolon");
      });
  command.add_flag("--yes", request.yes, "Do not ask");
  add_asking(command, request);
}

void cancel_options(CLI::App& command, Request& request) {
  add_name(command, request);
  add_asking(command, request);
}

void test_options(CLI::App& command, Request& request) {
  command.add_option("KIND", request.source_kind, "What to test")->type_name("")->required()->check(CLI::IsMember({"issuer"}));
  add_name(command, request, "The issuer");
  add_asking(command, request);
}

void sync_options(CLI::App& command, Request& request) {
  command.add_option("ISSUER", request.name, "Only this issuer")->type_name("");
  add_asking(command, request);
}

constexpr const char* of_issuer = "Options of import issuer";
constexpr const char* of_clients = "Options of import certbot, mod-md and nginx-acme";

// An option that means nothing to what is imported was written by somebody who expects something of it.
void check_variant(const CLI::App& import, const Request& request) {
  const bool issuer = request.source_kind == "issuer";
  for (const CLI::Option* const option : import.get_options()) {
    const bool foreign = option->get_group() == (issuer ? of_clients : of_issuer);
    if (foreign && option->count() > 0)
      throw CLI::ValidationError(option->get_name(false, true) + " is an option of import " +
                                 (issuer ? "certbot, mod-md and nginx-acme" : "issuer") + "; import " + request.source_kind +
                                 " does not have it");
  }
}

void import_options(CLI::App& command, Request& request) {
  command.add_option("KIND", request.source_kind, "What it is taken over from")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"certbot", "mod-md", "nginx-acme", "issuer"}));
  command
      .add_option(
          "SOURCE", request.source_path,
          "certbot's folder (/etc/letsencrypt), mod_md's MDStoreDir, the acme_issuer's state_path; or the name of an issuer")
      ->type_name("")
      ->required();
  command.add_option("NAMES", request.names, "Only these")->type_name("");
  command.add_option("--name", request.name, "Adopt under this name (when there is only one)")
      ->type_name("NAME")
      ->group(of_clients);
  command.add_option("--user", request.user, "The server's user, when the state directory does not exist yet")
      ->type_name("USER")
      ->group(of_clients);
  OrderWish& orders = request.orders;
  // One after each --key: what follows is the name of an issuer or of a certificate.
  command.add_option("--key", orders.keys, "A file with a private key, or a folder of such files; may be given several times")
      ->type_name("PATH")
      ->allow_extra_args(false)
      ->group(of_issuer);
  auto* open = command.add_flag("--open", orders.open, "Only orders that are open")->group(of_issuer);
  command.add_option("--with", orders.with, "Orders of this state, too")
      ->type_name("STATE")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"expired", "revoked", "rejected"}))
      ->group(of_issuer)
      ->excludes(open);
  command.add_option("--group", orders.group, "Only orders of this group, organization or division")
      ->type_name("ID")
      ->group(of_issuer);
  for (const auto& [option, day, meaning] : {std::tuple("--since", &orders.since, "Only orders of this day and later"),
                                             std::tuple("--until", &orders.until, "Only orders of this day and earlier")}) {
    command.add_option(option, *day, meaning)->type_name("YYYY-MM-DD")->group(of_issuer)->check([](const std::string& text) {
      return is_day(text) ? std::string() : text + " is no day of the calendar; write YYYY-MM-DD";
    });
  }
  add_asking(command, request);
  command.callback([&command, &request] { check_variant(command, request); });
}

void quickstart_options(CLI::App& command, Request& request) {
  FirstWish& first = request.first;
  command.add_option("SERVER", first.server, "For which server")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"nginx", "apache", "haproxy"}));
  // One after each --name: what follows may be the server.
  command.add_option("--name", first.names, "A name that the certificate is for; may be given several times")
      ->type_name("DOMAIN")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--issuer", first.issuer, "A known CA, or the address of an ACME directory; without it letsencrypt")
      ->type_name("CA");
  command.add_option("--contact", first.contact, "Where the CA may reach you")->type_name("ADDRESS");
  command
      .add_option("--ssl-trusted-certificate", first.trusted,
                  "What the CA's own server is verified with, where the system does not know it")
      ->type_name("FILE");
  command
      .add_option("--external-account-key", first.external_account,
                  "The key identifier, and the file with the HMAC key, where the CA wants them")
      ->type_name("KID FILE")
      ->type_size(2)
      ->expected(1)
      ->allow_extra_args(false);
  command.add_option("--root", first.root, "Look at, and write to, the system below this directory")->type_name("DIR");
  command.add_flag("--write", first.write, "Write the files; none that is there already is touched");
}

void run_options(CLI::App& command, Request& request) {
  command.add_option("--config", request.config, "The configuration")->type_name("FILE");
  command.add_option("--state", request.state_path, "Instead of the configuration's state_path")->type_name("DIR");
  // What a server's module starts the agent with.
  command.add_option("--descriptor", request.descriptor)->group("");
}

void help_options(CLI::App& command, Request& request) {
  command.add_option("COMMAND", request.name, "The command to be explained; without it all are listed")->type_name("");
}

void reference_options(CLI::App& command, Request& request) {
  command.add_option("page", request.name)
      ->required()
      ->check(CLI::IsMember({"options", "authorities", "commands", "manual", "manual-configuration"}));
}

void completion_options(CLI::App& command, Request& request) {
  command.add_option("SHELL", request.name, "For which shell")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

void keep_options(CLI::App& command, Request& request) {
  command.add_option("--descriptor", request.descriptor)->required();
  command.add_option("--program", request.kept_program)->required();
}

constexpr std::string_view readers = "to read the state directory: root, or the server's group";
constexpr std::string_view askers = "an agent; root, or the owner of the state directory";

constexpr Verb table[] = {
    {"status", "What is served, until when, and what happens next", readers,
     "One line for each certificate, as wide as the terminal; what is wrong stands below it, with what can be done. Times "
     "count "
     "from now. Ends with 0 when it could be read, whatever it says; what is to be done about a certificate stands in full "
     "under "
     "`evercert show NAME`.",
     "evercert status\nevercert status www.example.com --json", print_status, status_options},
    {"list", "The names of all certificates, one a line", readers,
     "Those that a configuration names, then those that are stored and wait to be named; the latter are told apart on standard "
     "error, and under `--json` as `unnamed`.",
     "evercert list\nevercert list --config /etc/evercert/evercert.json", print_list, add_reading},
    {"show", "One certificate in full: its keys, its last problem, its last events", readers,
     "By what it is called, or by one of its names. Keys are shown to root, or to the owner of the state directory.",
     "evercert show www.example.com\nevercert show www.example.com --json | jq .events", print_certificate, show_options},
    {"renew", "Orders anew, and returns when the server presents it", askers,
     "Ends when the new certificate is served. What was issued a short while ago is left as it is, with 0; `--force` overrides "
     "that guard against renewal storms. `--all` leaves issuers with `order off` alone, and says what it waits for.",
     "evercert renew www.example.com\nevercert renew --all --force", ask_renew, renew_options},
    {"rollback", "Serves an earlier generation again", "root, or the owner of the state directory",
     "The content of the older generation becomes the newest. Works without an agent, too.",
     "evercert rollback www.example.com\nevercert rollback www.example.com --to 3", roll_back, rollback_options},
    {"revoke", "Tells the CA that a certificate must not be trusted any more", askers,
     "Revokes what is newest. Asks you first to type its name, unless `--yes` is given.",
     "evercert revoke www.example.com --reason superseded\nevercert revoke www.example.com --reason keyCompromise --yes",
     ask_revoke, revoke_options},
    {"cancel", "Gives up the open order of a certificate, at the CA too where it can be", askers,
     "Nothing is ordered before somebody says `evercert renew NAME`. Without an open order there is nothing to do.",
     "evercert cancel www.example.com", ask_cancel, cancel_options},
    {"test", "Logs in at a CA, to see whether it takes our credentials", askers,
     "At a commercial CA also whether product, term, organization and group exist.", "evercert test issuer default", ask_test,
     test_options},
    {"sync", "Reads anew what commercial CAs offer: products, organizations, groups, domains, balance", askers,
     "Without an account that has such lists there is nothing to do.", "evercert sync\nevercert sync bought", ask_sync,
     sync_options},
    {"import", "Takes over what another client obtained, or what exists at a commercial CA",
     "root; from an issuer also an agent",
     "`certbot` adopts `live/` folders, `mod-md` the store of Apache's mod_md, `nginx-acme` the state of nginx's own ACME "
     "module. "
     "A certificate goes on the line with its names, else on one of its own that a later configuration finds by them. `issuer` "
     "takes over what exists in the account at a commercial CA; it ends when nothing was told for five minutes, and the same "
     "command goes on from there.",
     "evercert import certbot /etc/letsencrypt\nevercert import mod-md /etc/apache2/md --user www-data\n"
     "evercert import nginx-acme /var/cache/nginx/acme_example www.example.com\n"
     "evercert import issuer bought --key /etc/ssl/private --since 2026-01-01",
     import_anything, import_options},
    {"quickstart", "The smallest configuration that fits this machine, and what to do with it",
     "to read the server's configuration; with --write root, to write below /etc",
     "Looks at what is installed and configured: folders, modules, ports, names. The configuration goes to standard output, "
     "what to do next to standard error; with `--write` the files are written, and standard output has only what belongs into "
     "a file of yours. The CA is Let's Encrypt unless `--issuer` names another, because that is what a server is to have in "
     "the end; `letsencrypt-staging` is for a rehearsal.",
     "evercert quickstart nginx --name www.example.com\n"
     "evercert quickstart apache --name example.com --name www.example.com --issuer letsencrypt-staging\n"
     "evercert quickstart haproxy --name www.example.com --write | tee -a /etc/haproxy/haproxy.cfg",
     quick_start, quickstart_options},
    {"run", "The agent itself, without a server of its own", "root, or a user that owns the state directory",
     "Orders, renews, stores; answers http-01 by itself at `http_port`. For servers that read files, and for systemd.",
     "evercert run --config /etc/evercert/evercert.json\nevercert run --config evercert.json --state /var/lib/evercert",
     run_agent, run_options},
    {"completion", "Prints what completes these commands in a shell", "",
     "To be read by the shell at its start, or stored where it looks for completions.",
     "evercert completion bash > /etc/bash_completion.d/evercert\nevercert completion fish > "
     "~/.config/fish/completions/evercert.fish",
     print_completion, completion_options},
    {"version", "Which evercert and which OpenSSL this is", "", "`evercert --version` says the same.",
     "evercert version\nevercert version --json", print_version, add_json},
    {"help", "Explains one command, or lists all", "", "`evercert COMMAND --help` says the same.",
     "evercert help\nevercert help renew", print_help, help_options},
    {"reference", "Prints a page of the reference", "", "", "", print_reference, reference_options, true},
    {"keep", "Starts the agent of a server that cannot, and again when it is lost", "", "", "", run_keeper_of, keep_options,
     true},
};

}  // namespace

std::span<const Verb> verbs() {
  return table;
}

std::string unknown_verb(const std::string& name) {
  std::vector<std::string> known;
  for (const Verb& verb : verbs())
    if (!verb.hidden) known.emplace_back(verb.name);
  return "evercert has no command \"" + name + "\"" + did_you_mean(name, known, "; evercert --help lists them");
}

const Verb* find_verb(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(table), std::end(table), [&](const Verb& verb) { return verb.name == name; });
  return found == std::end(table) ? nullptr : found;
}

std::unique_ptr<CLI::App> parser_of(const Verb& verb, Request& request) {
  auto parser = std::make_unique<CLI::App>(std::string(verb.summary), std::string(verb.name));
  parser->set_help_flag();
  parser->allow_extras();
  verb.add_options(*parser, request);
  return parser;
}

}  // namespace evercert
