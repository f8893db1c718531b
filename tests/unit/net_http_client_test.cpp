#include <arpa/inet.h>
#include <cppunit/extensions/HelperMacros.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "agent/net/http_client.h"
#include "evercert/descriptor.h"

namespace evercert {
namespace {

using std::chrono::milliseconds;

// A server of raw bytes: each request is answered by what the script says, and the peer's reading side is left to the test.
class RawServer {
 public:
  struct Action {
    std::string bytes;
    enum class Then { keep, close, wait } then = Then::keep;  // wait: for the peer to go
  };
  using Script = std::function<Action(const std::string& request)>;

  explicit RawServer(Script script) : script_(std::move(script)) {
    listener_ = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CPPUNIT_ASSERT_EQUAL(0, bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address));
    socklen_t length = sizeof address;
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    CPPUNIT_ASSERT_EQUAL(0, listen(listener_.get(), 16));
    thread_ = std::jthread([this](const std::stop_token&) {
      for (;;) {
        Descriptor peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer.valid()) return;
        ++connections;
        workers_.emplace_back([this, socket = std::move(peer)] { serve(socket.get()); });
      }
    });
  }
  ~RawServer() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    workers_.clear();
  }
  [[nodiscard]] std::string uri(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  [[nodiscard]] int port() const { return port_; }
  std::atomic<int> connections{0};

 private:
  void serve(int peer) {
    std::string request;
    std::array<char, 4096> bytes;
    for (;;) {
      const auto end = request.find("\r\n\r\n");
      if (end == std::string::npos) {
        const ssize_t count = read(peer, bytes.data(), bytes.size());
        if (count <= 0) return;
        request.append(bytes.data(), static_cast<std::size_t>(count));
        continue;
      }
      const Action action = script_(request.substr(0, end));
      request.erase(0, end + 4);
      std::size_t sent = 0;
      while (sent < action.bytes.size()) {
        const ssize_t count = send(peer, action.bytes.data() + sent, action.bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) return;
        sent += static_cast<std::size_t>(count);
      }
      if (action.then == Action::Then::close) return;
      if (action.then == Action::Then::wait) {
        while (read(peer, bytes.data(), bytes.size()) > 0) {
        }
        return;
      }
    }
  }

  Script script_;
  Descriptor listener_;
  int port_ = 0;
  std::vector<std::jthread> workers_;
  std::jthread thread_;
};

using Then = RawServer::Action::Then;

RawServer::Action plain(const std::string& body, const std::string& headers = "") {
  return {"HTTP/1.1 200 OK\r\n" + headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body, Then::keep};
}

HttpSettings quick() {
  HttpSettings settings;
  settings.user_agent = "evercert/test";
  settings.connect_timeout = milliseconds(2000);
  settings.total_timeout = milliseconds(5000);
  return settings;
}

class HttpClientTest : public CppUnit::TestFixture {
  CPPUNIT_TEST_SUITE(HttpClientTest);
  CPPUNIT_TEST(an_answer_comes_with_status_headers_and_body);
  CPPUNIT_TEST(one_connection_serves_many_requests);
  CPPUNIT_TEST(a_kept_connection_that_the_server_closed_is_replaced);
  CPPUNIT_TEST(only_what_reads_is_sent_again_when_its_connection_dies);
  CPPUNIT_TEST(what_changes_something_goes_over_a_connection_of_its_own);
  CPPUNIT_TEST(a_request_may_be_waited_for_longer_than_the_others);
  CPPUNIT_TEST(requests_at_the_same_time_do_not_share_a_handle);
  CPPUNIT_TEST(head_get_and_post_follow_each_other_on_one_handle);
  CPPUNIT_TEST(a_refused_connection_names_the_peer);
  CPPUNIT_TEST(a_name_that_does_not_exist_is_said_to);
  CPPUNIT_TEST(an_answer_cut_in_half_is_an_error);
  CPPUNIT_TEST(a_peer_that_closes_at_once_is_an_error);
  CPPUNIT_TEST(garbage_instead_of_http_is_an_error);
  CPPUNIT_TEST(an_answer_of_more_than_a_mebibyte_is_refused);
  CPPUNIT_TEST(a_silent_server_runs_into_the_time_out);
  CPPUNIT_TEST(a_stop_ends_a_request_under_way);
  CPPUNIT_TEST(a_redirect_to_plain_http_is_not_followed);
  CPPUNIT_TEST(credentials_do_not_follow_a_redirect_to_another_server);
  CPPUNIT_TEST(a_redirect_of_a_post_is_an_answer);
  CPPUNIT_TEST(an_untrusted_certificate_names_the_option);
  CPPUNIT_TEST(the_proxy_gets_user_and_password);
  CPPUNIT_TEST(every_answer_is_counted);
  CPPUNIT_TEST(other_schemes_are_refused);
  CPPUNIT_TEST_SUITE_END();

