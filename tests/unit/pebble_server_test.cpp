// The implementation of pebble_server.h.
#include "unit/pebble_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>

#include "evercert/descriptor.h"
#include "serving/base/openssl_handles.h"
#include "serving/platform/files.h"

namespace evercert::testing {
namespace {

void check(bool done, const std::string& what) {
  if (!done) throw std::runtime_error("pebble could not be prepared: " + what);
}

std::string text_of(BIO* memory) {
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(memory, &bytes);
  return {bytes, static_cast<std::size_t>(length)};
}

std::string pem_of(X509* certificate) {
  const BioHandle memory(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_X509(memory.get(), certificate) == 1, "certificate");
  return text_of(memory.get());
}

std::string pem_of(EVP_PKEY* key) {
  const BioHandle memory(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "key");
  return text_of(memory.get());
}

CertificateHandle make_certificate(EVP_PKEY* key, const char* name, X509* issuer, EVP_PKEY* issuer_key,
                                   const std::map<int, const char*>& extensions) {
  CertificateHandle certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), issuer == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer == nullptr ? certificate.get() : issuer));
  X509_set_pubkey(certificate.get(), key);
  for (const auto& [kind, value] : extensions) {
    const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value));
    check(extension && X509_add_ext(certificate.get(), extension.get(), -1) == 1, value);
  }
  check(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0, "signature");
  return certificate;
}

void write(const std::string& path, const std::string& text) {
  check(bool(write_file(AT_FDCWD, path, BytesView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), {})), path);
}

bool listens(int port) {
  const Descriptor probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

PebbleServer::PebbleServer(Options options) : options_(std::move(options)) {
  std::string folder = (std::filesystem::temp_directory_path() / "evercert-pebble-XXXXXX").string();
  check(mkdtemp(folder.data()) != nullptr, "temporary directory");
  folder_ = folder;
  const KeyHandle ca_key(EVP_EC_gen("P-256"));
  const KeyHandle key(EVP_EC_gen("P-256"));
  const auto ca = make_certificate(ca_key.get(), "test api ca", nullptr, ca_key.get(),
                                   {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign"}});
  const auto leaf = make_certificate(key.get(), "localhost", ca.get(), ca_key.get(),
                                     {{NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1"}, {NID_ext_key_usage, "serverAuth"}});
  trusted_ = Secret::from_text(pem_of(ca.get()));
  write(folder_ + "/api.pem", pem_of(leaf.get()));
  write(folder_ + "/api.key", pem_of(key.get()));
  const auto port = [](int offset) { return std::to_string(first_port + offset); };
  std::string json = R"({"pebble":{"listenAddress":"127.0.0.1:)" + port(0) + R"(","managementListenAddress":"127.0.0.1:)" +
                     port(1) + R"(","certificate":")" + folder_ + R"(/api.pem","privateKey":")" + folder_ +
                     R"(/api.key","httpPort":)" + port(3) + R"(,"tlsPort":)" + port(4) + R"(,"ocspResponderURL":"")";
  if (!options_.external_key.empty()) {
    json += R"(,"externalAccountBindingRequired":true,"externalAccountMACKeys":{"kid-1":")" + options_.external_key + "\"}";
  }
  write(folder_ + "/pebble.json", json + "}}");
  dns_ = start({"pebble-challtestsrv", "-dns01", "127.0.0.1:" + port(5), "-http01", "", "-https01", "", "-tlsalpn01", "",
                "-management", "127.0.0.1:" + port(6), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""},
               {}, first_port + 6);
  start_pebble();
}

PebbleServer::~PebbleServer() {
  end(pebble_);
  end(dns_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void PebbleServer::restart() {
  end(pebble_);
  start_pebble();
}

void PebbleServer::start_pebble() {
  auto environment = options_.environment;
  environment.insert({{"PEBBLE_VA_NOSLEEP", "1"}, {"PEBBLE_WFE_NONCEREJECT", "0"}, {"PEBBLE_AUTHZREUSE", "0"}});
  std::vector<std::string> arguments{"pebble", "-config", folder_ + "/pebble.json", "-dnsserver",
                                     "127.0.0.1:" + std::to_string(first_port + 5)};
  if (options_.strict) arguments.emplace_back("-strict");
  pebble_ = start(arguments, environment, first_port);
}

std::string PebbleServer::directory() const {
  return "https://127.0.0.1:" + std::to_string(first_port) + "/dir";
}

std::string PebbleServer::management() const {
  return "https://127.0.0.1:" + std::to_string(first_port + 1);
}

pid_t PebbleServer::start(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment,
                          int port) {
  check(!listens(port), "port " + std::to_string(port) + " is taken");
  const std::string log = folder_ + "/" + arguments.front() + ".log";
  const pid_t process = fork();
  check(process >= 0, "fork");
  if (process == 0) {
    const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, 1);
    dup2(output, 2);
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> pointers;
    for (const auto& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    execvp(pointers.front(), pointers.data());
    _exit(127);
  }
  // Neither program says when it listens.
  for (int attempt = 0; attempt < 1000 && !listens(port); ++attempt) {
    check(waitpid(process, nullptr, WNOHANG) == 0, arguments.front() + " ended at once");
    usleep(10'000);
  }
  check(listens(port), arguments.front() + " does not listen");
  return process;
}

void PebbleServer::end(pid_t& process) {
  if (process <= 0) return;
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
  process = -1;
}

}  // namespace evercert::testing
