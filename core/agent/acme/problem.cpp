#include "agent/acme/problem.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <initializer_list>

#include "agent/acme/order.h"
#include "evercert/text.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// A certificate has a hundred names at most CAs.
constexpr std::size_t subproblem_limit = 100;
// In a sentence: enough to see what they have in common. They share the room that one has for itself.
constexpr std::size_t subproblems_told = 5;

std::string text_or_empty(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? printable(found->get_ref<const std::string&>(), longest_quote)
                                                     : std::string();
}

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_validation_type(std::string_view type) {
  return one_of(type, {"dns", "connection", "tls", "incorrectResponse", "caa"});
}

std::optional<std::tm> date_at(std::string_view text) {
  std::tm date{};
  const std::string copy(text.substr(0, 19));
  for (const char* form : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"}) {
    date = {};
    const char* end = strptime(copy.c_str(), form, &date);
    if (end != nullptr && *end == '\0') return date;
  }
  return std::nullopt;
}

ErrorKind kind_of_status(int status) {
  if (status >= 500 || status == 408 || status == 429) return ErrorKind::connection;
  return ErrorKind::issuer_refused;
}

}  // namespace

std::optional<Problem> read_problem(std::string_view body) {
  auto json = parse_json(body, "a problem document");
  if (!json || !json->is_object()) return std::nullopt;
  Problem problem{text_or_empty(*json, "type"), text_or_empty(*json, "detail"), text_or_empty(*json, "instance"), {}};
  if (problem.type.empty() && problem.detail.empty()) return std::nullopt;
  const auto list = json->find("subproblems");
  if (list == json->end() || !list->is_array()) return problem;
  for (const auto& entry : *list) {
    if (!entry.is_object() || problem.subproblems.size() == subproblem_limit) continue;
    Problem::Subproblem sub{text_or_empty(entry, "type"), text_or_empty(entry, "detail"), ""};
    const auto identifier = entry.find("identifier");
    if (identifier != entry.end() && identifier->is_object()) sub.identifier = text_or_empty(*identifier, "value");
    problem.subproblems.push_back(std::move(sub));
  }
  return problem;
}

std::string_view acme_type(std::string_view type) {
  for (const std::string_view prefix : {"urn:ietf:params:acme:error:", "urn:acme:error:"}) {
    if (type.starts_with(prefix)) return type.substr(prefix.size());
  }
  return {};
}

bool is_problem(const Error& error, std::string_view type) {
  return error.problem && acme_type(error.problem->type) == type;
}

ErrorKind kind_of(const Problem& problem, ProblemOf of, int status) {
  const std::string_view type = acme_type(problem.type);
  if (is_validation_type(type)) return ErrorKind::challenge_failed;
  if (type == "unauthorized") return of == ProblemOf::validation ? ErrorKind::challenge_failed : ErrorKind::issuer_refused;
  if (type == "rateLimited") {
    // A name that failed too often for too long is held back until somebody follows the link in the detail.
    return problem.detail.find("temporarily prevented") == std::string::npos ? ErrorKind::rate_limited
                                                                             : ErrorKind::action_required;
  }
  if (one_of(type, {"userActionRequired", "externalAccountRequired", "invalidContact", "unsupportedContact"})) {
    return ErrorKind::action_required;
  }
  if (one_of(type, {"serverInternal", "badNonce"})) return ErrorKind::connection;
  if (one_of(type, {"accountDoesNotExist", "alreadyReplaced", "alreadyRevoked", "badCSR", "badPublicKey", "badRevocationReason",
                    "badSignatureAlgorithm", "invalidProfile", "malformed", "orderNotReady", "rejectedIdentifier",
                    "unsupportedIdentifier"})) {
    return ErrorKind::issuer_refused;
  }
  // compound and types that are not ACME's: what the parts say, then what the status says.
  for (const auto& sub : problem.subproblems) {
    if (is_validation_type(acme_type(sub.type))) return ErrorKind::challenge_failed;
    if (acme_type(sub.type) == "rateLimited") return ErrorKind::rate_limited;
  }
  return of == ProblemOf::validation ? ErrorKind::challenge_failed : kind_of_status(status);
}

Error refusal(const HttpResponse& response, const std::string& who, const std::string& what,
              std::chrono::system_clock::time_point now) {
  Error error;
  error.retry_after = retry_after_of(response, now);
  auto problem = read_problem(response.body);
  const std::string status = "HTTP status " + std::to_string(response.status);
  if (!problem) {
    error.kind = kind_of_status(response.status);
    error.message = who + (error.kind == ErrorKind::connection ? " was not able to " : " refused to ") + what + ": " + status +
                    " without a reason";
    return error;
  }
  error.kind = kind_of(*problem, ProblemOf::request, response.status);
  if (!error.retry_after) error.retry_after = retry_after_in(problem->detail, now);
  if (!error.retry_after && error.kind == ErrorKind::rate_limited) error.retry_after = std::chrono::hours(1);
  error.message =
      who + (error.kind == ErrorKind::connection ? " was not able to " : " refused to ") + what + ": " + sentence_of(*problem);
  if (acme_type(problem->type) == "userActionRequired") {
    // RFC 8555 section 7.3.3: where a person is to go, or the new terms themselves.
    const auto terms = links(response, "terms-of-service");
    if (problem->instance.empty() && !terms.empty()) problem->instance = printable(terms.front(), longest_quote);
    if (!problem->instance.empty()) error.message += "; visit " + problem->instance;
  }
  error.problem = std::make_shared<const Problem>(std::move(*problem));
  return error;
}

std::optional<std::chrono::seconds> retry_after_in(std::string_view detail, std::chrono::system_clock::time_point now) {
  constexpr std::string_view words = "retry after ";
  const auto found = detail.find(words);
  if (found == std::string_view::npos) return std::nullopt;
  auto date = date_at(detail.substr(found + words.size()));
  if (!date) return std::nullopt;
  return wait_until(timegm(&*date), now);
}

std::string sentence_of(const Problem& problem) {
  const std::string_view type = acme_type(problem.type);
  const std::string word = type.empty() ? problem.type : std::string(type);
  std::string sentence = problem.detail.empty() ? word : problem.detail;
  if (!problem.detail.empty() && !word.empty()) sentence += " (" + word + ")";
  if (!problem.subproblems.empty()) sentence += "; " + subproblems_of(problem);
  return sentence;
}

std::string subproblems_of(const Problem& problem) {
  std::string sentence;
  std::size_t told = 0;
  const std::size_t room = longest_quote / std::clamp<std::size_t>(problem.subproblems.size(), 1, subproblems_told);
  for (const auto& sub : problem.subproblems) {
    if (told == subproblems_told) break;
    sentence += told++ == 0 ? "" : "; ";
    if (!sub.identifier.empty()) sentence += printable(sub.identifier, room) + ": ";
    const std::string word(acme_type(sub.type));
    sentence += sub.detail.empty() ? word : printable(sub.detail, room);
    if (!sub.detail.empty() && !word.empty()) sentence += " (" + word + ")";
  }
  const std::size_t rest = problem.subproblems.size() - told;
  return rest == 0 ? sentence : sentence + "; and " + std::to_string(rest) + " more";
}

}  // namespace evercert
