#include "directives.h"

#include <algorithm>
#include <vector>

#include "configuration.h"

namespace evercert {

namespace {

constexpr std::string_view prefix = "evercert_";

char* const accepted = static_cast<char*>(NGX_CONF_OK);
char* const refused = reinterpret_cast<char*>(-1);  // NGX_CONF_ERROR

using Setter = char* (*)(ngx_conf_t*, ngx_command_t*, void*);

char* refuse(ngx_conf_t* cf, const std::string& why) {
  ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%*s", why.size(), why.data());
  return refused;
}

Place place_of(const ngx_conf_t* cf) {
  return {std::string(text(cf->conf_file->file.name)), static_cast<unsigned>(cf->conf_file->line)};
}

std::vector<std::string> words_of(const ngx_conf_t* cf, std::size_t first) {
  const auto* const all = static_cast<const ngx_str_t*>(cf->args->elts);
  std::vector<std::string> words;
  for (std::size_t i = first; i < cf->args->nelts; ++i) words.emplace_back(text(all[i]));
  return words;
}

std::string_view option_of(const ngx_command_t* command) {
  return text(command->name).substr(prefix.size());
}

// Relative files are below the folder of nginx.conf, as everywhere in nginx.
char* store(ngx_conf_t* cf, Section& section, Scope scope, std::string_view option, const std::vector<std::string>& words) {
  auto done = set(section, scope, option, words, place_of(cf));
  if (!done) return refuse(cf, spelled(done.error().message, "nginx", place_of(cf), scope, option));
  std::string_view directory = text(cf->cycle->conf_prefix);
  while (directory.size() > 1 && directory.back() == '/') directory.remove_suffix(1);
  anchor_paths(section.settings.back(), std::string(directory));
  return accepted;
}

char* set_global(ngx_conf_t* cf, ngx_command_t* command, void*) {
  return guarded(refused, [&] {
    Section& section = cycle_of(cf->cycle)->settings().global;
    return store(cf, section, Scope::global, option_of(command), words_of(cf, 1));
  });
}

char* set_certificate(ngx_conf_t* cf, ngx_command_t* command, void* block) {
  return guarded(refused, [&] {
    Section& section = static_cast<HostWish*>(block)->options;
    return store(cf, section, Scope::certificate, option_of(command), words_of(cf, 1));
  });
}

// evercert on | off | each;
char* set_mode(ngx_conf_t* cf, ngx_command_t*, void* conf) {
  return guarded(refused, [&] {
    auto& block = *static_cast<HostWish*>(conf);
    const std::string word = words_of(cf, 1).front();
    if (block.mode != HostWish::Mode::unset) return refuse(cf, "\"evercert\" is given twice, first at " + block.place.text());
    if (word != "on" && word != "off" && word != "each")
      return refuse(cf, "\"evercert " + word + "\" is unknown; write on, off, or each for one certificate per name");
    block.mode = word == "on" ? HostWish::Mode::on : word == "off" ? HostWish::Mode::off : HostWish::Mode::each;
    block.place = place_of(cf);
    return accepted;
  });
}

char* add_certificate(ngx_conf_t* cf, ngx_command_t*, void* conf) {
  return guarded(refused, [&] {
    Section& section = static_cast<HostWish*>(conf)->certificates.emplace_back();
    section.place = place_of(cf);
    auto read = set_certificate_line(section, words_of(cf, 1));
    return read ? accepted : refuse(cf, spelled(read.error().message, "nginx", place_of(cf), Scope::certificate));
  });
}

// One line inside evercert_issuer name { … }.
char* set_issuer_option(ngx_conf_t* cf, ngx_command_t* command, void* section) {
  return guarded(refused, [&] {
    const std::vector<std::string> words = words_of(cf, 0);
    if (words.front() == "include" && words.size() == 2) return ngx_conf_include(cf, command, section);
    const std::vector<std::string> values(words.begin() + 1, words.end());
    return store(cf, *static_cast<Section*>(section), Scope::issuer, words.front(), values);
  });
}

char* read_issuer(ngx_conf_t* cf, ngx_command_t*, void*) {
  return guarded(refused, [&] {
    Section section;
    section.name = words_of(cf, 1).front();
    section.place = place_of(cf);
    ngx_conf_t inner = *cf;
    inner.handler = set_issuer_option;
    inner.handler_conf = reinterpret_cast<char*>(&section);
    char* const result = ngx_conf_parse(&inner, nullptr);
    if (result == accepted) cycle_of(cf->cycle)->settings().issuers.push_back(std::move(section));
    return result;
  });
}

// evercert_include file…; an evercert.json with what several servers share.
char* include(ngx_conf_t* cf, ngx_command_t*, void*) {
  return guarded(refused, [&] {
    for (const std::string& word : words_of(cf, 1)) {
      ngx_str_t path = pool_text(cf->pool, word);
      if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) return refused;
      auto read = read_settings_file(cycle_of(cf->cycle)->settings(), std::string(text(path)));
      if (!read) return refuse(cf, read.error().message);
    }
    return accepted;
  });
}

class Filling {
 public:
  Filling(DirectiveTable& table, const DirectiveContext& context) : table_(table), context_(context) {
    while (used_ < DirectiveTable::capacity && table_.commands[used_].name.len != 0) ++used_;
  }

  bool add(const std::string& name, ngx_uint_t type, Setter setter, bool of_server) {
    // The last one stays zero: it ends the table.
    if (used_ + 1 >= DirectiveTable::capacity || name.size() >= table_.names[used_].size()) return false;
    std::copy(name.begin(), name.end(), table_.names[used_].begin());
    ngx_command_t& command = table_.commands[used_];
    command.name = {name.size(), table_.names[used_].data()};
    command.type = type;
    command.set = setter;
    command.conf = of_server ? context_.server_offset : 0;
    ++used_;
    return true;
  }

 private:
  DirectiveTable& table_;
  const DirectiveContext& context_;
  std::size_t used_ = 0;
};

}  // namespace

bool fill_directives(DirectiveTable& table, const DirectiveContext& context) {
  Filling filling(table, context);
  const ngx_uint_t both = context.main | context.server;
  bool fits = filling.add("evercert", both | NGX_CONF_TAKE1, set_mode, true) &&
              filling.add("evercert_certificate", context.server | NGX_CONF_1MORE, add_certificate, true) &&
              filling.add("evercert_issuer", context.main | NGX_CONF_BLOCK | NGX_CONF_TAKE1, read_issuer, false) &&
              filling.add("evercert_include", context.main | NGX_CONF_1MORE, include, false);
  for (const Option& option : options()) {
    const std::string name = std::string(prefix) + std::string(option.name);
    if (!fits || option.from_server || option.scope == Scope::issuer || option.name == "include") continue;
    // At the upper level a certificate option is the default of all server blocks, unless a global one has that name.
    const bool shadowed = find_option(Scope::global, option.name) != nullptr || option.name == "issuer";
    if (option.scope == Scope::global)
      fits = filling.add(name, context.main | NGX_CONF_ANY, set_global, false);
    else
      fits = filling.add(name, (shadowed ? context.server : both) | NGX_CONF_ANY, set_certificate, true);
  }
  return fits;
}

}  // namespace evercert
