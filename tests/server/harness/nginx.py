"""A real nginx with a configuration of the test's own; everything it starts is found and ended by process id."""
import functools
import os
import re
import signal
import subprocess

from . import ports, processes, sanitizer
from .install import STREAM
from .server import Server
from .waiting import wait_for

PROGRAM = os.environ.get("NGINX_BIN", "/usr/sbin/nginx")
OK = 'location / { return 200 "ok\\n"; }'


@functools.lru_cache
def built():
    """What `nginx -V` says."""
    return subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, timeout=60, check=True).stderr


def version():
    """(1, 22, 1)"""
    return tuple(int(part) for part in re.search(r"nginx version: [^/]*/([0-9.]+)", built()).group(1).split("."))


def stream_module():
    """What has to be loaded before stream{} can be used; None where nginx has it built in."""
    return STREAM if "--with-stream=dynamic" in built() else None


def issuer(directory, trust, name="test", extra="", terms="accept_terms_of_service;"):
    return ("evercert_issuer %s { uri %s; contact ops@example.test; %s ssl_trusted_certificate %s; %s }\n"
            % (name, directory, terms, trust, extra))


def host(names, evercert="evercert on;", listen=None, http=True, inside=OK, static=None, flags=""):
    """A server block with TLS, and a plain listener for challenges unless `http` is off."""
    lines = []
    if http:
        lines.append("listen 127.0.0.1:%d;" % ports.HTTP)
    lines.append("listen 127.0.0.1:%d ssl%s;" % (listen or ports.TLS, " " + flags if flags else ""))
    lines.append("server_name %s;" % (names if isinstance(names, str) else " ".join(names)))
    if static:
        lines.append("ssl_certificate %s; ssl_certificate_key %s;" % static)
    return "  server { %s %s %s }\n" % (" ".join(lines), evercert, inside)


class Nginx(Server):
    def __init__(self, folder, install, http, pebble=None, directory=None, state=None, issuer_extra="", global_extra="", main="",
                 stream="", workers=2, user="www-data", terms="accept_terms_of_service;", modules=True, label="nginx",
                 processes_off=False, daemon=False, port=ports.TLS, status_port=ports.STATUS):
        self.begin(folder, install, state, port, label)
        self.pebble, self.user = pebble, user
        self.error_log = os.path.join(folder, label + ".log")
        self.configuration = os.path.join(folder, label + ".conf")
        self.pid_file = os.path.join(folder, label + ".pid")
        self.log_path = self.error_log
        self.workers, self.status_port = workers, status_port
        self.parts = dict(http=http, directory=directory or (pebble.uri if pebble else None), issuer_extra=issuer_extra,
                          global_extra=global_extra, main=main, stream=stream, terms=terms, modules=modules,
                          processes_off=processes_off, daemon=daemon)
        self.write()

    # --- configuration ---
    def write(self, **changes):
        """Writes the configuration file; named parts replace those of before."""
        self.parts.update(changes)
        part = self.parts
        lines = []
        if part["modules"]:
            lines.append("load_module %s;" % self.install.http_module)
        if part["stream"]:
            lines += ["load_module %s;" % module for module in (stream_module(), self.install.stream_module) if module]
        if os.geteuid() == 0 and self.user:
            lines.append("user %s;" % self.user)
        lines.append("worker_processes %d; daemon %s; pid %s;" % (self.workers, "on" if part["daemon"] else "off", self.pid_file))
        if part["processes_off"]:
            lines.append("master_process off;")
        lines.append("error_log %s info;" % self.error_log)
        lines.append(part["main"])
        lines.append("events { worker_connections 1024; }")
        lines.append("http {\n  access_log off; server_names_hash_max_size 32768; server_names_hash_bucket_size 128;")
        # nginx 1.22 does not offer TLS 1.3 by itself.
        lines.append("  ssl_protocols TLSv1.2 TLSv1.3;")
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            lines.append("  %s_temp_path %s;" % (kind, os.path.join(self.folder, self.label + ".temp." + kind)))
        if part["modules"]:
            lines.append("  evercert_state_path %s;" % self.state)
            lines.append("  evercert_program %s;" % self.install.program)
            lines.append("  evercert_http_port %d; evercert_tls_port %d;" % (ports.HTTP, ports.TLS))
            lines.append("  " + part["global_extra"])
            if part["directory"]:
                lines.append("  " + issuer(part["directory"], self.pebble.trust if self.pebble else "/etc/ssl/certs/ca-certificates.crt",
                                           extra=part["issuer_extra"], terms=part["terms"]))
            lines.append("  server { listen 127.0.0.1:%d; location /evercert { evercert_status; } }" % self.status_port)
        lines.append(part["http"])
        lines.append("}")
        if part["stream"]:
            lines.append("stream {\n  ssl_protocols TLSv1.2 TLSv1.3;\n%s\n}" % part["stream"])
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")

    def arguments(self):
        return [*sanitizer.prefix(self.install), PROGRAM, "-c", self.configuration, "-e", self.error_log]

    def test(self):
        """(exit code, what it said) of nginx -t."""
        done = subprocess.run([*self.arguments(), "-t"], capture_output=True, text=True, timeout=60, check=False, **self._identity())
        return done.returncode, done.stdout + done.stderr

    # --- life ---
    def start(self, wait=True, prefix=(), timeout=20.0):
        self.process = subprocess.Popen([*prefix, *self.arguments()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, **self._identity())
        if self.parts["daemon"]:
            self.process.wait(timeout)
            assert self.process.returncode == 0, "nginx did not start:\n" + self.log() + self.process.stderr.read().decode()
            self.process.stderr.close()
            self.process = processes.Adopted(wait_for(self._pid_in_file, "the pid file", seen=self.log))
        if wait:
            wait_for(lambda: self.process.poll() is not None or self._listens(), "nginx to listen", timeout, seen=self.log)
            assert self.process.poll() is None, "nginx did not start:\n" + self.log() + self.process.stderr.read().decode()
            if not self.parts["processes_off"] and not prefix:
                self.wait_workers()
        return self

    def _pid_in_file(self):
        try:
            with open(self.pid_file) as file:
                return int(file.read() or 0)
        except FileNotFoundError:
            return 0

    def worker_pids(self):
        """Those that take connections; an old worker that drains after a reload says so in its title."""
        return sorted(pid for pid in self.by_title(r"nginx: worker process$"))

    def wait_workers(self, other_than=()):
        return wait_for(lambda: (lambda now: now if len(now) == self.workers and not set(now) & set(other_than) else None)
                        (self.worker_pids()), "%d workers" % self.workers, seen=self.tree)

    def manager(self):
        found = self.by_title(r"nginx: cache manager process$")
        return max(found) if found else None

    def reload(self):
        """Sends HUP and waits until new workers have replaced the old in taking connections."""
        before = self.worker_pids()
        os.kill(self.master, signal.SIGHUP)
        self.wait_workers(other_than=before)

    # --- what it says ---
    def complaints(self):
        """Lines that no healthy run has."""
        usual = re.compile(r"signal 9|unknown process|SSL_do_handshake|client closed|peer closed|SSL_read|recv\(\) failed")
        return [line for line in self.log().splitlines() if re.search(r"\[(alert|crit|emerg)\]", line) and not usual.search(line)]
