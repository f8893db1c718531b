// The options of issuers that are no ACME servers: who we are there, what is bought, and how names are shown to be ours.
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "serving/config/check.h"
#include "serving/config/industry_rules.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

struct Method {
  std::string_view word;
  ChallengeKind kind;
};
constexpr std::array<Method, 3> methods{
    {{"http-file", ChallengeKind::http_file}, {"dns-txt", ChallengeKind::dns_txt}, {"dns-cname", ChallengeKind::dns_cname}}};
constexpr std::string_view mail_prefix = "email:";

// What The SSL Store wants to know of the organization, in its own words.
constexpr std::array<std::string_view, 17> company_fields{"OrganizationName",
                                                          "DUNS",
                                                          "Division",
                                                          "IncorporatingAgency",
                                                          "RegistrationNumber",
                                                          "JurisdictionCity",
                                                          "JurisdictionRegion",
                                                          "JurisdictionCountry",
                                                          "AddressLine1",
                                                          "AddressLine2",
                                                          "AddressLine3",
                                                          "City",
                                                          "Region",
                                                          "PostalCode",
                                                          "Country",
                                                          "Fax",
                                                          "LocalityName"};

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_mail_address(std::string_view text) {
  const auto at = text.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.find(' ') == std::string_view::npos &&
         text.find('@', at + 1) == std::string_view::npos;
}

// "+1-5551234567": the country's code must be told apart, some CAs want it by itself.
bool is_phone(std::string_view text) {
  const auto dash = text.find('-');
  return text.starts_with('+') && dash != std::string_view::npos && is_number(text.substr(1, dash - 1)) &&
         is_number(text.substr(dash + 1)) && dash <= 4;
}

// What CAs refuse as the place from where an agreement was accepted.
bool is_public_address(const std::string& text) {
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) return (six.s6_addr[0] & 0xe0) == 0x20;
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) != 1) return false;
  const std::uint32_t address = ntohl(four.s_addr);
  const std::uint32_t first = address >> 24;
  const bool closed = first == 10 || first == 127 || first == 0 || first >= 224 || (address >> 20) == 0xac1 ||
                      (address >> 16) == 0xc0a8 || (address >> 16) == 0xa9fe || (address >> 22) == (0x64400000U >> 22);
  return !closed;
}

class PurchaseReading {
 public:
  PurchaseReading(const SectionReader& reader, FileSource& files, IssuerSpec& spec)
      : reader_(reader), files_(files), spec_(spec), purchase_(spec.purchase) {}

  void read() {
    read_methods();
    if (spec_.type != "digicert") require("account", purchase_.account);
    read_secret();
    read_product();
    reader_.read_word("organization", purchase_.organization);
    reader_.read_word("comments", purchase_.comments);
    purchase_.recipients = reader_.words("recipients");
    read_low_balance();
    if (spec_.type == "sectigo")
      read_sectigo();
    else if (spec_.type == "digicert")
      read_digicert();
    else if (spec_.type == "ssl_store")
      read_ssl_store();
    else
      read_certinext();
  }

 private:
  void read_sectigo() {
    constexpr unsigned days = 3650;
    require("customer", purchase_.customer);
    reader_.read_number("term", 1, days, purchase_.term);
    warn_of_long_term();
    for (const std::string_view needed : {"organization", "term"})
      if (reader_.find(needed) == nullptr)
        reader_.error("", "issuer " + in_quotes(spec_.name) + " is of type sectigo and has no " + std::string(needed) +
                              "; the CA wants it with each order");
    read_number_words("organization");
    read_number_words("product");
    read_custom_fields();
  }

  // Such a term may be one of a private CA.
  void warn_of_long_term() {
    const auto now = std::chrono::system_clock::now();
    const unsigned longest = lifetime_rule(now).longest_days;
    if (purchase_.term <= longest) return;
    reader_.warning("term", "term: " + std::to_string(purchase_.term) + " days are more than the " + std::to_string(longest) +
                                " that a public CA may issue for since " + day_text(lifetime_rule(now).from) +
                                "; the CA refuses it or cuts it down, write one of the terms of the profile");
  }

