#include "agent/verbs/account_import.h"

#include <algorithm>

#include "agent/store/bundles.h"
#include "agent/store/revoked_leaves.h"
#include "agent/verbs/listed_request.h"
#include "serving/base/encoding.h"
#include "serving/certificate/read_certificate.h"

namespace evercert {
namespace {

using std::chrono::seconds;

constexpr unsigned tries_of_a_request = 5;
constexpr unsigned tries_when_throttled = 8;
// A single order for which there is no answer is passed over; more in a row mean that the CA is at fault.
constexpr unsigned tries_of_an_order = 3;
constexpr unsigned passed_over_at_most = 3;
constexpr std::size_t rows_between_progress = 100;

std::string names_text(const std::vector<Identifier>& identifiers) {
  std::string text;
  for (const auto& identifier : identifiers) text += (text.empty() ? "" : ", ") + identifier.value;
  return text;
}

// A refusal of the CA, or its word that something is not there yet.
bool is_about_the_order(const Error& error) {
  return error.kind == ErrorKind::issuer_refused || is_waiting(error);
}

std::int64_t unix_seconds(Time time) {
  return std::chrono::system_clock::to_time_t(time);
}

std::set<std::string> set_of_names(const std::vector<Identifier>& identifiers) {
  std::set<std::string> names;
  for (const auto& identifier : identifiers) names.insert(identifier.value);
  return names;
}

}  // namespace

std::string AccountImport::set_of(const std::vector<Identifier>& identifiers) {
  std::vector<std::string> names;
  for (const auto& identifier : identifiers) names.push_back(identifier.value);
  std::sort(names.begin(), names.end());
  std::string text;
  for (const auto& name : names) text += name + "\n";
  return text;
}

AccountImport::AccountImport(Parts parts, Wish wish, ImportLedger ledger)
    : parts_(std::move(parts)), wish_(std::move(wish)), ledger_(std::move(ledger)) {}

std::optional<Time> AccountImport::step() {
  if (auto advanced = advance(); !advanced) return failed(advanced.error());
  tries_ = 0;
  return std::nullopt;
}

Result<Done> AccountImport::advance() {
  if (!rows_.empty()) {
    if (auto looked = look_at(rows_.front()); !looked) return looked;
    rows_.pop_front();
    passed_over_ = 0;
    return Done{};
  }
  if (!all_listed_) return read_page();
  if (!sorted_) {
    sorted_ = true;
    // The one that lasts longest is published; those behind it find it there.
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.not_after < b.not_after; });
  }
  if (candidates_.empty()) {
    done_ = true;
    return Done{};
  }
  if (auto bound = bind(candidates_.back()); !bound) return bound;
  candidates_.pop_back();
  passed_over_ = 0;
  return Done{};
}

std::optional<Time> AccountImport::failed(const Error& error) {
  // Orders and we are asked for at one pace: nothing was sent.
  if (is_waiting(error) && error.problem->type == issuer_turn) {
    return parts_.clock.now() + error.retry_after.value_or(seconds(1));
  }
  ++tries_;
  const bool of_an_order = all_listed_ || !rows_.empty();
  // What the CA says of one order is about that order, however many of them it says it of.
  const bool said_of_it = is_about_the_order(error);
  const bool passing = error.kind == ErrorKind::connection || error.kind == ErrorKind::rate_limited;
  const bool throttled = error.kind == ErrorKind::rate_limited;
  const bool hopeless = !throttled && (!passing || tries_ >= tries_of_an_order) && error.kind != ErrorKind::storage;
  if (of_an_order && (said_of_it || (hopeless && ++passed_over_ < passed_over_at_most))) {
    tries_ = 0;
    refuse(rows_.empty() ? candidates_.back().name : rows_.front().name, error.message);
    if (rows_.empty()) {
      candidates_.pop_back();
    } else {
      rows_.pop_front();
    }
    return std::nullopt;
  }
  if (passing && tries_ < (throttled ? tries_when_throttled : tries_of_a_request) && passed_over_ < passed_over_at_most) {
    const Time at = parts_.clock.now() + std::max(seconds(1U << (tries_ - 1)), error.retry_after.value_or(seconds(0)));
    parts_.tell("import_waits", "", error.message + "; asked again at " + to_rfc3339(at));
    return at;
  }
  failure_ = error;
  done_ = true;
  return std::nullopt;
}

void AccountImport::refuse(const std::string& name, const std::string& sentence) {
  ++refused_;
  parts_.tell("import_refused", name, sentence);
}

void AccountImport::tell_progress() {
  const std::size_t read = seen_.size() - rows_.size();
  if (read < told_at_ + rows_between_progress && !rows_.empty()) return;
  told_at_ = read;
  parts_.tell("import_progress", "",
              std::to_string(read) + (total_ >= read ? " of " + std::to_string(total_) : "") + " orders read, " +
                  std::to_string(downloads_) + " certificates downloaded, " + std::to_string(candidates_.size()) +
                  " for keys that we hold");
}

