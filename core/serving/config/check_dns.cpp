// The options about DNS: who takes updates under which key, which resolvers are asked.
#include <algorithm>
#include <array>

#include "serving/base/encoding.h"
#include "serving/config/check.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

constexpr std::array<std::string_view, 3> algorithms{"hmac-sha256", "hmac-sha512", "hmac-sha1"};

// The words and marks of a key file as named.conf(5) writes them, without comments.
std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      ++at;
    } else if (c == '#' || text.substr(at, 2) == "//") {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.substr(at, 2) == "/*") {
      const auto end = text.find("*/", at + 2);
      at = end == std::string_view::npos ? text.size() : end + 2;
    } else if (c == '{' || c == '}' || c == ';') {
      tokens.emplace_back(1, c);
      ++at;
    } else if (c == '"') {
      const auto end = std::min(text.find('"', at + 1), text.size());
      tokens.emplace_back(text.substr(at + 1, end - at - 1));
      at = std::min(end + 1, text.size());
    } else {
      const auto end = std::min(text.find_first_of(" \t\r\n{};\"", at), text.size());
      tokens.emplace_back(text.substr(at, end - at));
      at = end;
    }
  }
  return tokens;
}

std::string domain_of(std::string_view word) {
  std::string domain(word);
  std::transform(domain.begin(), domain.end(), domain.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  while (domain.ends_with('.')) domain.pop_back();
  return domain;
}

bool is_domain(std::string_view domain) {
  return !domain.empty() && domain.size() < 254 && domain.find("..") == std::string_view::npos && domain.front() != '.' &&
         std::all_of(domain.begin(), domain.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
         });
}

Result<TsigKey> parse_key_file(std::string_view content, const std::string& path) {
  std::vector<std::string> tokens = tokens_of(content);
  TsigKey key;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i] == "key" && key.name.empty()) key.name = domain_of(tokens[i + 1]);
    if (tokens[i] == "algorithm") key.algorithm = domain_of(tokens[i + 1]);
    if (tokens[i] == "secret") key.secret = Secret::from_text(tokens[i + 1]);
  }
  const bool readable = from_base64(key.secret.text()).has_value() && !key.secret.empty();
  for (std::string& token : tokens) wipe(token);
  if (!is_domain(key.name) || !readable)
    return configuration_error(path + " holds no TSIG key; write it with: tsig-keygen NAME > " + path);
  if (std::find(algorithms.begin(), algorithms.end(), key.algorithm) == algorithms.end())
    return configuration_error(path + " holds a key for " + in_quotes(key.algorithm) +
                               ", which cannot be used here; use hmac-sha256 (tsig-keygen writes that)");
  return key;
}

class DnsReading {
 public:
  DnsReading(const Section& section, FileSource& files, std::vector<Complaint>& complaints)
      : reader_(section, complaints), files_(files) {}

  DnsSettings read() {
    for (const Setting& setting : reader_.section().settings) {
      if (setting.option->name == "dns_update") read_updates(setting);
      if (setting.option->name == "resolver") read_resolvers(setting);
    }
    reader_.read_absolute_path("dns_program", dns_.program);
    reader_.read_port("dns_port", dns_.port);
    if (const Setting* const setting = reader_.find("dns_propagation")) read_propagation(*setting);
    return std::move(dns_);
  }

 private:
  void read_updates(const Setting& setting) {
    const auto& words = setting.words;
    if (words.size() % 3 != 0)
      return reader_.blame(setting,
                           "dns_update takes three words for each zone; write: dns_update ZONE|* SERVER[:PORT] KEYFILE");
    for (std::size_t i = 0; i < words.size(); i += 3) {
      DnsUpdate update;
      update.zone = words[i] == "*" ? "" : domain_of(words[i]);
      if (words[i] != "*" && !is_domain(update.zone))
        return reader_.blame(setting,
                             "dns_update: " + in_quotes(words[i]) + " is no zone; write its name, or * for every zone");
      const bool twice = std::any_of(dns_.updates.begin(), dns_.updates.end(),
                                     [&](const DnsUpdate& known) { return known.zone == update.zone; });
      if (twice) return reader_.blame(setting, "dns_update names the zone " + in_quotes(words[i]) + " twice; remove one");
      auto server = parse_dns_server(words[i + 1]);
      if (!server) return reader_.blame(setting, "dns_update: " + server.error().message);
      update.server = *server;
      auto content = files_.read(words[i + 2], FileSource::Care::secret);
      if (!content) return reader_.blame(setting, "dns_update: " + content.error().message);
      auto key = parse_key_file(content->text(), words[i + 2]);
      if (!key) return reader_.blame(setting, "dns_update: " + key.error().message);
      update.key = std::move(*key);
      dns_.updates.push_back(std::move(update));
    }
  }

  void read_resolvers(const Setting& setting) {
    for (const std::string& word : setting.words) {
      auto server = parse_dns_server(word);
      if (!server) return reader_.blame(setting, "resolver: " + server.error().message);
      dns_.resolvers.push_back(std::move(*server));
    }
  }

  void read_propagation(const Setting& setting) {
    constexpr unsigned longest = 3600;
    if (setting.words[0] == "off") {
      dns_.propagation = std::chrono::seconds(0);
      return;
    }
    const auto seconds = parse_number(setting.words[0], 1, longest);
    if (!seconds) return reader_.blame(setting, "dns_propagation: " + seconds.error().message + ", or off");
    dns_.propagation = std::chrono::seconds(*seconds);
  }

  SectionReader reader_;
  FileSource& files_;
  DnsSettings dns_;
};

}  // namespace

DnsSettings check_dns(const Section& section, FileSource& files, std::vector<Complaint>& complaints) {
  return DnsReading(section, files, complaints).read();
}

}  // namespace evercert
