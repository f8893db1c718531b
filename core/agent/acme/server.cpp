#include "agent/acme/server.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "agent/acme/problem.h"
#include "agent/net/address.h"

namespace evercert {
namespace {

constexpr std::chrono::hours directory_lifetime{24};
// A server behind a balancer whose members do not share nonces refuses many in a row; one that refuses forty is broken.
constexpr int immediate_attempts = 10;
constexpr int attempt_limit = 40;
constexpr std::chrono::milliseconds nonce_pause{250};

bool may_have_moved(const HttpResponse& response) {
  if (response.status == 404 || response.status == 405) return true;
  if (response.status < 400) return false;
  const auto problem = read_problem(response.body);
  return problem && acme_type(problem->type) == "malformed";
}

// What answered may be anything but a CA.
Error no_directory(Error error) {
  const std::string said = error.problem ? error.problem->detail : "";
  error.problem = std::make_shared<const Problem>(Problem{"urn:evercert:error:notDirectory", said, "", {}});
  return error;
}

bool is_bad_nonce(const HttpResponse& response) {
  if (response.status < 400 || response.status >= 500) return false;
  const auto problem = read_problem(response.body);
  return problem && acme_type(problem->type) == "badNonce";
}

}  // namespace

AcmeServer::AcmeServer(std::string name, std::string uri, HttpClient& http, const Clock& clock, std::stop_token stop)
    : uri_(std::move(uri)),
      who_("issuer " + std::move(name)),
      http_(http),
      clock_(clock),
      stop_(std::move(stop)),
      nonces_(clock) {}

Result<std::shared_ptr<const Directory>> AcmeServer::directory() {
  // Held while reading: many orders that start at once need the directory once.
  const auto turn = reading_.take();
  const auto age = clock_.now() - directory_read_;
  if (directory_ && age >= std::chrono::seconds(0) && age < directory_lifetime) return directory_;
  if (turn.failed) return *turn.failed;
  auto read = read_directory();
  if (!read) return reading_.fail(read.error());
  directory_ = std::move(*read);
  directory_read_ = clock_.now();
  return directory_;
}

Result<std::shared_ptr<const Directory>> AcmeServer::read_directory() {
  auto response = http_.send({"GET", uri_, "", "", {}});
  if (!response) return response.error();
  if (response->status != 200) {
    Error error = refused(*response, "show its directory " + uri_);
    // Whatever the reason, asking again costs nothing and loses nothing.
    if (error.kind == ErrorKind::issuer_refused) {
      error.kind = ErrorKind::connection;
      error = no_directory(std::move(error));
    }
    return error;
  }
  auto parsed = parse_directory(response->body, uri_);
  if (!parsed) return parsed.error().problem ? parsed.error() : no_directory(parsed.error());
  return std::make_shared<const Directory>(std::move(*parsed));
}

void AcmeServer::forget_directory(const std::shared_ptr<const Directory>& read) {
  const auto turn = reading_.take();
  if (directory_ == read) directory_.reset();
}

Result<std::string> AcmeServer::nonce(Nonces::Turn& turn) {
  if (auto kept = turn.take(stop_)) return *kept;
  auto read = directory();
  if (!read) return read.error();
  auto response = http_.send({"HEAD", (*read)->new_nonce, "", "", {}});
  if (!response) return response.error();
  if (response->status >= 400) return refused(*response, "give a nonce");
  std::string fresh = response->header("Replay-Nonce");
  if (fresh.empty())
    return Error{ErrorKind::connection, who_ + " gave no nonce when asked for one (" + (*read)->new_nonce + ")"};
  return fresh;
}

Result<Done> AcmeServer::check(const std::string& url, const std::string& what) const {
  return check_address(url, uri_, who_, what);
}

Result<HttpResponse> AcmeServer::send(const AccountKey& key, const std::string& key_id, const Request& request) {
  if (auto usable = check(request.url, request.what); !usable) return usable.error();
  Nonces::Turn turn(nonces_);
  auto used = nonce(turn);
  if (!used) return used.error();
  bool ended = false;
  for (int attempt = 1;; ++attempt) {
    auto body = sign_jws(key, {request.url, *used, key_id}, request.payload);
    if (!body) return body.error();
    HttpRequest post{"POST", request.url, "application/jose+json", std::move(*body), {}};
    if (!request.accept.empty()) post.headers.emplace_back("Accept", request.accept);
    auto response = http_.send(post);
    // With another nonce: the one that was sent may be used up.
    if (!response && has_ended(response.error()) && !request.once && std::exchange(ended, true) == false) {
      used = nonce(turn);
      if (!used) return used.error();
      continue;
    }
    if (!response) return response.error();
    std::string fresh = response->header("Replay-Nonce");
    if (!is_bad_nonce(*response)) {
      nonces_.put(std::move(fresh));
      return response;
    }
    if (attempt == attempt_limit || (attempt > immediate_attempts && !wait(nonce_pause))) {
      return Error{ErrorKind::connection, who_ + " refused to " + request.what + ": it refused " + std::to_string(attempt) +
                                              " of its own nonces in a row"};
    }
    // A server that was started anew knows none of those it gave before; that of its refusal is good (section 6.5).
    if (fresh.empty()) {
      nonces_.clear();
      used = nonce(turn);
      if (!used) return used.error();
    } else {
      used = std::move(fresh);
    }
  }
}

Result<HttpResponse> AcmeServer::send(const AccountKey& key, const std::string& key_id, std::string Directory::*address,
                                      Request request) {
  auto read = directory();
  if (!read) return read.error();
  request.url = **read.*address;
  if (request.url.empty()) return Error{ErrorKind::issuer_refused, who_ + " does not offer to " + request.what};
  auto response = send(key, key_id, request);
  if (!response || !may_have_moved(*response)) return response;
  forget_directory(*read);
  auto again = directory();
  if (!again || **again.*address == request.url) return response;
  request.url = **again.*address;
  return send(key, key_id, request);
}

Error AcmeServer::refused(const HttpResponse& response, const std::string& what) const {
  return refusal(response, who_, what, clock_.now());
}

bool AcmeServer::wait(std::chrono::milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop_, time, [] { return false; });
  return !stop_.stop_requested();
}

}  // namespace evercert
