// The receiving end of a JSON parser that fills Settings and knows the line of everything it is told.
// Used by read_settings_text only. After any call returned false, error() holds the sentence and reading must stop.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "evercert/settings.h"

namespace evercert {

// Where the parser is in the text: told by the iterators it reads through.
class LineCounter {
 public:
  explicit LineCounter(std::string_view text) : counted_(text.data()), reached_(text.data()) {}
  void reach(const char* position) { reached_ = position; }
  // The line of the character read last.
  unsigned line();

 private:
  const char* counted_;
  const char* reached_;
  unsigned line_ = 1;
};

class SettingsReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  using Include = std::function<Result<Done>(const std::string& path)>;

  SettingsReader(Settings& settings, LineCounter& lines, std::string file, Include include);

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(number_integer_t value) override;
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const string_t& text) override;
  bool string(string_t& value) override;
  bool binary(binary_t& value) override;
  bool start_object(std::size_t members) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t elements) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& failure) override;

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  enum class Level { document, global, issuers, issuer, certificates, certificate, words };

  bool fail(unsigned line, const std::string& sentence);
  bool fail(const std::string& sentence) { return fail(lines_.line(), sentence); }
  bool misplaced(const std::string& found);
  bool word(std::string text);
  bool number(std::string text);
  bool finish_setting();
  bool known_member(const std::string& name);
  Section& section();
  [[nodiscard]] Scope scope() const;
  [[nodiscard]] Place place(unsigned line) const { return {file_, line}; }
  [[nodiscard]] std::string absolute(const std::string& path) const;

  Settings& settings_;
  LineCounter& lines_;
  std::string file_;
  std::string directory_;
  Include include_;
  std::vector<Level> levels_{Level::document};
  std::vector<std::set<std::string>> members_;  // seen, per open object
  std::string member_;                          // whose value comes next
  unsigned member_line_ = 0;
  std::vector<std::string> words_;
  std::optional<Error> error_;
};

}  // namespace evercert
