"""What is said of orders and certificates at commercial CAs is what the CA says: revoked and cancelled when they are, asked for
when that is all; a person who said no is not overruled, and one who is waited for is named."""
import re

import pytest

from harness import ports, tls
from harness.buyers import BUYERS, NAME
from harness.evercert import DONE, FAILED, HUMAN, status_page
from harness.nginx import host
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)


def bought(shop, **changed):
    site = shop(**changed).start()
    site.audit.wait("served", NAME, timeout=60)
    return site


def awaited(evercert, what):
    return wait_for(lambda: [one for one in evercert.status()["awaited"] if one["what"] == what], "the status to tell it", 30, 0.2)


@every_ca
def test_a_revocation_whose_answer_was_lost_is_said_to_have_happened(shop, buyer, evercert):
    site = bought(shop)
    buyer.simulator.fault("drop_after", match="(?i)revoke")
    done = evercert.run("revoke", NAME, "--reason", "superseded", "--yes", timeout=60)
    assert done.returncode == DONE and "was revoked" in done.stdout, done.stdout + done.stderr
    assert buyer.count("(?i)revoke") == 1
    site.audit.wait("revoked", NAME)


REQUESTED = [("certinext-v1", dict(revocation="requested"), "approve-revocation"),
             ("certinext-v2", dict(revocation="requested"), "approve-revocation"),
             ("ssl-store", dict(revoke_path="refundrequest", refund_approval="manual"), "approve-refund"),
             ("digicert", dict(approval="manual"), "approve")]


@pytest.mark.parametrize("buyer, settings, approve", REQUESTED, indirect=["buyer"])
def test_a_revocation_that_was_only_asked_for_is_said_so_and_looked_after_until_it_is_true(shop, buyer, evercert, settings, approve):
    site = bought(shop)
    buyer.simulator.settings(**settings)
    done = evercert.run("revoke", NAME, "--reason", "superseded", "--yes", timeout=60)
    assert done.returncode == HUMAN and "was asked to revoke" in done.stderr + done.stdout, done.stdout + done.stderr
    assert site.audit.count("revoked", NAME) == 0
    assert awaited(evercert, "revocation")[0]["certificate"] == NAME
    said = r"was asked at \S+ for the revocation of %s and has not done it yet" % re.escape(NAME)
    for words in (["status"], ["status", NAME], ["show", NAME]):
        assert re.search(said, evercert.run(*words).stdout), words
    assert re.search(said, status_page(ports.STATUS, "/text")[1].decode())
    buyer.simulator.act(buyer.orders()[0]["id"], approve)
    site.audit.wait("revoked", NAME, timeout=90)
    wait_for(lambda: evercert.status()["awaited"] == [], "the status to forget it", 30, 0.2)
    assert "has not done it yet" not in evercert.run("status").stdout


@pytest.mark.parametrize("buyer", ["certinext-v1"], indirect=True)
def test_a_revocation_that_somebody_refused_is_told(shop, buyer, evercert):
    site = bought(shop)
    buyer.simulator.settings(revocation="requested")
    assert evercert.run("revoke", NAME, "--reason", "superseded", "--yes", timeout=60).returncode == HUMAN
    buyer.simulator.act(buyer.orders()[0]["id"], "reject-revocation")
    site.audit.wait("revocation_refused", NAME, timeout=90)
    assert site.audit.count("revoked", NAME) == 0


@pytest.mark.parametrize("buyer", ["ssl-store"], indirect=True)
def test_a_cancellation_that_was_only_asked_for_is_looked_after_until_it_is_true(shop, buyer, evercert):
    buyer.simulator.settings(approval="manual", refund_approval="manual")
    site = shop().start()
    site.audit.wait("order_placed", NAME, timeout=30)
    done = evercert.run("cancel", NAME, timeout=60)
    assert done.returncode == HUMAN and "was asked to cancel" in done.stderr + done.stdout, done.stdout + done.stderr
    number = buyer.orders()[0]["id"]
    assert awaited(evercert, "cancellation")[0]["order"] == number
    assert site.audit.count("order_cancelled") == 0
    buyer.simulator.act(number, "approve-refund")
    site.audit.wait("order_cancelled", NAME, timeout=90)


