// The store as files below state_path/state. Used by the agent (and by the command line while no agent leads).
// Rule: whoever writes there writes through this class; readers of other processes only ever see whole files.
//
// Modes: directories 0750, bundles 0640, everything else 0600. An unfinished file is called ".<name>.XXXXXX";
// so is an empty one that waits for the next write.
// Erasing is not fsynced: after a power cut an erased object may be back, never half of it.
//
// Watching covers the one directory that the prefix names, not those below it, except for "certificates/": its changes are
// read from the lines that the leader appends to events/*.jsonl ({"certificate":N,"generation":G}; without a generation the
// key told is the directory "certificates/<name>/"), because ten thousand directories would need as many watches.
// A watch must not be destroyed from within its own callback.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "agent/store/store.h"
#include "evercert/descriptor.h"

namespace evercert {

struct FileStoreOptions {
  std::optional<std::uint32_t> group = {};  // of everything made; unset: as the system does it
};

// `state`: state_path/state, opened for reading. `leader_file`: stays with its owner and holds the locks of all who write there
// (leader_locks.h).
std::unique_ptr<Store> make_file_store(Descriptor state, int leader_file, FileStoreOptions options);

// Removes what killed writers left behind: files called as above that were last written over an hour before `now`. For the
// leader, once at its start. Returns how many.
Result<std::size_t> sweep_unfinished_files(int state, std::chrono::system_clock::time_point now);

}  // namespace evercert
