// evercert.json, both ways: read_settings_file, read_settings_text, to_json.
#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "evercert/plan.h"
#include "evercert/settings.h"
#include "serving/config/settings_reader.h"
#include "serving/config/words.h"
#include "serving/platform/files.h"

namespace evercert {

namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::size_t deepest_include = 8;

// Tells the counter how far the parser has read.
class CountingIterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator() = default;
  CountingIterator(const char* at, LineCounter& counter) : at_(at), counter_(&counter) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    counter_->reach(++at_);
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_ = nullptr;
  LineCounter* counter_ = nullptr;
};

Result<Done> read_file_into(Settings& settings, const std::string& path, std::vector<std::string>& chain);

// `chain`: the files that are being read, outermost first.
Result<Done> read_text_into(Settings& settings, std::string_view json, const std::string& file,
                            std::vector<std::string>& chain) {
  LineCounter lines(json);
  SettingsReader reader(settings, lines, file, [&](const std::string& path) { return read_file_into(settings, path, chain); });
  const bool read =
      nlohmann::json::sax_parse(CountingIterator(json.data(), lines), CountingIterator(json.data() + json.size(), lines),
                                &reader, nlohmann::json::input_format_t::json, true, true);
  if (reader.error()) return *reader.error();
  if (!read) return configuration_error(file + ": this is not valid JSON");
  return Done{};
}

Result<Done> read_file_into(Settings& settings, const std::string& path, std::vector<std::string>& chain) {
  const std::string by = chain.empty() ? std::string() : " (included from " + chain.back() + ")";
  if (std::find(chain.begin(), chain.end(), path) != chain.end())
    return configuration_error(path + ": this file includes itself" + by + "; remove one include");
  if (chain.size() >= deepest_include)
    return configuration_error(path + ": files include each other more than " + std::to_string(deepest_include) + " deep" + by);
  const auto content = read_file(AT_FDCWD, path, largest_settings);
  if (!content) return configuration_error(content.error().message + by);
  if (!*content) return configuration_error(path + ": there is no such file" + by + "; check the path");
  const Bytes& bytes = **content;
  chain.push_back(path);
  auto done = read_text_into(settings, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, chain);
  chain.pop_back();
  return done;
}

OrderedJson word_to_json(const Option& option, const std::string& word) {
  if (option.kind == ValueKind::number)
    if (const auto number = parse_number(word, 0, 1U << 31)) return *number;
  if (option.kind == ValueKind::flag || option.kind == ValueKind::switch_on_off)
    if (const auto value = parse_switch(word)) return *value;
  return word;
}

OrderedJson section_to_json(const Section& section, Scope scope) {
  OrderedJson object = OrderedJson::object();
  if (scope == Scope::certificate && !section.name.empty()) object["name"] = section.name;
  for (const Setting& setting : section.settings) {
    const Option& option = *setting.option;
    if (option.name == "include") continue;
    OrderedJson& member = object[std::string(option.name)];
    if (option.repeatable && !member.is_array()) member = OrderedJson::array();
    if (option.kind == ValueKind::flag && setting.words.empty()) {
      member = true;
    } else if (!option.repeatable && setting.words.size() == 1) {
      member = word_to_json(option, setting.words[0]);
    } else {
      for (const std::string& word : setting.words) member.push_back(word_to_json(option, word));
    }
  }
  return object;
}

}  // namespace

Result<Done> read_settings_file(Settings& settings, const std::string& path) {
  std::vector<std::string> chain;
  return read_file_into(settings, path, chain);
}

Result<Done> read_settings_text(Settings& settings, std::string_view json, const std::string& file) {
  std::vector<std::string> chain{file};
  return read_text_into(settings, json, file, chain);
}

std::string to_json(const Settings& settings) {
  OrderedJson document = section_to_json(settings.global, Scope::global);
  OrderedJson& issuers = document["issuers"] = OrderedJson::object();
  for (const Section& issuer : settings.issuers) issuers[issuer.name] = section_to_json(issuer, Scope::issuer);
  OrderedJson certificates = OrderedJson::array();
  for (const Section& certificate : settings.certificates)
    certificates.push_back(section_to_json(certificate, Scope::certificate));
  document["certificates"] = std::move(certificates);
  return document.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace evercert
