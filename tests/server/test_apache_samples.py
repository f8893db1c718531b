"""What a reader would copy, and what a package installs, in a real httpd; and the way over from mod_md."""
import glob
import os
import re
import shutil
import subprocess

import pytest

from harness import ports, tls
from harness.apache import MODULES, PROGRAM, host
from harness.install import PROJECT
from harness.packages import built_packages

SAMPLES = os.path.join(PROJECT, "conf", "apache")
BASE = "LoadModule %s_module " + MODULES + "/mod_%s.so\n"


def sample(name, site, pebble):
    """A sample with this machine's paths, ports and CA in place of the examples."""
    text = open(os.path.join(SAMPLES, name)).read()
    for old, new in (("modules/mod_ssl.so", MODULES + "/mod_ssl.so"), ("modules/mod_evercert.so", site.install.apache_module),
                     ("Listen 80\n", "Listen 127.0.0.1:%d\n" % ports.HTTP), ("Listen 443\n", "Listen 127.0.0.1:%d\n" % ports.TLS),
                     ("127.0.0.1:8080", "127.0.0.1:%d" % ports.STATUS), ("*:80>", "*:%d>" % ports.HTTP), ("*:443>", "*:%d>" % ports.TLS),
                     ("https://ca.example/directory", pebble.uri), ("EvercertStatePath /var/lib/evercert", ""), ("logs/", ""),
                     ("    EvercertPreferredChain \"Example Root X2\"\n", ""),
                     ("EvercertAcceptTermsOfService on", "EvercertAcceptTermsOfService on\n    EvercertSslTrustedCertificate " + pebble.trust)):
        text = text.replace(old, new)
    text = text.replace("    EvercertSslTrustedCertificate internal-root.pem\n", "")
    lines = ["ServerRoot " + site.folder, "PidFile " + site.pid_file, "Mutex file:" + site.folder, "ErrorLog " + site.error_log,
             "LogLevel info", "ServerName localhost", "User www-data", "Group www-data", "EvercertStatePath " + site.state,
             "EvercertProgram " + site.install.program, "EvercertHttpPort %d" % ports.HTTP, "EvercertTlsPort %d" % ports.TLS]
    modules = "".join(BASE % (name, name) for name in ("mpm_event", "authz_core", "authz_host", "alias", "socache_shmcb"))
    loads = "".join(re.findall(r"^LoadModule .*\n", text, re.M))
    with open(site.configuration, "w") as file:
        file.write(modules + loads + "\n".join(lines) + "\n" + re.sub(r"^LoadModule .*\n", "", text, flags=re.M))


def test_the_shortest_sample_orders_and_serves(apache, pebble):
    site = apache("")
    sample("minimal.conf", site, pebble)
    site.start()
    site.audit.wait("served", "www.example.com", seen=site.log)
    assert tls.leaf_at(ports.TLS, "www.example.com").names == ["www.example.com"]


def test_the_full_sample_serves_all_that_it_shows(apache, authority, other_pebble, pebble, folder):
    chain, key = authority.files("shop.example.com")
    shutil.copy(chain, os.path.join(folder, "shop.pem"))
    shutil.copy(key, os.path.join(folder, "shop.key"))
    internal = other_pebble(eab=True)
    with open(os.path.join(folder, "eab-key.txt"), "w") as file:
        file.write(internal.eab[1])
    os.chmod(os.path.join(folder, "eab-key.txt"), 0o600)
    site = apache("")
    sample("full.conf", site, pebble)
    text = open(site.configuration).read().replace("https://pki.internal.example/acme/directory", internal.uri)
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start()
    names = ["www.example.com", "a.example.org", "b.example.org", "c.example.org", "intranet", "shop.example.com"]
    for name in names:
        site.audit.wait("served", name, seen=site.log, timeout=30)
    assert "Pebble" in tls.leaf_at(ports.TLS, "shop.example.com").issuer
    assert tls.leaf_at(ports.TLS, "wiki.example.com").serial == tls.leaf_at(ports.TLS, "intranet.example.com").serial
    assert tls.plain_get(ports.STATUS, "localhost", "/evercert/json")[0] == 200


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apache-package")
    made = built_packages()["libapache2-mod-evercert"]
    subprocess.run(["dpkg-deb", "-x", made, str(folder / "root")], check=True)
    return made, str(folder / "root")


def test_the_package_depends_on_apaches_binary_interface(package):
    depends = subprocess.run(["dpkg-deb", "-f", package[0], "Depends"], capture_output=True, text=True, check=True).stdout
    provided = subprocess.run(["dpkg-query", "-W", "-f", "${Provides}", "apache2-bin"], capture_output=True, text=True, check=True).stdout
    (interface,) = re.findall(r"apache2-api-\d+(?=,|$)", depends.replace(" ", "").strip())
    assert interface in [word.strip() for word in provided.split(",")]


def test_a2enmod_enables_the_packaged_module_with_what_it_needs(package, tmp_path):
    place = str(tmp_path / "apache2")
    shutil.copytree("/etc/apache2", place, symlinks=True)
    for path in glob.glob(package[1] + "/etc/apache2/mods-available/*"):
        shutil.copy(path, os.path.join(place, "mods-available"))
    environment = dict(os.environ, APACHE_CONFDIR=place, APACHE_RUN_USER="www-data", APACHE_RUN_GROUP="www-data", APACHE_PID_FILE=str(tmp_path / "pid"),
                       APACHE_RUN_DIR=str(tmp_path), APACHE_LOCK_DIR=str(tmp_path), APACHE_LOG_DIR=str(tmp_path))
    done = subprocess.run(["a2enmod", "evercert"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    enabled = os.listdir(os.path.join(place, "mods-enabled"))
    assert {"evercert.load", "evercert.conf", "ssl.load"} <= set(enabled), enabled
    load = os.path.join(place, "mods-available", "evercert.load")
    with open(load) as file:
        text = file.read()
    with open(load, "w") as file:
        file.write(text.replace("/usr/lib/apache2/modules/mod_evercert.so", package[1] + "/usr/lib/apache2/modules/mod_evercert.so"))
    done = subprocess.run([PROGRAM, "-d", place, "-f", os.path.join(place, "apache2.conf"), "-t"], capture_output=True, text=True, env=environment,
                          check=False)
    assert done.returncode == 0 and "Syntax OK" in done.stderr, done.stderr


def test_moving_over_from_mod_md_orders_nothing_and_serves_what_it_had(apache, evercert, pebble, folder):
    import sys
    sys.path.insert(0, os.path.join(PROJECT, "tests", "bench.d"))
    from mod_md import ModMd
    peer = ModMd(folder, apache("").install, pebble, ["moved.test"], host("moved.test", ""))
    peer.start()
    try:
        peer.activate()
        serial = tls.leaf_at(ports.TLS, "moved.test").serial
    finally:
        peer.site.stop()
    done = evercert.run("import", "mod-md", os.path.join(folder, "md"), "--user", "www-data")
    assert done.returncode == 0 and "adopted" in done.stdout, done.stdout + done.stderr
    mark = pebble.mark()
    site = apache(host("moved.test")).start()
    assert tls.leaf_at(ports.TLS, "moved.test").serial == serial and tls.get(ports.TLS, "moved.test")[0] == 200
    site.audit.wait("renewal_scheduled", "moved.test", seen=site.log)
    assert pebble.orders(mark) == 0
