// nginx's spelling of the option table, for http and stream alike. Setters hand strings with their place to set() and judge
// nothing else: what is sensible is decided once, over everything, by NginxCycle::finish().
#pragma once

#include <array>
#include <cstddef>

#include "nginx_host.h"

namespace evercert {

// The directives of one nginx module; must be static, nginx keeps pointers into it. Zero: no directive yet.
struct DirectiveTable {
  static constexpr std::size_t capacity = 64;
  std::array<ngx_command_t, capacity> commands;
  std::array<std::array<u_char, 48>, capacity> names;
};

// Where nginx's http or stream accept a directive, and where they keep the server block's conf.
struct DirectiveContext {
  ngx_uint_t main;
  ngx_uint_t server;
  ngx_uint_t server_offset;
};

// Appends all directives that both server kinds have to what `table` holds. False: it is too small.
bool fill_directives(DirectiveTable& table, const DirectiveContext& context);

}  // namespace evercert
