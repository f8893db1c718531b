#include "serving/certificate/pem.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "evercert/descriptor.h"
#include "evercert/leader_file.h"
#include "serving/certificate/kept_pem.h"
#include "serving/certificate/pem_list.h"
#include "serving/certificate/placeholder.h"
#include "serving/platform/directory.h"
#include "serving/platform/files.h"
#include "serving/store/ownership.h"

namespace evercert {

namespace {

constexpr unsigned only_owner = 0600;

bool append_block(BIO* out, const char* label, BytesView bytes) {
  return ::PEM_write_bio(out, label, "", bytes.data(), static_cast<long>(bytes.size())) > 0;
}

Error at_directory(const std::string& directory, int code) {
  return system_error(ErrorKind::storage, "the directory for PEM files \"" + directory + "\" cannot be used (option pem_path)",
                      code);
}

Result<Descriptor> open_directory(const std::string& path) {
  if (auto safe = check_only_root_writes(path, "the directory for PEM files (option pem_path)"); !safe) return safe.error();
  for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) return at_directory(path, errno);
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return at_directory(path, errno);
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  if (!directory.valid() || ::fstat(directory.get(), &facts) != 0) return at_directory(path, errno);
  if (facts.st_uid != ::geteuid() || (facts.st_mode & 022) != 0) {
    return Error{ErrorKind::configuration,
                 "the directory for PEM files \"" + path +
                     "\" belongs to another user, or others can write to it: private keys would not be "
                     "safe there; name another one with pem_path"};
  }
  return directory;
}

// Files that do not open are what whoever may write there made to hold up a start: after so many bytes of them, of all
// certificates together, the newest of each is tried alone.
constexpr std::size_t most_useless_bytes = 16 * size::mebi;

// The newest generation that opens; nullopt where none does.
std::optional<Bundle> newest_usable(const StateReader& state, const SealKey& serving, const std::string& certificate,
                                    std::uint64_t reached, std::size_t& useless_bytes, Logger& log) {
  const auto generations = generations_of(state, certificate);
  if (!generations) return std::nullopt;
  std::size_t attempts = 0;
  for (const std::uint64_t generation : *generations) {
    if (++attempts > (useless_bytes < most_useless_bytes ? most_generations_tried : 1)) break;
    const auto file = read_bundle(state, serving, certificate, generation);
    if (file && !*file) continue;
    auto bundle = file ? open_bundle(serving, certificate, generation, **file) : Result<Bundle>(file.error());
    if (bundle) {
      if (generation < reached) log.write(LogLevel::error, older_generation_sentence(certificate, generation, reached));
      return std::move(*bundle);
    }
    if (file) useless_bytes += (*file)->size();
    log.write(LogLevel::warn, bundle.error().message + " certificate=\"" + certificate + "\"");
  }
  if (generations->empty() && reached > 0) log.write(LogLevel::error, older_generation_sentence(certificate, 0, reached));
  return std::nullopt;
}

struct Written {
  std::uint64_t generation = 0;
  std::vector<PemFile> files;
};

// A file for each kind of key that is wanted: HAProxy can only exchange what it has read at its start. A pair of another kind
// stands in for one that is missing: browsers prefer the ECDSA one, and that must not be a placeholder then. Without a bundle
// `kept` files stay as they are.
Result<Written> files_for(const CertificateSpec& certificate, const std::optional<Bundle>& bundle, std::vector<PemFile> kept) {
  Written written;
  if (bundle) {
    auto files = pem_files_of(certificate, *bundle);
    if (!files) return files.error();
    written = {files->empty() ? 0 : bundle->generation, std::move(*files)};
  }
  if (written.files.empty()) written.files = std::move(kept);
  const std::size_t real = written.files.size();
  for (const KeySpec& key : certificate.keys) {
    const std::string name = pem_file_name(certificate, key.algorithm);
    const bool there =
        std::any_of(written.files.begin(), written.files.end(), [&](const PemFile& file) { return file.name == name; });
    if (there) continue;
    if (real != 0) {
      written.files.push_back({name, written.files.front().content});
      continue;
    }
    auto pair = make_placeholder_pair(certificate.name, certificate.identifiers, key.algorithm);
    if (!pair) return pair.error();
    auto text = pem_of(*pair);
    if (!text) return text.error();
    written.files.push_back({name, std::move(*text)});
  }
  return written;
}

class PemWriting {
 public:
  PemWriting(const Descriptor& directory, PemList ours, const std::string& path, PemPurpose purpose, const Plan& plan,
             const std::optional<SealKey>& serving, const std::vector<StoredLine>& stored, Logger& log)
      : directory_(directory),
        ours_(std::move(ours)),
        path_(path),
        purpose_(purpose),
        plan_(plan),
        serving_(serving),
        state_(serving ? StateReader::open(plan.state_path) : Result<StateReader>(Error{})),
        now_(std::chrono::system_clock::now()),
        lines_(stored, now_),
        log_(log) {
    auto leader = existing_leader_file(plan.state_path);
    if (!leader) log_.write(LogLevel::error, leader.error().message);
    if (leader && *leader) {
      leader_ = std::move(**leader);
      reached_.emplace(leader_.get());
    }
    for (const CertificateSpec& certificate : plan.certificates) {
      names_.insert(certificate.name);
      for (const Identifier& identifier : certificate.identifiers) wanted_by_.emplace(identifier, certificate.name);
    }
  }

