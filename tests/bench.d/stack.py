"""The same real programs that the tests use, for one figure."""
import os
import shutil
import tempfile

from harness import install as installation, processes
from harness.apache import Apache
from harness.authority import Authority
from harness.dns import Dns
from harness.evercert import Evercert
from harness.nginx import Nginx
from harness.pebble import Pebble


class Stack:
    def __enter__(self):
        processes.adopt_orphans()
        self.folder = tempfile.mkdtemp(prefix="evercert-bench-")
        os.chmod(self.folder, 0o755)
        self.authority = Authority(os.path.join(self.folder, "authority"))
        self.install = installation.Install(os.path.join(self.folder, "installed"))
        self.rounds = 0
        self.dns = Dns(self.folder)
        self.pebble = Pebble(os.path.join(self.folder, "pebble"), self.authority)
        return self

    def __exit__(self, *failure):
        self.pebble.close()
        self.dns.close()
        processes.end_all(processes.descendants_of(os.getpid()))
        shutil.rmtree(self.folder, ignore_errors=True)

    def place(self):
        """A fresh folder for one round."""
        self.rounds += 1
        path = os.path.join(self.folder, "round%d" % self.rounds)
        os.makedirs(path)
        return path

    def nginx(self, http, **options):
        options.setdefault("pebble", self.pebble)
        return Nginx(self.place(), self.install, http, **options)

    def apache(self, hosts, **options):
        options.setdefault("pebble", self.pebble)
        return Apache(self.place(), self.install, hosts, **options)

    def evercert(self, site):
        return Evercert(self.install, site.state)
