// What the tests of the catalog share: an authority that signs leaves, bundles on disk, and handshakes within the process.
#pragma once

#include <cppunit/TestAssert.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "evercert/board.h"
#include "evercert/catalog.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/bundle.h"
#include "serving/platform/files.h"

namespace evercert::catalog_steps {

class KeptLog : public Logger {
 public:
  void write(LogLevel /*level*/, std::string_view line) override {
    const std::lock_guard guard(mutex_);
    text_.append(line).append("\n");
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard guard(mutex_);
    return text_;
  }
  [[nodiscard]] std::size_t count(std::string_view words) const {
    const std::string all = text();
    std::size_t found = 0;
    for (std::size_t at = all.find(words); at != std::string::npos; at = all.find(words, at + 1)) ++found;
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

inline Bytes der_of(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = ::i2d_X509(certificate, &bytes);
  CPPUNIT_ASSERT(size > 0);
  const Bytes der(bytes, bytes + size);
  ::OPENSSL_free(bytes);
  return der;
}

inline Secret der_of(EVP_PKEY* key) {
  unsigned char* bytes = nullptr;
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, Releaser<PKCS8_PRIV_KEY_INFO_free>> form(::EVP_PKEY2PKCS8(key));
  const int size = ::i2d_PKCS8_PRIV_KEY_INFO(form.get(), &bytes);
  CPPUNIT_ASSERT(size > 0);
  Secret der(Bytes(bytes, bytes + size));
  ::OPENSSL_free(bytes);
  return der;
}

inline KeyHandle new_key(KeyAlgorithm algorithm) {
  KeyHandle key(algorithm == KeyAlgorithm::ecdsa ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048));
  CPPUNIT_ASSERT(key);
  return key;
}

// One intermediate; its own issuer is never needed, for no test verifies up to a root.
class Authority {
 public:
  Authority() : key_(new_key(KeyAlgorithm::ecdsa)), certificate_(sign("Test Intermediate", "Test Root", key_.get(), true)) {}

  [[nodiscard]] BundlePair issue(const std::string& name, KeyAlgorithm algorithm) const {
    const KeyHandle key = new_key(algorithm);
    return issue(name, algorithm, key.get());
  }
  [[nodiscard]] BundlePair issue(const std::string& name, KeyAlgorithm algorithm, EVP_PKEY* key) const {
    BundlePair pair;
    pair.key = algorithm == KeyAlgorithm::ecdsa ? KeySpec{} : KeySpec{KeyAlgorithm::rsa, 2048};
    pair.leaf = der_of(sign(name, "Test Intermediate", key, false).get());
    pair.chain = {der_of(certificate_.get())};
    pair.private_key = der_of(key);
    return pair;
  }

