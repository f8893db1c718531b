"""A CA that does not let orders get on, never lets us wait or for years, or issues what nobody can use: it is not asked without
end, and what is served stays as good as it is."""
import datetime
import email.utils
import re
import time

import fault_proxy
import pytest
from harness import ports, tls
from harness.evercert import DONE, FAILED
from harness.forger import DOWNLOAD, EVER, FINALIZE, Forger
from harness.nginx import host
from harness.waiting import wait_for

NAME = "hostile.test"
NEW_ORDER, ORDER = "^/order-plz$", "^/my-order/"
ACME = "urn:ietf:params:acme:error:"


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def next_at(certificate):
    return moment(certificate["next"]["at"])


def utc_now():
    return datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture
def forger(fault, authority):
    return Forger(fault, authority)


def test_an_order_that_is_never_ready_is_not_finalized_without_end(nginx, fault, evercert):
    fault.add(FINALIZE, fault_proxy.status(403, kind=ACME + "orderNotReady"), times=EVER)
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("order_set_back", NAME)
    # The pauses so far are a quarter of a second and one second; the next are 5 and 30.
    wait_for(lambda: fault.count(FINALIZE) >= 4, "the fourth try", 20)
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() - begin > 8, "some time", 20)
    assert fault.count(FINALIZE) == 4 and fault.count(ORDER) < 15, fault.seen
    fault.clear()
    evercert.renew(NAME, force=False)
    assert fault.count(NEW_ORDER) == 1 and site.audit.count("order_placed") == 1


def test_orders_that_go_to_and_fro_are_not_followed_without_end(nginx, fault):
    turn = [0]

    def to_and_fro(body):
        turn[0] += 1
        said = b'"status": "ready"' if turn[0] % 2 else b'"status": "processing"'
        return re.sub(rb'"status": *"(valid|ready|processing)"', said, body), [("Retry-After", "0")]
    fault.add(ORDER, fault_proxy.rewrite(to_and_fro), times=EVER)
    fault.add(FINALIZE, fault_proxy.rewrite(to_and_fro), times=EVER)
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("order_set_back", NAME, timeout=30)
    begin, before = time.monotonic(), len(fault.seen)
    wait_for(lambda: time.monotonic() - begin > 10, "some time", 20)
    assert len(fault.seen) - before < 40, fault.seen[before:]


@pytest.mark.parametrize("wish", ["0", "a date in the past"])
def test_a_limit_without_a_wait_is_not_met_by_orders_without_end(nginx, fault, evercert, wish):
    value = "0" if wish == "0" else email.utils.format_datetime(utc_now() - datetime.timedelta(days=3), usegmt=True)
    fault.add(NEW_ORDER, fault_proxy.status(429, value, "too many"), times=EVER)
    nginx(host(NAME), directory=fault.uri).start()
    evercert.wait_problem(NAME, "rate_limited")
    # After 1, 1, 2, 5, 10 seconds and so on, up to a minute.
    wait_for(lambda: fault.count(NEW_ORDER) >= 4, "the fourth try", 30)
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() - begin > 8, "some time", 20)
    assert fault.count(NEW_ORDER) <= 5, fault.seen


@pytest.mark.parametrize("wish", ["99999999", "99999999999999999999", "a date in 2200"])
def test_a_limit_of_years_is_no_wait_of_years_and_is_told_after_a_restart(nginx, fault, evercert, wish):
    value = "Sun, 23 Mar 2200 01:00:00 GMT" if wish == "a date in 2200" else wish
    fault.add(NEW_ORDER, fault_proxy.status(429, value, "come back later"), times=EVER)
    site = nginx(host(NAME), directory=fault.uri).start()
    evercert.wait_problem(NAME, "rate_limited")
    wait_for(lambda: evercert.certificate(NAME)["next"], "the next try")
    told = next_at(evercert.certificate(NAME))
    assert datetime.timedelta(hours=23) < told - utc_now() < datetime.timedelta(hours=27)
    site.stop()
    site.start()
    waits = site.audit.wait("renewal_waits", NAME)
    assert "come back later" in waits["sentence"]
    site.wait_log("the next try is at .*come back later")
    wait_for(lambda: evercert.certificate(NAME)["next"], "the next try")
    assert abs(next_at(evercert.certificate(NAME)) - told) < datetime.timedelta(seconds=2)
    assert fault.count(NEW_ORDER) == 1


BAD = {"that has expired": dict(days=(-2, -1)), "for another name": dict(names=["other.test"]), "of next month": dict(days=(30, 120))}


@pytest.mark.parametrize("what", BAD)
def test_no_good_certificate_is_replaced_by_one(nginx, fault, forger, evercert, what):
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("served", NAME)
    good = tls.leaf_at(ports.TLS, NAME).serial
    forger.issue(**BAD[what])
    for round_, kind in enumerate(("issuer_refused", "action_required"), 1):
        assert evercert.run("renew", NAME, "--force").returncode != DONE
        evercert.wait_problem(NAME, kind)
        assert tls.leaf_at(ports.TLS, NAME).serial == good
        assert fault.count(NEW_ORDER) == 1 + round_, site.audit.sentences()
    # A person is asked now; the next order by itself is a day away.
    told = site.audit.all("action_required", NAME)[-1]
    assert moment(told["retry_at"]) - moment(told["at"]) >= datetime.timedelta(hours=24)
    forger.stop()
    evercert.renew(NAME)
    assert tls.leaf_at(ports.TLS, NAME).serial != good


