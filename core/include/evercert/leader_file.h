// state_path/leader: a file of whoever starts the server (root, 0600), which agents are only handed as an open descriptor, so
// that the user they run as cannot reach it otherwise. Its lock says which agent leads (agent/lead/election.h); its content
// says which number each of these has reached, so that it is noticed when what lies below state/ is from before:
//   NAME                          the generation of that certificate
//   orders/NAME.ALGORITHM.order   its purchases for that kind of key (agent/order/order_record.h)
//
// Bytes: 64 that say what it is, then 64 for each of them, two slots of 32: SHA-256 of the name, first half; number
// (u64, big-endian); first 8 bytes of the SHA-256 of the 24 before. The higher one that is whole counts, the other one is
// written: a write that a power cut tears leaves the number before.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "evercert/descriptor.h"
#include "evercert/result.h"

namespace evercert {

// Made where it is missing, at a real start only. Errors: storage; one of another user, or open to others, is refused.
Result<Descriptor> open_leader_file(const std::string& state_path);
// The same without making one.
Result<std::optional<Descriptor>> existing_leader_file(const std::string& state_path);
// For a test of the configuration: what lies there, if anything does, is what a start would open, once the disk can be written.
Result<Done> examine_leader_file(const std::string& state_path);

// Thread-safe. One process at a time writes, the leader; others see what it wrote.
class ReachedNumbers {
 public:
  // `file` stays with its owner, and is not to be opened a second time: closing either would give the lock up.
  explicit ReachedNumbers(int file) : file_(file) {}

  // 0: none is known of.
  [[nodiscard]] std::uint64_t of(const std::string& name);
  // A lower number than the present one is ignored. `durable`: not lost in a power cut; what is also to be seen on the disk can
  // do without. Errors: storage.
  Result<Done> raise(const std::string& name, std::uint64_t number, bool durable = true);

 private:
  void read_new();
  Result<bool> write(const std::string& name, std::uint64_t number);
  [[nodiscard]] std::uint64_t read(std::size_t entry, const std::string& short_name) const;

  const int file_;
  std::mutex mutex_;
  bool readable_ = false;  // what lies there is ours
  std::size_t known_ = 0;  // entries that have been read
  std::map<std::string, std::size_t> entries_;
};

// What is said of a certificate whose newest generation is older than one that was reached; `present` 0: there is none at all.
std::string older_generation_sentence(const std::string& certificate, std::uint64_t present, std::uint64_t reached);

}  // namespace evercert
