#include "agent/observe/status_report.h"
#include "evercert/text.h"

namespace evercert {
namespace {

// Written straight into the page, in the order in which a person wants to read it: with ten thousand certificates a tree of
// JSON values costs more than all the rest of a rendering.
class Writer {
 public:
  explicit Writer(std::string& page) : page_(page) {}

  void open(char bracket) {
    page_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    page_ += bracket;
    first_ = false;
  }
  void name(std::string_view member) {
    separate();
    page_.append("\"").append(member).append("\":");
    first_ = true;
  }
  void line() {
    if (!first_) {
      page_ += ',';
    }
    first_ = true;
    page_ += '\n';
  }
  // An object or array among others on the same line.
  void element() { separate(); }
  void text(std::string_view value) {
    separate();
    page_ += '"';
    append_escaped(printable(value));
    page_ += '"';
  }
  void number(std::uint64_t value) {
    separate();
    page_ += std::to_string(value);
  }
  void truth(bool value) {
    separate();
    page_ += value ? "true" : "false";
  }
  void null() {
    separate();
    page_ += "null";
  }
  void texts(const std::vector<std::string>& values) {
    open('[');
    for (const std::string& value : values) {
      text(value);
    }
    close(']');
  }
  void time_or_null(const std::optional<Time>& time) {
    if (time) {
      text(to_rfc3339(*time));
    } else {
      null();
    }
  }

 private:
  void separate() {
    if (!first_) {
      page_ += ',';
    }
    first_ = false;
  }
  // RFC 8259 section 7; there are no control characters any more.
  void append_escaped(const std::string& value) {
    for (const char letter : value) {
      if (letter == '"' || letter == '\\') {
        page_ += '\\';
      }
      page_ += letter;
    }
  }

