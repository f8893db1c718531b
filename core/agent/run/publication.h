// What is published: puts bundles into the store and on the board, asks the server's own listeners whether they serve them, and
// knows for the status page what is served. Used by the leader (publish) and by every agent (show).
// Rule: one thread at a time per certificate; "served" is said only after a handshake showed the new leaf.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/deliver/outlet.h"
#include "agent/observe/event.h"
#include "agent/observe/status_report.h"
#include "agent/order/order_record.h"
#include "agent/renewal/renewal.h"
#include "agent/renewal/workers.h"
#include "agent/store/bundles.h"

namespace evercert {

class Publication {
 public:
  struct Parts {
    Store& store;
    const SealKey& serving;
    Board& board;
    const Clock& clock;
    Events& events;
    Workers& workers;
    std::function<void(const std::string& certificate)> installed;  // a new generation is current
    // A follower tells its leader; unset on the leader.
    std::function<void(const Event& outcome)> proved;
    std::function<void()> changed;  // the status differs though no event tells why; from any thread; may be unset
    Outlet* outlet = nullptr;       // where generations must be handed over before they can be served
  };
  explicit Publication(Parts parts) : parts_(std::move(parts)) {}

  // What is current of one certificate, as last seen.
  struct Current {
    std::uint64_t generation = 0;
    std::string issuer;
    std::string serial;
    std::vector<Identifier> identifiers;
    struct Pair {
      KeySpec key;
      Lifetime lifetime;
      Bytes leaf_sha256;
      Bytes public_key;
      bool covers = false;  // exactly the names that are wanted
    };
    std::vector<Pair> pairs;
    Time published_at;
    std::optional<CertificateStatus::Served> served;
    std::optional<StatusProblem> problem;  // held, damaged or not served
    bool held = false;
    bool unreadable = false;  // the store failed: nobody knows what there is
    bool not_served = false;
    bool untold = false;  // just published: its first proof is told, whoever asks for another one meanwhile
    [[nodiscard]] std::optional<Lifetime> lifetime() const;  // that of the pair that ends first
  };
  [[nodiscard]] Current current(const std::string& certificate) const;

  // Reads the newest generation from the store and puts it on the board. `prove`: asks the listeners too.
  Current look(const CertificateSpec& certificate, bool prove);
  // A new generation with this pair; those of other kinds of key are carried over.
  Result<Done> publish(const CertificateSpec& certificate, BundlePair pair, const std::string& issuer,
                       const char* origin = "order");
  // The same for bundles that came otherwise (adopt, roll-back).
  Result<std::uint64_t> adopt(const CertificateSpec& certificate, Bundle bundle);
  Result<std::uint64_t> roll_back(const CertificateSpec& certificate, std::optional<std::uint64_t> to);
  [[nodiscard]] bool holds_key_of(const OrderRecord& record) const;
  // A follower's server serves it (or not).
  void proved_elsewhere(const std::string& certificate, std::uint64_t generation, const std::string& listener, bool served,
                        const std::string& message);

 private:
  // What a follower proved of a generation that this agent is still publishing.
  struct Early {
    std::uint64_t generation;
    std::string listener;
    bool served;
    std::string message;
  };
  struct Entry {
    std::mutex one_at_a_time;
    std::optional<Early> early;  // guarded by mutex_
    Current current;             // guarded by mutex_
    std::optional<CertificateSlot> slot;
    std::set<std::string> foreign_told;  // guarded by one_at_a_time; files that were reported as not ours
  };
  Entry& entry(const std::string& certificate);
  Result<std::uint64_t> put(const CertificateSpec& certificate, Bundle bundle, Entry& entry, bool verified);
  void note(const CertificateSpec& certificate, Entry& entry, const Bundle& bundle);
  // Hands the generation over where that is needed, then has it proved.
  void show(const CertificateSpec& certificate, const Bundle& bundle, bool fresh);
  void prove_later(const CertificateSpec& certificate, std::uint64_t generation, bool fresh);
  Workers::Again prove_once(const CertificateSpec& certificate, std::uint64_t generation, bool fresh, Time begun);
  void tell(const char* name, LogLevel level, const std::string& certificate, const std::string& sentence,
            std::vector<std::pair<std::string, std::string>> fields);

  Parts parts_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // outcomes come on the main thread, where this also ends
};

}  // namespace evercert
