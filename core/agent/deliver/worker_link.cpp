#include "agent/deliver/worker_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "evercert/board.h"
#include "serving/base/bounds.h"
#include "serving/base/json.h"
#include "serving/certificate/pem.h"
#include "serving/launch/carried_format.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

// The worker takes them one by one, with pauses: more than this would only lie about in a socket.
constexpr unsigned most_in_flight = 16;
constexpr std::chrono::seconds silence_bound{60};
constexpr std::chrono::milliseconds delivery_pauses[] = {std::chrono::milliseconds(1000), std::chrono::milliseconds(5000),
                                                         std::chrono::milliseconds(25000), std::chrono::milliseconds(120000)};

Result<Secret> message_of(const CertificateSpec& certificate, const Bundle& bundle) {
  auto files = pem_files_of(certificate, bundle);
  if (!files) return files.error();
  Json names = Json::array();
  Json sizes = Json::array();
  std::size_t room = 0;
  for (const PemFile& file : *files) {
    names.push_back(file.name);
    sizes.push_back(file.content.view().size());
    room += file.content.view().size();
  }
  const std::string header = dump_json({{"certificate", certificate.name},
                                        {"generation", bundle.generation},
                                        {"files", std::move(names)},
                                        {"sizes", std::move(sizes)}}) +
                             "\n";
  if (header.size() + room > largest_link_message) {
    return Error{ErrorKind::internal, "the certificate " + certificate.name + " with its chain is " +
                                          std::to_string(header.size() + room) + " bytes long, which is too much for a worker"};
  }
  Bytes bytes;
  bytes.reserve(header.size() + room);  // no copies left behind by growing
  bytes.insert(bytes.end(), header.begin(), header.end());
  for (const PemFile& file : *files) bytes.insert(bytes.end(), file.content.view().begin(), file.content.view().end());
  return Secret(std::move(bytes));
}

}  // namespace

WorkerLink::WorkerLink(Loop& loop, int descriptor, std::shared_ptr<const Plan> plan, const Board& board,
                       const ReportPage& report, Logger& log)
    : loop_(loop), descriptor_(descriptor), plan_(std::move(plan)), board_(board), report_(report), log_(log) {
  loop_.watch(descriptor_, POLLIN, [this](short) { hear(); });
  watch_silence();
}

WorkerLink::~WorkerLink() {
  loop_.unwatch(descriptor_);
}

void WorkerLink::give(const CertificateSpec& certificate, const Bundle& bundle, Outcome outcome) {
  // A certificate of another server on the same state directory is not this worker's.
  const CertificateSpec* const own = plan_->certificate(certificate.name);
  Result<Secret> message = own == nullptr ? Result<Secret>(Secret()) : message_of(*own, bundle);
  loop_.post([this, name = certificate.name, generation = bundle.generation, message = std::move(message),
              outcome = std::move(outcome), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (alive.expired()) return;
    if (!message) return outcome(message.error());
    if (message->empty() || has_already(name, generation)) return outcome(Done{});
    accept(name, generation, std::move(*message), std::move(outcome));
  });
}

bool WorkerLink::has_already(const std::string& certificate, std::uint64_t generation) const {
  const auto slot = board_.find(certificate);
  return slot && report_.loaded(*slot) == generation;
}

void WorkerLink::accept(const std::string& certificate, std::uint64_t generation, Secret message, Outcome outcome) {
  Entry& entry = entries_[certificate];
  entry.outcomes.push_back(std::move(outcome));
  if (entry.generation >= generation) return;
  const bool queued = entry.generation != 0 && !entry.sent;
  if (entry.sent) --in_flight_;
  entry.generation = generation;
  entry.message = std::move(message);
  entry.sent = false;
  entry.failures = 0;
  if (!queued) queue_.push_back(certificate);
  pump();
}

