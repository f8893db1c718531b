#include "stream_link.h"

namespace evercert {

namespace {

class Link final : public StreamLink {
 public:
  bool fill(DirectiveTable& table, const DirectiveContext& context) const override { return fill_directives(table, context); }
  HostWish* create_server(ngx_pool_t* pool) const override { return pool_new<HostWish>(pool); }
  void inherit(HostWish& child, const HostWish& parent) const override { child.inherit(parent); }
  [[nodiscard]] bool is_active(const HostWish& block) const override { return block.active(); }
  NginxHost* add_host(ngx_cycle_t* cycle, const HostWish& block, const HostFacts& facts) const override {
    return cycle_of(cycle)->add_host(block, facts);
  }
  bool serve(SSL_CTX* context, NginxHost& host, std::string_view own_context) const override {
    return serve_from(context, host, own_context);
  }
  void watch(SSL_CTX* context, const NameWatch& watch) const override { watch_names(context, watch); }
};

const Link link;

}  // namespace

}  // namespace evercert

const evercert::StreamLink* evercert_stream_link() {
  return &evercert::link;
}
