#include "agent/observe/status_report.h"
#include "serving/base/json.h"

namespace evercert {
namespace {

// Members stay in the order in which a person wants to read them.
using OrderedJson = nlohmann::ordered_json;

std::string text_of(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

OrderedJson time_or_null(const std::optional<Time>& time) {
  return time ? OrderedJson(to_rfc3339(*time)) : OrderedJson();
}

OrderedJson certificate_json(const CertificateStatus& certificate) {
  OrderedJson object{
      {"name", certificate.name},
      {"identifiers", certificate.identifiers},
      {"issuer", certificate.issuer},
      {"state", to_string(certificate.state)},
      {"generation", certificate.generation},
      {"serial", certificate.serial},
      {"not_before", time_or_null(certificate.not_before)},
      {"not_after", time_or_null(certificate.not_after)},
      {"key", certificate.keys},
      {"served", nullptr},
      {"next", nullptr},
      {"now", certificate.now.empty() ? OrderedJson() : OrderedJson(certificate.now)},
      {"problem", nullptr},
  };
  if (const auto& served = certificate.served) {
    object["served"] =
        OrderedJson{{"generation", served->generation}, {"since", to_rfc3339(served->since)}, {"listener", served->listener}};
  }
  if (const auto& next = certificate.next) {
    object["next"] = OrderedJson{{"at", to_rfc3339(next->at)}, {"why", next->why}};
  }
  if (const auto& problem = certificate.problem) {
    object["problem"] = OrderedJson{{"kind", problem->kind},
                                    {"message", problem->message},
                                    {"since", to_rfc3339(problem->since)},
                                    {"remedy", problem->remedy}};
  }
  return object;
}

OrderedJson order_json(const OrderStatusLine& order) {
  return OrderedJson{{"certificate", order.certificate}, {"key", order.key},
                     {"issuer", order.issuer},           {"state", order.state},
                     {"reference", order.reference},     {"since", to_rfc3339(order.since)}};
}

// One element a line: thousands of certificates stay readable, and only one is in memory as a tree.
template <typename Element, typename Form>
void append_array(std::string& text, const std::vector<Element>& elements, Form form) {
  text += '[';
  const char* separator = "\n";
  for (const Element& element : elements) {
    text += separator;
    text += text_of(form(element));
    separator = ",\n";
  }
  text += elements.empty() ? "]" : "\n]";
}

}  // namespace

std::string render_json(const StatusReport& report) {
  const OrderedJson agent{{"state", report.agent.state},
                          {"pid", report.agent.pid},
                          {"since", to_rfc3339(report.agent.since)},
                          {"followers", report.agent.followers}};
  std::string text = "{\"format\":1,\n\"server\":" + text_of(report.server) + ",\n\"version\":" + text_of(report.version) +
                     ",\n\"generated_at\":\"" + to_rfc3339(report.generated_at) + "\",\n\"last_run\":\"" +
                     to_rfc3339(report.last_run) + "\",\n\"agent\":" + text_of(agent) + ",\n\"certificates\":";
  append_array(text, report.certificates, certificate_json);
  text += ",\n\"orders\":";
  append_array(text, report.orders, order_json);
  text += "}\n";
  return text;
}

}  // namespace evercert
