// Proof against a real TLS server in this process: it has to be believed exactly when the right leaf was presented.
#include <arpa/inet.h>
#include <cppunit/TestFixture.h>
#include <cppunit/extensions/HelperMacros.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "agent/publish/listener_proof.h"
#include "evercert/descriptor.h"
#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"

namespace {

using namespace evercert;
using namespace std::chrono_literals;

struct Identity {
  KeyHandle key;
  CertificateHandle leaf;
  Bytes sha256_of_leaf;
};

Identity make_identity(bool rsa, long serial) {
  Identity identity;
  identity.key.reset(rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  identity.leaf.reset(X509_new());
  X509* leaf = identity.leaf.get();
  X509_set_version(leaf, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(leaf), serial);
  X509_gmtime_adj(X509_getm_notBefore(leaf), -60);
  X509_gmtime_adj(X509_getm_notAfter(leaf), 3600);
  X509_set_pubkey(leaf, identity.key.get());
  CPPUNIT_ASSERT(X509_sign(leaf, identity.key.get(), EVP_sha256()) > 0);
  Bytes der(static_cast<std::size_t>(i2d_X509(leaf, nullptr)));
  unsigned char* end = der.data();
  i2d_X509(leaf, &end);
  identity.sha256_of_leaf = evercert::sha256(der);
  return identity;
}

// One listener with one thread that serves connections until it goes.
class Server {
 public:
  enum class Manner { polite, wants_client_certificate, silent, closes };
  struct Habits {
    Manner manner = Manner::polite;
    int version = TLS1_3_VERSION;
    bool proxy_line = false;
    std::string unix_path = {};
  };

  Server(const std::vector<const Identity*>& identities, Habits habits) : habits_(std::move(habits)) {
    settings_.reset(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_min_proto_version(settings_.get(), habits_.version);
    SSL_CTX_set_max_proto_version(settings_.get(), habits_.version);
    for (const Identity* identity : identities) {
      CPPUNIT_ASSERT_EQUAL(1, SSL_CTX_use_certificate(settings_.get(), identity->leaf.get()));
      CPPUNIT_ASSERT_EQUAL(1, SSL_CTX_use_PrivateKey(settings_.get(), identity->key.get()));
    }
    if (habits_.manner == Manner::wants_client_certificate) {
      SSL_CTX_set_verify(settings_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    SSL_CTX_set_tlsext_servername_callback(settings_.get(), on_server_name);
    SSL_CTX_set_tlsext_servername_arg(settings_.get(), this);
    listen_somewhere();
    CPPUNIT_ASSERT_EQUAL(0, ::pipe(stop_));
    thread_ = std::jthread([this] { serve(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    CPPUNIT_ASSERT_EQUAL(ssize_t{1}, ::write(stop_[1], "x", 1));
    thread_.join();
    ::close(stop_[0]);
    ::close(stop_[1]);
  }
  [[nodiscard]] const ProofAddress& address() const { return address_; }
  // After the connection has been served.
  std::string server_name() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return server_name_;
  }
  std::atomic<int> resumed = 0;
  std::atomic<int> proxied = 0;

 private:
  static int on_server_name(SSL* connection, int*, void* self) {
    auto* server = static_cast<Server*>(self);
    const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
    const std::lock_guard<std::mutex> guard(server->mutex_);
    server->server_name_ = name == nullptr ? "" : name;
    return SSL_TLSEXT_ERR_OK;
  }

  void listen_somewhere() {
    if (!habits_.unix_path.empty()) {
      sockaddr_un name{};
      name.sun_family = AF_UNIX;
      habits_.unix_path.copy(name.sun_path, sizeof name.sun_path - 1);
      listener_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      CPPUNIT_ASSERT_EQUAL(0, ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name));
      address_.unix_path = habits_.unix_path;
    } else {
      listener_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const int reuse = 1;
      ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      bool bound = false;
      for (std::uint16_t port = 31500; port < 31600 && !bound; ++port) {
        name.sin_port = htons(port);
        bound = ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
        address_.port = port;
      }
      CPPUNIT_ASSERT(bound);
      address_.host = "127.0.0.1";
    }
    address_.proxy_protocol = habits_.proxy_line;
    CPPUNIT_ASSERT_EQUAL(0, ::listen(listener_.get(), 8));
  }

  void serve() {
    // For this thread alone: prove() has to look after itself.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    while (true) {
      pollfd events[2] = {{listener_.get(), POLLIN, 0}, {stop_[0], POLLIN, 0}};
      if (::poll(events, 2, -1) < 0 || (events[1].revents & POLLIN) != 0) {
        return;
      }
      const Descriptor connection(::accept(listener_.get(), nullptr, nullptr));
      if (connection.valid()) {
        serve_one(connection.get());
      }
    }
  }
  void serve_one(int connection) {
    if (habits_.manner == Manner::closes) {
      return;
    }
    if (habits_.manner == Manner::silent) {
      wait_for_end(connection);
      return;
    }
    if (habits_.proxy_line) {
      std::string line;
      for (char byte = 0; byte != '\n' && ::recv(connection, &byte, 1, 0) == 1;) line += byte;
      if (line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && line.ends_with("\r\n")) ++proxied;
    }
    const CleanErrorQueue clean;
    const TlsHandle tls(SSL_new(settings_.get()));
    SSL_set_fd(tls.get(), connection);
    if (SSL_accept(tls.get()) == 1) {
      resumed += SSL_session_reused(tls.get());
    }
    wait_for_end(connection);
  }
  // Until the client goes or the test ends.
  void wait_for_end(int connection) const {
    char byte = 0;
    pollfd events[2] = {{connection, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    while (::poll(events, 2, -1) > 0 && (events[1].revents & POLLIN) == 0) {
      if (::recv(connection, &byte, 1, 0) <= 0) {
        return;
      }
    }
  }

  Habits habits_;
  TlsContextHandle settings_;
  Descriptor listener_;
  ProofAddress address_;
  int stop_[2] = {-1, -1};
  std::mutex mutex_;
  std::string server_name_;
  std::jthread thread_;
};

class ProofTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(ProofTest);
  CPPUNIT_TEST(the_right_leaf_is_believed_under_both_versions);
  CPPUNIT_TEST(another_leaf_is_named_and_not_believed);
  CPPUNIT_TEST(each_kind_of_key_is_asked_for_alone);
  CPPUNIT_TEST(a_kind_of_key_that_is_not_served_is_an_error);
  CPPUNIT_TEST(a_server_that_wants_a_client_certificate_is_believed);
  CPPUNIT_TEST(a_silent_server_is_given_up_at_the_deadline);
  CPPUNIT_TEST(a_server_that_closes_is_an_error);
  CPPUNIT_TEST(nobody_listening_is_an_error_that_names_the_place);
  CPPUNIT_TEST(a_listener_behind_a_proxy_gets_its_line_first);
  CPPUNIT_TEST(a_unix_socket_is_asked);
  CPPUNIT_TEST(a_unix_path_that_is_too_long_is_an_error);
  CPPUNIT_TEST(the_server_name_is_sent_and_a_wildcard_gets_a_label);
  CPPUNIT_TEST(an_address_is_asked_without_server_name);
  CPPUNIT_TEST(no_session_is_ever_resumed);
  CPPUNIT_TEST(a_listener_for_every_address_is_looked_for_at_others);
  CPPUNIT_TEST_SUITE_END();

 public:
  void a_listener_for_every_address_is_looked_for_at_others() {
    ProofAddress address;
    address.host = "127.0.0.1";
    address.port = 8443;
    address.proxy_protocol = true;
    const auto others = other_addresses(address);
    CPPUNIT_ASSERT(!others.empty() && others.size() <= 4);
    CPPUNIT_ASSERT_EQUAL(std::string("127.0.0.2:8443"), others.front().text());
    for (const auto& other : others) {
      CPPUNIT_ASSERT(other != address && other.port == 8443 && other.proxy_protocol);
      CPPUNIT_ASSERT(other.host.find(':') == std::string::npos);
    }
    address.host = "::1";
    for (const auto& other : other_addresses(address)) {
      CPPUNIT_ASSERT(other.host.find(':') != std::string::npos && other.host.find('%') == std::string::npos);
    }
  }
  void setUp() override {
    if (!ecdsa_.leaf) {
      ecdsa_ = make_identity(false, 0x0a1b);
      rsa_ = make_identity(true, 0x0c2d);
    }
  }

  void the_right_leaf_is_believed_under_both_versions() {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      Server server({&ecdsa_}, {.version = version});
      const ProofOutcome outcome = proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_);
      CPPUNIT_ASSERT_MESSAGE(outcome.message, outcome.served);
      CPPUNIT_ASSERT_EQUAL(server.address().text(), outcome.listener);
    }
  }
  void another_leaf_is_named_and_not_believed() {
    Server server({&ecdsa_}, {});
    const ProofOutcome outcome = proved(server.address(), KeyAlgorithm::ecdsa, rsa_);
    CPPUNIT_ASSERT(!outcome.served);
    CPPUNIT_ASSERT_MESSAGE(outcome.message, outcome.message.find("0a1b") != std::string::npos);
  }
  void each_kind_of_key_is_asked_for_alone() {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      Server server({&ecdsa_, &rsa_}, {.version = version});
      CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_).served);
      CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::rsa, rsa_).served);
      CPPUNIT_ASSERT(!proved(server.address(), KeyAlgorithm::rsa, ecdsa_).served);
    }
  }
  void a_kind_of_key_that_is_not_served_is_an_error() {
    Server server({&ecdsa_}, {});
    expect_error(prove(server.address(), "www.example.com", KeyAlgorithm::rsa, rsa_.sha256_of_leaf, 5s));
  }
  void a_server_that_wants_a_client_certificate_is_believed() {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      Server server({&ecdsa_}, {.manner = Server::Manner::wants_client_certificate, .version = version});
      CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_).served);
    }
  }
  void a_silent_server_is_given_up_at_the_deadline() {
    Server server({&ecdsa_}, {.manner = Server::Manner::silent});
    const Error error =
        expect_error(prove(server.address(), "www.example.com", KeyAlgorithm::ecdsa, ecdsa_.sha256_of_leaf, 50ms));
    CPPUNIT_ASSERT_MESSAGE(error.message, error.message.find("did not answer in time") != std::string::npos);
  }
  void a_server_that_closes_is_an_error() {
    Server server({&ecdsa_}, {.manner = Server::Manner::closes});
    expect_error(prove(server.address(), "www.example.com", KeyAlgorithm::ecdsa, ecdsa_.sha256_of_leaf, 5s));
  }
  void nobody_listening_is_an_error_that_names_the_place() {
    ProofAddress address;
    {
      const Server server({&ecdsa_}, {});
      address = server.address();
    }
    const Error error = expect_error(prove(address, "www.example.com", KeyAlgorithm::ecdsa, ecdsa_.sha256_of_leaf, 5s));
    CPPUNIT_ASSERT_MESSAGE(error.message, error.message.find(address.text()) != std::string::npos);
  }
  void a_listener_behind_a_proxy_gets_its_line_first() {
    Server server({&ecdsa_}, {.proxy_line = true});
    CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_).served);
    CPPUNIT_ASSERT_EQUAL(1, server.proxied.load());
  }
  void a_unix_socket_is_asked() {
    std::string folder = std::filesystem::temp_directory_path() / "evercert_proof_XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(folder.data()) != nullptr);
    {
      Server server({&ecdsa_}, {.unix_path = folder + "/tls.sock"});
      CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_).served);
    }
    std::filesystem::remove_all(folder);
  }
  void a_unix_path_that_is_too_long_is_an_error() {
    ProofAddress address;
    address.unix_path = "/" + std::string(200, 'x');
    expect_error(prove(address, "www.example.com", KeyAlgorithm::ecdsa, ecdsa_.sha256_of_leaf, 5s));
  }
  void the_server_name_is_sent_and_a_wildcard_gets_a_label() {
    Server server({&ecdsa_}, {});
    proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_, "www.example.com");
    CPPUNIT_ASSERT_EQUAL(std::string("www.example.com"), server.server_name());
    proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_, "*.example.com");
    CPPUNIT_ASSERT_EQUAL(std::string("evercert-probe.example.com"), server.server_name());
  }
  void an_address_is_asked_without_server_name() {
    Server server({&ecdsa_}, {});
    for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
      CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_, address).served);
      CPPUNIT_ASSERT_EQUAL(std::string(), server.server_name());
    }
  }
  void no_session_is_ever_resumed() {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      Server server({&ecdsa_}, {.version = version});
      for (int round = 0; round < 3; ++round) {
        CPPUNIT_ASSERT(proved(server.address(), KeyAlgorithm::ecdsa, ecdsa_).served);
      }
      CPPUNIT_ASSERT_EQUAL(0, server.resumed.load());
    }
  }

 private:
  static ProofOutcome proved(const ProofAddress& address, KeyAlgorithm algorithm, const Identity& expected,
                             const std::string& name = "www.example.com") {
    Result<ProofOutcome> outcome = prove(address, name, algorithm, expected.sha256_of_leaf, 20s);
    CPPUNIT_ASSERT_MESSAGE(outcome ? "" : outcome.error().message, outcome.has_value());
    CPPUNIT_ASSERT_EQUAL(0UL, ERR_peek_error());
    return *outcome;
  }
  static Error expect_error(const Result<ProofOutcome>& outcome) {
    CPPUNIT_ASSERT(!outcome.has_value());
    CPPUNIT_ASSERT(outcome.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT_EQUAL(0UL, ERR_peek_error());
    return outcome.error();
  }

  static inline Identity ecdsa_;
  static inline Identity rsa_;
};

CPPUNIT_TEST_SUITE_REGISTRATION(ProofTest);

}  // namespace
