"""kill -9 of each process at each step of an order: one order at the CA, one certificate, a matching key, and it is served."""
import random
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.nginx import host
from harness.waiting import wait_for

EVENTS = ["order_placed", "challenge_presented", "challenge_seen", "order_ready", "finalized", "issued", "published", "served"]
VICTIMS = ["agent", "manager", "worker", "master"]


def strike(site, victim):
    if victim == "master":
        site.crash()
        site.start()
        return
    pid = {"agent": site.agent, "manager": site.manager, "worker": lambda: site.worker_pids()[0]}[victim]()
    if pid is None:
        return  # between two lives already
    processes.kill(pid)
    wait_for(lambda: not processes.alive(pid), "the %s to die" % victim)


def healthy(site, name, timeout=30):
    """The whole promise: served by every worker, with a key that matches (the handshake proves it)."""
    leaf = tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, timeout, seen=site.log)
    site.audit.wait("served", name, timeout=timeout, pause=0.01)
    site.wait_workers()
    assert {tls.leaf_at(ports.TLS, name).fingerprint for _ in range(8)} == {leaf.fingerprint}
    return leaf


def ordered_once(site, pebble, mark, needs=1):
    """One order a need. A server that is killed while the CA validates makes the CA itself end that order: the one after it is
    for the same need, but there is no other way, and it must be the only one to issue."""
    ended_by_the_ca = [event for event in site.audit.all("renewal_failed") if event.get("kind") == "challenge_failed"]
    return (pebble.orders(mark), pebble.issued(mark)) == (needs + len(ended_by_the_ca), needs)


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("event", EVENTS)
def test_one_order_and_one_certificate_after_killing(nginx, pebble, victim, event):
    mark = pebble.mark()
    site = nginx(host("crash.test")).start()
    site.audit.wait(event, "crash.test", seen=site.log)
    strike(site, victim)
    healthy(site, "crash.test")
    wait_for(lambda: site.audit.count("served", "crash.test"), "the proof")
    assert ordered_once(site, pebble, mark), site.audit.sentences()


def story(site, names):
    """What each name went through, one line a name; a name that met the CA twice stands out."""
    return "\n".join("%s: %s" % (name, " ".join(event["name"] for event in site.audit.all(certificate=name))) for name in names)


# Requests on whose answer the agent waits when it dies: the CA has seen them ("answered") or not yet ("asked").
REQUESTS = {"account": "^/sign-me-up", "order": "^/order-plz", "authorization": "^/authZ/", "challenge": "^/chalZ/",
            "poll": "^/my-order/", "finalize": "^/finalize-order/", "download": "^/certZ/"}


@pytest.mark.parametrize("moment", ["asked", "answered"])
@pytest.mark.parametrize("request_kind", REQUESTS)
def test_no_second_order_when_the_agent_dies_waiting_for(nginx, pebble, fault, request_kind, moment):
    gate = threading.Event()
    rule = fault.add(REQUESTS[request_kind], fault_proxy.silence(20, gate), after=moment == "answered")
    mark = pebble.mark()
    site = nginx(host("wait.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the request to come", seen=site.log)
    strike(site, "agent")
    gate.set()
    healthy(site, "wait.test", 60)
    assert (pebble.orders(mark), pebble.issued(mark)) == (1, 1), site.audit.sentences()
    assert pebble.accounts(mark) == 1, "two accounts"


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(3))
def test_ten_names_survive_kills_at_random_instants(nginx, pebble, round_):
    chance = random.Random(1000 + round_)
    names = ["random%d.test" % i for i in range(10)]
    mark = pebble.mark()
    site = nginx("".join(host(name) for name in names)).start(wait=False)
    wait_for(site.agent, "an agent", seen=site.log)
    pause = threading.Event()
    for _ in range(6):
        pause.wait(chance.uniform(0.005, 0.12))  # a random instant is what is wanted
        strike(site, chance.choice(["agent", "agent", "manager", "worker"]))
    for name in names:
        healthy(site, name, 60)
    assert ordered_once(site, pebble, mark, len(names)), story(site, names)


@pytest.mark.parametrize("event", ["order_placed", "finalized", "published"])
def test_a_renewal_that_is_killed_leaves_the_old_certificate_served_and_is_finished(nginx, evercert, pebble, event):
    site = nginx(host("again.test")).start()
    site.audit.wait("served", "again.test")
    first = tls.leaf_at(ports.TLS, "again.test").serial
    mark, before = pebble.mark(), site.audit.count(event, "again.test")
    command = evercert.start("renew", "again.test", "--force", "--state", evercert.state)
    site.audit.wait(event, "again.test", more_than=before)
    strike(site, "agent")
    assert tls.leaf_at(ports.TLS, "again.test").names == ["again.test"]  # some good certificate at every moment
    tls.wait_leaf(ports.TLS, "again.test", lambda leaf: leaf.serial != first, 30, seen=site.log)
    command.communicate(timeout=60)
    assert (pebble.orders(mark), pebble.issued(mark)) == (1, 1), site.audit.sentences()


def test_traffic_never_notices_that_the_agent_is_killed_again_and_again(nginx, evercert):
    site = nginx(host("calm.test")).start()
    site.audit.wait("served", "calm.test")
    workers, serial = site.wait_workers(), tls.leaf_at(ports.TLS, "calm.test").serial
    last = None
    for _ in range(4):
        last = site.wait_agent(other_than=last)
        processes.kill(last)
        assert tls.leaf_at(ports.TLS, "calm.test").serial == serial
    site.wait_agent(other_than=last)
    assert site.worker_pids() == workers
    # The command line tells "gone for good" from "just restarting" by waiting for a leader.
    wait_for(lambda: evercert.run("renew", "calm.test", "--force").returncode == 0, "renew to find the new agent", 20)


def test_everything_ends_with_the_server(nginx):
    site = nginx(host("end.test")).start()
    site.audit.wait("served", "end.test")
    known = [site.master, *site.remember()]
    assert site.agent() in known
    site.stop()
    assert not any(processes.alive(pid) for pid in known)


def test_an_agent_that_cannot_be_started_is_named_and_harms_no_traffic(nginx, authority):
    static = authority.files("static.test")
    site = nginx(host("static.test", "", static=static) + host("lost.test"))
    text = open(site.configuration).read().replace(site.install.program, "/nonexistent/evercert")
    with open(site.configuration, "w") as file:
        file.write(text)
    code, said = site.test()
    if code != 0:
        assert "/nonexistent/evercert" in said  # found out by the configuration check: better still
        return
    site.start()
    site.wait_log("/nonexistent/evercert")
    assert tls.leaf_at(ports.TLS, "static.test").names == ["static.test"]
    assert tls.alert_of(ports.TLS, "lost.test") == 112
