"""The peer that is nearest in kind: a server that orders by itself, with the same ACME server, ports and trust."""
import json
import os
import shutil
import subprocess

from harness import ports, processes

PROGRAM = os.environ.get("CADDY_BIN", "caddy")


def available():
    return shutil.which(PROGRAM) is not None


class Caddy:
    def __init__(self, folder, pebble, names):
        self.folder = folder
        issuer = {"module": "acme", "ca": pebble.uri, "email": "ops@example.test", "trusted_roots_pem_files": [pebble.trust],
                  "challenges": {"http": {"alternate_port": ports.HTTP}, "tls-alpn": {"disabled": True}}}
        tls_server = {"listen": ["127.0.0.1:%d" % ports.TLS], "automatic_https": {"disable_redirects": True},
                      "routes": [{"match": [{"host": names}], "handle": [{"handler": "static_response", "body": "ok"}]}]}
        plain_server = {"listen": ["127.0.0.1:%d" % ports.HTTP], "routes": [], "automatic_https": {"disable": True}}
        settings = {"admin": {"disabled": True}, "storage": {"module": "file_system", "root": os.path.join(folder, "store")},
                    "apps": {"http": {"http_port": ports.HTTP, "https_port": ports.TLS,
                                      "servers": {"secure": tls_server, "plain": plain_server}},
                             "tls": {"automation": {"policies": [{"issuers": [issuer]}]}, "certificates": {"automate": names}}}}
        self.settings = os.path.join(folder, "caddy.json")
        with open(self.settings, "w") as file:
            json.dump(settings, file)
        self.process = None

    def start(self):
        with open(os.path.join(self.folder, "caddy.log"), "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "run", "--config", self.settings], stdout=log, stderr=subprocess.STDOUT,
                                            env=dict(os.environ, HOME=self.folder, XDG_DATA_HOME=self.folder,
                                                     XDG_CONFIG_HOME=self.folder), cwd=self.folder)

    def stop(self):
        processes.stop(self.process)
