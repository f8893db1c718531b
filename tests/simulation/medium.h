// The state directory in memory: what a file system does of it, with all that a file system does wrong. Objects are whole or
// not at all, as the file store has it; what was not fsynced may be gone after a power cut.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/store/store.h"
#include "evercert/state.h"
#include "simulation/times.h"

namespace evercert::simulation {

class Medium {
 public:
  enum class Deed { read, write, erase, move };
  // Before and after each deed. May throw Killed; an error before a write: the disk is full, or fails.
  struct Fate {
    std::function<std::optional<Error>(Deed deed, const std::string& key)> before;
    std::function<void(Deed deed, const std::string& key)> after;
  };
  Medium(const Times& times, Fate fate) : times_(times), fate_(std::move(fate)) {}

  // What one process sees. Its locks end with it.
  std::unique_ptr<Store> open();
  std::unique_ptr<StateFiles> reader() const;

  // A power cut: of what was not fsynced, `keeps` says what is there still.
  void lose_unsynced(const std::function<bool()>& keeps);
  // Somebody changes a byte in the middle, or puts a file there.
  void damage(const std::string& key);
  void put_there(const std::string& key, Bytes bytes);

  [[nodiscard]] std::vector<std::string> keys(const std::string& prefix) const;
  [[nodiscard]] const Bytes* find(const std::string& key) const;
  // Rises with each change below certificates/.
  [[nodiscard]] std::uint64_t certificates_changed() const { return certificates_changed_; }
  // Killed writers' temporary files.
  void leave_unfinished() { ++unfinished_; }
  [[nodiscard]] std::size_t unfinished() const { return unfinished_; }

 private:
  class View;
  class Reader;
  struct Object {
    Bytes bytes;
    std::uint64_t revision = 0;
    std::optional<std::optional<Bytes>> on_disk;  // what a power cut leaves, where it is something else
  };
  void changed(const std::string& key);
  void set(const std::string& key, Bytes bytes, bool durable);
  void remove(const std::string& key);

  const Times& times_;
  Fate fate_;
  std::map<std::string, Object> objects_;
  std::map<std::string, std::optional<Bytes>> erased_;  // erased, and not yet on the disk
  std::set<std::string> unsynced_;
  std::uint64_t revision_ = 0;
  std::uint64_t certificates_changed_ = 0;
  std::size_t unfinished_ = 0;
  std::set<std::string> locked_;
  std::map<std::uint64_t, std::pair<std::string, std::function<void(const std::string&)>>> watches_;
  std::uint64_t next_watch_ = 0;
};

}  // namespace evercert::simulation
