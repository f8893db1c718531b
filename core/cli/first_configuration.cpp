#include "cli/first_configuration.h"

#include <algorithm>

#include "cli/taken_sites.h"
#include "evercert/state.h"
#include "serving/base/json.h"
#include "serving/config/spelling.h"
#include "serving/config/words.h"

namespace evercert {
namespace {

Error no_server(const std::string& server, const std::string& file) {
  return {ErrorKind::storage, "there is no " + server + " here: " + file + " is missing; install " + server +
                                  ", or name with --root the directory below which it is"};
}

Error set_up_already(const Spot& spot, const std::string& what_to_do) {
  return configuration_error("evercert is set up here already, in " + spot.text() + ": " + what_to_do);
}

// As a word of nginx's or Apache's configuration.
std::string first_word(const std::string& text) {
  if (text.find_first_of(" \t;{}\"'\\#$") == std::string::npos) return text;
  std::string result = "\"";
  for (const char c : text) result += (c == '"' || c == '\\' ? "\\" : "") + std::string(1, c);
  return result + "\"";
}

std::string first_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + first_word(word);
  return text;
}

// As what a server would be refused for, and before anything is written.
void choose_state_path(const Machine& machine, const std::string& user, FirstConfiguration& first) {
  const std::string usual(find_option(Scope::global, "state_path")->fallback);
  const auto number = machine.user(user);
  const auto owner = machine.owner_of_state(usual);
  if (!number || !owner || *owner == *number) return;
  first.state_path = own_state_path(usual, user);
  first.taken_by = machine.user_name(*owner);
}

std::string state_path_line(const FirstConfiguration& first, Spelling spelling) {
  return first.state_path ? spell_setting(*find_option(Scope::global, "state_path"), spelling, *first.state_path) + "\n" : "";
}

// The word after `option`; empty: nowhere.
std::string value_in(const std::vector<Spot>& words, const std::string& option) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (lower_case(words[i].word) == option && words[i].line == words[i + 1].line) return words[i + 1].word;
  return "";
}

std::vector<Spot> words_of_files(const Machine& machine, const std::vector<std::string>& files, bool signs) {
  std::vector<Spot> words;
  for (const std::string& file : files) {
    const auto more = words_in(machine.text(file), file, signs);
    words.insert(words.end(), more.begin(), more.end());
  }
  return words;
}

const Spot* spot_of(const std::vector<Spot>& words, const std::string& word) {
  const auto found = std::find_if(words.begin(), words.end(), [&](const Spot& spot) { return lower_case(spot.word) == word; });
  return found == words.end() ? nullptr : &*found;
}

void leave_out(std::vector<std::string>& files, const std::string& path) {
  std::erase_if(files, [&](const std::string& file) { return file.substr(file.rfind('/')) == path.substr(path.rfind('/')); });
}

std::string nginx_text(const Machine& machine, const FirstPlan& plan, const TakenSites& sites) {
  std::string text = "evercert_issuer " + plan.issuer + " {\n    uri " + first_word(plan.uri) + ";\n";
  if (!plan.contact.empty()) text += "    contact " + first_word(plan.contact) + ";\n";
  if (!plan.external_account.empty()) text += "    external_account_key " + first_words(plan.external_account) + ";\n";
  text += "    accept_terms_of_service;\n";
  if (!plan.trusted.empty()) text += "    ssl_trusted_certificate " + first_word(plan.trusted) + ";\n";
  text += "}\n";
  const bool six = machine.has_ipv6();
  const auto block = [&](const std::vector<std::string>& names, bool plain) {
    if (names.empty()) return;
    text += "server {\n";
    if (plain) text += std::string("    listen 80;\n") + (six ? "    listen [::]:80;\n" : "");
    text += std::string("    listen 443 ssl;\n") + (six ? "    listen [::]:443 ssl;\n" : "") + "    server_name " +
            joined(names, " ") + ";\n    evercert on;\n}\n";
  };
  block(sites.free, true);
  // Port 80 is somebody's who sends visitors to https, where nobody is yet.
  std::vector<std::string> redirected;
  for (const TakenSite& site : sites.taken)
    if (site.redirects && !site.tls) redirected.push_back(site.name);
  block(redirected, false);
  return text;
}

