#include <openssl/objects.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>

#include "serving/base/openssl_handles.h"
#include "serving/config/check.h"
#include "serving/config/known_cas.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

BioHandle reading(const Secret& content) {
  return BioHandle(::BIO_new_mem_buf(content.view().data(), static_cast<int>(content.view().size())));
}

Result<KeySpec> spec_of_pem(const Secret& pem, const std::string& path) {
  const CleanErrorQueue clean;
  const BioHandle input = reading(pem);
  const KeyHandle key(::PEM_read_bio_PrivateKey(input.get(), nullptr, refuse_pass_phrase, nullptr));
  if (!key)
    return configuration_error(path + " holds no private key in PEM without a passphrase; name such a file, or a kind of key");
  const auto bits = static_cast<unsigned>(::EVP_PKEY_get_bits(key.get()));
  if (::EVP_PKEY_is_a(key.get(), "RSA") == 1 && bits >= 2048) return KeySpec{KeyAlgorithm::rsa, bits};
  // Other curves have the same sizes.
  std::array<char, 32> curve{};
  ::EVP_PKEY_get_group_name(key.get(), curve.data(), curve.size(), nullptr);
  const std::string_view name = curve.data();
  if (name == SN_X9_62_prime256v1) return KeySpec{KeyAlgorithm::ecdsa, 256};
  if (name == SN_secp384r1) return KeySpec{KeyAlgorithm::ecdsa, 384};
  if (name == SN_secp521r1) return KeySpec{KeyAlgorithm::ecdsa, 521};
  return configuration_error(path +
                             " holds a key of a kind that cannot sign for an account; use ECDSA on P-256, P-384 or P-521, " +
                             "or RSA of at least 2048 bits");
}

bool holds_certificate(const Secret& pem) {
  const CleanErrorQueue clean;
  const BioHandle input = reading(pem);
  return CertificateHandle(::PEM_read_bio_X509(input.get(), nullptr, refuse_pass_phrase, nullptr)) != nullptr;
}

class IssuerReading {
 public:
  IssuerReading(const Section& section, const DnsSettings& dns, FileSource& files, std::vector<Complaint>& complaints)
      : reader_(section, complaints), files_(files) {
    spec_.dns = dns;
    spec_.name = section.name;
    spec_.place = section.place;
  }

  IssuerSpec read() {
    check_name();
    read_type();
    read_uri();
    read_account_key();
    if (spec_.type == "acme")
      read_challenge();
    else
      check_purchase(reader_, files_, spec_);
    refuse_foreign_options();
    reader_.read_switch("common_name_in_csr", spec_.common_name_in_csr);
    read_contacts();
    read_external_account();
    read_need_of_external_account();
    reader_.read_word("preferred_chain", spec_.preferred_chain);
    read_profile();
    read_trusted_certificates();
    reader_.read_switch("ssl_verify", spec_.verify);
    read_import_path();
    if (spec_.type == "acme") read_terms();
    read_proxy();
    read_timeouts();
    read_caa_identities();
    reader_.read_number("max_orders", 1, 1000, spec_.max_orders);
    reader_.read_switch("order", spec_.orders);
    return std::move(spec_);
  }

 private:
  [[nodiscard]] std::string subject() const { return "issuer " + in_quotes(spec_.name); }

  void check_name() {
    const std::string& name = spec_.name;
    const bool spelled = std::all_of(name.begin(), name.end(), [](char character) {
      return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
             (character >= '0' && character <= '9') || character == '.' || character == '-' || character == '_';
    });
    if (name.empty() || name.size() > 64 || !spelled)
      reader_.error(
          "", in_quotes(name) + " cannot name an issuer; a name has up to 64 letters, digits, dots, hyphens and underscores");
  }

  void read_type() {
    const Setting* const setting = reader_.find("type");
    if (setting == nullptr) return;
    spec_.type = setting->words[0];
    static constexpr std::string_view types[] = {"acme", "certinext", "sectigo", "ssl_store", "digicert"};
    if (std::find(std::begin(types), std::end(types), spec_.type) != std::end(types)) return;
    reader_.blame(*setting, "type: " + in_quotes(spec_.type) +
                                " is not known here; write type acme, certinext, sectigo, ssl_store or digicert");
    spec_.type = "acme";
  }

