#include "stream_link.h"

#include "handshake.h"

namespace evercert {

namespace {

class Link final : public StreamLink {
 public:
  bool fill(DirectiveTable& table, const DirectiveContext& context) const override { return fill_directives(table, context); }
  ServerBlock* create_server(ngx_pool_t* pool) const override { return pool_new<ServerBlock>(pool); }
  void inherit(ServerBlock& child, const ServerBlock& parent) const override { child.inherit(parent); }
  [[nodiscard]] bool is_active(const ServerBlock& block) const override { return block.active(); }
  Host* add_host(ngx_cycle_t* cycle, const ServerBlock& block, const ServerFacts& facts) const override {
    return cycle_of(cycle)->add_host(block, facts);
  }
  bool serve(SSL_CTX* context, Host& host, std::string_view own_context) const override {
    watch_names(context, *host.cycle, nullptr);
    return serve_from(context, host, own_context);
  }
};

const Link link;

}  // namespace

bool ServerBlock::active() const {
  if (mode == Mode::off) return false;
  return mode != Mode::unset || !certificates.empty();
}

void ServerBlock::inherit(const ServerBlock& parent) {
  if (mode == Mode::unset && parent.mode != Mode::unset) {
    // `evercert off` above is overruled by certificates that are asked for here.
    mode = parent.mode == Mode::off && !certificates.empty() ? Mode::on : parent.mode;
    place = parent.place;
    inherited = true;
  }
  for (const Setting& setting : parent.options.settings) {
    bool given = false;
    for (const Setting& own : options.settings) given = given || own.option == setting.option;
    if (!given) options.settings.push_back(setting);
  }
}

}  // namespace evercert

const evercert::StreamLink* evercert_stream_link() {
  return &evercert::link;
}
