"""`evercert run`, the agent without a server of its own: where it answers, and what it writes for others."""
import grp
import json
import os
import pwd
import socket
import stat
import subprocess

import pytest

from harness import ports, processes
from harness.audit import Audit
from harness.evercert import REFUSED
from harness.waiting import wait_for


@pytest.fixture
def alone(folder, install, pebble):
    """Starts one: alone(name, agent_user="www-data")."""
    started = []

    def make(name, environment=None, **settings):
        state, config, log = (os.path.join(folder, one) for one in ("evercert", "alone.json", "alone.log"))
        document = {"state_path": state, "http_port": ports.HTTP,
                    "issuers": {"test": {"uri": pebble.uri, "accept_terms_of_service": True, "ssl_trusted_certificate": pebble.trust}},
                    "certificates": [{"identifiers": [name] if isinstance(name, str) else name}], **settings}
        with open(config, "w") as file:
            json.dump(document, file)
        with open(log, "ab") as file:
            process = subprocess.Popen([install.program, "run", "--config", config], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                       env=dict(os.environ, **(environment or {})))
        process.audit = Audit(state)
        process.said = lambda: open(log, errors="replace").read()
        started.append(process)
        return process
    yield make
    for process in started:
        processes.stop(process)


@pytest.mark.parametrize("family,address", [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_a_port_that_is_taken_on_one_address_family_is_not_forgiven(alone, family, address):
    with socket.socket(family) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((address, ports.HTTP))
        other.listen()
        agent = alone("taken.test")
        assert agent.wait(20) == REFUSED
    said = agent.said()
    assert "cannot answer challenges on %s port %d" % (address, ports.HTTP) in said and "http_listen" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="the agent changes its user")
@pytest.mark.parametrize("gives,group", [(False, "www-data"), (True, "daemon")], ids=["", "by itself"])
def test_a_directory_of_a_group_that_the_agent_is_not_in_is_exported_to(alone, folder, gives, group):
    exports = os.path.join(folder, "exports")
    os.makedirs(exports)
    os.chown(exports, pwd.getpwnam("www-data").pw_uid, grp.getgrnam("daemon").gr_gid)
    os.chmod(exports, 0o2770 if gives else 0o770)
    agent = alone("group.test", export_path=exports)
    path = os.path.join(exports, "group.test.pem")
    wait_for(lambda: os.path.exists(path), "the export", 30, seen=agent.said)
    facts = os.stat(path)
    assert (stat.S_IMODE(facts.st_mode), facts.st_gid) == (0o640, grp.getgrnam(group).gr_gid)
    assert "not permitted" not in agent.said()
    # At the start, before anything was to be exported.
    assert ("chmod g+s %s" % exports in agent.said()) == (not gives)


def test_another_first_name_finds_what_is_stored_and_orders_nothing(alone, pebble, evercert):
    a, b = "a.alone.test", "b.alone.test"
    agent = alone([a, b])
    agent.audit.wait("published", a, seen=agent.said)
    processes.stop(agent)
    mark = pebble.mark()
    agent = alone([b, a])
    line = wait_for(lambda: (lambda c: c if c and c["next"] else None)(evercert.certificate(a)), "the status", seen=evercert.status)
    assert line["generation"] == 1 and "of its life" in line["next"]["why"]
    assert [one["name"] for one in evercert.status()["certificates"]] == [a] and pebble.orders(mark) == 0
    assert os.listdir(os.path.join(evercert.state, "state", "certificates")) == [a]


def heard(manager, until):
    """What a service manager is told, up to this word."""
    words = []
    while not words or words[-1] != until:
        words.append(manager.recv(4096).decode())
    return words


@pytest.mark.parametrize("abstract", [False, True], ids=["by path", "by abstract name"])
def test_a_service_manager_hears_when_it_is_ready_that_it_lives_and_when_it_stops(alone, folder, abstract):
    name = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        if not abstract:
            os.chmod(name, 0o777)
        manager.settimeout(60)
        agent = alone("notify.test", {"NOTIFY_SOCKET": "@" + name if abstract else name})
        heard(manager, "READY=1")
        assert heard(manager, "WATCHDOG=1")
        agent.terminate()
        heard(manager, "STOPPING=1")
        assert agent.wait(30) == 0


def test_a_configuration_that_is_refused_is_never_said_to_be_ready(alone, folder):
    name = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        os.chmod(name, 0o777)
        assert alone("refused.test", {"NOTIFY_SOCKET": name}, http_port=0).wait(30) == REFUSED
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/notify", "@" + "x" * 200])
def test_a_service_manager_that_is_not_there_keeps_nobody_from_working(alone, address):
    agent = alone("nobody.test", {"NOTIFY_SOCKET": address})
    agent.audit.wait("published", "nobody.test", seen=agent.said)
