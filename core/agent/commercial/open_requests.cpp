#include "agent/commercial/open_requests.h"

#include <algorithm>
#include <array>

#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/certificate/bundle.h"

namespace evercert {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::array<seconds, 6> pauses{seconds(5), seconds(15), minutes(1), minutes(5), minutes(10), hours(1)};
// Without a word of the CA that it was asked at all.
constexpr hours longest_silence{7 * 24};
constexpr hours longest_wait{60 * 24};

const char* word_of(OpenRequest::What what) {
  return what == OpenRequest::What::cancellation ? "cancellation" : "revocation";
}

Json json_of(const OpenRequest& request) {
  return {{"what", word_of(request.what)},
          {"certificate", request.certificate},
          {"order", request.order},
          {"leaf", to_base64(request.leaf)},
          {"since", std::chrono::system_clock::to_time_t(request.since)}};
}

std::optional<OpenRequest> request_from(const Json& json) {
  const std::string what = "an open request";
  auto word = json_text(json, "what", what);
  auto certificate = json_text(json, "certificate", what);
  auto order = json_text(json, "order", what);
  auto leaf = json_text(json, "leaf", what);
  auto since = json_number(json, "since", what);
  if (!word || !certificate || !order || !leaf || !since) return std::nullopt;
  auto der = from_base64(*leaf);
  if (!der) return std::nullopt;
  OpenRequest request;
  request.what = *word == "revocation" ? OpenRequest::What::revocation : OpenRequest::What::cancellation;
  request.certificate = *certificate;
  request.order = *order;
  request.leaf = std::move(*der);
  request.since = std::chrono::system_clock::from_time_t(static_cast<std::time_t>(*since));
  return request;
}

bool same(const OpenRequest& one, const OpenRequest& other) {
  return one.what == other.what && one.order == other.order && one.leaf == other.leaf;
}

}  // namespace

// Beside what the CA offers, under a name that no issuer can have.
void OpenRequests::load() {
  if (std::exchange(loaded_, true) || records_ == nullptr) return;
  auto text = records_->load(spec_.name + " requests");
  if (!text || !*text) return;
  auto json = parse_json(**text, "open requests");
  if (!json || !json->is_array()) return;
  for (const auto& one : *json) {
    if (auto request = request_from(one)) open_.push_back(std::move(*request));
  }
}

void OpenRequests::save() {
  if (records_ == nullptr) return;
  Json json = Json::array();
  for (const auto& one : open_) json.push_back(json_of(one));
  if (auto saved = records_->save(spec_.name + " requests", dump_json(json)); !saved) {
    events_.tell({"sync_failed",
                  LogLevel::warn,
                  {},
                  "",
                  spec_.name,
                  "issuer " + spec_.name + ": what the CA was asked for could not be kept: " + saved.error().message,
                  {}});
  }
}

void OpenRequests::add(OpenRequest request) {
  const std::lock_guard lock(mutex_);
  load();
  request.next = clock_.now() + pauses.front();
  std::erase_if(open_, [&](const OpenRequest& one) { return same(one, request); });
  open_.push_back(std::move(request));
  save();
}

std::vector<IssuerAccount::Awaited> OpenRequests::seen() {
  const std::lock_guard lock(mutex_);
  load();
  std::vector<IssuerAccount::Awaited> awaited;
  for (const auto& one : open_) awaited.push_back({word_of(one.what), one.certificate, one.order, one.since});
  return awaited;
}

std::optional<OpenRequests::Time> OpenRequests::tend() {
  std::vector<OpenRequest> due;
  {
    const std::lock_guard lock(mutex_);
    load();
    for (const auto& one : open_) {
      if (one.next <= clock_.now()) due.push_back(one);
    }
  }
  for (const auto& one : due) {
    const bool over = look(one);
    const std::lock_guard lock(mutex_);
    if (over) {
      std::erase_if(open_, [&](const OpenRequest& other) { return same(one, other); });
      save();
      continue;
    }
    for (auto& other : open_) {
      if (!same(one, other)) continue;
      other.looks = std::min<unsigned>(one.looks + 1, pauses.size() - 1);
      other.next = clock_.now() + pauses[other.looks];
    }
  }
  const std::lock_guard lock(mutex_);
  std::optional<Time> next;
  for (const auto& one : open_) next = next ? std::min(*next, one.next) : one.next;
  return next;
}

bool OpenRequests::look(const OpenRequest& request) {
  if (request.what == OpenRequest::What::cancellation ? look_at_cancellation(request) : look_at_revocation(request))
    return true;
  if (clock_.now() - request.since < longest_wait) return false;
  tell("request_unanswered", LogLevel::warn, request,
       std::string("the ") + word_of(request.what) +
           " that was asked for is not done after 60 days; it is not looked at any more, "
           "look in the portal");
  return true;
}

bool OpenRequests::look_at_cancellation(const OpenRequest& request) {
  const auto progress = api_.track(request.order);
  if (!progress && is_forgotten(progress.error())) {
    tell("order_cancelled", LogLevel::notice, request, "the order " + request.order + " is gone at the CA");
    return true;
  }
  if (!progress) return false;
  if (progress->stage == Stage::dead) {
    tell("order_cancelled", LogLevel::notice, request, "the order " + request.order + " was cancelled at the CA");
    return true;
  }
  if (progress->stage != Stage::issued) return false;
  tell("order_not_cancelled", LogLevel::warn, request,
       "the order " + request.order +
           " was issued all the same; evercert import issuer takes the certificate over, or revoke it "
           "in the portal");
  return true;
}

bool OpenRequests::look_at_revocation(const OpenRequest& request) {
  auto facts = leaf_facts(request.leaf);
  if (!facts) return true;
  auto state = api_.revocation_of(*facts);
  if (!state) return false;
  const std::string what = "the certificate " + facts->serial + " of " + request.certificate;
  if (*state == Settled::yes) {
    if (revoked_) revoked_(request.certificate, request.leaf);
    tell("revoked", LogLevel::notice, request, what + " was revoked");
    return true;
  }
  if (*state == Settled::refused) {
    tell("revocation_refused", LogLevel::warn, request, "somebody at the CA refused to revoke " + what);
    return true;
  }
  if (*state == Settled::requested || clock_.now() - request.since < longest_silence) return false;
  tell("revocation_refused", LogLevel::warn, request,
       "the CA does not show that it was asked to revoke " + what + "; ask again");
  return true;
}

void OpenRequests::tell(const char* name, LogLevel level, const OpenRequest& request, const std::string& sentence) {
  std::vector<std::pair<std::string, std::string>> fields;
  if (!request.order.empty()) fields.emplace_back("order", request.order);
  events_.tell({name, level, {}, request.certificate, spec_.name, "issuer " + spec_.name + ": " + sentence, std::move(fields)});
}

}  // namespace evercert
