"""Orders at commercial CAs that wait for people, fall back between ways of proving, end at the CA, or meet a crash: shown with
who must do what, where and since when, told once, and never placed a second time."""
import datetime
import re

import pytest

from harness import ports, processes
from harness.bind import bind_for
from harness.buyers import BUYERS, NAME, log_says, says
from harness.nginx import host
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)


class Wait:
    """An order that waits for people: `options` of the issuer and `settings` of the CA that lead there, what somebody at the CA
    does to it meanwhile (`act`), the words that are shown, and what ends the wait."""

    def __init__(self, ca, words, act=None, end="approve", options=None, settings=None, **more):
        self.ca, self.words, self.act, self.end, self.more = ca, words, act, end, more
        self.options, self.settings = options or {}, dict({"approval": "manual"}, **settings or {})


MAIL = dict(options={"challenge": "email:admin@" + NAME}, settings={"approval": "auto"}, end="mail", domain=NAME)
MAIL_WORDS = ["waits for the link in the mail", "admin@" + NAME, "open it"]
UNSIGNED = dict(options={"signer": None}, settings={"approval": "auto"}, end=None)

WAITS = {
    "CERTInext v1: an approval": Wait("certinext-v1", ["waits for an approval by the CA", "ask there", "https?://"]),
    "CERTInext v1: on hold": Wait("certinext-v1", ["is on hold", "ask the CA what it waits for", "https?://"], act="hold"),
    "CERTInext v1: a discrepancy": Wait("certinext-v1", ["has a discrepancy", "answer the CA's question", "https?://"], act="discrepancy"),
    "CERTInext v1: the agreement": Wait("certinext-v1", ["subscriber agreement", "accept it", "or set signer"], **UNSIGNED),
    "CERTInext v1: a mail": Wait("certinext-v1", MAIL_WORDS, **MAIL),
    "CERTInext v2: an approval": Wait("certinext-v2", ["waits for an approval", "in the portal"]),
    "CERTInext v2: documents": Wait("certinext-v2", ["waits for documents", "hand them in at the portal"], act="documents"),
    "CERTInext v2: the agreement": Wait("certinext-v2", ["subscriber agreement", "accept it in the portal, or set signer"], **UNSIGNED),
    "CERTInext v2: the organization": Wait("certinext-v2", ["until the CA has verified the organization", "answer its questions"],
                                           options={"product": "846 ov", "organization": "5520002"}, settings={"approval": "auto"}),
    "CERTInext v2: a mail": Wait("certinext-v2", MAIL_WORDS, **MAIL),
    "Sectigo: an approval": Wait("sectigo", ["until an administrator of Certificate Manager approves it"]),
    "Sectigo: a mail": Wait("sectigo", MAIL_WORDS, **MAIL),
    "The SSL Store: vetting": Wait("ssl-store", ["waits for the CA behind it", "look at the order in the portal of The SSL Store"]),
    "The SSL Store: a mail": Wait("ssl-store", MAIL_WORDS, **MAIL),
    "DigiCert: an approval": Wait("digicert", ["until an administrator of CertCentral approves it"]),
    "DigiCert: a mail": Wait("digicert", MAIL_WORDS, **MAIL),
}


@pytest.mark.parametrize("buyer, wait", [(wait.ca, wait) for wait in WAITS.values()], ids=WAITS, indirect=["buyer"])
def test_who_must_do_what_is_shown_until_it_is_done(shop, buyer, evercert, wait):
    buyer.simulator.settings(**wait.settings)
    site = shop(**wait.options).start()
    number = wait_for(buyer.orders, "the order")[0]["id"]
    if wait.act:
        buyer.simulator.act(number, wait.act)
    problem = evercert.wait_state(NAME, "action_required", timeout=60)["problem"]
    says(problem, "the order " + number, *wait.words)
    log_says(site, problem)
    since = datetime.datetime.fromisoformat(problem["since"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - since).total_seconds()) < 90
    assert evercert.certificate(NAME)["next"]["why"] and evercert.status()["orders"][0]["reference"] == number
    # It is told once, and the CA is asked seldom.
    buyer.stays_calm(most=1)
    assert len(site.audit.all("action_required", NAME)) == 1 and site.audit.count("renewal_failed") == 0
    if wait.end:
        buyer.simulator.act(number, wait.end, **wait.more)
        evercert.renew(NAME, timeout=40)
        assert buyer.is_served() and not evercert.certificate(NAME)["problem"]
    assert len(buyer.orders()) == 1


