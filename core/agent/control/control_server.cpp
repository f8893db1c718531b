#include "agent/control/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/control/control.h"
#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/limits.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

constexpr const char* socket_name = "agent.sock";
constexpr std::size_t longest_clear_line = std::size_t{4} << 10;
// Before a peer has proved itself.
constexpr std::size_t longest_proof = 256;
constexpr std::size_t longest_sealed_request = largest_plan_line;
constexpr std::size_t most_unread = largest_answer_line;

// Connections that have not proved themselves: in all, and of one user that is not root. Proved ones are followers, and command
// lines of people.
constexpr std::size_t most_strangers = 96;
constexpr std::size_t most_strangers_of_a_user = 64;
constexpr std::size_t most_proved = 256;
constexpr std::chrono::seconds time_to_prove{10};
constexpr std::chrono::milliseconds between_sweeps{1000};
constexpr std::chrono::milliseconds without_descriptors{200};

// A directory has our name: out of the way, with what is in it.
bool set_aside(int directory) {
  const std::string aside = std::string(".") + socket_name + "." + to_hex(random_bytes(3));
  return unlinkat(directory, socket_name, AT_REMOVEDIR) == 0 || renameat(directory, socket_name, directory, aside.c_str()) == 0;
}

}  // namespace

ControlServer::~ControlServer() {
  if (listener_.valid()) loop_.unwatch(listener_.get());
  for (const auto& [client, peer] : peers_) loop_.unwatch(peer.socket.get());
}

Result<Done> ControlServer::open(const std::string& state_path) {
  Descriptor directory(::open((state_path + "/state").c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return system_error(ErrorKind::storage, "cannot open " + state_path + "/state", errno);
  // A path longer than an address has room for is reached through its folder.
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/agent.sock";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  if (unlinkat(directory.get(), socket_name, 0) != 0 && errno != ENOENT && !set_aside(directory.get())) {
    return system_error(ErrorKind::storage, "cannot remove the old control socket", errno);
  }
  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0117);
  const bool bound = listener.valid() && bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  const int reason = errno;
  umask(before);
  if (!bound) return system_error(ErrorKind::storage, "cannot make the control socket in " + state_path + "/state", reason);
  if (listen(listener.get(), 64) != 0) return system_error(ErrorKind::storage, "cannot listen on the control socket", errno);
  if (fstatat(directory.get(), socket_name, &named_, AT_SYMLINK_NOFOLLOW) != 0)
    return system_error(ErrorKind::storage, "cannot find the control socket", errno);
  if (listener_.valid()) loop_.unwatch(listener_.get());
  listener_ = std::move(listener);
  directory_ = std::move(directory);
  listen_again();
  return Done{};
}

bool ControlServer::lost_its_name() const {
  struct stat present {};
  return listener_.valid() && (fstatat(directory_.get(), socket_name, &present, AT_SYMLINK_NOFOLLOW) != 0 ||
                               present.st_ino != named_.st_ino || present.st_dev != named_.st_dev);
}

void ControlServer::listen_again() {
  loop_.watch(listener_.get(), POLLIN, [this](short) { accept_one(); });
}

void ControlServer::accept_one() {
  auto accepted = acceptor_.accept(listener_.get());
  if (accepted.outcome == Acceptor::Outcome::nothing) return;
  if (accepted.outcome == Acceptor::Outcome::exhausted) {
    static_cast<void>(make_room(std::nullopt));
    loop_.unwatch(listener_.get());
    loop_.after(without_descriptors, [this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) listen_again();
    });
    return;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(accepted.socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  std::size_t strangers = 0;
  std::size_t of_this_user = 0;
  for (const auto& [client, other] : peers_) {
    strangers += other.proved || other.uid == 0 ? 0 : 1;
    of_this_user += !other.proved && other.uid == peer.uid ? 1 : 0;
  }
  const bool full = of_this_user >= most_strangers_of_a_user || (peer.uid != 0 && strangers >= most_strangers);
  if (full && !make_room(peer.uid)) return;
  if (accepted.outcome == Acceptor::Outcome::on_reserve && !make_room(std::nullopt) && peer.uid != 0) return;
  const Client client = next_++;
  const int descriptor = accepted.socket.get();
  Peer& fresh = peers_[client];
  fresh.socket = std::move(accepted.socket);
  fresh.uid = peer.uid;
  fresh.since = std::chrono::steady_clock::now();
  loop_.watch(descriptor, POLLIN, [this, client](short events) { ready(client, events); });
  if (!std::exchange(sweeping_, true)) sweep();
}

// Ends the oldest connection without a proof: of this user, or of anybody but root. Clients are numbered as they come.
bool ControlServer::make_room(std::optional<uid_t> user) {
  const auto oldest = std::find_if(peers_.begin(), peers_.end(), [&](const auto& entry) {
    const Peer& peer = entry.second;
    return !peer.proved && (user ? peer.uid == *user : peer.uid != 0);
  });
  if (oldest == peers_.end()) return !user ? false : *user != 0 && make_room(std::nullopt);
  drop(oldest->first);
  return true;
}

void ControlServer::sweep() {
  const auto latest = std::chrono::steady_clock::now() - time_to_prove;
  std::vector<Client> late;
  for (const auto& [client, peer] : peers_) {
    if (!peer.proved && peer.since < latest) late.push_back(client);
  }
  for (const Client client : late) drop(client);
  sweeping_ = !peers_.empty();
  if (!sweeping_) return;
  loop_.after(between_sweeps, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) sweep();
  });
}

