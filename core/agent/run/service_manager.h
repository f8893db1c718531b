// What a service manager is told of us: the protocol of sd_notify(3), which needs no library. Datagrams with one word each, to
// the socket that NOTIFY_SOCKET names: a path, or, after "@", a name in the abstract namespace.
#pragma once

#include <string>

#include "evercert/descriptor.h"

namespace evercert {

class ServiceManager {
 public:
  // Connects at once, while we may still do so as the user we were started as. Without an address, or where nobody listens
  // there, it stays silent: no manager has to be there for us to work.
  explicit ServiceManager(const std::string& address);

  void ready() const { say("READY=1"); }     // the configuration holds, challenges can be answered
  void alive() const { say("WATCHDOG=1"); }  // the main thread goes round; a unit with WatchdogSec= wants to hear it
  void stopping() const { say("STOPPING=1"); }

 private:
  void say(const char* word) const;

  Descriptor socket_;
};

}  // namespace evercert
