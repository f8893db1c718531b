// HTTP for talking to CAs: one request, one answer, deadlines on everything.
#pragma once

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evercert/plan.h"
#include "evercert/result.h"

namespace evercert {

struct HttpRequest {
  std::string method = "GET";
  std::string uri;
  std::string content_type;  // with a body
  std::string body;
  // They may hold credentials: a request that has any is redirected within its server only.
  std::vector<std::pair<std::string, std::string>> headers;
  // It changes something that cannot be taken back: over a connection of its own, since a kept one may be dying, and then
  // nobody knows whether the request arrived.
  bool own_connection = false;
  std::chrono::milliseconds timeout{0};  // of the whole request; 0: as the settings say
};

struct HttpResponse {
  int status = 0;
  std::string body;
  // The first header of that name, case-insensitive; empty when absent.
  [[nodiscard]] std::string header(std::string_view name) const;
  // All values of a header, in order (Link may come several times).
  [[nodiscard]] std::vector<std::string> headers(std::string_view name) const;
  std::vector<std::pair<std::string, std::string>> fields;
};

// The type of the problem of an Error for a server to which no connection could be made at all.
inline constexpr const char* server_unreachable = "urn:evercert:error:unreachable";
// And for one that took the request and did not answer in time.
inline constexpr const char* server_silent = "urn:evercert:error:silent";
// And for a kept connection that ended without a byte of an answer: most often the server had closed it before. Only GET and
// HEAD are sent again then (RFC 9110 section 9.2.2); whoever may repeat anything else does so with fresh numbers and
// signatures.
inline constexpr const char* connection_ended = "urn:evercert:error:connectionEnded";
bool has_ended(const Error& error);

// The same for one whose certificate is not trusted.
inline constexpr const char* server_untrusted = "urn:evercert:error:untrusted";

// Thread-safe: connections are pooled and kept alive.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Errors: connection (unreachable, TLS, time-out, answer over 1 MiB, redirect to plain http). Any HTTP status is an answer.
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

struct HttpSettings {
  Secret trusted_certificates_pem;  // empty: the system's
  bool verify = true;
  Proxy proxy;
  std::string user_agent;
  std::chrono::milliseconds connect_timeout{10000};
  std::chrono::milliseconds total_timeout{30000};
  std::stop_token stop;               // ends requests under way within a second
  std::function<void(int)> answered;  // told the status of every answer, 0 when there was none; on the sending thread
};
std::unique_ptr<HttpClient> make_http_client(HttpSettings settings);

// To be called by the program before it starts threads: libcurl's own preparation is safe only then. Calling twice is no error.
void prepare_http();

// The Date field (RFC 9110 section 6.6.1); nullopt when absent or unreadable.
std::optional<std::time_t> date_of_answer(const HttpResponse& response);

// From now until a date that a peer named: none for a past one, a year at most, whatever it wrote.
std::chrono::seconds wait_until(std::time_t date, std::chrono::system_clock::time_point now);

// Retry-After (RFC 9110 section 10.2.3): seconds or a date, relative to `now`. nullopt when absent or unreadable.
std::optional<std::chrono::seconds> retry_after_of(const HttpResponse& response, std::chrono::system_clock::time_point now);

}  // namespace evercert