  Result<WrittenPem> run() {
    for (const CertificateSpec& certificate : plan_.certificates)
      if (auto done = write_certificate(certificate); !done) return done.error();
    for (const std::string& line : others_)
      if (auto done = write_other(line); !done) return done.error();
    // A configuration that is only tested takes nothing from the one that runs.
    if (purpose_ == PemPurpose::test) return std::move(written_);
    if (auto left = remove_others(); !left)
      log_.write(LogLevel::error, "the directory for PEM files \"" + path_ + "\": " + left.error().message);
    return std::move(written_);
  }

 private:
  // Of what we wrote earlier, what nobody needs any more.
  Result<Done> remove_others() {
    auto entries = entries_of(Descriptor(::fcntl(directory_.get(), F_DUPFD_CLOEXEC, 3)));
    if (!entries) return entries.error();
    std::set<std::string> left;
    for (const DirectoryEntry& entry : *entries) {
      if (!ours_.has(entry.name)) continue;
      if (files_.count(entry.name) == 0 && ::unlinkat(directory_.get(), entry.name.c_str(), 0) == 0) continue;
      left.insert(entry.name);
    }
    return ours_.keep(left);
  }

  // The line whose certificate stands in this one's files: its own, or another that has all its names, or else the first.
  [[nodiscard]] std::string source_for(const CertificateSpec& certificate) const {
    if (lines_.find(certificate.name) != nullptr) return certificate.name;
    for (const StoredLine* const line : lines_.all_with(certificate.identifiers))
      if (line->name != certificate.name) return line->name;
    const StoredLine* const some = lines_.best_for(certificate.identifiers.front(), certificate.name);
    return some == nullptr ? certificate.name : some->name;
  }

  Result<Done> write_certificate(const CertificateSpec& certificate) {
    std::string source = source_for(certificate);
    auto bundle = newest(source);
    if (!bundle && source != certificate.name) bundle = newest(source = certificate.name);
    auto written = files_for(certificate, bundle, bundle ? std::vector<PemFile>() : kept_files(certificate));
    if (!written) return written.error();
    std::uint64_t& generation = written_.generations[certificate.name];
    generation = source == certificate.name ? written->generation : 0;
    for (const PemFile& file : written->files) {
      const auto current = write(file, certificate, bundle.has_value());
      if (!current) return current.error();
      if (!*current) generation = 0;
    }
    const StoredLine* const line = bundle ? lines_.find(source) : nullptr;
    for (const Identifier& identifier : certificate.identifiers)
      if (line == nullptr || !line->holds_all({identifier})) ask_others(certificate, identifier);
    for (std::size_t i = 0; line != nullptr && i < line->identifiers.size(); ++i)
      if (const auto found = wanted_by_.find(line->identifiers[i]);
          found != wanted_by_.end() && found->second != certificate.name)
        written_.behind[found->second][certificate.name] = written->files;
    return Done{};
  }

