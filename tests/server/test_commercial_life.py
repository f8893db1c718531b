"""What every order at a commercial CA goes through in its life, over each interface: renewed, revoked, cancelled, other names,
three days of waiting, lists that are read by themselves, and the test of a login."""
import re

import pytest

from harness import clock, ports, tls
from harness.buyers import BUYERS, NAME
from harness.clock import Clock
from harness.evercert import DONE
from harness.nginx import host
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)
DAY = 86400


def key_of(leaf):
    return leaf.x509.public_key().public_numbers()


@every_ca
def test_a_certificate_is_renewed_with_another_key_and_revoked(shop, buyer, evercert):
    site = shop().start()
    site.audit.wait("served", NAME, timeout=40)
    first = tls.leaf_at(ports.TLS, NAME)
    evercert.renew(NAME, timeout=40)
    second = tls.leaf_at(ports.TLS, NAME)
    assert first.serial != second.serial and key_of(first) != key_of(second) and buyer.is_served()
    done = evercert.run("revoke", NAME, "--reason", "superseded", "--comment", "nobody uses it", "--yes")
    assert done.returncode == DONE, done.stderr
    assert buyer.count("(?i)revoke") == 1
    site.audit.wait("revoked", NAME)


@every_ca
def test_an_order_is_cancelled_at_the_ca_and_not_placed_again_until_somebody_asks(shop, buyer, evercert):
    buyer.simulator.settings(approval="manual")
    site = shop().start()
    site.audit.wait("order_placed", NAME, timeout=30)
    wait_for(lambda: evercert.cancel(NAME), "the order to be given up", pause=0.1)
    site.audit.wait("order_cancelled", timeout=30)
    problem = evercert.wait_problem(NAME, "action_required")
    assert "cancelled" in problem["message"]
    assert [bool(re.match("(?i)cancel|declin", order["state"])) for order in buyer.orders()] == [True]
    buyer.stays_calm()
    buyer.simulator.settings(approval="auto")
    evercert.renew(NAME, timeout=40)
    assert len(buyer.orders()) == 2 and buyer.is_served()


# Sectigo, DigiCert and The SSL Store change the names of a running order: test_reissue.
@pytest.mark.parametrize("buyer, product", [("certinext-v1", "844 dv-ucc"), ("certinext-v2", "844 dv-ucc")], indirect=["buyer"])
def test_a_new_name_where_the_ca_reissues_for_none_is_a_new_order(shop, buyer, product):
    site = shop([NAME, "www." + NAME], product=product).start()
    site.audit.wait("served", NAME, timeout=40)
    names = [NAME, "www." + NAME, "mail." + NAME]
    site.write(http=host(names))
    site.reload()
    wait_for(lambda: set(tls.leaf_at(ports.TLS, NAME).names) == set(names), "the new name to be served", timeout=40)
    assert len(buyer.orders()) == 2 and buyer.is_served("mail." + NAME)


@every_ca
def test_a_login_is_tested_and_cannot_be_fooled(shop, buyer, evercert):
    site = shop(order="off").start()
    site.audit.wait("agent_leads")
    done = evercert.run("test", "issuer", "seller")
    assert done.returncode == DONE and done.stdout, done.stdout + done.stderr
    site.write(global_extra=buyer.issuer(order="off", **buyer.wrong_secret))
    site.reload()
    site.audit.wait("agent_leads", more_than=1)
    refused = evercert.run("test", "issuer", "seller")
    said = refused.stdout + refused.stderr
    assert refused.returncode != DONE and "secret" in said and buyer.wrong_secret["secret"] not in said, said
    assert not buyer.orders()


@pytest.fixture
def years(shop, buyer, folder, install):
    """A server whose agent and whose CA have a time that is turned: turn(days)."""
    if not clock.LIBRARY:
        pytest.skip("the package faketime is not installed")
    agent, passed = Clock(folder, install), [0]

    def make(**changed):
        site = shop(**changed).use_program(agent.program).start()
        site.audit.wait("agent_leads")
        return site

    def turn(seconds):
        buyer.simulator.advance(seconds)
        passed[0] += seconds
        agent.turn("+%d" % passed[0])
    make.turn = turn
    return make


@pytest.mark.slow
@every_ca
def test_an_approval_that_takes_three_days_is_waited_for_by_the_agent_alone(years, buyer, evercert):
    buyer.simulator.settings(approval="manual")
    site = years()
    evercert.wait_state(NAME, "action_required", timeout=90)
    since = evercert.certificate(NAME)["problem"]["since"]
    before = buyer.count(buyer.track)
    # A fifth more or less than a day lies between two looks; each of these reminds people.
    for told, days in enumerate((1.25, 1.75), 1):
        years.turn(days * DAY)
        site.audit.wait("action_required", NAME, more_than=told, timeout=40)
    assert evercert.certificate(NAME)["problem"]["since"] == since
    # People are slow, and the CA is not asked for each minute of it.
    assert buyer.count(buyer.track) - before <= 4
    buyer.simulator.act(buyer.orders()[0]["id"], "approve")
    years.turn(1.25 * DAY)
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1 and site.audit.count("renewal_failed") == 0
    assert not evercert.wait_state(NAME, "served")["problem"]


@pytest.mark.slow
@every_ca
def test_what_the_ca_offers_is_read_by_itself_and_again_after_a_week(years, buyer, evercert):
    years(order="off")

    def lists():
        counts = buyer.simulator.counts()
        return {name for name in counts if not re.search("token", name)}
    assert not lists()
    years.turn(11 * 60)
    wait_for(lists, "the lists to be read", 40, 0.2)
    wait_for(lambda: [account["seen"] for account in evercert.status()["accounts"]], "the status to tell", 40, 0.2)
    first = lists()
    buyer.simulator.ask("DELETE", "/counts")
    years.turn(7 * DAY)
    wait_for(lambda: lists() == first, "the same lists to be read again", 40, 0.2, seen=lambda: (lists(), first))
    assert not buyer.orders()