  // An option that a type does not know would be ignored in silence.
  void refuse_foreign_options() {
    static constexpr std::string_view of_acme[] = {"account_key", "contact",    "external_account_key",   "preferred_chain",
                                                   "profile",     "state_path", "accept_terms_of_service"};
    static constexpr std::string_view of_all_others[] = {"secret", "product", "organization", "term", "comments"};
    // Who else knows an option that not all of them have.
    struct Shared {
      std::string_view option;
      std::string_view types;
    };
    static constexpr Shared shared[] = {{"api", "certinext"},
                                        {"token_uri", "certinext"},
                                        {"signer", "certinext"},
                                        {"tags", "certinext"},
                                        {"validation_name", "certinext"},
                                        {"validation_file", "certinext"},
                                        {"requester", "certinext ssl_store"},
                                        {"technical_contact", "certinext ssl_store"},
                                        {"www", "certinext ssl_store"},
                                        {"account", "certinext sectigo ssl_store"},
                                        {"recipients", "certinext sectigo"},
                                        {"group", "certinext digicert"},
                                        {"customer", "sectigo"},
                                        {"low_balance", "certinext ssl_store"},
                                        {"custom_field", "sectigo digicert ssl_store"}};
    const bool acme = spec_.type == "acme";
    const auto refuse = [&](std::string_view option) {
      if (const Setting* const setting = reader_.find(option))
        reader_.blame(*setting, std::string(option) + " is no option of type " + spec_.type + "; remove it");
    };
    if (acme)
      std::for_each(std::begin(of_all_others), std::end(of_all_others), refuse);
    else
      std::for_each(std::begin(of_acme), std::end(of_acme), refuse);
    for (const Shared& one : shared) {
      if (one.types.find(spec_.type) == std::string_view::npos) refuse(one.option);
    }
  }

