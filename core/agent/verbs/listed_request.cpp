#include "agent/verbs/listed_request.h"

#include <openssl/pem.h>

#include <algorithm>

#include "serving/base/encoding.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/read_certificate.h"

namespace evercert {
namespace {

std::string lower(const ASN1_STRING* text) {
  std::string name(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                   static_cast<std::size_t>(ASN1_STRING_length(text)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}

// Some CAs show the base64 of a request without the lines around it, and with line ends of their own or none.
std::string wrapped(const std::string& text) {
  constexpr std::size_t line = 64;
  std::string digits;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') digits += c;
  }
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (std::size_t at = 0; at < digits.size(); at += line) pem += digits.substr(at, line) + "\n";
  return pem + "-----END CERTIFICATE REQUEST-----\n";
}

void add_names(const X509_REQ* request, std::set<std::string>& names) {
  const X509_NAME* subject = X509_REQ_get_subject_name(request);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index >= 0) names.insert(lower(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index))));
  const ExtensionsHandle extensions(X509_REQ_get_extensions(const_cast<X509_REQ*>(request)));
  if (!extensions) return;
  const NamesHandle alternatives(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type == GEN_DNS) names.insert(lower(name->d.dNSName));
  }
}

}  // namespace

Result<ShownRequest> read_shown_request(const std::string& text) {
  const std::string pem = text.find("-----BEGIN") == std::string::npos ? wrapped(text) : text;
  const Error unreadable{ErrorKind::issuer_refused, "the CA shows a certificate request that cannot be read"};
  const CleanErrorQueue clean;
  const BioHandle input(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!input) return openssl_error(ErrorKind::internal, "there is no memory to read a request");
  std::uint8_t* begin = nullptr;
  long size = 0;
  if (PEM_bytes_read_bio(&begin, &size, nullptr, PEM_STRING_X509_REQ, input.get(), refuse_pass_phrase, nullptr) != 1)
    return unreadable;
  const OpensslBytesHandle owned(begin);
  ShownRequest shown;
  shown.der.assign(begin, begin + size);
  const unsigned char* at = shown.der.data();
  const RequestHandle request(d2i_X509_REQ(nullptr, &at, size));
  const BytesView key = public_key_in_request(shown.der);
  if (!request || key.empty()) return unreadable;
  shown.key = to_hex(sha256(key));
  add_names(request.get(), shown.names);
  return shown;
}

}  // namespace evercert
