#include "agent/commercial/rest.h"

#include <openssl/bn.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <ctime>

#include "agent/net/address.h"
#include "evercert/text.h"
#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"

namespace evercert {
namespace {

constexpr int too_many_requests = 429;
// Orders have been seen to take longer than two minutes.
constexpr std::chrono::seconds longest_placing{300};

bool is_web_page(std::string_view body) {
  const auto first = body.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && body[first] == '<';
}

std::string title_of(std::string_view page) {
  const auto begin = page.find("<title>");
  const auto end = page.find("</title>");
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return "";
  return std::string(page.substr(begin + 7, end - begin - 7));
}

std::string lower_digits(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c >= 'A' && c <= 'F') digits += static_cast<char>(c - 'A' + 'a');
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) digits += c;
  }
  const auto first = digits.find_first_not_of('0');
  return first == std::string::npos ? "" : digits.substr(first);
}

std::string time_text(std::chrono::system_clock::time_point time, const char* format) {
  const std::time_t whole = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

}  // namespace

RestClient::RestClient(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock,
                       std::vector<const Secret*> secrets)
    : name_(spec.name),
      base_(spec.uri.ends_with('/') ? spec.uri : spec.uri + "/"),
      timeout_(spec.timeout),
      http_(std::move(http)),
      clock_(clock),
      secrets_(std::move(secrets)) {}

std::string RestClient::quoted(std::string_view said) const {
  std::string text(said);
  for (const Secret* secret : secrets_) {
    if (secret->empty()) continue;
    for (auto at = text.find(secret->text()); at != std::string::npos; at = text.find(secret->text())) {
      text.replace(at, secret->text().size(), "...");
    }
  }
  return printable(text, longest_quote);
}

Error RestClient::refused(ErrorKind kind, const std::string& what, std::string_view said) const {
  return {kind, who() + " did not " + what + ": " + quoted(said)};
}

Result<RestAnswer> RestClient::send(const RestRequest& request) {
  HttpRequest http;
  http.method = request.method;
  const bool whole = request.path.starts_with("https://") || request.path.starts_with("http://");
  http.uri = whole ? request.path : base_ + request.path;
  if (auto usable = check_address(http.uri, base_, who(), request.what); !usable) return usable.error();
  http.headers = request.headers;
  http.headers.emplace_back("Accept", "application/json");
  http.own_connection = request.effect != RestRequest::Effect::reads;
  if (request.effect == RestRequest::Effect::places) http.timeout = std::max(longest_placing, timeout_);
  if (!request.form.empty()) {
    http.content_type = "application/x-www-form-urlencoded";
    http.body = request.form;
  } else if (!request.json.is_null()) {
    http.content_type = "application/json; charset=utf-8";
    http.body = dump_json(request.json);
  }
  auto response = http_->send(http);
  wipe(http.body);
  if (!response) return response.error().with_prefix(who() + " did not " + request.what);
  return read(request, std::move(*response));
}

Result<RestAnswer> RestClient::read(const RestRequest& request, HttpResponse response) const {
  const auto failed = [&](ErrorKind kind, const std::string& said) {
    Error error = refused(kind, request.what, said);
    error.retry_after = retry_after_of(response, clock_.now());
    return error;
  };
  if (response.status == too_many_requests) return failed(ErrorKind::rate_limited, "too many requests (429)");
  const std::string status = "HTTP status " + std::to_string(response.status);
  if (is_web_page(response.body)) {
    const std::string title = title_of(response.body);
    Error error =
        failed(ErrorKind::connection, status + " with a web page instead of JSON" + (title.empty() ? "" : ": " + title) +
                                          "; is the address right, or is the CA under maintenance?");
    error.problem = std::make_shared<const Problem>(Problem{not_the_interface, "", "", {}});
    return error;
  }
  RestAnswer answer{response.status, nullptr, {}};
  if (const auto date = date_of_answer(response)) {
    answer.clock_gap = std::chrono::seconds(*date - std::chrono::system_clock::to_time_t(clock_.now()));
  }
  if (request.text && answer.good()) {
    answer.text = std::move(response.body);
    return answer;
  }
  if (!response.body.empty()) {
    auto json = parse_json(response.body, "its answer");
    if (!json) return failed(ErrorKind::connection, status + ", but its answer is incomplete or no JSON");
    answer.json = std::move(*json);
  }
  constexpr int server_error = 500;
  if (response.status < server_error) return answer;
  return failed(ErrorKind::connection, status + (answer.json.is_null() ? "" : ": " + dump_json(answer.json)));
}

std::int64_t loose_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string loose_text(const Json& object, std::string_view member) {
  if (!object.is_object()) return "";
  const auto found = object.find(std::string(member));
  if (found == object.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_boolean()) return found->get<bool>() ? "1" : "0";
  return found->is_number() ? found->dump() : "";
}

const Json& member_of(const Json& object, std::string_view member) {
  static const Json nothing = Json::object();
  if (!object.is_object()) return nothing;
  const auto found = object.find(std::string(member));
  return found == object.end() || found->is_null() ? nothing : *found;
}

std::string pem_of_request(BytesView der) {
  constexpr std::size_t line = 64;
  const std::string text = to_base64(der);
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (std::size_t at = 0; at < text.size(); at += line) pem += text.substr(at, line) + "\n";
  return pem + "-----END CERTIFICATE REQUEST-----\n";
}

std::string date_of(std::chrono::system_clock::time_point time) {
  return time_text(time, "%Y-%m-%d");
}

std::optional<std::chrono::system_clock::time_point> day_of(const std::string& text) {
  std::tm parts{};
  if (strptime(text.c_str(), "%Y-%m-%d", &parts) == nullptr) return std::nullopt;
  return moment_of(timegm(&parts));
}

std::string zoned_time_of(std::chrono::system_clock::time_point time) {
  return time_text(time, "%Y-%m-%dT%H:%M:%S+00:00");
}

std::string form_field(std::string_view text) {
  constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
  std::string field;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      field += c;
    } else {
      const auto byte = static_cast<std::uint8_t>(c);
      field += "%" + to_hex({&byte, 1});
    }
  }
  return field;
}

bool same_serial(const std::string& serial, std::string_view theirs) {
  const std::string ours = lower_digits(serial);
  const std::string digits = lower_digits(theirs);
  if (ours.empty() || digits.empty()) return false;
  if (digits == ours) return true;
  if (digits.find_first_not_of("0123456789") != std::string::npos) return false;
  BIGNUM* read = nullptr;
  BN_dec2bn(&read, digits.c_str());
  const BigNumberHandle number(read);
  const std::unique_ptr<char, Releaser<release_text>> hex(number ? BN_bn2hex(number.get()) : nullptr);
  return hex && lower_digits(hex.get()) == ours;
}

std::string mark_of(const Wanted& wanted) {
  return "evercert-" + wanted.reference;
}

std::string without_semicolons(std::string text) {
  std::replace(text.begin(), text.end(), ';', ',');
  return text;
}

bool contains_word(std::string_view text, std::string_view word) {
  const auto same = [](char left, char right) {
    return std::tolower(static_cast<unsigned char>(left)) == std::tolower(static_cast<unsigned char>(right));
  };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

}  // namespace evercert
