#include <algorithm>
#include <map>

#include "agent/observe/status_report.h"
#include "evercert/text.h"

namespace evercert {
namespace {

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::string_view head = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>evercert</title>
<style>
:root { color-scheme: light dark; --text: #1c2330; --faint: #667085; --page: #f7f8fa; --card: #ffffff; --line: #e2e5ea;
  --good: #17803d; --busy: #2459c4; --warn: #a15c00; --bad: #c02626; --track: #e8ebf0; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --faint: #98a2b3; --page: #12161c; --card: #1a2029; --line: #2b333f;
  --good: #4cc777; --busy: #7da7f5; --warn: #e5a13c; --bad: #f47a7a; --track: #2b333f; } }
body { margin: 0; padding: 1.5rem; background: var(--page); color: var(--text); font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; color: var(--faint); }
ul { list-style: none; margin: 0 0 1rem; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem; }
li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .35rem .8rem; }
li b { font-size: 1.1rem; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td { min-width: 5rem; overflow-wrap: anywhere; }
small { display: block; color: var(--faint); }
code { font-size: .9em; }
.served { color: var(--good); } .ordering, .waiting, .issued { color: var(--busy); } .held { color: var(--warn); }
.failing, .expired, .action_required, .issued_not_served { color: var(--bad); }
.bar { height: .3rem; border-radius: .2rem; background: var(--track); margin-top: .3rem; }
.bar i { display: block; height: 100%; border-radius: .2rem; background: var(--good); }
.bar .low { background: var(--warn); } .bar .out { background: var(--bad); }
</style>
</head>
<body>
)";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char letter : printable(text)) {
    switch (letter) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += letter;
    }
  }
  return safe;
}