def test_no_good_certificate_is_replaced_by_one_that_ends_sooner_unless_somebody_insists(nginx, fault, forger, evercert, shifted):
    site = nginx(host(NAME), directory=fault.uri).use_program(shifted.program).start()
    site.audit.wait("served", NAME)
    good = tls.leaf_at(ports.TLS, NAME).serial
    forger.issue(days=(-1, 60))
    shifted.turn("+40d")  # past the guard against renewing too often
    wait_for(lambda: evercert.run("renew", NAME).returncode == FAILED and site.audit.count("renewal_failed"), "the renewal to be refused", 40,
             1.0, seen=site.audit.sentences)
    assert "sooner than the one that is served" in evercert.certificate(NAME)["problem"]["message"]
    assert tls.leaf_at(ports.TLS, NAME).serial == good
    evercert.renew(NAME, force=True)
    assert tls.leaf_at(ports.TLS, NAME).serial != good


def test_a_certificate_that_is_not_valid_yet_is_not_thrown_away(nginx, fault, forger, evercert):
    # Five minutes are forgiven.
    forger.issue(days=((300 + 12) / 86400, 90))
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("issued_not_valid_yet", NAME)
    assert evercert.wait_state(NAME, "waiting")["problem"] is None
    site.reload()
    site.audit.wait("served", NAME, timeout=40)
    assert (fault.count(NEW_ORDER), fault.count(DOWNLOAD)) == (1, 1), site.audit.sentences()


def test_names_that_the_ca_has_added_are_no_reason_to_refuse_a_certificate(nginx, fault, forger, evercert):
    forger.issue(names=[NAME, "www." + NAME])
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("served", NAME)
    assert "www." + NAME in site.audit.wait("names_added", NAME)["sentence"]
    assert evercert.wait_state(NAME, "served")["problem"] is None
    site.reload()
    site.audit.wait("agent_leads", more_than=1)
    evercert.wait_state(NAME, "served")
    assert fault.count(NEW_ORDER) == 1, site.audit.sentences()


def test_a_certificate_without_an_end_is_served_and_does_not_end_before_it_begins(nginx, fault, forger, evercert):
    forger.issue(days=(-1, 365 * 7900))
    site = nginx(host(NAME), directory=fault.uri).start()
    site.audit.wait("served", NAME)
    certificate = evercert.wait_state(NAME, "served")
    assert certificate["problem"] is None and certificate["not_after"] > "2250" and next_at(certificate).year > 2100


def test_a_clock_that_was_ten_years_ahead_leaves_no_renewal_in_ten_years(nginx, evercert, shifted, pebble):
    site = nginx(host(NAME)).use_program(shifted.program).start()
    site.audit.wait("served", NAME)
    due = next_at(evercert.wait_state(NAME, "served"))
    shifted.turn("+3650d")
    site.audit.wait("expired", NAME, timeout=90, pause=0.05)
    evercert.wait_problem(NAME, timeout=60)
    shifted.turn("+0")
    site.audit.wait("clock_turned_back", timeout=60, pause=0.05)
    wait_for(lambda: next_at(evercert.certificate(NAME)) == due, "the next renewal to be when it was due", 40, 0.1,
             seen=lambda: evercert.certificate(NAME))


def test_a_name_is_not_validated_in_vain_five_times_an_hour_whatever_restarts(nginx, evercert, shifted, pebble, dns):
    names = [NAME, "well.test"]
    dns.fail(NAME)
    mark = pebble.mark()
    site = nginx(host(names[0]), global_extra="resolver 127.0.0.1:%d;" % ports.DNS).use_program(shifted.program).start()
    try:
        passed = 0
        for failures, pause in enumerate((5, 60, 900, 3600, 10800), 1):
            site.audit.wait("renewal_failed", NAME, more_than=failures - 1, timeout=60, pause=0.02)
            failed = site.audit.all("renewal_failed", NAME)[-1]
            waits = (moment(failed["retry_at"]) - moment(failed["at"])).total_seconds()
            assert pause - 1 <= waits <= pause * 1.06 + 3, (failures, waits)
            # An unrelated name, a reload, a restart: the pause goes on.
            site.write(http=host(NAME) + (host(names[1]) if failures % 2 else ""))
            site.use_program(shifted.program)
            site.reload() if failures % 3 else (site.stop(), site.start())
            site.wait_agent()
            if failures > 1:
                assert pebble.orders(mark) - site.audit.count("order_placed", "well.test") == failures, site.audit.sentences()
            passed += int(waits) + 1
            shifted.turn("+%d" % passed)
    finally:
        dns.heal(NAME)
    placed = sorted(event["at"] for event in site.audit.all("order_placed", NAME))
    times = [moment(at) for at in placed]
    assert all(later - first >= datetime.timedelta(hours=1) for first, later in zip(times, times[4:])), placed
