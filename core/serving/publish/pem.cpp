#include "serving/publish/pem.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "serving/base/files.h"
#include "serving/publish/placeholder.h"
#include "serving/store/directory.h"

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

// The newest generation that opens; nullopt where none does.
std::optional<Bundle> newest_usable(const StateReader& state, const SealKey& serving, const std::string& certificate,
                                    Logger& log) {
  const auto generations = generations_of(state, certificate);
  if (!generations) return std::nullopt;
  for (const std::uint64_t generation : *generations) {
    const auto file = state.read(bundle_path(certificate, generation), largest_bundle);
    if (file && !*file) continue;
    auto bundle = file ? open_bundle(serving, certificate, generation, **file) : Result<Bundle>(file.error());
    if (bundle) return std::move(*bundle);
    log.write(LogLevel::warn, bundle.error().message + " certificate=\"" + certificate + "\"");
  }
  return std::nullopt;
}

struct Written {
  std::uint64_t generation = 0;
  std::vector<PemFile> files;
};

// A file for each kind of key that is wanted: HAProxy can only exchange what it has read at its start. A pair of another kind
// stands in for one that is missing: browsers prefer the ECDSA one, and that must not be a placeholder then.
Result<Written> files_for(const CertificateSpec& certificate, const std::optional<Bundle>& bundle) {
  Written written;
  if (bundle) {
    auto files = pem_files_of(certificate, *bundle);
    if (!files) return files.error();
    written = {files->empty() ? 0 : bundle->generation, std::move(*files)};
  }
  for (const KeySpec& key : certificate.keys) {
    const std::string name = pem_file_name(certificate, key.algorithm);
    const bool there =
        std::any_of(written.files.begin(), written.files.end(), [&](const PemFile& file) { return file.name == name; });
    if (there) continue;
    if (written.generation != 0) {
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

// Whether the file has these bytes now. Errors: it could not be written, and there is none from before.
Result<bool> write_one(const Descriptor& directory, const std::string& path, const PemFile& file,
                       const std::string& certificate, Logger& log) {
  auto read = read_file(directory.get(), file.name, largest_pem);
  const bool there = read && *read;
  const Secret present(there ? std::move(**read) : Bytes());
  if (there && present.text() == file.content.text()) return true;
  WriteOptions options;
  options.mode = only_owner;
  options.durable = false;
  const auto done = write_file(directory.get(), file.name, file.content.view(), options);
  if (done) return true;
  if (!there) return done.error().with_prefix("the directory for PEM files \"" + path + "\"");
  // Better to start with the certificate of before than not at all; the agent brings the newer one.
  log.write(LogLevel::error, done.error().message + ": " + path + "/" + file.name +
                                 " stays as it is; make room there (option pem_path) certificate=\"" + certificate + "\"");
  return false;
}

bool is_ours(const std::string& name) {
  return name.ends_with(".pem") || name.ends_with(".pem.ecdsa") || name.ends_with(".pem.rsa");
}

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

Result<std::map<std::string, std::uint64_t>> write_pem_files(const std::string& path, const Plan& plan,
                                                             const std::optional<SealKey>& serving, Logger& log) {
  auto directory = open_directory(path);
  if (!directory) return directory.error();
  const auto state = serving ? StateReader::open(plan.state_path) : Result<StateReader>(Error{});
  std::map<std::string, std::uint64_t> generations;
  std::set<std::string> names;
  for (const CertificateSpec& certificate : plan.certificates) {
    const auto bundle = state ? newest_usable(*state, *serving, certificate.name, log) : std::nullopt;
    auto written = files_for(certificate, bundle);
    if (!written) return written.error();
    generations[certificate.name] = written->generation;
    for (const PemFile& file : written->files) {
      names.insert(file.name);
      const auto current = write_one(*directory, path, file, certificate.name, log);
      if (!current) return current.error();
      if (!*current) generations[certificate.name] = 0;
    }
  }
  auto entries = entries_of(Descriptor(::fcntl(directory->get(), F_DUPFD_CLOEXEC, 3)));
  if (!entries) return entries.error();
  for (const DirectoryEntry& entry : *entries)
    if (is_ours(entry.name) && names.count(entry.name) == 0) ::unlinkat(directory->get(), entry.name.c_str(), 0);
  return generations;
}

}  // namespace evercert