 private:
  CertificateHandle sign(const std::string& name, const std::string& issuer, EVP_PKEY* key, bool authority) const {
    static std::atomic<long> serial{1000};
    CertificateHandle certificate(::X509_new());
    ::X509_set_version(certificate.get(), X509_VERSION_3);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), ++serial);
    ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), -3600);
    ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), 90 * 24 * 3600);
    ::X509_set_pubkey(certificate.get(), key);
    set_name(::X509_get_subject_name(certificate.get()), name);
    set_name(::X509_get_issuer_name(certificate.get()), issuer);
    add(certificate.get(), NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add(certificate.get(), NID_key_usage, authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (!authority) {
      add(certificate.get(), NID_ext_key_usage, "serverAuth");
      add(certificate.get(), NID_subject_alt_name, "DNS:" + name);
      add(certificate.get(), NID_info_access, "OCSP;URI:http://ocsp.ca.example,caIssuers;URI:http://ca.example/issuer.der");
    }
    CPPUNIT_ASSERT(::X509_sign(certificate.get(), key_.get(), ::EVP_sha256()) > 0);
    return certificate;
  }
  static void set_name(X509_NAME* to, const std::string& name) {
    ::X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  static void add(X509* certificate, int kind, const std::string& value) {
    const ExtensionHandle extension(::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
    CPPUNIT_ASSERT(extension);
    ::X509_add_ext(certificate, extension.get(), -1);
  }

  KeyHandle key_;
  CertificateHandle certificate_;
};

// A state directory with bundles, a board, and what a worker needs for a catalog.
class Shelf {
 public:
  Shelf() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evercert-catalog-XXXXXX").string();
    CPPUNIT_ASSERT(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    std::filesystem::create_directories(path_ / "state");
    key_ = {"00112233445566aa", Secret(Bytes(32, 7))};
    auto board = Board::create();
    auto report = ReportPage::create();
    CPPUNIT_ASSERT(board && report);
    board_file_ = std::move(*board);
    report_file_ = std::move(*report);
    auto writer = Board::map(board_file_.get(), Board::Access::write);
    CPPUNIT_ASSERT(writer);
    writer_ = std::make_unique<Board>(std::move(*writer));
  }
  Shelf(const Shelf&) = delete;
  Shelf& operator=(const Shelf&) = delete;
  ~Shelf() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string file_of(const std::string& name, std::uint64_t generation) const {
    return (path_ / "state" / bundle_path(name, generation)).string();
  }

  void write(const std::string& name, std::uint64_t generation, std::vector<BundlePair> pairs) const {
    Bundle bundle;
    bundle.name = name;
    bundle.generation = generation;
    bundle.issuer = "test";
    bundle.identifiers = {{IdentifierKind::dns, name}};
    bundle.issued_at = std::chrono::system_clock::now();
    bundle.origin = "order";
    bundle.pairs = std::move(pairs);
    const auto sealed = seal_bundle(key_, bundle);
    CPPUNIT_ASSERT_MESSAGE(sealed ? "" : sealed.error().message, sealed);
    const std::string file = file_of(name, generation);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    WriteOptions options;
    options.durable = false;
    CPPUNIT_ASSERT(write_file(AT_FDCWD, file, *sealed, options));
  }

  CertificateSlot publish(const std::string& name, std::uint64_t generation) const {
    const auto slot = writer_->add(name);
    CPPUNIT_ASSERT(slot);
    writer_->publish(*slot, generation);
    return *slot;
  }

  std::unique_ptr<Catalog> catalog(Logger& log, std::size_t capacity = 100) const {
    auto reader = Board::map(board_file_.get(), Board::Access::read);
    auto report = ReportPage::map(report_file_.get());
    auto state = StateReader::open(path_.string());
    CPPUNIT_ASSERT(reader && report && state);
    return std::make_unique<Catalog>(std::move(*reader), std::move(*state), key_,
                                     std::make_unique<ReportPage>(std::move(*report)), capacity, log);
  }

  Board& board() const { return *writer_; }
  ReportPage report() const { return std::move(*ReportPage::map(report_file_.get())); }

 private:
  std::filesystem::path path_;
  SealKey key_;
  Descriptor board_file_;
  Descriptor report_file_;
  std::unique_ptr<Board> writer_;
};

// What a client asks for.
struct Hello {
  std::string name;
  int version = TLS1_3_VERSION;
  KeyAlgorithm algorithm = KeyAlgorithm::ecdsa;
};

// What it got; an empty common name: no handshake.
struct Shaken {
  std::string common_name;
  int key_type = 0;
  int chain_length = 0;
  long serial = 0;
};

using ChooseCertificate = int (*)(SSL*, void*);

class Handshakes {
 public:
  Handshakes(ChooseCertificate choose, void* argument) : server_(::SSL_CTX_new(::TLS_server_method())) {
    ::SSL_CTX_set_cert_cb(server_.get(), choose, argument);
  }
  SSL_CTX* server() const { return server_.get(); }

  Shaken shake(const Hello& hello) const {
    const TlsContextHandle client_context(::SSL_CTX_new(::TLS_client_method()));
    const bool is_ecdsa = hello.algorithm == KeyAlgorithm::ecdsa;
    ::SSL_CTX_set_min_proto_version(client_context.get(), hello.version);
    ::SSL_CTX_set_max_proto_version(client_context.get(), hello.version);
    ::SSL_CTX_set_cipher_list(client_context.get(), is_ecdsa ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "ECDHE-RSA-AES128-GCM-SHA256");
    SSL_CTX_set1_sigalgs_list(client_context.get(), is_ecdsa ? "ECDSA+SHA256" : "RSA-PSS+SHA256:RSA+SHA256");
    const TlsHandle client(::SSL_new(client_context.get()));
    const TlsHandle server(::SSL_new(server_.get()));
    if (!hello.name.empty()) SSL_set_tlsext_host_name(client.get(), hello.name.c_str());
    BIO* near_end = nullptr;
    BIO* far_end = nullptr;
    ::BIO_new_bio_pair(&near_end, 0, &far_end, 0);
    ::SSL_set_bio(client.get(), near_end, near_end);
    ::SSL_set_bio(server.get(), far_end, far_end);
    ::SSL_set_connect_state(client.get());
    ::SSL_set_accept_state(server.get());
    bool connected = false;
    for (unsigned round = 0; round < 10 && !connected; ++round) {
      const int near_done = ::SSL_do_handshake(client.get());
      const int far_done = ::SSL_do_handshake(server.get());
      connected = near_done == 1 && far_done == 1;
    }
    const CleanErrorQueue clean;
    return connected ? read(client.get()) : Shaken{};
  }

 private:
  static Shaken read(SSL* client) {
    Shaken shaken;
    X509* leaf = ::SSL_get0_peer_certificate(client);
    char name[256] = "";
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(leaf), NID_commonName, name, sizeof name);
    shaken.common_name = name;
    shaken.key_type = ::EVP_PKEY_get_base_id(::X509_get0_pubkey(leaf));
    shaken.chain_length = sk_X509_num(::SSL_get_peer_cert_chain(client));
    shaken.serial = ::ASN1_INTEGER_get(::X509_get0_serialNumber(leaf));
    return shaken;
  }

  TlsContextHandle server_;
};

// The certificate callback as a server's module writes it.
struct Site {
  Catalog* catalog;
  NameIndex names;

  static int choose(SSL* connection, void* argument) {
    const auto* site = static_cast<const Site*>(argument);
    const char* name = ::SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
    const auto slot = site->names.find(name == nullptr ? "" : name);
    if (!slot) return 0;
    const auto served = site->catalog->find(*slot);
    return served && served->apply(connection) ? 1 : 0;
  }
};

}  // namespace evercert::catalog_steps
