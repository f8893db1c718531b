// The bridge as Lua calls it. Lua reports errors by longjmp, which runs no destructor: a function here reads its arguments
// before it makes any object, and its results are pushed inside a protected call, so that an error is only raised once no
// object of ours is left on the stack.
extern "C" {
#include <lauxlib.h>
#include <lua.h>
}

#include <cmath>
#include <cstring>
#include <utility>

#include "bridge.h"
#include "evercert/text.h"

namespace evercert {

namespace {

struct Value {
  enum class Kind { nil, flag, number, text, files } kind = Kind::nil;
  bool flag = false;
  lua_Integer number = 0;
  std::string text;
  std::vector<PemFile> files;
};

Value nil() {
  return {};
}
Value value(bool flag) {
  Value made;
  made.kind = Value::Kind::flag;
  made.flag = flag;
  return made;
}
Value value(lua_Integer number) {
  Value made;
  made.kind = Value::Kind::number;
  made.number = number;
  return made;
}
Value value(std::string text) {
  Value made;
  made.kind = Value::Kind::text;
  made.text = std::move(text);
  return made;
}
Value value(std::vector<PemFile> files) {
  Value made;
  made.kind = Value::Kind::files;
  made.files = std::move(files);
  return made;
}

using Values = std::vector<Value>;

// Moved, never copied: there are keys among them.
template <typename... Each>
Values values_of(Each&&... each) {
  Values all;
  all.reserve(sizeof...(each));
  (all.push_back(std::forward<Each>(each)), ...);
  return all;
}

void push_files(lua_State* lua, const std::vector<PemFile>& files) {
  lua_createtable(lua, static_cast<int>(files.size()), 0);
  lua_Integer index = 0;
  for (const PemFile& file : files) {
    lua_createtable(lua, 0, 2);
    lua_pushlstring(lua, file.name.data(), file.name.size());
    lua_setfield(lua, -2, "name");
    const std::string_view text = file.content.text();
    lua_pushlstring(lua, text.data(), text.size());
    lua_setfield(lua, -2, "content");
    lua_rawseti(lua, -2, ++index);
  }
}

// Its frame holds no object that needs destruction.
int push_values(lua_State* lua) {
  const auto& values = *static_cast<const Values*>(lua_touserdata(lua, 1));
  for (const Value& one : values) {
    switch (one.kind) {
      case Value::Kind::nil:
        lua_pushnil(lua);
        break;
      case Value::Kind::flag:
        lua_pushboolean(lua, one.flag ? 1 : 0);
        break;
      case Value::Kind::number:
        lua_pushinteger(lua, one.number);
        break;
      case Value::Kind::text:
        lua_pushlstring(lua, one.text.data(), one.text.size());
        break;
      case Value::Kind::files:
        push_files(lua, one.files);
        break;
    }
  }
  return static_cast<int>(values.size());
}

// Runs the action and leaves what it returns on Lua's stack, or an error message. True: an error.
template <typename Action>
bool fill_stack(lua_State* lua, Action&& action) noexcept {
  const auto tell = [](const std::string& why) {
    Bridge::instance().log().write(LogLevel::error, "a function failed: " + why);
  };
  const auto values = at_boundary<std::unique_ptr<Values>>(
      nullptr, [&] { return std::make_unique<Values>(std::forward<Action>(action)(Bridge::instance())); }, tell);
  if (!values) return false;
  lua_pushcclosure(lua, push_values, 0);
  lua_pushlightuserdata(lua, values.get());
  return lua_pcallk(lua, 1, LUA_MULTRET, 0, 0, nullptr) != LUA_OK;
}

template <typename Action>
int answer_with(lua_State* lua, Action&& action) {
  const int before = lua_gettop(lua);
  if (fill_stack(lua, std::forward<Action>(action))) return lua_error(lua);
  return lua_gettop(lua) - before;
}

std::string_view argument(lua_State* lua, int index) {
  std::size_t size = 0;
  const char* const text = luaL_checklstring(lua, index, &size);
  return {text, size};
}

// true, or false and why not
Values outcome(const Result<Done>& result) {
  if (result) return values_of(value(true));
  return values_of(value(false), value(result.error().message));
}

int prepare(lua_State* lua) {
  const std::string_view configuration = argument(lua, 1);
  const std::string_view server = argument(lua, 2);
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    if (const auto done = bridge.prepare(std::string(configuration), std::string(server)); !done) return outcome(done);
    return values_of(value(true), value(bridge.pem_path()));
  });
}

// true: this Lua state owns the agent; nil: another one does; false and why: there will be none
int start(lua_State* lua) {
  return answer_with(lua, [](Bridge& bridge) -> Values {
    const auto started = bridge.start();
    if (!started) return values_of(value(false), value(started.error().message));
    return values_of(*started ? value(true) : nil());
  });
}

int begin(lua_State* lua) {
  return answer_with(lua, [](Bridge& bridge) -> Values {
    bridge.begin();
    return {};
  });
}

