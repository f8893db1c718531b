#include <openssl/x509v3.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ostream>

#include "agent/lead/import_sources.h"
#include "agent/observe/status_report.h"
#include "cli/commands.h"
#include "cli/conversation.h"
#include "cli/pairs.h"
#include "cli/stand_in.h"
#include "cli/terminal.h"
#include "evercert/lines.h"
#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/base/openssl_handles.h"
#include "serving/certificate/read_certificate.h"
#include "serving/config/identifier.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

struct Verdict {
  std::string label;
  std::string name;
  std::string word;  // adopted, skipped, refused
  std::string why;
};

bool signed_itself(BytesView leaf) {
  const auto certificate = read_certificate(leaf);
  const CleanErrorQueue clean;
  return certificate && X509_check_issued(certificate->get(), certificate->get()) == X509_V_OK;
}

// Where certificates go: to the agent that leads, or into the store as its stand-in.
class Adopter {
 public:
  Adopter(std::string state_path, Surroundings& surroundings, const Patience& patience)
      : state_path_(std::move(state_path)), surroundings_(surroundings), patience_(patience) {}

  // Everything that only root can do happens here.
  Result<Done> prepare(const std::string& user);
  // `named`: by the operator. Else the line with the same names is gone on with, whatever it is called.
  Verdict adopt(const Found& found, const std::string& name, bool named);
  // What was adopted is found at once by whatever starts next.
  void keep_index();

 private:
  Result<Done> read_lines();
  [[nodiscard]] std::optional<std::string> reason_to_skip(const std::string& name, const LeafFacts& facts,
                                                          const BundlePair& pair) const;
  [[nodiscard]] Verdict hand_to_agent(Verdict verdict, const BundlePair& pair, bool named);

  std::string state_path_;
  Surroundings& surroundings_;
  Patience patience_;
  std::optional<SealKeys> keys_;
  std::optional<StandIn> stand_in_;
  std::optional<LineIndex> lines_;
};

// --user makes the state directory; one that is there has its owner already.
Result<Done> check_user(const std::string& state, const std::string& user) {
  const passwd* const entry = user.empty() ? nullptr : ::getpwnam(user.c_str());
  if (!user.empty() && entry == nullptr) {
    return Error{ErrorKind::configuration, "there is no user \"" + user + "\""};
  }
  struct stat facts {};
  if (::stat(state.c_str(), &facts) != 0) {
    return !user.empty() || errno != ENOENT
               ? Result<Done>(Done{})
               : Error{ErrorKind::configuration,
                       "there is no " + state +
                           " yet: give --user with the user that the server runs as (www-data, nginx, "
                           "haproxy), or --state with another directory"};
  }
  if (entry == nullptr || entry->pw_uid == facts.st_uid) {
    return Done{};
  }
  const passwd* const owner = ::getpwuid(facts.st_uid);
  return Error{ErrorKind::configuration, state + " belongs to " +
                                             (owner == nullptr ? std::to_string(facts.st_uid) : owner->pw_name) +
                                             " already, not to " + user + ": leave --user out, or name another --state"};
}

Result<Done> Adopter::prepare(const std::string& user) {
  Result<ControlConnection> agent = reach_agent(state_path_);
  if (!agent && agent.error().kind != ErrorKind::connection) {
    return agent.error();
  }
  if (agent) {
    // A wish only: without the key the agent itself finds out what is newer.
    if (Result<std::optional<SealKeys>> keys = keys_of(state_path_)) {
      keys_ = std::move(*keys);
    }
    return Done{};
  }
  struct stat facts {};
  if (::stat((state_path_ + "/state").c_str(), &facts) != 0) {
    const int code = errno;
    const passwd* entry = ::getpwnam(user.c_str());
    if (entry == nullptr) {
      return system_error(ErrorKind::storage, "cannot look at " + state_path_ + "/state", code);
    }
    if (Result<Done> made = prepare_state_directories(state_path_, entry->pw_uid, entry->pw_gid); !made) {
      return made;
    }
  }
  Result<SealKeys> keys = seal_keys(state_path_);
  if (!keys) {
    return keys.error();
  }
  keys_ = *keys;
  Result<StandIn> stand_in = StandIn::take_place(state_path_, *keys);
  if (!stand_in) {
    return stand_in.error();
  }
  stand_in_.emplace(std::move(*stand_in));
  return Done{};
}

