// Locks as files: locks/<hash of the name>, held by an open-file-description lock, which the kernel frees whatever way the
// holder dies, and which no other descriptor of the same process can drop. The file holds the fence, a counter of holders.
#pragma once

#include <memory>
#include <string>

#include "agent/store/store.h"
#include "evercert/descriptor.h"

namespace evercert {

// `directory`: locks/. A null pointer: held by another after `wait`, or stopped.
Result<std::unique_ptr<StoreLock>> lock_file(Descriptor directory, const std::string& name, std::chrono::milliseconds wait,
                                             const std::stop_token& stop);

}  // namespace evercert
