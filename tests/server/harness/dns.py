"""The name server that the ACME server asks: every name is 127.0.0.1, unless told to fail."""
import json
import os
import subprocess
import urllib.request

from . import ports, processes
from .waiting import wait_port

PROGRAM = os.environ.get("CHALLTESTSRV_BIN", "pebble-challtestsrv")


class Dns:
    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        text = subprocess.run([PROGRAM, "-h"], capture_output=True, text=True, check=False)
        words = text.stdout + text.stderr
        # The option got another name, and DNS over HTTPS came, after 2.4.
        arguments = ["-dnsserver" if "-dnsserver" in words else "-dns01", "127.0.0.1:%d" % ports.DNS]
        if "-doh " in words:
            arguments += ["-doh", ""]
        self.log = open(os.path.join(folder, "dns.log"), "ab")
        self.process = subprocess.Popen(
            [PROGRAM, *arguments, "-http01", "", "-https01", "", "-tlsalpn01", "", "-management",
             "127.0.0.1:%d" % ports.DNS_CONTROL, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""],
            stdout=self.log, stderr=subprocess.STDOUT)
        wait_port(ports.DNS_CONTROL)

    def _post(self, path, body):
        request = urllib.request.Request("http://127.0.0.1:%d/%s" % (ports.DNS_CONTROL, path), json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()

    def fail(self, name):
        self._post("set-servfail", {"host": name})

    def heal(self, name):
        self._post("clear-servfail", {"host": name})

    def text(self, name, value):
        # The server keeps values as a zone file spells them.
        self._post("set-txt", {"host": name + ".", "value": value.replace("\\", "\\\\").replace('"', '\\"')})

    def alias(self, name, target):
        self._post("set-cname", {"host": name + ".", "target": target + "."})

    def permit(self, name, *issuers):
        """CAA of this name: only these may issue."""
        self._post("add-caa", {"host": name + ".", "policies": [{"tag": "issue", "value": issuer} for issuer in issuers]})

    def permit_all(self, name):
        self._post("clear-caa", {"host": name + "."})

    def close(self):
        processes.stop(self.process)
        self.log.close()
