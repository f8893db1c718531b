// Bundles in the store: numbering, publication, fall-back and roll-back. Used by order/ and run/.
// Rule: a generation number is never used twice, and no file under another seal key or of a newer release is ever replaced.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/store/store.h"
#include "serving/certificate/bundle.h"

namespace evercert {

struct PublishOptions {
  std::uint64_t above = 0;  // a generation known from elsewhere (the board): the new one is higher
  bool verified = false;    // verify_bundle() has just passed on this very bundle
  // Told the generation as soon as it is on disk, before older ones are removed.
  std::function<void(std::uint64_t generation)> committed = {};
};

// Verifies, numbers (bundle.generation is ignored) and puts durably; keeps the previous generation that opens, removes older
// ones. Returns the generation. Errors: storage; action_required when the newest on disk is locked or of a newer release.
Result<std::uint64_t> publish_bundle(Store& store, const SealKey& serving, Bundle bundle,
                                     std::chrono::system_clock::time_point now, const PublishOptions& options = {});

// Whether that generation has a file.
Result<bool> has_generation(Store& store, const std::string& name, std::uint64_t generation);

struct NewestBundle {
  std::optional<Bundle> bundle;  // the newest that opens
  // Set when a newer file than that one is locked or of a newer release: no order may be placed until a person decides.
  std::optional<Error> held;
  std::vector<Error> damaged;  // what was damaged or foreign and lies in quarantine now
  // Keys that end like a bundle's and carry no number that we would ever write: ignored, for a person to look at.
  std::vector<std::string> foreign;
};
// What there is of a certificate. Damaged and foreign files are quarantined, and the generation before is used.
Result<NewestBundle> newest_bundle(Store& store, const SealKey& serving, const std::string& name);

// The highest number up to `limit` that a damaged bundle of the certificate took with it to quarantine/, or 0; it stays used.
Result<std::uint64_t> highest_quarantined(Store& store, const std::string& name, std::uint64_t limit);

// A new generation with the content of an older one: `to`, or the one before the newest. Refused (storage) when that one has
// expired, is not there, or was revoked at our wish; action_required when it is locked or of a newer release.
Result<std::uint64_t> rollback(Store& store, const SealKey& serving, const std::string& name, std::optional<std::uint64_t> to,
                               std::chrono::system_clock::time_point now, const PublishOptions& options = {});

}  // namespace evercert
