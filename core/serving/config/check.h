// The parts of check(): one source file each for the global section, issuers and certificates. Each reads its section, adds
// what it complains of, and carries on, so that an operator sees all faults at once.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evercert/plan.h"
#include "serving/platform/file_system.h"

namespace evercert {

// A section with its settings in reach by name, and the list that complaints go to.
class SectionReader {
 public:
  SectionReader(const Section& section, std::vector<Complaint>& complaints) : section_(section), complaints_(complaints) {}

  [[nodiscard]] const Section& section() const { return section_; }
  // The first setting of that name, or nullptr.
  [[nodiscard]] const Setting* find(std::string_view option) const;
  // The words of all settings of that name.
  [[nodiscard]] std::vector<std::string> words(std::string_view option) const;

  // Blames the setting's own line, or the block's first line when it is absent.
  void error(std::string_view option, std::string message) const;
  void warning(std::string_view option, std::string message) const;
  void blame(const Setting& setting, std::string message) const;
  // That no way to write DNS records is there, and no line that was to be one.
  [[nodiscard]] bool lacks_dns(const DnsSettings& dns) const;

  // Each keeps `value` when the setting is absent or wrong; a wrong one is blamed.
  void read_switch(std::string_view option, bool& value) const;
  void read_number(std::string_view option, unsigned least, unsigned most, unsigned& value) const;
  void read_port(std::string_view option, std::uint16_t& value) const;
  void read_word(std::string_view option, std::string& value) const;
  void read_absolute_path(std::string_view option, std::string& value) const;
  void read_proof(bool& proof, std::vector<ProofAddress>& addresses) const;

 private:
  void complain(Complaint::Severity severity, std::string_view option, std::string message) const;
  [[nodiscard]] Scope scope_of(std::string_view option) const;
  const Section& section_;
  std::vector<Complaint>& complaints_;
};

// Whether what was written of an option was refused: it counts as written, and nothing is said that only its absence would
// mean.
bool was_refused(const std::vector<Complaint>& complaints, std::string_view option);

struct ProofDefaults {
  bool proof = true;
  std::vector<ProofAddress> addresses;
};

// `probe`: null when the file system below state_path is not to be looked at.
ProofDefaults check_global(const Section& section, const FileSystemProbe& probe, Plan& plan,
                           std::vector<Complaint>& complaints);

// Warns of commands that will be run later and are not there, or not executable.
void check_commands(const Section& section, const Plan& plan, std::vector<Complaint>& complaints);

// The global section's options about DNS.
DnsSettings check_dns(const Section& section, FileSource& files, std::vector<Complaint>& complaints);

// What an issuer of another type than acme needs beside it: fills challenges and purchase.
void check_purchase(const SectionReader& reader, FileSource& files, IssuerSpec& spec);

IssuerSpec check_issuer(const Section& section, const DnsSettings& dns, FileSource& files, std::vector<Complaint>& complaints);

// Warns of names that the server cannot match or that no public CA issues for; refuses addresses that no host has.
void check_names(const SectionReader& reader, const Plan& plan, const std::vector<Identifier>& identifiers,
                 const std::vector<std::string>& issuers);

// All certificates of the settings: reads, merges equal ones, compares claims. Fills the plan's certificates.
std::vector<std::vector<std::size_t>> check_certificates(const Settings& settings, const ProofDefaults& defaults, Plan& plan,
                                                         std::vector<Complaint>& complaints);

// check() with another eye for file systems; see check_state_path there.
Checked check_with(const Settings& settings, FileSource& files, const FileSystemProbe& probe);

}  // namespace evercert