@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_a_cancellation_that_the_ca_refuses_is_no_cancellation(shop, buyer, evercert):
    buyer.simulator.settings(issue_seconds=600)
    site = shop().start()
    wait_for(lambda: [o for o in buyer.orders() if o["state"] == "Applied"], "the order to be at work", 40, 0.2, seen=buyer.orders)
    done = evercert.run("cancel", NAME, timeout=60)
    assert done.returncode == FAILED and "goes on there and may have to be paid" in done.stderr, done.stdout + done.stderr
    event = site.audit.wait("order_not_cancelled", NAME)
    assert event["order"] == buyer.orders()[0]["id"] and site.audit.count("order_cancelled") == 0


@every_ca
def test_an_order_that_was_rejected_is_not_placed_again_before_somebody_asks(shop, buyer, evercert):
    buyer.simulator.settings(approval="manual")
    site = shop().start()
    site.audit.wait("order_placed", NAME, timeout=30)
    wait_for(lambda: evercert.certificate(NAME)["problem"], "somebody to be waited for", 60, 0.2)
    buyer.simulator.act(buyer.orders()[0]["id"], "reject")
    done = evercert.run("renew", NAME, timeout=60)
    assert done.returncode == HUMAN, done.stdout + done.stderr
    problem = evercert.wait_problem(NAME, "action_required")
    assert "evercert renew" in problem["message"] and re.search("(?i)reject|cancel|declin", problem["message"]), problem
    assert evercert.certificate(NAME)["next"] is None
    site.reload()
    site.audit.wait("agent_leads", more_than=1)
    buyer.stays_calm()
    assert len(buyer.orders()) == 1 and site.audit.count("order_not_cancelled") == 0
    buyer.simulator.settings(approval="auto")
    evercert.renew(NAME, timeout=60)
    assert len(buyer.orders()) == 2 and buyer.is_served()


@every_ca
def test_who_asks_for_a_certificate_hears_at_once_that_a_person_is_waited_for(shop, buyer, evercert):
    buyer.simulator.settings(approval="manual")
    site = shop().start()
    evercert.wait_state(NAME, "action_required", timeout=90)
    for _ in range(2):
        done = evercert.run("renew", NAME, timeout=60)
        assert done.returncode == HUMAN and re.search("approv|waits for the CA behind it", done.stderr), done.stdout + done.stderr
    buyer.simulator.act(buyer.orders()[0]["id"], "approve")
    evercert.renew(NAME, timeout=60)
    assert len(buyer.orders()) == 1 and site.audit.count("served", NAME) == 1


@pytest.mark.parametrize("number", [-107, -737, -724])
@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_domains_that_are_not_validated_are_a_matter_for_a_person_with_what_to_do(shop, buyer, evercert, number):
    buyer.simulator.settings(prevalidation=True, any_domain=True, dcv_refusal=number)
    shop().start()
    problem = evercert.wait_problem(NAME, "action_required", timeout=40)
    assert str(number) in problem["message"] and "Domain Control Validation" in problem["message"], problem
    buyer.stays_calm()
    assert not buyer.orders()


@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_a_replacement_under_another_number_is_followed(shop, buyer, evercert):
    buyer.simulator.settings(replace_keeps_id=False)
    site = bought(shop)
    before = tls.leaf_at(ports.TLS, NAME).serial
    evercert.renew(NAME, timeout=90)
    assert tls.leaf_at(ports.TLS, NAME).serial != before and buyer.is_served()
    old, new = sorted(buyer.orders(), key=lambda order: int(order["id"]))
    assert old["state"] == "Replaced" and site.audit.wait("order_moved", NAME)["order"] == new["id"]
    assert buyer.count(buyer.place) == 1 and site.audit.count("renewal_failed") == 0


@pytest.mark.parametrize("buyer, changed", [("digicert", {}), ("ssl-store", dict(product="digi_rapidssl"))], indirect=["buyer"])
def test_two_kinds_of_key_of_one_host_are_proved_at_once(nginx, buyer, changed):
    buyer.simulator.settings(recheck_seconds=1)
    both = "evercert_certificate seller key=ecdsa:256,rsa:2048;"
    site = nginx(host(NAME, evercert=both), pebble=None, global_extra=buyer.issuer(**changed)).start()
    wait_for(lambda: site.audit.count("published") == 2, "both certificates", timeout=90, pause=0.2, seen=site.audit.sentences)
    assert len(buyer.orders()) == 2
