"""What many connections, or few descriptors, must not do: hold root out, hold a CA out, spin, or stop a start."""
import json
import os
import re
import socket
import subprocess

import pytest

from harness import ports, processes, tls
from harness.evercert import DONE, end
from harness.nginx import host
from harness.waiting import wait_for, wait_port
from harness.web_user import CROWD, WebUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.fixture
def site(nginx):
    one = nginx(host("crowd.test")).start()
    one.audit.wait("served", "crowd.test")
    return one


def test_connections_of_the_web_user_do_not_lock_root_out(site, evercert):
    path = os.path.join(evercert.state, "state", "agent.sock")
    with WebUser(CROWD, path, 400):
        held = processes.descriptors_of(site.agent())
        assert held < 250, held
        for _ in range(5):
            assert evercert.run("renew", "crowd.test", "--force").returncode == DONE
        assert processes.descriptors_of(site.agent()) < 250


def limit(pid, soft):
    """As its own user may: nobody else need have the right."""
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=%d:" % soft], user="www-data", group="www-data", extra_groups=[], check=True)


def test_an_agent_without_descriptors_neither_spins_nor_holds_root_out(site, evercert):
    agent = site.agent()
    path = os.path.join(evercert.state, "state", "agent.sock")
    limit(agent, processes.descriptors_of(agent) + 6)
    with WebUser(CROWD, path, 60):
        before = processes.cpu_ticks(agent)
        done = evercert.run("cancel", "crowd.test")
        assert done.returncode == DONE, done
        # A loop that spins takes whole seconds; what stands here is far from it, whatever else the machine does.
        for _ in range(10):
            evercert.run("status")
        assert processes.cpu_ticks(agent) - before < 1.0
    limit(agent, 1024)
    assert evercert.run("renew", "crowd.test", "--force").returncode == DONE
    assert site.agent() == agent


@pytest.mark.parametrize("most", [100, 70])
def test_a_server_with_few_descriptors_gets_its_certificate(nginx, evercert, most):
    site = nginx(host("few.test"), workers=1)
    site.start(prefix=("prlimit", "--nofile=%d:%d" % (most, most)))
    site.audit.wait("served", "few.test", seen=site.log)
    assert evercert.run("renew", "few.test", "--force").returncode == DONE


def test_a_soft_limit_is_raised_as_far_as_it_may_be(nginx):
    site = nginx(host("soft.test"), workers=1)
    site.start(prefix=("prlimit", "--nofile=80:4096"))
    site.audit.wait("served", "soft.test", seen=site.log)
    with open("/proc/%d/limits" % site.agent()) as file:
        assert re.search(r"Max open files\s+4096\s+4096", file.read())


def test_too_few_descriptors_are_named_as_the_cause(nginx):
    site = nginx(host("none.test"), workers=1)
    site.start(prefix=("prlimit", "--nofile=44:44"))
    site.wait_log(r"may open only 44 files and connections and needs \d+: raise the limit")


# --- the responder of `evercert run` ---

@pytest.fixture
def alone(folder, install, pebble, evercert):
    configuration = os.path.join(folder, "evercert.json")
    with open(configuration, "w") as file:
        json.dump({"state_path": evercert.state, "http_port": ports.HTTP, "http_listen": "127.0.0.1:%d" % ports.HTTP,
                   "issuers": {"test": {"uri": pebble.uri, "accept_terms_of_service": True, "ssl_trusted_certificate": pebble.trust}},
                   "certificates": [{"name": "alone.test", "issuer": ["test"], "identifiers": ["alone.test"], "proof": False}]}, file)
    process = subprocess.Popen([install.program, "run", "--config", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_port(ports.HTTP)
    yield process
    end(process)


def idle_connections(count):
    links = []
    for number in range(count):
        link = socket.create_connection(("127.0.0.1", ports.HTTP), timeout=10)
        if number % 2:
            link.sendall(b"GET /.well-known/acme-challenge/x HTTP/1.1\r\n")
        links.append(link)
    return links


def test_idle_connections_hold_up_no_validation(alone, evercert):
    tls.wait_for(lambda: (evercert.certificate("alone.test") or {}).get("generation") == 1, "the first certificate")
    links = idle_connections(300)
    try:
        for generation in range(2, 6):
            done = evercert.run("renew", "alone.test", "--force")
            assert done.returncode == DONE and "generation %d of alone.test is published" % generation in done.stdout, done
            links += idle_connections(100)
    finally:
        for link in links:
            link.close()


def test_a_responder_without_descriptors_answers_on(alone, evercert):
    wait_for(lambda: evercert.run("status", "alone.test").returncode == DONE, "a status")
    limit(alone.pid, processes.descriptors_of(alone.pid) + 8)
    links = idle_connections(60)
    try:
        before = processes.cpu_ticks(alone.pid)
        for _ in range(20):
            assert tls.plain_get(ports.HTTP, "alone.test", "/.well-known/acme-challenge/none")[0] == 404
        assert processes.cpu_ticks(alone.pid) - before < 1.0
    finally:
        for link in links:
            link.close()
