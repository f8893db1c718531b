// What an agent does with each generation of its own server's certificates beside having it served.
#pragma once

#include <memory>

#include "agent/deliver/hook.h"
#include "agent/deliver/outlet.h"

namespace evercert {

struct Delivery {
  std::shared_ptr<const Plan> plan;  // only its certificates are delivered: on a
                                     // shared state directory there are others
  Outlet* exports = nullptr;         // files for other software, or null
  Hook* hook = nullptr;              // or null
  // Without a server of ours: other software serves what is exported, once the hook has told it. The proof comes last then,
  // else it comes before the hook.
  bool serves = false;
};

}  // namespace evercert