Result<Done> Adopter::read_lines() {
  // Without the key the agent itself finds out what is newer.
  if (!keys_ || lines_) {
    return Done{};
  }
  Result<StateReader> state = StateReader::open(state_path_);
  if (!state) {
    return state.error();
  }
  const StoredLines stored = stored_lines(*state, keys_->serving, nullptr);
  if (!stored.trouble.empty()) {
    surroundings_.err << "evercert: " << stored.trouble << "\n";
  }
  lines_.emplace(stored.lines, std::chrono::system_clock::now());
  return Done{};
}

std::optional<std::string> Adopter::reason_to_skip(const std::string& name, const LeafFacts& facts,
                                                   const BundlePair& pair) const {
  const auto now = std::chrono::system_clock::now();
  if (facts.not_after <= now) {
    return "it expired at " + to_rfc3339(facts.not_after);
  }
  const StoredLine* line = lines_ ? lines_->find(name) : nullptr;
  // What clients trust is not replaced by what they do not, however long that lasts.
  if (line != nullptr && line->issuer != "import" && line->not_after > now && pair.chain.empty()) {
    return std::string(signed_itself(pair.leaf) ? "it signed itself" : "it comes without the certificate of its issuer") +
           ", and generation " + std::to_string(line->generation) + " from " + line->issuer + " is valid until " +
           to_rfc3339(line->not_after);
  }
  if (line == nullptr || line->not_after < facts.not_after || !line->holds_all(facts.identifiers)) {
    return std::nullopt;
  }
  return "generation " + std::to_string(line->generation) + " is there already and valid until " + to_rfc3339(line->not_after);
}

Verdict Adopter::hand_to_agent(Verdict verdict, const BundlePair& pair, bool named) {
  Result<ControlConnection> agent = reach_agent(state_path_);
  if (!agent) {
    verdict.word = "refused";
    verdict.why = agent.error().message;
    return verdict;
  }
  Json chain = Json::array();
  for (const Bytes& certificate : pair.chain) {
    chain.push_back(to_base64(certificate));
  }
  const Json message{{"verb", "adopt"},
                     {"name", verdict.name},
                     {"named", named},
                     {"origin", "import"},
                     {"issuer", "import"},
                     {"pairs", Json::array({Json{{"leaf", to_base64(pair.leaf)},
                                                 {"chain", std::move(chain)},
                                                 {"private", to_base64(pair.private_key.view())}}})}};
  const Answer answer = converse(*agent, message, surroundings_, patience_);
  verdict.word = answer.exit == exit_done ? "adopted" : "refused";
  verdict.why = answer.message;
  return verdict;
}

Verdict Adopter::adopt(const Found& found, const std::string& name, bool named) {
  Verdict verdict{found.label, name, "refused", ""};
  if (!found.pair) {
    verdict.why = found.pair.error().message;
    return verdict;
  }
  Result<std::string> good = parse_certificate_name(name);
  if (!good) {
    verdict.why = good.error().message + "; give another with --name";
    return verdict;
  }
  verdict.name = *good;
  Result<LeafFacts> facts = leaf_facts(found.pair->leaf);
  if (!facts) {
    verdict.why = facts.error().message;
    return verdict;
  }
  if (Result<Done> read = read_lines(); !read) {
    verdict.why = read.error().message;
    return verdict;
  }
  if (!named && lines_) {
    verdict.name = line_for(facts->identifiers, *good, *lines_);
  }
  if (std::optional<std::string> skip = reason_to_skip(verdict.name, *facts, *found.pair)) {
    verdict.word = "skipped";
    verdict.why = *skip;
    return verdict;
  }
  Bundle bundle;
  bundle.name = verdict.name;
  bundle.issuer = "import";
  bundle.identifiers = facts->identifiers;
  bundle.issued_at = facts->not_before;
  bundle.origin = "import";
  bundle.pairs.push_back(*found.pair);
  if (Result<Done> proved = verify_bundle(bundle, std::chrono::system_clock::now()); !proved) {
    verdict.why = proved.error().message;
    return verdict;
  }
  if (!stand_in_) {
    return hand_to_agent(std::move(verdict), *found.pair, named);
  }
  Result<std::uint64_t> generation = stand_in_->adopt(std::move(bundle));
  if (!generation) {
    verdict.why = generation.error().message;
    return verdict;
  }
  std::sort(facts->identifiers.begin(), facts->identifiers.end());
  lines_->put({verdict.name, *generation, facts->identifiers, {found.pair->key}, "import", facts->not_after});
  verdict.word = "adopted";
  verdict.why = "as generation " + std::to_string(*generation) + ", valid until " + to_rfc3339(facts->not_after);
  return verdict;
}

