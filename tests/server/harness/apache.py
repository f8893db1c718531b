"""A real httpd, Debian's, with a configuration of the test's own, under any of its three ways of processing."""
import os
import re
import signal
import subprocess

from . import ports, processes, sanitizer
from .server import Server
from .waiting import wait_for

PROGRAM = os.environ.get("APACHE_BIN", "/usr/sbin/apache2")
MODULES = "/usr/lib/apache2/modules"
MPMS = ("event", "worker", "prefork")
# Two children from the start and no others: what replaces a child is then the test's doing.
MPM_SETTINGS = {
    "event": "StartServers 2\nServerLimit 4\nThreadsPerChild 8\nMaxRequestWorkers 32\nMinSpareThreads 1\nMaxSpareThreads 32\n",
    "worker": "StartServers 2\nServerLimit 4\nThreadsPerChild 8\nMaxRequestWorkers 32\nMinSpareThreads 1\nMaxSpareThreads 32\n",
    "prefork": "StartServers 8\nServerLimit 24\nMaxRequestWorkers 24\nMinSpareServers 1\nMaxSpareServers 24\n",
}
CHILDREN = {"event": 2, "worker": 2, "prefork": 8}


def issuer(directory, trust, name="test", extra="", terms="EvercertAcceptTermsOfService on"):
    return ("<EvercertIssuer %s>\nEvercertUri %s\nEvercertContact ops@example.test\n%s\nEvercertSslTrustedCertificate %s\n%s\n</EvercertIssuer>\n"
            % (name, directory, terms, trust, extra))


def host(names, evercert="Evercert on", listen=None, http=True, inside="", static=None, plain="", address="127.0.0.1"):
    """A virtual host with TLS, and a plain one of the same names unless `http` is off."""
    names = [names] if isinstance(names, str) else names
    named = "ServerName %s\n%s" % (names[0], "ServerAlias %s\n" % " ".join(names[1:]) if names[1:] else "")
    lines = ""
    if http:
        lines += "<VirtualHost 127.0.0.1:%d>\n%s%s\n</VirtualHost>\n" % (ports.HTTP, named, plain)
    own = "SSLCertificateFile %s\nSSLCertificateKeyFile %s\n" % static if static else ""
    return lines + ("<VirtualHost %s:%d>\n%sSSLEngine on\n%s%s\n%s\n</VirtualHost>\n"
                    % (address, listen or ports.TLS, named, own, evercert, inside))


