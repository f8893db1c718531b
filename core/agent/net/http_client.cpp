#include "agent/net/http_client.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>

#include "agent/net/address.h"
#include "evercert/text.h"
#include "serving/base/bounds.h"

namespace evercert {
namespace {

constexpr std::size_t body_limit = std::size_t{1} << 20;
constexpr std::size_t head_limit = std::size_t{256} << 10;  // of all that precede the body, interim ones included
constexpr int redirect_limit = 3;
constexpr std::size_t idle_limit = 32;

struct EasyRelease {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EasyRelease>;

struct HeaderListRelease {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderListRelease>;

struct Exchange {
  HttpResponse response;
  bool oversize = false;
  std::size_t head_size = 0;
  bool head_complete = false;
  bool repeatable = true;
  unsigned sent = 0;
};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool same_name(std::string_view left, std::string_view right) {
  return left.size() == right.size() && strncasecmp(left.data(), right.data(), left.size()) == 0;
}

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& exchange = *static_cast<Exchange*>(target);
  return at_boundary<std::size_t>(
      0,
      [&] {
        if (exchange.response.body.size() + size * count > body_limit) {
          exchange.oversize = true;
          return std::size_t{0};
        }
        exchange.response.body.append(bytes, size * count);
        return size * count;
      },
      [](const std::string&) {});
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* target) {
  auto& exchange = *static_cast<Exchange*>(target);
  return at_boundary<std::size_t>(
      0,
      [&] {
        const std::string_view line(bytes, size * count);
        exchange.head_size += line.size();
        if (exchange.head_size > head_limit) {
          exchange.oversize = true;
          return std::size_t{0};
        }
        if (line.starts_with("HTTP/")) {
          // The headers of an interim answer or of a proxy's CONNECT are not those of the answer.
          exchange.response.fields.clear();
          exchange.head_complete = false;
        } else if (line == "\r\n" || line == "\n") {
          exchange.head_complete = true;
        } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
          exchange.response.fields.emplace_back(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
        }
        return size * count;
      },
      [](const std::string&) {});
}

// Called before each sending, also when libcurl repeats a request because a kept connection died.
int allow_sending(void* target, char*, char*, int, int) {
  auto& exchange = *static_cast<Exchange*>(target);
  return exchange.sent++ > 0 && !exchange.repeatable ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

int check_stop(void* settings, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const HttpSettings*>(settings)->stop.stop_requested() ? 1 : 0;
}

std::string in_seconds(std::chrono::milliseconds time) {
  return std::to_string((time.count() + 999) / 1000) + " s";
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_good(long status) {
  return status >= 200 && status <= 299;
}

class CurlClient : public HttpClient {
 public:
  explicit CurlClient(HttpSettings settings) : settings_(std::move(settings)) {}

  Result<HttpResponse> send(const HttpRequest& request) override {
    EasyHandle handle = take_handle();
    if (!handle) return Error{ErrorKind::internal, "libcurl could not make a handle; the machine is short of memory"};
    Result<HttpResponse> answer = follow(handle.get(), request);
    if (settings_.answered) settings_.answered(answer ? answer->status : 0);
    // A handle that failed holds no connection worth keeping.
    if (answer) give_back(std::move(handle));
    return answer;
  }

 private:
  EasyHandle take_handle() {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        // The one used last: its connection is the least likely to have been closed meanwhile.
        EasyHandle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    EasyHandle handle(curl_easy_init());
    if (handle) prepare(handle.get());
    return handle;
  }

  void give_back(EasyHandle handle) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < idle_limit) idle_.push_back(std::move(handle));
  }

  void prepare(CURL* handle) {
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    // One request at a time on a connection: HTTP/2 would only cost both sides its frames and streams.
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(handle, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings_.connect_timeout.count()));
    curl_easy_setopt(handle, CURLOPT_USERAGENT, settings_.user_agent.c_str());
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, allow_sending);
    curl_easy_setopt(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (settings_.stop.stop_possible()) {
      curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
      curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, check_stop);
      curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &settings_);
    }
    prepare_trust(handle);
    prepare_proxy(handle);
  }

  void prepare_trust(CURL* handle) {
    if (!settings_.verify) {
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
    } else if (!settings_.trusted_certificates_pem.empty()) {
      const BytesView pem = settings_.trusted_certificates_pem.view();
      curl_blob blob{const_cast<std::uint8_t*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
      curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &blob);
      // Named certificates stand instead of the system's, not beside them.
      curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
    }
  }

