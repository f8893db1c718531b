"""A CA that never lets an order end: it is not waited for without end, another CA is asked, and somebody is told; what costs money
is never given up by itself."""
import datetime
import re

import fault_proxy
import pytest
from harness import ports, tls
from harness.buyers import NAME as BOUGHT
from harness.evercert import DONE
from harness.forger import EVER, FINALIZE
from harness.nginx import host, issuer
from harness.waiting import wait_for

NAME = "endless.test"
NEW_ORDER, ORDER = "^/order-plz$", "^/my-order/"


def saying(said, instead_of):
    def change(body):
        return re.sub(rb'"status": *"(%s)"' % instead_of.encode(), b'"status": "%s"' % said.encode(), body), []
    return fault_proxy.rewrite(change)


def never_ends(fault, how):
    if how == "pending":
        fault.add(ORDER, saying("pending", "ready|processing|valid"), times=EVER)
    elif how == "processing":
        fault.add(ORDER, saying("processing", "valid"), times=EVER)
        fault.add(FINALIZE, saying("processing", "ready|valid"), times=EVER)
    else:
        fault.add(FINALIZE, fault_proxy.status(500), times=EVER)


def look_again(shifted, evercert, name, minutes):
    """The agent's clock is turned on, and it has asked the CA by the clock of then."""
    shifted.turn("+%dm" % minutes)

    def asked():
        following = evercert.certificate(name)["next"]
        at = following and datetime.datetime.fromisoformat(following["at"].replace("Z", "+00:00"))
        return at and at - datetime.datetime.now(datetime.timezone.utc) > datetime.timedelta(minutes=minutes - 5)
    wait_for(asked, "the agent to ask again %d minutes later" % minutes, 30, 0.2, seen=lambda: evercert.certificate(name))


@pytest.mark.parametrize("how", ["pending", "processing", "finalize refused for ever"])
def test_an_order_that_never_ends_does_not_keep_a_site_without_a_certificate(nginx, pebble, fault, shifted, evercert, how):
    never_ends(fault, how)
    site = nginx(host(NAME, evercert="evercert on; evercert_issuer test other;"), directory=fault.uri,
                 global_extra=issuer(pebble.uri, pebble.trust, name="other")).use_program(shifted.program).start()
    site.audit.wait("order_placed", NAME)
    wait_for(lambda: fault.count(FINALIZE if "finalize" in how else ORDER) and evercert.certificate(NAME)["next"], "the first question")
    look_again(shifted, evercert, NAME, 1500)
    # A clock that is wrong once is no proof that the CA keeps it.
    assert not site.audit.count("order_given_up") and fault.count(NEW_ORDER) == 1
    shifted.turn("+1520m")
    given_up = site.audit.wait("order_given_up", NAME, timeout=60)
    assert "has not let the order for %s come to its end since" % NAME in given_up["sentence"]
    assert "other" in site.audit.wait("issuer_changed", NAME)["sentence"]
    site.audit.wait("served", NAME, timeout=40)
    assert tls.leaf_at(ports.TLS, NAME) and fault.count(NEW_ORDER) == 1
    assert site.audit.count("order_placed", NAME) == 2, site.audit.sentences()


def test_a_renewal_that_never_ends_falls_over_to_the_next_issuer(nginx, pebble, fault, shifted, evercert):
    site = nginx(host(NAME, evercert="evercert on; evercert_issuer test other;"), directory=fault.uri,
                 global_extra=issuer(pebble.uri, pebble.trust, name="other")).use_program(shifted.program).start()
    site.audit.wait("served", NAME)
    first = tls.leaf_at(ports.TLS, NAME).serial
    never_ends(fault, "processing")
    assert evercert.run("renew", NAME, "--force", "--timeout", "3").returncode != DONE
    site.audit.wait("order_placed", NAME, more_than=1)
    wait_for(lambda: evercert.certificate(NAME)["now"], "the order to be waited for")
    look_again(shifted, evercert, NAME, 1500)
    assert tls.leaf_at(ports.TLS, NAME).serial == first
    shifted.turn("+1520m")
    site.audit.wait("issuer_changed", NAME, timeout=60)
    tls.wait_leaf(ports.TLS, NAME, lambda leaf: leaf.serial != first)
    assert fault.count(NEW_ORDER) == 2 and site.audit.count("order_placed", NAME) == 3, site.audit.sentences()


def test_a_first_order_that_never_ends_is_an_error_in_the_log(nginx, fault, shifted, evercert):
    never_ends(fault, "processing")
    site = nginx(host(NAME), directory=fault.uri).use_program(shifted.program).start()
    site.audit.wait("order_placed", NAME)
    wait_for(lambda: fault.count(ORDER) and evercert.certificate(NAME)["next"], "the first question")
    shifted.turn("+1500m")
    site.audit.wait("late", NAME, timeout=90)
    site.wait_log(r"\[error\].*%s should have been renewed at .*there is no certificate yet" % re.escape(NAME))


@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_what_is_paid_for_and_never_ends_is_not_bought_again(shop, buyer, shifted, evercert):
    buyer.simulator.settings(issue_seconds=100000)
    site = shop().use_program(shifted.program).start()
    site.audit.wait("order_placed", BOUGHT, timeout=30)
    evercert.wait_state(BOUGHT, "ordering")
    look_again(shifted, evercert, BOUGHT, 1500)
    shifted.turn("+2300m")
    problem = evercert.wait_problem(BOUGHT, "action_required", timeout=90)
    assert "paid for and stays open" in problem["message"]
    site.wait_log("paid for and stays open")
    site.audit.wait("action_required", BOUGHT)
    assert len(buyer.orders()) == 1 and not site.audit.count("order_given_up")
    buyer.simulator.advance(100001)
    look_again(shifted, evercert, BOUGHT, 2400)
    site.audit.wait("served", BOUGHT, timeout=60)
    assert tls.leaf_at(ports.TLS, BOUGHT) and len(buyer.orders()) == 1
