"""A commercial CA that is down, answers nonsense or ends connections, and a way to it that is blocked: the order survives, the
sentence says what happened, nobody hammers, and it goes on when the fault ends."""
import os
import re

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
    failed, asking = [0], []

    def served_or_asked_again():
        if site.audit.count("renewal_failed") > failed[0]:
            failed[0] = site.audit.count("renewal_failed")
            asking.append(evercert.start("renew", NAME, "--force", "--state", evercert.state))
        return site.audit.count("served", NAME)
    wait_for(served_or_asked_again, "the certificate to be served", 60, 0.02, site.audit.sentences)
    for one in asking:
        one.communicate(timeout=20)
    assert buyer.is_served() and len(buyer.orders()) == 1
    said = [event["sentence"] for event in site.audit.all("renewal_failed")]
    for fault, (_, words) in NONSENSE.items():
        found = [sentence for sentence in said if re.search(words, sentence)]
        assert found, "%s was never said: %s" % (fault, said)
        assert all("issuer seller" in sentence and "<" not in sentence and len(sentence) < 900 for sentence in found)


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
        says(problem, "127.0.0.1:%d" % ports.LINK)
        wait_for(lambda: "is the server running" in site.log(), "the CA to be named as gone", seen=site.log)
        before = link.connections
        link.mend()
        site.audit.wait("served", NAME, timeout=60)
        assert len(buyer.orders()) == 1 and link.connections > before
        assert site.audit.count("issuer_unreachable") == site.audit.count("issuer_back") == 1
    finally:
        link.close()


@pytest.fixture
def proxy():
    made = []

    def make(**options):
        made.append(Proxy(ports.PROXY, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def through_proxy(folder, password=None):
    """The option proxy, with the password in a file of its own."""
    address = "http://127.0.0.1:%d" % ports.PROXY
    if password is None:
        return address
    path = os.path.join(folder, "proxy.secret")
    write_private(path, password.encode() + b"\n")
    return "%s customer %s" % (address, path)


@pytest.mark.parametrize("password", [None, "let-me-out"])
@every_ca
def test_a_certificate_is_bought_through_a_proxy(shop, buyer, proxy, folder, password):
    stand = proxy(password="customer:" + password if password else None)
    site = shop(proxy=through_proxy(folder, password)).start()
    site.audit.wait("served", NAME, timeout=40)
    assert stand.asked and all(line.startswith("CONNECT 127.0.0.1:") and status == 200 for line, status in stand.asked)
    assert password is None or password not in site.log()


REFUSALS = {
    # The proxy, what is given for it, what is said.
    "the password is wrong": (dict(password="customer:right"), "wrong", "407.*check user and password"),
    "it wants a password": (dict(password="customer:right"), None, "407.*asks for a user and a password"),
    "the proxy refuses": (dict(refusal=403), None, "403.*allow this host"),
    "there is no proxy": (None, None, "refused the connection"),
}


@pytest.mark.parametrize("what", REFUSALS)
@every_ca
def test_a_proxy_that_refuses_is_named_and_costs_nothing(shop, buyer, proxy, folder, evercert, what):
    options, password, words = REFUSALS[what]
    stand = proxy(**options) if options is not None else None
    site = shop(proxy=through_proxy(folder, password)).start()
    problem = evercert.wait_problem(NAME, "connection", timeout=30)
    says(problem, "proxy", "127.0.0.1:%d" % ports.PROXY, words)
    log_says(site, problem)
    assert password is None or password not in site.log()
    assert buyer.all_requests() == 0
    # The proxy is set right, or somebody starts it.
    if stand:
        stand.password = stand.refusal = None
    else:
        proxy()
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1


@every_ca
def test_a_server_that_no_trusted_ca_vouches_for_gets_no_secret(shop, buyer, folder, evercert):
    stranger = Authority(os.path.join(folder, "stranger"))
    site = shop(ssl_trusted_certificate=stranger.root_path).start()
    problem = evercert.wait_problem(NAME, "connection", timeout=30)
    says(problem, "not trusted", "ssl_trusted_certificate")
    log_says(site, problem)
    assert buyer.all_requests() == 0
    site.write(global_extra=buyer.issuer())
    site.reload()
    site.audit.wait("served", NAME, timeout=60)


@pytest.mark.parametrize("buyer", ["certinext-v1"], indirect=True)
def test_a_clock_that_the_ca_does_not_believe_is_a_matter_for_a_person(shop, buyer, evercert):
    buyer.simulator.skew(3600)
    site = shop().start()
    problem = evercert.wait_problem(NAME, timeout=30)
    says(problem, "time", "clock")
    log_says(site, problem)
    assert not buyer.orders()
    buyer.stays_calm()
    buyer.simulator.skew(0)
    evercert.renew(NAME, timeout=30)
    assert len(buyer.orders()) == 1


@every_ca
def test_a_certificate_of_a_ca_whose_clock_is_ahead_is_kept_until_it_is_valid(shop, buyer, evercert):
    # What was signed begins five minutes before the CA's time, and five more are forgiven.
    buyer.simulator.ask("POST", "/clock", {"advance": 620})
    buyer.simulator.settings(**({"clock_skew_seconds": 1000} if buyer.ca == "certinext" else {}))
    site = shop().start()
    kept = site.audit.wait("issued_not_valid_yet", NAME, timeout=30)
    assert "is not valid before" in kept["sentence"]
    assert evercert.wait_state(NAME, "waiting")["problem"] is None
    site.audit.wait("served", NAME, timeout=40)
    assert len(buyer.orders()) == 1 and not site.audit.count("action_required")
