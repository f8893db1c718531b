// The record of one order: everything that must survive a crash, one sealed file per certificate and kind of key. Written by
// the order machine before each action that cannot be repeated free and after it; read at start to carry open orders on.
// Rule: a private key is here, fsynced, before anything about it is sent to anybody.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/issuer/issuer.h"
#include "agent/store/records.h"
#include "evercert/leader_file.h"
#include "evercert/state.h"

namespace evercert {

// RFC 8555's words where it has one (section 7.1.6), ours for what happens on our side of the wire.
enum class OrderState {
  planned,     // key and request may exist, nothing has been sent
  placing,     // newOrder is about to be sent or was sent: the CA may know the order
  placed,      // the CA's reference is on disk
  presented,   // every open challenge can be asked for
  pending,     // every challenge was responded to; the CA validates
  ready,       // the CA waits for the request
  finalizing,  // the request is about to be sent or was sent
  processing,  // the CA, or people there, work on it
  valid,       // the certificate can be collected
  issued,      // collected and published; the record keeps only its history
  invalid,     // the order is dead at the CA or not wanted any more; to be given up
  failed,      // given up
};
const char* to_string(OrderState state);
std::optional<OrderState> order_state_of(std::string_view word);
// True while the CA may know the order and it has not ended: it must be carried on, never repeated.
bool is_open(OrderState state);

struct OrderRecord {
  std::string certificate;
  std::vector<Identifier> identifiers;
  KeySpec key;
  std::string issuer;         // its name
  std::string issuer_uri;     // an order belongs to this CA, whatever the name means later
  std::string our_reference;  // unique per order
  Secret private_key;         // PKCS#8 DER, or empty when there is a key reference
  std::string key_reference;
  Bytes request;  // PKCS#10 DER
  OrderState state = OrderState::planned;
  std::optional<IssuerOrder> order;
  std::vector<Challenge> challenges;
  std::vector<std::string> known;  // CA references of earlier orders, for Issuer::find
  // By issuer_uri: what its last certificate brought (IssuedCertificate::subscription). Kept from order to order.
  std::map<std::string, std::string> subscriptions;
  std::optional<IssuedCertificate> issued;  // collected, and kept until it is good
  std::optional<Error> problem;
  // Which of the purchases of this certificate and kind of key it is (OrderRecords::last_purchase); 0: it costs nothing, or was
  // placed by a release that did not count them.
  std::uint64_t purchase = 0;
  unsigned attempts = 0;  // steps that failed
  unsigned setbacks = 0;  // steps after which the order was where it had been, or further back
  struct Mark {
    std::chrono::system_clock::time_point at;
    OrderState state;
  };
  std::vector<Mark> history;

  [[nodiscard]] Wanted wanted() const;
  // By its own word nothing was placed, but there is a request that could have been: what stands on disk may be older than what
  // happened, since whoever may write there can put it back. To be looked for at the CA before anything else is placed.
  [[nodiscard]] bool is_doubtful() const { return state == OrderState::planned && !request.empty(); }
};

// Keys in the store: orders/<name>.<algorithm>.order
std::string order_key(std::string_view certificate, KeyAlgorithm algorithm);

// What is kept of it, without the format number. Reading throws a std::exception for what is no order record.
nlohmann::json to_json(const OrderRecord& record);
OrderRecord order_record_from(const nlohmann::json& json);

// The newest order that money was spent on, as counted where only root can write (evercert/leader_file.h): records may be
// removed, or replaced by older ones, by whoever may write into the store.
struct LastPurchase {
  std::uint64_t number = 0;  // 0: there was none
  bool open = false;         // its end was not written
  // It may be at the CA, and what is on disk does not tell of it.
  [[nodiscard]] bool is_lost(const std::optional<OrderRecord>& record) const;
  // The record, of an order that costs money, is from before what happened since.
  [[nodiscard]] bool outdates(const OrderRecord& record) const;
};

// Records in the store, sealed under the agent's key. Thread-safe as the store is.
class OrderRecords {
 public:
  // `reached`: where purchases are counted; none are without it.
  OrderRecords(Store& store, SealKey agent, ReachedNumbers* reached = nullptr)
      : store_(store), records_(store, std::move(agent)), reached_(reached) {}
  // Of all that are there, whether they can be read or not.
  Result<std::vector<std::string>> keys();
  // nullopt: there is none. Errors: action_required (locked, newer: leave it), storage (damaged: it was quarantined).
  Result<std::optional<OrderRecord>> load(const std::string& certificate, KeyAlgorithm algorithm);
  // The same by its key in the store, whatever certificate it speaks of.
  Result<std::optional<OrderRecord>> load_from(const std::string& key);
  // What was bought is counted after it is written, so that a record is never behind the count by itself.
  Result<Done> save(const OrderRecord& record, Durability durability);
  [[nodiscard]] LastPurchase last_purchase(const std::string& certificate, KeyAlgorithm algorithm);
  // Whatever became of the last purchase, nobody waits for it any more.
  Result<Done> close_purchase(const std::string& certificate, KeyAlgorithm algorithm);

 private:
  Store& store_;
  Records records_;
  ReachedNumbers* reached_;
};

}  // namespace evercert
