// evercert(1) and evercert(5), from the tables of commands and options (roff, man(7)).
#include "cli/pages.h"
#include "evercert/settings.h"
#include "serving/config/known_cas.h"
#include "serving/config/spelling.h"

namespace evercert {
namespace {

// Words between backquotes are printed bold.
std::string roff(std::string_view text) {
  std::string result;
  bool bold = false;
  bool begins = true;
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) result += "\\&";
    begins = c == '\n';
    if (c == '`')
      result += (bold = !bold) ? "\\fB" : "\\fR";
    else if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
  }
  return result;
}

std::string bold(std::string_view text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string title(const char* section, const char* of) {
  return std::string(".TH EVERCERT ") + section + " \"\" \"evercert " + EVERCERT_VERSION + "\" \"" + of + "\"\n";
}

std::string tagged(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + text + "\n";
}

std::string word_entry(const VerbPage::Word& word) {
  std::string text = word.meaning;
  for (std::size_t i = 0; i < word.choices.size(); ++i) text += (i == 0 ? ": " : ", ") + ("`" + word.choices[i] + "`");
  return tagged(bold(word.name) + (word.value.empty() ? "" : " \\fI" + roff(word.value) + "\\fR"), roff(text));
}

std::string examples(std::string_view lines) {
  return ".PP\n.nf\n.RS\n" + roff(lines) + "\n.RE\n.fi\n";
}

}  // namespace

std::string command_manual() {
  std::string page = title("1", "User Commands") +
                     ".SH NAME\nevercert \\- certificates that order, renew and swap themselves inside a web server\n"
                     ".SH SYNOPSIS\n.B evercert\n\\fICOMMAND\\fR [\\fIARGUMENT\\fR...] [\\fIOPTION\\fR...]\n"
                     ".SH DESCRIPTION\n" +
                     roff(
                         "The modules of nginx, Apache httpd and HAProxy start an agent, which orders certificates and renews "
                         "them. This command shows what is served and what happens next, asks the agent for more, and takes "
                         "over what other clients obtained. Options may stand before or after the command. Results go to "
                         "standard output, everything else to standard error.") +
                     "\n.SH COMMANDS\n";
  for (const VerbPage& verb : verb_pages()) {
    page += ".SS " + bold(usage_of(verb)) + "\n" + roff(std::string(verb.verb->summary) + ".");
    if (!verb.verb->details.empty()) page += " " + roff(verb.verb->details);
    if (!verb.verb->needs.empty()) page += " " + roff("Needs " + std::string(verb.verb->needs) + ".");
    page += "\n";
    for (const auto* const words : {&verb.arguments, &verb.options})
      for (const auto& word : *words)
        if (word.name != "--help") page += word_entry(word);
    page += examples(verb.verb->examples);
  }
  page += ".SH ENVIRONMENT\n" +
          tagged(bold("EVERCERT_STATE"),
                 "The state directory, where neither " + bold("--state") + " nor " + bold("--config") + " names one.") +
          tagged(bold("NO_COLOR"), "Where it is set and not empty, no colours are printed.");
  page += ".SH EXIT STATUS\n";
  for (const auto& [code, meaning] :
       {std::pair("0", "Done, or nothing to do."), std::pair("1", "Failed, or not done in time."),
        std::pair("2", "The command line is wrong."), std::pair("3", "The configuration is refused."),
        std::pair("4", "A person is needed."), std::pair("5", "No agent answers, or it went away.")})
    page += tagged(bold(code), meaning);
  page += ".SH FILES\n" +
          tagged("\\fI/etc/evercert/evercert.json\\fR", "The configuration of HAProxy and of " + bold("evercert run") + ".") +
          tagged("\\fI/var/lib/evercert\\fR", "The state directory, if no other is named.");
  return page + ".SH SEE ALSO\n.BR evercert (5),\n.BR nginx (8),\n.BR apache2 (8),\n.BR haproxy (1)\n";
}

std::string configuration_manual() {
  std::string page =
      title("5", "File Formats") +
      ".SH NAME\nevercert \\- configuration of certificates that order, renew and swap themselves\n"
      ".SH DESCRIPTION\n" +
      roff(
          "Each option means the same on every server, only its spelling differs. In nginx global and "
          "certificate options begin with `evercert_` and stand in `http` or `server`; an issuer's stand without "
          "prefix in `evercert_issuer NAME { ... }`; `evercert on;` orders a certificate for the server's names. "
          "In Apache httpd the same words are spelled `EvercertCamelCase`, an issuer's inside `<EvercertIssuer "
          "NAME>`; `Evercert on` orders. In `evercert.json` (HAProxy, `evercert run`, `evercert_include`) they "
          "are members: global ones of the document, an issuer's of \"issuers\": { \"NAME\": { } }, a "
          "certificate's of the objects in \"certificates\": [ ]. Several words are an array of strings; switches are "
          "true or false, numbers are numbers, both without quotes; comments are allowed.") +
      "\n";
  for (const auto& [scope, name] : {std::pair(Scope::global, "GLOBAL OPTIONS"), std::pair(Scope::issuer, "OPTIONS OF ISSUERS"),
                                    std::pair(Scope::certificate, "OPTIONS OF CERTIFICATES")}) {
    page += std::string(".SH ") + name + "\n";
    for (const Option& option : options()) {
      if (option.scope != scope || option.from_server) continue;
      std::string text =
          roff(option.help) + (option.fallback.empty() ? "" : " Default: " + bold(option.fallback) + ".") + "\n.br\n" +
          roff("nginx: `" + spell(option, Spelling::nginx) + "`, Apache: `" + spell(option, Spelling::apache) + "`");
      if (option.repeatable) text += "; may be repeated";
      page += tagged(bold(option.name) + " " + roff(option.syntax), text + ".");
    }
  }
  page += ".SH CERTIFICATE AUTHORITIES\n" + roff("Words that may stand after `uri` instead of an address.") + "\n";
  for (const KnownCa& ca : known_cas()) {
    if (ca.directory.empty()) continue;
    page += tagged(
        bold(ca.word),
        roff(std::string(ca.title) + ": " + std::string(ca.directory) + (ca.staging ? "; nobody trusts what it issues" : "") +
             (ca.account.empty() ? "" : "; wants external_account_key, to be had " + std::string(ca.account)) + "."));
  }
  return page + ".SH FILES\n" + tagged("\\fI/etc/evercert/evercert.json\\fR", "Where packages expect it.") +
         ".SH SEE ALSO\n.BR evercert (1)\n";
}

}  // namespace evercert
