"""HAProxy: what a thousand swaps do to the handshakes of others. Beside ours two naive ways, each with the quiet machine around it.

What is swapped was made beforehand, so no order and no CA takes part in the figure; opening, proving and delivering does."""
import glob
import os
import signal
import subprocess
import sys
import time

from harness import lineages, ports, processes, tls
from harness.evercert import Evercert
from harness.haproxy import Haproxy, certificate
from harness.waiting import wait_for
from report import median

SWAPS, ROUNDS = 1000, 3
# Quiet time before each way; as much follows after it as makes both periods equally long.
QUIET = 6.0

# A process of its own: full handshakes without pause on two threads, begin and length of each.
CLIENT = """
import signal, socket, ssl, sys, threading, time
context, seen, stop = ssl._create_unverified_context(), [], threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
def run():
    while not stop.is_set():
        begin = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as plain, context.wrap_socket(plain, server_hostname=sys.argv[2]):
                seen.append((begin, time.monotonic() - begin))
        except OSError:
            seen.append((begin, -1.0))
threads = [threading.Thread(target=run) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for one in seen: print("%.6f %.6f" % one)
"""

# All files, one after the other without a pause: what a first version of such a bridge does.
BACK_TO_BACK = """
local files = {}
for path in io.popen("ls '%s'"):lines() do
  local file = io.open("%s/" .. path)
  files["%s/" .. path] = file:read("a")
  file:close()
end
core.register_cli({ "swap", "all" }, "swap all", function(applet)
  local why
  for path, content in pairs(files) do
    local done, said = pcall(CertCache.set, { filename = path, crt = content })
    why = why or not done and said
  end
  applet:send(why and tostring(why) or "done")
end)
"""


class Handshakes:
    def __init__(self, name):
        self.process = subprocess.Popen([sys.executable, "-c", CLIENT, str(ports.TLS), name], stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.terminate()
        said, _ = self.process.communicate(timeout=20)
        return [tuple(map(float, line.split())) for line in said.splitlines()]


class Way:
    """Handshakes of the quiet machine and of the time while `swap` runs; both periods have the same length."""

    def __init__(self, name, swap):
        load = Handshakes(name)
        time.sleep(QUIET)
        begin = time.monotonic()
        swap()
        end = time.monotonic()
        self.seconds = end - begin
        time.sleep(max(self.seconds - QUIET, 0))
        seen = load.stop()
        during = [length for start, length in seen if begin <= start + max(length, 0) and start <= end]
        quiet = [length for start, length in seen if start + max(length, 0) < begin or start > end]
        self.failed, self.count = sum(length < 0 for length in during), len(during)
        self.longest, self.baseline = 1000 * max(during), 1000 * max(quiet)


def agent_stopped(site):
    (keeper,) = site.keepers()
    os.kill(keeper, signal.SIGSTOP)
    agent = site.agent()
    processes.kill(agent)
    wait_for(lambda: not processes.alive(agent), "the agent to end")
    return keeper


def ours(stack, site, names, place):
    some = [*names[::50], names[-1]]
    before = {name: tls.leaf_at(ports.TLS, name).serial for name in some}
    keeper = agent_stopped(site)
    done = Evercert(stack.install, site.state).run("import", "certbot", place, timeout=300)
    assert done.returncode == 0 and done.stdout.count("adopted") == len(names), done.stdout[-500:] + done.stderr[-500:]
    assert all(tls.leaf_at(ports.TLS, name).serial == before[name] for name in some), "an agent works although it was stopped"

    def swap():
        os.kill(keeper, signal.SIGCONT)
        wait_for(lambda: all(tls.leaf_at(ports.TLS, name).serial != before[name] for name in some), "all to be swapped", 200, 0.5)
    way = Way(names[0], swap)
    site.wait_agent()
    return way


def at_the_stats_socket(site, names):
    """set and commit, a connection for each, as acme.sh's hook does it with socat."""
    def swap():
        for path in sorted(glob.glob(os.path.join(site.pem_path, "*.pem"))):
            with open(path) as file:
                site.cli("set ssl cert %s <<\n%s\n" % (path, file.read().replace("\n\n", "\n")))
            said = site.cli("commit ssl cert " + path)
            assert "Success" in said, said
    return Way(names[0], swap)


def back_to_back(site, names):
    def swap():
        said = site.cli("swap all", timeout=200)
        assert "done" in said, said
    return Way(names[0], swap)


def told(ways):
    return "%s ms, quiet %s ms; %d handshakes, %d failed; %.1f s" % (
        " ".join("%.1f" % way.longest for way in ways), " ".join("%.1f" % way.baseline for way in ways),
        sum(way.count for way in ways), sum(way.failed for way in ways), median([way.seconds for way in ways]))


def measure(stack, report):
    names = ["s%d.test" % index for index in range(SWAPS)]
    # Only a certificate that ends later than the one before is adopted, and they are made within the same second.
    places = [lineages.write(stack.place(), stack.authority, names, days=(-1, 90 + index)) for index in range(ROUNDS)]
    stack.pebble.kill()
    site = Haproxy(stack.place(), stack.install, [certificate(name) for name in names], pebble=stack.pebble, threads=2)
    script = os.path.join(site.folder, "naive.lua")
    with open(script, "w") as file:
        file.write(BACK_TO_BACK % (site.pem_path, site.pem_path, site.pem_path))
    try:
        site.start()
        site.wait_agent()
        first = site.agent()
        site.stop()
        # It may outlive its server for a moment, and must not be taken for the next one.
        wait_for(lambda: not processes.alive(first), "the first agent to end")
        site.write(extra_global="stats timeout 5m\ntune.lua.session-timeout 5m\nlua-load " + script)  # the files are there now
        site.start()
        site.wait_agent()
        mine = [ours(stack, site, names, place) for place in places]
        report.figure("HAProxy: longest handshake while 1,000 are swapped, of %d" % ROUNDS, median([way.longest for way in mine]), "ms", None,
                      median([way.baseline for way in mine]), "quiet", 2.0, digits=1)
        report.note("ours: " + told(mine))
        agent_stopped(site)
        for what, naive in (("set and commit at the stats socket", at_the_stats_socket), ("CertCache.set back to back", back_to_back)):
            way = naive(site, names)
            report.note("%s: %.2f x; %s" % (what, way.longest / way.baseline, told([way])))
    finally:
        site.close()
        stack.pebble.start()
