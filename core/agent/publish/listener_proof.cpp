#include "agent/publish/listener_proof.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Long enough to end the handshake in good manners, so that the server's log shows no broken connection; the answer is
// known by then.
constexpr std::chrono::milliseconds farewell{500};

// OpenSSL writes to sockets by write(), which raises SIGPIPE when the server has gone; whoever calls prove() must not have to
// care. The signal goes to the thread that wrote, so it is held back and taken away here.
class HeldPipeSignal {
 public:
  HeldPipeSignal() {
    sigset_t pending;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  HeldPipeSignal(const HeldPipeSignal&) = delete;
  HeldPipeSignal& operator=(const HeldPipeSignal&) = delete;
  ~HeldPipeSignal() {
    const timespec at_once{};
    while (!was_pending_ && ::sigtimedwait(&pipe_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Result<SocketAddress> unix_address(const std::string& path) {
  SocketAddress address;
  auto* name = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof name->sun_path) {
    return Error{ErrorKind::connection, "the path of the listener is too long for a socket"};
  }
  name->sun_family = AF_UNIX;
  std::memcpy(name->sun_path, path.c_str(), path.size() + 1);
  address.length = sizeof(sockaddr_un);
  return address;
}

Result<SocketAddress> internet_address(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int fault = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (fault != 0) {
    return Error{ErrorKind::connection, "its host cannot be found: " + std::string(::gai_strerror(fault))};
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

// False: the deadline passed first.
bool wait_for(int socket, short events, SteadyTime deadline) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() < 0) {
      return false;
    }
    pollfd waiting{socket, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count() + 1, 1 << 30)));
    if (ready > 0) {
      return true;
    }
    if (ready < 0 && errno != EINTR) {
      return false;
    }
  }
}

Result<Descriptor> connect_to(const ProofAddress& address, SteadyTime deadline) {
  Result<SocketAddress> target =
      address.unix_path.empty() ? internet_address(address.host, address.port) : unix_address(address.unix_path);
  if (!target) {
    return target.error();
  }
  Descriptor socket(::socket(target->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return system_error(ErrorKind::connection, "no socket", errno);
  }
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&target->storage), target->length) != 0) {
    if (errno != EINPROGRESS) {
      return system_error(ErrorKind::connection, "cannot connect", errno);
    }
    if (!wait_for(socket.get(), POLLOUT, deadline)) {
      return Error{ErrorKind::connection, "it did not accept the connection in time"};
    }
    int fault = 0;
    socklen_t size = sizeof fault;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &fault, &size) != 0 || fault != 0) {
      return system_error(ErrorKind::connection, "cannot connect", fault);
    }
  }
  return socket;
}

struct Seen {
  Bytes sha256;
  std::string serial;
  std::string not_after;
};

std::string printed(const ASN1_TIME* time) {
  const BioHandle text(BIO_new(BIO_s_mem()));
  if (!text || ASN1_TIME_print(text.get(), time) != 1) {
    return "an unknown time";
  }
  char* begin = nullptr;
  const long size = BIO_get_mem_data(text.get(), &begin);
  return {begin, static_cast<std::size_t>(std::max(size, 0L))};
}

// Called by OpenSSL when the Certificate message has been read. Whether the chain is trusted is not the question here.
int on_certificate(X509_STORE_CTX* presented, void* /*argument*/) {
  X509* leaf = X509_STORE_CTX_get0_cert(presented);
  auto* connection = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(presented, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* seen = static_cast<Seen*>(SSL_get_app_data(connection));
  return at_boundary(
      1,
      [&] {
        const int size = leaf == nullptr ? 0 : i2d_X509(leaf, nullptr);
        if (size > 0) {
          Bytes encoded(static_cast<std::size_t>(size));
          unsigned char* end = encoded.data();
          i2d_X509(leaf, &end);
          const BigNumberHandle number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), nullptr));
          if (number) {
            Bytes digits(static_cast<std::size_t>(BN_num_bytes(number.get())));
            BN_bn2bin(number.get(), digits.data());
            seen->serial = to_hex(digits);
          }
          seen->not_after = printed(X509_get0_notAfter(leaf));
          seen->sha256 = sha256(encoded);
        }
        return 1;
      },
      [](const std::string&) {});
}

