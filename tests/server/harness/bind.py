"""A real BIND 9: zones that take signed updates, with any number of servers at addresses of their own."""
import os
import subprocess

from . import ports, processes
from .authority import write_private
from .waiting import wait_for

PROGRAM = "/usr/sbin/named"


def make_key(folder, name, algorithm="hmac-sha256"):
    """A TSIG key file as tsig-keygen writes it."""
    path = os.path.join(folder, name + ".key")
    text = subprocess.run(["tsig-keygen", "-a", algorithm, name], capture_output=True, check=True).stdout
    write_private(path, text)
    return path


class Bind:
    """`zones`: name -> dict(key=name of the key that may update it, records=further lines, servers=[addresses])."""

    def __init__(self, folder, zones, keys, address="127.0.0.1", primary=None, started=True, broken=()):
        """`broken`: zones whose names nobody can look up here."""
        self.address, self.port = address, ports.BIND
        self.folder = os.path.join(folder, "bind-" + address.replace(":", "_"))
        os.makedirs(self.folder, exist_ok=True)
        self.log_path = os.path.join(self.folder, "named.log")
        self.zones = zones
        lines = ['options { directory "%s"; pid-file none; %s recursion yes; allow-recursion { any; };'
                 ' allow-transfer { any; }; dnssec-validation no; notify explicit; session-keyfile none; };'
                 % (self.folder, self._listen()), "controls { };"]
        for path in keys:
            with open(path) as file:
                lines.append(file.read())
        # An empty root: nothing that records point to is looked for outside of this machine.
        with open(os.path.join(self.folder, "root.zone"), "w") as file:
            file.write("$TTL 60\n@ SOA localhost. hostmaster.localhost. 1 60 60 600 1\n@ NS localhost.\nlocalhost A 127.0.0.1\n")
        lines.append('zone "." { type primary; file "root.zone"; };')
        lines += ['zone "%s" { type primary; file "missing.zone"; };' % name for name in broken]
        for name, zone in zones.items():
            if primary:
                lines.append('zone "%s" { type secondary; primaries { %s port %d; }; file "%s.zone"; };'
                             % (name, primary, self.port, name))
                continue
            self._write_zone(name, zone)
            policy = " ".join("grant %s zonesub ANY;" % key for key in [zone["key"]] if key)
            lines.append('zone "%s" { type primary; file "%s.zone"; %s };'
                         % (name, name, "update-policy { %s };" % policy if policy else ""))
        self.configuration = os.path.join(self.folder, "named.conf")
        write_private(self.configuration, "\n".join(lines).encode())
        self.process = None
        if started:
            self.start()

    def _listen(self):
        four, six = ("none", self.address) if ":" in self.address else (self.address, "none")
        return "listen-on port %d { %s; }; listen-on-v6 port %d { %s; };" % (self.port, four, self.port, six)

    def _write_zone(self, name, zone):
        servers = zone.get("servers", [self.address])
        lines = ["$TTL 60", "@ SOA ns1.%s. hostmaster.%s. 1 60 60 600 1" % (name, name)]
        for number, address in enumerate(servers, 1):
            lines += ["@ NS ns%d" % number, "ns%d %s %s" % (number, "AAAA" if ":" in address else "A", address)]
        lines += ["@ A 127.0.0.1", "* A 127.0.0.1", *zone.get("records", [])]
        with open(os.path.join(self.folder, name + ".zone"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "-g", "-n", "1", "-c", self.configuration], stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.folder)
        wait_for(lambda: "running" in self.text() or self.process.poll() is not None, "named", seen=self.text)
        assert self.process.poll() is None, self.text()
        return self

    def text(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def look_up(self, name, kind="TXT"):
        done = subprocess.run(["dig", "+short", "+time=2", "+tries=2", "@" + self.address, "-p", str(self.port), name, kind],
                              capture_output=True, text=True, check=False)
        return sorted(line for line in done.stdout.splitlines() if not line.startswith(";"))

    def close(self):
        processes.stop(self.process)


def bind_for(folder, simulator, zone, records=(), **more):
    """One that takes updates and that a simulated CA asks; `options` are the directives that write there."""
    key = make_key(folder, "update")
    server = Bind(folder, {zone: dict(key="update", records=list(records))}, [key], **more)
    simulator.settings(name_server="127.0.0.1:%d" % ports.BIND)
    server.options = ("evercert_resolver 127.0.0.1:%d; evercert_dns_port %d; evercert_dns_update * 127.0.0.1:%d %s;"
                      % (ports.BIND, ports.BIND, ports.BIND, key))
    return server