  void ask_others(const CertificateSpec& certificate, const Identifier& identifier) {
    const StoredLine* const other = lines_.best_for(identifier, certificate.name);
    if (other == nullptr || names_.count(other->name) != 0) return;
    others_.insert(other->name);
    auto& also = written_.also[certificate.name];
    for (const KeySpec& key : other->keys)
      if (const std::string file = pem_file_name(as_certificate(*other), key.algorithm);
          std::find(also.begin(), also.end(), file) == also.end())
        also.push_back(file);
  }

  static CertificateSpec as_certificate(const StoredLine& line) {
    CertificateSpec certificate;
    certificate.name = line.name;
    certificate.identifiers = line.identifiers;
    certificate.keys = line.keys;
    return certificate;
  }

  Result<Done> write_other(const std::string& name) {
    const StoredLine* const line = lines_.find(name);
    const auto bundle = newest(name);
    if (line == nullptr || !bundle) return Done{};
    const CertificateSpec certificate = as_certificate(*line);
    const auto files = files_for(certificate, bundle, {});
    if (!files) return files.error();
    for (const PemFile& file : files->files)
      if (const auto done = write(file, certificate, true); !done) return done.error();
    return Done{};
  }

  std::optional<Bundle> newest(const std::string& line) {
    return state_ ? newest_usable(*state_, *serving_, line, reached_ ? reached_->of(line) : 0, useless_bytes_, log_)
                  : std::nullopt;
  }

  [[nodiscard]] std::optional<Secret> present(const std::string& file) const {
    auto read = read_file(directory_.get(), file, largest_pem);
    return read && *read ? std::optional(Secret(std::move(**read))) : std::nullopt;
  }

  // Of an earlier start, where no bundle can be used: better than a stand-in.
  [[nodiscard]] std::vector<PemFile> kept_files(const CertificateSpec& certificate) const {
    std::vector<PemFile> kept;
    for (const KeySpec& key : certificate.keys) {
      const std::string name = pem_file_name(certificate, key.algorithm);
      auto text = present(name);
      if (!text || judge_pem(*text, certificate.identifiers, now_) != KeptPem::issued) continue;
      log_.write(LogLevel::warn, "nothing of " + certificate.name + " that is stored can be used: what stands in " + path_ +
                                     "/" + name + " from before is valid, and is served on certificate=\"" + certificate.name +
                                     "\"");
      kept.push_back({name, std::move(*text)});
    }
    return kept;
  }

  // Whether the file has these bytes now; a file with what is stored with us is ours. Errors: it could not be written, and
  // there is none from before.
  Result<bool> write(const PemFile& file, const CertificateSpec& certificate, bool from_store) {
    files_.insert(file.name);
    const auto before = present(file.name);
    const bool same = before && before->text() == file.content.text();
    if (before && !same && !ours_.has(file.name)) {
      log_.write(LogLevel::error, path_ + "/" + file.name +
                                      " was not written by evercert and stays as it is; name a directory without such files "
                                      "(option pem_path), or move it away certificate=\"" +
                                      certificate.name + "\"");
      return false;
    }
    if (same && !from_store) return true;
    const auto listed = ours_.add(file.name);
    if (same) return true;
    if (!listed) return listed.error().with_prefix("the directory for PEM files \"" + path_ + "\"");
    if (before && purpose_ == PemPurpose::test && judge_pem(*before, certificate.identifiers, now_) != KeptPem::useless)
      return false;
    WriteOptions options;
    options.mode = only_owner;
    options.durable = false;
    const auto done = write_file(directory_.get(), file.name, file.content.view(), options);
    if (done) return true;
    if (!before) return done.error().with_prefix("the directory for PEM files \"" + path_ + "\"");
    // Better to start with the certificate of before than not at all; the agent brings the newer one.
    log_.write(LogLevel::error, done.error().message + ": " + path_ + "/" + file.name +
                                    " stays as it is; make room there (option pem_path) certificate=\"" + certificate.name +
                                    "\"");
    return false;
  }

