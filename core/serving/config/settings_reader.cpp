#include "serving/config/settings_reader.h"

#include <algorithm>
#include <filesystem>

#include "serving/config/words.h"

namespace evercert {

namespace {

bool is_switch(const Option& option) {
  return option.kind == ValueKind::flag || option.kind == ValueKind::switch_on_off;
}

// What JSON a setting wants, for refusals.
std::string wanted(const Option* option) {
  if (option == nullptr) return "a string";
  if (is_switch(*option)) return "true or false";
  if (option->kind == ValueKind::number) return option->max_words == 1 ? "a number" : "numbers";
  return option->max_words == 1 ? "a string" : "a string or an array of strings";
}

}  // namespace

unsigned LineCounter::line() {
  // The character read last may be the line's own end.
  const char* const last = reached_ > counted_ ? reached_ - 1 : counted_;
  line_ += static_cast<unsigned>(std::count(counted_, last, '\n'));
  counted_ = last;
  return line_;
}

SettingsReader::SettingsReader(Settings& settings, LineCounter& lines, std::string file, Include include)
    : settings_(settings), lines_(lines), file_(std::move(file)), include_(std::move(include)) {
  std::error_code ignored;
  directory_ = std::filesystem::absolute(file_, ignored).parent_path().string();
  if (settings_.global.place.file.empty()) settings_.global.place = {file_, 0};
}

bool SettingsReader::fail(unsigned line, const std::string& sentence) {
  if (!error_) error_ = configuration_error(place(line).text() + ": " + sentence);
  return false;
}

std::string SettingsReader::absolute(const std::string& path) const {
  return path.starts_with('/') ? path : directory_ + "/" + path;
}

Section& SettingsReader::section() {
  switch (scope()) {
    case Scope::issuer:
      return settings_.issuers.back();
    case Scope::certificate:
      return settings_.certificates.back();
    default:
      return settings_.global;
  }
}

Scope SettingsReader::scope() const {
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    if (*level == Level::issuer) return Scope::issuer;
    if (*level == Level::certificate) return Scope::certificate;
  }
  return Scope::global;
}

bool SettingsReader::misplaced(const std::string& found) {
  switch (levels_.back()) {
    case Level::document:
      return fail("the file holds " + found + " where it must hold an object; write { \"issuers\": ... }");
    case Level::issuers:
      return fail("issuer " + in_quotes(member_) + " is " + found + "; write an object with its options");
    case Level::certificates:
      return fail("\"certificates\" holds " + found + "; write an object for each certificate");
    default:
      break;
  }
  if (member_ == "issuers" && levels_.back() == Level::global)
    return fail("\"issuers\" is " + found + "; write an object with one member per issuer, named as the issuer");
  if (member_ == "certificates" && levels_.back() == Level::global)
    return fail("\"certificates\" is " + found + "; write an array with one object per certificate");
  return fail(in_quotes(member_) + " is " + found + "; write " + wanted(find_option(scope(), member_)));
}

bool SettingsReader::finish_setting() {
  if (member_ == "$schema") return true;
  if (scope() == Scope::global && member_ == "include") {
    for (const std::string& path : words_)
      if (const auto read = include_(absolute(path)); !read) {
        error_ = read.error();
        return false;
      }
    return true;
  }
  const auto done = set(section(), scope(), member_, words_, place(member_line_));
  if (!done) return fail(member_line_, done.error().message);
  anchor_paths(section().settings.back(), directory_);
  return true;
}

bool SettingsReader::word(std::string text) {
  if (levels_.back() == Level::words) {
    words_.push_back(std::move(text));
    return true;
  }
  words_.clear();
  words_.push_back(std::move(text));
  return finish_setting();
}

bool SettingsReader::number(std::string text) {
  const Level level = levels_.back();
  const bool expected =
      level == Level::global || level == Level::issuer || level == Level::certificate || level == Level::words;
  const Option* const option = expected ? find_option(scope(), member_) : nullptr;
  if (option == nullptr || option->kind != ValueKind::number) return misplaced("a number");
  return word(std::move(text));
}

bool SettingsReader::null() {
  return misplaced("null");
}

