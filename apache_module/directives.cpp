#include "directives.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "configuration.h"

namespace evercert {

namespace {

struct Container {
  Scope scope;
  Section section;
};
// The container whose lines Apache is handing to us; configuration is read by one thread.
Container* container = nullptr;

const char* refuse(const cmd_parms* cmd, const std::string& why) {
  return apr_pstrmemdup(cmd->pool, why.data(), why.size());
}

Place place_of(const cmd_parms* cmd) {
  return {cmd->directive->filename, static_cast<unsigned>(cmd->directive->line_num)};
}

std::vector<std::string> words_of(int count, char* const words[]) {
  return {words, words + count};
}

std::string lower_case(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; });
  return word;
}

bool in_virtual_host(const cmd_parms* cmd) {
  return cmd->server->is_virtual != 0;
}

// Relative files are below ServerRoot, as everywhere in Apache; On and Off are written as one likes.
const char* store(const cmd_parms* cmd, Section& section, Scope scope, const std::string& option,
                  std::vector<std::string> words) {
  const Option* const known = find_option(scope, option);
  if (known != nullptr && (known->kind == ValueKind::switch_on_off || known->kind == ValueKind::flag))
    for (std::string& word : words) word = lower_case(word);
  const auto done = set(section, scope, option, words, place_of(cmd));
  if (!done) return refuse(cmd, spelled(done.error().message, "Apache", place_of(cmd), scope, option));
  anchor_paths(section.settings.back(), std::string(text(ap_server_root)));
  return nullptr;
}

// Where a directive stands decides which option of that name it means.
const char* set_option(cmd_parms* cmd, void*, int count, char* const arguments[]) {
  return guarded<const char*>("this line could not be read", [&]() -> const char* {
    const std::string option = static_cast<const Option*>(cmd->cmd->cmd_data)->name.data();
    const std::vector<std::string> words = words_of(count, arguments);
    const std::string spelled = cmd->cmd->name;
    const auto stands_not = [&](const std::string& where) { return refuse(cmd, spelled + " does not stand " + where); };
    if (container != nullptr) {
      if (find_option(container->scope, option) == nullptr)
        return stands_not(container->scope == Scope::issuer ? "in <EvercertIssuer>" : "in <EvercertCertificate>");
      return store(cmd, container->section, container->scope, option, words);
    }
    const bool is_global = find_option(Scope::global, option) != nullptr;
    if (is_global && !in_virtual_host(cmd))
      return store(cmd, cycle().configuration().settings().global, Scope::global, option, words);
    if (find_option(Scope::certificate, option) != nullptr)
      return store(cmd, virtual_host_of(cmd->server).wish.options, Scope::certificate, option, words);
    return stands_not(is_global ? "in a virtual host; write it outside" : "outside <EvercertIssuer>");
  });
}

// Evercert on | off | each
const char* set_mode(cmd_parms* cmd, void*, const char* argument) {
  return guarded<const char*>("this line could not be read", [&]() -> const char* {
    HostWish& wish = virtual_host_of(cmd->server).wish;
    const std::string word = lower_case(argument);
    if (container != nullptr) return "Evercert does not stand in a container of its own";
    if (wish.mode != HostWish::Mode::unset) return refuse(cmd, "\"Evercert\" is given twice, first at " + wish.place.text());
    if (word != "on" && word != "off" && word != "each")
      return refuse(
          cmd, "\"Evercert " + std::string(argument) + "\" is unknown; write on, off, or each for one certificate per name");
    wish.mode = word == "on" ? HostWish::Mode::on : word == "off" ? HostWish::Mode::off : HostWish::Mode::each;
    wish.place = place_of(cmd);
    return nullptr;
  });
}

// EvercertCertificate ISSUER[,ISSUER...] [NAME...] [key=...] [name=...]
const char* add_certificate(cmd_parms* cmd, void*, int count, char* const arguments[]) {
  return guarded<const char*>("this line could not be read", [&]() -> const char* {
    if (container != nullptr) return "EvercertCertificate does not stand in a container";
    Section section;
    section.place = place_of(cmd);
    const auto read = set_certificate_line(section, words_of(count, arguments));
    if (!read) return refuse(cmd, spelled(read.error().message, "Apache", place_of(cmd), Scope::certificate));
    virtual_host_of(cmd->server).wish.certificates.push_back(std::move(section));
    return nullptr;
  });
}

