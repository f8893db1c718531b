#include "agent/lead/import_sources.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "agent/issuer/chain.h"
#include "serving/base/encoding.h"
#include "serving/config/identifier.h"
#include "serving/key/key_provider.h"
#include "serving/platform/files.h"

namespace evercert {
namespace {

Result<std::vector<std::string>> names_in(const std::string& path) {
  struct Closer {
    void operator()(DIR* directory) const noexcept { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Closer> directory(::opendir(path.c_str()));
  if (!directory) {
    return system_error(ErrorKind::configuration, "cannot open " + path, errno);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (!name.starts_with(".")) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::binary_search(names.begin(), names.end(), name);
}

Result<Secret> read_whole(const std::string& path) {
  Result<std::optional<Bytes>> content = read_file(AT_FDCWD, path, largest_pem);
  if (!content) {
    return content.error();
  }
  if (!*content) {
    return Error{ErrorKind::storage, path + " does not exist"};
  }
  return Secret(std::move(**content));
}

// In whatever order, however often each of them is there: what belongs to the key comes first, then what signed it.
Result<BundlePair> read_pair(const std::vector<std::string>& certificate_files, const std::string& key_file) {
  Result<Secret> pem = read_whole(key_file);
  if (!pem) {
    return pem.error();
  }
  Result<PrivateKey> key = read_pem_key(*pem);
  if (!key) {
    return key.error().with_prefix(key_file);
  }
  Result<KeySpec> spec = spec_of(key->handle.get());
  if (!spec) {
    return spec.error().with_prefix(key_file);
  }
  std::string text;
  for (const std::string& path : certificate_files) {
    Result<Secret> part = read_whole(path);
    if (!part) {
      return part.error();
    }
    text += std::string(part->text()) + "\n";
  }
  std::uint8_t* encoded = nullptr;
  const int size = i2d_PUBKEY(key->handle.get(), &encoded);
  const OpensslBytesHandle owned(encoded);
  if (size <= 0) {
    return openssl_error(ErrorKind::key_provider, key_file + ": its public half cannot be read");
  }
  Result<Chain> chain = read_chain(text, to_hex(sha256({encoded, static_cast<std::size_t>(size)})));
  if (!chain) {
    // For another key: the proof says so, by the certificate's name.
    if (Result<Chain> other = read_issued_chain(text)) {
      chain = std::move(other);
    }
  }
  if (!chain) {
    return chain.error().with_prefix(certificate_files.front());
  }
  BundlePair pair;
  pair.key = *spec;
  pair.leaf = std::move(chain->certificates.leaf);
  pair.chain = std::move(chain->certificates.chain);
  pair.private_key = std::move(key->bytes);
  return pair;
}

bool covers(const std::vector<Identifier>& identifiers, const std::string& name) {
  return std::any_of(identifiers.begin(), identifiers.end(), [&](const Identifier& one) { return one.value == name; });
}

// `called`: what the other program calls it; kept where it is one of the certificate's names.
Found found(const std::string& label, Result<BundlePair> pair, const std::string& called) {
  std::string name;
  if (pair) {
    Result<LeafFacts> facts = leaf_facts(pair->leaf);
    if (!facts) {
      return {label, "", facts.error()};
    }
    if (facts->identifiers.empty()) {
      return {label, "", Error{ErrorKind::storage, "its certificate names no host in subjectAltName"}};
    }
    name = covers(facts->identifiers, called) ? called : certificate_name_of(facts->identifiers.front());
  }
  return {label, name, std::move(pair)};
}

Found read_lineage(const std::string& path, const std::vector<std::string>& files) {
  const std::string label = path.substr(path.find_last_of('/') + 1);
  std::vector<std::string> certificates{path + "/fullchain.pem"};
  if (!contains(files, "fullchain.pem")) {
    certificates = {path + "/cert.pem"};
    if (contains(files, "chain.pem")) {
      certificates.push_back(path + "/chain.pem");
    }
  }
  return found(label, read_pair(certificates, path + "/privkey.pem"), label);
}

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.pop_back();
  }
  return path;
}

}  // namespace

Result<std::vector<Found>> read_certbot(const std::string& path) {
  std::string folder = without_slashes(path);
  Result<std::vector<std::string>> names = names_in(folder);
  if (!names) {
    return names.error();
  }
  if (contains(*names, "privkey.pem")) {
    std::vector<Found> one;
    one.push_back(read_lineage(folder, *names));
    return one;
  }
  if (contains(*names, "live")) {
    folder += "/live";
    names = names_in(folder);
    if (!names) {
      return names.error();
    }
  }
  std::vector<Found> all;
  for (const std::string& name : *names) {
    Result<std::vector<std::string>> files = names_in(folder + "/" + name);
    // certbot puts a README beside the lineages.
    if (files && contains(*files, "privkey.pem")) {
      all.push_back(read_lineage(folder + "/" + name, *files));
    }
  }
  if (all.empty()) {
    return Error{ErrorKind::configuration,
                 path + " holds no certificates of certbot: name the folder that contains live/, often /etc/letsencrypt"};
  }
  return all;
}

Result<std::vector<Found>> read_nginx_acme(const std::string& path) {
  const std::string folder = without_slashes(path);
  Result<std::vector<std::string>> names = names_in(folder);
  if (!names) {
    return names.error();
  }
  std::vector<Found> all;
  for (const std::string& name : *names) {
    if (name.size() <= 4 || !name.ends_with(".crt")) {
      continue;
    }
    const std::string label = name.substr(0, name.size() - 4);
    // <name>-<hash>
    all.push_back(
        found(label, read_pair({folder + "/" + name}, folder + "/" + label + ".key"), label.substr(0, label.rfind('-'))));
  }
  if (all.empty()) {
    return Error{ErrorKind::configuration, path +
                                               " holds no certificates of nginx's ACME module: name the state_path of "
                                               "its acme_issuer, for example /var/cache/nginx/acme_NAME"};
  }
  return all;
}

Result<std::vector<Found>> read_mod_md(const std::string& path) {
  std::string folder = without_slashes(path);
  Result<std::vector<std::string>> names = names_in(folder);
  if (!names) {
    return names.error();
  }
  if (contains(*names, "domains")) {
    folder += "/domains";
    names = names_in(folder);
    if (!names) {
      return names.error();
    }
  }
  constexpr std::string_view start = "pubcert";
  std::vector<Found> all;
  for (const std::string& name : *names) {
    Result<std::vector<std::string>> files = names_in(folder + "/" + name);
    if (!files) {
      continue;
    }
    std::string ending;  // of the pair to take, with ".pem": RSA's has nothing before it
    for (const std::string& file : *files) {
      if (file.starts_with(start) && file.ends_with(".pem") && file.size() - start.size() > ending.size()) {
        ending = file.substr(start.size());
      }
    }
    if (ending.empty()) {
      continue;
    }
    const std::string place = folder + "/" + name;
    // mod_md calls its certificates after their first name, whatever order the CA wrote them in.
    all.push_back(found(name, read_pair({place + "/pubcert" + ending}, place + "/privkey" + ending), name));
  }
  if (all.empty()) {
    return Error{ErrorKind::configuration,
                 path + " holds no certificates of mod_md: name its MDStoreDir, often /etc/apache2/md"};
  }
  return all;
}

}  // namespace evercert
