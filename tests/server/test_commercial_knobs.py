"""Where the facts leave open what a commercial CA does: the product orders once, pays once, is served, and calls nothing a failure
that is documented waiting. Values of knobs are tried together, so that few orders meet all of them."""
import email.utils
import os
import time
import zlib

import pytest
from common.knobs import KNOBS, settings_of
from cryptography.hazmat.primitives import serialization

from harness import csr, ports, tls
from harness.authority import write_private
from harness.buyers import BUYERS, NAME
from harness.evercert import DONE
from harness.nginx import host
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)

# After these a person or a better chain is waited for: tests of their own, below and in test_commercial_faults.
NOT_SERVED = ("approval", "chain", "queue_without_organization")
# The interface of each, and what is bought there if not the usual product.
PRODUCTS = {name: (name, {}) for name in ("certinext-v1", "ssl-store", "digicert")}


def rows(interface):
    """As many settings as the longest knob has values; each value of every knob is in one of them."""
    knobs = {name: values for name, values in KNOBS[interface].items() if name not in NOT_SERVED}
    count = max(map(len, knobs.values()))
    for number in range(count):
        row, beside = {}, {}
        for name, values in knobs.items():
            mark = zlib.crc32(name.encode())  # so that not all knobs of two values turn together
            pace = 2 if mark & 256 and 2 * len(values) <= count else 1
            value = values[(number // pace + mark) % len(values)]
            row[name] = value
            beside.update({} if value == values[0] else settings_of(name, value))
        yield dict(row, **beside)


ROWS = [(name, number) for name, (interface, _) in PRODUCTS.items() for number in range(len(list(rows(interface))))]


@pytest.mark.parametrize("buyer, product, number", [(PRODUCTS[name][0], name, number) for name, number in ROWS], indirect=["buyer"],
                         ids=["%s-%d" % (name.replace(" ", "-"), number) for name, number in ROWS])
def test_an_order_is_placed_and_paid_once_and_served(shop, buyer, product, number):
    interface, options = PRODUCTS[product]
    buyer.simulator.settings(**list(rows(interface))[number])
    site = shop(**options).start()
    site.audit.wait("served", NAME, timeout=40)
    assert buyer.is_served() and buyer.simulator.paid() == len(buyer.orders()) == 1
    assert site.audit.count("renewal_failed") == 0 and site.audit.count("action_required") == 0
    assert buyer.simulator.counts().get("repeated number", 0) == 0
    busiest = buyer.simulator.ask("GET", "/log")["busiest"]
    assert all(most["1"] <= 2 for most in busiest.values()) if interface == "sectigo" else all(most["5"] <= 100 for most in busiest.values())


@every_ca
def test_a_kept_connection_that_ends_makes_nothing_happen_twice(shop, buyer):
    # The CA reads what would change something, and ends the connection without doing it.
    buyer.simulator.fault("drop", match=".", kept=True, changes=True, times=2)
    site = shop().start()
    site.audit.wait("served", NAME, timeout=60)
    assert buyer.simulator.paid() == 1 and buyer.simulator.counts().get("repeated number", 0) == 0
    log = buyer.simulator.ask("GET", "/log")["log"]
    for before, after in zip(log, log[1:]):
        assert before["status"] is not None or after["path"] != before["path"] or after["came"] - before["came"] > 0.5, (before, after)


@every_ca
def test_a_create_that_is_done_but_not_answered_is_found(shop, buyer):
    buyer.simulator.fault("drop_after", match=buyer.place, changes=True)
    if buyer.ca in ("certinext", "digicert"):
        buyer.simulator.settings(csr_shown="base64")
    site = shop().start()
    site.audit.wait("served", NAME, timeout=60)
    assert buyer.simulator.paid() == 1 and buyer.count(buyer.place) == 1


@every_ca
def test_a_create_that_takes_two_minutes_is_waited_for(shop, buyer):
    buyer.simulator.fault("hold", match=buyer.place)
    site = shop().start()
    wait_for(lambda: buyer.simulator.ask("GET", "/faults")["faults"][0]["held"], "the create to arrive", 30)
    buyer.simulator.advance(121)
    buyer.simulator.ask("POST", "/release", {})
    site.audit.wait("served", NAME, timeout=40)
    assert buyer.simulator.paid() == buyer.count(buyer.place) == 1 and site.audit.count("renewal_failed") == 0


BURSTS = [("certinext-v1", counting, "seconds") for counting in ("accepted", "fixed")]
BURSTS += list(zip(["certinext-v2"] * 3, KNOBS["certinext-v2"]["burst_counting"], ["seconds", "date", "seconds"]))


@pytest.mark.parametrize("buyer, counting, form", BURSTS, indirect=["buyer"])
def test_many_orders_get_over_a_limit_of_bursts(nginx, buyer, counting, form):
    buyer.simulator.settings(burst_orders=3, burst_seconds=3.0, burst_counting=counting, retry_after_form=form)
    names = ["many%d.test" % number for number in range(8)]
    site = nginx("".join(host(name) for name in names), pebble=None, global_extra=buyer.issuer()).start()
    for name in names:
        site.audit.wait("served", name, timeout=90)
    assert buyer.simulator.paid() == len(names)
    # A limit is no reason to try again and again.
    assert buyer.count(buyer.place) <= 3 * len(names)


@pytest.mark.parametrize("answer", [204, 422])
@pytest.mark.parametrize("buyer", ["certinext-v2"], indirect=True)
def test_a_mail_is_asked_for_once_and_its_click_is_waited_for(shop, buyer, evercert, answer):
    buyer.simulator.settings(v2_email_answer=answer)
    site = shop(challenge="email:admin@" + NAME).start()
    evercert.wait_state(NAME, "action_required", timeout=60)
    assert [mail["to"] for mail in buyer.simulator.ask("GET", "/mails")["mails"]] == ["admin@" + NAME]
    buyer.simulator.act(buyer.orders()[0]["id"], "mail", domain=NAME)
    evercert.renew(NAME, timeout=60)
    assert buyer.is_served() and buyer.simulator.paid() == 1 and site.audit.count("renewal_failed") == 0




@pytest.mark.parametrize("status, last", [(204, "certificate"), (200, "order")])
@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_a_revocation_that_is_answered_with_nothing_is_done(shop, buyer, evercert, status, last):
    buyer.simulator.settings(revoke_status=status, revoke_last=last)
    site = shop().start()
    site.audit.wait("served", NAME, timeout=40)
    done = evercert.run("revoke", NAME, "--reason", "superseded", "--yes")
    assert done.returncode == DONE, done.stdout + done.stderr
    site.audit.wait("revoked", NAME)



HELD = [(name, dict(approval="hold")) for name in BUYERS if name != "sectigo"] + [(name, dict(queue_without_organization=True)) for name in ("certinext-v1", "certinext-v2")]


@pytest.mark.slow
@pytest.mark.parametrize("buyer, settings", HELD, indirect=["buyer"], ids=lambda value: value if isinstance(value, str) else next(iter(value)))
def test_an_order_that_stands_still_at_the_ca_is_served_after_its_release(shop, buyer, evercert, settings):
    buyer.simulator.settings(**settings)
    site = shop().start()
    evercert.wait_state(NAME, "action_required", timeout=90)
    buyer.simulator.act(buyer.orders()[0]["id"], "approve")
    evercert.renew(NAME, timeout=60)
    assert buyer.is_served() and buyer.simulator.paid() == 1 and site.audit.count("renewal_failed") == 0


@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_a_replacement_is_found_under_the_same_number(shop, buyer, evercert):
    site = shop([NAME, "www." + NAME], product="502").start()
    site.audit.wait("served", NAME, timeout=40)
    first = tls.leaf_at(ports.TLS, NAME)
    evercert.renew(NAME, timeout=60)
    assert tls.leaf_at(ports.TLS, NAME).serial != first.serial and buyer.is_served()
    assert buyer.simulator.paid() == 1 and buyer.count("/replace/") == 1


@pytest.mark.parametrize("code", [-107, -737, -724])
@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_a_domain_that_must_be_validated_first_is_named_and_not_ordered_for_again(shop, buyer, evercert, code):
    buyer.simulator.settings(prevalidation=True, dcv_refusal=code)
    site = shop().start()
    problem = wait_for(lambda: evercert.wait_problem(NAME, timeout=40), "the problem")
    assert NAME in problem["message"] and problem["remedy"], problem
    tried = buyer.count(buyer.place)
    buyer.stays_calm(3.0)
    assert tried <= 2 and buyer.simulator.paid() == 0
    buyer.simulator.ask("POST", "/domains", {"name": NAME})
    evercert.renew(NAME, timeout=60)
    assert site.audit.count("served", NAME) == 1 and buyer.simulator.paid() == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
@every_ca
def test_a_limit_is_waited_for_in_whichever_form_it_is_told(shop, buyer, form):
    at = time.time() + 4
    wait = "4" if form == "seconds" else email.utils.formatdate(at, usegmt=True)
    buyer.simulator.fault("status", match=buyer.place, status=429, headers={"Retry-After": wait})
    site = shop().start()
    site.audit.wait("served", NAME, timeout=60)
    refused, again = buyer.instants(buyer.place)[:2]
    # A date knows whole seconds only.
    assert again >= (refused + 4 if form == "seconds" else int(at)) and buyer.simulator.paid() == 1


# --- taking over what is there ---

def key_here(folder, name):
    """A request whose key lies in the folder, and that folder."""
    keys = os.path.join(folder, "keys")
    os.makedirs(keys)
    key = csr.key()
    write_private(os.path.join(keys, name + ".key"), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return csr.request(name, signer=key), keys


@pytest.mark.parametrize("form", ["pem", "pem crlf", "none"])
@pytest.mark.parametrize("buyer", ["certinext-v1", "digicert"], indirect=True)
def test_an_open_order_is_known_by_its_request_in_any_form(shop, buyer, evercert, folder, form):
    request, keys = key_here(folder, NAME)
    number = buyer.simulator.seed(pending=1, csrs=[request])[0]
    buyer.simulator.settings(csr_shown=form)
    site = shop(order="off").start()
    site.audit.wait("agent_leads")
    done = evercert.run("import", "issuer", "seller", "--key", keys)
    assert done.returncode == DONE, done.stdout + done.stderr
    if form != "none":
        site.audit.wait("served", NAME, timeout=40)
    assert [order["id"] for order in buyer.orders()] == [number] and buyer.simulator.paid() == 0




@pytest.mark.parametrize("told", ["book", "refused"])
@pytest.mark.parametrize("buyer", ["ssl-store"], indirect=True)
def test_a_wrong_token_is_no_empty_account(shop, buyer, evercert, told):
    buyer.simulator.seed(count=3)
    buyer.simulator.settings(query_wrong_token=told)
    shop(order="off", **buyer.wrong_secret).start().audit.wait("agent_leads")
    done = evercert.run("import", "issuer", "seller", timeout=100)
    assert done.returncode != DONE and "secret" in done.stdout + done.stderr, done.stdout + done.stderr
