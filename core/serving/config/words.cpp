#include "serving/config/words.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "evercert/text.h"
#include "serving/base/encoding.h"
#include "serving/config/environment.h"

namespace evercert {

namespace {

constexpr std::size_t shown = 80;

bool is_space(char character) {
  return character == ' ' || character == '\t' || character == '\r' || character == '\n';
}

bool is_scheme(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char character) {
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '+' || character == '-' || character == '.';
  });
}

struct HostPort {
  std::string host;
  std::string port;  // empty: none
};

// Splits "host:port", "[v6]:port", "host", "[v6]".
std::optional<HostPort> split_authority(std::string_view text) {
  HostPort result;
  std::string_view rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    result.host = std::string(text.substr(1, end - 1));
    in6_addr parsed{};
    if (::inet_pton(AF_INET6, result.host.c_str(), &parsed) != 1) return std::nullopt;
    rest = text.substr(end + 1);
  } else {
    const std::size_t colon = text.find(':');
    result.host = std::string(text.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (result.host.empty()) return std::nullopt;
  if (rest.empty()) return result;
  if (!rest.starts_with(':') || !parse_number(rest.substr(1), 1, 65535)) return std::nullopt;
  result.port = std::string(rest.substr(1));
  return result;
}

std::string dialled(const std::string& host) {
  if (host == "0.0.0.0" || host == "*") return "127.0.0.1";
  if (host == "::") return "::1";
  return host;
}

Result<ProofAddress> parse_proof_address(const std::string& word) {
  ProofAddress address;
  if (word.starts_with("unix:")) {
    address.unix_path = word.substr(5);
    // sockaddr_un holds 107 characters and a zero.
    if (!address.unix_path.starts_with('/') || address.unix_path.size() > 107)
      return configuration_error(in_quotes(word) + " is no absolute socket path of at most 107 characters; write unix:/PATH");
    return address;
  }
  if (const auto port = parse_number(word, 1, 65535)) {
    address.host = "127.0.0.1";
    address.port = static_cast<std::uint16_t>(*port);
    return address;
  }
  const auto parts = split_authority(word);
  if (!parts || has_control_characters(word) || std::any_of(word.begin(), word.end(), is_space))
    return configuration_error(in_quotes(word) +
                               " is no address; write ADDRESS:PORT (an IPv6 address in brackets), a port alone, or unix:PATH");
  address.host = dialled(parts->host);
  address.every = address.host != parts->host;
  if (!parts->port.empty()) address.port = static_cast<std::uint16_t>(*parse_number(parts->port, 1, 65535));
  return address;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& character : result)
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character - 'A' + 'a');
  return result;
}

std::string in_quotes(std::string_view word) {
  return '"' + printable(word, shown) + '"';
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

std::string enumerated(const std::vector<std::string>& words) {
  std::string result;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) result += i + 1 == words.size() ? " and " : ", ";
    result += words[i];
  }
  return result;
}

Error configuration_error(std::string message) {
  return {ErrorKind::configuration, std::move(message)};
}

std::vector<std::string> split_at_commas(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words) {
    std::size_t begin = 0;
    while (begin <= word.size()) {
      const std::size_t end = std::min(word.find(',', begin), word.size());
      if (end > begin) parts.push_back(word.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return parts;
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char character) {
    const auto byte = static_cast<unsigned char>(character);
    return byte < 0x20 || byte == 0x7f;
  });
}

Result<bool> parse_switch(std::string_view word) {
  if (word == "on") return true;
  if (word == "off") return false;
  return configuration_error(in_quotes(word) + " is neither on nor off");
}

Result<unsigned> parse_number(std::string_view word, unsigned least, unsigned most) {
  unsigned value = 0;
  const char* const end = word.data() + word.size();
  const auto [stopped, failure] = std::from_chars(word.data(), end, value);
  if (word.empty() || failure != std::errc() || stopped != end || value < least || value > most)
    return configuration_error(in_quotes(word) + " is not a whole number from " + std::to_string(least) + " to " +
                               std::to_string(most));
  return value;
}

Result<Uri> parse_uri(std::string_view text) {
  const auto refused = [&](const std::string& why) { return configuration_error(in_quotes(text) + " " + why); };
  // Not quoted: it may hold a password.
  if (text.find('@') != std::string_view::npos)
    return configuration_error("a URI with a user name or password in it is refused, they would show up in logs");
  if (has_control_characters(text) || std::any_of(text.begin(), text.end(), is_space))
    return refused("has white space or control characters in it");
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos || !is_scheme(text.substr(0, scheme_end)))
    return refused("is no absolute URI; write https://HOST/PATH");
  std::string_view rest = text.substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (text.find('#') != std::string_view::npos) return refused("has a fragment (#) in it, which is never sent; remove it");
  const auto parts = split_authority(authority);
  if (!parts) return refused("has no valid host and port");
  Uri uri{lower_case(text.substr(0, scheme_end)), lower_case(parts->host), 0};
  if (!parts->port.empty()) uri.port = static_cast<std::uint16_t>(*parse_number(parts->port, 1, 65535));
  return uri;
}