  // A way of proving that the rules of the industry end, told a year before.
  void check_end_of_mail(const Setting& setting, const std::string& word) {
    const auto end = end_of_method(ChallengeKind::email);
    const auto now = std::chrono::system_clock::now();
    if (!end || now + std::chrono::hours(24 * 365) < *end) return;
    if (now < *end) {
      reader_.warning("challenge", "challenge: " + word + " ends on " + day_text(*end) +
                                       ": no CA may prove names by mail from then on; write another way before");
    } else {
      reader_.blame(setting, "challenge: " + word + " ended on " + day_text(*end) +
                                 ": no CA may prove names by mail any more; write another way");
    }
  }

  void read_digicert() {
    constexpr unsigned years = 6;
    purchase_.term = 1;
    reader_.read_number("term", 1, years, purchase_.term);
    reader_.read_word("group", purchase_.group);
    read_number_words("group");
    read_number_words("organization");
    read_custom_fields();
    if (purchase_.product.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos)
      reader_.error("product", "product: " + in_quotes(purchase_.product) +
                                   " is no product of CertCentral; write its identifier, for example ssl_basic");
  }

  void read_low_balance() {
    const Setting* const setting = reader_.find("low_balance");
    if (setting == nullptr) return;
    reader_.read_word("low_balance", purchase_.low_balance);
    const std::string& amount = purchase_.low_balance;
    const auto point = amount.find('.');
    const bool decimal = point == std::string::npos || (is_number(amount.substr(point + 1)) && amount.size() - point <= 3);
    if (!is_number(amount.substr(0, point)) || !decimal || amount.size() > 12)
      reader_.blame(*setting, "low_balance: " + in_quotes(amount) + " is no amount; write a number, for example 250 or 99.50");
  }

  void read_ssl_store() {
    constexpr unsigned months = 60;
    purchase_.term = 12;
    reader_.read_number("term", 1, months, purchase_.term);
    read_number_words("organization");
    read_people();
    reader_.read_switch("www", purchase_.www);
    read_custom_fields();
    for (const char* option : {"requester", "technical_contact"})
      if (const Setting* const setting = reader_.find(option);
          setting != nullptr && setting->words[0].find(' ') == std::string::npos)
        reader_.blame(*setting, std::string(option) + ": The SSL Store wants a first and a last name; write both, in quotes");
    const Setting* const fields = reader_.find("custom_field");
    for (const auto& [name, value] : purchase_.custom_fields)
      if (std::find(company_fields.begin(), company_fields.end(), name) == company_fields.end())
        reader_.blame(*fields,
                      "custom_field: The SSL Store has no " + in_quotes(name) +
                          "; it knows OrganizationName, AddressLine1, City, Region, PostalCode, Country and others that " +
                          "the page buy-certificates.md lists");
    // Behind its products is one CA or the other, and they differ in what they look for.
    const bool digicert = purchase_.product.starts_with("digi");
    const bool by_text =
        std::find(spec_.challenges.begin(), spec_.challenges.end(), ChallengeKind::dns_txt) != spec_.challenges.end();
    if (by_text && !digicert)
      reader_.error("challenge", "challenge: Sectigo, which is behind " + in_quotes(purchase_.product) +
                                     ", looks for no TXT record; write dns-cname");
    if (!purchase_.organization.empty() && !digicert)
      reader_.error("organization", "organization: only DigiCert's products take the number of an organization; for " +
                                        in_quotes(purchase_.product) + " write custom_field OrganizationName and its address");
  }

  void read_number_words(std::string_view option) {
    const Setting* const setting = reader_.find(option);
    if (setting != nullptr && !is_number(setting->words[0]))
      reader_.blame(*setting, std::string(option) + ": " + in_quotes(setting->words[0]) +
                                  " is no number; the CA's portal shows it beside the name");
  }