 public:
  void an_answer_comes_with_status_headers_and_body() {
    std::string seen;
    RawServer server([&seen](const std::string& request) {
      seen = request;
      return RawServer::Action{
          "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 404 Not Found\r\nLink: a\r\nlink: b\r\nContent-Length: "
          "2\r\n\r\nno",
          Then::keep};
    });
    const auto client = make_http_client(quick());
    auto answer = client->send({"POST", server.uri("/x"), "application/jose+json", "{}", {{"Accept", "a/b"}}});
    CPPUNIT_ASSERT(answer);
    CPPUNIT_ASSERT_EQUAL(404, answer->status);
    CPPUNIT_ASSERT_EQUAL(std::string("no"), answer->body);
    CPPUNIT_ASSERT_EQUAL(std::string("a"), answer->header("LINK"));
    CPPUNIT_ASSERT_EQUAL(std::size_t{2}, answer->headers("Link").size());
    CPPUNIT_ASSERT(answer->header("X-Early").empty());
    for (const char* expected : {"POST /x HTTP/1.1", "User-Agent: evercert/test", "Content-Type: application/jose+json",
                                 "Accept: a/b", "Content-Length: 2"}) {
      CPPUNIT_ASSERT_MESSAGE(expected, seen.find(expected) != std::string::npos);
    }
    CPPUNIT_ASSERT(seen.find("Expect") == std::string::npos);
  }

  void one_connection_serves_many_requests() {
    RawServer server([](const std::string&) { return plain("ok"); });
    const auto client = make_http_client(quick());
    for (int i = 0; i < 20; ++i) CPPUNIT_ASSERT(client->send({"GET", server.uri(), "", "", {}}));
    CPPUNIT_ASSERT_EQUAL(1, server.connections.load());
  }

  void a_kept_connection_that_the_server_closed_is_replaced() {
    RawServer server([](const std::string&) {
      auto action = plain("ok");
      action.then = Then::close;
      return action;
    });
    const auto client = make_http_client(quick());
    for (int i = 0; i < 3; ++i) CPPUNIT_ASSERT(client->send({"GET", server.uri(), "", "", {}}));
    CPPUNIT_ASSERT_EQUAL(3, server.connections.load());
  }

  void only_what_reads_is_sent_again_when_its_connection_dies() {
    for (const std::string method : {"POST", "PUT", "DELETE", "GET"}) {
      std::atomic<int> times{0};
      RawServer server([&times](const std::string& request) {
        if (request.find(" /order ") == std::string::npos) return plain("ok");
        // The first one is taken, and the connection ends without an answer.
        return ++times == 1 ? RawServer::Action{"", Then::close} : plain("again");
      });
      const auto client = make_http_client(quick());
      CPPUNIT_ASSERT(client->send({"GET", server.uri(), "", "", {}}));
      auto answer = client->send({method, server.uri("/order"), "", "", {}});
      const bool reads = method == "GET";
      CPPUNIT_ASSERT_EQUAL_MESSAGE(method, reads, answer.has_value());
      CPPUNIT_ASSERT_EQUAL_MESSAGE(method, reads ? 2 : 1, times.load());
      if (reads) continue;
      CPPUNIT_ASSERT_MESSAGE(method, has_ended(answer.error()));
      CPPUNIT_ASSERT(answer.error().message.find("has to be found out") != std::string::npos);
      CPPUNIT_ASSERT(client->send({method, server.uri("/order"), "", "", {}}));
    }
  }

  void what_changes_something_goes_over_a_connection_of_its_own() {
    RawServer server([](const std::string&) { return plain("ok"); });
    const auto client = make_http_client(quick());
    HttpRequest order{"POST", server.uri("/order"), "text/plain", "", {}};
    order.own_connection = true;
    CPPUNIT_ASSERT(client->send({"GET", server.uri(), "", "", {}}) && client->send({"GET", server.uri(), "", "", {}}));
    CPPUNIT_ASSERT_EQUAL(1, server.connections.load());
    CPPUNIT_ASSERT(client->send(order) && client->send(order));
    CPPUNIT_ASSERT_EQUAL(3, server.connections.load());
  }

  void a_request_may_be_waited_for_longer_than_the_others() {
    RawServer server([](const std::string&) { return RawServer::Action{"", Then::wait}; });
    HttpSettings settings = quick();
    settings.total_timeout = std::chrono::hours(1);
    const auto client = make_http_client(settings);
    HttpRequest short_one{"GET", server.uri(), "", "", {}};
    short_one.timeout = std::chrono::milliseconds(100);
    const auto answer = client->send(short_one);
    CPPUNIT_ASSERT(!answer && answer.error().message.find("did not answer within 1 s") != std::string::npos);
  }

