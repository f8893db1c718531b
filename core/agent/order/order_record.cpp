#include "agent/order/order_record.h"

#include <array>

#include "serving/base/bounds.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::array<std::pair<OrderState, const char*>, 12> state_words{{
    {OrderState::planned, "planned"},
    {OrderState::placing, "placing"},
    {OrderState::placed, "placed"},
    {OrderState::presented, "presented"},
    {OrderState::pending, "pending"},
    {OrderState::ready, "ready"},
    {OrderState::finalizing, "finalizing"},
    {OrderState::processing, "processing"},
    {OrderState::valid, "valid"},
    {OrderState::issued, "issued"},
    {OrderState::invalid, "invalid"},
    {OrderState::failed, "failed"},
}};

constexpr std::array<IssuerOrderStatus, 6> statuses{
    IssuerOrderStatus::pending, IssuerOrderStatus::ready,   IssuerOrderStatus::processing,
    IssuerOrderStatus::valid,   IssuerOrderStatus::invalid, IssuerOrderStatus::waiting_for_people,
};
constexpr std::array<const char*, 6> status_words{"pending", "ready", "processing", "valid", "invalid", "waiting_for_people"};
constexpr std::array<ChallengeKind, 7> challenge_kinds{
    ChallengeKind::http_01, ChallengeKind::tls_alpn_01, ChallengeKind::dns_01, ChallengeKind::http_file,
    ChallengeKind::dns_txt, ChallengeKind::dns_cname,   ChallengeKind::email};
constexpr std::array<const char*, 7> challenge_words{"http-01", "tls-alpn-01", "dns-01", "http-file",
                                                     "dns-txt", "dns-cname",   "email"};

const std::string orders_folder = "orders/";
const std::string order_ending = ".order";

RecordPlace place_of(const std::string& key) {
  return {SealedKind::order, key, key, "the order record " + key};
}

Json identifier_json(const Identifier& identifier) {
  return {{"type", identifier.kind == IdentifierKind::ip ? "ip" : "dns"}, {"value", identifier.value}};
}

std::int64_t milliseconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

std::chrono::system_clock::time_point time_of(std::int64_t milliseconds) {
  return moment_of_milliseconds(milliseconds);
}

// The shape is ours and sealed, so one guard for all of it is enough: any misfit means that the file is damaged.
Identifier identifier_from(const Json& json) {
  const bool ip = json.at("type").get<std::string>() == "ip";
  return {ip ? IdentifierKind::ip : IdentifierKind::dns, json.at("value").get<std::string>()};
}

Bytes bytes_from(const Json& json) {
  auto bytes = from_base64(json.get<std::string>());
  if (!bytes) throw std::runtime_error(bytes.error().message);
  return std::move(bytes).value();
}

template <typename Value, std::size_t count>
Value word_from(const std::array<Value, count>& values, const std::array<const char*, count>& words, const std::string& word) {
  for (std::size_t i = 0; i < count; ++i) {
    if (word == words[i]) return values[i];
  }
  throw std::runtime_error("unknown word \"" + word + "\"");
}

Json challenge_json(const Challenge& challenge) {
  return {{"kind", challenge_words[static_cast<std::size_t>(challenge.kind)]},
          {"identifier", identifier_json(challenge.identifier)},
          {"token", challenge.token},
          {"answer", challenge.answer},
          {"location", challenge.location}};
}

Challenge challenge_from(const Json& json) {
  Challenge challenge;
  challenge.kind = word_from(challenge_kinds, challenge_words, json.at("kind").get<std::string>());
  challenge.identifier = identifier_from(json.at("identifier"));
  challenge.token = json.at("token").get<std::string>();
  challenge.answer = json.at("answer").get<std::string>();
  challenge.location = json.at("location").get<std::string>();
  return challenge;
}

Json problem_json(const Error& error) {
  Json json{{"kind", static_cast<int>(error.kind)}, {"message", error.message}};
  if (error.retry_after) json["retry_after"] = error.retry_after->count();
  if (error.problem) json["type"] = error.problem->type;
  return json;
}