std::string count_of(std::int64_t count, const char* unit) {
  return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

std::string rough(seconds span) {
  const seconds size = span < seconds(0) ? -span : span;
  if (size >= hours(48)) {
    return count_of(duration_cast<hours>(size).count() / 24, "day");
  }
  if (size >= minutes(90)) {
    return count_of(duration_cast<hours>(size).count(), "hour");
  }
  if (size >= seconds(90)) {
    return count_of(duration_cast<minutes>(size).count(), "minute");
  }
  return count_of(size.count(), "second");
}

std::string relative(Time time, Time now) {
  const auto span = duration_cast<seconds>(time - now);
  return span < seconds(0) ? rough(span) + " ago" : "in " + rough(span);
}

// "2027-02-03 04:05 UTC"
std::string moment(Time time) {
  std::string text = to_rfc3339(time).substr(0, 16);
  text[10] = ' ';
  return text + " UTC";
}

std::string served_cell(const CertificateStatus& certificate) {
  if (!certificate.served) {
    return certificate.generation == 0
               ? "nothing yet"
               : "not seen<small>generation " + std::to_string(certificate.generation) + " is stored</small>";
  }
  const auto& served = *certificate.served;
  std::string cell = "generation " + std::to_string(served.generation) + "<small>since " + moment(served.since);
  if (!served.listener.empty()) {
    cell += " on " + escaped(served.listener);
  }
  if (served.generation != certificate.generation) {
    cell += ", generation " + std::to_string(certificate.generation) + " is stored";
  }
  cell += "</small>";
  if (!certificate.serial.empty()) {
    cell += "<small>serial <code>" + escaped(certificate.serial) + "</code></small>";
  }
  return cell;
}

std::string until_cell(const CertificateStatus& certificate, Time now) {
  if (!certificate.not_after) {
    return "";
  }
  const Time end = *certificate.not_after;
  std::string cell = moment(end) + "<small>" + (end <= now ? "ended " : "") + relative(end, now) + "</small>";
  if (certificate.not_before && end > *certificate.not_before) {
    const double whole = std::chrono::duration<double>(end - *certificate.not_before).count();
    const double left = std::clamp(std::chrono::duration<double>(end - now).count() / whole, 0.0, 1.0);
    const int percent = static_cast<int>(left * 100.0);
    const char* kind = percent == 0 ? "out" : percent < 25 ? "low" : "";
    cell += "<div class=\"bar\"><i class=\"" + std::string(kind) +
            "\" style=\"width:" + std::to_string(percent == 0 ? 100 : percent) + "%\"></i></div>";
  }
  return cell;
}

void append_row(std::string& page, const CertificateStatus& certificate, Time now) {
  const char* state = to_string(certificate.state);
  std::string state_words = state;
  std::replace(state_words.begin(), state_words.end(), '_', ' ');
  page += "<tr><td><b>" + escaped(certificate.name) + "</b><small class=\"" + state + "\">" + state_words + "</small></td><td>";
  for (const std::string& identifier : certificate.identifiers) {
    page += escaped(identifier) + "<br>";
  }
  for (const auto& one : certificate.meanwhile)
    page += "<small>" + escaped(one.identifier) + " meanwhile from " + escaped(one.line) + "</small>";
  if (!certificate.certificate_identifiers.empty()) {
    page += "<small>the certificate is for";
    for (const std::string& identifier : certificate.certificate_identifiers) page += " " + escaped(identifier);
    page += "</small>";
  }
  page += "</td><td>" + served_cell(certificate) + "</td><td>" + until_cell(certificate, now) + "</td><td>";
  for (const std::string& key : certificate.keys) {
    page += escaped(key) + "<br>";
  }
  page += "</td><td>" + escaped(certificate.issuer) + "</td><td>";
  if (certificate.next) {
    page += moment(certificate.next->at) + "<small>" +
            (certificate.next->at <= now ? std::string("now") : relative(certificate.next->at, now)) + ": " +
            escaped(certificate.next->why) + "</small>";
  }
  page += "</td><td>" + escaped(certificate.now) + "</td><td>";
  if (certificate.problem) {
    const StatusProblem& problem = *certificate.problem;
    page += escaped(problem.message) + "<small>" + escaped(problem.kind) + ", since " + moment(problem.since) +
            "</small><small>" + escaped(problem.remedy) + "</small>";
  }
  for (const auto& left : certificate.set_aside) {
    page += "<small>issuer " + escaped(left.issuer) + " is set aside until " + moment(left.until) + " (" + escaped(left.key) +
            "): " + escaped(left.message) + "</small>";
  }
  page += "</td></tr>\n";
}

// What needs a person or is near its end stands first.
int rank(CertificateState state) {
  switch (state) {
    case CertificateState::expired:
      return 0;
    case CertificateState::action_required:
      return 1;
    case CertificateState::failing:
      return 2;
    case CertificateState::issued_not_served:
      return 3;
    case CertificateState::held:
      return 4;
    case CertificateState::waiting:
    case CertificateState::ordering:
    case CertificateState::issued:
      return 5;
    case CertificateState::served:
      return 6;
  }
  return 6;
}

std::vector<const CertificateStatus*> in_order_of_need(const std::vector<CertificateStatus>& certificates) {
  std::vector<const CertificateStatus*> order;
  order.reserve(certificates.size());
  for (const CertificateStatus& certificate : certificates) {
    order.push_back(&certificate);
  }
  std::sort(order.begin(), order.end(), [](const CertificateStatus* left, const CertificateStatus* right) {
    const auto key = [](const CertificateStatus* one) {
      return std::make_tuple(rank(one->state), one->not_after.value_or(Time::max()), std::string_view(one->name));
    };
    return key(left) < key(right);
  });
  return order;
}

void append_totals(std::string& page, const std::vector<CertificateStatus>& certificates) {
  std::map<int, std::pair<const char*, std::size_t>> totals;
  for (const CertificateStatus& certificate : certificates) {
    auto& [state, count] = totals[static_cast<int>(certificate.state)];
    state = to_string(certificate.state);
    ++count;
  }
  page += "<ul>\n<li><b>" + std::to_string(certificates.size()) + "</b> in all</li>\n";
  for (const auto& [number, total] : totals) {
    std::string words = total.first;
    std::replace(words.begin(), words.end(), '_', ' ');
    page += "<li class=\"" + std::string(total.first) + "\"><b>" + std::to_string(total.second) + "</b> " + words + "</li>\n";
  }
  page += "</ul>\n";
}

void append_orders(std::string& page, const std::vector<OrderStatusLine>& orders) {
  if (orders.empty()) {
    return;
  }
  page +=
      "<h1>Open orders</h1>\n<div class=\"scroll\"><table>\n<tr><th>certificate</th><th>key</th><th>issuer</th><th>state"
      "</th><th>since</th><th>reference</th></tr>\n";
  for (const OrderStatusLine& order : orders) {
    page += "<tr><td>" + escaped(order.certificate) + "</td><td>" + escaped(order.key) + "</td><td>" + escaped(order.issuer) +
            "</td><td>" + escaped(order.state) + "</td><td>" + moment(order.since) + "</td><td><code>" +
            escaped(order.reference) + "</code></td></tr>\n";
  }
  page += "</table></div>\n";
}

void append_accounts(std::string& page, const std::vector<AccountStatus>& accounts) {
  if (accounts.empty()) {
    return;
  }
  page +=
      "<h1>Accounts at CAs</h1>\n<div class=\"scroll\"><table>\n<tr><th>issuer</th><th>balance</th><th>there is</th>"
      "<th>seen</th></tr>\n";
  for (const AccountStatus& account : accounts) {
    page += "<tr><td>" + escaped(account.issuer) + "</td><td>" +
            escaped(account.balance.empty() ? "not told" : account.balance + " " + account.currency) +
            (account.low ? " <b>low</b>" : "") + "</td><td>" + escaped(account.offers) + "</td><td>" + moment(account.seen) +
            "</td></tr>\n";
  }
  page += "</table></div>\n";
}

void append_unnamed(std::string& page, const std::vector<UnnamedLine>& lines) {
  if (lines.empty()) {
    return;
  }
  page +=
      "<h1>Stored, named by no configuration</h1>\n<div class=\"scroll\"><table>\n<tr><th>name</th><th>names covered</th>"
      "<th>until</th><th>key</th><th>issuer</th></tr>\n";
  for (const UnnamedLine& line : lines) {
    page += "<tr><td>" + escaped(line.name) + "</td><td>";
    for (const std::string& identifier : line.identifiers) page += escaped(identifier) + "<br>";
    page += "</td><td>" + moment(line.not_after) + "</td><td>";
    for (const std::string& key : line.keys) page += escaped(key) + "<br>";
    page += "</td><td>" + escaped(line.issuer) + "</td></tr>\n";
  }
  page += "</table></div>\n";
}

void append_awaited(std::string& page, const std::vector<AwaitedStatus>& awaited) {
  if (awaited.empty()) {
    return;
  }
  page +=
      "<h1>Asked for and not done yet</h1>\n<div class=\"scroll\"><table>\n<tr><th>issuer</th><th>what</th><th>certificate</th>"
      "<th>order</th><th>since</th></tr>\n";
  for (const AwaitedStatus& one : awaited) {
    page += "<tr><td>" + escaped(one.issuer) + "</td><td>" + escaped(one.what) + "</td><td>" + escaped(one.certificate) +
            "</td><td><code>" + escaped(one.order) + "</code></td><td>" + moment(one.since) + "</td></tr>\n";
  }
  page += "</table></div>\n";
}

}  // namespace

std::string render_html(const StatusReport& report) {
  std::string page(head);
  page.reserve(page.size() + report.certificates.size() * 1536);
  page += "<h1>Certificates</h1>\n<p>evercert " + escaped(report.version) + ", server " + escaped(report.server) + ", agent " +
          std::to_string(report.agent.pid) + " (" + escaped(report.agent.state) + ") since " + moment(report.agent.since) +
          ", page of " + to_rfc3339(report.generated_at) + "</p>\n";
  append_totals(page, report.certificates);
  page +=
      "<div class=\"scroll\"><table>\n<tr><th>name</th><th>names covered</th><th>served</th><th>until</th><th>key</th>"
      "<th>issuer</th><th>next</th><th>now</th><th>last problem</th></tr>\n";
  for (const CertificateStatus* certificate : in_order_of_need(report.certificates)) {
    append_row(page, *certificate, report.generated_at);
  }
  page += "</table></div>\n";
  append_orders(page, report.orders);
  append_accounts(page, report.accounts);
  append_unnamed(page, report.unnamed);
  append_awaited(page, report.awaited);
  page += "</body>\n</html>\n";
  return page;
}

// The first two lines name the agent; whoever sends the section replaces them when the agent is silent.

}  // namespace evercert
