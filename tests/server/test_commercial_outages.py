"""A commercial CA that is down, answers nonsense or ends connections, and a way to it that is blocked: the order survives, the
sentence says what happened, nobody hammers, and it goes on when the fault ends."""
import os
import time

import pytest

from harness import ports
from harness.authority import Authority, write_private
from harness.buyers import BUYERS, NAME, log_says, says
from harness.network import Link, Proxy
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)

# The fault and what is said of it. The first three leave nothing behind at the CA, the others end after it has done its work.
NONSENSE = {
    "html": (dict(status=503), "503 with a web page instead of JSON.*Maintenance.*under maintenance"),
    "oversize": ({}, "more than 1 MiB"),
    "drop": ({}, "closed the connection without an answer"),
    "truncated": ({}, "incomplete or no JSON"),
}


@every_ca
def test_an_order_gets_over_every_kind_of_nonsense_at_every_step(shop, buyer, evercert):
    for fault, (options, _) in NONSENSE.items():
        for step in (buyer.place, buyer.task, buyer.track):
            buyer.simulator.fault(fault, match=step, **options)
    site = shop().start()
    # Somebody who does not want to wait for the pauses.
    seen, end, asking = 0, time.monotonic() + 60, []
    while not site.audit.count("served", NAME):
        assert time.monotonic() < end, site.audit.sentences()
        failed = site.audit.count("renewal_failed")
        if failed > seen:
            seen = failed
            asking.append(evercert.start("renew", NAME, "--force", "--state", evercert.state))
        time.sleep(0.02)
    for one in asking:
        one.communicate(timeout=20)
    assert buyer.is_served() and len(buyer.orders()) == 1
    said = [event["sentence"] for event in site.audit.all("renewal_failed")]
    for fault, (_, words) in NONSENSE.items():
        found = [sentence for sentence in said if wait_match(words, sentence)]
        assert found, "%s was never said: %s" % (fault, said)
        assert all("bought" in sentence and "<" not in sentence and len(sentence) < 900 for sentence in found)
    assert all(event["kind"] == "connection" for event in site.audit.all("renewal_failed")) if "kind" in site.audit.all("renewal_failed")[0] else True


def wait_match(words, sentence):
    import re
    return re.search(words, sentence)


@every_ca
def test_an_order_whose_answer_was_lost_is_found_and_not_placed_again(shop, buyer):
    buyer.simulator.fault("drop_after", match=buyer.place)
    site = shop().start()
    site.audit.wait("served", NAME, timeout=40)
    assert len(buyer.orders()) == 1 and buyer.count(buyer.place) == 1


@every_ca
def test_a_maintenance_of_hours_is_asked_about_seldom_and_ends_by_itself(shop, buyer, evercert):
    buyer.simulator.fault("html", match=".", status=200, times=100000)
    site = shop().start()
    problem = evercert.wait_problem(NAME, "connection", timeout=30)
    says(problem, "web page instead of JSON", "is the address right, or is the CA under maintenance")
    log_says(site, problem)
    buyer.stays_calm(2.0, most=2)
    assert not buyer.orders()
    buyer.simulator.ask("DELETE", "/faults")
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1


@every_ca
def test_a_ca_that_dies_in_mid_order_is_waited_for(shop, buyer, evercert):
    link = Link(ports.LINK, int(buyer.simulator.url.rsplit(":", 1)[1]))
    try:
        buyer.simulator.settings(issue_seconds=2)
        site = shop(uri=buyer.through(ports.LINK)).start()
        wait_for(buyer.orders, "the order")
        link.cut()
        problem = evercert.wait_problem(NAME, "connection", timeout=30)
        says(dict(problem, message=problem["message"]), "127.0.0.1:%d" % ports.LINK)
        wait_for(lambda: "is the server running" in site.log(), "the CA to be named as gone", seen=site.log)
        before = link.connections
        link.mend()
        site.audit.wait("served", NAME, timeout=60)
        assert len(buyer.orders()) == 1 and link.connections > before
        assert site.audit.count("issuer_unreachable") == site.audit.count("issuer_back") == 1
    finally:
        link.close()
