#include "agent/commercial/open_requests.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "serving/base/bounds.h"
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

bool same(const OpenRequest& one, const OpenRequest& other) {
  return one.what == other.what && one.order == other.order && one.leaf == other.leaf;
}

}  // namespace

Json to_json(const std::vector<OpenRequest>& requests) {
  Json list = Json::array();
  for (const auto& one : requests) {
    list.push_back({{"what", word_of(one.what)},
                    {"certificate", one.certificate},
                    {"order", one.order},
                    {"leaf", to_base64(one.leaf)},
                    {"since", std::chrono::system_clock::to_time_t(one.since)}});
  }
  return {{"requests", std::move(list)}};
}

std::vector<OpenRequest> open_requests_from(const Json& json) {
  std::vector<OpenRequest> requests;
  for (const auto& one : json.at("requests")) {
    auto leaf = from_base64(one.at("leaf").get<std::string>());
    if (!leaf) throw std::runtime_error("a leaf is not in base64");
    const bool revocation = one.at("what").get<std::string>() == word_of(OpenRequest::What::revocation);
    requests.push_back({revocation ? OpenRequest::What::revocation : OpenRequest::What::cancellation,
                        one.at("certificate").get<std::string>(),
                        one.at("order").get<std::string>(),
                        std::move(*leaf),
                        moment_of(one.at("since").get<std::int64_t>()),
                        {}});
  }
  return requests;
}

void OpenRequests::load() {
  if (std::exchange(loaded_, true) || records_ == nullptr) return;
  const auto read = [this](const Json& json) { open_ = open_requests_from(json); };
  if (auto loaded = records_->load(spec_.name, OfferRecords::What::requests, read); !loaded)
    tell_not_kept("is not known", loaded.error());
}

void OpenRequests::save() {
  if (records_ == nullptr) return;
  if (auto saved = records_->save(spec_.name, OfferRecords::What::requests, to_json(open_)); !saved)
    tell_not_kept("could not be kept", saved.error());
}

void OpenRequests::tell_not_kept(const std::string& what, const Error& why) {
  events_.tell({"sync_failed",
                LogLevel::warn,
                {},
                "",
                spec_.name,
                "issuer " + spec_.name + ": what the CA was asked for " + what + ": " + why.message,
                {}});
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