  void read_caa_identities() {
    for (std::string identity : reader_.words("caa_identity")) {
      std::transform(identity.begin(), identity.end(), identity.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
      if (identity.empty() || identity.find_first_of(" ;/:") != std::string::npos)
        return reader_.error("caa_identity",
                             "caa_identity: " + in_quotes(identity) + " is no domain; write it as in the CAA record");
      spec_.caa_identities.push_back(std::move(identity));
    }
  }

  void read_timeouts() {
    constexpr unsigned longest = 600;
    unsigned whole = 30;
    unsigned connect = 10;
    reader_.read_number("timeout", 1, longest, whole);
    reader_.read_number("connect_timeout", 1, longest, connect);
    spec_.timeout = std::chrono::seconds(whole);
    spec_.connect_timeout = std::chrono::seconds(connect);
  }

  void read_uri() {
    const Setting* const setting = reader_.find("uri");
    if (setting == nullptr) {
      reader_.error("uri", subject() + " has no uri; add " +
                               (spec_.type == "acme" ? "the address of its ACME directory, or a word such as letsencrypt"
                                                     : "the address of its API: uri https://HOST/PATH"));
      return;
    }
    spec_.uri = setting->words[0];
    if (may_name_ca(spec_.uri)) return read_known_ca(*setting);
    if (const auto good = check_issuer_uri(spec_.uri); !good) reader_.blame(*setting, "uri: " + good.error().message);
  }

  void read_known_ca(const Setting& setting) {
    const std::string word = spec_.uri;
    const KnownCa* const ca = known_ca(word);
    const auto refuse = [&](const std::string& why) { reader_.blame(setting, "uri: " + why); };
    if (spec_.type != "acme")
      return refuse(in_quotes(word) + (ca == nullptr ? " is no absolute URI" : " names an ACME directory") + ", and type " +
                    spec_.type + " wants the address of the CA's API; write https://HOST/PATH");
    if (ca == nullptr)
      return refuse(in_quotes(word) + " is no CA that is known by a word" +
                    did_you_mean(lower_case(word), known_ca_words(),
                                 "; write https://HOST/PATH, or one of " + enumerated(known_ca_words())));
    if (ca->directory.empty()) return refuse(in_quotes(word) + " stands for no address: " + std::string(ca->remark));
    spec_.uri = ca->directory;
  }

  // A CA that is known by a word is known by its address, too. An account key of the operator's own may belong to an account
  // that is there already.
  void read_need_of_external_account() {
    const KnownCa* const ca = spec_.type == "acme" ? known_ca_at(spec_.uri) : nullptr;
    if (ca == nullptr || ca->account.empty() || reader_.find("external_account_key") != nullptr ||
        !spec_.account_key_pem.empty())
      return;
    reader_.warning("external_account_key", subject() + " has no external_account_key, without which " +
                                                std::string(ca->title) +
                                                " makes no account; get a key identifier and an HMAC key " +
                                                std::string(ca->account) + ", and add external_account_key KID FILE");
  }

  void read_account_key() {
    const Setting* const setting = reader_.find("account_key");
    if (setting == nullptr) return;
    const std::string& word = setting->words[0];
    const auto refuse = [&](const Error& error) { reader_.blame(*setting, "account_key: " + error.message); };
    if (!names_file(word)) {
      const auto spec = parse_key_spec(word);
      if (!spec) return refuse({ErrorKind::configuration, spec.error().message + ", or the path of a PEM file"});
      spec_.account_key = *spec;
      return;
    }
    auto pem = files_.read(word, FileSource::Care::secret);
    if (!pem) return refuse(pem.error());
    const auto spec = spec_of_pem(*pem, word);
    if (!spec) return refuse(spec.error());
    spec_.account_key = *spec;
    spec_.account_key_pem = std::move(*pem);
  }

  void read_challenge() {
    const Setting* const setting = reader_.find("challenge");
    spec_.challenges = {ChallengeKind::http_01};
    if (setting == nullptr) return;
    // nginx's own ACME module also takes both of its kinds without their version.
    const std::string& written = setting->words[0];
    const std::string word = written == "http" || written == "tls-alpn" ? written + "-01" : written;
    if (setting->words.size() == 1 && word == "http-01") return;
    if (setting->words.size() > 1)
      return reader_.blame(*setting, "challenge: an ACME issuer takes one kind; write one of them");
    if (word == "dns-01") {
      spec_.challenge = ChallengeKind::dns_01;
      spec_.challenges = {ChallengeKind::dns_01};
      if (reader_.lacks_dns(spec_.dns))
        reader_.blame(*setting, "challenge: dns-01 needs to know how DNS records are written; add dns_update or dns_program");
      return;
    }
    const std::string fact = word == "tls-alpn-01" ? "this release answers http-01 and dns-01 only, not " + word
                                                   : in_quotes(word) + " is no kind of challenge that ACME issuers know";
    reader_.blame(*setting, "challenge: " + fact + "; write challenge http-01, or dns-01");
  }

  void read_contacts() {
    for (const Setting& setting : reader_.section().settings) {
      if (setting.option->name != "contact") continue;
      for (const std::string& word : setting.words) {
        auto contact = parse_contact(word);
        if (!contact)
          reader_.blame(setting, "contact: " + contact.error().message);
        else if (std::find(spec_.contacts.begin(), spec_.contacts.end(), *contact) == spec_.contacts.end())
          spec_.contacts.push_back(std::move(*contact));
      }
    }
  }

  void read_external_account() {
    const Setting* const setting = reader_.find("external_account_key");
    if (setting == nullptr) return;
    const std::string& kid = setting->words[0];
    const std::string& where = setting->words[1];
    const auto refuse = [&](const std::string& why) { reader_.blame(*setting, "external_account_key: " + why); };
    if (kid.empty() || has_control_characters(kid) || kid.find(' ') != std::string::npos)
      refuse("the key identifier is empty or has white space in it; copy it as the issuer printed it");
    const bool in_place = where.starts_with("data:");
    Secret content = in_place ? Secret::from_text(std::string_view(where).substr(5)) : Secret();
    if (!in_place) {
      auto read = files_.read(where, FileSource::Care::secret);
      if (!read) return refuse(read.error().message);
      content = std::move(*read);
    }
    auto key = parse_hmac_key(content.text());
    if (!key) return refuse((in_place ? "" : where + ": ") + key.error().message);
    spec_.external_account = ExternalAccount{kid, std::move(*key)};
  }

  void read_profile() {
    const Setting* const setting = reader_.find("profile");
    if (setting == nullptr) return;
    const auto& words = setting->words;
    if (words[0].empty()) return reader_.blame(*setting, "profile is empty; write the profile's name");
    if (words.size() > 1 && words[1] != "require")
      return reader_.blame(*setting, "profile: the second word " + in_quotes(words[1]) + " is unknown; write NAME [require]");
    spec_.profile = Profile{words[0], words.size() > 1};
  }

  void read_trusted_certificates() {
    const Setting* const setting = reader_.find("ssl_trusted_certificate");
    if (setting == nullptr) return;
    const std::string& path = setting->words[0];
    auto pem = files_.read(path, FileSource::Care::plain);
    if (!pem) return reader_.blame(*setting, "ssl_trusted_certificate: " + pem.error().message);
    if (wants_pass_phrase(pem->text()))
      return reader_.blame(*setting, "ssl_trusted_certificate: " + path + " has an encrypted block in it, which nobody here " +
                                         "could open; write the certificates there without a pass phrase");
    if (!holds_certificate(*pem))
      return reader_.blame(*setting, "ssl_trusted_certificate: " + path + " holds no PEM certificate; name a file with the " +
                                         "certificate (BEGIN CERTIFICATE) that signed the issuer's own server");
    spec_.trusted_certificates_pem = std::move(*pem);
  }

  void read_import_path() {
    const Setting* const setting = reader_.find("state_path");
    if (setting == nullptr) return;
    if (setting->words[0] == "off")
      return reader_.blame(*setting,
                           "state_path off is refused: a server that keeps nothing orders anew at each start and is locked "
                           "out by the issuer's limits; remove it, the state is kept in the global state_path");
    reader_.read_absolute_path("state_path", spec_.import_path);
  }

  void read_terms() {
    reader_.read_switch("accept_terms_of_service", spec_.terms_accepted);
    if (!spec_.terms_accepted)
      reader_.warning("accept_terms_of_service", "the terms of service of " + subject() +
                                                     " are not accepted, most issuers then " +
                                                     "refuse to work; read them and add accept_terms_of_service");
  }

  void read_proxy() {
    const Setting* const setting = reader_.find("proxy");
    if (setting == nullptr) return;
    const auto& words = setting->words;
    const auto refuse = [&](const std::string& why) { reader_.blame(*setting, "proxy: " + why); };
    if (words.size() == 1 && words[0] == "off") return;
    if (words.size() == 2) return refuse("a user stands without the file of a password; write URI USER FILE");
    const auto uri = parse_uri(words[0]);
    const bool bare = words[0].find("://") == std::string::npos && words[0].find('@') == std::string::npos;
    if (!uri && bare)
      return refuse(in_quotes(words[0]) + " does not say how the proxy is spoken to; write http://" + words[0] +
                    " (or https://, socks5://, socks5h://)");
    if (!uri) return refuse(uri.error().message);
    const std::vector<std::string> schemes = {"http", "https", "socks5", "socks5h"};
    if (std::find(schemes.begin(), schemes.end(), uri->scheme) == schemes.end())
      return refuse(in_quotes(words[0]) + " is no proxy; write http://, https://, socks5:// or socks5h://HOST:PORT");
    if (uri->port == 0) return refuse(in_quotes(words[0]) + " has no port; write " + uri->scheme + "://HOST:PORT");
    spec_.proxy.uri = words[0];
    if (words.size() == 1) return;
    spec_.proxy.user = words[1];
    auto password = files_.read(words[2], FileSource::Care::secret);
    if (!password) return refuse(password.error().message);
    // A file written by hand ends in a line feed that is no part of the password.
    std::string_view text = password->text();
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    if (words[1].empty() || text.empty()) return refuse("the user or the password in " + words[2] + " is empty");
    spec_.proxy.password = Secret::from_text(text);
  }

  SectionReader reader_;
  FileSource& files_;
  IssuerSpec spec_;
};

}  // namespace

IssuerSpec check_issuer(const Section& section, const DnsSettings& dns, FileSource& files, std::vector<Complaint>& complaints) {
  return IssuerReading(section, dns, files, complaints).read();
}

}  // namespace evercert
