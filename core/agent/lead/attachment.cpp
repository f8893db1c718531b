#include "agent/lead/attachment.h"

#include "serving/base/encoding.h"
#include "serving/base/json.h"
#include "serving/store/seal.h"

namespace evercert {
namespace {
constexpr SealLabel attach_label{SealedKind::message, "attach"};
}

Result<std::string> seal_attachment(const AgentContext& context) {
  Json files = Json::object();
  for (const auto& [path, content] : context.files) files[path] = to_base64(content.view());
  const auto started = std::chrono::duration_cast<std::chrono::milliseconds>(context.started.time_since_epoch()).count();
  const Secret text = Secret::from_text(
      dump_json({{"instance", context.instance}, {"started", started}, {"settings", context.settings}, {"files", files}}));
  auto sealed = seal(context.keys.agent, attach_label, text.view());
  if (!sealed) return sealed.error();
  return to_base64(*sealed);
}

Result<Attachment> open_attachment(const AgentContext& context, const std::string& server, const std::string& sealed) {
  auto bytes = from_base64(sealed);
  if (!bytes) return bytes.error();
  const auto opened = unseal(context.keys.agent, attach_label, *bytes);
  if (opened.fault) return seal_error(*opened.fault, "the plan of a server that wants to follow");
  auto json = parse_json(opened.content.text(), "the plan of a follower");
  if (!json) return json.error();
  std::map<std::string, Secret> files;
  Settings settings;
  Attachment attachment;
  try {
    attachment.instance = json->at("instance").get<std::string>();
    attachment.started = Time(std::chrono::milliseconds(json->value("started", std::int64_t{0})));
    for (const auto& [path, content] : json->at("files").items()) {
      auto decoded = from_base64(content.get<std::string>());
      if (!decoded) return decoded.error();
      files.emplace(path, Secret(std::move(decoded).value()));
    }
    if (auto read = read_settings_text(settings, json->at("settings").get<std::string>(), server); !read) return read.error();
  } catch (const Json::exception& misfit) {
    return Error{ErrorKind::internal, std::string("the plan of a follower cannot be read: ") + misfit.what()};
  }
  CarriedFiles carried(std::move(files));
  auto checked = check(settings, carried, false);
  if (!checked.plan) {
    const std::string why = checked.complaints.empty() ? "" : ": " + checked.complaints.front().message;
    return Error{ErrorKind::configuration, "the plan of the server " + server + " is refused" + why};
  }
  attachment.source = {attachment.instance, server, std::make_shared<const Plan>(std::move(*checked.plan)), false};
  return attachment;
}

}  // namespace evercert
