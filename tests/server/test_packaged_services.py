"""The services of the packages under a real systemd, with all that their units forbid: the agent by itself, and each server with its
module under the unit that Debian gives it."""
import os
import re
import shutil
import subprocess

import pytest

from harness import ports, tls
from harness.audit import Audit
from harness.install import PROJECT
from harness.systemd import Systemd, control_groups
from harness.waiting import wait_for, wait_port
from test_packages_installed import NAME, TRUST, apt_install, changed, packages_into, root, type_what_the_readme_says  # noqa: F401

UNIT = os.path.join(PROJECT, "conf", "systemd", "evercert.service")


def in_a_root(test):
    for reason in (pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root"),
                   pytest.mark.skipif(control_groups() is None, reason="no second version of control groups here"), pytest.mark.slow):
        test = reason(test)
    return test


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_exposure_that_the_page_names_is_what_systemd_finds():
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", UNIT], capture_output=True, text=True, check=True)
    found = re.search(r"Overall exposure level for evercert.service: ([\d.]+)", done.stdout).group(1)
    with open(os.path.join(PROJECT, "docs", "how-to", "run-under-systemd.md")) as file:
        assert "**%s**" % found in file.read()
    assert float(found) <= 2.5


@pytest.fixture
def machine(root):  # noqa: F811
    if root("apt-get", "update", "-qq", check=False).returncode != 0:
        pytest.skip("the package mirror did not answer")
    apt_install(root, "systemd", "dbus")
    return root


def start(system, unit):
    """Comes back when it is ready."""
    done = system("systemctl", "start", unit)
    assert done.returncode == 0, done.stderr + system.said(unit)


def ready(system, unit):
    wait_for(lambda: system("systemctl", "is-active", unit).stdout.strip() == "active", unit + " to be ready", 30, 0.2, lambda: system.said(unit))


def leaf(system, unit):
    return tls.wait_leaf(ports.TLS, NAME, lambda one: "Pebble" in one.issuer, 30, lambda: system.said(unit))


@in_a_root
def test_the_service_orders_and_exports_with_a_credential_and_ends_with_its_package(machine, other_pebble):
    packages = packages_into(machine)
    apt_install(machine, packages["evercert"])
    pebble = other_pebble(eab=True)
    shutil.copy(pebble.trust, machine.place(TRUST))
    machine.write("/etc/evercert/evercert.json", """{ "http_port": %d, "export_path": "/etc/evercert/pem",
        "issuers": { "ca": { "uri": "%s", "accept_terms_of_service": true, "ssl_trusted_certificate": "%s",
                             "external_account_key": ["%s", "credential:eab-key"] } },
        "certificates": [ { "identifiers": ["%s"] } ] }""" % (ports.HTTP, pebble.uri, TRUST, pebble.eab[0], NAME))
    os.makedirs(machine.place("/etc/evercert/secrets"), mode=0o700)
    machine.write("/etc/evercert/secrets/eab-key", pebble.eab[1])
    os.chmod(machine.place("/etc/evercert/secrets/eab-key"), 0o600)
    machine("install", "-d", "-o", "www-data", "-m", "0750", "/etc/evercert/pem")
    os.makedirs(machine.place("/etc/systemd/system/evercert.service.d"))
    machine.write("/etc/systemd/system/evercert.service.d/here.conf",
                  "[Service]\nLoadCredential=eab-key:/etc/evercert/secrets/eab-key\nWatchdogSec=10s\nRestartSec=100ms\n")
    # What needs root is for a unit of its own, as the page shows it.
    with open(os.path.join(PROJECT, "docs", "how-to", "run-under-systemd.md")) as file:
        units = dict(re.findall(r"# /etc/systemd/system/(certificates-changed\.\w+)\n(.*?)```", file.read(), re.S))
    units["certificates-changed.service"] = changed(units["certificates-changed.service"], ("/usr/bin/systemctl reload postfix", "/usr/bin/touch /etc/postfix-was-reloaded"))
    for name, text in units.items():
        machine.write("/etc/systemd/system/" + name, text)
    machine("systemctl", "enable", "certificates-changed.path")
    with Systemd(machine, "multi-user.target") as system:
        assert system("systemctl", "is-enabled", "evercert").stdout.strip() == "disabled"
        start(system, "evercert")
        wait_for(lambda: os.path.exists(machine.place("/etc/evercert/pem/%s.pem" % NAME)), "the export", 30, 0.2, lambda: system.said("evercert"))
        wait_for(lambda: os.path.exists(machine.place("/etc/postfix-was-reloaded")), "the command after it", 20, 0.2, lambda: system.said("certificates-changed.path"))
        assert NAME in system("evercert", "status", check=True).stdout
        said = system.said("evercert")
        assert "not permitted" not in said and "denied" not in said, said
        # One that goes round no more is ended, and another one leads.
        first = system.pid("evercert")
        system("systemctl", "kill", "-s", "STOP", "evercert", check=True)
        wait_for(lambda: system.pid("evercert") not in (0, first), "another agent", 40, 0.5, lambda: system.said("evercert"))
        ready(system, "evercert")
        assert "watchdog" in system.said("evercert").lower()
        # An upgrade has it run the program of now; what is removed runs no more.
        machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")
        second = system.pid("evercert")
        system("dpkg", "-i", packages["evercert"], check=True)
        wait_for(lambda: system.pid("evercert") not in (0, second), "the agent of now", 40, 0.5, lambda: system.said("evercert"))
        system("apt-get", "remove", "-y", "-qq", "evercert", check=True)
        assert system.pid("evercert") == 0 and not system("systemctl", "is-active", "evercert").stdout.startswith("active")
    assert os.path.exists(machine.place("/var/lib/evercert/seal.key")) and os.path.exists(machine.place("/etc/evercert/evercert.json"))


