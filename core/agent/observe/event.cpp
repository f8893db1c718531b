#include "agent/observe/event.h"

#include "evercert/settings.h"
#include "evercert/text.h"

namespace evercert {

void Events::subscribe(Listener listener) {
  const std::lock_guard<std::mutex> guard(mutex_);
  listeners_.push_back(std::move(listener));
}

void Events::tell(Event event) {
  if (event.at == std::chrono::system_clock::time_point{}) {
    event.at = std::chrono::system_clock::now();
  }
  event.sentence = printable(spelled(event.sentence, server_), longest_sentence);
  for (auto& field : event.fields) {
    field.second = printable(field.second, longest_quote);
  }
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const Listener& listener : listeners_) {
    // One listener that fails must not keep the fact from the others.
    at_boundary(
        false,
        [&] {
          listener(event);
          return true;
        },
        [](const std::string&) {});
  }
}

}  // namespace evercert