bool is_address(const std::string& name) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 || ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

// Whatever a server may have been restricted to. With TLS 1.2 a certificate's curve has to be among the groups, too (RFC 8422
// section 5.1). Groups with "?" may be unknown; OpenSSL before 3.3 does not know the mark itself, nor those groups.
bool set_groups(SSL_CTX* settings) {
  const std::string old = "X25519:P-256:P-384:P-521:X448:ffdhe2048:ffdhe3072:ffdhe4096";
  const CleanErrorQueue clean;
  return SSL_CTX_set1_groups_list(settings, (old + ":?X25519MLKEM768:?SecP256r1MLKEM768:?SecP384r1MLKEM1024").c_str()) == 1 ||
         SSL_CTX_set1_groups_list(settings, old.c_str()) == 1;
}

TlsContextHandle make_settings(bool rsa) {
  // Only what one kind of key can sign is offered: a server with two kinds then has to present the one asked for.
  const char* signatures =
      rsa ? "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512:RSA+SHA1"
          : "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ECDSA+SHA1";
  TlsContextHandle settings(SSL_CTX_new(TLS_client_method()));
  if (!settings) {
    return settings;
  }
  // What the operator allows the server to speak is not judged here.
  SSL_CTX_set_security_level(settings.get(), 0);
  SSL_CTX_set_verify(settings.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_cert_verify_callback(settings.get(), on_certificate, nullptr);
  SSL_CTX_set_session_cache_mode(settings.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(settings.get(), SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (SSL_CTX_set_min_proto_version(settings.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(settings.get(), rsa ? "aRSA:!eNULL" : "aECDSA:!eNULL") != 1 ||
      SSL_CTX_set1_sigalgs_list(settings.get(), signatures) != 1 || !set_groups(settings.get())) {
    settings.reset();
  }
  return settings;
}

Result<TlsHandle> make_client(KeyAlgorithm algorithm, const std::string& server_name, Seen& seen) {
  // Made once: setting up costs more than a handshake.
  static const TlsContextHandle for_ecdsa = make_settings(false);
  static const TlsContextHandle for_rsa = make_settings(true);
  const TlsContextHandle& settings = algorithm == KeyAlgorithm::rsa ? for_rsa : for_ecdsa;
  TlsHandle client(settings ? SSL_new(settings.get()) : nullptr);
  if (!client || SSL_set_app_data(client.get(), &seen) != 1) {
    return openssl_error(ErrorKind::internal, "cannot set up a TLS client");
  }
  // RFC 6066 section 3: no address literals in SNI.
  if (!server_name.empty() && !is_address(server_name) && SSL_set_tlsext_host_name(client.get(), server_name.c_str()) != 1) {
    return openssl_error(ErrorKind::internal, "cannot ask for \"" + server_name + "\"");
  }
  SSL_set_connect_state(client.get());
  return client;
}

// Shakes hands until the end, the deadline, or a failure. What counts is in `seen` afterwards; the answer tells why it ended.
std::string shake_hands(SSL* client, int socket, SteadyTime deadline, const Seen& seen) {
  while (true) {
    const CleanErrorQueue clean;
    const int outcome = SSL_do_handshake(client);
    if (outcome == 1) {
      SSL_shutdown(client);
      return "";
    }
    const int reason = SSL_get_error(client, outcome);
    const SteadyTime until = seen.sha256.empty() ? deadline : std::min(deadline, std::chrono::steady_clock::now() + farewell);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
      if (!wait_for(socket, reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until)) {
        return "it did not answer in time";
      }
      continue;
    }
    if (reason == SSL_ERROR_SSL) {
      return openssl_error(ErrorKind::connection, "the handshake failed").message;
    }
    return "it closed the connection";
  }
}

bool send_all(int socket, std::string_view text, SteadyTime deadline) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (sent < 0 && errno != EINTR && (errno != EAGAIN || !wait_for(socket, POLLOUT, deadline))) {
      return false;
    }
  }
  return true;
}

// Our own addresses, since not all readers understand the short form for connections of unknown origin.
std::string proxy_line(int socket) {
  const auto spelled = [&](auto name_of, std::string& family) -> std::pair<std::string, std::string> {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (name_of(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return {};
    if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0)
      return {};
    family = address.ss_family == AF_INET ? "TCP4" : "TCP6";
    return {host, port};
  };
  std::string family;
  const auto [own, own_port] = spelled(::getsockname, family);
  const auto [other, other_port] = spelled(::getpeername, family);
  if (own.empty() || other.empty()) return "PROXY UNKNOWN\r\n";
  return "PROXY " + family + " " + own + " " + other + " " + own_port + " " + other_port + "\r\n";
}

struct InterfaceRelease {
  void operator()(ifaddrs* list) const noexcept { ::freeifaddrs(list); }
};

}  // namespace

std::vector<ProofAddress> other_addresses(const ProofAddress& address) {
  constexpr std::size_t enough = 4;
  std::vector<ProofAddress> others;
  const bool is_version_6 = address.host.find(':') != std::string::npos;
  const auto add = [&](const std::string& host) {
    ProofAddress other = address;
    other.host = host;
    if (other != address && others.size() < enough) others.push_back(std::move(other));
  };
  // All of 127.0.0.0/8 is this machine.
  if (!is_version_6) add("127.0.0.2");
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return others;
  const std::unique_ptr<ifaddrs, InterfaceRelease> owned(list);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != (is_version_6 ? AF_INET6 : AF_INET)) continue;
    const socklen_t length = is_version_6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    char host[NI_MAXHOST];
    // One that is known on one link only has a "%" in it.
    if (::getnameinfo(one->ifa_addr, length, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 &&
        std::strchr(host, '%') == nullptr)
      add(host);
  }
  return others;
}