// Lines for the log first: "log", level, text. Then "certificate", name, generation, files; "renewal", name, sentence; nil.
int receive(lua_State* lua) {
  return answer_with(lua, [](Bridge& bridge) -> Values {
    std::optional<LinkMessage> message;
    auto line = bridge.log().next();
    if (!line) {
      message = bridge.receive();
      if (!message) line = bridge.log().next();
    }
    if (line)
      return values_of(value(std::string("log")), value(static_cast<lua_Integer>(line->level)), value(std::move(line->text)));
    if (!message) return values_of(nil());
    if (message->generation == 0)
      return values_of(value(std::string("renewal")), value(std::move(message->certificate)), value(std::move(message->said)));
    return values_of(value(std::string("certificate")), value(std::move(message->certificate)),
                     value(static_cast<lua_Integer>(message->generation)), value(std::move(message->files)));
  });
}

// What became of a certificate: name, generation, and why not if it was refused. The milliseconds since it was received.
int report(lua_State* lua) {
  const std::string_view name = argument(lua, 1);
  const lua_Integer generation = luaL_checkinteger(lua, 2);
  const bool refused = lua_type(lua, 3) == LUA_TSTRING;
  const std::string_view why = refused ? argument(lua, 3) : std::string_view();
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    const auto number = static_cast<std::uint64_t>(generation);
    const double took = refused ? bridge.refused(std::string(name), number, why) : bridge.swapped(std::string(name), number);
    return values_of(value(static_cast<lua_Integer>(std::ceil(took))));
  });
}

int renew(lua_State* lua) {
  const std::string_view name = argument(lua, 1);
  return answer_with(lua, [&](Bridge& bridge) -> Values { return values_of(value(bridge.ask_renewal(std::string(name)))); });
}

int answer(lua_State* lua) {
  const std::string_view host = argument(lua, 1);
  const std::string_view path = argument(lua, 2);
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    auto found = bridge.answer(host, path);
    return values_of(found ? value(std::move(*found)) : nil());
  });
}

// Number, content type and size; nil: there is no such page; false and why.
int open_status(lua_State* lua) {
  const std::string_view rest = argument(lua, 1);
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    const auto page = bridge.open_status(rest);
    if (!page) return values_of(value(false), value(page.error().message));
    if (!*page) return values_of(nil());
    return values_of(value(static_cast<lua_Integer>((*page)->number)), value(std::string((*page)->type)),
                     value(static_cast<lua_Integer>((*page)->size)));
  });
}

// The next bytes of a page: its number, how many were read before. False and why.
int read_status(lua_State* lua) {
  const lua_Integer number = luaL_checkinteger(lua, 1);
  const lua_Integer sent = luaL_checkinteger(lua, 2);
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    auto bytes = bridge.read_status(number, static_cast<std::uint64_t>(sent));
    if (!bytes) return values_of(value(false), value(bytes.error().message));
    return values_of(value(std::move(*bytes)));
  });
}

// Names and values of what goes with every page.
int status_page_headers(lua_State* lua) {
  return answer_with(lua, [](Bridge&) -> Values {
    Values values;
    for (const StatusHeader& header : status_headers) {
      values.push_back(value(std::string(header.name)));
      values.push_back(value(std::string(header.value)));
    }
    return values;
  });
}

// Whole lines of a page, for a terminal.
int printable_lines(lua_State* lua) {
  const std::string_view text = argument(lua, 1);
  return answer_with(lua, [&](Bridge&) -> Values {
    std::string lines;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      lines += printable(text.substr(begin, end - begin), std::string::npos) + (end < text.size() ? "\n" : "");
      begin = end + 1;
    }
    return values_of(value(std::move(lines)));
  });
}

int close_status(lua_State* lua) {
  const lua_Integer number = luaL_checkinteger(lua, 1);
  return answer_with(lua, [&](Bridge& bridge) -> Values {
    bridge.close_status(number);
    return {};
  });
}

constexpr luaL_Reg functions[] = {{"prepare", prepare},
                                  {"start", start},
                                  {"begin", begin},
                                  {"receive", receive},
                                  {"report", report},
                                  {"renew", renew},
                                  {"answer", answer},
                                  {"open_status", open_status},
                                  {"read_status", read_status},
                                  {"close_status", close_status},
                                  {"status_headers", status_page_headers},
                                  {"printable", printable_lines}};

}  // namespace

}  // namespace evercert

#pragma GCC visibility push(default)
extern "C" int luaopen_evercert(lua_State* lua) {
  // Lua's own check compares with the headers of the build; what is used here is the same in both versions.
  lua_getglobal(lua, "_VERSION");
  const char* const version = lua_tolstring(lua, -1, nullptr);
  if (version == nullptr || (std::strcmp(version, "Lua 5.3") != 0 && std::strcmp(version, "Lua 5.4") != 0))
    return luaL_error(lua, "evercert.so needs Lua 5.3 or 5.4, this HAProxy has %s", version == nullptr ? "another" : version);
  lua_createtable(lua, 0, static_cast<int>(std::size(evercert::functions)));
  for (const luaL_Reg& function : evercert::functions) {
    lua_pushcclosure(lua, function.func, 0);
    lua_setfield(lua, -2, function.name);
  }
  return 1;
}
#pragma GCC visibility pop
