#include "cli/taken_sites.h"

#include <algorithm>

#include "serving/config/words.h"

namespace evercert {
namespace {

// A server block or virtual host.
struct Site {
  std::vector<Spot> names;
  bool tls = false;
  bool own_certificate = false;
  bool redirects = false;
};

// Also by ".example.com" and "*.example.com": a block of its own for such a name would take it away from there.
bool answers_for(const std::string& pattern, const std::string& name) {
  if (pattern == name) return true;
  if (pattern.starts_with("*.")) return name.ends_with(pattern.substr(1)) && name.size() >= pattern.size();
  return pattern.size() > 1 && pattern.front() == '.' && (name.ends_with(pattern) || name == pattern.substr(1));
}

TakenSites sites_with(const std::vector<std::string>& wanted, const std::vector<Site>& sites) {
  TakenSites result;
  for (const std::string& name : wanted) {
    std::optional<TakenSite> best;
    const auto rank = [](const TakenSite& site) { return (site.tls ? 2 : 0) + (site.redirects ? 0 : 1); };
    for (const Site& site : sites) {
      const auto found =
          std::find_if(site.names.begin(), site.names.end(), [&](const Spot& spot) { return answers_for(spot.word, name); });
      if (found == site.names.end()) continue;
      TakenSite taken{*found, name, site.tls, site.own_certificate, site.redirects};
      if (!best || rank(taken) > rank(*best)) best = std::move(taken);
    }
    if (best)
      result.taken.push_back(std::move(*best));
    else
      result.free.push_back(name);
  }
  return result;
}

// One directive of a server block.
void take_directive(Site& site, const std::vector<Spot>& words) {
  const std::string& what = words.front().word;
  const auto has = [&](const std::string& word) {
    return std::any_of(words.begin() + 1, words.end(), [&](const Spot& spot) { return spot.word == word; });
  };
  if (what == "server_name")
    for (std::size_t i = 1; i < words.size(); ++i)
      site.names.push_back({words[i].file, words[i].line, lower_case(words[i].word)});
  if (what == "listen" && words.size() > 1 && (has("ssl") || is_port(words[1].word, "443"))) site.tls = true;
  if (what == "ssl_certificate") site.own_certificate = true;
  if (what == "return") site.redirects = true;
}

// `at`: the word after the block's "{"; returns where it ends.
std::size_t read_server_block(const std::vector<Spot>& words, std::size_t at, Site& site) {
  unsigned depth = 1;
  std::vector<Spot> directive;
  for (; at < words.size() && depth > 0; ++at) {
    const std::string& word = words[at].word;
    if (word == "{") ++depth;
    if (word == "}") --depth;
    const bool ends = word == ";" || word == "{" || word == "}";
    if (ends && word == ";" && depth == 1 && !directive.empty()) take_directive(site, directive);
    if (ends)
      directive.clear();
    else
      directive.push_back(words[at]);
  }
  return at;
}

// ServerName may have a scheme and a port.
std::string bare_name(std::string name) {
  if (const auto scheme = name.find("://"); scheme != std::string::npos) name.erase(0, scheme + 3);
  return lower_case(name.substr(0, name.find(':')));
}

}  // namespace

std::vector<std::string> files_of_nginx(const Machine& machine, const std::string& main) {
  constexpr std::size_t most_files = 2000;
  const std::string folder = main.substr(0, main.rfind('/') + 1);
  std::vector<std::string> files;
  std::vector<std::string> open{main};
  while (!open.empty() && files.size() < most_files) {
    const std::string file = std::move(open.back());
    open.pop_back();
    if (std::find(files.begin(), files.end(), file) != files.end()) continue;
    files.push_back(file);
    std::vector<std::string> included;
    const auto words = words_in(machine.text(file), file, true);
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i].word != "include") continue;
      const std::string& written = words[i + 1].word;
      const std::string pattern = written.starts_with("/") ? written : folder + written;
      const std::size_t slash = pattern.rfind('/');
      const std::size_t star = pattern.find('*', slash);
      if (star == std::string::npos) {
        if (machine.has(pattern)) included.push_back(pattern);
        continue;
      }
      for (std::string& one : machine.files_in(pattern.substr(0, slash), pattern.substr(star + 1)))
        if (one.compare(slash + 1, star - slash - 1, pattern, slash + 1, star - slash - 1) == 0)
          included.push_back(std::move(one));
    }
    open.insert(open.end(), included.rbegin(), included.rend());
  }
  return files;
}

TakenSites sites_of_nginx(const std::vector<Spot>& words, const std::vector<std::string>& names) {
  std::vector<Site> sites;
  for (std::size_t at = 0; at + 1 < words.size();) {
    if (words[at].word == "server" && words[at + 1].word == "{")
      at = read_server_block(words, at + 2, sites.emplace_back());
    else
      ++at;
  }
  return sites_with(names, sites);
}

TakenSites sites_of_apache(const std::vector<Spot>& words, const std::vector<std::string>& names) {
  std::vector<Site> sites{{}};  // what stands outside of all hosts
  std::size_t site = 0;
  bool addresses = false;
  std::string directive;
  unsigned line = 0;
  for (const Spot& spot : words) {
    const std::string word = lower_case(spot.word);
    if (spot.line != line) {
      directive = word;
      line = spot.line;
      if (word == "<virtualhost") {
        site = sites.size();
        sites.emplace_back();
        addresses = true;
        continue;
      }
      if (word == "</virtualhost>") site = 0;
      if (word == "sslcertificatefile") sites[site].own_certificate = true;
      if (word == "redirect" || word == "redirectmatch") sites[site].redirects = true;
      continue;
    }
    if (addresses && directive == "<virtualhost") {
      const bool last = word.ends_with(">");
      if (is_port(last ? word.substr(0, word.size() - 1) : word, "443")) sites[site].tls = true;
      if (last) addresses = false;
    }
    if (directive == "servername" || directive == "serveralias")
      sites[site].names.push_back({spot.file, spot.line, bare_name(spot.word)});
    if (directive == "sslengine" && word == "on") sites[site].tls = true;
  }
  return sites_with(names, sites);
}

TakenBinds binds_of_haproxy(const std::vector<Spot>& words) {
  TakenBinds binds;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i].word != "bind") continue;
    for (const std::string& address : split_at_commas({words[i + 1].word})) {
      if (is_port(address, "80") && !binds.plain) binds.plain = words[i];
      if (!is_port(address, "443") || binds.tls) continue;
      binds.tls = words[i];
      for (std::size_t more = i + 2; more < words.size() && words[more].line == words[i].line; ++more)
        if (words[more].word == "ssl") binds.tls_is_on = true;
    }
  }
  return binds;
}

bool is_port(const std::string& address, const std::string& port) {
  return address == port || address.ends_with(":" + port);
}

}  // namespace evercert