void WorkerLink::pump() {
  while (!queue_.empty() && in_flight_ < most_in_flight) {
    const std::string name = queue_.front();
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.sent) {
      queue_.pop_front();
      continue;
    }
    const BytesView bytes = found->second.message.view();
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      loop_.watch(descriptor_, POLLIN | POLLOUT, [this](short) { hear(); });
      return;
    }
    const int code = errno;
    queue_.pop_front();
    found->second.sent = true;
    found->second.since = std::chrono::steady_clock::now();
    ++in_flight_;
    if (sent < 0)
      failed(name, found->second.generation, system_error(ErrorKind::internal, "cannot reach the worker", code).message);
  }
  loop_.watch(descriptor_, POLLIN, [this](short) { hear(); });
}

void WorkerLink::hear() {
  std::array<char, 4096> text;
  for (unsigned count = 0; count < 2 * most_in_flight; ++count) {
    const ssize_t size = ::recv(descriptor_, text.data(), text.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    // The server has gone; the channel tells so, too.
    if (size <= 0) return loop_.unwatch(descriptor_);
    if (static_cast<std::size_t>(size) > text.size()) continue;
    const auto message = parse_json({text.data(), static_cast<std::size_t>(size)}, "a message of the worker");
    if (message && message->is_object()) understand(*message);
  }
  pump();
}

void WorkerLink::understand(const Json& message) {
  const auto generation = json_number(message, "generation", "a message", 1, static_cast<std::int64_t>(highest_generation));
  if (const auto name = json_text(message, "swapped", "a message"); name && generation) {
    taken(*name, static_cast<std::uint64_t>(*generation));
  } else if (const auto refused = json_text(message, "refused", "a message"); refused && generation) {
    const auto why = json_text(message, "message", "a message");
    failed(*refused, static_cast<std::uint64_t>(*generation), why ? *why : "no reason given");
  } else if (const auto wish = json_text(message, "renew", "a message"); wish) {
    const bool known = plan_->certificate(*wish) != nullptr;
    const std::string said = !known   ? "no certificate has this name"
                             : renew_ ? renew_(*wish)
                                      : "the agent does not lead yet; try again in a second";
    const std::string answer = dump_json({{"renewal", known ? *wish : wish->substr(0, 255)}, {"said", said}}) + "\n";
    static_cast<void>(::send(descriptor_, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL) == 0);
  }
}

void WorkerLink::taken(const std::string& certificate, std::uint64_t generation) {
  const auto found = entries_.find(certificate);
  if (found == entries_.end() || !found->second.sent || found->second.generation != generation) return;
  const auto outcomes = std::move(found->second.outcomes);
  entries_.erase(found);
  --in_flight_;
  for (const Outcome& outcome : outcomes) outcome(Done{});
}

void WorkerLink::failed(const std::string& certificate, std::uint64_t generation, const std::string& why) {
  const auto found = entries_.find(certificate);
  if (found == entries_.end() || !found->second.sent || found->second.generation != generation) return;
  Entry& entry = found->second;
  entry.sent = false;
  --in_flight_;
  const auto pause = delivery_pauses[std::min<std::size_t>(entry.failures++, std::size(delivery_pauses) - 1)];
  log_.write(LogLevel::error, "the server does not take generation " + std::to_string(generation) + ": " + why +
                                  "; what it served before is served on certificate=\"" + certificate + "\"");
  for (const Outcome& outcome : entry.outcomes) outcome(Error{ErrorKind::internal, why});
  loop_.after(pause, [this, certificate, generation, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    const auto again = entries_.find(certificate);
    if (again == entries_.end() || again->second.generation != generation || again->second.sent) return;
    queue_.push_back(certificate);
    pump();
  });
}

// A worker that stopped answering would otherwise leave its places taken for ever.
void WorkerLink::watch_silence() {
  loop_.after(std::chrono::seconds(5), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    std::vector<std::pair<std::string, std::uint64_t>> silent;
    for (const auto& [name, entry] : entries_)
      if (entry.sent && std::chrono::steady_clock::now() - entry.since > silence_bound)
        silent.emplace_back(name, entry.generation);
    for (const auto& [name, generation] : silent) failed(name, generation, "its worker has not answered for a minute");
    watch_silence();
  });
}

}  // namespace evercert
