#include <openssl/crypto.h>

#include <array>

#include "agent/observe/status_report.h"
#include "evercert/text.h"

namespace evercert {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Page {
 public:
  // Each family stands together, its HELP and TYPE first, as the text format wants it.
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(const Labels& labels, std::int64_t value) {
    text_ += name_;
    char separator = '{';
    for (const auto& [label, content] : labels) {
      text_ += separator;
      text_.append(label).append("=\"");
      append_escaped(content);
      text_ += '"';
      separator = ',';
    }
    if (separator == ',') {
      text_ += '}';
    }
    text_.append(" ").append(std::to_string(value)).append("\n");
  }
  std::string take() { return std::move(text_); }
  void reserve(std::size_t size) { text_.reserve(size); }

 private:
  void append_escaped(std::string_view content) {
    for (const char letter : printable(content)) {
      if (letter == '\\' || letter == '"') {
        text_ += '\\';
      }
      text_ += letter;
    }
  }

  std::string text_;
  std::string_view name_;
};

std::int64_t seconds_of(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

void add_counter(Page& page, std::string_view first, std::string_view second,
                 const std::vector<std::pair<std::string, std::uint64_t>>& counts) {
  for (const auto& [key, count] : counts) {
    const std::size_t middle = key.find('\0');
    const std::string_view label = std::string_view(key).substr(0, middle);
    const std::string_view tail = middle == std::string::npos ? std::string_view{} : std::string_view(key).substr(middle + 1);
    page.sample({{first, label}, {second, tail}}, static_cast<std::int64_t>(count));
  }
}

void add_certificates(Page& page, const std::vector<CertificateStatus>& certificates) {
  page.family("evercert_certificate_expiration_timestamp_seconds", "gauge",
              "When the newest generation ends (the earliest of its keys).");
  for (const CertificateStatus& certificate : certificates) {
    if (certificate.not_after) {
      page.sample({{"certificate", certificate.name}, {"issuer", certificate.issuer}}, seconds_of(*certificate.not_after));
    }
  }
  page.family("evercert_certificate_not_before_timestamp_seconds", "gauge", "When the newest generation begins.");
  for (const CertificateStatus& certificate : certificates) {
    if (certificate.not_before) {
      page.sample({{"certificate", certificate.name}}, seconds_of(*certificate.not_before));
    }
  }
  page.family("evercert_certificate_next_renewal_timestamp_seconds", "gauge", "When something is done about it next.");
  for (const CertificateStatus& certificate : certificates) {
    if (certificate.next) {
      page.sample({{"certificate", certificate.name}}, seconds_of(certificate.next->at));
    }
  }
  page.family("evercert_certificate_state", "gauge", "1 for the state that a certificate is in, 0 for all others.");
  static constexpr std::array states{CertificateState::waiting, CertificateState::ordering,          CertificateState::issued,
                                     CertificateState::served,  CertificateState::issued_not_served, CertificateState::failing,
                                     CertificateState::expired, CertificateState::action_required,   CertificateState::held};
  for (const CertificateStatus& certificate : certificates) {
    for (const CertificateState state : states) {
      page.sample({{"certificate", certificate.name}, {"state", to_string(state)}}, certificate.state == state ? 1 : 0);
    }
  }
  page.family("evercert_certificate_failing_since_timestamp_seconds", "gauge",
              "Since when something has been wrong with it, 0 while nothing is.");
  for (const CertificateStatus& certificate : certificates) {
    const auto since = certificate.problem ? certificate.failing_since.value_or(certificate.problem->since) : Time();
    page.sample({{"certificate", certificate.name}}, seconds_of(since));
  }
  page.family("evercert_certificate_generation", "gauge", "The newest generation in the store, 0 for none.");
  for (const CertificateStatus& certificate : certificates) {
    page.sample({{"certificate", certificate.name}}, static_cast<std::int64_t>(certificate.generation));
  }
  page.family("evercert_served_generation", "gauge", "The generation that the server was last seen to present.");
  for (const CertificateStatus& certificate : certificates) {
    if (certificate.served) {
      page.sample({{"certificate", certificate.name}}, static_cast<std::int64_t>(certificate.served->generation));
    }
  }
}

}  // namespace

std::string render_metrics(const StatusReport& report) {
  Page page;
  page.reserve(4096 + report.certificates.size() * 1536);
  page.family("evercert_agent_up", "gauge", "1 while the agent runs.");
  page.sample({}, 1);
  page.family("evercert_build_info", "gauge", "What runs here; always 1.");
  page.sample({{"version", report.version}, {"server", report.server}, {"openssl", ::OpenSSL_version(OPENSSL_VERSION_STRING)}},
              1);
  page.family("evercert_last_run_timestamp_seconds", "gauge", "When the agent last looked for work.");
  page.sample({}, seconds_of(report.last_run));
  add_certificates(page, report.certificates);
  page.family("evercert_orders_total", "counter", "Orders that ended since the agent started.");
  add_counter(page, "issuer", "result", report.counters.orders);
  page.family("evercert_issuer_requests_total", "counter", "Requests to the CA since the agent started, by class of answer.");
  add_counter(page, "issuer", "code", report.counters.issuer_requests);
  if (!report.accounts.empty()) {
    page.family("evercert_account_balance_low", "gauge",
                "1 when the balance at a commercial CA will not do for the next order, or is below low_balance.");
    for (const auto& account : report.accounts) page.sample({{"issuer", account.issuer}}, account.low ? 1 : 0);
  }
  page.family("evercert_challenges_total", "counter", "Challenges that ended since the agent started.");
  add_counter(page, "kind", "result", report.counters.challenges);
  return page.take();
}

}  // namespace evercert
