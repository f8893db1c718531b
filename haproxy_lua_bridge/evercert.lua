-- All that evercert does the way HAProxy wants it done. Loaded by `lua-load /usr/share/evercert/evercert.lua [FILE]`, before the
-- first `bind ... crt`; FILE, or else the environment variable EVERCERT_CONFIG, names the evercert.json.
--
-- When what runs: this body as root, also under `haproxy -c`; register_init as root, in a real start only, in the master (up to
-- 3.0) or the worker (since 3.1); tasks, actions and services in the worker, in its chroot, without privileges.

local configuration = ... or os.getenv("EVERCERT_CONFIG") or "/etc/evercert/evercert.json"

-- Not by require(): a file evercert.lua in the working directory would be found first, and that is this one.
local function load_bridge()
  local own = (debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or ".") .. "/evercert.so"
  local file = io.open(own, "rb")
  if file then
    file:close()
  else
    local found, tried = package.searchpath("evercert", package.cpath)
    if not found then
      error("evercert.so is not found; write `lua-prepend-path /usr/lib/haproxy/?.so cpath` before lua-load:" .. tried, 0)
    end
    own = found
  end
  local open, why = package.loadlib(own, "luaopen_evercert")
  if not open then
    error(own .. " cannot be loaded: " .. why, 0)
  end
  return open()
end

local bridge = load_bridge()

-- The levels of the core, in its order.
local levels = { [0] = core.err, [1] = core.warning, [2] = core.notice, [3] = core.info, [4] = core.debug }

local function server_version()
  local known, information = pcall(core.get_info)
  local version = known and (information["Version"] or "") or ""
  return "HAProxy/" .. (version:match("^[%d.]+") or "unknown")
end

local directory
do
  local done, said = bridge.prepare(configuration, server_version())
  if not done then
    error("evercert: " .. said, 0)
  end
  directory = said
end

-- What is to be said about the configuration is said under `haproxy -c`, too, which runs nothing but this body.
while true do
  local kind, level, line = bridge.receive()
  if kind ~= "log" then
    break
  end
  core.log(levels[level] or core.info, line)
end

-- Where the proof and the answers of one renewal wait for whoever asked on the CLI.
local renewals = {}

-- HAProxy 3.4 dropped the documented name of the field, 2.6 knows both.
local fields = { "", "crt" }

local function swap_file(name, content)
  local path = directory .. "/" .. name
  local why
  for attempt = 1, 200 do
    local done
    done, why = pcall(CertCache.set, { filename = path, [fields[1]] = content })
    if done then
      return nil
    end
    why = tostring(why)
    if why:find("nsupported field", 1, true) and #fields > 1 then
      table.remove(fields, 1)
    elseif why:find("under lock", 1, true) then
      core.msleep(10) -- somebody changes a certificate by the stats socket
    else
      break
    end
  end
  return why
end

-- Each exchange holds up the thread for a moment. With a pause of some times that moment most handshakes meet none of a
-- thousand, and hardly one meets two.
local rest_factor, shortest_rest, longest_rest = 4, 4, 20

local function swap(name, generation, files)
  local why
  for _, file in ipairs(files) do
    why = why or swap_file(file.name, file.content)
  end
  local took = bridge.report(name, generation, why) -- core.now() stands still within one turn of HAProxy's loop
  core.msleep(math.floor(math.min(longest_rest, math.max(shortest_rest, took * rest_factor))))
end

local owner = false

local function start()
  local started, why = bridge.start()
  owner = started ~= nil
  if started == false then
    -- Traffic first: what the store holds is served, and HAProxy starts.
    core.log(core.err, "evercert: no certificate is ordered or renewed: " .. why)
  end
end

-- One writer: HAProxy keeps one transaction for all that change certificates. A task cannot wait for a descriptor of ours, so
-- it looks (half a microsecond): often while the agent is at work, which it always tells of before it sends a certificate, and
-- seldom when nothing came for a second.
local busy_rest, idle_rest, busy_looks = 10, 50, 100

-- A thousand lines at once would hold up the thread as long as some swaps.
local lines_between_rests = 8

local function work()
  if not owner then
    return
  end
  bridge.begin()
  local empty, lines = 0, 0
  while true do
    local kind, first, second, third = bridge.receive()
    empty = kind and 0 or empty + 1
    if kind == "log" then
      core.log(levels[first] or core.info, second)
      lines = lines + 1
      if lines % lines_between_rests == 0 then
        core.msleep(shortest_rest)
      end
    elseif kind == "certificate" then
      swap(first, second, third)
    elseif kind == "renewal" then
      renewals[first] = second
    else
      core.msleep(empty < busy_looks and busy_rest or idle_rest)
    end
  end
end

core.register_init(start)
core.register_task(work)

-- HTTP-01 (RFC 8555 section 8.3), and the files that commercial CAs ask for.
local well_known = "/.well-known/"