  void read_custom_fields() {
    const std::vector<std::string> fields = reader_.words("custom_field");
    if (fields.size() % 2 != 0)
      return reader_.error("custom_field", "custom_field takes a name and a value, as often as there are fields");
    for (std::size_t i = 0; i < fields.size(); i += 2) purchase_.custom_fields.emplace_back(fields[i], fields[i + 1]);
  }

  void read_certinext() {
    purchase_.api = "v1";
    purchase_.term = 1;
    purchase_.validation_name = "{domain}";
    reader_.read_word("api", purchase_.api);
    if (const Setting* const setting = reader_.find("low_balance"); setting != nullptr && purchase_.api == "v1")
      reader_.blame(*setting, "low_balance: the interface v1 does not tell the balance; write api v2, or remove it");
    if (purchase_.api != "v1" && purchase_.api != "v2")
      reader_.error("api", "api: " + in_quotes(purchase_.api) + " is not known; write api v1 or api v2");
    reader_.read_word("token_uri", purchase_.token_uri);
    if (!purchase_.token_uri.empty())
      if (const auto good = check_issuer_uri(purchase_.token_uri); !good)
        reader_.error("token_uri", "token_uri: " + good.error().message);
    reader_.read_word("group", purchase_.group);
    reader_.read_number("term", 1, 3, purchase_.term);
    read_people();
    check_variant();
    purchase_.tags = reader_.words("tags");
    reader_.read_switch("www", purchase_.www);
    reader_.read_word("validation_name", purchase_.validation_name);
    if (purchase_.validation_name.find("{domain}") == std::string::npos)
      reader_.error("validation_name", "validation_name has no {domain} in it; write for example _validation.{domain}");
    reader_.read_word("validation_file", purchase_.validation_file);
    if (purchase_.validation_file.find('/') != std::string::npos)
      reader_.error("validation_file", "validation_file is the name of a file, without a path");
  }

  void require(std::string_view option, std::string& value) {
    reader_.read_word(option, value);
    if (reader_.find(option) == nullptr)
      reader_.error("", "issuer " + in_quotes(spec_.name) + " is of type " + spec_.type + " and has no " + std::string(option) +
                            "; add one");
  }

  void read_methods() {
    const Setting* const setting = reader_.find("challenge");
    if (setting == nullptr) {
      spec_.challenges = {ChallengeKind::http_file};
    } else {
      for (const std::string& word : setting->words) read_method(*setting, word);
      if (spec_.type == "sectigo" && setting->words.size() > 1)
        reader_.blame(*setting, "challenge: Sectigo takes one way of proving for an order; write one of them");
    }
    if (spec_.challenges.empty()) return;
    spec_.challenge = spec_.challenges.front();
  }

  void read_method(const Setting& setting, const std::string& word) {
    ChallengeKind kind = ChallengeKind::email;
    if (word.starts_with(mail_prefix)) {
      purchase_.email = word.substr(mail_prefix.size());
      if (!is_mail_address(purchase_.email))
        return reader_.blame(setting, "challenge: " + in_quotes(word) + " has no mail address; write email:NAME@DOMAIN");
      check_end_of_mail(setting, word);
    } else {
      const auto known = std::find_if(methods.begin(), methods.end(), [&](const Method& one) { return one.word == word; });
      // CERTInext has no CNAME method.
      const bool certinext = spec_.type == "certinext";
      if (known == methods.end() || (certinext && known->kind == ChallengeKind::dns_cname))
        return reader_.blame(setting, "challenge: " + in_quotes(word) + " is not what " + spec_.type +
                                          " knows; write http-file, " +
                                          (certinext ? "dns-txt or email:ADDRESS, several in the order to try them"
                                                     : "dns-txt, dns-cname or email:ADDRESS"));
      kind = known->kind;
      if (kind != ChallengeKind::http_file && reader_.lacks_dns(spec_.dns))
        return reader_.blame(
            setting, "challenge: " + word + " needs to know how DNS records are written; add dns_update or dns_program");
    }
    if (std::find(spec_.challenges.begin(), spec_.challenges.end(), kind) != spec_.challenges.end())
      return reader_.blame(setting, "challenge: " + in_quotes(word) + " is given twice; remove one");
    spec_.challenges.push_back(kind);
  }