Result<Done> AccountImport::read_page() {
  auto page = parts_.account.page(wish_.filter, next_page_);
  if (!page) return page.error();
  total_ = page->total;
  for (auto& order : page->orders) {
    if (seen_.insert(order.reference).second) rows_.push_back(std::move(order));
  }
  next_page_ = page->next;
  all_listed_ = next_page_.empty();
  tell_progress();
  return Done{};
}

Result<Done> AccountImport::look_at(ListedOrder order) {
  const std::string today = to_rfc3339(parts_.clock.now()).substr(0, std::string("2026-11-22").size());
  if (order.state == ListedState::issued && !order.ends.empty() && order.ends < today) order.state = ListedState::expired;
  const bool dated = !wish_.filter.since.empty() || !wish_.filter.until.empty();
  if (dated && order.ordered.empty() && wish_.filter.fits(order)) {
    auto day = parts_.account.ordered_on(order.reference);
    if (!day) return day.error();
    order.ordered = *day;
  }
  Result<Done> looked = Done{};
  if (wish_.under_way.contains(order.reference)) {
    ++there_;
  } else if (!wish_.filter.fits(order) || order.state == ListedState::rejected) {
    ++left_out_;
  } else if (order.state == ListedState::open) {
    looked = look_at_open(order);
  } else {
    looked = look_at_issued(order);
  }
  if (looked) tell_progress();
  return looked;
}

Result<Done> AccountImport::look_at_open(const ListedOrder& order) {
  const std::string what = "the open order " + order.reference;
  auto pem = parts_.account.request_of(order.reference);
  if (!pem) return pem.error();
  if (pem->empty()) {
    ++without_key_;
    parts_.account.leave_alone(order.reference, order.name);
    parts_.tell("import_no_key", order.name,
                what +
                    " is left alone: the CA does not show for which key it is; import again once it is issued. Until then "
                    "nothing is ordered beside it");
    return Done{};
  }
  auto request = read_shown_request(*pem);
  if (!request) {
    parts_.account.leave_alone(order.reference, order.name);
    return request.error();
  }
  const auto given = wish_.given.find(request->key);
  if (given == wish_.given.end()) {
    ++without_key_;
    parts_.tell("import_no_key", order.name, what + " is left alone: no key fits its request; give the file with --key");
    return Done{};
  }
  const auto spec = std::find_if(wish_.configured.begin(), wish_.configured.end(), [&](const auto& entry) {
    const auto& [names, one] = entry;
    return std::find(one.issuers.begin(), one.issuers.end(), parts_.issuer.name) != one.issuers.end() &&
           std::find(one.keys.begin(), one.keys.end(), given->second.spec) != one.keys.end() &&
           set_of_names(one.identifiers) == request->names;
  });
  if (spec == wish_.configured.end()) {
    ++unmatched_;
    parts_.tell("import_unmatched", order.name,
                what + " is left alone: no configured certificate of this issuer has its names and kind of key");
    return Done{};
  }
  OrderRecord record;
  record.certificate = spec->second.name;
  record.identifiers = spec->second.identifiers;
  record.key = given->second.spec;
  record.issuer = parts_.issuer.name;
  record.issuer_uri = parts_.issuer.uri;
  record.our_reference = to_hex(random_bytes(16));
  record.private_key = given->second.bytes;
  record.request = std::move(request->der);
  record.state = OrderState::placed;
  auto placed = parts_.account.as_placed(order.reference, record.wanted());
  if (!placed) return placed.error();
  record.order = std::move(*placed);
  record.history.push_back({parts_.clock.now(), OrderState::placed});
  if (auto why_not = parts_.take_over(std::move(record))) {
    refuse(spec->second.name, what + " is not taken over: " + *why_not);
    return Done{};
  }
  ++tracked_;
  parts_.tell("import_tracked", spec->second.name, what + " is tracked from now on");
  return Done{};
}

Result<Done> AccountImport::look_at_issued(const ListedOrder& order) {
  const auto* known = ledger_.find(order.reference);
  if (known == nullptr || known->version != order.version) {
    auto certificate = parts_.account.certificate_of(order.reference);
    // What is revoked need not be handed out any more.
    if (!certificate && order.state == ListedState::revoked && is_about_the_order(certificate.error())) {
      return leave_out(order, "is revoked, and the CA does not hand it out");
    }
    if (!certificate) return certificate.error();
    ++downloads_;
    auto facts = leaf_facts(certificate->leaf);
    if (!facts) return facts.error();
    auto added = ledger_.add(order.reference, order.name,
                             {order.version, to_hex(sha256(facts->public_key)), unix_seconds(facts->not_after)});
    if (!added) return added;
    known = ledger_.find(order.reference);
  }
  const bool ours = wish_.given.contains(known->key) || wish_.published.contains(known->key);
  if (ours && order.state == ListedState::revoked) return leave_out(order, "is revoked");
  if (ours) {
    candidates_.push_back({order.reference, order.name, known->key, known->not_after});
    return Done{};
  }
  ++without_key_;
  parts_.tell("import_no_key", order.name,
              "no key here fits the certificate of the order " + order.reference + "; give its file with --key");
  return Done{};
}