// The lines between <EvercertX NAME> and </EvercertX>, and the name.
const char* read_container(cmd_parms* cmd, const char* arguments, Container& read) {
  if (container != nullptr) return "one container does not stand in another";
  const char* const end = ap_strrchr_c(arguments, '>');
  if (end == nullptr) return refuse(cmd, std::string(cmd->cmd->name) + "> is not closed: the > is missing");
  const char* rest = apr_pstrmemdup(cmd->temp_pool, arguments, static_cast<apr_size_t>(end - arguments));
  read.section.place = place_of(cmd);
  read.section.name = ap_getword_conf(cmd->temp_pool, &rest);
  if (*rest != '\0') return refuse(cmd, std::string(cmd->cmd->name) + "> takes one name");
  container = &read;
  // It stays at a line with a mistake, which Apache then names.
  const char* const why = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
  container = nullptr;
  return why;
}

const char* read_issuer(cmd_parms* cmd, void*, const char* arguments) {
  return guarded<const char*>("this issuer could not be read", [&]() -> const char* {
    if (const char* const misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return misplaced;
    Container read{Scope::issuer, {}};
    if (const char* const why = read_container(cmd, arguments, read)) return why;
    if (read.section.name.empty()) return "<EvercertIssuer> needs a name; write <EvercertIssuer NAME>";
    cycle().configuration().settings().issuers.push_back(std::move(read.section));
    return nullptr;
  });
}

const char* read_certificate(cmd_parms* cmd, void*, const char* arguments) {
  return guarded<const char*>("this certificate could not be read", [&]() -> const char* {
    Container read{Scope::certificate, {}};
    if (const char* const why = read_container(cmd, arguments, read)) return why;
    virtual_host_of(cmd->server).wish.certificates.push_back(std::move(read.section));
    return nullptr;
  });
}

// EvercertInclude FILE...: an evercert.json with what several servers share.
const char* include(cmd_parms* cmd, void*, int count, char* const arguments[]) {
  return guarded<const char*>("this line could not be read", [&]() -> const char* {
    if (const char* const misplaced = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return misplaced;
    if (count == 0) return "EvercertInclude takes at least one file";
    for (int i = 0; i < count; ++i) {
      const char* const path = ap_server_root_relative(cmd->pool, arguments[i]);
      if (path == nullptr) return refuse(cmd, std::string(arguments[i]) + " is no path");
      const auto read = read_settings_file(cycle().configuration().settings(), path);
      if (!read) return refuse(cmd, read.error().message);
    }
    return nullptr;
  });
}

class Table {
 public:
  Table() {
    add("Evercert", set_mode, TAKE1, "on, off, or each for one certificate per name");
    add("EvercertCertificate", add_certificate, TAKE_ARGV, "an issuer, then names, key=... and name=...");
    add("<EvercertCertificate", read_certificate, RAW_ARGS, "a certificate with options of its own");
    add("<EvercertIssuer", read_issuer, RAW_ARGS, "a CA to order from");
    add("EvercertInclude", include, TAKE_ARGV, "an evercert.json with what several servers share");
    for (const Option& option : options()) {
      const std::string name = "Evercert" + camel_case(option.name);
      const auto known = [&](const command_rec& command) { return command.name == name; };
      if (option.from_server || std::any_of(commands_.begin(), commands_.end(), known)) continue;
      add(name, set_option, TAKE_ARGV, option.help.data(), &option);
    }
    commands_.emplace_back();  // ends the table
  }
  [[nodiscard]] const command_rec* commands() const { return commands_.data(); }

 private:
  // Apache's table holds functions of many kinds under one type.
  template <typename Function>
  void add(const std::string& name, Function* function, cmd_how how, const char* help, const Option* option = nullptr) {
    command_rec& command = commands_.emplace_back();
    command.name = names_.emplace_back(name).c_str();
    command.func = reinterpret_cast<cmd_func>(reinterpret_cast<void (*)()>(function));
    command.cmd_data = const_cast<Option*>(option);
    command.req_override = RSRC_CONF;
    command.args_how = how;
    command.errmsg = help;
  }

  std::deque<std::string> names_;
  std::vector<command_rec> commands_;
};

}  // namespace

const command_rec* directives() {
  static const Table table;
  return table.commands();
}

}  // namespace evercert