class Apache(Server):
    def __init__(self, folder, install, hosts, pebble=None, directory=None, state=None, issuer_extra="", global_extra="", main="",
                 mpm="event", modules=(), user="www-data", terms="EvercertAcceptTermsOfService on", label="apache",
                 port=ports.TLS, status_port=ports.STATUS, evercert=True):
        self.begin(folder, install, state, port, label)
        self.user, self.mpm, self.pebble = user, mpm, pebble
        self.log_path = self.error_log = os.path.join(folder, label + ".log")
        self.access_log = os.path.join(folder, label + ".access")
        self.configuration = os.path.join(folder, label + ".conf")
        self.pid_file = os.path.join(folder, label + ".pid")
        self.status_port = status_port
        self.parts = dict(hosts=hosts, directory=directory or (pebble.uri if pebble else None), issuer_extra=issuer_extra,
                          global_extra=global_extra, main=main, terms=terms, modules=tuple(modules), evercert=evercert)
        self.write()

    # --- configuration ---
    def write(self, **changes):
        """Writes the configuration file; named parts replace those of before."""
        self.parts.update(changes)
        part = self.parts
        web = os.path.join(self.folder, "web")
        os.makedirs(web, exist_ok=True)
        with open(os.path.join(web, "index.html"), "w") as file:
            file.write("ok\n")
        lines = ["ServerRoot %s" % self.folder, "PidFile %s" % self.pid_file, "DefaultRuntimeDir %s" % self.folder,
                 "Mutex file:%s" % self.folder, "ErrorLog %s" % self.error_log, "LogLevel info ssl:warn", "ServerName localhost"]
        for module in ("mpm_" + self.mpm, "authz_core", "dir", "mime", "socache_shmcb", "ssl", *part["modules"]):
            lines.append("LoadModule %s_module %s/mod_%s.so" % (module, MODULES, module))
        if part["evercert"]:
            lines.append("LoadModule evercert_module %s" % self.install.apache_module)
        if os.geteuid() == 0 and self.user:
            lines.append("User %s\nGroup %s" % (self.user, self.user))
        lines += [MPM_SETTINGS[self.mpm], "TypesConfig /etc/mime.types", "DirectoryIndex index.html", "DocumentRoot %s" % web,
                  "<Directory %s>\nRequire all granted\n</Directory>" % web,
                  "SSLSessionCache shmcb:%s/sessions(512000)" % self.folder, "SSLSessionTickets on",
                  "Listen 127.0.0.1:%d http" % ports.HTTP, "Listen 127.0.0.1:%d http" % self.status_port, part["main"]]
        if self.port not in (ports.HTTP,):
            lines.append("Listen 127.0.0.1:%d https" % self.port)
        if part["evercert"]:
            lines += ["EvercertStatePath %s" % self.state, "EvercertProgram %s" % self.install.program,
                      "EvercertHttpPort %d" % ports.HTTP, "EvercertTlsPort %d" % ports.TLS, part["global_extra"]]
            if part["directory"]:
                lines.append(issuer(part["directory"], self.pebble.trust if self.pebble else "/etc/ssl/certs/ca-certificates.crt",
                                    extra=part["issuer_extra"], terms=part["terms"]))
            lines.append("<VirtualHost 127.0.0.1:%d>\nServerName localhost\n<Location /evercert>\nSetHandler evercert-status\n</Location>\n"
                         "</VirtualHost>" % self.status_port)
        else:
            lines.append(part["global_extra"])
        lines.append(part["hosts"])
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")

    def arguments(self):
        return [*sanitizer.prefix(self.install), PROGRAM, "-f", self.configuration, "-DFOREGROUND"]

    def test(self):
        """(exit code, what it said) of the configuration check."""
        done = subprocess.run([*sanitizer.prefix(self.install), PROGRAM, "-f", self.configuration, "-t"], capture_output=True, text=True, timeout=60, check=False,
                              **self._identity())
        return done.returncode, done.stdout + done.stderr

    # --- life ---
    def start(self, wait=True, prefix=(), timeout=20.0):
        resumed = self._resumed()
        self.process = subprocess.Popen([*prefix, *self.arguments()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, start_new_session=True,  # it signals its whole group
                                        **self._identity())
        if wait:
            wait_for(lambda: self.process.poll() is not None or self._listens(), "httpd to listen", timeout, seen=self.log)
            assert self.process.poll() is None, "httpd did not start:\n" + self.log() + self.process.stderr.read().decode()
            # Until it says so, a signal would end it.
            self._wait_resumed(resumed + 1, timeout)
            self.wait_workers()
        return self

    def _by_name(self, name):
        return [pid for pid in self.remember() if processes.alive(pid) and processes.name_of(pid) == name]

    def worker_pids(self):
        return sorted(pid for pid in self._by_name("apache2") if processes.parent_of(pid) == self.master)

    def wait_workers(self, other_than=()):
        def fresh():
            found = set(self.worker_pids()) - set(other_than)
            return sorted(found) if len(found) >= CHILDREN[self.mpm] else None
        return wait_for(fresh, "children of httpd", seen=self.tree)

    def relay(self):
        found = self._by_name("evercert-relay")
        return max(found) if found else None

    def reload(self):
        """A graceful restart; returns when new children take connections."""
        before, resumed = self.worker_pids(), self._resumed()
        os.kill(self.master, signal.SIGUSR1)
        self._wait_resumed(resumed + 1)
        self.wait_workers(other_than=before)

    def _resumed(self):
        return self.log().count("resuming normal operations")

    def _wait_resumed(self, count, timeout=20.0):
        wait_for(lambda: self.process.poll() is not None or self._resumed() >= count, "httpd to resume", timeout, seen=self.log)
        assert self.process.poll() is None, "httpd ended:\n" + self.log()

    # --- what it says ---
    def complaints(self):
        """Lines that no healthy run has."""
        return [line for line in self.log().splitlines() if re.search(r":(alert|crit|emerg)\]|AH00052|AH00051", line)]