bool SettingsReader::boolean(bool value) {
  const Level level = levels_.back();
  const bool expected = level == Level::global || level == Level::issuer || level == Level::certificate;
  const Option* const option = expected ? find_option(scope(), member_) : nullptr;
  if (option == nullptr || !is_switch(*option)) return misplaced(value ? "true" : "false");
  return word(value ? "on" : "off");
}

bool SettingsReader::number_integer(number_integer_t value) {
  return number(std::to_string(value));
}

bool SettingsReader::number_unsigned(number_unsigned_t value) {
  return number(std::to_string(value));
}

bool SettingsReader::number_float(number_float_t, const string_t& text) {
  return number(text);
}

bool SettingsReader::string(string_t& value) {
  const Level level = levels_.back();
  if (level == Level::document || level == Level::issuers || level == Level::certificates) return misplaced("a string");
  if (level == Level::global && (member_ == "issuers" || member_ == "certificates")) return misplaced("a string");
  const Option* const option = find_option(scope(), member_);
  if (option != nullptr && (option->kind == ValueKind::number || is_switch(*option)))
    return fail(in_quotes(member_) + " is a string; write " + wanted(option) + ", without quotes");
  return word(std::move(value));
}

bool SettingsReader::binary(binary_t&) {
  return misplaced("binary");
}

bool SettingsReader::start_object(std::size_t) {
  switch (levels_.back()) {
    case Level::document:
      levels_.push_back(Level::global);
      if (settings_.global.place.file == file_) settings_.global.place.line = lines_.line();
      break;
    case Level::global:
      if (member_ != "issuers") return misplaced("an object");
      levels_.push_back(Level::issuers);
      break;
    case Level::issuers:
      settings_.issuers.push_back({member_, place(member_line_), {}});
      levels_.push_back(Level::issuer);
      break;
    case Level::certificates:
      settings_.certificates.push_back({"", place(lines_.line()), {}});
      levels_.push_back(Level::certificate);
      break;
    default:
      return misplaced("an object");
  }
  members_.emplace_back();
  return true;
}

bool SettingsReader::known_member(const std::string& name) {
  if (levels_.back() == Level::issuers || find_option(scope(), name) != nullptr) return true;
  if (levels_.back() != Level::global) return false;
  return name == "issuers" || name == "certificates" || name == "$schema";
}

bool SettingsReader::key(string_t& name) {
  member_ = name;
  member_line_ = lines_.line();
  if (!known_member(name)) {
    // set() knows the nearest option.
    Section unused;
    const auto refused = set(unused, scope(), name, {}, place(member_line_));
    const std::string sentence = refused ? "there is no option " + in_quotes(name) : refused.error().message;
    const std::string nearest = levels_.back() == Level::global ? did_you_mean(name, {"issuers", "certificates"}, "") : "";
    return fail(member_line_, nearest.empty() ? sentence : "there is no option " + in_quotes(name) + nearest);
  }
  if (!members_.back().insert(name).second) return fail(member_line_, in_quotes(name) + " is given twice; remove one");
  return true;
}

bool SettingsReader::end_object() {
  levels_.pop_back();
  members_.pop_back();
  return true;
}

bool SettingsReader::start_array(std::size_t) {
  const Level level = levels_.back();
  if (level == Level::global && member_ == "certificates") {
    levels_.push_back(Level::certificates);
    return true;
  }
  const bool setting = level == Level::global || level == Level::issuer || level == Level::certificate;
  const Option* const option = setting ? find_option(scope(), member_) : nullptr;
  if (option == nullptr || is_switch(*option)) return misplaced("an array");
  words_.clear();
  levels_.push_back(Level::words);
  return true;
}

bool SettingsReader::end_array() {
  const bool was_words = levels_.back() == Level::words;
  levels_.pop_back();
  return !was_words || finish_setting();
}

bool SettingsReader::parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& failure) {
  // "[…] parse error at …: syntax error while parsing … - REASON; last read: '…'", where what it read may be a secret.
  std::string sentence = failure.what();
  if (const std::size_t end = sentence.find("; last read"); end != std::string::npos) sentence.erase(end);
  if (const std::size_t begin = sentence.find(" - "); begin != std::string::npos) sentence.erase(0, begin + 3);
  if (sentence.find("number overflow") != std::string::npos) sentence = "a number is too large";
  return fail("this is not valid JSON: " + sentence);
}

}  // namespace evercert