  const Descriptor& directory_;
  PemList ours_;
  const std::string& path_;
  const PemPurpose purpose_;
  const Plan& plan_;
  const std::optional<SealKey>& serving_;
  const Result<StateReader> state_;
  const std::chrono::system_clock::time_point now_;
  const LineIndex lines_;
  Descriptor leader_;
  std::optional<ReachedNumbers> reached_;
  Logger& log_;
  std::set<std::string> names_;
  std::map<Identifier, std::string> wanted_by_;
  std::set<std::string> others_;
  std::set<std::string> files_;
  std::size_t useless_bytes_ = 0;
  WrittenPem written_;
};

}  // namespace

std::string pem_file_name(const CertificateSpec& certificate, KeyAlgorithm algorithm) {
  std::string name = file_name_of(certificate.name) + ".pem";
  if (certificate.keys.size() == 1) return name;
  return name + (algorithm == KeyAlgorithm::ecdsa ? ".ecdsa" : ".rsa");
}

Result<Secret> pem_of(const BundlePair& pair) {
  if (!pair.reference.empty())
    return Error{ErrorKind::key_provider, "the key lies at " + pair.reference + " and cannot be written as PEM"};
  const CleanErrorQueue clean;
  const BioHandle out(::BIO_new(::BIO_s_mem()));
  bool written = out && append_block(out.get(), PEM_STRING_X509, pair.leaf);
  for (const Bytes& certificate : pair.chain) written = written && append_block(out.get(), PEM_STRING_X509, certificate);
  written = written && append_block(out.get(), PEM_STRING_PKCS8INF, pair.private_key.view());
  char* text = nullptr;
  const long size = written ? BIO_get_mem_data(out.get(), &text) : 0;
  if (size <= 0) return openssl_error(ErrorKind::internal, "cannot write a certificate as PEM");
  return Secret::from_text({text, static_cast<std::size_t>(size)});
}

Result<std::vector<PemFile>> pem_files_of(const CertificateSpec& certificate, const Bundle& bundle) {
  std::vector<PemFile> files;
  for (const KeySpec& key : certificate.keys) {
    auto pair = std::find_if(bundle.pairs.begin(), bundle.pairs.end(),
                             [&](const BundlePair& each) { return each.key.algorithm == key.algorithm; });
    if (pair == bundle.pairs.end() && certificate.keys.size() == 1) pair = bundle.pairs.begin();
    if (pair == bundle.pairs.end()) continue;
    auto text = pem_of(*pair);
    if (!text) return text.error();
    files.push_back({pem_file_name(certificate, key.algorithm), std::move(*text)});
  }
  return files;
}

Result<WrittenPem> write_pem_files(const std::string& path, PemPurpose purpose, const Plan& plan,
                                   const std::optional<SealKey>& serving, const std::vector<StoredLine>& stored, Logger& log) {
  auto directory = open_directory(path);
  if (!directory) return directory.error();
  auto ours = PemList::open(*directory);
  if (!ours) return ours.error().with_prefix("the directory for PEM files \"" + path + "\"");
  return PemWriting(*directory, std::move(*ours), path, purpose, plan, serving, stored, log).run();
}

}  // namespace evercert
