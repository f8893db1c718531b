"""The samples in conf/haproxy, as they are but for ports and paths."""
import os
import shutil
import subprocess

import pytest

from harness import ports, tls
from harness.evercert import status_page
from harness.haproxy import certificate
from harness.install import PROJECT

SAMPLES = os.path.join(PROJECT, "conf", "haproxy")


def sample(name, site):
    with open(os.path.join(SAMPLES, name)) as file:
        text = file.read()
    for there, here in (("/etc/evercert/evercert.json", site.settings_path), ("/usr/lib/haproxy", site.install.folder),
                        ("/usr/share/evercert/evercert.lua", site.install.lua), ("/run/evercert/haproxy", site.pem_path),
                        ("/run/haproxy/admin.sock", site.stats_socket), ("/var/lib/haproxy", site.jail),
                        ("/etc/evercert/pem", site.pem_path), ("bind :80", "bind 127.0.0.1:%d" % ports.HTTP),
                        ("bind :443", "bind 127.0.0.1:%d" % ports.TLS), ("127.0.0.1:8404", "127.0.0.1:%d" % ports.STATUS)):
        text = text.replace(there, here)
    return text


def test_the_minimal_sample_and_the_status_sample_work_together(haproxy):
    site = haproxy([certificate("sample.test")])
    with open(site.configuration, "w") as file:
        file.write(sample("minimal.cfg", site) + "\n" + sample("status.cfg", site))
    site.start()
    site.audit.wait("served", "sample.test", seen=site.log)
    assert tls.get(ports.TLS, "sample.test") == (200, b"hello\n")
    assert status_page(ports.STATUS, "/json")[0] == 200
    assert site.cli("evercert status").startswith("# certificate")


def test_the_sample_without_lua_is_accepted(haproxy):
    site = haproxy([certificate("plain.test")])
    assert site.test()[0] == 0  # writes a stand-in that the sample reads
    with open(site.configuration, "w") as file:
        file.write(sample("without-lua.cfg", site))
    code, said = site.test()
    assert code == 0, said


def settings_sample(name, site):
    with open(os.path.join(PROJECT, "conf", name)) as file:
        text = file.read()
    for there, here in (("/var/lib/evercert-export", os.path.join(site.folder, "exports")), ("/var/lib/evercert", site.state),
                        ("/usr/bin/evercert", site.install.program), ("/run/evercert/haproxy", site.pem_path)):
        text = text.replace(there, here)
    return text


def test_the_minimal_settings_work_as_they_are_written(haproxy, pebble, evercert):
    """But for the CA, and for ports and paths, which a machine of tests shares with others."""
    site = haproxy([certificate("www.example.com")])
    text = settings_sample("evercert.minimal.json", site)
    code, said = check_with(site, text.replace(
        '"issuers"', '"state_path": "%s", "pem_path": "%s", "program": "%s", "issuers"' % (site.state, site.pem_path, site.install.program)))
    assert code == 0, said
    here = ('"state_path": "%s", "pem_path": "%s", "program": "%s", "http_port": %d, "tls_port": %d, "issuers"'
            % (site.state, site.pem_path, site.install.program, ports.HTTP, ports.TLS))
    trust = '%s", "ssl_trusted_certificate": "%s"' % (pebble.uri, pebble.trust)
    text = text.replace('"issuers"', here).replace('"letsencrypt-staging"', '"' + trust)
    assert trust in text
    with open(site.settings_path, "w") as file:
        file.write(text)
    site.start()
    names = tls.wait_leaf(ports.TLS, "www.example.com", lambda leaf: "Pebble" in leaf.issuer, 30, seen=site.log).names
    assert sorted(names) == ["example.com", "www.example.com"]


def check_with(site, text):
    with open(site.settings_path, "w") as file:
        file.write(text)
    return site.test()


def test_the_example_settings_are_accepted_with_the_files_that_they_say_they_need(haproxy, pebble, folder):
    site = haproxy([certificate("shop.example.com")])
    text = settings_sample("evercert.example.json", site)
    code, said = check_with(site, text)
    assert code != 0 and "shared.json" in said
    head = text.split("{")[0]
    for name, content, mode in (("shared.json", "{}", 0o644), ("hmac.key", "c2VjcmV0", 0o600), ("proxy.password", "x", 0o600),
                                ("certinext.secret", "x", 0o600), ("ca.pem", open(pebble.trust).read(), 0o644),
                                ("update.key", 'key "update" { algorithm hmac-sha256; secret "c2VjcmV0"; };', 0o600)):
        assert name in head
        with open(os.path.join(folder, name), "w", opener=lambda path, flags, mode=mode: os.open(path, flags, mode)) as file:
            file.write(content)
    code, said = site.test()
    assert code == 0, said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_unit_is_one_that_systemd_accepts(install, folder):
    path = os.path.join(folder, "evercert.service")
    with open(os.path.join(PROJECT, "conf", "systemd", "evercert.service")) as there, open(path, "w") as here:
        here.write(there.read().replace("/usr/bin/evercert", install.program))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=60, check=False)
    # It may complain of other units of this machine.
    assert done.returncode == 0 and "evercert.service" not in done.stderr, done.stderr