@pytest.mark.parametrize("buyer", ["certinext-v1"], indirect=True)
def test_records_that_keep_the_ca_from_issuing_are_a_matter_for_a_person(shop, buyer, evercert, dns):
    dns.permit(NAME, "other.example")
    try:
        buyer.simulator.settings(caa_identity="ca.example")
        site = shop().start()
        problem = evercert.wait_state(NAME, "action_required", timeout=30)["problem"]
        says(problem, "CAA", NAME, "add one that permits the CA")
        log_says(site, problem)
    finally:
        dns.permit_all(NAME)
    buyer.simulator.act(buyer.orders()[0]["id"], "approve")
    evercert.renew(NAME, timeout=30)
    assert len(buyer.orders()) == 1


@pytest.mark.parametrize("buyer, act", [("certinext-v1", "reject"), ("certinext-v2", "reject"), ("sectigo", "reject"),
                                        ("sectigo", "decline"), ("ssl-store", "reject"), ("digicert", "reject")], indirect=["buyer"])
def test_an_order_that_a_person_at_the_ca_ends_is_told_and_not_repeated(shop, buyer, evercert, act):
    buyer.simulator.settings(approval="manual")
    site = shop().start()
    number = wait_for(buyer.orders, "the order")[0]["id"]
    if buyer.ca != "sectigo":  # which asks for nothing before it is approved
        site.audit.wait("challenge_seen", NAME, timeout=40)
    buyer.simulator.act(number, act)

    def ended():
        problem = (evercert.certificate(NAME) or {}).get("problem")
        return problem if problem and re.search("[Rr]ejected|[Dd]eclined|[Cc]ancelled", problem["message"]) else None
    problem = wait_for(ended, "the end of the order", 60, seen=site.log)
    says(problem, "the order " + number)
    log_says(site, problem)
    buyer.stays_calm()
    certificate = evercert.certificate(NAME)
    assert len(buyer.orders()) == 1 and certificate["state"] == "action_required" and not certificate["next"]


@every_ca
def test_a_kill_between_order_and_record_makes_no_second_order(shop, buyer):
    buyer.simulator.settings(answer_seconds=2)  # time to die while the CA answers
    site = shop().start()
    wait_for(buyer.orders, "the order to arrive")
    processes.kill(site.agent())
    buyer.simulator.settings(answer_seconds=0)
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["certinext-v1", "certinext-v2", "digicert"], indirect=True)
def test_where_no_file_is_found_the_record_is_tried_next(nginx, buyer, folder, evercert):
    server = bind_for(folder, buyer.simulator, NAME)
    try:
        # Nothing of ours listens where the CA knocks.
        buyer.simulator.settings(http_port=ports.FREE)
        site = nginx(host(NAME), pebble=None, global_extra=buyer.issuer(challenge="http-file dns-txt") + server.options).start()
        changed = site.audit.wait("validation_method_changed", timeout=120)
        assert "http-file" in changed["sentence"] and "dns-txt is tried next" in changed["sentence"]
        site.audit.wait("served", NAME, timeout=60)
        assert len(buyer.orders()) == 1
    finally:
        server.close()


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_an_organization_that_the_ca_has_not_validated_is_named_to_a_person(shop, buyer, evercert):
    site = shop(product="ssl_basic", organization="117484").start()
    problem = evercert.wait_state(NAME, "action_required", timeout=120)["problem"]
    says(problem, "in the CA's portal whether organization 117484 is validated")
    log_says(site, problem)
    buyer.simulator.ask("POST", "/organizations", {"id": 117484})
    evercert.renew(NAME, timeout=40)
    assert buyer.is_served() and len(buyer.orders()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_a_name_that_the_ca_does_not_find_here_is_named_to_a_person(shop, buyer, evercert):
    buyer.simulator.settings(http_port=ports.FREE, recheck_seconds=1)
    site = shop().start()
    problem = evercert.wait_state(NAME, "action_required", timeout=120)["problem"]
    says(problem, "is not validated", "http-file", NAME, "port %d" % ports.HTTP)
    log_says(site, problem)
    buyer.simulator.settings(http_port=ports.HTTP, recheck_seconds=0)
    evercert.renew(NAME, timeout=40)
    assert buyer.is_served() and len(buyer.orders()) == 1