  void requests_at_the_same_time_do_not_share_a_handle() {
    RawServer server([](const std::string& request) { return plain(request.substr(4, request.find(" HTTP") - 4)); });
    const auto client = make_http_client(quick());
    std::atomic<int> wrong{0};
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
          for (int i = 0; i < 25; ++i) {
            const std::string path = "/" + std::to_string(t) + "-" + std::to_string(i);
            auto answer = client->send({"GET", server.uri(path), "", "", {}});
            if (!answer || answer->body != path) ++wrong;
          }
        });
      }
    }
    CPPUNIT_ASSERT_EQUAL(0, wrong.load());
    CPPUNIT_ASSERT(server.connections <= 4);
  }

  void head_get_and_post_follow_each_other_on_one_handle() {
    RawServer server([](const std::string& request) {
      if (request.starts_with("HEAD")) return RawServer::Action{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Then::keep};
      return plain(request.substr(0, request.find(' ')));
    });
    const auto client = make_http_client(quick());
    for (int round = 0; round < 2; ++round) {
      CPPUNIT_ASSERT_EQUAL(std::string(), client->send({"HEAD", server.uri(), "", "", {}}).value().body);
      CPPUNIT_ASSERT_EQUAL(std::string("POST"), client->send({"POST", server.uri(), "text/plain", "", {}}).value().body);
      CPPUNIT_ASSERT_EQUAL(std::string("DELETE"), client->send({"DELETE", server.uri(), "", "", {}}).value().body);
      CPPUNIT_ASSERT_EQUAL(std::string("GET"), client->send({"GET", server.uri(), "", "", {}}).value().body);
    }
    CPPUNIT_ASSERT_EQUAL(1, server.connections.load());
  }

  void a_refused_connection_names_the_peer() {
    std::string uri;
    {
      RawServer gone([](const std::string&) { return plain(""); });
      uri = gone.uri("/secret-path");
    }
    const std::string message = failure_of(uri);
    CPPUNIT_ASSERT(message.find("refused the connection") != std::string::npos);
    CPPUNIT_ASSERT(message.find("http://127.0.0.1:") != std::string::npos);
    CPPUNIT_ASSERT(message.find("secret-path") == std::string::npos);
  }

  void a_name_that_does_not_exist_is_said_to() {
    CPPUNIT_ASSERT(failure_of("http://does-not-exist.invalid/").find("could not be resolved") != std::string::npos);
  }

  void an_answer_cut_in_half_is_an_error() {
    CPPUNIT_ASSERT(!failure({"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Then::close}).empty());
    CPPUNIT_ASSERT(!failure({"HTTP/1.1 200 OK\r\nContent-Le", Then::close}).empty());
  }

  void a_peer_that_closes_at_once_is_an_error() {
    CPPUNIT_ASSERT(failure({"", Then::close}).find("without an answer") != std::string::npos);
  }

  void garbage_instead_of_http_is_an_error() { CPPUNIT_ASSERT(!failure({"SSH-2.0-OpenSSH_9.2\r\n", Then::close}).empty()); }

  void an_answer_of_more_than_a_mebibyte_is_refused() {
    const std::string megabyte(std::size_t{1} << 20, 'x');
    RawServer exact([&](const std::string&) { return plain(megabyte); });
    CPPUNIT_ASSERT_EQUAL(megabyte.size(),
                         make_http_client(quick())->send({"GET", exact.uri(), "", "", {}}).value().body.size());
    RawServer over([&](const std::string&) { return plain(megabyte + "y"); });
    CPPUNIT_ASSERT(failure_of(over.uri()).find("more than 1 MiB") != std::string::npos);
    std::string fields;
    while (fields.size() < megabyte.size()) fields += "Link: <https://ca.test/" + std::string(1000, 'x') + ">\r\n";
    CPPUNIT_ASSERT(failure({"HTTP/1.1 200 OK\r\n" + fields + "\r\n", Then::close}).find("more than 1 MiB") !=
                   std::string::npos);
    std::string interim;
    while (interim.size() < megabyte.size()) interim += "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n";
    CPPUNIT_ASSERT(failure({interim, Then::close}).find("more than 1 MiB") != std::string::npos);
  }

  void a_silent_server_runs_into_the_time_out() {
    RawServer server([](const std::string&) { return RawServer::Action{"", Then::wait}; });
    HttpSettings settings = quick();
    settings.total_timeout = milliseconds(200);
    auto answer = make_http_client(std::move(settings))->send({"GET", server.uri(), "", "", {}});
    CPPUNIT_ASSERT(!answer && answer.error().kind == ErrorKind::connection);
    CPPUNIT_ASSERT(answer.error().message.find("did not answer within 1 s") != std::string::npos);
  }

  void a_stop_ends_a_request_under_way() {
    std::stop_source source;
    RawServer server([&](const std::string&) {
      source.request_stop();
      return RawServer::Action{"", Then::wait};
    });
    HttpSettings settings = quick();
    settings.total_timeout = std::chrono::minutes(10);
    settings.stop = source.get_token();
    auto answer = make_http_client(std::move(settings))->send({"GET", server.uri(), "", "", {}});
    CPPUNIT_ASSERT(!answer);
    CPPUNIT_ASSERT(answer.error().message.find("the program ends") != std::string::npos);
  }

  void a_redirect_to_plain_http_is_not_followed() {
    RawServer server([](const std::string&) {
      return RawServer::Action{"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
                               Then::keep};
    });
    const std::string message = failure_of(server.uri());
    CPPUNIT_ASSERT(message.find("http://elsewhere.example") != std::string::npos);
    CPPUNIT_ASSERT(message.find("not encrypted") != std::string::npos);
  }

  void credentials_do_not_follow_a_redirect_to_another_server() {
    RawServer server([](const std::string&) {
      return RawServer::Action{"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
                               Then::keep};
    });
    auto answer = make_http_client(quick())->send({"GET", server.uri(), "", "", {{"X-Key", "secret"}}});
    CPPUNIT_ASSERT(!answer);
    CPPUNIT_ASSERT_MESSAGE(answer.error().message, answer.error().message.find("another server") != std::string::npos);
  }

  void a_redirect_of_a_post_is_an_answer() {
    RawServer server([](const std::string&) {
      return RawServer::Action{"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n",
                               Then::keep};
    });
    auto answer = make_http_client(quick())->send({"POST", server.uri(), "text/plain", "body", {}});
    CPPUNIT_ASSERT(answer);
    CPPUNIT_ASSERT_EQUAL(307, answer->status);
  }

  void an_untrusted_certificate_names_the_option() {
    HttpSettings settings = quick();
    settings.trusted_certificates_pem = Secret::from_text("no certificate");
    RawServer server([](const std::string&) { return plain(""); });
    auto answer = make_http_client(std::move(settings))
                      ->send({"GET", "https://127.0.0.1:" + std::to_string(server.port()) + "/", "", "", {}});
    CPPUNIT_ASSERT(!answer);
    CPPUNIT_ASSERT_MESSAGE(answer.error().message, answer.error().message.find("ssl_trusted_certificate") != std::string::npos);
  }

  void the_proxy_gets_user_and_password() {
    std::string seen;
    RawServer proxy([&seen](const std::string& request) {
      seen = request;
      return plain("through");
    });
    HttpSettings settings = quick();
    settings.proxy = {proxy.uri(""), "joe", Secret::from_text("pass")};
    auto answer = make_http_client(std::move(settings))->send({"GET", "http://ca.example/dir", "", "", {}});
    CPPUNIT_ASSERT(answer);
    CPPUNIT_ASSERT(seen.find("GET http://ca.example/dir") != std::string::npos);
    CPPUNIT_ASSERT(seen.find("Proxy-Authorization: Basic am9lOnBhc3M=") != std::string::npos);
  }

  void every_answer_is_counted() {
    std::vector<int> statuses;
    RawServer server([](const std::string& request) {
      if (request.starts_with("GET /gone")) return RawServer::Action{"", Then::close};
      return plain("");
    });
    HttpSettings settings = quick();
    settings.answered = [&statuses](int status) { statuses.push_back(status); };
    const auto client = make_http_client(std::move(settings));
    CPPUNIT_ASSERT(client->send({"GET", server.uri(), "", "", {}}));
    CPPUNIT_ASSERT(!client->send({"GET", server.uri("/gone"), "", "", {}}));
    CPPUNIT_ASSERT((statuses == std::vector<int>{200, 0}));
  }

  void other_schemes_are_refused() {
    for (const char* uri : {"file:///etc/passwd", "ftp://ca.example/", "", "ca.example/dir"}) {
      CPPUNIT_ASSERT(failure_of(uri).find("must begin with https://") != std::string::npos);
    }
  }

 private:
  static std::string failure_of(const std::string& uri) {
    auto answer = make_http_client(quick())->send({"GET", uri, "", "", {}});
    CPPUNIT_ASSERT(!answer);
    CPPUNIT_ASSERT(answer.error().kind == ErrorKind::connection);
    return answer.error().message;
  }
  static std::string failure(RawServer::Action action) {
    RawServer server([&action](const std::string&) { return action; });
    return failure_of(server.uri());
  }
};
CPPUNIT_TEST_SUITE_REGISTRATION(HttpClientTest);

}  // namespace
}  // namespace evercert