  void prepare_proxy(CURL* handle) {
    // An empty text keeps libcurl from looking into the environment.
    curl_easy_setopt(handle, CURLOPT_PROXY, settings_.proxy.uri.c_str());
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "");
    if (settings_.proxy.user.empty()) return;
    Secret password(settings_.proxy.password);
    Bytes terminated(password.view().begin(), password.view().end());
    terminated.push_back(0);
    const Secret text(std::move(terminated));
    curl_easy_setopt(handle, CURLOPT_PROXYUSERNAME, settings_.proxy.user.c_str());
    curl_easy_setopt(handle, CURLOPT_PROXYPASSWORD, text.text().data());
  }

  Result<HttpResponse> follow(CURL* handle, const HttpRequest& request) {
    if (!request.uri.starts_with("https://") && !request.uri.starts_with("http://")) {
      return Error{ErrorKind::connection, "cannot send a request to \"" + printable(request.uri, longest_quote) +
                                              "\": the address must begin with https://"};
    }
    std::string uri = request.uri;
    for (int redirects = 0;; ++redirects) {
      auto answer = perform(handle, request, uri);
      if (!answer || request.method != "GET" || !is_redirect(answer->status)) return answer;
      const char* target = nullptr;
      curl_easy_getinfo(handle, CURLINFO_REDIRECT_URL, &target);
      if (target == nullptr) return answer;
      const std::string next = target;
      if (!next.starts_with("https://")) {
        return Error{ErrorKind::connection, origin_of(uri) + " redirects to " + printable(origin_of(next), longest_quote) +
                                                ", which is not encrypted; the redirect was not followed"};
      }
      if (!request.headers.empty() && origin_of(next) != origin_of(uri)) {
        return Error{ErrorKind::connection, origin_of(uri) + " redirects to " + printable(origin_of(next), longest_quote) +
                                                ", another server than the one our credentials are for; the redirect was not "
                                                "followed, check the address"};
      }
      if (redirects == redirect_limit) {
        return Error{ErrorKind::connection, origin_of(request.uri) + " redirects more than " + std::to_string(redirect_limit) +
                                                " times; check the address"};
      }
      uri = next;
    }
  }

  Result<HttpResponse> perform(CURL* handle, const HttpRequest& request, const std::string& uri) {
    Exchange exchange;
    exchange.repeatable = request.method == "GET" || request.method == "HEAD";
    std::array<char, CURL_ERROR_SIZE> reason{};
    const HeaderList headers = header_list(request);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, reason.data());
    curl_easy_setopt(handle, CURLOPT_URL, uri.c_str());
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_PREREQDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, request.own_connection ? 1L : 0L);
    const auto timeout = request.timeout.count() > 0 ? request.timeout : settings_.total_timeout;
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
    // HTTPGET also takes back what an earlier request on this handle set.
    curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, nullptr);
    if (request.method == "HEAD") {
      curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    } else if (request.method != "GET" || !request.body.empty()) {
      curl_easy_setopt(handle, CURLOPT_POST, 1L);
      curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
      if (request.method != "POST") curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
    const CURLcode outcome = curl_easy_perform(handle);
    Result<HttpResponse> result = [&]() -> Result<HttpResponse> {
      if (outcome != CURLE_OK) return failure(handle, outcome, uri, reason.data(), exchange, timeout);
      // libcurl takes a connection that ends between two header lines for a whole answer.
      if (!exchange.head_complete) {
        return Error{ErrorKind::connection, origin_of(uri) + " closed the connection in the middle of its answer"};
      }
      long status = 0;
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
      exchange.response.status = static_cast<int>(status);
      return std::move(exchange.response);
    }();
    // Nothing of this call may stay behind in a handle that outlives it.
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, nullptr);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, nullptr);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, nullptr);
    return result;
  }

  static HeaderList header_list(const HttpRequest& request) {
    HeaderList list;
    const auto add = [&list](const std::string& line) {
      if (curl_slist* longer = curl_slist_append(list.get(), line.c_str())) {
        static_cast<void>(list.release());
        list.reset(longer);
      }
    };
    add("Expect:");
    if (!request.content_type.empty()) add("Content-Type: " + request.content_type);
    for (const auto& [name, value] : request.headers) add(name + ": " + value);
    return list;
  }

  // RFC 9110 section 15.5.8: 407 wants other credentials than those that were sent, if any were.
  [[nodiscard]] std::string proxy_refusal(long status, const std::string& peer) const {
    constexpr long wants_login = 407;
    return "the proxy " + origin_of(settings_.proxy.uri) + " did not let a connection to " + peer + " through (HTTP status " +
           std::to_string(status) + "); " +
           (status != wants_login          ? "allow this host to reach the CA there, or set another in the option proxy"
            : settings_.proxy.user.empty() ? "it asks for a user and a password: add them to the option proxy"
                                           : "check user and password of the option proxy");
  }

  [[nodiscard]] Error failure(CURL* handle, CURLcode outcome, const std::string& uri, const std::string& reason,
                              const Exchange& exchange, std::chrono::milliseconds timeout) const {
    const std::string peer = origin_of(uri);
    const std::string why = reason.empty() ? curl_easy_strerror(outcome) : reason;
    const auto error = [](std::string sentence) { return Error{ErrorKind::connection, std::move(sentence)}; };
    const auto typed = [](const char* type, std::string sentence) {
      auto problem = std::make_shared<const Problem>(Problem{type, "", "", {}});
      return Error{ErrorKind::connection, std::move(sentence), std::nullopt, std::move(problem)};
    };
    const auto unreachable = [&](std::string sentence) { return typed(server_unreachable, std::move(sentence)); };
    long tunnel = 0;
    curl_easy_getinfo(handle, CURLINFO_HTTP_CONNECTCODE, &tunnel);
    if (tunnel != 0 && !is_good(tunnel)) return error(proxy_refusal(tunnel, peer));
    if (exchange.oversize)
      return error(peer + " sent an answer of more than 1 MiB, or too many headers; it was not read to its end");
    if (!exchange.repeatable && exchange.sent > 1) {
      return typed(connection_ended,
                   peer + " closed the connection without an answer; whether it did what was asked has to be found out");
    }
    switch (outcome) {
      case CURLE_ABORTED_BY_CALLBACK:
        return error("the request to " + peer + " was given up because the program ends");
      case CURLE_COULDNT_RESOLVE_HOST:
        return unreachable("the name in " + peer + " could not be resolved; check the name and this machine's resolver");
      case CURLE_COULDNT_RESOLVE_PROXY:
        return unreachable("the name of the proxy " + origin_of(settings_.proxy.uri) + " could not be resolved");
      case CURLE_COULDNT_CONNECT: {
        long code = 0;
        curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &code);
        const std::string through = settings_.proxy.uri.empty() ? "" : " through the proxy " + origin_of(settings_.proxy.uri);
        if (code == ECONNREFUSED) return unreachable(peer + through + " refused the connection; is the server running?");
        return unreachable(peer + through +
                           " could not be reached: " + (code != 0 ? std::strerror(static_cast<int>(code)) : why));
      }
      case CURLE_PEER_FAILED_VERIFICATION:
        return typed(
            server_untrusted,
            "the certificate of " + peer + " is not trusted (" + why +
                "); if this server is the right one, name the file with its CA certificate in ssl_trusted_certificate");
      case CURLE_SSL_CACERT_BADFILE:
        return error("the trusted certificates for " + peer + " could not be read (" + why +
                     "); check ssl_trusted_certificate");
      case CURLE_OPERATION_TIMEDOUT: {
        curl_off_t connected = 0;
        curl_easy_getinfo(handle, CURLINFO_PRETRANSFER_TIME_T, &connected);
        if (connected == 0)
          return unreachable(peer + " did not take the connection within " + in_seconds(settings_.connect_timeout));
        return typed(server_silent, peer + " did not answer within " + in_seconds(timeout));
      }
      case CURLE_GOT_NOTHING:
        return error(peer + " closed the connection without an answer");
      default:
        return error("the exchange with " + peer + " failed: " + why);
    }
  }

  const HttpSettings settings_;
  std::mutex mutex_;
  std::vector<EasyHandle> idle_;
};

}  // namespace