void Adopter::keep_index() {
  if (!stand_in_ || !lines_) {
    return;
  }
  std::vector<StoredLine> lines;
  for (const auto& [name, line] : lines_->lines()) {
    lines.push_back(line);
  }
  if (Result<Done> kept = stand_in_->keep_index(lines); !kept) {
    surroundings_.err << "evercert: the next start looks into each certificate: " << printable(kept.error().message) << "\n";
  }
}

int print_verdicts(const std::vector<Verdict>& verdicts, const Request& request, Surroundings& surroundings) {
  Json list = Json::array();
  bool refused = false;
  for (const Verdict& verdict : verdicts) {
    refused = refused || verdict.word == "refused";
    list.push_back(Json{{"label", verdict.label}, {"name", verdict.name}, {"verdict", verdict.word}, {"message", verdict.why}});
    if (!request.json) {
      surroundings.out << printable(verdict.name.empty() ? verdict.label : verdict.name) << "  " << verdict.word << ": "
                       << printable(verdict.why) << "\n";
    }
  }
  if (request.json) {
    surroundings.out << printable_json(dump_json(Json{{"format", 1}, {"certificates", std::move(list)}})) << "\n";
  }
  return refused ? exit_failed : exit_done;
}

// Those asked for; a name that is not among them becomes a thing that was not found.
std::vector<Found> chosen(std::vector<Found> all, const std::vector<std::string>& names) {
  if (names.empty()) {
    return all;
  }
  std::vector<Found> some;
  for (const std::string& name : names) {
    bool any = false;
    for (const Found& found : all) {
      if (found.label == name || found.name == name) {
        some.push_back(found);
        any = true;
      }
    }
    if (!any) {
      some.push_back({name, "", Error{ErrorKind::configuration, "there is no such certificate"}});
    }
  }
  return some;
}

}  // namespace

int import_certificates(const Request& request, Surroundings& surroundings) {
  Result<std::string> state_path = state_path_of(request);
  if (!state_path) {
    return fail(state_path.error(), request, surroundings);
  }
  if (const auto trouble = path_trouble(request.source_path)) {
    return blame_words(*trouble, request, surroundings);
  }
  // Before anything that gives up privileges: the keys of others are readable for root only.
  Result<std::vector<Found>> all = request.source_kind == "certbot"  ? read_certbot(request.source_path)
                                   : request.source_kind == "mod-md" ? read_mod_md(request.source_path)
                                                                     : read_nginx_acme(request.source_path);
  if (!all) {
    return blame_words(all.error(), request, surroundings);
  }
  const std::vector<Found> wanted = chosen(std::move(*all), request.names);
  if (!request.name.empty() && wanted.size() != 1) {
    return refuse(
        request, surroundings, exit_usage,
        "--name names one certificate, but there are " + std::to_string(wanted.size()) + " here: say which one after the path");
  }
  if (Result<Done> checked = check_user(*state_path + "/state", request.user); !checked) {
    return blame_words(checked.error(), request, surroundings);
  }
  Adopter adopter(*state_path, surroundings, patience_of(request));
  if (Result<Done> prepared = adopter.prepare(request.user); !prepared) {
    return fail(prepared.error(), request, surroundings);
  }
  std::vector<Verdict> verdicts;
  verdicts.reserve(wanted.size());
  for (const Found& found : wanted) {
    verdicts.push_back(adopter.adopt(found, request.name.empty() ? found.name : request.name, !request.name.empty()));
  }
  adopter.keep_index();
  return print_verdicts(verdicts, request, surroundings);
}

}  // namespace evercert