Error problem_from(const Json& json) {
  Error error;
  const int kind = json.at("kind").get<int>();
  if (kind < 0 || kind > static_cast<int>(ErrorKind::dns)) throw std::runtime_error("unknown kind of problem");
  error.kind = static_cast<ErrorKind>(kind);
  error.message = json.at("message").get<std::string>();
  if (json.contains("retry_after")) {
    error.retry_after = bounded_wish(std::chrono::seconds(json.at("retry_after").get<std::int64_t>()));
  }
  if (json.contains("type")) {
    auto problem = std::make_shared<Problem>();
    problem->type = json.at("type").get<std::string>();
    error.problem = problem;
  }
  return error;
}

Json order_json(const IssuerOrder& order) {
  Json json{{"reference", order.reference},
            {"status", status_words[static_cast<std::size_t>(order.status)]},
            {"detail", order.detail}};
  if (order.problem) json["problem"] = problem_json(*order.problem);
  return json;
}

IssuerOrder order_from(const Json& json) {
  IssuerOrder order;
  order.reference = json.at("reference").get<std::string>();
  order.status = word_from(statuses, status_words, json.at("status").get<std::string>());
  order.detail = json.at("detail").get<std::string>();
  if (json.contains("problem")) order.problem = problem_from(json.at("problem"));
  return order;
}

Json issued_json(const IssuedCertificate& issued) {
  Json json{{"leaf", to_base64(issued.leaf)}, {"chain", Json::array()}, {"subscription", issued.subscription}};
  for (const auto& certificate : issued.chain) json["chain"].push_back(to_base64(certificate));
  return json;
}

IssuedCertificate issued_from(const Json& json) {
  IssuedCertificate issued{bytes_from(json.at("leaf")), {}, json.at("subscription").get<std::string>()};
  for (const auto& certificate : json.at("chain")) issued.chain.push_back(bytes_from(certificate));
  return issued;
}

}  // namespace

const char* to_string(OrderState state) {
  return state_words[static_cast<std::size_t>(state)].second;
}

std::optional<OrderState> order_state_of(std::string_view word) {
  for (const auto& [state, name] : state_words) {
    if (word == name) return state;
  }
  return std::nullopt;
}

bool is_open(OrderState state) {
  return state != OrderState::planned && state != OrderState::issued && state != OrderState::failed;
}

Wanted OrderRecord::wanted() const {
  const auto running = subscriptions.find(issuer_uri);
  return {certificate, identifiers, key, request, our_reference, running == subscriptions.end() ? "" : running->second};
}

bool LastPurchase::is_lost(const std::optional<OrderRecord>& record) const {
  return open && (!record || record->purchase < number);
}

bool LastPurchase::outdates(const OrderRecord& record) const {
  const bool ended = record.purchase == number && number != 0 && !open;
  return record.purchase < number || (ended && is_open(record.state));
}

std::string order_key(std::string_view certificate, KeyAlgorithm algorithm) {
  return orders_folder + file_name_of(certificate) + (algorithm == KeyAlgorithm::rsa ? ".rsa" : ".ecdsa") + order_ending;
}

Json to_json(const OrderRecord& record) {
  Json json{{"certificate", record.certificate},
            {"key", record.key.text()},
            {"issuer", record.issuer},
            {"issuer_uri", record.issuer_uri},
            {"our_reference", record.our_reference},
            {"private", to_base64(record.private_key.view())},
            {"key_reference", record.key_reference},
            {"request", to_base64(record.request)},
            {"state", to_string(record.state)},
            {"known", record.known},
            {"attempts", record.attempts},
            {"setbacks", record.setbacks},
            {"identifiers", Json::array()},
            {"challenges", Json::array()},
            {"history", Json::array()}};
  for (const auto& identifier : record.identifiers) json["identifiers"].push_back(identifier_json(identifier));
  if (record.order) json["order"] = order_json(*record.order);
  if (!record.subscriptions.empty()) json["subscriptions"] = record.subscriptions;
  for (const auto& challenge : record.challenges) json["challenges"].push_back(challenge_json(challenge));
  if (record.issued) json["issued"] = issued_json(*record.issued);
  if (record.problem) json["problem"] = problem_json(*record.problem);
  if (record.purchase != 0) json["purchase"] = record.purchase;
  for (const auto& mark : record.history) {
    json["history"].push_back({{"at", milliseconds_of(mark.at)}, {"state", to_string(mark.state)}});
  }
  return json;
}

