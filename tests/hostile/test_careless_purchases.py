"""Edits and words of an operator while a paid order is open: nothing is bought twice, and whoever asks is answered."""
import os
import signal
import subprocess

import pytest
from harness import ports, tls
from harness.buyers import NAME
from harness.evercert import DONE
from harness.nginx import host
from harness.processes import kill
from harness.waiting import wait_for

BUYERS = ["certinext-v1", "digicert"]


def changed(site, **what):
    leads = site.audit.count("agent_leads")
    site.write(**what)
    site.reload()
    site.audit.wait("agent_leads", more_than=leads, timeout=30)


@pytest.mark.parametrize("edit", ["renamed", "slash"])
@pytest.mark.parametrize("buyer", BUYERS, indirect=True)
def test_an_issuer_that_is_written_otherwise_while_its_order_is_open_is_the_same(shop, buyer, edit):
    buyer.simulator.settings(issue_seconds=10)
    site = shop().start()
    site.audit.wait("order_placed", NAME, timeout=40)
    uri = buyer.options["uri"]
    changed(site, global_extra=buyer.issuer(name="shop") if edit == "renamed" else
            buyer.issuer(uri=uri.rstrip("/") if uri.endswith("/") else uri + "/"))
    site.audit.wait("served", NAME, timeout=60)
    assert buyer.is_served() and len(buyer.orders()) == 1, site.audit.sentences()


@pytest.mark.parametrize("buyer", BUYERS, indirect=True)
def test_an_address_that_is_mistyped_while_an_order_is_open_buys_nothing(shop, buyer, evercert):
    buyer.simulator.settings(issue_seconds=10)
    site = shop().start()
    site.audit.wait("order_placed", NAME, timeout=40)
    changed(site, global_extra=buyer.issuer(uri=buyer.options["uri"].replace("127.0.0.1", "127.0.0.2")))
    problem = evercert.wait_problem(NAME, "action_required", timeout=30)
    assert "is open at %s" % buyer.options["uri"] in problem["message"], problem
    changed(site, global_extra=buyer.issuer())
    site.audit.wait("served", NAME, timeout=60)
    assert buyer.is_served() and len(buyer.orders()) == 1, site.audit.sentences()
    assert evercert.certificate(NAME)["problem"] is None


def test_who_cancels_what_has_just_ended_is_told_so(nginx, evercert):
    site = nginx(host("late.test")).start()
    site.audit.wait("served", "late.test")
    for _ in range(6):
        evercert.run("renew", "late.test", "--force", "--no-wait")
        done = evercert.run("cancel", "late.test", "--timeout", "60s", timeout=90)
        assert "did not come to an end" not in done.stderr and "in the background" not in done.stdout + done.stderr, done
        wait_for(lambda: not evercert.status()["orders"], "the order to end")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("what", ["sparse", "pipe"])
def test_what_can_never_be_an_order_is_put_away_and_holds_nothing_up(nginx, evercert, what):
    site = nginx(host("put.test")).start()
    site.audit.wait("served", "put.test")
    wait_for(lambda: not evercert.status()["orders"], "the order to end")
    path = os.path.join(evercert.state, "state", "orders", "put.test.ecdsa.order")
    agent = site.agent()
    kill(agent, signal.SIGSTOP)
    leads = site.audit.count("agent_leads")
    os.unlink(path)
    words = ["truncate", "-s", "3G", path] if what == "sparse" else ["mkfifo", path]
    subprocess.run(words, user="www-data", group="www-data", extra_groups=[], check=True)
    kill(agent)
    site.audit.wait("agent_leads", more_than=leads, timeout=30)
    assert evercert.run("renew", "put.test", "--force", timeout=60).returncode == DONE, site.audit.sentences()
    assert not os.path.exists(path) or os.path.getsize(path) < 1 << 20
    assert [name for name in os.listdir(os.path.join(evercert.state, "state", "quarantine")) if name.startswith("orders_put.test")]
    assert tls.leaf_at(ports.TLS, "put.test")
