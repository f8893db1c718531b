// The certificates that a simulated CA issues, good ones and others.
#include <openssl/x509v3.h>

#include "serving/base/files.h"
#include "simulation/ca.h"
#include "simulation/keys.h"

namespace evercert::simulation {
namespace {

struct Form {
  Time not_before;
  Time not_after;
  std::vector<Identifier> names;
  bool good = true;
};

void add_names(X509* leaf, const std::vector<Identifier>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "DNS:" : ",DNS:") + name.value;
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, text.c_str()));
  X509_add_ext(leaf, extension.get(), -1);
}

Bytes der_of(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  Bytes der(bytes, bytes + size);
  OPENSSL_free(bytes);
  return der;
}

void set_time(ASN1_TIME* time, Time to) {
  ASN1_TIME_set(time, std::chrono::system_clock::to_time_t(to));
}

}  // namespace

Bytes Ca::sign(CaOrder& order) {
  const Time now = world_.times.now;
  Form form{now - seconds(60), now - seconds(60) + lifetime, order.wanted.identifiers};
  const unsigned char* position = order.wanted.request.data();
  const RequestHandle request(d2i_X509_REQ(nullptr, &position, static_cast<long>(order.wanted.request.size())));
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  PrivateKey other;
  if (one_in(weather.bad)) {
    form.good = false;
    switch (world_.dice.below(6)) {
      case 0:
        form.not_before = now - day * 100;
        form.not_after = now - hours(1);
        break;
      case 1:
        form.not_after = now + hours(30);
        break;
      case 2:
        form.not_before = now + world_.dice.between(minutes(10), day * 40);
        form.not_after = form.not_before + lifetime;
        break;
      case 3:
        form.names = {{IdentifierKind::dns, "somebody-else.test"}};
        break;
      case 4:
        other = KeyPool::of_process().key(order.wanted.key.algorithm, 7);
        key = other.handle.get();
        break;
      default:
        form.names.push_back({IdentifierKind::dns, "added.test"});
        form.good = true;
    }
  }
  const CertificateHandle leaf(X509_new());
  X509_set_version(leaf.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(leaf.get()), serial_++);
  set_time(X509_getm_notBefore(leaf.get()), form.not_before);
  set_time(X509_getm_notAfter(leaf.get()), form.not_after);
  X509_NAME_add_entry_by_txt(X509_get_issuer_name(leaf.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(spec_.name.c_str()), -1, -1, 0);
  X509_set_pubkey(leaf.get(), key);
  add_names(leaf.get(), form.names);
  static const PrivateKey ca_key = KeyPool::of_process().key(KeyAlgorithm::ecdsa, 0);
  X509_sign(leaf.get(), ca_key.handle.get(), EVP_sha256());
  Bytes der = der_of(leaf.get());
  leaves_[sha256(der)] = {form.not_before, form.not_after, form.names, now, form.good, false};
  world_.history.add(spec_.name, "issues", [&] {
    return order.reference + " from " + to_rfc3339(form.not_before) + " to " + to_rfc3339(form.not_after) + " for " +
           (form.names.empty() ? "nobody" : form.names.front().value) + (form.good ? "" : ", which is no good");
  });
  return der;
}

}  // namespace evercert::simulation
