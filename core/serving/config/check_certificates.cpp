#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "serving/config/check.h"
#include "serving/config/identifier.h"
#include "serving/config/spelling.h"
#include "serving/config/words.h"

namespace evercert {

namespace {

// What the issuers of public trust take in one order at most.
constexpr std::size_t many_names = 100;

std::string words_of(const std::vector<KeySpec>& keys) {
  std::vector<std::string> words;
  words.reserve(keys.size());
  for (const KeySpec& key : keys) words.push_back(key.text());
  return joined(words, ",");
}

std::vector<Identifier> in_order(std::vector<Identifier> identifiers) {
  std::sort(identifiers.begin(), identifiers.end());
  return identifiers;
}

class CertificatesReading {
 public:
  CertificatesReading(const Settings& settings, const ProofDefaults& defaults, Plan& plan, std::vector<Complaint>& complaints)
      : settings_(settings), defaults_(defaults), plan_(plan), complaints_(complaints) {
    for (const Section& issuer : settings.issuers)
      if (std::find(issuer_names_.begin(), issuer_names_.end(), issuer.name) == issuer_names_.end())
        issuer_names_.push_back(issuer.name);
    for (const Setting& setting : settings.global.settings)
      for (std::size_t i = 0; setting.option->name == "lines" && i + 1 < setting.words.size(); i += 2)
        lines_.emplace(setting.words[i], setting.words[i + 1]);
  }

  std::vector<std::vector<std::size_t>> read() {
    std::vector<std::vector<std::size_t>> certificates_of_section(settings_.certificates.size());
    for (std::size_t i = 0; i < settings_.certificates.size(); ++i)
      certificates_of_section[i] = read_section(settings_.certificates[i]);
    check_plain_ports();
    return certificates_of_section;
  }

 private:
  std::vector<std::size_t> read_section(const Section& section) {
    const SectionReader reader(section, complaints_);
    CertificateSpec spec;
    spec.place = section.place;
    std::set<Identifier> short_forms;
    std::vector<Identifier> identifiers = read_identifiers(reader, short_forms);
    spec.issuers = read_issuers(reader);
    spec.keys = read_keys(reader);
    reader.read_switch("placeholder", spec.placeholder);
    spec.proof = defaults_.proof;
    spec.proof_addresses = defaults_.addresses;
    reader.read_proof(spec.proof, spec.proof_addresses);
    bool each = false;
    reader.read_switch("each", each);
    if (each && !section.name.empty())
      reader.error("name", "name cannot stand beside each, which names each certificate after its own name; remove one");
    if (identifiers.empty()) return {};
    if (!prove_wildcards(spec.issuers)) {
      settle_short_forms(reader, identifiers, short_forms);
      check_wildcards(reader, identifiers, spec.issuers);
    }
    check_names(reader, plan_, identifiers, spec.issuers);
    if (!each && identifiers.size() > many_names)
      reader.warning("", "this certificate is for " + std::to_string(identifiers.size()) +
                             " names, more than most issuers put in " + "one; write " +
                             spell_each(spelling_of(plan_.server, section.place)) + " for one certificate per name");
    return each ? add_each(reader, spec, identifiers) : add_one(reader, std::move(spec), identifiers);
  }

  std::vector<std::size_t> add_each(const SectionReader& reader, const CertificateSpec& model,
                                    const std::vector<Identifier>& identifiers) {
    std::vector<std::size_t> indexes;
    for (const Identifier& identifier : identifiers) {
      CertificateSpec spec = model;
      spec.identifiers = {identifier};
      if (const auto index = add(reader, std::move(spec), certificate_name_of(identifier))) indexes.push_back(*index);
    }
    return indexes;
  }

  std::vector<std::size_t> add_one(const SectionReader& reader, CertificateSpec spec, std::vector<Identifier> identifiers) {
    spec.named = !reader.section().name.empty();
    const std::string name = spec.named ? reader.section().name : certificate_name_of(identifiers.front());
    std::sort(identifiers.begin() + 1, identifiers.end());
    spec.identifiers = std::move(identifiers);
    const auto index = add(reader, std::move(spec), name);
    return index ? std::vector<std::size_t>{*index} : std::vector<std::size_t>();
  }

