#include "agent/observe/event_log.h"

#include "evercert/text.h"

namespace evercert {
namespace {

using namespace std::chrono_literals;

constexpr auto quiet_time = 1h;
constexpr std::size_t most_remembered = 4096;

void append_field(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) {
    return;
  }
  line += line.ends_with('"') ? " " : ", ";
  line += name;
  line += "=\"";
  for (const char letter : printable(value, longest_quote)) {
    if (letter == '"' || letter == '\\') {
      line += '\\';
    }
    line += letter;
  }
  line += '"';
}

}  // namespace

std::string log_line(const Event& event) {
  std::string fields;
  append_field(fields, "certificate", event.certificate);
  append_field(fields, "issuer", event.issuer);
  for (const auto& [name, value] : event.fields) {
    if (name == "order") {
      append_field(fields, name, value);
    }
  }
  return printable(event.sentence.empty() ? event.name : event.sentence, longest_sentence) + fields;
}

void EventLog::record(const Event& event) {
  if (event.level != LogLevel::error && event.level != LogLevel::warn) {
    log_->write(event.level, log_line(event));
    return;
  }
  if (seen_.size() >= most_remembered) {
    std::erase_if(seen_, [&](const auto& entry) { return event.at - entry.second.written >= quiet_time; });
  }
  if (seen_.size() >= most_remembered) {
    seen_.clear();
  }
  const std::string key = event.certificate + '\0' + event.name + '\0' + event.sentence;
  const auto [entry, is_new] = seen_.try_emplace(key, Repetition{event.at, 0});
  Repetition& repetition = entry->second;
  if (!is_new && event.at - repetition.written < quiet_time && event.at >= repetition.written) {
    ++repetition.held_back;
    return;
  }
  Event told = event;
  if (repetition.held_back > 0) {
    told.sentence += " (" + std::to_string(repetition.held_back) + " more times since this was last written)";
  }
  log_->write(event.level, log_line(told));
  repetition = {event.at, 0};
}

}  // namespace evercert
