"""What goes wrong with an account at a commercial CA: one clear sentence each, in status and log, nothing lost, no second
order, no hammering, and an end of it when the fault ends."""
import datetime

import pytest

from harness.buyers import BUYERS, NAME, log_says, says
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)

WRONG = {
    "credentials": (lambda buyer: (buyer.wrong_secret, {}), ["secret", "check"]),
    "role": (lambda buyer: buyer.no_role, ["right|role|active|OAuth|may not", "check"]),
    "product": (lambda buyer: (buyer.wrong_product, {}), ["product", "correct"]),
}


@pytest.mark.parametrize("what", WRONG)
@every_ca
def test_what_is_wrong_with_the_account_costs_nothing_and_ends_with_the_correction(shop, buyer, evercert, what):
    wrong, words = WRONG[what]
    changed, settings = wrong(buyer)
    buyer.simulator.settings(**settings)
    site = shop(**changed).start()
    problem = evercert.wait_state(NAME, "action_required", timeout=60)["problem"]
    says(problem, *words)
    log_says(site, problem)
    assert not buyer.orders()
    for secret in (changed.get("secret"), buyer.options["secret"]):
        assert secret is None or secret not in site.log() + str(evercert.status())
    buyer.stays_calm()
    buyer.simulator.settings(**{name: buyer.simulator.initial[name] for name in settings})
    if changed:
        # A reload is enough: what was corrected is tried at once.
        site.write(global_extra=buyer.issuer())
        site.reload()
        site.audit.wait("served", NAME, timeout=30)
    else:
        evercert.renew(NAME, timeout=30)
    assert buyer.is_served() and len(buyer.orders()) == 1


@every_ca
def test_an_account_without_money_is_filled_up_by_a_person(shop, buyer, evercert):
    buyer.simulator.settings(**buyer.poor)
    site = shop().start()
    problem = evercert.wait_state(NAME, "action_required", timeout=30)["problem"]
    says(problem, "fill up the account|order more there")
    log_says(site, problem)
    assert not buyer.orders()
    buyer.stays_calm()
    buyer.simulator.settings(**buyer.refill)
    evercert.renew(NAME, timeout=30)
    assert buyer.is_served() and len(buyer.orders()) == 1


@pytest.mark.parametrize("where", ["place", "track"])
@every_ca
def test_a_limit_is_waited_for_as_the_ca_says(shop, buyer, evercert, where):
    buyer.simulator.fault("status", match=getattr(buyer, where), status=429, headers={"Retry-After": "3"})
    site = shop().start()
    site.audit.wait("renewal_failed", NAME, timeout=30)
    problem = evercert.wait_problem(NAME, "rate_limited")
    says(problem, "too many requests", "429")
    log_says(site, problem)
    site.audit.wait("served", NAME, timeout=40)
    assert len(buyer.orders()) == 1 and buyer.count(buyer.place) == (2 if where == "place" else 1)
    refused, again = buyer.instants(getattr(buyer, where))[:2]
    assert again - refused >= 3


@every_ca
def test_a_limit_without_a_time_is_asked_about_after_seconds_and_by_one(shop, buyer, evercert):
    buyer.simulator.fault("status", match=buyer.place, status=429)
    site = shop().start()
    problem = evercert.wait_problem(NAME, "rate_limited", timeout=30)
    says(problem, "too many requests", "429")
    since, at = (datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
                 for text in (problem["since"], evercert.certificate(NAME)["next"]["at"]))
    assert 5 < (at - since).total_seconds() < 20
    buyer.stays_calm()
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1 and buyer.count(buyer.place) == 2


@every_ca
def test_a_login_that_ends_in_mid_order_keeps_the_order(shop, buyer, evercert):
    buyer.simulator.fault("status", match=buyer.track, status=401, times=2,
                          body={"meta": {"status": "0"}, "code": -16, "description": "Unknown user", "errors": [], "title": "Unauthorized"})
    site = shop().start()
    problem = evercert.wait_state(NAME, "action_required", timeout=30)["problem"]
    says(problem, "track the order|tell how %s" % NAME, "401", "check", "secret")
    log_says(site, problem)
    buyer.stays_calm()
    buyer.simulator.ask("DELETE", "/faults")
    evercert.renew(NAME, timeout=30)
    assert buyer.is_served() and len(buyer.orders()) == 1 and buyer.count(buyer.place) == 1


@pytest.mark.parametrize("buyer", ["certinext-v2"], indirect=True)
def test_an_access_token_that_is_taken_back_or_ends_is_fetched_anew_without_a_word(shop, buyer):
    buyer.simulator.settings(issue_seconds=3, token_seconds=1)
    site = shop().start()
    wait_for(buyer.orders, "the order")
    buyer.simulator.ask("DELETE", "/tokens")
    site.audit.wait("served", NAME, timeout=30)
    assert site.audit.count("renewal_failed") == 0 and site.audit.count("action_required") == 0 and len(buyer.orders()) == 1


@pytest.mark.parametrize("chain", ["wrong", "none"])
@every_ca
def test_a_chain_that_does_not_lead_to_the_leaf_is_asked_for_again_and_not_ordered(shop, buyer, evercert, chain):
    buyer.simulator.settings(chain=chain)
    site = shop().start()
    problem = evercert.wait_state(NAME, "action_required", timeout=30)["problem"]
    says(problem, "the order " + buyer.orders()[0]["id"], "none of the certificates sent with the leaf has signed it|without the intermediate")
    log_says(site, problem)
    buyer.stays_calm()
    buyer.simulator.settings(chain="right")
    evercert.renew(NAME, timeout=30)
    assert buyer.is_served() and len(buyer.orders()) == 1
