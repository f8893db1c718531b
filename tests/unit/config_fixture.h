// What the tests of the configuration share: settings from text, complaints by a word in them, files made up in memory.
#pragma once

#include <cppunit/extensions/HelperMacros.h>

#include <algorithm>
#include <map>
#include <string>

#include "evercert/plan.h"
#include "serving/config/check.h"

namespace evercert::test {

class MadeUpFiles : public FileSource {
 public:
  std::map<std::string, std::string> files;
  Result<Secret> read(const std::string& path, Care) override {
    const auto found = files.find(path);
    if (found == files.end()) return Error{ErrorKind::configuration, "cannot read " + path + ": No such file or directory"};
    return Secret::from_text(found->second);
  }
};

inline Settings settings_of(const std::string& json) {
  Settings settings;
  const auto read = read_settings_text(settings, json, "/etc/evercert/evercert.json");
  CPPUNIT_ASSERT_MESSAGE(read ? "" : read.error().message, read.has_value());
  return settings;
}

inline std::string refusal_of(const std::string& json) {
  Settings settings;
  const auto read = read_settings_text(settings, json, "/etc/evercert/evercert.json");
  CPPUNIT_ASSERT_MESSAGE("must be refused: " + json, !read);
  CPPUNIT_ASSERT(read.error().kind == ErrorKind::configuration);
  return read.error().message;
}

inline void assert_contains(const std::string& text, const std::string& part) {
  CPPUNIT_ASSERT_MESSAGE("\"" + text + "\" should contain \"" + part + "\"", text.find(part) != std::string::npos);
}

inline std::string all_of(const Checked& checked) {
  std::string text;
  for (const Complaint& complaint : checked.complaints)
    text += complaint.place.text() + " [" + complaint.option + "] " + complaint.message + "\n";
  return text;
}

inline Checked checked(const Settings& settings, FileSource& files) {
  return check_with(settings, files, FileSystemProbe());
}

inline Checked checked(const std::string& json) {
  MadeUpFiles files;
  return checked(settings_of(json), files);
}

inline Plan plan_of(const std::string& json) {
  Checked result = checked(json);
  CPPUNIT_ASSERT_MESSAGE(all_of(result), result.plan.has_value());
  return std::move(*result.plan);
}

// Exactly one complaint, about that option at that line, with that text in it.
inline void assert_one(const Checked& checked, Complaint::Severity severity, const std::string& option, unsigned line,
                       const std::string& part) {
  CPPUNIT_ASSERT_EQUAL_MESSAGE(all_of(checked), std::size_t{1}, checked.complaints.size());
  const Complaint& complaint = checked.complaints[0];
  assert_contains(complaint.message, part);
  CPPUNIT_ASSERT_MESSAGE(complaint.message, complaint.severity == severity);
  CPPUNIT_ASSERT_EQUAL_MESSAGE(complaint.message, option, complaint.option);
  CPPUNIT_ASSERT_EQUAL_MESSAGE(complaint.message, line, complaint.place.line);
  CPPUNIT_ASSERT(checked.plan.has_value() == (severity == Complaint::Severity::warning));
}

inline void assert_error(const Checked& checked, const std::string& option, unsigned line, const std::string& part) {
  assert_one(checked, Complaint::Severity::error, option, line, part);
}

inline void assert_warning(const Checked& checked, const std::string& option, unsigned line, const std::string& part) {
  assert_one(checked, Complaint::Severity::warning, option, line, part);
}

// A document whose line 1 defines the issuer "ca", with more of its members on line 2, and with certificates on line 3,
// or one that nothing is wrong with.
inline std::string document(const std::string& issuer_members, const std::string& certificates,
                            const std::string& global_members = "") {
  return R"({ "issuers": { "ca": { "uri": "https://ca.example/directory", "accept_terms_of_service": true)"
         "\n" +
         issuer_members + " } },\n\"certificates\": [" +
         (certificates.empty() ? R"({ "identifiers": "some.example" })" : certificates) + "]\n" + global_members + "}";
}

}  // namespace evercert::test
