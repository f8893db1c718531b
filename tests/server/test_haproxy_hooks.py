"""Without Lua: the agent by itself exports PEM files, exchanges them at HAProxy's stats socket, has the master reload, runs a hook."""
import json
import os
import pwd
import stat
import subprocess

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.haproxy import SUITES, certificate, program_of
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent changes its user")
RESPONDER = ports.FREE + 2
BACKEND = "backend challenges\nserver evercert 127.0.0.1:%d" % RESPONDER
CHALLENGE = "{ path_beg /.well-known/acme-challenge/ }"


def made_for_haproxy(path):
    os.makedirs(path)
    user = pwd.getpwnam("haproxy")
    os.chown(path, user.pw_uid, user.pw_gid)
    return path


def stand_in(folder):
    """As the page on HAProxy makes it."""
    key, made = os.path.join(folder, "k.pem"), os.path.join(folder, "c.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=stand-in", "-keyout", key, "-out", made],
                   check=True, capture_output=True)
    parts = []
    for path in (made, key):
        with open(path, "rb") as file:
            parts.append(file.read())
    return parts


class Agent:
    """`evercert run` with exports."""

    def __init__(self, folder, install, pebble, state, exports, certificates, **settings):
        self.folder, self.install, self.state, self.exports, self.process = folder, install, state, exports, None
        self.config = os.path.join(folder, "alone.json")
        self.document = {"state_path": state, "agent_user": "haproxy", "http_listen": "127.0.0.1:%d" % RESPONDER, "http_port": ports.HTTP,
                         "export_path": exports, "proof_address": ["127.0.0.1:%d" % ports.TLS],
                         "issuers": {"test": {"uri": pebble.uri, "accept_terms_of_service": True, "ssl_trusted_certificate": pebble.trust}},
                         "certificates": certificates, **settings}
        self.audit = Audit(state)
        self.write()

    def write(self, **changes):
        self.document.update(changes)
        with open(self.config, "w") as file:
            json.dump(self.document, file)

    def start(self):
        with open(os.path.join(self.folder, "agent.log"), "ab") as log:
            self.process = subprocess.Popen([self.install.program, "run", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self):
        processes.stop(self.process)

    def restart(self):
        self.stop()
        self.start()

    def log(self):
        with open(os.path.join(self.folder, "agent.log"), errors="replace") as file:
            return file.read()


class Alone(Agent):
    """The same, and a HAProxy without Lua that reads them."""

    def __init__(self, folder, install, pebble, haproxy, authority, name, version="2.6", crt=None, beside=None, **settings):
        exports = made_for_haproxy(os.path.join(folder, "exports"))
        self.put(exports, name, stand_in(folder))  # HAProxy wants a file at its first start
        program = program_of(version)
        if program is None:
            pytest.skip("HAProxy %s cannot be had here" % version)
        crt = crt or exports
        if beside:
            theirs = made_for_haproxy(os.path.join(folder, "theirs"))
            self.put(theirs, beside, authority.issue(beside))
            crt += " crt " + theirs
        self.site = haproxy([certificate(name)], bridge=False, crt=crt, challenges="use_backend challenges if " + CHALLENGE, program=program,
                            except_for=" unless " + CHALLENGE, frontends=BACKEND,
                            extra_global="stats socket %s mode 600 user haproxy level admin" % os.path.join(folder, "admin"))
        super().__init__(folder, install, pebble, os.path.join(folder, "evercert"), exports, [certificate(name)], **settings)
        self.site.start()
        self.start()

    @staticmethod
    def put(folder, name, pair):
        with open(os.path.join(folder, name + ".pem"), "wb") as file:
            file.write(b"".join(pair))


@pytest.fixture
def alone(folder, install, pebble, haproxy, authority):
    made = []

    def make(name, **settings):
        made.append(Alone(folder, install, pebble, haproxy, authority, name, **settings))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def test_an_export_is_exchanged_at_the_stats_socket_without_a_reload(alone, evercert, folder):
    agent = alone("runtime.test", runtime_api=os.path.join(folder, "admin"))
    agent.audit.wait("served", "runtime.test", seen=agent.log, timeout=30)
    workers = agent.site.worker_pids()
    first = tls.leaf_at(ports.TLS, "runtime.test").serial
    evercert.renew("runtime.test")
    assert tls.leaf_at(ports.TLS, "runtime.test").serial != first
    assert agent.site.worker_pids() == workers
    assert stat.S_IMODE(os.stat(os.path.join(agent.exports, "runtime.test.pem")).st_mode) == 0o640


@pytest.mark.parametrize("version", SUITES)
def test_a_brand_new_certificate_is_served_without_a_reload(alone, evercert, folder, version):
    agent = alone("first.test", version=version, runtime_api=os.path.join(folder, "admin"))
    agent.audit.wait("served", "first.test", seen=agent.log, timeout=30)
    workers = agent.site.worker_pids()
    agent.write(certificates=[certificate("first.test"), certificate("second.test")])
    agent.restart()  # the agent, not HAProxy
    agent.audit.wait("served", "second.test", seen=agent.log, timeout=30)
    first, second = (tls.leaf_at(ports.TLS, name) for name in ("first.test", "second.test"))
    assert second.names == ["second.test"] and "Pebble" in second.issuer and first.names == ["first.test"]
    evercert.renew("second.test")
    assert tls.leaf_at(ports.TLS, "second.test").serial != second.serial
    assert agent.site.worker_pids() == workers
    # What was added at run time is there after a reload as well.
    serial = tls.leaf_at(ports.TLS, "second.test").serial
    agent.site.reload()
    assert tls.leaf_at(ports.TLS, "second.test").serial == serial


def test_where_no_bind_reads_the_directory_a_new_certificate_says_so(alone, folder):
    agent = alone("first.test", crt=os.path.join(folder, "exports", "first.test.pem"), runtime_api=os.path.join(folder, "admin"))
    agent.audit.wait("served", "first.test", seen=agent.log, timeout=30)
    agent.write(certificates=[certificate("first.test"), certificate("second.test")])
    agent.restart()
    wait_for(lambda: "no bind of it reads the directory: write `crt %s`" % agent.exports in agent.log(), "the remedy", 30, seen=agent.log)
    assert "second.test" not in agent.site.cli("show ssl cert")


@pytest.mark.parametrize("remedy", ["the socket comes back", "HAProxy is restarted"])
def test_an_exchange_that_found_no_socket_is_made_up_for(alone, evercert, folder, remedy):
    admin = os.path.join(folder, "admin")
    agent = alone("late.test", runtime_api=admin)
    agent.audit.wait("served", "late.test", seen=agent.log, timeout=30)
    workers, serial = agent.site.worker_pids(), tls.leaf_at(ports.TLS, "late.test").serial
    os.rename(admin, admin + ".away")
    renewal = evercert.start("renew", "late.test", "--force", "--state", agent.state)
    wait_for(lambda: "admin does not answer" in agent.log() and "tried again in" in agent.log(), "the failure to be told", 30, seen=agent.log)
    assert tls.leaf_at(ports.TLS, "late.test").serial == serial
    if remedy == "HAProxy is restarted":
        agent.site.stop()
        agent.site.start()
    else:
        os.rename(admin + ".away", admin)
    tls.wait_leaf(ports.TLS, "late.test", lambda leaf: leaf.serial != serial, 20, seen=agent.log)
    assert renewal.wait(60) == 0
    assert remedy == "HAProxy is restarted" or agent.site.worker_pids() == workers
    evercert.renew("late.test")


def test_a_transaction_of_somebody_else_is_waited_for(alone, evercert, authority, folder):
    agent = alone("mine.test", runtime_api=os.path.join(folder, "admin"), beside="theirs.test")
    agent.audit.wait("served", "mine.test", seen=agent.log, timeout=30)
    theirs, serial = os.path.join(folder, "theirs", "theirs.test.pem"), tls.leaf_at(ports.TLS, "mine.test").serial
    chain, key = authority.issue("theirs.test")
    said = agent.site.cli("set ssl cert %s <<\n%s%s\n" % (theirs, chain.decode(), key.decode()))
    assert "created" in said, said
    renewal = evercert.start("renew", "mine.test", "--force", "--state", agent.state)
    wait_for(lambda: "somebody else is changing %s" % theirs in agent.log(), "the wait to be told", 30, seen=agent.log)
    assert tls.leaf_at(ports.TLS, "mine.test").serial == serial
    assert "Success" in agent.site.cli("commit ssl cert " + theirs)
    assert tls.leaf_at(ports.TLS, "theirs.test").names == ["theirs.test"] and "evercert tests" in tls.leaf_at(ports.TLS, "theirs.test").issuer
    tls.wait_leaf(ports.TLS, "mine.test", lambda leaf: leaf.serial != serial, 20, seen=agent.log)
    assert renewal.wait(30) == 0


def test_a_transaction_that_an_agent_before_left_open_is_ended(alone, evercert, authority, folder):
    agent = alone("left.test", runtime_api=os.path.join(folder, "admin"))
    agent.audit.wait("served", "left.test", seen=agent.log, timeout=30)
    chain, key = authority.issue("left.test")
    said = agent.site.cli("set ssl cert %s/left.test.pem <<\n%s%s\n" % (agent.exports, chain.decode(), key.decode()))
    assert "created" in said, said
    evercert.renew("left.test")
    assert "Pebble" in tls.leaf_at(ports.TLS, "left.test").issuer and "# transaction" not in agent.site.cli("show ssl cert")


def test_an_agent_beside_the_bridge_adds_names_without_a_reload(haproxy, install, pebble, folder, evercert):
    """The bridge's agent leads and shows the challenges; the second one hands its plan over, exports, and adds."""
    exports = made_for_haproxy(os.path.join(folder, "added"))
    admin = os.path.join(folder, "admin")
    site = haproxy([certificate("lua.test")], extra_global="stats socket %s mode 600 user haproxy level admin" % admin)
    site.write(crt="%s crt %s" % (site.pem_path, exports))
    site.start()
    site.audit.wait("served", "lua.test", seen=site.log)
    workers = site.worker_pids()
    second = Agent(folder, install, pebble, site.state, exports, [certificate("added.test")], runtime_api=admin)
    second.start()
    try:
        second.audit.wait("served", "added.test", seen=second.log, timeout=30)
        assert tls.leaf_at(ports.TLS, "added.test").names == ["added.test"]
        before = tls.leaf_at(ports.TLS, "lua.test")
        assert before.names == ["lua.test"]
        # When the second one leads, HAProxy answers the challenges all the same.
        processes.kill(site.agent())
        wait_for(lambda: evercert.status()["agent"]["pid"] == second.process.pid, "the second to lead", 20, 0.1, seen=evercert.status)
        for name in ("lua.test", "added.test"):
            wait_for(lambda name=name: evercert.run("renew", name, "--force").returncode == 0, "%s to be renewed" % name, 20, 0.1, seen=second.log)
        tls.wait_leaf(ports.TLS, "lua.test", lambda leaf: leaf.serial != before.serial, seen=second.log)
        assert site.worker_pids() == workers
    finally:
        second.stop()


def test_the_master_reloads_after_an_export(alone, folder):
    path = os.path.join(folder, "haproxy-master.sock")
    agent = alone("master.test", master_cli=path)
    os.chmod(path, 0o666)
    agent.audit.wait("served", "master.test", seen=agent.log, timeout=30)
    assert "Pebble" in tls.leaf_at(ports.TLS, "master.test").issuer


def test_a_hook_runs_after_an_export_and_its_failure_is_told(alone, folder):
    script, told = os.path.join(folder, "hook"), os.path.join(folder, "exports", "told")
    with open(script, "w") as file:
        file.write("#!/bin/sh\necho \"$1 $EVERCERT_CERTIFICATES\" >%s\nexit 3\n" % told)
    os.chmod(script, 0o755)
    agent = alone("hook.test", hook=[script, "word"])
    wait_for(lambda: "ended with exit code 3" in agent.log(), "the failure to be told", 30, seen=agent.log)
    with open(told) as file:
        assert file.read() == "word hook.test\n"


def test_exports_need_their_directory(install, folder):
    config = os.path.join(folder, "wrong.json")
    with open(config, "w") as file:
        json.dump({"state_path": os.path.join(folder, "x"), "runtime_api": "/run/admin.sock", "hook": ["reload"], "certificates": []}, file)
    process = subprocess.Popen([install.program, "run", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 3 and "export_path" in said and "absolute" in said
