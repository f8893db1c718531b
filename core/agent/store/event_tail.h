// Reads what is appended to events/*.jsonl and tells which certificates the new lines speak of. Used by the watch of
// "certificates/" alone.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "evercert/board.h"

namespace evercert {

class EventTail {
 public:
  using Told = std::function<void(const std::string& key)>;

  // Takes what is in the directory now as read already.
  void skip_present(int events);
  // Reads what one file has grown by; whole lines only, the rest waits for its end.
  void read_new(int events, const std::string& name, const Told& told);

 private:
  struct Progress {
    ino_t inode = 0;  // another file may have taken the name
    off_t read = 0;
  };
  std::map<std::string, Progress> progress_;
};

// The key that a line of an event file speaks of, empty when none.
std::string key_of_event(std::string_view line);

}  // namespace evercert
