#include "handshake.h"

#include <openssl/tls1.h>

#include <algorithm>
#include <optional>

namespace evercert {

namespace {

// Contexts find their host by this number, taken once per process.
int host_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string lower_case(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; });
  if (!lower.empty() && lower.back() == '.') lower.pop_back();
  return lower;
}

std::string_view server_name_of(const SSL* connection) {
  const char* const name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? std::string_view() : std::string_view(name);
}

bool servable(NginxHost& host, std::string_view server_name) {
  if (host.has_own) return true;
  return host.cycle->configuration().servable(host, server_name);
}

// Never fails the handshake itself: without a certificate of ours, what the operator gave is served.
int install_certificate(SSL* connection, void* argument) {
  auto& host = *static_cast<NginxHost*>(argument);
  const bool installed = guarded(false, [&] {
    const auto certificate = certificate_for(host, server_name_of(connection));
    return certificate != nullptr && certificate->apply(connection);
  });
  if (installed || host.own_callback == nullptr) return 1;
  return host.own_callback(connection, host.own_argument);
}

}  // namespace

bool serve_from(SSL_CTX* context, NginxHost& host, std::string_view own_context) {
  const NameMark mark = make_mark("default", own_context);
  if (SSL_CTX_set_session_id_context(context, mark.data(), static_cast<unsigned>(mark.size())) != 1) return false;
  SSL_CTX_set_cert_cb(context, install_certificate, &host);
  return SSL_CTX_set_ex_data(context, host_index(), &host) == 1;
}

std::string_view server_name_of_hello(SSL* connection) {
  const unsigned char* bytes = nullptr;
  std::size_t count = 0;
  if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_server_name, &bytes, &count) != 1 || count < 5) return {};
  const auto length_at = [&](std::size_t at) { return static_cast<std::size_t>(bytes[at] << 8 | bytes[at + 1]); };
  if (length_at(0) != count - 2 || bytes[2] != TLSEXT_NAMETYPE_host_name || length_at(3) > count - 5) return {};
  return {reinterpret_cast<const char*>(bytes + 5), length_at(3)};
}

void label_session(SSL* connection, const NginxCycle& cycle, std::string_view server_name) {
  const std::string name = lower_case(server_name);
  auto mark = name.empty() ? std::nullopt : cycle.mark_of(name);
  if (!mark) return;
  // Marks are digests, so whatever is added to them they stay apart; a digest per handshake would cost more than all else
  // here.
  const auto* const nginx = static_cast<ngx_connection_t*>(ngx_ssl_get_connection(connection));
  const std::string_view listener = text(nginx->listening->addr_text);
  for (std::size_t at = 0; at < listener.size(); ++at) {
    unsigned char& place = (*mark)[at % mark->size()];
    place = static_cast<unsigned char>(place ^ static_cast<unsigned char>(listener[at]));
  }
  SSL_set_session_id_context(connection, mark->data(), static_cast<unsigned>(mark->size()));
}

bool refuses(SSL* connection, SSL_CTX* context, std::string_view server_name, int* alert) {
  auto* const host = static_cast<NginxHost*>(SSL_CTX_get_ex_data(context, host_index()));
  if (host == nullptr || servable(*host, server_name)) return false;
  static_cast<ngx_connection_t*>(ngx_ssl_get_connection(connection))->ssl->handshake_rejected = 1;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return true;
}

std::shared_ptr<const ServedCertificate> certificate_for(NginxHost& host, std::string_view server_name) {
  return host.cycle->configuration().certificate_for(host, server_name);
}

}  // namespace evercert
