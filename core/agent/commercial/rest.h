// What the APIs of commercial CAs share: one JSON request, one JSON answer, and errors that say what to do. Used through
// RestApi (rest_api.h) by the CAs' own files, which hold only what differs. Rule: a request that changes something is never
// repeated here; who sent it looks first.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/issuer/issuer.h"
#include "agent/net/http_client.h"
#include "evercert/secret.h"
#include "serving/base/clock.h"
#include "serving/base/json.h"

namespace evercert {

struct RestRequest {
  std::string method = "POST";
  std::string path;     // below the base, or a whole address
  std::string what;     // for sentences: "track the order 123"
  Json json = nullptr;  // the body; null: none
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string form = {};  // the body instead of JSON, application/x-www-form-urlencoded
  bool text = false;      // a good answer is no JSON
  // What it does at the CA. Whatever changes something is sent once, over a connection of its own; `places`: an order or a
  // reissue, which a CA may work on for minutes before it answers.
  enum class Effect { reads, changes, places } effect = Effect::reads;
};

struct RestAnswer {
  int status = 0;
  Json json;         // null where there was no body
  std::string text;  // of a good answer that is no JSON
  // How far the CA's clock is ahead of ours, by its Date field.
  std::optional<std::chrono::seconds> clock_gap = std::nullopt;
  [[nodiscard]] bool good() const { return status >= 200 && status <= 299; }
};

// The type of the problem of an Error for an answer that the CA's interface does not give: the address may be wrong.
inline constexpr const char* not_the_interface = "urn:evercert:error:notInterface";

class RestClient {
 public:
  // `secrets` are blotted out of everything that is said about the CA's answers. They and the clock must outlive the client.
  RestClient(const IssuerSpec& spec, std::unique_ptr<HttpClient> http, const Clock& clock, std::vector<const Secret*> secrets);

  // Any status that came with JSON, or without a body, is an answer. Errors: connection (no answer, 5xx, a web page instead of
  // JSON, half an answer: what was asked for may have happened), rate_limited (429).
  Result<RestAnswer> send(const RestRequest& request);

  // "issuer NAME".
  [[nodiscard]] std::string who() const { return "issuer " + name_; }
  // What the CA said, as it may stand in a sentence: one line, cut, without secrets.
  [[nodiscard]] std::string quoted(std::string_view said) const;
  [[nodiscard]] Error refused(ErrorKind kind, const std::string& what, std::string_view said) const;
  [[nodiscard]] const Clock& clock() const { return clock_; }

 private:
  Result<RestAnswer> read(const RestRequest& request, HttpResponse response) const;

  const std::string name_;
  const std::string base_;
  const std::chrono::seconds timeout_;
  const std::unique_ptr<HttpClient> http_;
  const Clock& clock_;
  const std::vector<const Secret*> secrets_;
};

// The member as text whatever scalar it is; empty when absent, null or no scalar. CAs write numbers as texts and the reverse.
std::string loose_text(const Json& object, std::string_view member);
// The number that a text begins with; 0: none.
std::int64_t loose_number(std::string_view text);
// The object below a member, an empty one when there is none.
const Json& member_of(const Json& object, std::string_view member);

std::string pem_of_request(BytesView der);
// "2026-11-22".
std::string date_of(std::chrono::system_clock::time_point time);
// The day that a text begins with, "2026-11-22..."; nullopt: it begins otherwise.
std::optional<std::chrono::system_clock::time_point> day_of(const std::string& text);
// "2026-11-22T05:30:00+00:00".
std::string zoned_time_of(std::chrono::system_clock::time_point time);
std::string form_field(std::string_view text);  // application/x-www-form-urlencoded

// Whether a CA's notation of a serial number, hexadecimal or decimal, means the one of LeafFacts::serial.
bool same_serial(const std::string& serial, std::string_view theirs);

// Our mark in an order, to find it again: "evercert-" and the order's own reference.
std::string mark_of(const Wanted& wanted);

// For remarks: CERTInext refuses them with that sign.
std::string without_semicolons(std::string text);

bool contains_word(std::string_view text, std::string_view word);  // whatever the case

}  // namespace evercert
