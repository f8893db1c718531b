// Settings: what the operator wrote, word for word, with its place. Front ends (nginx directives, evercert.json, …) fill it
// through set(); only check() (plan.h) turns it into something the rest may use.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evercert/result.h"

namespace evercert {

// Where a setting stands in the operator's own file. JSON files count lines, too.
struct Place {
  std::string file;
  unsigned line = 0;
  [[nodiscard]] std::string text() const;  // "FILE:LINE", or "FILE" when the line is unknown
};

enum class Scope { global, issuer, certificate };

// How the words of an option are to be read; check() does the reading.
enum class ValueKind { flag, switch_on_off, word, words, path, secret_file, uri, duration, number };

// Where an option has an effect: a set of bits. `alone` is an agent without a server of ours.
enum Servers : unsigned { on_nginx = 1, on_apache = 2, on_haproxy = 4, alone = 8, everywhere = 15 };
// The bit of a server as the setting `server` names it: "nginx/1.22.1", "Apache/2.4.57", "HAProxy/2.6.12"; empty: alone.
unsigned server_bit(std::string_view server);

// One row of the option table: the only place where an option has a name, a meaning and a default.
struct Option {
  std::string_view name;  // as in evercert.json and, inside a block, in nginx; global and certificate options get the prefix
                          // evercert_ in nginx and Evercert… in Apache
  Scope scope;
  ValueKind kind;
  unsigned min_words;
  unsigned max_words;         // 0: no limit
  bool repeatable;            // may stand several times in one section; the words add up
  std::string_view syntax;    // for the reference page: "alg[:size] | file"
  std::string_view fallback;  // the default, as text, or empty
  std::string_view help;      // one or two sentences
  bool from_server = false;   // set by front ends from what the server knows; an operator does not write it
  unsigned servers = everywhere;
  std::string_view elsewhere = {};  // why it has no effect on the others
};

std::span<const Option> options();
const Option* find_option(Scope scope, std::string_view name);
// The known option nearest to a mistyped one, or nullptr when nothing is near.
const Option* nearest_option(Scope scope, std::string_view name);

struct Setting {
  const Option* option = nullptr;
  std::vector<std::string> words;
  Place place;
};

// One block: the global one, an issuer or a certificate.
struct Section {
  std::string name;  // issuer: its name; certificate: the name= given, else empty (then named after its first identifier)
  Place place;       // the block's first line
  std::vector<Setting> settings;
};

// The first setting of that option, or null.
const Setting* find_setting(const Section& section, std::string_view option);

struct Settings {
  Section global;
  std::vector<Section> issuers;
  std::vector<Section> certificates;
};

// A sentence of ours with its options as they are written there: evercert_http_port, EvercertHttpPort, http_port. `server`:
// "nginx/1.22.1"; a file that ends in .json spells them as the table does. `scope` and `about`: the block, and the option, that
// the sentence speaks of. May be applied again.
std::string spelled(std::string_view sentence, std::string_view server, const Place& place = {}, Scope scope = Scope::global,
                    std::string_view about = {});

// "write evercert_state_path /var/lib/evercert-nginx; beside the issuer in FILE:LINE": where and how the option is written to
// name that directory. `server` as above.
std::string state_path_advice(const Settings& settings, std::string_view server, const std::string& path);

// Adds one setting to a section; the certificate option `name` also names the section. Errors (configuration): unknown option
// with the nearest known one, too few or too many words, given twice though not repeatable, control characters in a word. The
// message does not repeat the place.
Result<Done> set(Section& section, Scope scope, std::string_view option, std::span<const std::string> words,
                 const Place& place);

// The port that is written there, before check() has judged it; `otherwise` where none is.
std::uint16_t port_in(const Section& section, std::string_view option, std::uint16_t otherwise);

// evercert_certificate and its equals say all in one line: issuer[,issuer...] [identifier...] [key=...] [name=...].
Result<Done> set_certificate_line(Section& section, std::span<const std::string> words);

// "state_path" as servers with camel-cased directives spell it: "StatePath".
std::string camel_case(std::string_view option);

// Makes the file words of a setting absolute: relative ones are below `directory`. The global state_path stays as written
// (check() refuses a relative one). A front end calls it after each set(), with its server's own directory; the readers below
// do it with the directory of the file they read.
void anchor_paths(Setting& setting, const std::string& directory);

// Reads an evercert.json (comments allowed) into `settings`, after what is there already. Errors name file and line. The
// option `include` is read at once and never stored; a front end answers its own spelling of it by calling
// read_settings_file with an absolute path.
Result<Done> read_settings_file(Settings& settings, const std::string& path);
Result<Done> read_settings_text(Settings& settings, std::string_view json, const std::string& file);

}  // namespace evercert
