#include "serving/config/check.h"

#include <algorithm>
#include <map>

#include "serving/config/words.h"

namespace evercert {

const Setting* SectionReader::find(std::string_view option) const {
  return find_setting(section_, option);
}

std::vector<std::string> SectionReader::words(std::string_view option) const {
  std::vector<std::string> all;
  for (const Setting& setting : section_.settings)
    if (setting.option->name == option) all.insert(all.end(), setting.words.begin(), setting.words.end());
  return all;
}

void SectionReader::complain(Complaint::Severity severity, std::string_view option, std::string message) const {
  const Setting* const setting = option.empty() ? nullptr : find(option);
  complaints_.push_back({severity, setting != nullptr ? setting->place : section_.place, std::string(option),
                         std::move(message), setting != nullptr ? setting->option->scope : scope_of(option)});
}

// That of the block's settings, or the first that knows the option.
Scope SectionReader::scope_of(std::string_view option) const {
  if (!section_.settings.empty()) return section_.settings.front().option->scope;
  for (const Scope scope : {Scope::global, Scope::issuer})
    if (find_option(scope, option) != nullptr) return scope;
  return Scope::certificate;
}

void SectionReader::error(std::string_view option, std::string message) const {
  complain(Complaint::Severity::error, option, std::move(message));
}

void SectionReader::warning(std::string_view option, std::string message) const {
  complain(Complaint::Severity::warning, option, std::move(message));
}

void SectionReader::blame(const Setting& setting, std::string message) const {
  complaints_.push_back({Complaint::Severity::error, setting.place, std::string(setting.option->name), std::move(message),
                         setting.option->scope});
}

bool SectionReader::lacks_dns(const DnsSettings& dns) const {
  return dns.updates.empty() && dns.program.empty() && !was_refused(complaints_, "dns_update") &&
         !was_refused(complaints_, "dns_program");
}

bool was_refused(const std::vector<Complaint>& complaints, std::string_view option) {
  return std::any_of(complaints.begin(), complaints.end(), [&](const Complaint& complaint) {
    return complaint.severity == Complaint::Severity::error && complaint.option == option;
  });
}

void SectionReader::read_switch(std::string_view option, bool& value) const {
  const Setting* const setting = find(option);
  if (setting == nullptr) return;
  if (setting->words.empty()) {
    value = true;
    return;
  }
  const auto parsed = parse_switch(setting->words[0]);
  if (parsed)
    value = *parsed;
  else
    blame(*setting, std::string(option) + ": " + parsed.error().message);
}

void SectionReader::read_number(std::string_view option, unsigned least, unsigned most, unsigned& value) const {
  const Setting* const setting = find(option);
  if (setting == nullptr) return;
  const auto parsed = parse_number(setting->words[0], least, most);
  if (parsed)
    value = *parsed;
  else
    blame(*setting, std::string(option) + ": " + parsed.error().message);
}

void SectionReader::read_port(std::string_view option, std::uint16_t& value) const {
  unsigned number = value;
  read_number(option, 1, 65535, number);
  value = static_cast<std::uint16_t>(number);
}

void SectionReader::read_word(std::string_view option, std::string& value) const {
  const Setting* const setting = find(option);
  if (setting == nullptr) return;
  if (setting->words[0].empty())
    blame(*setting, std::string(option) + " is empty; write a value or remove it");
  else
    value = setting->words[0];
}

void SectionReader::read_absolute_path(std::string_view option, std::string& value) const {
  const Setting* const setting = find(option);
  if (setting == nullptr) return;
  if (setting->words[0].starts_with('/'))
    value = setting->words[0];
  else
    blame(*setting,
          std::string(option) + ": " + in_quotes(setting->words[0]) + " is no absolute path; write one that begins with /");
}

void SectionReader::read_proof(bool& proof, std::vector<ProofAddress>& addresses) const {
  read_switch("proof", proof);
  const Setting* const setting = find("proof_address");
  if (setting == nullptr) return;
  auto parsed = parse_proof_addresses(words("proof_address"));
  if (parsed)
    addresses = std::move(*parsed);
  else
    blame(*setting, "proof_address: " + parsed.error().message);
}

namespace {

// In the order of the operator's files: the files as they first come up, then lines.
void sort_by_place(const Settings& settings, std::vector<Complaint>& complaints) {
  std::map<std::string, std::size_t> order;
  const auto remember = [&](const Section& section) {
    order.try_emplace(section.place.file, order.size());
    for (const Setting& setting : section.settings) order.try_emplace(setting.place.file, order.size());
  };
  remember(settings.global);
  std::for_each(settings.issuers.begin(), settings.issuers.end(), remember);
  std::for_each(settings.certificates.begin(), settings.certificates.end(), remember);
  std::stable_sort(complaints.begin(), complaints.end(), [&](const Complaint& left, const Complaint& right) {
    return std::pair(order[left.place.file], left.place.line) < std::pair(order[right.place.file], right.place.line);
  });
}

bool has_errors(const std::vector<Complaint>& complaints) {
  return std::any_of(complaints.begin(), complaints.end(),
                     [](const Complaint& complaint) { return complaint.severity == Complaint::Severity::error; });
}

void check_issuers(const Settings& settings, FileSource& files, Plan& plan, std::vector<Complaint>& complaints) {
  std::map<std::string_view, const Section*> seen;
  for (const Section& section : settings.issuers) {
    const auto [earlier, fresh] = seen.try_emplace(section.name, &section);
    if (!fresh)
      SectionReader(section, complaints)
          .error("", "issuer " + in_quotes(section.name) + " is defined twice, first at " + earlier->second->place.text() +
                         "; give one another name or remove it");
    plan.issuers.push_back(check_issuer(section, plan.dns, files, complaints));
    plan.issuers.back().http_port = plan.http_port;
  }
}

// An option that has no effect on this server is refused where it can never have one there: whoever wrote it expects something.
// In a file that several servers may share it belongs to another of them.
void check_servers(const Section& section, unsigned server, std::vector<Complaint>& complaints) {
  for (const Setting& setting : section.settings) {
    const Option& option = *setting.option;
    if ((option.servers & server) != 0) continue;
    const bool shared = setting.place.file.ends_with(".json");
    const bool foreign = (option.servers & (on_nginx | on_apache)) == 0;
    const auto severity = shared || !foreign ? Complaint::Severity::warning : Complaint::Severity::error;
    complaints.push_back({severity, setting.place, std::string(option.name),
                          std::string(option.name) + " has no effect here: " + std::string(option.elsewhere) +
                              (severity == Complaint::Severity::error ? "; remove it" : "")});
  }
}

}  // namespace

Checked check_with(const Settings& settings, FileSource& files, const FileSystemProbe& probe) {
  Checked checked;
  Plan plan;
  const ProofDefaults defaults = check_global(settings.global, probe, plan, checked.complaints);
  plan.dns = check_dns(settings.global, files, checked.complaints);
  if (probe) check_commands(settings.global, plan, checked.complaints);
  check_issuers(settings, files, plan, checked.complaints);
  checked.certificates_of_section = check_certificates(settings, defaults, plan, checked.complaints);
  // Where files of ours say everything, one that says nothing is an oversight; told when nothing else is to be mended first.
  const bool all_in_ours = plan.server.empty() || plan.server.starts_with("HAProxy");
  if (checked.complaints.empty() && all_in_ours && settings.certificates.empty() &&
      settings.global.place.file.ends_with(".json"))
    SectionReader(settings.global, checked.complaints)
        .warning("",
                 "no certificate is named, so nothing is ordered or served; write \"certificates\": [ { \"identifiers\": "
                 "[\"NAME\"] } ]");
  for (Complaint& complaint : checked.complaints)
    complaint.message = spelled(complaint.message, plan.server, complaint.place, complaint.scope, complaint.option);
  if (!has_errors(checked.complaints)) checked.plan = std::move(plan);
  if (!checked.complaints.empty()) sort_by_place(settings, checked.complaints);
  return checked;
}

Checked check(const Settings& settings, FileSource& files, bool check_state_path) {
  // What was accepted from the operator's own files is not judged again by the agent that gets it.
  if (!check_state_path) return check_with(settings, files, FileSystemProbe());
  Checked checked = check_with(settings, files, FileSystemProbe(network_file_system_of));
  const auto named = std::find_if(settings.global.settings.begin(), settings.global.settings.end(),
                                  [](const Setting& setting) { return setting.option->name == "server"; });
  const unsigned server = server_bit(named == settings.global.settings.end() ? "" : named->words.front());
  const std::size_t before = checked.complaints.size();
  check_servers(settings.global, server, checked.complaints);
  for (const Section& section : settings.certificates) check_servers(section, server, checked.complaints);
  if (checked.complaints.size() == before) return checked;
  if (has_errors(checked.complaints)) checked.plan.reset();
  sort_by_place(settings, checked.complaints);
  return checked;
}

}  // namespace evercert
