"""Orders that run for longer than their certificates, and certificates whose names change: a reissue costs no second order."""
import pytest

from harness import ports, processes, tls
from harness.buyers import BUYERS, SslStore
from harness.evercert import end
from harness.nginx import host
from harness.waiting import wait_for

# A product for several names, and the call that reissues.
SEVERAL = {"certinext-v2": {"product": "844 dv-ucc"}, "sectigo": {"product": "502"}, "ssl_store": {"product": "positivemdcssl"},
           "digicert": {"product": "cloud_dv_geotrust"}}
CALLS = {"certinext-v2": "reissue", "sectigo": "replace", "ssl_store": "order/reissue", "digicert": "reissue"}
# CERTInext changes names or key, not both at once.
BY_NAMES = ["sectigo", "ssl_store", "digicert"]


@pytest.fixture
def buyer(request, folder, dns):
    one = dict(BUYERS, ssl_store=SslStore)[request.param](folder)
    yield one
    one.close()


@pytest.fixture
def begun():
    """Commands that are not waited for."""
    processes_begun = []
    yield processes_begun
    for process in processes_begun:
        end(process)


def site_of(nginx, buyer, names):
    kind = "certinext-v2" if buyer.ca == "certinext" else buyer.ca
    return nginx(host(names), pebble=None, global_extra=buyer.issuer(**SEVERAL[kind]))


def key_of(leaf):
    return leaf.x509.public_key().public_numbers()


def bought(buyer):
    """Orders that were paid for: CERTInext numbers each reissue."""
    return [order for order in buyer.simulator.orders() if "R0" not in str(order["id"])]


def reissues(buyer):
    return sum(count for call, count in buyer.simulator.counts().items() if call.endswith("/reissue") or "replace" in call)


@pytest.mark.parametrize("buyer", BY_NAMES, indirect=True)
def test_a_new_name_is_reissued_in_the_running_order(nginx, buyer, evercert):
    site = site_of(nginx, buyer, ["grown.test", "www.grown.test"]).start()
    site.audit.wait("served", "grown.test", timeout=60)
    first = tls.leaf_at(ports.TLS, "grown.test")
    site.write(http=host(["grown.test", "www.grown.test", "mail.grown.test"]))
    site.reload()
    wait_for(lambda: "mail.grown.test" in tls.leaf_at(ports.TLS, "grown.test").names, "the new name to be served", timeout=60)
    second = tls.leaf_at(ports.TLS, "grown.test")
    assert set(second.names) == {"grown.test", "www.grown.test", "mail.grown.test"} and key_of(first) != key_of(second)
    assert len(buyer.simulator.orders()) == 1 and reissues(buyer) == 1
    site.write(http=host(["grown.test", "mail.grown.test"]))
    site.reload()
    site.audit.wait("agent_leads", more_than=2)
    # What is served covers what is left, so nothing is ordered for it; the name goes with the next certificate.
    assert evercert.wait_state("grown.test", "served")["problem"] is None and reissues(buyer) == 1
    evercert.renew("grown.test")
    assert set(tls.leaf_at(ports.TLS, "grown.test").names) == {"grown.test", "mail.grown.test"}
    assert len(buyer.simulator.orders()) == 1 and reissues(buyer) == 2


@pytest.mark.parametrize("buyer", sorted(CALLS), indirect=True)
def test_a_renewal_within_the_term_is_a_reissue_with_a_new_key(nginx, buyer, evercert):
    site = site_of(nginx, buyer, ["running.test", "www.running.test"]).start()
    site.audit.wait("served", "running.test", timeout=60)
    first = tls.leaf_at(ports.TLS, "running.test")
    evercert.renew("running.test", timeout=60)
    second = tls.leaf_at(ports.TLS, "running.test")
    assert first.serial != second.serial and key_of(first) != key_of(second)
    assert len(bought(buyer)) == 1 and reissues(buyer) == 1


@pytest.mark.parametrize("buyer", sorted(CALLS), indirect=True)
def test_a_kill_between_reissue_and_record_makes_no_second_one(nginx, buyer, evercert, begun):
    site = site_of(nginx, buyer, ["killed.test", "www.killed.test"]).start()
    site.audit.wait("served", "killed.test", timeout=60)
    buyer.simulator.settings(answer_seconds=3)  # time to die while the CA answers
    begun.append(evercert.start("renew", "killed.test", "--force", "--state", evercert.state))
    wait_for(lambda: reissues(buyer) == 1, "the reissue to arrive")
    processes.kill(site.agent())
    buyer.simulator.settings(answer_seconds=0)
    wait_for(lambda: site.audit.count("served") == 2, "the reissued certificate to be served", timeout=90)
    assert reissues(buyer) == 1 and len(bought(buyer)) == 1


@pytest.mark.parametrize("buyer", ["digicert", "ssl_store"], indirect=True)
def test_a_reissue_whose_answer_was_lost_is_found(nginx, buyer, evercert):
    site = site_of(nginx, buyer, ["lost.test", "www.lost.test"]).start()
    site.audit.wait("served", "lost.test", timeout=60)
    buyer.simulator.fault("drop_after", match=CALLS[buyer.ca])
    evercert.renew("lost.test", timeout=60)
    assert reissues(buyer) == 1 and len(buyer.simulator.orders()) == 1


@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_an_order_that_the_ca_ended_is_followed_by_a_new_one_and_the_log_says_why(nginx, buyer, evercert):
    site = site_of(nginx, buyer, ["over.test", "www.over.test"]).start()
    site.audit.wait("served", "over.test", timeout=60)
    buyer.simulator.act(buyer.simulator.orders()[0]["id"], "status", status="revoked")
    evercert.renew("over.test", timeout=60)
    said = site.audit.all("reissue_refused")
    assert len(said) == 1 and "a new order is placed" in said[0]["sentence"] and len(buyer.simulator.orders()) == 2


@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_giving_up_a_reissue_leaves_the_order_alone(nginx, buyer, evercert, begun):
    site = site_of(nginx, buyer, ["kept.test", "www.kept.test"]).start()
    site.audit.wait("served", "kept.test", timeout=60)
    buyer.simulator.settings(approval="manual")
    begun.append(evercert.start("renew", "kept.test", "--force", "--state", evercert.state))
    wait_for(lambda: reissues(buyer) == 1, "the reissue to arrive")
    wait_for(lambda: evercert.cancel("kept.test"), "the order to be open")
    evercert.wait_problem("kept.test", "action_required")
    assert [order["state"] if "state" in order else order["status"] for order in buyer.simulator.orders()] not in (["canceled"], [])


@pytest.mark.parametrize("buyer", ["certinext-v2", "digicert"], indirect=True)
def test_a_running_order_is_remembered_over_a_restart_of_the_server(nginx, buyer, evercert):
    site = site_of(nginx, buyer, ["after.test", "www.after.test"]).start()
    site.audit.wait("served", "after.test", timeout=60)
    site.stop()
    site.start()
    wait_for(lambda: evercert.run("renew", "after.test", "--force").returncode == 0, "the renewal", timeout=60)
    assert len(bought(buyer)) == 1 and reissues(buyer) == 1
