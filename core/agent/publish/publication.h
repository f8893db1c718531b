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

#include "agent/deliver/delivery.h"
#include "agent/observe/event.h"
#include "agent/observe/status_report.h"
#include "agent/order/order_record.h"
#include "agent/publish/listener_proof.h"
#include "agent/renewal/renewal.h"
#include "agent/renewal/workers.h"
#include "agent/store/bundles.h"
#include "agent/store/revoked_leaves.h"
#include "evercert/board.h"
#include "evercert/leader_file.h"

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
    std::function<void(const std::string& certificate)> installed;  // a new generation is current, or revoked
    // A follower tells its leader; unset on the leader.
    std::function<void(const Event& outcome)> proved;
    std::function<void()> changed;  // the status differs though no event tells why; from any thread; may be unset
    Outlet* outlet = nullptr;       // where generations must be handed over before they can be served
    Delivery delivery{};
    ReachedNumbers* reached = nullptr;  // only the leader raises them
    Prover prove = evercert::prove;
  };
  explicit Publication(Parts parts) : parts_(std::move(parts)) {}

  // What is current of one certificate, as last seen.
  struct Current {
    std::uint64_t generation = 0;
    std::string issuer;
    std::string serial;
    std::vector<Identifier> identifiers;  // of the first leaf
    struct Pair {
      KeySpec key;
      Lifetime lifetime;
      Bytes leaf_sha256;
      Bytes public_key;
      bool covers = false;  // all names that are wanted
      bool wanted = true;   // this kind of key
    };
    std::vector<Pair> pairs;
    Time published_at;
    bool exported = false;
    // This generation, as a listener of the server presented it to this agent (or to one that follows it).
    std::optional<CertificateStatus::Served> served;
    std::optional<StatusProblem> stored;      // held, damaged or unreadable
    std::optional<StatusProblem> not_taken;   // by the server's worker
    std::optional<StatusProblem> not_served;  // the listeners present something else
    std::optional<StatusProblem> not_exported;
    std::optional<StatusProblem> hook_failed;
    std::vector<RevokedLeaf> revoked;
    bool held = false;
    bool unreadable = false;  // the store failed: nobody knows what there is
    bool untold = false;      // just published: its first proof is told, whoever asks for another one meanwhile
    // Since when one of its leaves is revoked.
    [[nodiscard]] std::optional<Time> revoked_at() const;
    [[nodiscard]] bool is_revoked(const Pair& pair) const;
    [[nodiscard]] std::optional<Lifetime> lifetime() const;  // that of the pair that ends first
  };
  [[nodiscard]] Current current(const std::string& certificate) const;
  // The generation that was reached, where the present one is older, or there is none.
  [[nodiscard]] std::optional<std::uint64_t> missing(const std::string& certificate) const;

  // Reads the newest generation from the store and puts it on the board. `prove`: asks the listeners too.
  Current look(const CertificateSpec& certificate, bool prove);
  // Whether what is served is still on the disk: whoever may write there may remove it, and only the next start would tell.
  void watch_file(const std::string& certificate);
  // A new generation with this pair; those of other kinds of key are carried over.
  Result<Done> publish(const CertificateSpec& certificate, BundlePair pair, const std::string& issuer,
                       const char* origin = "order");
  // The same with what another line has for all names of this one, when it lasts longer and is not due itself. False: it does
  // not, or there is nothing for this kind of key.
  Result<bool> cover(const CertificateSpec& certificate, KeyAlgorithm algorithm, const std::string& from);
  // The same for bundles that came otherwise (adopt, roll-back).
  Result<std::uint64_t> adopt(const CertificateSpec& certificate, Bundle bundle);
  Result<std::uint64_t> roll_back(const CertificateSpec& certificate, std::optional<std::uint64_t> to);
  [[nodiscard]] bool holds_key_of(const OrderRecord& record) const;
  // Leaves of the certificate must not be trusted any more: the status says so as long as they are current, also after
  // restarts.
  void revoked(const std::string& certificate, const std::vector<Bytes>& leaves);
  // What a follower did with it: exported, export_failed, told_to_hook, hook_failed.
  void delivered_elsewhere(const std::string& certificate, const std::string& what, std::uint64_t generation,
                           const std::string& message);
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
    bool revoked_read = false;
    std::uint64_t older_told = 0;  // guarded by one_at_a_time; the generation that was reached before
    std::uint64_t lost_told = 0;   // guarded by one_at_a_time; the generation whose file is gone
  };
  struct Heard {
    std::string listener;   // the first that was asked
    std::string complaint;  // empty: every listener sends every leaf
  };
  struct Shown {
    CertificateSpec certificate;
    std::uint64_t generation = 0;
    bool fresh = false;
  };
  Entry& entry(const std::string& certificate);
  Result<std::uint64_t> put(const CertificateSpec& certificate, Bundle bundle, Entry& entry, bool verified);
  void note(const CertificateSpec& certificate, Entry& entry, const Bundle& bundle);
  [[nodiscard]] std::optional<StatusProblem> lost_generation(const std::string& certificate, std::uint64_t newest) const;
  [[nodiscard]] std::uint64_t reached(const std::string& certificate) const;
  void keep_reached(const std::string& certificate, std::uint64_t generation, bool durable);
  // What there is (0: nothing) has been superseded before: told once, and a problem for as long as it is so.
  std::optional<StatusProblem> compare_with_reached(const std::string& certificate, Entry& entry, std::uint64_t generation);
  // Hands the generation over where that is needed, has it proved, exports it, tells the hook.
  void show(const CertificateSpec& certificate, const Bundle& bundle, bool fresh);
  void handed_over(const Shown& shown, const Result<Done>& result);
  void exported(const Shown& shown, const Result<Done>& result);
  void consider_hook(const Shown& shown);
  void tell_hook(const Shown& shown);
  void hooked(const Shown& shown, const Result<Done>& result);
  bool note_delivery(const Shown& shown, std::optional<StatusProblem> Current::*place, const Result<Done>& result,
                     StatusProblem problem, const char* done, const char* failed);
  [[nodiscard]] bool delivers(const CertificateSpec& certificate) const;
  void prove_later(const Shown& shown);
  Workers::Again prove_once(const Shown& shown, Time begun, bool first);
  Heard ask_listeners(const CertificateSpec& certificate, const std::vector<Current::Pair>& pairs, bool everywhere);
  void tell(const char* name, LogLevel level, const std::string& certificate, const std::string& sentence,
            std::vector<std::pair<std::string, std::string>> fields);

  Parts parts_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  // Listeners that another one hides at their first address; guarded by mutex_.
  std::map<std::string, ProofAddress> reached_at_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // outcomes come on the main thread, where this also ends
};

}  // namespace evercert
