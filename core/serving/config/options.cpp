// The option table. The reference page, the JSON Schema test and all front ends are measured against it.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "evercert/settings.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

constexpr Option table[] = {
    {"state_path", Scope::global, ValueKind::path, 1, 2, false, "PATH [force]", "/var/lib/evercert",
     "The directory that holds the seal key, certificates, accounts and orders. With force it may lie on a network file system "
     "whose locks you trust."},
    {"agent_user", Scope::global, ValueKind::word, 1, 1, false, "USER", "",
     "The user the agent runs as when the server is started by root. Without it, the server's own "
     "unprivileged user; of evercert run by itself, www-data."},
    {"program", Scope::global, ValueKind::path, 1, 1, false, "PATH", "/usr/bin/evercert", "The agent's program."},
    {"http_port", Scope::global, ValueKind::number, 1, 1, false, "PORT", "80",
     "The port at which an issuer asks for http-01 answers, if it is not the usual one."},
    {"tls_port", Scope::global, ValueKind::number, 1, 1, false, "PORT", "443",
     "The port at which this server's TLS is reached from outside, if it is not the usual one."},
    {"cache_size", Scope::global, ValueKind::number, 1, 1, false, "NUMBER", "10000",
     "How many parsed certificates each serving process keeps in memory.", false, on_nginx | on_apache,
     "nothing is cached where certificates are read as files"},
    {"pem_path", Scope::global, ValueKind::path, 1, 1, false, "PATH", "/run/evercert/haproxy",
     "Where HAProxy finds its certificates as PEM files, written at each of its starts from the store. One directory for "
     "each HAProxy. Files there that evercert did not write are left alone.",
     false, on_haproxy, "only HAProxy reads certificates as files of ours; for other software there is export_path"},
    {"http_listen", Scope::global, ValueKind::word, 1, 1, false, "ADDRESS:PORT", "",
     "Where an agent without a server of its own answers http-01 challenges, for a proxy in front of it that passes them "
     "on: an address and a port. Without it, every address at http_port.",
     false, alone, "the server answers challenges itself"},
    {"export_path", Scope::global, ValueKind::path, 1, 1, false, "PATH", "",
     "The directory into which the agent writes each certificate as one PEM file (leaf, chain, key), for software that "
     "reads files. The agent's user must be able to write to it; whoever may read it has the private keys."},
    {"runtime_api", Scope::global, ValueKind::path, 1, 1, false, "PATH", "",
     "HAProxy's stats socket (level admin), at which exported certificates are exchanged without a reload. New ones are "
     "added where HAProxy binds to the directory export_path."},
    {"master_cli", Scope::global, ValueKind::path, 1, 1, false, "PATH", "",
     "HAProxy's master socket (haproxy -S), told to reload after certificates were exported."},
    {"hook", Scope::global, ValueKind::words, 1, 0, false, "COMMAND [ARGUMENT...]", "",
     "The command that is run, without a shell and as the agent's user, once a new certificate is served (without a server "
     "of ours: once it is exported). EVERCERT_CERTIFICATES names the certificates, EVERCERT_NAMES what they are for, "
     "EVERCERT_EXPORT_PATH where the files are, if any are. It has a minute; one that fails is run again."},
    {"shared_zone", Scope::global, ValueKind::word, 1, 1, false, "zone=NAME:SIZE", "",
     "Accepted so that a configuration for nginx's own ACME module can be carried over, and ignored: memory grows as needed."},
    {"include", Scope::global, ValueKind::path, 1, 0, true, "FILE...", "",
     "Reads another evercert.json in this place: what several servers share."},
    {"proof", Scope::global, ValueKind::switch_on_off, 1, 1, false, "on | off", "on",
     "The proof of every certificate that does not say it itself."},
    {"proof_address", Scope::global, ValueKind::words, 1, 0, true, "ADDRESS:PORT | unix:PATH [proxy_protocol]...", "",
     "The listeners to prove every certificate at that does not name its own."},
    {"resolver", Scope::global, ValueKind::words, 1, 0, true, "ADDRESS[:PORT]...", "",
     "The name servers that look-ups for validation by DNS go to, instead of the system's."},
    {"dns_update", Scope::global, ValueKind::words, 3, 0, true, "ZONE|* SERVER[:PORT] KEYFILE...", "",
     "A name server that takes updates of a zone and all below it (RFC 2136), and the file with its TSIG key, as tsig-keygen "
     "writes it, unreadable for others (or credential:NAME, environment:NAME). With * it is the server for every zone that has "
     "none of its own."},
    {"dns_program", Scope::global, ValueKind::path, 1, 1, false, "PATH", "",
     "A program that writes DNS records where no dns_update covers the name. It is called with add or remove, TXT or CNAME, "
     "the "
     "record's name and its value."},
    {"dns_propagation", Scope::global, ValueKind::word, 1, 1, false, "SECONDS | off", "120",
     "How long a DNS record may take to reach all name servers of its zone before the order is given up. With off they are not "
     "asked."},
    {"dns_port", Scope::global, ValueKind::number, 1, 1, false, "PORT", "53",
     "The port at which the name servers of zones answer, if it is not the usual one."},
    {"server", Scope::global, ValueKind::word, 1, 1, false, "NAME/VERSION", "", "The server that this configuration is for.",
     true},
    {"lines", Scope::global, ValueKind::words, 2, 0, true, "FIRST-NAME LINE...", "",
     "The stored certificates that were found for those of this configuration, where they are called otherwise.", true},

    {"type", Scope::issuer, ValueKind::word, 1, 1, false, "acme | certinext | sectigo | ssl_store | digicert", "acme",
     "The protocol that the issuer speaks: ACME (RFC 8555), or the API of emSign CERTInext, Sectigo Certificate Manager, The "
     "SSL Store or DigiCert CertCentral."},
    {"uri", Scope::issuer, ValueKind::uri, 1, 1, false, "URI | WORD", "",
     "The issuer's ACME directory, as an address or, of a CA that is known, as a word such as letsencrypt, letsencrypt-staging "
     "or zerossl; or the base of the CA's API. Required; https, except on loopback."},
    {"account_key", Scope::issuer, ValueKind::word, 1, 1, false, "ALGORITHM[:SIZE] | FILE", "ecdsa:256",
     "The kind of account key to make, or a PEM file with an account key of your own, unreadable for others (or "
     "credential:NAME, environment:NAME). A word with a slash or a dot is a file."},
    {"challenge", Scope::issuer, ValueKind::words, 1, 4, false,
     "http-01 | dns-01 | http-file | dns-txt | dns-cname | email:ADDRESS ...", "http-01",
     "How control over a name is shown to the issuer. ACME knows http-01 and dns-01. certinext knows http-file, "
     "dns-txt and email, digicert and ssl_store also dns-cname, several in the order to try them; sectigo takes one of these. "
     "http-file is their default. Those by DNS need dns_update or dns_program. Wildcards need one by DNS or mail."},
    {"common_name_in_csr", Scope::issuer, ValueKind::switch_on_off, 1, 1, false, "on | off", "off",
     "Puts the first name into the request's subject as well, for issuers that insist on it."},
    {"contact", Scope::issuer, ValueKind::words, 1, 0, true, "URI | ADDRESS...", "",
     "Where the issuer may reach you; mailto: is put before a bare mail address."},
    {"external_account_key", Scope::issuer, ValueKind::secret_file, 2, 2, false,
     "KID FILE | KID credential:NAME | KID environment:NAME | KID data:KEY", "",
     "The external account the issuer gave you: its key identifier, and the HMAC key in base64url, in a file unreadable for "
     "others, in a credential of the service manager, in a variable of the server's environment, or in place."},
    {"preferred_chain", Scope::issuer, ValueKind::word, 1, 1, false, "NAME", "",
     "Among the chains an issuer offers, takes the one in which an issuer's common name is this."},
    {"profile", Scope::issuer, ValueKind::words, 1, 2, false, "NAME [require]", "",
     "The certificate profile to order; with require nothing is ordered if the issuer does not have it."},
    {"ssl_trusted_certificate", Scope::issuer, ValueKind::path, 1, 1, false, "FILE", "",
     "PEM certificates that the issuer's own server is verified with, instead of the system's."},
    {"ssl_verify", Scope::issuer, ValueKind::switch_on_off, 1, 1, false, "on | off", "on",
     "Whether the issuer's own server is verified. Turn it off only in a laboratory."},
    {"state_path", Scope::issuer, ValueKind::path, 1, 1, false, "PATH", "",
     "A state directory of nginx's own ACME module. At each start what is newer there than ours is taken over; nothing is "
     "written to it."},
    {"accept_terms_of_service", Scope::issuer, ValueKind::flag, 0, 1, false, "[on | off]", "off",
     "Says that you agree to the issuer's terms of service. Most issuers refuse an account without it."},
    {"proxy", Scope::issuer, ValueKind::words, 1, 3, false, "off | URI [USER FILE]", "off",
     "The proxy through which the issuer is reached (http, https, socks5 or socks5h), and, where it asks for them, a user and "
     "the file that holds the password, unreadable for others (or credential:NAME, environment:NAME)."},
    {"caa_identity", Scope::issuer, ValueKind::words, 1, 0, true, "DOMAIN...", "",
     "Under which names the CA looks for itself in CAA records, as its practice statement says. With it, nothing is ordered "
     "that the records forbid. ACME issuers mostly say theirs themselves."},
    {"timeout", Scope::issuer, ValueKind::number, 1, 1, false, "SECONDS", "30",
     "How long a whole request to the issuer may take."},
    {"connect_timeout", Scope::issuer, ValueKind::number, 1, 1, false, "SECONDS", "10",
     "How long a connection to the issuer may take to be made."},
    {"api", Scope::issuer, ValueKind::word, 1, 1, false, "v1 | v2", "v1",
     "Which of the CA's interfaces is spoken: of CERTInext, v1 goes with an access key, v2 with an OAuth client."},
    {"account", Scope::issuer, ValueKind::word, 1, 1, false, "NAME", "",
     "Who we are at the CA: for CERTInext the account number, for Sectigo the login name, for The SSL Store the partner code."},
    {"customer", Scope::issuer, ValueKind::word, 1, 1, false, "NAME", "",
     "The last part of the address at which one logs in to Sectigo Certificate Manager."},
    {"secret", Scope::issuer, ValueKind::word, 1, 1, false, "FILE | credential:NAME | environment:NAME", "",
     "The access key, client secret, password, token or API key of the account: in a file unreadable for others, in a "
     "credential of the service manager, or in a variable of the server's environment."},
    {"token_uri", Scope::issuer, ValueKind::uri, 1, 1, false, "URI", "",
     "Where access tokens are fetched, if not at oauth/token below uri."},
    {"product", Scope::issuer, ValueKind::words, 1, 2, false, "CODE [VARIANT]", "",
     "What is ordered, by the CA's own code; for Sectigo the number of a profile. CERTInext's v2 also wants the "
     "variant: dv, dv-wildcard, dv-ucc, ov, ev and so on."},
    {"group", Scope::issuer, ValueKind::word, 1, 1, false, "NUMBER", "",
     "The group of the account that the order belongs to; CertCentral calls it division."},
    {"organization", Scope::issuer, ValueKind::word, 1, 1, false, "NUMBER", "",
     "The organization by its number at the CA: for CERTInext and CertCentral one that was vetted before, where the "
     "certificate names one; Sectigo wants it with each order; of The SSL Store for DigiCert's products."},
    {"term", Scope::issuer, ValueKind::number, 1, 1, false, "NUMBER", "",
     "How long is ordered for: for CERTInext and CertCentral in years (1 by default), for Sectigo in days as the "
     "profile has them, for The SSL Store in months (12 by default)."},
    {"requester", Scope::issuer, ValueKind::words, 2, 4, false, "NAME ADDRESS [+CC-PHONE [TITLE]]", "",
     "Who orders. For CERTInext the mail address must be one that it knows as a user of the account; The SSL Store takes the "
     "person "
     "as administrative contact and wants first and last name."},
    {"technical_contact", Scope::issuer, ValueKind::words, 2, 4, false, "NAME ADDRESS [+CC-PHONE [TITLE]]", "",
     "Whom the CA may ask about technical matters. Without it, the requester."},
    {"signer", Scope::issuer, ValueKind::words, 3, 3, false, "NAME PLACE IP-ADDRESS", "",
     "Who accepts the subscriber agreement with each order, where, and from which public address. Without it a person accepts "
     "it "
     "in the CA's portal."},
    {"comments", Scope::issuer, ValueKind::word, 1, 1, false, "TEXT", "", "A remark that goes with each order."},
    {"tags", Scope::issuer, ValueKind::words, 1, 0, true, "TAG...", "",
     "Tags that the order carries at the CA, beside one of ours."},
    {"custom_field", Scope::issuer, ValueKind::words, 2, 0, true, "NAME VALUE...", "",
     "A field of the customer's own that Sectigo (by name) or CertCentral (by number) wants filled in with each order; for The "
     "SSL "
     "Store what it wants to know of the organization, by its own names: OrganizationName, City, Country and others."},
    {"recipients", Scope::issuer, ValueKind::words, 1, 0, true, "ADDRESS...", "",
     "Further mail addresses that the CA tells of the order (CERTInext v2, Sectigo)."},
    {"low_balance", Scope::issuer, ValueKind::word, 1, 1, false, "AMOUNT", "",
     "The balance of the account, in its own currency, under which it is told that money is short, where the CA tells the "
     "balance (CERTInext v2, The SSL Store). Without it, the price of one order."},
    {"www", Scope::issuer, ValueKind::switch_on_off, 1, 1, false, "on | off", "off",
     "Whether the CA may add the name with www to a certificate by itself."},
    {"validation_name", Scope::issuer, ValueKind::word, 1, 1, false, "TEMPLATE", "{domain}",
     "The name of TXT records that the CA looks for, where it does not tell; {domain} stands for the name to validate."},
    {"validation_file", Scope::issuer, ValueKind::word, 1, 1, false, "NAME", "",
     "The name of the file below /.well-known/pki-validation/ that the CA asks for, where it does not tell (CERTInext v2)."},
    {"max_orders", Scope::issuer, ValueKind::number, 1, 1, false, "NUMBER", "16",
     "How many orders may be in flight at the issuer at once."},

    {"order", Scope::issuer, ValueKind::switch_on_off, 1, 1, false, "on | off", "on",
     "Whether certificates are ordered and renewed here without being asked. With off, what there is is served and can be "
     "imported, and nothing is bought until somebody says evercert renew."},

    {"issuer", Scope::certificate, ValueKind::words, 1, 0, false, "NAME[,NAME]...", "",
     "The issuers to order from, in order of preference. Without it, the one called default, or else the only one."},
    {"identifiers", Scope::certificate, ValueKind::words, 1, 0, true, "NAME | ADDRESS...", "",
     "The names and IP addresses of the certificate. Without it, the server's names."},
    {"server_names", Scope::certificate, ValueKind::words, 0, 0, true, "NAME...", "",
     "The names of the server block or virtual host, as the server has them.", true},
    {"key", Scope::certificate, ValueKind::words, 1, 0, false, "ALGORITHM[:SIZE][,ALGORITHM[:SIZE]]", "ecdsa:256",
     "The keys to order certificates for: ecdsa:256, ecdsa:384, ecdsa:521, rsa:2048, rsa:3072 or rsa:4096, at most one of each "
     "algorithm."},
    {"name", Scope::certificate, ValueKind::word, 1, 1, false, "NAME", "",
     "What the certificate is called in commands, status and store. Without it, as its first identifier."},
    {"each", Scope::certificate, ValueKind::flag, 0, 1, false, "[on | off]", "off",
     "Makes one certificate for each name instead of one for all."},
    {"placeholder", Scope::certificate, ValueKind::switch_on_off, 1, 1, false, "on | off", "off",
     "Serves a self-signed certificate until the first one is issued; otherwise handshakes are refused until then.", false,
     on_nginx | on_apache, "HAProxy always has a stand-in, and an agent without a server has nothing to serve it from"},
    {"proof", Scope::certificate, ValueKind::switch_on_off, 1, 1, false, "on | off", "on",
     "Whether the agent connects to the server after each renewal to see the new certificate served."},
    {"proof_address", Scope::certificate, ValueKind::words, 1, 0, true, "ADDRESS:PORT | unix:PATH [proxy_protocol]...", "",
     "Where the agent connects for the proof, instead of the server's own listeners; proxy_protocol for listeners that expect "
     "it."},
    {"plain_ports", Scope::certificate, ValueKind::number, 0, 0, true, "PORT...", "",
     "The ports without TLS at which the server listens.", true},
};

}  // namespace

std::span<const Option> options() {
  return table;
}

unsigned server_bit(std::string_view server) {
  if (server.empty()) return alone;
  if (server.starts_with("nginx")) return on_nginx;
  if (server.starts_with("Apache")) return on_apache;
  return server.starts_with("HAProxy") ? unsigned{on_haproxy} : unsigned{everywhere};
}

const Setting* find_setting(const Section& section, std::string_view option) {
  for (const Setting& setting : section.settings)
    if (setting.option->name == option) return &setting;
  return nullptr;
}

const Option* find_option(Scope scope, std::string_view name) {
  for (const Option& option : table)
    if (option.scope == scope && option.name == name) return &option;
  return nullptr;
}

const Option* nearest_option(Scope scope, std::string_view name) {
  const Option* nearest = nullptr;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  if (name.size() > 64) return nullptr;
  for (const Option& option : table) {
    if (option.scope != scope || option.from_server) continue;
    const std::size_t distance = edit_distance(name, option.name);
    // More than a third of the letters wrong is another word.
    if (distance < least && distance <= std::max<std::size_t>(1, option.name.size() / 3)) {
      least = distance;
      nearest = &option;
    }
  }
  return nearest;
}

}  // namespace evercert
