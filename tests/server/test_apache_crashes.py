"""kill -9 of each process of Apache at steps of an order: one order at the CA, one certificate, a matching key, and it is served."""
import pytest

from harness import ports, processes, tls
from harness.apache import host
from harness.waiting import wait_for


def strike(site, victim):
    if victim == "parent":
        site.crash()
        site.start()
        return
    pid = {"agent": site.agent, "relay": site.relay, "child": lambda: site.worker_pids()[0]}[victim]()
    if pid is None:
        return  # between two lives already
    processes.kill(pid)
    wait_for(lambda: not processes.alive(pid), "the %s to die" % victim)


@pytest.mark.parametrize("victim", ["agent", "relay", "child", "parent"])
@pytest.mark.parametrize("event", ["order_placed", "challenge_presented", "finalized", "issued", "published"])
def test_one_order_and_one_certificate_after_killing(apache, pebble, victim, event):
    mark = pebble.mark()
    site = apache(host("crash.test")).start()
    site.audit.wait(event, "crash.test", seen=site.log)
    strike(site, victim)
    leaf = tls.wait_leaf(ports.TLS, "crash.test", lambda leaf: "Pebble" in leaf.issuer, 30, seen=site.log)
    site.audit.wait("served", "crash.test", timeout=30, pause=0.01, seen=site.log)
    assert {tls.leaf_at(ports.TLS, "crash.test").fingerprint for _ in range(8)} == {leaf.fingerprint}
    # A server that is killed while the CA validates makes the CA itself end that order: only the next can issue.
    ended_by_the_ca = [e for e in site.audit.all("renewal_failed") if e.get("kind") == "challenge_failed"]
    assert (pebble.orders(mark), pebble.issued(mark)) == (1 + len(ended_by_the_ca), 1), site.audit.sentences()


@pytest.mark.parametrize("event", ["order_placed", "published"])
def test_a_renewal_whose_agent_is_killed_leaves_the_old_certificate_served_and_is_finished(apache, evercert, pebble, event):
    site = apache(host("again.test")).start()
    site.audit.wait("served", "again.test")
    first = tls.leaf_at(ports.TLS, "again.test").serial
    mark, before = pebble.mark(), site.audit.count(event, "again.test")
    command = evercert.start("renew", "again.test", "--force", "--state", evercert.state)
    site.audit.wait(event, "again.test", more_than=before)
    strike(site, "agent")
    assert tls.get(ports.TLS, "again.test") == (200, b"ok\n")
    tls.wait_leaf(ports.TLS, "again.test", lambda leaf: leaf.serial != first, 30, seen=site.log)
    command.communicate(timeout=60)
    assert (pebble.orders(mark), pebble.issued(mark)) == (1, 1), site.audit.sentences()
