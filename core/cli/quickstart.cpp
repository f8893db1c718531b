// quickstart: the words are checked as a configuration would be, so that nothing is proposed that a server would refuse.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <ostream>

#include "cli/commands.h"
#include "cli/first_configuration.h"
#include "evercert/descriptor.h"
#include "evercert/plan.h"
#include "evercert/text.h"
#include "serving/config/known_cas.h"
#include "serving/config/words.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

struct Proposer {
  std::string_view word;
  const char* server;  // as options are spelled for it
  Result<FirstConfiguration> (*propose)(const Machine&, const FirstPlan&);
};

constexpr Proposer proposers[] = {
    {"nginx", "nginx/", first_for_nginx}, {"apache", "Apache/", first_for_apache}, {"haproxy", "HAProxy/", first_for_haproxy}};

std::string name_of_issuer(const FirstWish& wish) {
  return known_ca(wish.issuer) == nullptr ? "default" : wish.issuer;
}

// What check() says of a configuration with these words.
Result<Checked> checked_wish(const FirstWish& wish, const char* server) {
  const Place place;
  Settings settings;
  Section issuer;
  issuer.name = name_of_issuer(wish);
  Section certificate;
  const auto put = [&](Section& section, Scope scope, std::string_view option, const std::vector<std::string>& words) {
    return words.empty() || words.front().empty() ? Result<Done>(Done{}) : set(section, scope, option, words, place);
  };
  for (const auto& done :
       {put(settings.global, Scope::global, "server", {server}), put(issuer, Scope::issuer, "uri", {wish.issuer}),
        set(issuer, Scope::issuer, "accept_terms_of_service", std::vector<std::string>{}, place),
        put(issuer, Scope::issuer, "contact", {wish.contact}),
        put(issuer, Scope::issuer, "external_account_key", wish.external_account),
        put(issuer, Scope::issuer, "ssl_trusted_certificate", {wish.trusted}),
        set(certificate, Scope::certificate, "identifiers", wish.names, place)})
    if (!done) return done.error();
  settings.issuers.push_back(std::move(issuer));
  settings.certificates.push_back(std::move(certificate));
  DiskFiles files;
  return check(settings, files, false);
}

// Below another root no link is followed: it would lead out of it.
Result<Done> write_first(const Machine& machine, const FirstConfiguration::File& file) {
  const std::string whole = machine.place(file.path);
  if (machine.has(file.path))
    return Error{ErrorKind::storage, whole + " is there already, so nothing was written: move it away, or change it by hand"};
  const bool elsewhere = whole != file.path;
  const Descriptor root(elsewhere ? ::open(machine.place("/").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
  if (elsewhere && !root.valid()) return system_error(ErrorKind::storage, "cannot open " + machine.place("/"), errno);
  const int directory = elsewhere ? root.get() : AT_FDCWD;
  const std::string path = elsewhere ? file.path.substr(1) : file.path;
  // Ours to make; the others are the servers'.
  if (file.path.starts_with("/etc/evercert/")) {
    const Descriptor etc(open_beneath(directory, elsewhere ? "etc" : "/etc", O_RDONLY | O_DIRECTORY));
    if (!etc.valid() || (::mkdirat(etc.get(), "evercert", 0755) != 0 && errno != EEXIST))
      return system_error(ErrorKind::storage, "cannot make " + machine.place("/etc/evercert"), errno);
  }
  WriteOptions options;
  options.mode = 0644;
  options.fresh = true;
  return write_file(directory, path, bytes_of(file.text), options);
}

std::string advice_on(const FirstWish& wish) {
  const KnownCa* const ca = known_ca(wish.issuer);
  std::string text = "accept_terms_of_service says that you agree to the terms of " +
                     (ca == nullptr ? std::string("the CA") : std::string(ca->title)) + ".";
  if (wish.issuer == "letsencrypt")
    text +=
        " Where you are not sure that the names lead here, rehearse with --issuer letsencrypt-staging first: nobody trusts "
        "its certificates, and its limits are wide.";
  if (ca != nullptr && ca->staging)
    text += " Nobody trusts what " + std::string(ca->title) + ", issues: once it works, name the CA that is to issue.";
  return text;
}

void tell_what_is_next(const FirstConfiguration& first, const FirstWish& wish, const std::string& root, std::ostream& err) {
  err << (wish.write ? "Written: " : "To be written (--write does it): ") << root << first.file.path << "\n";
  if (first.addition) err << "To be added by you: what stands on standard output, to " << root + first.addition->path << "\n";
  err << "Next:\n";
  std::size_t number = 0;
  for (const std::string& step : first.steps) err << "  " << ++number << ". " << printable(step) << "\n";
  err << "  " << ++number << ". sudo evercert status" << (first.state_path ? " --state " + *first.state_path : "") << "\n"
      << advice_on(wish) << "\n";
}

// A server would look for a relative path below a folder of its own.
std::string whole_path(const std::string& path) {
  const bool file = !path.empty() && !names_environment(path);
  return file ? std::filesystem::absolute(path).lexically_normal().string() : path;
}

}  // namespace

int quick_start(const Request& request, Surroundings& surroundings) {
  FirstWish wish = request.first;
  wish.trusted = whole_path(wish.trusted);
  if (wish.external_account.size() == 2) {
    std::string& where = wish.external_account.back();
    if (where.starts_with("data:"))
      return refuse(request, surroundings, exit_usage,
                    "evercert quickstart: a key in the words of a command is seen by everybody here; put it into a file");
    where = whole_path(where);
  }
  const Proposer* proposer =
      std::find_if(std::begin(proposers), std::end(proposers), [&](const Proposer& one) { return one.word == wish.server; });
  const auto checked = checked_wish(wish, proposer->server);
  if (!checked) return blame_words(checked.error(), request, surroundings);
  std::string refusals;
  for (const Complaint& complaint : checked->complaints)
    if (complaint.severity == Complaint::Severity::error) refusals += (refusals.empty() ? "" : "; ") + complaint.message;
  if (!refusals.empty()) return refuse(request, surroundings, exit_usage, "evercert quickstart: " + refusals);

  FirstPlan plan{name_of_issuer(wish), wish.issuer, {}, wish.contact, wish.trusted, wish.external_account};
  for (const Identifier& identifier : checked->plan->certificates.front().identifiers) plan.names.push_back(identifier.value);
  const Machine machine(wish.root);
  const auto first = proposer->propose(machine, plan);
  if (!first) return fail(first.error(), request, surroundings);
  if (wish.write)
    if (const auto written = write_first(machine, first->file); !written) return fail(written.error(), request, surroundings);

  if (!wish.write) surroundings.out << first->file.text;
  if (first->addition) surroundings.out << first->addition->text;
  for (const Complaint& complaint : checked->complaints) surroundings.err << "Mind: " << complaint.message << "\n";
  if (first->state_path)
    surroundings.err << "Mind: the usual state directory belongs to " << printable(first->taken_by)
                     << ", as whom the agent of another server runs; this server gets one of its own, " << *first->state_path
                     << ", which evercert's commands are to be told with --state\n";
  tell_what_is_next(*first, wish, machine.place(""), surroundings.err);
  return exit_done;
}

}  // namespace evercert
