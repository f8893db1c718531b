#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "serving/config/check.h"
#include "serving/config/spelling.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

// Of a path that is to be made the nearest that exists tells whether it can be.
void check_can_be_made(const SectionReader& reader, const std::string& path) {
  const auto refuse = [&](const std::string& why) { reader.error("state_path", "state_path: " + why); };
  const std::string above = path.substr(0, path.rfind('/'));
  std::string at = path;
  struct stat facts {};
  while (!at.empty() && ::stat(at.c_str(), &facts) != 0) at.resize(at.rfind('/'));
  if (!at.empty() && !S_ISDIR(facts.st_mode))
    return refuse((at == path ? path + " is" : path + " cannot be made, since " + at + " is") +
                  " no directory; name another one");
  if (at == path) return;
  const int code = ::access(at.empty() ? "/" : at.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
  if (code != 0)
    return refuse(path + " cannot be made: " + std::generic_category().message(code) +
                  (code == EACCES ? "; run it as root, or name another state_path" : "; name another state_path"));
  if (at != above)
    refuse(path + " cannot be made, since there is no " + above + "; run: mkdir -p " + above + ", or name another state_path");
}

void check_state_path(const SectionReader& reader, const FileSystemProbe& probe, Plan& plan) {
  plan.state_path = "/var/lib/evercert";
  reader.read_absolute_path("state_path", plan.state_path);
  while (plan.state_path.size() > 1 && plan.state_path.ends_with('/')) plan.state_path.pop_back();
  const Setting* const setting = reader.find("state_path");
  bool forced = false;
  if (setting != nullptr && setting->words.size() > 1) {
    forced = setting->words[1] == "force";
    if (!forced)
      reader.blame(*setting, "state_path: the second word " + in_quotes(setting->words[1]) + " is unknown; write PATH [force]");
  }
  if (probe) check_can_be_made(reader, plan.state_path);
  if (forced || !probe) return;
  if (const auto network = probe(plan.state_path))
    reader.error("state_path",
                 "state_path: " + plan.state_path + " lies on a network file system (" + *network +
                     "), where locks may not hold and two agents could order twice; choose a local directory, or " +
                     "write state_path " + plan.state_path + " force if you trust its locks");
}

void read_exports(const SectionReader& reader, Plan& plan) {
  ExportSpec& wanted = plan.exports;
  reader.read_absolute_path("export_path", wanted.path);
  reader.read_absolute_path("runtime_api", wanted.runtime_api);
  reader.read_absolute_path("master_cli", wanted.master_cli);
  if (reader.find("hook") != nullptr) wanted.hook = reader.words("hook");
  while (wanted.path.size() > 1 && wanted.path.ends_with('/')) wanted.path.pop_back();
  if (!wanted.hook.empty() && !wanted.hook.front().starts_with('/'))
    reader.error("hook", "hook: " + wanted.hook.front() + " is no absolute path; write the whole path of the command");
  for (const char* const option : {"runtime_api", "master_cli"})
    if (wanted.path.empty() && reader.find(option) != nullptr)
      reader.error(option, std::string(option) + " does something after certificates were exported; write export_path, too");
  const Setting* const listen = reader.find("http_listen");
  if (listen == nullptr) return;
  auto address = parse_proof_addresses({listen->words.front()});
  if (address && address->size() == 1 && address->front().unix_path.empty())
    plan.http_listen = listen->words.front();
  else
    reader.blame(*listen, "http_listen: " + listen->words.front() + " is no address and port; write one like 127.0.0.1:8402");
}

// Whoever tests a configuration may not see what the agent's user sees.
void check_command(const SectionReader& reader, std::string_view option, const std::string& path, const std::string& until) {
  struct stat facts {};
  const bool there = ::stat(path.c_str(), &facts) == 0;
  if (!path.starts_with('/') || (!there && errno != ENOENT && errno != ENOTDIR)) return;
  if (!there)
    reader.warning(option, std::string(option) + ": there is no " + path + "; " + until + " it is, so correct the path");
  else if (!S_ISREG(facts.st_mode) || (facts.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
    reader.warning(option,
                   std::string(option) + ": " + path + " cannot be executed; " + until + " it can (chmod a+x " + path + ")");
}

}  // namespace

void check_commands(const Section& section, const Plan& plan, std::vector<Complaint>& complaints) {
  const SectionReader reader(section, complaints);
  if (!plan.exports.hook.empty())
    check_command(reader, "hook", plan.exports.hook.front(), "nothing is told of new certificates until");
  check_command(reader, "dns_program", plan.dns.program, "no record is written by it, and no name proved, until");
  if (!plan.agent_user.empty() && ::getpwnam(plan.agent_user.c_str()) == nullptr)
    reader.error("agent_user", "agent_user: the user " + in_quotes(plan.agent_user) + " does not exist; name another");
}

ProofDefaults check_global(const Section& section, const FileSystemProbe& probe, Plan& plan,
                           std::vector<Complaint>& complaints) {
  const SectionReader reader(section, complaints);
  check_state_path(reader, probe, plan);
  plan.program = "/usr/bin/evercert";
  reader.read_absolute_path("program", plan.program);
  plan.pem_path = "/run/evercert/haproxy";
  reader.read_absolute_path("pem_path", plan.pem_path);
  while (plan.pem_path.size() > 1 && plan.pem_path.ends_with('/')) plan.pem_path.pop_back();
  read_exports(reader, plan);
  reader.read_word("agent_user", plan.agent_user);
  reader.read_word("server", plan.server);
  if (const Setting* const export_path = reader.find("export_path"))
    plan.exports.written = spell(*export_path->option, spelling_of(plan.server, export_path->place)) +
                           (export_path->place.file.ends_with(".json") ? " in " + export_path->place.text() : "");
  reader.read_port("http_port", plan.http_port);
  reader.read_port("tls_port", plan.tls_port);
  reader.read_number("cache_size", 1, 1U << 20, plan.cache_size);
  if (reader.find("shared_zone") != nullptr)
    reader.warning("shared_zone", "shared_zone is not needed and does nothing here; it can be removed");
  if (const Setting* const include = reader.find("include"))
    reader.blame(*include, "include: " + in_quotes(include->words[0]) + " was not read; only a front end or a file reader can");
  ProofDefaults defaults;
  reader.read_proof(defaults.proof, defaults.addresses);
  return defaults;
}

}  // namespace evercert