  // `short_forms`: the wildcards among them that stand in words such as ".example.com".
  std::vector<Identifier> read_identifiers(const SectionReader& reader, std::set<Identifier>& short_forms) {
    const bool listed = reader.find("identifiers") != nullptr;
    const std::string_view option = listed ? "identifiers" : "server_names";
    std::vector<Identifier> identifiers;
    std::set<Identifier> seen;
    bool faulty = false;
    for (const Setting& setting : reader.section().settings) {
      if (setting.option->name != option) continue;
      for (const std::string& word : setting.words) {
        auto read = read_name(word, listed);
        if (!read) {
          faulty = true;
          reader.blame(setting, read.error().message + (listed ? ""
                                                               : ", or name what the certificate is for yourself: " +
                                                                     identifiers_hint(reader.section().place)));
          continue;
        }
        for (Identifier& identifier : *read) {
          const bool fresh = seen.insert(identifier).second;
          if (!word.starts_with('.')) short_forms.erase(identifier);
          if (fresh && word.starts_with('.') && identifier.is_wildcard()) short_forms.insert(identifier);
          if (fresh) identifiers.push_back(std::move(identifier));
        }
      }
    }
    if (identifiers.empty() && !faulty)
      reader.error(reader.find(option) != nullptr ? option : "",
                   "there is no name that a certificate could be for; add a server name, or " +
                       identifiers_hint(reader.section().place));
    return identifiers;
  }

  [[nodiscard]] std::string identifiers_hint(const Place& place) const {
    return spell(*find_option(Scope::certificate, "identifiers"), spelling_of(plan_.server, place));
  }

  static Result<std::vector<Identifier>> read_name(const std::string& word, bool listed) {
    if (!listed) return parse_server_name(word);
    auto identifier = parse_identifier(word);
    if (!identifier) return identifier.error();
    return std::vector<Identifier>{std::move(*identifier)};
  }

