"""What a CA says, or a script of the web server's user writes, never commands a terminal, forges a line or fills a disk."""
import http.client
import json
import os
import pwd
import re
import socket

import fault_proxy
import pytest

from harness import ports, tls
from harness.nginx import host
from harness.waiting import wait_for

# ESC [ and U+009B begin commands of terminals; U+202E turns the direction of what follows; U+2028 and \r begin lines.
EVIL = "\x1b]0;owned\x07\x1b[2J\u009b31m\u0085\u202egro.elpmaxe\u2066\u2028\u200b\r\n[emerg] forged"
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
ORDER = "^/order-plz$"


def says(status, **document):
    """A fault: the CA's own words as a problem document."""
    def act(link, answer):
        body = json.dumps(document).encode()
        head = "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n" % (
            status, http.client.responses[status], len(body))
        link.sendall(head.encode() + body)
        return True
    return act


@pytest.fixture
def listening():
    """A plain server that a request must not reach."""
    ear = Ear()
    yield ear
    ear.socket.close()


class Ear:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", ports.FREE))
        self.socket.setblocking(False)
        self.port = ports.FREE

    def heard(self):
        try:
            self.socket.accept()
            return True
        except BlockingIOError:
            return False


def harmless(text):
    found = HARMFUL.search(text)
    assert not found, "%r in %r" % (found.group(), text[max(0, found.start() - 100):found.end() + 100])
    return text


def test_texts_of_a_status_file_do_not_reach_a_terminal(nginx, evercert):
    site = nginx(host("www.example.com")).start()
    site.audit.wait("served", "www.example.com")
    site.stop()
    path = os.path.join(site.state, "state", "status.json")
    with open(path) as file:
        status = json.load(file)
    one = status["certificates"][0]
    one["problem"] = {"kind": EVIL, "message": EVIL, "since": EVIL, "remedy": EVIL}
    one["next"], one["now"], one["not_after"], one["state"] = {"at": EVIL, "why": EVIL}, EVIL, EVIL, EVIL
    one["set_aside"] = [{"issuer": EVIL, "until": EVIL, "key": EVIL, "message": EVIL}]
    status["server"] = status["version"] = status["generated_at"] = EVIL
    status["agent"] = {"state": EVIL, "pid": 1, "since": EVIL}
    status["certificates"].append(dict(one, name=EVIL))
    with open(path, "w") as file:
        json.dump(status, file, ensure_ascii=False)
    os.chown(path, pwd.getpwnam("www-data").pw_uid, -1)
    for command in (["status"], ["status", "www.example.com"], ["list"], ["show", "www.example.com"], ["show", EVIL],
                    ["status", "--json"], ["list", "--json"], ["show", "www.example.com", "--json"]):
        said = evercert.run(*command)
        harmless(said.stdout + said.stderr)
        assert "owned" in said.stdout + said.stderr, command
        if command[-1] == "--json":
            json.loads(said.stdout)


def test_words_of_a_ca_do_not_steer_log_page_metrics_and_terminal(nginx, evercert, fault):
    fault.add(ORDER, says(403, type="urn:ietf:params:acme:error:rejectedIdentifier", detail="no: " + EVIL,
                          subproblems=[{"type": "urn:x", "detail": EVIL, "identifier": {"type": "dns", "value": EVIL}}]), times=1000)
    site = nginx(host("www.example.com"), directory=fault.uri).start()
    problem = evercert.wait_problem("www.example.com")
    assert "gro.elpmaxe" in problem["message"]
    harmless(json.dumps(problem, ensure_ascii=False))
    wait_for(lambda: "gro.elpmaxe" in site.log(), "the refusal in the log")
    harmless(site.log())
    assert not re.search(r"^\[emerg\]", site.log(), re.M)
    for rest in ("", "/json", "/metrics"):
        harmless(tls.plain_get(ports.STATUS, "localhost", "/evercert" + rest)[1].decode())
    said = evercert.run("show", "www.example.com")
    harmless(said.stdout + said.stderr)


def test_four_hundred_subproblems_do_not_fill_status_and_audit_trail(nginx, evercert, fault):
    parts = [{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "x" * 900,
              "identifier": {"type": "dns", "value": "n%d.example" % number}} for number in range(400)]
    fault.add(ORDER, says(403, type="urn:ietf:params:acme:error:rejectedIdentifier", detail="y" * 5000, subproblems=parts), times=1000)
    site = nginx(host("www.example.com"), directory=fault.uri).start()
    problem = evercert.wait_problem("www.example.com")
    assert len(problem["message"]) < 2000 and "more" in problem["message"]
    for event in site.audit.all(certificate="www.example.com"):
        assert len(json.dumps(event)) < 4000


@pytest.mark.parametrize("place", ["order", "authorization", "finalize", "location"])
def test_an_address_without_encryption_gets_nothing_signed(nginx, evercert, fault, listening, place):
    def plain(link, answer):
        status, headers, body = answer
        document = json.loads(body)
        target = "http://127.0.0.1:%d/" % listening.port
        if place == "authorization":
            document["authorizations"] = [target + "authz"]
        elif place == "finalize":
            document["finalize"] = target + "finalize"
        elif place == "location":
            headers = [(n, target + "order" if n.lower() == "location" else v) for n, v in headers]
        body = json.dumps(document).encode()
        headers = [(n, str(len(body)) if n.lower() == "content-length" else v) for n, v in headers]
        fault_proxy._send(link, status, headers, body)
        return True
    rule = ORDER if place in ("authorization", "location") else "^/(my-order|order-plz)"
    fault.add(rule, plain, times=1000, after=True)
    if place == "order":
        fault.clear()
        fault.add("^/dir$", directory_with_plain_order(listening.port), times=1000, after=True)
    nginx(host("www.example.com"), directory=fault.uri).start()
    problem = evercert.wait_problem("www.example.com")
    assert "https://" in problem["message"] and "127.0.0.1:%d" % listening.port in problem["message"], problem
    assert "network" not in problem["remedy"], problem
    assert not listening.heard()


def directory_with_plain_order(port):
    def act(link, answer):
        status, headers, body = answer
        document = json.loads(body)
        document["newOrder"] = "http://127.0.0.1:%d/order" % port
        body = json.dumps(document).encode()
        fault_proxy._send(link, status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)
        return True
    return act
