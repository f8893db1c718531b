// One ACME server: its directory, its nonces, and requests signed for it. Used by Account. Retries only what RFC 8555 section
// 6.5 says must be retried at once, a refused nonce, and what a kept connection took with it. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "agent/acme/directory.h"
#include "agent/acme/jws.h"
#include "agent/acme/nonces.h"
#include "agent/acme/shared_attempt.h"
#include "agent/net/http_client.h"
#include "evercert/result.h"
#include "serving/base/clock.h"

namespace evercert {

class AcmeServer {
 public:
  // `name`: of the issuer, for sentences. `http` and `clock` must outlive this object.
  AcmeServer(std::string name, std::string uri, HttpClient& http, const Clock& clock, std::stop_token stop);

  // As read within the last day.
  Result<std::shared_ptr<const Directory>> directory();

  struct Request {
    std::string url;
    std::string payload;  // empty: POST-as-GET
    std::string what;     // "accept an order for www.example.com": for sentences
    std::string accept;   // media type, or empty
    bool once = false;    // it places something: not sent again when a kept connection ended without an answer
  };
  // Any answer but a refused nonce, whatever its status. `key_id` empty: the key itself is sent along.
  Result<HttpResponse> send(const AccountKey& key, const std::string& key_id, const Request& request);
  // The same to an address of the directory. A server that says 404, 405 or malformed may have moved: the directory is read
  // again, and if the address changed, so is the request sent again.
  Result<HttpResponse> send(const AccountKey& key, const std::string& key_id, std::string Directory::*address, Request request);

  // Whether a signed request may go to an address that this server named; every send() asks this first.
  [[nodiscard]] Result<Done> check(const std::string& url, const std::string& what) const;
  [[nodiscard]] Error refused(const HttpResponse& response, const std::string& what) const;
  [[nodiscard]] const std::string& uri() const { return uri_; }
  [[nodiscard]] const std::string& who() const { return who_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }

 private:
  Result<std::string> nonce(Nonces::Turn& turn);
  Result<std::shared_ptr<const Directory>> read_directory();
  void forget_directory(const std::shared_ptr<const Directory>& read);
  bool wait(std::chrono::milliseconds time);

  const std::string uri_;
  const std::string who_;  // "issuer example"
  HttpClient& http_;
  const Clock& clock_;
  const std::stop_token stop_;
  Nonces nonces_;
  SharedAttempt reading_;  // guards what follows
  std::shared_ptr<const Directory> directory_;
  std::chrono::system_clock::time_point directory_read_;
};

}  // namespace evercert
