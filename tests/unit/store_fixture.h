// What the tests of seal, store and bundles share: a directory that goes away, fixed seal keys, certificates of a little CA,
// and functions run in a process of their own.
#pragma once

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "evercert/state.h"
#include "serving/certificate/bundle.h"
#include "serving/key/key_provider.h"
#include "serving/store/seal_key.h"

namespace evercert::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "evercert-store-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline SealKeys fixed_keys(std::uint8_t byte = 7) {
  return *derive_seal_keys(Secret(Bytes(32, byte)));
}

inline Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

inline Bytes file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::string& path, BytesView content) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
}

// Runs `action` in a child; its return value is the exit status.
inline pid_t start_child(const std::function<int()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 99;
    try {
      status = action();
    } catch (...) {
      status = 98;
    }
    _exit(status);
  }
  return child;
}

inline int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline int in_child(const std::function<int()>& action) {
  return wait_for(start_child(action));
}

inline Bytes der_of(X509* certificate) {
  Bytes der(static_cast<std::size_t>(i2d_X509(certificate, nullptr)));
  std::uint8_t* at = der.data();
  i2d_X509(certificate, &at);
  return der;
}

struct CertificateWish {
  std::vector<Identifier> identifiers{};
  std::chrono::hours begins{-1};  // from now
  std::chrono::hours ends{24 * 90};
  bool is_ca = false;
};

// Signed by `issuer` under `issuer_key`; by itself when `issuer` is null.
inline CertificateHandle make_certificate(EVP_PKEY* key, const std::string& subject, const CertificateWish& wish, X509* issuer,
                                          EVP_PKEY* issuer_key) {
  CertificateHandle certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), 0x1234abcd);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), static_cast<long>(wish.begins.count() * 3600));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), static_cast<long>(wish.ends.count() * 3600));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer != nullptr ? issuer : certificate.get()));
  X509_set_pubkey(certificate.get(), key);
  const auto add = [&certificate](int kind, const std::string& value) {
    const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
    X509_add_ext(certificate.get(), extension.get(), -1);
  };
  if (wish.is_ca) add(NID_basic_constraints, "critical,CA:TRUE");
  std::string names;
  for (const Identifier& identifier : wish.identifiers) {
    names +=
        std::string(names.empty() ? "" : ",") + (identifier.kind == IdentifierKind::dns ? "DNS:" : "IP:") + identifier.value;
  }
  if (!names.empty()) add(NID_subject_alt_name, names);
  X509_sign(certificate.get(), issuer_key, EVP_sha256());
  return certificate;
}

// A CA whose root signs one intermediate, which signs leaves.
class LittleCa {
 public:
  LittleCa()
      : root_key_(*make_file_keys()->generate({})),
        key_(*make_file_keys()->generate({})),
        root_(make_certificate(root_key_.handle.get(), "Root", {.is_ca = true}, nullptr, root_key_.handle.get())),
        intermediate_(
            make_certificate(key_.handle.get(), "Intermediate", {.is_ca = true}, root_.get(), root_key_.handle.get())) {}

  [[nodiscard]] BundlePair issue(const KeySpec& spec, const CertificateWish& wish) const {
    PrivateKey key = *make_file_keys()->generate(spec);
    BundlePair pair = issue_for(key, wish);
    pair.key = spec;
    pair.private_key = std::move(key.bytes);
    return pair;
  }
  // Without the private key.
  [[nodiscard]] BundlePair issue_for(const PrivateKey& key, const CertificateWish& wish) const {
    const auto leaf = make_certificate(key.handle.get(), "leaf", wish, intermediate_.get(), key_.handle.get());
    return {{}, der_of(leaf.get()), {der_of(intermediate_.get())}, {}, {}};
  }
  [[nodiscard]] Bytes root() const { return der_of(root_.get()); }

 private:
  PrivateKey root_key_;
  PrivateKey key_;
  CertificateHandle root_;
  CertificateHandle intermediate_;
};

inline Bundle make_bundle(const std::string& name, const LittleCa& ca = LittleCa(),
                          const std::vector<KeySpec>& keys = {KeySpec{}}) {
  Bundle bundle;
  bundle.name = name;
  bundle.generation = 1;
  bundle.issuer = "example";
  bundle.identifiers = {{IdentifierKind::dns, "www.example.com"}, {IdentifierKind::dns, "*.example.com"}};
  bundle.issued_at = std::chrono::system_clock::from_time_t(1'700'000'000);
  bundle.origin = "order";
  for (const KeySpec& key : keys) bundle.pairs.push_back(ca.issue(key, {.identifiers = bundle.identifiers}));
  return bundle;
}

}  // namespace evercert::test