@in_a_root
def test_each_server_orders_and_serves_under_the_unit_that_debian_gives_it(machine, pebble):
    packages = packages_into(machine)
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    apt_install(machine, "nginx", "apache2", "haproxy", *(packages[name] for name in (
        "evercert", "libnginx-mod-http-evercert", "libapache2-mod-evercert", "haproxy-evercert")))
    shutil.copy(pebble.trust, machine.place(TRUST))
    os.unlink(machine.place("/etc/nginx/sites-enabled/default"))
    for server in ("nginx", "apache2", "haproxy"):
        type_what_the_readme_says(machine, server, pebble.uri)
    machine("systemctl", "disable", "nginx", "apache2", "haproxy")
    with Systemd(machine) as system:
        for unit in ("nginx", "apache2", "haproxy"):
            # Its user is another one, so each has a state of its own.
            shutil.rmtree(machine.place("/var/lib/evercert"), ignore_errors=True)
            start(system, unit)
            serial = leaf(system, unit).serial
            Audit(machine.place("/var/lib/evercert")).wait("served", NAME, seen=lambda unit=unit: system.said(unit))
            system("systemctl", "reload", unit, check=True)
            assert tls.wait_leaf(ports.TLS, NAME, seen=lambda unit=unit: system.said(unit)).serial == serial
            system("systemctl", "stop", unit, check=True)
            wait_port(ports.TLS, False)


@in_a_root
def test_the_service_writes_for_a_haproxy_without_the_module_and_tells_it_at_its_socket(machine, authority, pebble):
    packages = packages_into(machine)
    apt_install(machine, "haproxy", packages["evercert"])
    shutil.copy(pebble.trust, machine.place(TRUST))
    machine("systemctl", "disable", "haproxy")
    with open(os.path.join(PROJECT, "conf", "haproxy", "without-lua.cfg")) as file:
        machine.write("/etc/haproxy/haproxy.cfg", changed(file.read(), ("bind :80", "bind 127.0.0.1:%d" % ports.HTTP), ("bind :443", "bind 127.0.0.1:%d" % ports.TLS),
                                                          ("server evercert 127.0.0.1:8402", "server evercert 127.0.0.1:%d" % ports.FREE)))
    machine.write("/etc/evercert/evercert.json", """{ "http_port": %d, "tls_port": %d, "proof_address": "127.0.0.1:%d",
        "agent_user": "haproxy", "export_path": "/etc/evercert/pem", "runtime_api": "/run/haproxy/admin.sock", "http_listen": "127.0.0.1:%d",
        "issuers": { "ca": { "uri": "%s", "accept_terms_of_service": true, "ssl_trusted_certificate": "%s" } },
        "certificates": [ { "identifiers": ["%s"] } ] }""" % (ports.HTTP, ports.TLS, ports.TLS, ports.FREE, pebble.uri, TRUST, NAME))
    machine("install", "-d", "-m", "750", "-o", "haproxy", "-g", "haproxy", "/etc/evercert/pem")
    machine.write("/etc/evercert/pem/stand-in.pem", "".join(open(path).read() for path in authority.files("stand-in.test")))
    with Systemd(machine) as system:
        start(system, "haproxy")
        start(system, "evercert")
        leaf(system, "evercert")
        Audit(machine.place("/var/lib/evercert")).wait("served", NAME, seen=lambda: system.said("evercert"))
        # What was exchanged is on the disk, too.
        system("systemctl", "stop", "evercert", check=True)
        system("systemctl", "restart", "haproxy", check=True)
        leaf(system, "haproxy")
