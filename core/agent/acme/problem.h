// What an ACME server says when something went wrong (RFC 7807, RFC 8555 section 6.7), and what it means for us: the kind of
// an error is chosen by what the caller does next.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "agent/net/http_client.h"
#include "evercert/result.h"

namespace evercert {

// The same type can mean different things: "unauthorized" of a request is a matter of the account, of a validation one of
// the name.
enum class ProblemOf { request, validation };

// A problem document, whatever its content type. nullopt: it is none.
std::optional<Problem> read_problem(std::string_view body);

// The last part of an ACME problem type ("badNonce"), empty for types of others.
std::string_view acme_type(std::string_view type);
bool is_problem(const Error& error, std::string_view acme_type);

ErrorKind kind_of(const Problem& problem, ProblemOf of, int status);

// The Error for an answer that is not a success. `who` and `what` make the sentence: "<who> refused to <what>: …".
Error refusal(const HttpResponse& response, const std::string& who, const std::string& what,
              std::chrono::system_clock::time_point now);

// "retry after 2026-11-22 02:30:00 UTC" within a sentence, as seconds from now.
std::optional<std::chrono::seconds> retry_after_in(std::string_view detail, std::chrono::system_clock::time_point now);

// The detail with its subproblems by name; of many the first few, and how many more there are.
std::string sentence_of(const Problem& problem);
std::string subproblems_of(const Problem& problem);

}  // namespace evercert
