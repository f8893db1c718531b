"""A real HAProxy with a configuration of the test's own; everything it starts is found and ended by process id.

What HAProxy leaves to orphans (the agent and its keeper are nobody's children) is adopted by the test process."""
import functools
import json
import os
import re
import signal
import socket
import subprocess

from . import ports, processes, sanitizer
from .install import PROJECT
from .server import Server
from .waiting import wait_for

PROGRAM = os.environ.get("HAPROXY_BIN", "/usr/sbin/haproxy")
# The master forks its worker after the Lua start-up in 2.6 and 3.0, before it in 3.2, which also has ACME of its own.
SUITES = {"2.6": None, "3.0": "trixie", "3.2": "forky", "3.4": "experimental"}
CHALLENGES = "http-request lua.evercert if { path_beg /.well-known/acme-challenge/ }"


def certificate(names, **more):
    names = [names] if isinstance(names, str) else list(names)
    return {"identifiers": names, **more}


@functools.lru_cache
def program_of(version):
    """The program of a version, unpacked on first use; None where it cannot be had."""
    if SUITES[version] is None:
        return PROGRAM
    done = subprocess.run([os.path.join(PROJECT, "tests", "newer-haproxy"), SUITES[version]], capture_output=True, text=True, timeout=300,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else None


class Haproxy(Server):
    def __init__(self, folder, install, certificates, pebble=None, directory=None, state=None, mode=("-W",), threads=None, user="haproxy",
                 chroot=True, label="haproxy", port=ports.TLS, settings=None, issuer=None, extra_global="", web="", binds="",
                 frontends="", challenges=CHALLENGES, crt=None, except_for="", lua_per_thread=False, program=PROGRAM, bridge=True,
                 http=ports.HTTP, status=ports.STATUS):
        self.begin(folder, install, state, port, label)
        self.pebble, self.mode, self.user, self.program = pebble, tuple(mode), user, program
        self.configuration = os.path.join(folder, label + ".cfg")
        self.settings_path = os.path.join(folder, label + ".json")
        self.log_path = os.path.join(folder, label + ".log")
        self.pid_file = os.path.join(folder, label + ".pid")
        self.pem_path = os.path.join(folder, label + "-pem")
        self.jail = os.path.join(folder, "jail")
        # Short: a socket's path has little room.
        self.stats_socket = os.path.join(folder, label + ".sock")
        self.master_socket = os.path.join(folder, label + "-master.sock")
        os.makedirs(self.jail, exist_ok=True)
        if sanitizer.active():
            sanitizer.prepare(self.jail + sanitizer.report_folder(install))
        self.parts = dict(certificates=certificates, directory=directory or (pebble.uri if pebble else None), threads=threads, chroot=chroot,
                          settings=settings or {}, issuer=issuer or {}, extra_global=extra_global, web=web, binds=binds,
                          frontends=frontends, challenges=challenges, crt=crt, except_for=except_for, lua_per_thread=lua_per_thread, bridge=bridge,
                          http=http, status=status)
        self.write()

    # --- configuration ---
    def write(self, **changes):
        """Writes both files; named parts replace those of before."""
        self.parts.update(changes)
        part = self.parts
        document = {"state_path": self.state, "program": self.install.program, "pem_path": self.pem_path,
                    "http_port": ports.HTTP, "tls_port": self.port,
                    "issuers": {"test": {"uri": part["directory"], "contact": ["ops@example.test"], "accept_terms_of_service": True,
                                         "ssl_trusted_certificate": self.pebble.trust if self.pebble else "/etc/ssl/certs/ca-certificates.crt",
                                         **part["issuer"]}},
                    "certificates": part["certificates"], **part["settings"]}
        with open(self.settings_path, "w") as file:
            json.dump(document, file, indent=1)
        lines = ["global"]
        if part["threads"]:
            lines.append("nbthread %d" % part["threads"])
        if os.geteuid() == 0 and self.user:
            lines.append("user %s\ngroup %s" % (self.user, self.user))
            if part["chroot"]:
                lines.append("chroot %s" % self.jail)
        lines.append("stats socket %s mode 600 level admin" % self.stats_socket)
        lines.append("log stderr format raw daemon")
        lines.append("hard-stop-after 20s")
        lines.append(part["extra_global"])
        if part["bridge"]:
            lines.append("setenv EVERCERT_CONFIG %s" % self.settings_path)
            lines.append("lua-prepend-path %s/?.so cpath" % self.install.folder)
            lines.append("%s %s" % ("lua-load-per-thread" if part["lua_per_thread"] else "lua-load", self.install.lua))
        lines += ["defaults", "mode http", "timeout client 30m", "timeout server 60s", "timeout connect 5s"]
        lines += ["frontend web", "bind 127.0.0.1:%d" % part["http"],
                  "bind 127.0.0.1:%d ssl crt %s%s" % (self.port, part["crt"] or self.pem_path + "/", " alpn h2,http/1.1"),
                  part["binds"], part["challenges"], part["web"],
                  'http-request return status 200 content-type text/plain string "ok\\n"' + part["except_for"]]
        if part["bridge"]:
            lines += ["frontend status", "bind 127.0.0.1:%d" % part["status"],
                      "http-request use-service lua.evercert_status if { path_beg /evercert }"]
        lines.append(part["frontends"])
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")

    def arguments(self):
        words = [*sanitizer.prefix(self.install), self.program, *self.mode, "-f", self.configuration, "-p", self.pid_file]
        if self._has_master():
            words += ["-S", self.master_socket + ",mode,600,level,admin"]
        return words

    def test(self):
        """(exit code, what it said) of haproxy -c."""
        done = subprocess.run([*sanitizer.prefix(self.install), self.program, "-c", "-f", self.configuration], capture_output=True, text=True, timeout=60, check=False,
                              **self._identity())
        return done.returncode, done.stdout + done.stderr

    # --- life ---
    def start(self, wait=True, prefix=(), extra=(), timeout=20.0, environment=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*prefix, *self.arguments(), *extra], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, **self._identity())
        if "-D" in self.mode:
            self.process.wait(timeout)
            assert self.process.returncode == 0, "haproxy did not start:\n" + self.log()
            self.process = processes.Adopted(wait_for(self._pid_in_file, "the pid file", seen=self.log))
        if wait:
            wait_for(lambda: self.process.poll() is not None or self._listens(), "haproxy to listen", timeout, seen=self.log)
            assert self.process.poll() is None, "haproxy did not start:\n" + self.log()
            self.wait_ready()
        return self

    def _has_master(self):
        return "-W" in self.mode or "-Ws" in self.mode

    def _pid_in_file(self):
        try:
            with open(self.pid_file) as file:
                return int((file.read().split() or [0])[0])
        except FileNotFoundError:
            return 0

    def remember(self):
        """Orphans are ours by adoption: those whose channel or state belongs to this server."""
        mine = set(super().remember())
        for pid in processes.descendants_of(os.getpid()):
            if pid not in mine and processes.title_of(pid).startswith("evercert ") and self._is_mine(pid):
                mine.add(pid)
        self.known.update(mine)
        return sorted(mine)

    def _is_mine(self, pid):
        try:
            # Where others may read the program, a copy in memory is executed.
            return os.readlink("/proc/%d/exe" % pid).startswith((self.install.program, "/memfd:evercert"))
        except OSError:
            return False

    def keepers(self):
        return self.by_title(r"^\S*evercert\S* keep\b")

    def worker_pids(self):
        """Of master and worker modes the workers; the process itself without them."""
        if not self._has_master():
            return [self.process.pid]
        return sorted(pid for pid in processes.children_of(self.process.pid) if processes.alive(pid) and "haproxy" in processes.title_of(pid))

    def cli(self, command, path=None, timeout=10):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(timeout)
            link.connect(path or self.stats_socket)
            link.sendall(command.encode() + b"\n")
            link.shutdown(socket.SHUT_WR)
            said = b""
            while True:
                part = link.recv(65536)
                if not part:
                    return said.decode(errors="replace")
                said += part

    def reload(self, wait=True):
        """USR2 to the master, and until a new worker takes connections and the old one only drains."""
        before = set(self.worker_pids())
        os.kill(self.master, signal.SIGUSR2)
        if wait:
            wait_for(lambda: set(self.worker_pids()) - before, "a new worker", seen=self.tree)
            self.wait_ready(other_than=before)
        return before

    def wait_ready(self, other_than=()):
        """Until a worker answers, and its master, which executes itself anew after each fork and misses signals meanwhile."""
        def ready():
            try:
                found = re.search(r"^Pid: (\d+)", self.cli("show info"), re.M)
                if not found or int(found.group(1)) in other_than:
                    return False
                return not self._has_master() or re.search(r"^%s\s+worker\b" % found.group(1), self.cli("show proc", self.master_socket), re.M)
            except OSError:
                return False
        wait_for(ready, "worker and master to answer", seen=self.tree)

    def complaints(self):
        """Lines that no healthy run has."""
        return [line for line in self.log().splitlines() if re.search(r"ALERT|\[emerg|Lua .*error|runtime error|SEGV|Aborted", line)]
