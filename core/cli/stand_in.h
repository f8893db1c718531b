// Stands in for the agent while none leads: takes the lead, becomes the owner of the state directory, and writes one
// generation at a time through the agent's own store. Rule: root never creates anything below state/, so the process gives up
// its privileges for good; whatever only root can read has to be read before.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/lead/election.h"
#include "agent/store/store.h"
#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "evercert/lines.h"
#include "evercert/state.h"
#include "serving/certificate/bundle.h"

namespace evercert {

class StandIn {
 public:
  // Errors: storage, when the directory cannot be opened or written by us; connection, when an agent leads though
  // it did not answer.
  static Result<StandIn> take_place(const std::string& state_path, SealKeys keys);

  // Proves the bundle, numbers and writes it, and tells the audit trail. Returns the generation. Errors as publish_bundle().
  Result<std::uint64_t> adopt(Bundle bundle);
  // Makes an earlier generation the newest again. Errors as rollback().
  Result<std::uint64_t> roll_back(const std::string& name, std::optional<std::uint64_t> to);
  // Writes the index of what is stored, so that the next start need not look into every bundle. Without it nothing is lost.
  Result<Done> keep_index(const std::vector<StoredLine>& lines) const;

 private:
  StandIn(std::string state_path, SealKeys keys, Descriptor leader_file, Election election, std::unique_ptr<Store> store)
      : state_path_(std::move(state_path)),
        keys_(std::move(keys)),
        leader_file_(std::move(leader_file)),
        election_(std::move(election)),
        reached_(std::make_unique<ReachedNumbers>(leader_file_.get())),
        store_(std::move(store)) {}
  // Keeps what was published.
  Result<std::uint64_t> written(const std::string& name, Result<std::uint64_t> generation, const char* event,
                                const std::string& what);

  void tell(const std::string& event, const std::string& name, std::uint64_t generation, const std::string& sentence) const;

  std::string state_path_;
  SealKeys keys_;
  Descriptor leader_file_;
  Election election_;
  std::unique_ptr<ReachedNumbers> reached_;
  std::unique_ptr<Store> store_;
};

// Whether a name may become the name of a certificate, and so of a directory.
bool usable_name(std::string_view name);

}  // namespace evercert
