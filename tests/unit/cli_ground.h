// What the tests of the command line stand on: a temporary state directory, certificates made on the spot, an agent that
// says what the test wants, and whole command lines run in this process.
#pragma once

#include <cppunit/TestAssert.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "agent/control/control.h"
#include "cli/command_line.h"
#include "evercert/descriptor.h"
#include "evercert/state.h"
#include "fake/sealed_peer.h"
#include "serving/base/json.h"
#include "serving/base/openssl_handles.h"

namespace evercert::cli_tests {

struct Outcome {
  int exit = -1;
  std::string out;
  std::string err;
};

inline Outcome run(const std::vector<std::string>& arguments, const std::string& typed = "",
                   std::function<int(const RunRequest&)> agent = nullptr, std::size_t columns = 0) {
  std::istringstream in(typed);
  std::ostringstream out;
  std::ostringstream err;
  Surroundings surroundings{in, out, err, false, columns, std::move(agent)};
  const int exit = run_command_line(arguments, surroundings);
  return {exit, out.str(), err.str()};
}

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// A directory that goes with the test.
class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "evercert_cli_XXXXXX";
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct MadeCertificate {
  std::string pem;
  std::string key_pem;
};

inline std::string text_of(BIO* bio) {
  char* begin = nullptr;
  const long size = BIO_get_mem_data(bio, &begin);
  return {begin, static_cast<std::size_t>(size)};
}

// `names`: as in "DNS:a,DNS:b". Valid from two hours ago for `lifetime` seconds.
inline MadeCertificate make_certificate(const std::string& names, long lifetime) {
  const KeyHandle key(EVP_EC_gen("P-256"));
  const CertificateHandle leaf(X509_new());
  X509_set_version(leaf.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(leaf.get()), lifetime > 0 ? lifetime : 1);
  X509_gmtime_adj(X509_getm_notBefore(leaf.get()), -7200);
  X509_gmtime_adj(X509_getm_notAfter(leaf.get()), -7200 + lifetime);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(leaf.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(leaf.get()));
  X509_set_pubkey(leaf.get(), key.get());
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str()));
  X509_add_ext(leaf.get(), extension.get(), -1);
  CPPUNIT_ASSERT(X509_sign(leaf.get(), key.get(), EVP_sha256()) > 0);
  const BioHandle certificate_text(BIO_new(BIO_s_mem()));
  const BioHandle key_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_text.get(), leaf.get());
  PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {text_of(certificate_text.get()), text_of(key_text.get())};
}

// Proves itself to whoever connects, reads one request, answers with the given lines, closes.
class FakeAgent {
 public:
  FakeAgent(const std::string& state_path, std::string answer) : keys_(seal_keys(state_path)), answer_(std::move(answer)) {
    CPPUNIT_ASSERT_MESSAGE(keys_ ? "" : keys_.error().message, keys_.has_value());
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    control_socket_path(state_path).copy(name.sun_path, sizeof name.sun_path - 1);
    listener_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CPPUNIT_ASSERT_EQUAL(0, ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name));
    CPPUNIT_ASSERT_EQUAL(0, ::listen(listener_.get(), 8));
    thread_ = std::jthread([this] { serve(); });
  }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;
  ~FakeAgent() { ::shutdown(listener_.get(), SHUT_RDWR); }
  // The request, once the connection that made it has ended.
  Json request() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    Result<Json> json = parse_json(request_, "the request");
    CPPUNIT_ASSERT_MESSAGE(request_, json.has_value());
    return *json;
  }

 private:
  void serve() {
    while (true) {
      Descriptor connection(::accept(listener_.get(), nullptr, nullptr));
      if (!connection.valid()) {
        return;
      }
      SealedPeer peer(std::move(connection), keys_->agent);
      // A connection that only looks whether somebody is there says nothing more.
      const std::optional<std::string> request = peer.greet() ? peer.next() : std::nullopt;
      if (!request) {
        continue;
      }
      request_ = *request;
      std::istringstream lines(answer_);
      for (std::string line; std::getline(lines, line);) {
        peer.say(line);
      }
    }
  }

  Result<SealKeys> keys_;
  std::string answer_;
  std::string request_;
  Descriptor listener_;
  std::jthread thread_;
};

}  // namespace evercert::cli_tests
