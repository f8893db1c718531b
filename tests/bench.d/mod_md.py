"""Apache's own ACME module, with the same ACME server, ports and trust. It activates a certificate at a graceful restart only;
here that comes at the ideal instant: as soon as its job is finished."""
import json
import os
import signal

from harness import ports, tls
from harness.apache import Apache
from harness.waiting import wait_for

SETTINGS = ("MDStoreDir md\nMDCertificateAuthority %s\nMDCACertificateFile %s\nMDCertificateAgreement accepted\n"
            "MDContactEmail ops@example.test\nMDPortMap http:%d https:%d\nMDCAChallenges http-01\nMDPrivateKeys secp256r1\n")


class ModMd:
    def __init__(self, folder, install, pebble, names, hosts):
        self.names, self.folder = names, folder
        settings = SETTINGS % (pebble.uri, pebble.trust, ports.HTTP, ports.TLS)
        self.site = Apache(folder, install, hosts, evercert=False, modules=("md",),
                           main=settings + "".join("MDomain %s\n" % name for name in names))

    def start(self):
        self.site.start()

    def staged(self):
        done = 0
        for name in self.names:
            try:
                with open(os.path.join(self.folder, "md", "staging", name, "job.json")) as file:
                    done += bool(json.load(file).get("finished"))
            except (FileNotFoundError, ValueError):
                pass
        return done

    def activate(self):
        """Waits for all orders, restarts, and waits until the new certificates are served."""
        wait_for(lambda: self.staged() == len(self.names), "mod_md to finish", 120, 0.002, self.site.log)
        os.kill(self.site.master, signal.SIGUSR1)
        for name in self.names:
            tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, 30, pause=0.002)

    def close(self):
        self.site.close()