bool is_loopback(const std::string& host) {
  in_addr address{};
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && ::inet_pton(AF_INET, host.c_str(), &address) == 1);
}

Result<Done> check_issuer_uri(const std::string& text) {
  const auto uri = parse_uri(text);
  if (!uri) return uri.error();
  if (uri->scheme == "https") return Done{};
  if (uri->scheme != "http") return configuration_error(in_quotes(text) + " is no https URI; write https://HOST/PATH");
  if (is_loopback(uri->host)) return Done{};
  return configuration_error(in_quotes(text) +
                             " is plain http, which anybody on the way can change; write https:// (plain http is " +
                             "allowed on loopback only)");
}

Result<std::string> parse_contact(const std::string& text) {
  const auto refused = [&](const std::string& why) { return configuration_error(in_quotes(text) + " " + why); };
  if (text.empty() || has_control_characters(text) || std::any_of(text.begin(), text.end(), is_space))
    return refused("is no contact; write a mail address or a URI");
  const std::size_t colon = text.find(':');
  if (colon != std::string::npos && !is_scheme(std::string_view(text).substr(0, colon))) return refused("is no URI");
  const std::string uri = colon == std::string::npos ? "mailto:" + text : text;
  if (!lower_case(uri).starts_with("mailto:")) return uri;
  // RFC 8555 section 7.3: one address, no header fields.
  const std::string address = uri.substr(7);
  if (address.find_first_of(",?") != std::string::npos)
    return refused("holds more than one mail address; write each as a contact of its own");
  const std::size_t at = address.find('@');
  if (at == 0 || at == std::string::npos || at + 1 == address.size()) return refused("is no mail address");
  return uri;
}

Result<Secret> parse_hmac_key(std::string_view text) {
  std::string cleaned;
  cleaned.reserve(text.size());
  for (const char character : text) {
    if (is_space(character) || character == '=') continue;
    cleaned += character == '+' ? '-' : character == '/' ? '_' : character;
  }
  auto key = from_base64url(cleaned);
  std::fill(cleaned.begin(), cleaned.end(), '\0');
  if (!key) return configuration_error("the HMAC key is not base64url; copy it as the issuer printed it");
  if (key->empty()) return configuration_error("the HMAC key is empty; copy it as the issuer printed it");
  return Secret(std::move(*key));
}

bool names_environment(std::string_view secret) {
  return secret.starts_with(environment_prefix) || secret.starts_with(credential_prefix);
}

bool names_file(std::string_view account_key) {
  return account_key.find_first_of("/.") != std::string_view::npos || names_environment(account_key);
}

Result<std::vector<ProofAddress>> parse_proof_addresses(const std::vector<std::string>& words) {
  std::vector<ProofAddress> addresses;
  for (const std::string& word : words) {
    if (word == "proxy_protocol") {
      if (addresses.empty())
        return configuration_error("proxy_protocol stands before any address; write ADDRESS proxy_protocol");
      addresses.back().proxy_protocol = true;
      continue;
    }
    auto address = parse_proof_address(word);
    if (!address) return address.error();
    addresses.push_back(std::move(*address));
  }
  return addresses;
}

Result<DnsServer> parse_dns_server(const std::string& word) {
  in6_addr six{};
  if (::inet_pton(AF_INET6, word.c_str(), &six) == 1) return DnsServer{word};
  const auto parts = split_authority(word);
  in_addr four{};
  const bool address =
      parts && (::inet_pton(AF_INET, parts->host.c_str(), &four) == 1 || ::inet_pton(AF_INET6, parts->host.c_str(), &six) == 1);
  // A name would need the very resolvers that are set up here.
  if (!address)
    return configuration_error(in_quotes(word) +
                               " is no address; write the IP address of the name server, and :PORT if it is not 53");
  DnsServer server{parts->host};
  if (!parts->port.empty()) server.port = static_cast<std::uint16_t>(*parse_number(parts->port, 1, 65535));
  return server;
}

std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> before_last(to.size() + 1);
  std::vector<std::size_t> last(to.size() + 1);
  std::vector<std::size_t> current(to.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
      current[j] = std::min({last[j] + 1, current[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
        current[j] = std::min(current[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, current);
  }
  return last[to.size()];
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& known) {
  // A name of the DNS; nobody mistypes more than that.
  constexpr std::size_t longest_word = 253;
  if (word.size() > longest_word) return "";
  std::string nearest;
  std::size_t smallest = std::string::npos;
  for (const std::string& other : known) {
    const std::size_t far = edit_distance(word, other);
    if (far < smallest && far <= std::max<std::size_t>(1, other.size() / 3)) {
      smallest = far;
      nearest = other;
    }
  }
  return nearest;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, const std::string& otherwise) {
  const std::string near = nearest_word(word, known);
  return near.empty() ? otherwise : ", did you mean \"" + near + "\"?";
}

}  // namespace evercert