OrderRecord order_record_from(const Json& json) {
  OrderRecord record;
  record.certificate = json.at("certificate").get<std::string>();
  for (const auto& identifier : json.at("identifiers")) record.identifiers.push_back(identifier_from(identifier));
  auto key = parse_key_spec(json.at("key").get<std::string>());
  if (!key) throw std::runtime_error(key.error().message);
  record.key = *key;
  record.issuer = json.at("issuer").get<std::string>();
  record.issuer_uri = json.at("issuer_uri").get<std::string>();
  record.our_reference = json.at("our_reference").get<std::string>();
  record.private_key = Secret(bytes_from(json.at("private")));
  record.key_reference = json.at("key_reference").get<std::string>();
  record.request = bytes_from(json.at("request"));
  const auto state = order_state_of(json.at("state").get<std::string>());
  if (!state) throw std::runtime_error("unknown state");
  record.state = *state;
  if (json.contains("order")) record.order = order_from(json.at("order"));
  for (const auto& challenge : json.at("challenges")) record.challenges.push_back(challenge_from(challenge));
  record.known = json.at("known").get<std::vector<std::string>>();
  if (json.contains("subscriptions")) {
    record.subscriptions = json.at("subscriptions").get<std::map<std::string, std::string>>();
  }
  if (json.contains("issued")) record.issued = issued_from(json.at("issued"));
  if (json.contains("problem")) record.problem = problem_from(json.at("problem"));
  record.purchase = json.value("purchase", std::uint64_t{0});
  record.attempts = json.at("attempts").get<unsigned>();
  record.setbacks = json.value("setbacks", 0U);
  for (const auto& mark : json.at("history")) {
    const auto marked = order_state_of(mark.at("state").get<std::string>());
    if (!marked) throw std::runtime_error("unknown state in the history");
    record.history.push_back({time_of(mark.at("at").get<std::int64_t>()), *marked});
  }
  return record;
}

Result<std::vector<std::string>> OrderRecords::keys() {
  auto keys = store_.list(orders_folder);
  if (!keys) return keys.error();
  std::erase_if(*keys, [](const std::string& key) { return !key.ends_with(order_ending); });
  return keys;
}

Result<std::optional<OrderRecord>> OrderRecords::load(const std::string& certificate, KeyAlgorithm algorithm) {
  const std::string key = order_key(certificate, algorithm);
  auto record = load_from(key);
  if (!record || !*record || (*record)->certificate == certificate) return record;
  return put_away(store_, key, {ErrorKind::storage, "the order record " + key + " speaks of another certificate"});
}

Result<std::optional<OrderRecord>> OrderRecords::load_from(const std::string& key) {
  std::optional<OrderRecord> record;
  const auto found = records_.load(place_of(key), [&](const Json& json) { record = order_record_from(json); });
  if (!found) return found.error();
  if (found->damaged) return *found->damaged;
  return record;
}

Result<Done> OrderRecords::save(const OrderRecord& record, Durability durability) {
  const std::string key = order_key(record.certificate, record.key.algorithm);
  if (auto saved = records_.save(place_of(key), to_json(record), {.durability = durability}); !saved) return saved.error();
  if (reached_ == nullptr || record.purchase == 0) return Done{};
  // It guards against whoever writes files here, who cannot cut the power as well.
  return reached_->raise(key, 2 * record.purchase - (is_open(record.state) ? 1 : 0), false);
}

LastPurchase OrderRecords::last_purchase(const std::string& certificate, KeyAlgorithm algorithm) {
  const std::uint64_t reached = reached_ == nullptr ? 0 : reached_->of(order_key(certificate, algorithm));
  return {reached / 2 + reached % 2, reached % 2 == 1};
}

Result<Done> OrderRecords::close_purchase(const std::string& certificate, KeyAlgorithm algorithm) {
  const LastPurchase last = last_purchase(certificate, algorithm);
  return last.open ? reached_->raise(order_key(certificate, algorithm), 2 * last.number, false) : Result<Done>(Done{});
}

}  // namespace evercert
