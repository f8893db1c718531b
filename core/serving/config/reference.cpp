#include "serving/config/reference.h"

#include <utility>

#include "evercert/settings.h"
#include "serving/config/spelling.h"

namespace evercert {

namespace {

constexpr std::string_view head = R"(# Options

Printed from the option table of the core; do not edit. Each option means the same on every server, only its spelling differs.

* **nginx**: global and certificate options stand in `http` or `server` (stream likewise) and begin with `evercert_`; an issuer's
  options stand without prefix in `evercert_issuer NAME { ... }`. `evercert on;` orders a certificate for the server's names,
  `evercert each;` one for each name, `evercert off;` none. `evercert_certificate ISSUER[,ISSUER...] [NAME...] [key=...] [name=...];`
  says more in one line.
* **Apache**: the same words as `EvercertCamelCase`: global options outside virtual hosts, certificate options inside or, as a default
  for all, outside, an issuer's inside `<EvercertIssuer NAME>`. `Evercert on`, `each` or `off`; `EvercertCertificate` as above, or
  `<EvercertCertificate [NAME]>` with options of its own, there also `EvercertIssuer`, `EvercertIdentifiers`, `EvercertName`.
* **evercert.json**: global options are members of the document, an issuer's of `"issuers": { "NAME": { ... } }`, a certificate's of the
  objects in `"certificates": [ ... ]`. Several words are an array of strings, a single one may be a plain string; switches are `true` or
  `false` and numbers are numbers, both without quotes. Comments (`//` and `/* */`) are allowed, a relative path is below the file's own directory, and
  `"$schema"` is ignored.
)";

struct Part {
  Scope scope;
  std::string_view title;
  std::string_view sentence;
};

constexpr Part reference_parts[] = {
    {Scope::global, "Global", "Once per server or file."},
    {Scope::issuer, "Issuers",
     "A CA account to order from. The words are those of nginx's own ACME module, with the same meaning."},
    {Scope::certificate, "Certificates", "What is ordered, and for which names."},
};

std::string json_form(const Option& option) {
  const std::string name = "\"" + std::string(option.name) + "\": ";
  switch (option.kind) {
    case ValueKind::flag:
    case ValueKind::switch_on_off:
      return name + "true";
    case ValueKind::number:
      return name + (option.max_words == 1 ? "NUMBER" : "[NUMBER, ...]");
    default:
      return name + (option.max_words == 1 ? "\"...\"" : "[\"...\", ...]");
  }
}

std::string servers_of(const Option& option) {
  constexpr std::pair<unsigned, const char*> names[] = {
      {on_nginx, "nginx"}, {on_apache, "Apache"}, {on_haproxy, "HAProxy"}, {alone, "`evercert run`"}};
  std::string list;
  for (const auto& [bit, name] : names)
    if ((option.servers & bit) != 0) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

std::string described(const Option& option) {
  std::string page = "\n### " + std::string(option.name) + "\n\n" + std::string(option.help) + "\n\n";
  page += "| | |\n|---|---|\n";
  if (option.from_server) {
    page += "| nginx, Apache | told by the server itself |\n";
  } else {
    page += "| nginx | `" + spell(option, Spelling::nginx) + "` |\n";
    page += "| Apache | `" + spell(option, Spelling::apache) + "` |\n";
  }
  page += "| JSON | `" + json_form(option) + "` |\n";
  std::string syntax(option.syntax);
  // A bar would end the table's cell.
  for (std::size_t bar = syntax.find('|'); bar != std::string::npos; bar = syntax.find('|', bar + 2)) syntax.insert(bar, "\\");
  page += "| syntax | `" + syntax + "` |\n";
  if (option.servers != everywhere)
    page += "| has an effect on | " + servers_of(option) + "; elsewhere: " + std::string(option.elsewhere) + " |\n";
  page += "| default | " + (option.fallback.empty() ? std::string("none") : "`" + std::string(option.fallback) + "`") + " |\n";
  if (option.repeatable) page += "| repeatable | yes, the words add up |\n";
  return page;
}

}  // namespace

std::string options_reference() {
  std::string page(head);
  for (const Part& part : reference_parts) {
    page += "\n## " + std::string(part.title) + "\n\n" + std::string(part.sentence) + "\n";
    for (const Option& option : options())
      if (option.scope == part.scope) page += described(option);
  }
  return page;
}

}  // namespace evercert