  std::vector<std::string> read_issuers(const SectionReader& reader) {
    const Setting* const setting = reader.find("issuer");
    if (issuer_names_.empty()) {
      if (!std::exchange(missing_issuer_told_, true))
        reader.error(setting != nullptr ? "issuer" : "",
                     "no issuer is defined; add one: " + issuer_example(spelling_of(plan_.server, reader.section().place)));
      return {};
    }
    if (setting == nullptr) return default_issuer(reader);
    std::vector<std::string> names;
    for (std::string& name : split_at_commas(setting->words)) {
      if (std::find(issuer_names_.begin(), issuer_names_.end(), name) == issuer_names_.end())
        reader.blame(*setting,
                     "issuer " + in_quotes(name) + " is not defined; define it, or write one of: " + enumerated(issuer_names_));
      else if (std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    }
    return names;
  }

  std::vector<std::string> default_issuer(const SectionReader& reader) {
    if (std::find(issuer_names_.begin(), issuer_names_.end(), "default") != issuer_names_.end()) return {"default"};
    if (issuer_names_.size() == 1) return issuer_names_;
    if (!std::exchange(default_issuer_told_, true))
      reader.error("",
                   "several issuers are defined (" + enumerated(issuer_names_) +
                       ") and none is called default; call one so, or name an issuer here: " +
                       spell(*find_option(Scope::certificate, "issuer"), spelling_of(plan_.server, reader.section().place)));
    return {};
  }

  static std::vector<KeySpec> read_keys(const SectionReader& reader) {
    const Setting* const setting = reader.find("key");
    if (setting == nullptr) return {KeySpec{}};
    std::vector<KeySpec> keys;
    for (const std::string& word : split_at_commas(setting->words)) {
      const auto key = parse_key_spec(word);
      if (!key) {
        reader.blame(*setting, "key: " + key.error().message);
        continue;
      }
      const auto rival =
          std::find_if(keys.begin(), keys.end(), [&](const KeySpec& known) { return known.algorithm == key->algorithm; });
      if (rival != keys.end())
        reader.blame(*setting, "key: " + rival->text() + " and " + key->text() +
                                   " are of one algorithm, of which a handshake uses one; keep one of them");
      else
        keys.push_back(*key);
    }
    if (keys.empty() && split_at_commas(setting->words).empty())
      reader.blame(*setting, "key is empty; write a kind of key, such as ecdsa:256");
    return keys;
  }

  [[nodiscard]] bool prove_wildcards(const std::vector<std::string>& issuers) const {
    return issuers.empty() || std::any_of(issuers.begin(), issuers.end(),
                                          [&](const std::string& name) { return plan_.issuer(name)->proves_wildcards(); });
  }

  // Where no issuer can prove the wildcard of ".example.com", the word stands for example.com and www.example.com, as in
  // nginx's own ACME module.
  static void settle_short_forms(const SectionReader& reader, std::vector<Identifier>& identifiers,
                                 const std::set<Identifier>& short_forms) {
    for (std::size_t i = 0; i < identifiers.size(); ++i) {
      if (!short_forms.contains(identifiers[i])) continue;
      const std::string domain = identifiers[i].value.substr(2);
      const Identifier www{IdentifierKind::dns, "www." + domain};
      reader.warning("server_names", in_quotes("." + domain) + " is taken as " + domain + " and " + www.value +
                                         ", since the issuer cannot prove the wildcard *." + domain +
                                         "; list other names below it one by one");
      if (std::find(identifiers.begin(), identifiers.end(), www) == identifiers.end())
        identifiers[i] = www;
      else
        identifiers.erase(identifiers.begin() + static_cast<std::ptrdiff_t>(i--));
    }
  }

  void check_wildcards(const SectionReader& reader, const std::vector<Identifier>& identifiers,
                       const std::vector<std::string>& issuers) {
    const auto wildcard = std::find_if(identifiers.begin(), identifiers.end(),
                                       [](const Identifier& identifier) { return identifier.is_wildcard(); });
    if (wildcard == identifiers.end()) return;
    reader.error(reader.find("identifiers") != nullptr ? "identifiers" : "server_names",
                 in_quotes(wildcard->value) + " is a wildcard, which " + unable_way(issuers) + " cannot prove (issuer " +
                     enumerated(issuers) + "); list the names one by one, or write challenge " + able_way(issuers) +
                     " in the issuer");
  }

  // The way that the first of them takes, and one that it could take instead, in its own words.
  std::string unable_way(const std::vector<std::string>& issuers) {
    return to_string(plan_.issuer(issuers.front())->challenge);
  }

  std::string able_way(const std::vector<std::string>& issuers) {
    const IssuerSpec& issuer = *plan_.issuer(issuers.front());
    if (issuer.type == "acme") return "dns-01";
    const bool digicert = issuer.type == "digicert" || issuer.purchase.product.starts_with("digi");
    return std::string(issuer.type == "certinext" || digicert ? "dns-txt" : "dns-cname") + " or email:ADDRESS";
  }

  // Adds a certificate to the plan, or merges it into an equal one.
  std::optional<std::size_t> add(const SectionReader& reader, CertificateSpec spec, const std::string& name) {
    auto good = parse_certificate_name(name);
    if (!good) {
      reader.error("name", good.error().message);
      return std::nullopt;
    }
    spec.name = std::move(*good);
    if (const auto line = lines_.find(spec.name); !spec.named && line != lines_.end()) spec.name = line->second;
    if (const auto same = same_set(spec)) {
      merge(reader, plan_.certificates[*same], spec);
      return same;
    }
    const auto [found, fresh] = by_name_.try_emplace(spec.name, plan_.certificates.size());
    if (!fresh) {
      merge(reader, plan_.certificates[found->second], spec);
      return found->second;
    }
    check_claims(reader, spec);
    if (!spec.named) by_set_.try_emplace(set_text(spec), found->second);
    plan_.certificates.push_back(std::move(spec));
    return found->second;
  }

  static std::string set_text(const CertificateSpec& spec) {
    std::string text;
    for (const Identifier& identifier : in_order(spec.identifiers)) text += identifier.value + "\n";
    return text;
  }

  // The same names in another order are the same certificate. (Issuers and keys are alike, or one of them is refused.)
  [[nodiscard]] std::optional<std::size_t> same_set(const CertificateSpec& spec) const {
    if (spec.named) return std::nullopt;
    const auto found = by_set_.find(set_text(spec));
    if (found == by_set_.end()) return std::nullopt;
    const CertificateSpec& known = plan_.certificates[found->second];
    const bool alike = known.issuers == spec.issuers && known.keys == spec.keys && known.placeholder == spec.placeholder &&
                       known.proof == spec.proof;
    return alike ? std::optional(found->second) : std::nullopt;
  }

  static void merge(const SectionReader& reader, CertificateSpec& known, const CertificateSpec& spec) {
    std::vector<std::string> differences;
    if (in_order(known.identifiers) != in_order(spec.identifiers)) differences.emplace_back("names");
    if (known.issuers != spec.issuers) differences.emplace_back("issuers");
    if (known.keys != spec.keys) differences.emplace_back("keys");
    if (known.placeholder != spec.placeholder) differences.emplace_back("placeholder");
    if (known.proof != spec.proof) differences.emplace_back("proof");
    if (!differences.empty()) {
      reader.error("", "certificate " + in_quotes(spec.name) + " is already defined at " + known.place.text() + " with other " +
                           enumerated(differences) + "; make both alike, or give one of them a name of its own");
      return;
    }
    for (const ProofAddress& address : spec.proof_addresses)
      if (std::find(known.proof_addresses.begin(), known.proof_addresses.end(), address) == known.proof_addresses.end())
        known.proof_addresses.push_back(address);
  }

  // The same name in two certificates is well, as long as both are ordered alike.
  void check_claims(const SectionReader& reader, const CertificateSpec& spec) {
    bool told = false;
    for (const Identifier& identifier : spec.identifiers) {
      const auto [found, fresh] = claims_.try_emplace(identifier.value, plan_.certificates.size());
      if (fresh || told) continue;
      const CertificateSpec& rival = plan_.certificates[found->second];
      if (rival.issuers == spec.issuers && rival.keys == spec.keys) continue;
      told = true;
      reader.error("", in_quotes(identifier.value) + " is also in the certificate of " + rival.place.text() +
                           ", ordered otherwise (issuer " + joined(rival.issuers, ",") + " and key " + words_of(rival.keys) +
                           " there, issuer " + joined(spec.issuers, ",") + " and key " + words_of(spec.keys) +
                           " here); make both alike or remove the name from one");
    }
  }

  // http-01 knocks at one port, whichever server block listens there.
  void check_plain_ports() {
    const Section* first = nullptr;
    bool open = false;
    for (const Section& section : settings_.certificates) {
      for (const Setting& setting : section.settings) {
        if (setting.option->name != "plain_ports") continue;
        if (first == nullptr) first = &section;
        for (const std::string& word : setting.words) open = open || word == std::to_string(plan_.http_port);
      }
    }
    std::vector<std::string> asked;
    for (const auto& [kind, what] :
         {std::pair(ChallengeKind::http_01, "http-01 answers"), std::pair(ChallengeKind::http_file, "validation files")})
      if (std::any_of(plan_.issuers.begin(), plan_.issuers.end(), [kind = kind](const IssuerSpec& issuer) {
            return std::find(issuer.challenges.begin(), issuer.challenges.end(), kind) != issuer.challenges.end();
          }))
        asked.emplace_back(what);
    if (first == nullptr || open || asked.empty() || plan_.certificates.empty() || was_refused(complaints_, "http_port"))
      return;
    const std::string port = std::to_string(plan_.http_port);
    SectionReader(*first, complaints_)
        .warning("", "nothing listens for plain HTTP at port " + port + ", where issuers ask for " + enumerated(asked) +
                         "; add a listener for " + port + ", or set http_port if " + port +
                         " is forwarded to another port here");
  }

  const Settings& settings_;
  const ProofDefaults& defaults_;
  Plan& plan_;
  std::vector<Complaint>& complaints_;
  std::vector<std::string> issuer_names_;
  std::unordered_map<std::string, std::string> lines_;  // what a certificate would be called, to its line
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_map<std::string, std::size_t> by_set_;  // those without a name of their own
  std::unordered_map<std::string, std::size_t> claims_;
  bool missing_issuer_told_ = false;
  bool default_issuer_told_ = false;
};

}  // namespace

std::vector<std::vector<std::size_t>> check_certificates(const Settings& settings, const ProofDefaults& defaults, Plan& plan,
                                                         std::vector<Complaint>& complaints) {
  return CertificatesReading(settings, defaults, plan, complaints).read();
}

}  // namespace evercert
