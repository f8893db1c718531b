#include "agent/run/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/run/control.h"
#include "serving/base/files.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

constexpr std::size_t most_clients = 128;
constexpr std::size_t longest_request = std::size_t{64} << 10;
constexpr std::size_t most_begun = 2 * largest_plan_line;  // of all clients together, in lines that have not ended yet
constexpr std::size_t most_unread = std::size_t{4} << 20;

}  // namespace

ControlServer::~ControlServer() {
  if (listener_.valid()) loop_.unwatch(listener_.get());
  for (const auto& [client, peer] : peers_) loop_.unwatch(peer.socket.get());
}

Result<Done> ControlServer::open(const std::string& state_path) {
  struct stat root {};
  if (::stat(state_path.c_str(), &root) != 0) return system_error(ErrorKind::storage, "cannot look at " + state_path, errno);
  owner_may_change_ = root.st_uid != 0;

  const Descriptor directory(::open((state_path + "/state").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return system_error(ErrorKind::storage, "cannot open " + state_path + "/state", errno);
  // A path longer than an address has room for is reached through its folder.
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + "/agent.sock";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  if (unlinkat(directory.get(), "agent.sock", 0) != 0 && errno != ENOENT) {
    return system_error(ErrorKind::storage, "cannot remove the old control socket", errno);
  }
  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0117);
  const bool bound = listener.valid() && bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
  const int reason = errno;
  umask(before);
  if (!bound) return system_error(ErrorKind::storage, "cannot make the control socket in " + state_path + "/state", reason);
  if (listen(listener.get(), 64) != 0) return system_error(ErrorKind::storage, "cannot listen on the control socket", errno);
  listener_ = std::move(listener);
  loop_.watch(listener_.get(), POLLIN, [this](short) { accept_one(); });
  return Done{};
}

void ControlServer::accept_one() {
  Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid() || peers_.size() >= most_clients) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  const Client client = next_++;
  const int descriptor = socket.get();
  peers_[client] = Peer{std::move(socket), peer.uid, {}, {}, false};
  loop_.watch(descriptor, POLLIN, [this, client](short events) { ready(client, events); });
}

void ControlServer::ready(Client client, short events) {
  if ((events & POLLOUT) != 0) flush(client);
  if (!peers_.contains(client)) return;
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_lines(client)) drop(client);
}

bool ControlServer::read_lines(Client client) {
  Peer& peer = peers_.at(client);
  char received[16384];
  const ssize_t count = ::read(peer.socket.get(), received, sizeof received);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  std::size_t searched = peer.in.size();
  peer.in.append(received, static_cast<std::size_t>(count));
  const bool trusted = peer.uid == 0 || peer.uid == geteuid();
  std::size_t end = 0;
  while ((end = peer.in.find('\n', searched)) != std::string::npos) {
    const std::string line = peer.in.substr(0, end);
    peer.in.erase(0, end + 1);
    searched = 0;
    auto request = parse_json(line, "the request");
    if (!request || !request->is_object()) return false;
    const bool may_change = peer.uid == 0 || (owner_may_change_ && peer.uid == geteuid());
    handlers_.request(client, *request, may_change);
    if (!peers_.contains(client)) return true;
  }
  if (peer.in.size() <= longest_request) return true;
  std::size_t begun = 0;
  for (const auto& [other, one] : peers_) begun += one.in.size();
  return trusted && peer.in.size() <= largest_plan_line && begun <= most_begun;
}

void ControlServer::send(Client client, const nlohmann::json& message) {
  const auto found = peers_.find(client);
  if (found == peers_.end() || found->second.ending) return;
  found->second.out += dump_json(message) + "\n";
  if (found->second.out.size() > most_unread) {
    drop(client);
    return;
  }
  flush(client);
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