local function answer_to(host, path)
  if path and path:sub(1, #well_known) == well_known then
    return bridge.answer(host or "", path)
  end
end

-- `http-request lua.evercert`: answers open challenges and lets everything else through, so that another ACME client's answers
-- may lie behind the same frontend.
core.register_action("evercert", { "http-req" }, function(txn)
  local method = txn.sf:method()
  if method ~= "GET" and method ~= "HEAD" then
    return
  end
  local answer = answer_to(txn.sf:req_hdr("host"), txn.sf:path())
  if not answer then
    return
  end
  local reply = txn:reply({ status = 200, reason = "OK" })
  reply:add_header("content-type", "application/octet-stream")
  reply:add_header("cache-control", "no-store")
  if method == "GET" then
    reply:set_body(answer)
  end
  txn:done(reply)
end)

-- `size`: of a page that is sent afterwards.
local function send(applet, status, type, body, size)
  applet:set_status(status)
  applet:add_header("content-type", type)
  applet:add_header("content-length", tostring(size or #body))
  local headers = size and { bridge.status_headers() } or { "cache-control", "no-store" }
  for at = 1, #headers, 2 do
    applet:add_header(headers[at], headers[at + 1])
  end
  applet:start_response()
  if applet.method ~= "HEAD" and not size then
    applet:send(body)
  end
end

-- `http-request use-service lua.evercert_challenge`: the same for frontends that serve nothing else.
core.register_service("evercert_challenge", "http", function(applet)
  local hosts = applet.headers["host"]
  local answer = answer_to(hosts and hosts[0], applet.path)
  if answer then
    send(applet, 200, "application/octet-stream", answer)
  else
    send(applet, 404, "text/plain", "no such challenge is open\n")
  end
end)

-- A page is closed when it has been read, or else when nobody knows it any more: a client may go away in the middle.
local open_page = { __gc = function(page) bridge.close_status(page.number) end }

local function open_status(rest)
  local number, type, size = bridge.open_status(rest)
  if number == false then
    collectgarbage()
    number, type, size = bridge.open_status(rest)
  end
  if number == false then
    core.log(core.err, "evercert: " .. type)
  end
  if not number then
    return number, type
  end
  return setmetatable({ number = number, type = type, size = size }, open_page)
end

-- In portions, so that neither a large page nor a slow reader keeps this thread or its memory.
local function send_status(applet, page, filter)
  local sent = 0
  while sent < page.size do
    local bytes, why = bridge.read_status(page.number, sent)
    if not bytes then
      error(why, 0)
    end
    sent = sent + #bytes
    if sent >= page.size then
      bridge.close_status(page.number)
    end
    bytes = filter and filter(bytes) or bytes
    if bytes ~= "" then
      applet:send(bytes)
    end
  end
end

-- Whoever may write the page must not steer the terminal of whoever reads it. In whole lines, as a letter may be several bytes.
local function for_terminals()
  local longest = 65536
  local rest = ""
  return function(bytes)
    rest = rest .. bytes
    local after = rest:match("^.*\n()") or (#rest > longest or bytes == "") and #rest + 1 or 1
    local lines = rest:sub(1, after - 1)
    rest = rest:sub(after)
    return bridge.printable(lines)
  end
end

-- `http-request use-service lua.evercert_status if { path_beg /evercert }`: HTML, and /json, /metrics, /text below.
core.register_service("evercert_status", "http", function(applet)
  local page, why = open_status(applet.path:match("^/[^/]*(.*)$") or "")
  if page == nil then
    send(applet, 404, "text/plain", "there is no such page\n")
  elseif page == false then
    send(applet, 500, "text/plain", why .. "\n")
  else
    send(applet, 200, page.type, "", page.size)
    if applet.method == "HEAD" then
      bridge.close_status(page.number)
    else
      send_status(applet, page)
    end
  end
end)

core.register_cli({ "evercert", "status" }, "evercert status             : show the certificates that evercert renews", function(applet)
  local page, why = open_status("/text")
  if page then
    local filter = for_terminals()
    send_status(applet, page, filter)
    applet:send(filter("") .. "\n")
  else
    applet:send((why or "there is no status") .. "\n")
  end
end)

core.register_cli({ "evercert", "renew" }, "evercert renew <name>       : renew a certificate now if it is due or failed", function(applet, _, _, name)
  if not name or name == "" then
    return applet:send("Write the name of a certificate behind it; `evercert status` lists them.\n")
  end
  renewals[name] = nil
  if not bridge.renew(name) then
    return applet:send("The agent does not run.\n")
  end
  for _ = 1, 500 do
    local said = renewals[name]
    if said then
      renewals[name] = nil
      return applet:send(name .. ": " .. said .. "\n")
    end
    core.msleep(10)
  end
  applet:send(name .. ": the agent has not answered within five seconds\n")
end)
