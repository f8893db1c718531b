"""Pebble, the ACME test server, with all its knobs. It keeps everything in memory: a restart forgets accounts, orders and
even its own CA."""
import base64
import json
import os
import re
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections import Counter

from . import ports, processes
from .waiting import wait_port

PROGRAM = os.environ.get("PEBBLE_BIN", "pebble")

REQUEST = re.compile(r"(GET|HEAD|POST) (/[^/\s]*)\S* -> calling handler")


class Pebble:
    def __init__(self, folder, authority, acme=ports.ACME, management=ports.ACME_MANAGEMENT, nonce_reject=0, authz_reuse=0,
                 alternate_roots=0, chain_length=1, eab=False, strict=False, validity=0, nosleep=True, blocked=(), extra=None,
                 program=PROGRAM, dns_port=ports.DNS):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.authority = authority
        self.acme, self.management = acme, management
        self.strict, self.program, self.dns_port = strict, program, dns_port
        self.environment = dict(os.environ, PEBBLE_WFE_NONCEREJECT=str(nonce_reject), PEBBLE_AUTHZREUSE=str(authz_reuse),
                                PEBBLE_ALTERNATE_ROOTS=str(alternate_roots), PEBBLE_CHAIN_LENGTH=str(chain_length))
        if nosleep:
            self.environment["PEBBLE_VA_NOSLEEP"] = "1"
        self.chain_path, self.key_path = authority.files("localhost", "127.0.0.1")
        settings = {"listenAddress": "127.0.0.1:%d" % acme, "managementListenAddress": "127.0.0.1:%d" % management,
                    "certificate": self.chain_path, "privateKey": self.key_path, "httpPort": ports.HTTP, "tlsPort": ports.TLS,
                    "ocspResponderURL": "", "externalAccountBindingRequired": eab, "domainBlocklist": list(blocked)}
        self.eab = None
        if eab:
            self.eab = ("kid-1", base64.urlsafe_b64encode(os.urandom(48)).decode())
            settings["externalAccountMACKeys"] = dict([self.eab])
        if validity:
            settings["certificateValidityPeriod"] = validity
        settings.update(extra or {})
        self.settings_path = os.path.join(folder, "pebble.json")
        with open(self.settings_path, "w") as file:
            json.dump({"pebble": settings}, file)
        self.log_path = os.path.join(folder, "pebble.log")
        self.process = None
        self.start()

    @property
    def uri(self):
        return "https://127.0.0.1:%d/dir" % self.acme

    @property
    def trust(self):
        return self.authority.root_path

    def start(self):
        arguments = [self.program, "-config", self.settings_path, "-dnsserver", "127.0.0.1:%d" % self.dns_port]
        if self.strict:
            arguments.append("-strict")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, env=self.environment)
        wait_port(self.acme, seen=self.text)
        wait_port(self.management, seen=self.text)

    def kill(self):
        processes.stop(self.process, signal.SIGKILL)

    def restart(self):
        self.kill()
        self.start()

    close = kill

    # --- what it saw ---
    def mark(self):
        return os.path.getsize(self.log_path)

    def text(self, mark=0):
        with open(self.log_path, errors="replace") as file:
            file.seek(mark)
            return file.read()

    def requests(self, mark=0):
        """Requests by kind of resource since `mark`, refused ones as well."""
        return Counter(match.group(2) for match in REQUEST.finditer(self.text(mark)))

    def request_count(self, mark=0):
        return sum(self.requests(mark).values())

    def orders(self, mark=0):
        """Orders it made (a request refused for its nonce is none)."""
        return self.text(mark).count('Added order "')

    def issued(self, mark=0):
        return self.text(mark).count("Issued certificate serial")

    def accounts(self, mark=0):
        return len(re.findall(r"There are now \d+ accounts in memory", self.text(mark)))

    def _managed(self, path, timeout=5):
        # The management API serves the same certificate as the ACME side.
        trust = ssl.create_default_context(cafile=self.trust)
        return urllib.request.urlopen("https://127.0.0.1:%d%s" % (self.management, path), timeout=timeout, context=trust)

    def is_stuck(self):
        """It can lock itself up for good while it shows an order (letsencrypt/pebble issue 554)."""
        try:
            self._managed("/cert-status-by-serial/0", 15).close()
        except urllib.error.HTTPError:
            pass  # there is no such certificate: its records can be read
        except OSError:
            return True
        return False

    def root_pem(self, index=0):
        with self._managed("/roots/%d" % index) as answer:
            return answer.read()