std::string module_of_nginx(const Machine& machine) {
  for (const char* const folder :
       {"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules", "/usr/local/nginx/modules"}) {
    const std::string file = std::string(folder) + "/ngx_http_evercert_module.so";
    if (machine.has(file)) return file;
  }
  return "";
}

void add_steps_for_module_of_nginx(const Machine& machine, const std::vector<Spot>& words, std::vector<std::string>& steps) {
  const bool loaded = std::any_of(words.begin(), words.end(), [](const Spot& spot) {
    return spot.word.find("ngx_http_evercert_module") != std::string::npos;
  });
  const std::string file = module_of_nginx(machine);
  if (file.empty()) steps.emplace_back("install evercert's module for nginx (on Debian: libnginx-mod-http-evercert)");
  if (!loaded && !file.empty())
    steps.push_back("write load_module " + file + "; at the top of /etc/nginx/nginx.conf, before events");
}

}  // namespace

Result<FirstConfiguration> first_for_nginx(const Machine& machine, const FirstPlan& plan) {
  const std::string main = "/etc/nginx/nginx.conf";
  if (!machine.has(main)) return no_server("nginx", main);
  const auto main_words = words_in(machine.text(main), main, true);
  const auto includes = [&](const std::string& pattern) {
    return std::any_of(main_words.begin(), main_words.end(),
                       [&](const Spot& spot) { return spot.word == "/etc/nginx/" + pattern || spot.word == pattern; });
  };
  FirstConfiguration first;
  std::string path = "/etc/nginx/evercert.conf";
  for (const std::string folder : {"conf.d", "http.d"})
    if (includes(folder + "/*.conf")) path = "/etc/nginx/" + folder + "/evercert.conf";
  if (path == "/etc/nginx/evercert.conf")
    first.steps.push_back("write include " + path + "; at the end of http { } in " + main);

  std::vector<std::string> files = files_of_nginx(machine, main);
  leave_out(files, path);
  const auto words = words_of_files(machine, files, true);
  if (const Spot* const spot = spot_of(words, "evercert_issuer"))
    return set_up_already(*spot, "write evercert on; into the server block of each name");
  const TakenSites sites = sites_of_nginx(words, plan.names);
  const std::string user = value_in(main_words, "user");
  choose_state_path(machine, user.empty() ? "www-data" : user, first);
  first.file = {path, "# " + path + "\n" + state_path_line(first, Spelling::nginx) + nginx_text(machine, plan, sites)};
  add_steps_for_module_of_nginx(machine, words, first.steps);
  for (const TakenSite& site : sites.taken) {
    if (site.redirects && !site.tls) continue;
    first.steps.push_back("in " + site.spot.text() + ", in the server block of " + site.name + ": write " +
                          (site.tls ? "" : "listen 443 ssl; and ") + "evercert on;" +
                          (site.own_certificate ? " in place of its ssl_certificate and ssl_certificate_key" : ""));
  }
  first.steps.emplace_back("sudo nginx -t");
  first.steps.push_back(machine.reload("nginx"));
  return first;
}

namespace {

bool apache_listens(const std::vector<Spot>& words, const std::string& port) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (lower_case(words[i].word) == "listen" && is_port(words[i + 1].word, port)) return true;
  return false;
}

// Debian's configuration takes the name from a file for the shell.
std::string user_of_apache(const Machine& machine, const std::vector<Spot>& words, const std::string& base) {
  const std::string user = value_in(words, "user");
  if (!user.starts_with("${") || !user.ends_with('}')) return user;
  const std::string variable = user.substr(2, user.size() - 3) + "=";
  const std::string file = base + "/envvars";
  for (const Spot& spot : words_in(machine.text(file), file, true))
    if (spot.word.starts_with(variable)) return spot.word.substr(variable.size());
  return "";
}

