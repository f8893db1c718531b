// Hearing of changes below the state directory by inotify; one thread and a handful of watches per subscription, however many
// certificates there are. See file_store.h for what is heard.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/store/store.h"
#include "evercert/descriptor.h"

namespace evercert {

Result<std::unique_ptr<StoreWatch>> watch_files(Descriptor state, std::string prefix,
                                                std::function<void(const std::string& key)> changed);

}  // namespace evercert
