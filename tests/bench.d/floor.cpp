// What one certificate costs in CPU with this OpenSSL, libcurl and file system, and nothing else: the calls that an order over
// RFC 8555 cannot do without, its crash-safe storing and its proof, one after the other in one thread. Prints one line of JSON,
// milliseconds each.
//
//   floor ACME_URI TRUST TLS_PORT NAME FOLDER
#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "serving/base/openssl_handles.h"

namespace {

using namespace evercert;

constexpr int rounds = 200;
constexpr int requests = 7;
const std::string request_body(700, 'a');  // about as long as a signed request with a kid

void demand(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

double cpu_milliseconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto milliseconds = [](const timeval& time) {
    return 1000.0 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1000.0;
  };
  return milliseconds(used.ru_utime) + milliseconds(used.ru_stime);
}

double measured(const std::function<void(int)>& once) {
  const double begin = cpu_milliseconds();
  for (int round = 0; round < rounds; ++round) once(round);
  return (cpu_milliseconds() - begin) / rounds;
}

void sign(EVP_PKEY* key) {
  const DigestContextHandle context(::EVP_MD_CTX_new());
  unsigned char signature[100];
  std::size_t size = sizeof signature;
  demand(::EVP_DigestSignInit(context.get(), nullptr, ::EVP_sha256(), nullptr, key) == 1 &&
             ::EVP_DigestSign(context.get(), signature, &size, reinterpret_cast<const unsigned char*>(request_body.data()),
                              500) == 1,
         "sign");
}

// The server refuses what is posted: its answer is as long as most, and no nonce is needed.
double signed_requests(const char* uri, const char* trust, EVP_PKEY* account) {
  const std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)> link(::curl_easy_init(), &::curl_easy_cleanup);
  const std::unique_ptr<curl_slist, decltype(&::curl_slist_free_all)> headers(
      ::curl_slist_append(nullptr, "Content-Type: application/jose+json"), &::curl_slist_free_all);
  const auto drop = +[](char*, std::size_t size, std::size_t count, void*) { return size * count; };
  ::curl_easy_setopt(link.get(), CURLOPT_URL, uri);
  ::curl_easy_setopt(link.get(), CURLOPT_CAINFO, trust);
  ::curl_easy_setopt(link.get(), CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  ::curl_easy_setopt(link.get(), CURLOPT_WRITEFUNCTION, drop);
  ::curl_easy_setopt(link.get(), CURLOPT_HTTPHEADER, headers.get());
  ::curl_easy_setopt(link.get(), CURLOPT_POSTFIELDS, request_body.c_str());
  demand(::curl_easy_perform(link.get()) == CURLE_OK, "reach the CA");
  return measured([&](int) {
    for (int request = 0; request < requests; ++request) {
      sign(account);
      demand(::curl_easy_perform(link.get()) == CURLE_OK, "post");
    }
  });
}

double key_and_request() {
  return measured([](int) {
    const KeyHandle key(EVP_EC_gen("P-256"));
    const RequestHandle request(::X509_REQ_new());
    demand(
        ::X509_REQ_set_pubkey(request.get(), key.get()) == 1 && ::X509_REQ_sign(request.get(), key.get(), ::EVP_sha256()) > 0,
        "make a request");
    unsigned char* bytes = nullptr;
    demand(::i2d_X509_REQ(request.get(), &bytes) > 0, "encode the request");
    release_bytes(bytes);
    unsigned char* secret = nullptr;
    demand(::i2d_PrivateKey(key.get(), &secret) > 0, "encode the key");
    release_bytes(secret);
  });
}

// A full handshake that verifies nothing. The chain that the server sent is kept, encoded.
double proof(int port, const char* name, std::vector<std::string>& chain) {
  const TlsContextHandle context(::SSL_CTX_new(::TLS_client_method()));
  const double cost = measured([&](int) {
    const int link = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    demand(::connect(link, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect to the server");
    const TlsHandle session(::SSL_new(context.get()));
    ::SSL_set_fd(session.get(), link);
    SSL_set_tlsext_host_name(session.get(), name);
    demand(::SSL_connect(session.get()) == 1, "shake hands");
    chain.clear();
    const STACK_OF(X509)* const sent = ::SSL_get_peer_cert_chain(session.get());
    for (int index = 0; index < sk_X509_num(sent); ++index) {
      unsigned char* bytes = nullptr;
      const int size = ::i2d_X509(sk_X509_value(sent, index), &bytes);
      demand(size > 0, "encode a certificate");
      chain.emplace_back(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
      release_bytes(bytes);
    }
    ::SSL_shutdown(session.get());
    ::close(link);
  });
  return cost;
}

double chain_decoded(const std::vector<std::string>& chain) {
  return measured([&](int) {
    for (const std::string& one : chain) {
      const auto* bytes = reinterpret_cast<const unsigned char*>(one.data());
      const CertificateHandle certificate(::d2i_X509(nullptr, &bytes, static_cast<long>(one.size())));
      demand(certificate != nullptr && ::X509_get0_pubkey(certificate.get()) != nullptr, "decode a certificate");
    }
  });
}

void sync(const std::string& path) {
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  demand(opened >= 0 && ::fsync(opened) == 0, "fsync");
  ::close(opened);
}

// Key and request before finalize, the bundle after it: two files and the directories that name them.
double stored(const std::string& folder) {
  return measured([&](int round) {
    const std::string own = folder + "/" + std::to_string(round);
    demand(::mkdir(own.c_str(), 0700) == 0, "make a directory");
    for (const char* const name : {"/order", "/bundle"}) {
      const std::string unfinished = own + name + ".new";
      const int file = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      demand(file >= 0 && ::write(file, request_body.data(), request_body.size()) > 0 && ::fsync(file) == 0, "write a file");
      ::close(file);
      demand(::rename(unfinished.c_str(), (own + name).c_str()) == 0, "rename a file");
      sync(own);
    }
    sync(folder);
  });
}

}  // namespace

int main(int count, char** words) try {
  demand(count == 6, "usage: floor ACME_URI TRUST TLS_PORT NAME FOLDER");
  const KeyHandle account(EVP_EC_gen("P-256"));
  std::vector<std::string> chain;
  const double requested = signed_requests(words[1], words[2], account.get());
  const double made = key_and_request();
  const double proved = proof(std::atoi(words[3]), words[4], chain);
  const double decoded = chain_decoded(chain);
  const double kept = stored(words[5]);
  std::printf(R"({"requests":%.2f,"key and request":%.2f,"chain decoded":%.2f,"stored":%.2f,"proof":%.2f})"
              "\n",
              requested, made, decoded, kept, proved);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "floor: cannot %s\n", error.what());
  return 1;
}