std::string apache_text(const FirstPlan& plan, const std::vector<Spot>& words, const std::vector<std::string>& names) {
  std::string text;
  for (const char* const port : {"80", "443"})
    if (!apache_listens(words, port)) text += std::string("Listen ") + port + "\n";
  text += "<EvercertIssuer " + plan.issuer + ">\n    EvercertUri " + first_word(plan.uri) + "\n";
  if (!plan.contact.empty()) text += "    EvercertContact " + first_word(plan.contact) + "\n";
  if (!plan.external_account.empty()) text += "    EvercertExternalAccountKey " + first_words(plan.external_account) + "\n";
  text += "    EvercertAcceptTermsOfService on\n";
  if (!plan.trusted.empty()) text += "    EvercertSslTrustedCertificate " + first_word(plan.trusted) + "\n";
  text += "</EvercertIssuer>\n";
  if (names.empty()) return text;
  const std::vector<std::string> others(names.begin() + 1, names.end());
  const std::string named =
      "    ServerName " + names.front() + "\n" + (others.empty() ? "" : "    ServerAlias " + joined(others, " ") + "\n");
  return text + "<VirtualHost *:80>\n" + named + "</VirtualHost>\n<VirtualHost *:443>\n" + named +
         "    SSLEngine on\n    Evercert on\n</VirtualHost>\n";
}

}  // namespace

Result<FirstConfiguration> first_for_apache(const Machine& machine, const FirstPlan& plan) {
  const bool debian = machine.has("/etc/apache2/apache2.conf");
  const std::string base = debian ? "/etc/apache2" : "/etc/httpd";
  const std::string main = debian ? base + "/apache2.conf" : base + "/conf/httpd.conf";
  if (!machine.has(main)) return no_server("Apache httpd", "/etc/apache2/apache2.conf");
  const std::string path = base + (debian ? "/sites-available/evercert.conf" : "/conf.d/evercert.conf");
  std::vector<std::string> files{main};
  if (debian) files.push_back(base + "/ports.conf");
  for (const char* const folder : {"conf.modules.d", "mods-enabled", "conf-enabled", "sites-enabled", "conf.d"})
    for (std::string& file : machine.files_in(base + "/" + folder, ".conf")) files.push_back(std::move(file));
  // What the package itself has there.
  leave_out(files, path);
  const auto words = words_of_files(machine, files, false);
  if (const Spot* const spot = spot_of(words, "<evercertissuer"))
    return set_up_already(*spot, "write Evercert on into the virtual host of each name");
  const TakenSites sites = sites_of_apache(words, plan.names);
  FirstConfiguration first;
  choose_state_path(machine, user_of_apache(machine, words, base), first);
  first.file = {path, "# " + path + "\n" + state_path_line(first, Spelling::apache) + apache_text(plan, words, sites.free)};
  if (debian && !machine.has(base + "/mods-enabled/evercert.load"))
    first.steps.emplace_back(machine.has(base + "/mods-available/evercert.load")
                                 ? "sudo a2enmod evercert"
                                 : "install evercert's module for Apache (libapache2-mod-evercert), and sudo a2enmod evercert");
  if (!debian && spot_of(words, "evercert_module") == nullptr)
    first.steps.emplace_back("write LoadModule evercert_module modules/mod_evercert.so into " + base +
                             "/conf.modules.d/evercert.conf, and see that mod_ssl is installed");
  for (const TakenSite& site : sites.taken)
    first.steps.push_back("in " + site.spot.text() + ", for " + site.name + ": " +
                          (site.tls ? "write Evercert on" : "give it a <VirtualHost *:443> with SSLEngine on and Evercert on") +
                          (site.own_certificate ? " in place of SSLCertificateFile and SSLCertificateKeyFile" : ""));
  if (debian) first.steps.emplace_back("sudo a2ensite evercert");
  first.steps.emplace_back(debian ? "sudo apache2ctl -t" : "sudo apachectl -t");
  first.steps.push_back(machine.reload(debian ? "apache2" : "httpd"));
  return first;
}

