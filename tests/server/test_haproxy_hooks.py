"""Without Lua: the agent by itself exports PEM files, exchanges them at HAProxy's stats socket, has the master reload, runs a hook."""
import json
import os
import pwd
import socketserver
import stat
import subprocess
import threading

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.haproxy import certificate
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent changes its user")
RESPONDER = ports.FREE + 2
BACKEND = "backend challenges\nserver evercert 127.0.0.1:%d" % RESPONDER
CHALLENGE = "{ path_beg /.well-known/acme-challenge/ }"


class Alone:
    """`evercert run` with exports, and a HAProxy without Lua that reads them."""

    def __init__(self, folder, install, pebble, haproxy, authority, name, **settings):
        self.name, self.folder = name, folder
        self.exports = os.path.join(folder, "exports")
        os.makedirs(self.exports)
        user = pwd.getpwnam("haproxy")
        os.chown(self.exports, user.pw_uid, user.pw_gid)
        chain, key = authority.issue(name)  # HAProxy wants a file at its first start
        with open(os.path.join(self.exports, name + ".pem"), "wb") as file:
            file.write(chain + key)
        self.site = haproxy([certificate(name)], bridge=False, crt=self.exports, challenges="use_backend challenges if " + CHALLENGE,
                            except_for=" unless " + CHALLENGE, frontends=BACKEND,
                            extra_global="stats socket %s mode 600 user haproxy level admin" % os.path.join(folder, "admin"))
        self.state = os.path.join(folder, "evercert")
        self.config = os.path.join(folder, "alone.json")
        document = {"state_path": self.state, "agent_user": "haproxy", "http_listen": "127.0.0.1:%d" % RESPONDER, "http_port": ports.HTTP,
                    "export_path": self.exports, "proof_address": ["127.0.0.1:%d" % ports.TLS],
                    "issuers": {"test": {"uri": pebble.uri, "accept_terms_of_service": True, "ssl_trusted_certificate": pebble.trust}},
                    "certificates": [certificate(name)], **settings}
        with open(self.config, "w") as file:
            json.dump(document, file)
        self.site.start()
        with open(os.path.join(folder, "agent.log"), "wb") as log:
            self.process = subprocess.Popen([install.program, "run", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.audit = Audit(self.state)

    def log(self):
        with open(os.path.join(self.folder, "agent.log"), errors="replace") as file:
            return file.read()


@pytest.fixture
def alone(folder, install, pebble, haproxy, authority):
    made = []

    def make(name, **settings):
        made.append(Alone(folder, install, pebble, haproxy, authority, name, **settings))
        return made[-1]
    yield make
    for one in made:
        processes.stop(one.process)


def test_an_export_is_exchanged_at_the_stats_socket_without_a_reload(alone, evercert, folder):
    agent = alone("runtime.test", runtime_api=os.path.join(folder, "admin"))
    agent.audit.wait("served", "runtime.test", seen=agent.log, timeout=30)
    workers = agent.site.worker_pids()
    first = tls.leaf_at(ports.TLS, "runtime.test").serial
    evercert.renew("runtime.test")
    assert tls.leaf_at(ports.TLS, "runtime.test").serial != first
    assert agent.site.worker_pids() == workers
    assert stat.S_IMODE(os.stat(os.path.join(agent.exports, "runtime.test.pem")).st_mode) == 0o640


def test_a_refusal_at_the_stats_socket_is_followed_by_an_abort(alone, folder):
    heard = []

    class Stub(socketserver.StreamRequestHandler):
        def handle(self):
            command = self.rfile.readline().decode()
            heard.append(command.split(" ssl")[0])
            self.rfile.read()
            self.wfile.write(b"Transaction created\n" if command.startswith("set") else b"inconsistencies between key and certificate\n")

    path = os.path.join(folder, "stub")
    with socketserver.ThreadingUnixStreamServer(path, Stub) as server:
        os.chmod(path, 0o666)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        agent = alone("refused.test", runtime_api=path)
        wait_for(lambda: "refuses" in agent.log(), "the refusal to be told", 30, seen=agent.log)
        server.shutdown()
    assert heard[:3] == ["set", "commit", "abort"]


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
        json.dump({"state_path": os.path.join(folder, "x"), "hook": ["reload"], "certificates": []}, file)
    process = subprocess.Popen([install.program, "run", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 3 and "export_path" in said and "absolute" in said
