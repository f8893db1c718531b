// An outlet hands generations to a server that does not read bundles itself, so that they are served. Publication gives it each
// one that is current; the proof follows once the outlet says that it is done.
// Rule: give() returns at once and may be called from any thread; for one certificate the newest generation wins.
#pragma once

#include <functional>
#include <string>

#include "evercert/result.h"
#include "serving/certificate/bundle.h"

namespace evercert {

class Outlet {
 public:
  // Called on the agent's main thread for each try: why it failed (the outlet tries again by itself), or Done, which is the
  // last. A newer generation of the certificate ends it as well.
  using Outcome = std::function<void(const Result<Done>&)>;
  virtual ~Outlet() = default;
  virtual void give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) = 0;
};

}  // namespace evercert