std::string HttpResponse::header(std::string_view name) const {
  for (const auto& [field, value] : fields) {
    if (same_name(field, name)) return value;
  }
  return {};
}

std::vector<std::string> HttpResponse::headers(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [field, value] : fields) {
    if (same_name(field, name)) values.push_back(value);
  }
  return values;
}

bool has_ended(const Error& error) {
  return error.problem && error.problem->type == connection_ended;
}

void prepare_http() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::unique_ptr<HttpClient> make_http_client(HttpSettings settings) {
  prepare_http();
  return std::make_unique<CurlClient>(std::move(settings));
}

std::optional<std::chrono::seconds> retry_after_of(const HttpResponse& response, std::chrono::system_clock::time_point now) {
  const std::string value = response.header("Retry-After");
  if (value.empty()) return std::nullopt;
  if (value.find_first_not_of("0123456789") == std::string::npos) {
    const auto wish = whole_number_in(value, 0, static_cast<std::uint64_t>(longest_wish.count()));
    // More than fits is more than a day.
    return bounded_wish(wish ? std::chrono::seconds(*wish) : longest_wish);
  }
  const time_t date = curl_getdate(value.c_str(), nullptr);
  if (date == -1) return std::nullopt;
  return wait_until(date, now);
}

std::optional<std::time_t> date_of_answer(const HttpResponse& response) {
  const std::string value = response.header("Date");
  const time_t date = value.empty() ? -1 : curl_getdate(value.c_str(), nullptr);
  if (date == -1) return std::nullopt;
  return date;
}

std::chrono::seconds wait_until(std::time_t date, std::chrono::system_clock::time_point now) {
  // In whole seconds: a far date does not fit into the clock's own ticks.
  const std::time_t present = std::chrono::system_clock::to_time_t(now);
  return bounded_wish(std::chrono::seconds(std::clamp<std::time_t>(date, present, present + longest_wish.count()) - present));
}

}  // namespace evercert