namespace {

constexpr std::string_view in_global =
    "global\n"
    "    setenv EVERCERT_CONFIG /etc/evercert/evercert.json\n"
    "    lua-prepend-path /usr/lib/haproxy/?.so cpath\n"
    "    lua-load /usr/share/evercert/evercert.lua\n";
constexpr std::string_view bound = "ssl crt /run/evercert/haproxy/";
constexpr std::string_view answering =
    "http-request lua.evercert if { path_beg /.well-known/acme-challenge/ /.well-known/pki-validation/ }";

// ["a", "b"]
std::string json_list(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + dump_json(Json(word));
  return "[" + text + "]";
}

std::string haproxy_settings(const FirstPlan& plan, const std::string& user, const FirstConfiguration& first) {
  std::string text = "// /etc/evercert/evercert.json\n{\n";
  if (first.state_path)
    text += "  " + spell_setting(*find_option(Scope::global, "state_path"), Spelling::json, *first.state_path) + ",\n";
  if (user != "haproxy") text += "  \"agent_user\": " + dump_json(Json(user)) + ",\n";
  text += "  \"issuers\": {\n    " + dump_json(Json(plan.issuer)) + ": {\n      \"uri\": " + dump_json(Json(plan.uri)) + ",\n";
  if (!plan.contact.empty()) text += "      \"contact\": " + json_list({plan.contact}) + ",\n";
  if (!plan.external_account.empty()) text += "      \"external_account_key\": " + json_list(plan.external_account) + ",\n";
  text += "      \"accept_terms_of_service\": true";
  if (!plan.trusted.empty()) text += ",\n      \"ssl_trusted_certificate\": " + dump_json(Json(plan.trusted));
  return text + "\n    }\n  },\n  \"certificates\": [\n    { \"identifiers\": " + json_list(plan.names) + " }\n  ]\n}\n";
}

std::string haproxy_frontend(const Machine& machine) {
  const std::string every = machine.has_ipv6() ? ":::" : ":";
  const std::string both = machine.has_ipv6() ? " v4v6" : "";
  return "frontend evercert\n    mode http\n    timeout client 60s\n    bind " + every + "80" + both + "\n    bind " + every +
         "443" + both + " " + std::string(bound) + " alpn h2,http/1.1\n    " + std::string(answering) +
         "\n    http-request redirect scheme https unless { ssl_fc }\n"
         "    http-request return status 200 content-type text/plain string \"hello\\n\"\n";
}

// Where HAProxy listens already, its own lines are added to.
void add_steps_for_binds(const TakenBinds& binds, const std::string& main, std::vector<std::string>& steps) {
  steps.push_back(
      "in " + main +
      ", in global, before the first bind: write setenv EVERCERT_CONFIG /etc/evercert/evercert.json, lua-prepend-path "
      "/usr/lib/haproxy/?.so cpath and lua-load /usr/share/evercert/evercert.lua, each on a line of its own");
  const std::string rule(answering);
  steps.push_back(binds.plain ? "in " + binds.plain->text() + ", in that frontend, before any redirect: write " + rule
                              : "in " + main + ": write a frontend with bind :80 and " + rule);
  steps.push_back(binds.tls ? "in " + binds.tls->text() + ", at that bind: write " +
                                  std::string(binds.tls_is_on ? bound.substr(4) : bound)
                            : "in " + binds.plain->text() + ", in that frontend: write bind :443 " + std::string(bound));
}

}  // namespace

Result<FirstConfiguration> first_for_haproxy(const Machine& machine, const FirstPlan& plan) {
  const std::string main = "/etc/haproxy/haproxy.cfg";
  if (!machine.has(main)) return no_server("HAProxy", main);
  std::vector<std::string> files{main};
  for (std::string& file : machine.files_in("/etc/haproxy/conf.d", ".cfg")) files.push_back(std::move(file));
  const auto words = words_of_files(machine, files, false);
  if (const Spot* const spot = spot_of(words, "evercert_config"))
    return set_up_already(*spot, "add the names to certificates in the evercert.json that it names");
  const std::string written = value_in(words, "user");
  const std::string user = written.empty() ? "haproxy" : written;
  FirstConfiguration first;
  choose_state_path(machine, user, first);
  first.file = {"/etc/evercert/evercert.json", haproxy_settings(plan, user, first)};
  if (!machine.has("/usr/share/evercert/evercert.lua"))
    first.steps.emplace_back("install evercert's part for HAProxy (on Debian: haproxy-evercert)");
  if (const TakenBinds binds = binds_of_haproxy(words); binds.plain || binds.tls) {
    add_steps_for_binds(binds, main, first.steps);
  } else {
    first.addition =
        FirstConfiguration::File{main, "# " + main + ", at its end\n" + std::string(in_global) + haproxy_frontend(machine)};
  }
  first.steps.push_back("sudo haproxy -c -f " + main);
  first.steps.push_back(machine.reload("haproxy"));
  return first;
}

}  // namespace evercert
