"""The packages on a bare Debian 12: installed by apt, used by both servers, removed, purged. A root of its own keeps this machine as
it is; where none can be made the reason is said and the test is skipped."""
import glob
import os
import shutil
import subprocess

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.install import BUILD, PROJECT
from harness.waiting import wait_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root")]

NGINX = """
evercert_issuer test { uri %s; contact ops@example.test; accept_terms_of_service; ssl_trusted_certificate /etc/ssl/test-ca.pem; }
evercert_http_port %d;
evercert_tls_port %d;
server { listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl; server_name packaged.test; evercert on; location / { return 200 "nginx\\n"; } }
"""
APACHE = """
EvercertHttpPort %d
EvercertTlsPort %d
<EvercertIssuer test>
    EvercertUri %s
    EvercertContact ops@example.test
    EvercertAcceptTermsOfService on
    EvercertSslTrustedCertificate /etc/ssl/test-ca.pem
</EvercertIssuer>
<VirtualHost 127.0.0.1:%d>
    ServerName packaged.test
</VirtualHost>
<VirtualHost 127.0.0.1:%d>
    ServerName packaged.test
    SSLEngine on
    Evercert on
</VirtualHost>
"""


class Root:
    def __init__(self, path):
        self.path = path

    def __call__(self, *command, check=True):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        environment.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
        done = subprocess.run(["chroot", self.path, *command], capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert not check or done.returncode == 0, "%s: %d\n%s%s" % (" ".join(command), done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def place(self, name):
        return os.path.join(self.path, name.lstrip("/"))

    def write(self, name, text):
        with open(self.place(name), "w") as file:
            file.write(text)

    def named(self, word, *where):
        """Paths with this word in their last part, below the named folders."""
        found = []
        for folder in where:
            for here, folders, files in os.walk(self.place(folder)):
                found += [os.path.join(here, name)[len(self.path):] for name in folders + files if word in name]
        return sorted(found)


@pytest.fixture
def root(folder):
    try:
        made = subprocess.run([os.path.join(PROJECT, "tests", "package-root")], capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("no root of its own: the package mirror did not answer")
    if made.returncode != 0:
        pytest.skip("no root of its own: " + (made.stderr.strip().splitlines() or ["debootstrap failed"])[-1])
    path = os.path.join(folder, "root")
    subprocess.run(["cp", "-a", made.stdout.strip(), path], check=True)
    os.unlink(os.path.join(path, "etc/apt/sources.list"))
    for pattern in ("sources.list", "sources.list.d/debian*", "apt.conf.d/*"):
        for source in glob.glob("/etc/apt/" + pattern):
            shutil.copy(source, os.path.join(path, source.lstrip("/")))
    shutil.copy("/etc/resolv.conf", os.path.join(path, "etc/resolv.conf"))
    inside = Root(path)
    inside.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")  # nothing starts by itself
    os.chmod(inside.place("/usr/sbin/policy-rc.d"), 0o755)
    subprocess.run(["mount", "-t", "proc", "proc", os.path.join(path, "proc")], check=True)
    try:
        yield inside
    finally:
        subprocess.run(["umount", "-l", os.path.join(path, "proc")], check=True)


class Running:
    """A server of that root in the foreground."""

    def __init__(self, root, *command):
        self.log = open(root.place("/tmp/server.log"), "w+")
        self.process = subprocess.Popen(["chroot", root.path, *command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        wait_port(ports.TLS, True, 30, self.said)
        return self

    def __exit__(self, *failure):
        known = processes.descendants_of(self.process.pid)
        processes.stop(self.process)
        processes.end_all(known)
        wait_port(ports.TLS, False)
        self.log.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()


def packages_into(root):
    subprocess.run(["cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", root.place("/tmp/packages")], check=True, capture_output=True)
    found = {os.path.basename(path).split("_")[0]: path[len(root.path):] for path in glob.glob(root.place("/tmp/packages/*.deb"))}
    return [found[name] for name in ("evercert", "libnginx-mod-http-evercert", "libapache2-mod-evercert")]


def test_packages_are_installed_used_and_removed_on_a_bare_system(root, pebble):
    if root("apt-get", "update", "-qq", check=False).returncode != 0:
        pytest.skip("the package mirror did not answer")
    root("apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx", "apache2", *packages_into(root))
    assert root("evercert", "version").stdout
    shutil.copy(pebble.trust, root.place("/etc/ssl/test-ca.pem"))

    os.unlink(root.place("/etc/nginx/sites-enabled/default"))
    root.write("/etc/nginx/conf.d/packaged.conf", NGINX % (pebble.uri, ports.HTTP, ports.TLS, ports.HTTP, ports.TLS))
    assert "successful" in root("nginx", "-t").stderr
    with Running(root, "nginx", "-g", "daemon off;") as running:
        serial = tls.wait_leaf(ports.TLS, "packaged.test", lambda leaf: "Pebble" in leaf.issuer, 30, running.said).serial
        Audit(root.place("/var/lib/evercert")).wait("served", "packaged.test", seen=running.said)
        assert "packaged.test" in root("evercert", "status").stdout

    # The other server takes over what the first has ordered.
    root("a2enmod", "evercert")
    root("a2dissite", "000-default")
    root.write("/etc/apache2/ports.conf", "Listen 127.0.0.1:%d\nListen 127.0.0.1:%d https\n" % (ports.HTTP, ports.TLS))
    root.write("/etc/apache2/sites-enabled/packaged.conf", APACHE % (ports.HTTP, ports.TLS, pebble.uri, ports.HTTP, ports.TLS))
    assert "Syntax OK" in root("apache2ctl", "-t").stderr
    with Running(root, "apache2ctl", "-DFOREGROUND") as running:
        assert tls.wait_leaf(ports.TLS, "packaged.test", lambda leaf: "Pebble" in leaf.issuer, 30, running.said).serial == serial

    os.unlink(root.place("/etc/nginx/conf.d/packaged.conf"))
    os.unlink(root.place("/etc/apache2/sites-enabled/packaged.conf"))
    ours = ("libnginx-mod-http-evercert", "libapache2-mod-evercert", "evercert")
    root("apt-get", "remove", "-y", "-qq", *ours)
    assert "successful" in root("nginx", "-t").stderr and "Syntax OK" in root("apache2ctl", "-t").stderr
    # What cannot be had again stays, and what people may have written into.
    assert root.named("evercert", "usr", "etc", "var/lib/evercert") == ["/etc/apache2/mods-available/evercert.conf", "/etc/apache2/mods-available/evercert.load"]
    assert os.listdir(root.place("/var/lib/evercert/state/certificates")) == ["packaged.test"]
    root("dpkg", "--purge", *ours)
    assert root.named("evercert", "usr", "etc", "var/lib") == []
    assert not os.path.exists(root.place("/var/lib/evercert"))