Result<ProofOutcome> prove(const ProofAddress& address, const std::string& server_name, KeyAlgorithm algorithm,
                           BytesView leaf_sha256, std::chrono::milliseconds timeout) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
  const std::string name = server_name.starts_with("*.") ? "evercert-probe" + server_name.substr(1) : server_name;
  const std::string where = address.text();
  const std::string asked = "asking " + where + " for \"" + name + "\"";

  Result<Descriptor> socket = connect_to(address, deadline);
  if (!socket) {
    return socket.error().with_prefix(asked);
  }
  // A listener that expects the PROXY protocol drops connections without its first line.
  if (address.proxy_protocol && !send_all(socket->get(), proxy_line(socket->get()), deadline)) {
    return Error{ErrorKind::connection, asked + ": it closed the connection"};
  }
  Seen seen;
  Result<TlsHandle> client = make_client(algorithm, name, seen);
  if (!client) {
    return std::move(client).error();
  }
  if (SSL_set_fd(client->get(), socket->get()) != 1) {
    return openssl_error(ErrorKind::internal, "cannot set up a TLS client");
  }
  const HeldPipeSignal held;
  const std::string ended = shake_hands(client->get(), socket->get(), deadline, seen);
  if (seen.sha256.empty()) {
    return Error{ErrorKind::connection, asked + ": " + (ended.empty() ? "it presented no certificate" : ended)};
  }
  ProofOutcome outcome;
  outcome.listener = where;
  outcome.served = std::equal(seen.sha256.begin(), seen.sha256.end(), leaf_sha256.begin(), leaf_sha256.end());
  outcome.message = outcome.served ? where + " presents the new certificate for \"" + name + "\""
                                   : where + " presents another certificate for \"" + name + "\": serial " + seen.serial +
                                         ", valid until " + seen.not_after;
  return outcome;
}

}  // namespace evercert