  void read_secret() {
    const Setting* const setting = reader_.find("secret");
    if (setting == nullptr)
      return reader_.error("", "issuer " + in_quotes(spec_.name) + " is of type " + spec_.type +
                                   " and has no secret; write secret FILE with the file that holds the account's key");
    auto content = files_.read(setting->words[0], FileSource::Care::secret);
    if (!content) return reader_.blame(*setting, "secret: " + content.error().message);
    // A file written by hand ends in a line feed that is no part of the secret.
    std::string_view text = content->text();
    while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' ')) text.remove_suffix(1);
    if (text.empty()) return reader_.blame(*setting, "secret: " + setting->words[0] + " is empty");
    purchase_.secret = Secret::from_text(text);
  }

  void read_product() {
    const Setting* const setting = reader_.find("product");
    if (setting == nullptr)
      return reader_.error("", "issuer " + in_quotes(spec_.name) + " is of type " + spec_.type +
                                   " and has no product; write product CODE with a code from the CA's price list");
    purchase_.product = setting->words[0];
    if (setting->words.size() > 1) purchase_.variant = setting->words[1];
  }

  void check_variant() {
    const Setting* const setting = reader_.find("product");
    if (setting != nullptr && purchase_.api == "v2" && purchase_.variant.empty())
      reader_.blame(*setting, "product: api v2 wants the variant too; write product " + purchase_.product +
                                  " dv, or dv-wildcard, " +
                                  "dv-ucc, dv-wildcard-ucc, ov, ov-wildcard, ov-ucc, ov-wildcard-ucc, ev or ev-ucc");
  }

  Person read_person(std::string_view option) {
    Person person;
    const Setting* const setting = reader_.find(option);
    if (setting == nullptr) return person;
    const auto& words = setting->words;
    person = {words[0], words[1], words.size() > 2 ? words[2] : "", words.size() > 3 ? words[3] : ""};
    const std::string name(option);
    if (person.name.empty() || !is_mail_address(person.email))
      reader_.blame(*setting, name + ": " + in_quotes(person.email) + " is no mail address; write " + name +
                                  " NAME ADDRESS [+CC-PHONE [TITLE]], the name in quotes");
    else if (!person.phone.empty() && !is_phone(person.phone))
      reader_.blame(*setting, name + ": " + in_quotes(person.phone) +
                                  " is no phone number with its country; write +CC-NUMBER, " + "for example +91-8012345678");
    return person;
  }

  void read_people() {
    purchase_.requester = read_person("requester");
    purchase_.technical_contact = read_person("technical_contact");
    if (reader_.find("requester") == nullptr)
      reader_.error("", "issuer " + in_quotes(spec_.name) + " is of type " + spec_.type +
                            " and has no requester; write requester NAME ADDRESS +CC-PHONE");
    else if (purchase_.requester.phone.empty())
      reader_.error("requester", "requester: " + spec_.type + " wants a phone number too; add +CC-NUMBER");
    if (const Setting* const setting = reader_.find("signer")) {
      purchase_.signer = {setting->words[0], setting->words[1], setting->words[2]};
      if (!is_public_address(purchase_.signer.address))
        reader_.blame(*setting, "signer: " + in_quotes(purchase_.signer.address) +
                                    " is no public IP address, which the CA wants; write the one this site is seen with");
    }
  }

  const SectionReader& reader_;
  FileSource& files_;
  IssuerSpec& spec_;
  Purchase& purchase_;
};

}  // namespace

void check_purchase(const SectionReader& reader, FileSource& files, IssuerSpec& spec) {
  PurchaseReading(reader, files, spec).read();
}

}  // namespace evercert
