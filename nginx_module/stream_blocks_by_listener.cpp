#include "stream_blocks.h"

namespace evercert {

static_assert(nginx_version < 1025005, "newer nginx chooses stream server blocks by name: build stream_blocks_by_name.cpp");

HostFacts stream_facts(const ngx_stream_core_main_conf_t& main, const ngx_stream_core_srv_conf_t& server) {
  HostFacts facts;
  facts.place = {reinterpret_cast<const char*>(server.file_name), static_cast<unsigned>(server.line)};
  const auto* const listens = static_cast<const ngx_stream_listen_t*>(main.listen.elts);
  for (std::size_t i = 0; i < main.listen.nelts; ++i) {
    if (listens[i].ctx != server.ctx || listens[i].ssl == 0) continue;
    facts.listeners.push_back({std::string(text(listens[i].addr_text))});
    if (listens[i].proxy_protocol != 0) facts.listeners.back().emplace_back("proxy_protocol");
  }
  return facts;
}

const bool stream_blocks_have_names = false;
const ContextChoice stream_choice = nullptr;

}  // namespace evercert