void ControlServer::ready(Client client, short events) {
  if ((events & POLLOUT) != 0) flush(client);
  if (!peers_.contains(client)) return;
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !read(client)) drop(client);
}

// False: this peer must go.
bool ControlServer::read(Client client) {
  Peer& peer = peers_.at(client);
  char received[16384];
  const ssize_t count = ::read(peer.socket.get(), received, sizeof received);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  peer.in.append(received, static_cast<std::size_t>(count));
  return read_clear(client) && (!peers_.contains(client) || read_sealed(client));
}

// Until the client says its number.
bool ControlServer::read_clear(Client client) {
  Peer& peer = peers_.at(client);
  std::size_t end = 0;
  while (!peer.stream && (end = peer.in.find('\n')) != std::string::npos) {
    const std::string line = peer.in.substr(0, end);
    peer.in.erase(0, end + 1);
    const auto request = parse_json(line, "the request");
    if (!request || !request->is_object()) return false;
    if (request->contains("seal")) {
      const auto number = json_text(*request, "seal", "the request");
      if (!number || !greet(peer, *number)) return false;
      flush(client);
    } else {
      handlers_.request(client, *request, false);
    }
    if (!peers_.contains(client)) return true;
  }
  return peer.stream || peer.in.size() <= longest_clear_line;
}

bool ControlServer::greet(Peer& peer, const std::string& number) {
  const auto theirs = from_base64url(number);
  if (!theirs || theirs->size() != SealedStream::number_size) return false;
  const Bytes ours = random_bytes(SealedStream::number_size);
  auto stream = SealedStream::begin(agent_, *theirs, ours, SealedStream::Side::server);
  if (!stream) return false;
  const auto proof = stream->seal(dump_json(Json{{"agent", getpid()}}));
  if (!proof) return false;
  peer.stream = std::move(*stream);
  peer.out += dump_json(Json{{"seal", to_base64url(ours)}}) + "\n" + *proof;
  return true;
}

bool ControlServer::read_sealed(Client client) {
  Peer& peer = peers_.at(client);
  while (peer.stream) {
    auto message = peer.stream->open(peer.in, peer.proved ? longest_sealed_request : longest_proof);
    if (!message) return false;
    if (!*message) return true;
    if (!peer.proved) {
      const auto proved = std::count_if(peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second.proved; });
      if (static_cast<std::size_t>(proved) >= most_proved) return false;
      peer.proved = true;
      continue;
    }
    const auto request = parse_json(**message, "the request");
    if (!request || !request->is_object()) return false;
    handlers_.request(client, *request, true);
    if (!peers_.contains(client)) return true;
  }
  return true;
}

void ControlServer::send(Client client, const nlohmann::json& message) {
  const auto found = peers_.find(client);
  if (found == peers_.end() || found->second.ending) return;
  Peer& peer = found->second;
  const std::string text = dump_json(message);
  if (peer.stream) {
    const auto frame = peer.stream->seal(text);
    if (!frame) return drop(client);
    peer.out += *frame;
  } else {
    peer.out += text + "\n";
  }
  if (peer.out.size() > most_unread) {
    drop(client);
    return;
  }
  flush(client);
}

void ControlServer::say_alive() {
  std::vector<Client> all;
  for (const auto& [client, peer] : peers_) {
    if (peer.proved) all.push_back(client);
  }
  for (const Client client : all) send(client, Json{{"alive", 1}});
}

void ControlServer::finish(Client client, int exit, const std::string& message) {
  send(client, Json{{"done", true}, {"exit", exit}, {"message", message}});
  const auto found = peers_.find(client);
  if (found == peers_.end()) return;
  found->second.ending = true;
  if (found->second.out.empty()) drop(client);
}

void ControlServer::flush(Client client) {
  Peer& peer = peers_.at(client);
  while (!peer.out.empty()) {
    const ssize_t count = ::send(peer.socket.get(), peer.out.data(), peer.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) {
      drop(client);
      return;
    }
    if (count < 0) break;
    peer.out.erase(0, static_cast<std::size_t>(count));
  }
  if (peer.out.empty() && peer.ending) {
    drop(client);
    return;
  }
  const auto events = static_cast<short>(peer.out.empty() ? POLLIN : POLLIN | POLLOUT);
  loop_.watch(peer.socket.get(), events, [this, client](short seen) { ready(client, seen); });
}

void ControlServer::drop(Client client) {
  const auto found = peers_.find(client);
  if (found == peers_.end()) return;
  loop_.unwatch(found->second.socket.get());
  peers_.erase(found);
  handlers_.gone(client);
}

}  // namespace evercert