Result<Done> AccountImport::leave_out(const ListedOrder& order, const char* why) {
  ++left_out_;
  parts_.tell("import_left_out", order.name,
              "the certificate of the order " + order.reference + " " + why + "; it is not taken over");
  return Done{};
}

bool AccountImport::is_there(const Candidate& candidate) const {
  const auto found = wish_.published.find(candidate.key);
  if (found == wish_.published.end()) return false;
  const auto current = parts_.publication.current(found->second);
  return std::any_of(current.pairs.begin(), current.pairs.end(), [&](const auto& pair) {
    return to_hex(sha256(pair.public_key)) == candidate.key && unix_seconds(pair.lifetime.not_after) >= candidate.not_after;
  });
}

Result<Done> AccountImport::bind(const Candidate& candidate) {
  if (is_there(candidate)) {
    ++there_;
    return Done{};
  }
  if (candidate.not_after <= unix_seconds(parts_.clock.now())) {
    ++left_out_;
    return Done{};
  }
  auto certificate = parts_.account.certificate_of(candidate.order);
  if (!certificate) return certificate.error();
  ++downloads_;
  return publish(candidate, std::move(*certificate));
}

Result<BundlePair> AccountImport::pair_for(const KeyDigest& key) const {
  BundlePair pair;
  if (const auto given = wish_.given.find(key); given != wish_.given.end()) {
    pair.key = given->second.spec;
    pair.private_key = given->second.bytes;
    return pair;
  }
  const std::string& name = wish_.published.at(key);
  auto newest = newest_bundle(parts_.store, parts_.serving, name);
  if (!newest) return newest.error();
  if (newest->bundle) {
    for (auto& one : newest->bundle->pairs) {
      if (to_hex(sha256(public_key_in_certificate(one.leaf))) != key) continue;
      pair.key = one.key;
      pair.private_key = std::move(one.private_key);
      pair.reference = std::move(one.reference);
      return pair;
    }
  }
  return Error{ErrorKind::storage, "the key is not in the newest generation of " + name + " any more"};
}

Result<Done> AccountImport::publish(const Candidate& candidate, IssuedCertificate certificate) {
  auto facts = leaf_facts(certificate.leaf);
  if (!facts) return facts.error();
  if (auto fresh = refuse_revoked(parts_.store, certificate.leaf); !fresh) {
    refuse(candidate.name, "the certificate of the order " + candidate.order + ": " + fresh.error().message);
    return Done{};
  }
  auto pair = pair_for(to_hex(sha256(facts->public_key)));
  if (!pair) {
    refuse(candidate.name, pair.error().message);
    return Done{};
  }
  const auto spec = wish_.configured.find(set_of(facts->identifiers));
  const bool wanted =
      spec != wish_.configured.end() && std::any_of(spec->second.keys.begin(), spec->second.keys.end(),
                                                    [&](const KeySpec& key) { return key.algorithm == pair->key.algorithm; });
  if (!wanted) {
    ++unmatched_;
    parts_.tell("import_unmatched", candidate.name,
                "a key fits the certificate of the order " + candidate.order +
                    ", but no configured certificate has this kind of key and exactly the names " +
                    names_text(facts->identifiers));
    return Done{};
  }
  const std::string& name = spec->second.name;
  for (const auto& there : parts_.publication.current(name).pairs) {
    if (there.key.algorithm != pair->key.algorithm || there.lifetime.not_after < facts->not_after) continue;
    ++there_;
    return Done{};
  }
  pair->leaf = std::move(certificate.leaf);
  pair->chain = std::move(certificate.chain);
  if (auto published = parts_.publication.publish(spec->second, std::move(*pair), parts_.issuer.name, "import"); !published) {
    refuse(name, published.error().message);
    return Done{};
  }
  ++adopted_;
  parts_.tell(
      "imported", name,
      "the certificate of the order " + candidate.order + " was taken over, valid until " + to_rfc3339(facts->not_after));
  return Done{};
}

std::string AccountImport::summary() const {
  std::string text = who() + ": " + std::to_string(seen_.size()) + " orders read, " + std::to_string(adopted_) +
                     " taken over, " + std::to_string(tracked_) + " open ones tracked from now on, " + std::to_string(there_) +
                     " there already, " + std::to_string(without_key_) + " without a key here, " + std::to_string(unmatched_) +
                     " without a configured certificate, " + std::to_string(left_out_) + " left out";
  if (refused_ > 0) text += ", " + std::to_string(refused_) + " could not be taken over";
  text += "; " + std::to_string(downloads_) + " downloads";
  if (failure_) text += "; it ended early: " + failure_->message + "; run it again, it goes on where it was";
  return text;
}

}  // namespace evercert
