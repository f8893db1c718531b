// What the stream module borrows from the http module's shared object, so that a process holds one copy of the core.
// Found by name at run time; both are built and installed together, the version only catches a half-done installation.
#pragma once

#include <string_view>

#include "configuration.h"
#include "directives.h"
#include "handshake.h"

namespace evercert {

class StreamLink {
 public:
  static constexpr const char* name = "evercert_stream_link";
  static constexpr unsigned expected_version = 2;
  const unsigned version = expected_version;

  virtual bool fill(DirectiveTable& table, const DirectiveContext& context) const = 0;
  virtual HostWish* create_server(ngx_pool_t* pool) const = 0;
  virtual void inherit(HostWish& child, const HostWish& parent) const = 0;
  [[nodiscard]] virtual bool is_active(const HostWish& block) const = 0;
  // Null after a complaint in the log.
  virtual NginxHost* add_host(ngx_cycle_t* cycle, const HostWish& block, const HostFacts& facts) const = 0;
  // As in handshake.h.
  virtual bool serve(SSL_CTX* context, NginxHost& host, std::string_view own_context) const = 0;
  virtual void watch(SSL_CTX* context, const NameWatch& watch) const = 0;

 protected:
  ~StreamLink() = default;
};

}  // namespace evercert

// What the name above finds.
extern "C" [[gnu::visibility("default")]] const evercert::StreamLink* evercert_stream_link();
