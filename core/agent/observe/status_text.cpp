// The status as a table for terminals: one line per certificate, times in UTC. What HAProxy's CLI shows.
#include <algorithm>
#include <map>

#include "agent/observe/status_report.h"
#include "evercert/settings.h"
#include "evercert/text.h"

namespace evercert {
namespace {

using Row = std::vector<std::string>;

// "89d23h", "3h20m", "45m": to the minute, as often as the page is rendered.
std::string distance(Time from, Time to) {
  if (to <= from) return "over";
  const auto count = std::chrono::duration_cast<std::chrono::minutes>(to - from).count();
  constexpr std::int64_t day = 1440;
  if (count >= day) return std::to_string(count / day) + "d" + std::to_string(count / 60 % 24) + "h";
  if (count >= 60) return std::to_string(count / 60) + "h" + std::to_string(count % 60) + "m";
  return std::to_string(count) + "m";
}

std::string problem_of(const CertificateStatus& certificate) {
  std::string text = certificate.problem ? certificate.problem->message : "";
  std::string left;
  for (const auto& one : certificate.set_aside) left += (left.empty() ? "" : ", ") + one.issuer;
  if (!left.empty()) text += (text.empty() ? "set aside: " : "; set aside: ") + left;
  return text.empty() ? "-" : text;
}

Row row_of(const CertificateStatus& certificate, Time now) {
  const auto& next = certificate.next;
  return {certificate.name,
          certificate.issuer,
          to_string(certificate.state),
          certificate.generation == 0 ? "-" : std::to_string(certificate.generation),
          certificate.not_after ? to_rfc3339(*certificate.not_after) : "-",
          certificate.not_after ? distance(now, *certificate.not_after) : "-",
          next ? to_rfc3339(next->at) : "-",
          next ? distance(now, next->at) : "-",
          problem_of(certificate)};
}

}  // namespace

std::string awaited_sentence(const std::string& issuer, const std::string& what, const std::string& certificate,
                             const std::string& order, const std::string& since) {
  return "issuer " + issuer + " was asked at " + since + " for the " + what + " of " +
         (order.empty() ? certificate : "the order " + order + " for " + certificate) + " and has not done it yet";
}

std::string low_balance_sentence(const std::string& issuer, const std::string& balance, const std::string& currency,
                                 const std::string& seen) {
  return "the account at issuer " + issuer + " is low: " + balance + (currency.empty() ? "" : " ") + currency + ", seen at " +
         seen + "; it may not do for the next order";
}

std::string render_text(const StatusReport& report) {
  std::vector<Row> rows{{"# certificate", "issuer", "state", "generation", "expiration date (UTC)", "expires in",
                         "scheduled date (UTC)", "scheduled in", "problem"}};
  for (const auto& certificate : report.certificates) rows.push_back(row_of(certificate, report.generated_at));
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (Row& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      row[column] = printable(row[column]);
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string page;
  for (const Row& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      page += row[column];
      if (column + 1 < row.size()) page.append(widths[column] - row[column].size() + 2, ' ');
    }
    page += "\n";
  }
  const auto add = [&](const std::string& sentence) { page += "# " + printable(sentence) + "\n"; };
  for (const auto& one : report.awaited)
    add(awaited_sentence(one.issuer, one.what, one.certificate, one.order, to_rfc3339(one.since)));
  for (const auto& one : report.accounts)
    if (one.low) add(low_balance_sentence(one.issuer, one.balance, one.currency, to_rfc3339(one.seen)));
  return page;
}

// The same for whoever sends the rows: they become a table there.
std::string render_section_rows(const StatusReport& report) {
  std::string rows = printable(report.agent.state) + "\n";
  for (const CertificateStatus& certificate : report.certificates) {
    const auto& next = certificate.next;
    rows += printable(certificate.name);
    for (const std::string& words :
         {std::string(to_string(certificate.state)), certificate.not_after ? to_rfc3339(*certificate.not_after) : "",
          certificate.served ? std::to_string(certificate.served->generation) : "",
          next ? to_rfc3339(next->at) + " " + next->why : "", certificate.problem ? certificate.problem->message : ""})
      rows += "\t" + printable(words);
    rows += "\n";
  }
  return rows;
}

// The first line names the agent; whoever sends the section replaces it when the agent is silent.
std::string render_section_lines(const StatusReport& report) {
  std::map<std::string, unsigned> states;
  for (const CertificateStatus& certificate : report.certificates) ++states[to_string(certificate.state)];
  std::string lines =
      "EvercertAgent: " + report.agent.state + "\nEvercertCertificates: " + std::to_string(report.certificates.size()) + "\n";
  for (const auto& [state, count] : states) lines += "EvercertState" + camel_case(state) + ": " + std::to_string(count) + "\n";
  return lines;
}

}  // namespace evercert