  std::string& page_;
  bool first_ = true;
};

void write_member(Writer& writer, std::string_view name, std::string_view value) {
  writer.name(name);
  writer.text(value);
}

void write_served(Writer& writer, const std::optional<CertificateStatus::Served>& served) {
  writer.name("served");
  if (!served) {
    writer.null();
    return;
  }
  writer.open('{');
  writer.name("generation");
  writer.number(served->generation);
  write_member(writer, "since", to_rfc3339(served->since));
  write_member(writer, "listener", served->listener);
  writer.close('}');
}

void write_next(Writer& writer, const std::optional<CertificateStatus::Next>& next) {
  writer.name("next");
  if (!next) {
    writer.null();
    return;
  }
  writer.open('{');
  write_member(writer, "at", to_rfc3339(next->at));
  write_member(writer, "why", next->why);
  writer.close('}');
}

void write_problem(Writer& writer, const std::optional<StatusProblem>& problem) {
  writer.name("problem");
  if (!problem) {
    writer.null();
    return;
  }
  writer.open('{');
  write_member(writer, "kind", problem->kind);
  write_member(writer, "message", problem->message);
  write_member(writer, "since", to_rfc3339(problem->since));
  write_member(writer, "remedy", problem->remedy);
  writer.close('}');
}

void write_set_aside(Writer& writer, const std::vector<CertificateStatus::SetAside>& issuers) {
  writer.name("set_aside");
  writer.open('[');
  for (const auto& one : issuers) {
    writer.element();
    writer.open('{');
    write_member(writer, "issuer", one.issuer);
    write_member(writer, "key", one.key);
    write_member(writer, "kind", one.kind);
    write_member(writer, "message", one.message);
    write_member(writer, "since", to_rfc3339(one.since));
    write_member(writer, "until", to_rfc3339(one.until));
    writer.close('}');
  }
  writer.close(']');
}

void write_certificate(Writer& writer, const CertificateStatus& certificate) {
  writer.line();
  writer.open('{');
  write_member(writer, "name", certificate.name);
  writer.name("identifiers");
  writer.texts(certificate.identifiers);
  write_member(writer, "issuer", certificate.issuer);
  write_member(writer, "state", to_string(certificate.state));
  writer.name("generation");
  writer.number(certificate.generation);
  write_member(writer, "serial", certificate.serial);
  writer.name("not_before");
  writer.time_or_null(certificate.not_before);
  writer.name("not_after");
  writer.time_or_null(certificate.not_after);
  writer.name("key");
  writer.texts(certificate.keys);
  write_served(writer, certificate.served);
  write_next(writer, certificate.next);
  writer.name("now");
  if (certificate.now.empty()) {
    writer.null();
  } else {
    writer.text(certificate.now);
  }
  write_problem(writer, certificate.problem);
  write_set_aside(writer, certificate.set_aside);
  if (!certificate.certificate_identifiers.empty()) {
    writer.name("certificate_identifiers");
    writer.texts(certificate.certificate_identifiers);
  }
  if (!certificate.meanwhile.empty()) {
    writer.name("meanwhile");
    writer.open('[');
    for (const auto& one : certificate.meanwhile) {
      writer.element();
      writer.open('{');
      write_member(writer, "identifier", one.identifier);
      write_member(writer, "line", one.line);
      writer.close('}');
    }
    writer.close(']');
  }
  writer.close('}');
}

void write_unnamed(Writer& writer, const UnnamedLine& line) {
  writer.line();
  writer.open('{');
  write_member(writer, "name", line.name);
  writer.name("identifiers");
  writer.texts(line.identifiers);
  write_member(writer, "issuer", line.issuer);
  writer.name("generation");
  writer.number(line.generation);
  write_member(writer, "not_after", to_rfc3339(line.not_after));
  writer.name("key");
  writer.texts(line.keys);
  writer.close('}');
}

void write_order(Writer& writer, const OrderStatusLine& order) {
  writer.line();
  writer.open('{');
  write_member(writer, "certificate", order.certificate);
  write_member(writer, "key", order.key);
  write_member(writer, "issuer", order.issuer);
  write_member(writer, "state", order.state);
  write_member(writer, "reference", order.reference);
  write_member(writer, "since", to_rfc3339(order.since));
  writer.close('}');
}

void write_account(Writer& writer, const AccountStatus& account) {
  writer.line();
  writer.open('{');
  write_member(writer, "issuer", account.issuer);
  write_member(writer, "offers", account.offers);
  write_member(writer, "balance", account.balance);
  write_member(writer, "currency", account.currency);
  writer.name("low");
  writer.truth(account.low);
  write_member(writer, "seen", to_rfc3339(account.seen));
  writer.close('}');
}

void write_awaited(Writer& writer, const AwaitedStatus& awaited) {
  writer.line();
  writer.open('{');
  write_member(writer, "issuer", awaited.issuer);
  write_member(writer, "what", awaited.what);
  write_member(writer, "certificate", awaited.certificate);
  write_member(writer, "order", awaited.order);
  write_member(writer, "since", to_rfc3339(awaited.since));
  writer.close('}');
}

// One element a line, so that thousands of certificates stay readable.
template <typename Element, typename Write>
void write_array(Writer& writer, std::string& page, std::string_view name, const std::vector<Element>& elements, Write write) {
  writer.line();
  writer.name(name);
  writer.open('[');
  for (const Element& element : elements) {
    write(writer, element);
  }
  page += elements.empty() ? "" : "\n";
  writer.close(']');
}

}  // namespace

std::string render_json(const StatusReport& report) {
  std::string page;
  page.reserve(1024 + report.certificates.size() * 1024);
  Writer writer(page);
  writer.open('{');
  writer.name("format");
  writer.number(1);
  for (const auto& [name, value] :
       {std::pair{"server", report.server}, std::pair{"version", report.version},
        std::pair{"generated_at", to_rfc3339(report.generated_at)}, std::pair{"last_run", to_rfc3339(report.last_run)}}) {
    writer.line();
    write_member(writer, name, value);
  }
  writer.line();
  writer.name("agent");
  writer.open('{');
  write_member(writer, "state", report.agent.state);
  writer.name("pid");
  writer.number(static_cast<std::uint64_t>(report.agent.pid));
  write_member(writer, "since", to_rfc3339(report.agent.since));
  writer.name("followers");
  writer.texts(report.agent.followers);
  writer.close('}');
  write_array(writer, page, "certificates", report.certificates, write_certificate);
  write_array(writer, page, "orders", report.orders, write_order);
  write_array(writer, page, "accounts", report.accounts, write_account);
  write_array(writer, page, "unnamed", report.unnamed, write_unnamed);
  write_array(writer, page, "awaited", report.awaited, write_awaited);
  writer.close('}');
  page += '\n';
  return page;
}

}  // namespace evercert
