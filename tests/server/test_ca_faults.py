"""A CA that forgets, dies, stalls, refuses and babbles: the server serves on, the certificate comes when it can."""
import datetime
import email.utils
import time

import fault_proxy
import pytest

from harness import ports, tls
from harness.nginx import host
from harness.waiting import wait_for, wait_port


def test_a_forgotten_account_heals_within_the_same_attempt(nginx, evercert, pebble):
    site = nginx(host("forgotten.test")).start()
    site.audit.wait("served", "forgotten.test")
    pebble.restart()
    failures = site.audit.count("renewal_failed")
    evercert.renew("forgotten.test", timeout=20)
    assert pebble.issued() >= 1 and site.audit.count("renewal_failed") == failures
    assert site.audit.count("account_lost") == 1
    assert tls.chain_is_good(ports.TLS, "forgotten.test", pebble.root_pem())


@pytest.mark.slow
def test_a_ca_dead_for_four_seconds_in_mid_run_costs_no_certificate(nginx, pebble):
    names = ["outage%d.test" % i for i in range(20)]
    mark = pebble.mark()
    site = nginx("".join(host(name) for name in names), issuer_extra="max_orders 4;").start()
    wait_for(lambda: pebble.issued(mark) >= 8, "half of the run", pause=0.001, seen=site.log)
    pebble.kill()
    assert site.audit.count("served") < 20
    down = time.monotonic()
    wait_port(pebble.acme, False)
    wait_for(lambda: time.monotonic() - down > 4, "four seconds of outage")
    pebble.start()
    for name in names:
        site.audit.wait("served", name, timeout=40, pause=0.02)


@pytest.mark.slow
def test_a_name_whose_dns_fails_for_twenty_seconds_is_healed_and_holds_up_no_other(nginx, evercert, dns):
    names = ["well-a.test", "ill.test", "well-b.test"]
    dns.fail("ill.test")
    try:
        site = nginx("".join(host(name) for name in names), global_extra="resolver 127.0.0.1:%d;" % ports.DNS).start()
        begin = time.monotonic()
        site.audit.wait("served", "well-a.test")
        site.audit.wait("served", "well-b.test")
        problem = evercert.wait_problem("ill.test")
        assert problem["kind"] == "challenge_failed" and "ill.test" in problem["message"]
        assert evercert.certificate("ill.test")["next"]["at"]
        wait_for(lambda: time.monotonic() - begin > 20, "twenty seconds of fault", 25)
    finally:
        dns.heal("ill.test")
    site.audit.wait("served", "ill.test", timeout=40, pause=0.02)
    assert not evercert.wait_state("ill.test", "served").get("problem")


PLACES = {"directory": "^/dir$", "nonce": "^/nonce-plz$", "account": "^/sign-me-up$", "order": "^/order-plz$",
          "authorization": "^/authZ/", "challenge": "^/chalZ/", "poll": "^/my-order/", "finalize": "^/finalize-order/",
          "download": "^/certZ/"}
FAULTS = {"500": lambda: fault_proxy.status(500), "502": lambda: fault_proxy.status(502), "503": lambda: fault_proxy.status(503, 1),
          "no answer but an end": fault_proxy.cut, "an end in mid-body": fault_proxy.cut_body, "garbage": fault_proxy.garbage,
          "an oversized answer": lambda: fault_proxy.oversize(4 << 20)}


@pytest.mark.parametrize("fault_kind", FAULTS)
def test_one_fault_at_every_kind_of_request_is_survived_with_one_certificate(nginx, pebble, fault, fault_kind):
    """Nine names at once, each request kind broken once somewhere in the run; a single name may meet several."""
    rules = [fault.add(pattern, FAULTS[fault_kind](), first=1 if place in ("directory", "nonce", "account") else 2 + index % 3)
             for index, (place, pattern) in enumerate(PLACES.items())]
    names = ["faulty%d.test" % i for i in range(6)]
    mark = pebble.mark()
    site = nginx("".join(host(name) for name in names), directory=fault.uri).start()
    for name in names:
        site.audit.wait("served", name, timeout=90, pause=0.02, seen=lambda: site.audit.sentences() + site.log()[-3000:])
    assert all(rule.hit or place == "nonce" for place, rule in zip(PLACES, rules)), [(p, r.matched) for p, r in zip(PLACES, rules)]
    assert pebble.issued(mark) == 6, site.audit.sentences()


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("place", ["order", "poll"])
def test_retry_after_is_obeyed_as(nginx, fault, place, form):
    wish = 3
    if form == "date":
        def value():
            return email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=wish + 1),
                                               usegmt=True)
    else:
        def value():
            return wish
    fault.add(PLACES[place], fault_proxy.status(429, value, "too many orders, dear client"))
    site = nginx(host("limited.test"), directory=fault.uri).start()
    site.audit.wait("served", "limited.test", timeout=40, pause=0.02)
    times = [when for when, _, path, _ in fault.seen if fault_proxy.re.search(PLACES[place], path)]
    assert times[1] - times[0] >= wish - 0.2, "asked again after %.1f s" % (times[1] - times[0])


def test_a_rate_limit_is_told_with_the_time_of_the_next_try(nginx, fault, evercert):
    fault.add(PLACES["order"], fault_proxy.status(429, 600, "too many certificates already issued"), times=1000)
    nginx(host("told.test"), directory=fault.uri).start()
    problem = evercert.wait_problem("told.test")
    assert problem["kind"] == "rate_limited" and "too many certificates" in problem["message"]
    certificate = evercert.certificate("told.test")
    at = datetime.datetime.fromisoformat(certificate["next"]["at"].replace("Z", "+00:00"))
    wait = (at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    assert 570 <= wait <= 670, wait
    assert fault.count(PLACES["order"]) == 1


@pytest.mark.slow
def test_a_ca_that_never_answers_is_given_up_after_the_time_out_and_asked_again(nginx, fault, evercert):
    rule = fault.add(PLACES["order"], fault_proxy.silence(60))
    site = nginx(host("silent.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the order to be asked for")
    assert tls.alert_of(ports.TLS, "silent.test") == 112
    site.audit.wait("served", "silent.test", timeout=75, pause=0.05)


def test_a_directory_that_is_no_directory_is_named_with_its_address(nginx, pebble, evercert):
    site = nginx(host("wrong.test"), directory="https://127.0.0.1:%d/nonce-plz" % pebble.acme).start()
    problem = evercert.wait_problem("wrong.test")
    assert "/nonce-plz" in problem["message"] and problem["remedy"]
    assert not site.audit.count("order_placed")


def test_an_untrusted_ca_server_is_refused_before_anything_is_sent(nginx, pebble, evercert, folder, authority):
    from harness.authority import Authority
    stranger = Authority(folder + "/stranger")
    mark = pebble.mark()
    site = nginx(host("stranger.test"))
    text = open(site.configuration).read().replace(authority.root_path, stranger.root_path)
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start()
    problem = evercert.wait_problem("stranger.test", "connection")
    assert "certificate" in problem["message"] and pebble.request_count(mark) == 0


def test_a_server_that_starts_while_the_ca_is_down_gets_its_certificate_when_it_is_back(nginx, pebble, evercert):
    pebble.kill()
    site = nginx(host("patient.test")).start()
    problem = evercert.wait_problem("patient.test", "connection")
    assert str(pebble.acme) in problem["message"]
    pebble.start()
    site.audit.wait("served", "patient.test", timeout=40, pause=0.02)
    assert site.audit.count("issuer_unreachable") == site.audit.count("issuer_back") == 1


def test_a_restart_with_the_ca_down_serves_what_is_there_and_loses_no_open_order(nginx, pebble, fault):
    rule = fault.add(PLACES["finalize"], fault_proxy.status(503, 1), times=1000)
    mark = pebble.mark()
    site = nginx(host("ready.test") + host("open.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit >= 2, "finalize to be refused")
    site.stop()
    fault.clear()
    site.start()
    for name in ("ready.test", "open.test"):
        site.audit.wait("served", name, timeout=40, pause=0.02)
    assert (pebble.orders(mark), pebble.issued(mark)) == (2, 2), site.audit.sentences()


def test_failures_are_remembered_over_a_restart_so_that_a_crash_loop_orders_once(nginx, fault, evercert):
    fault.add(PLACES["order"], fault_proxy.status(429, 3600, "come back in an hour"), times=1000)
    site = nginx(host("loop.test"), directory=fault.uri).start()
    evercert.wait_problem("loop.test", "rate_limited")
    for _ in range(3):
        site.stop()
        site.start()
        site.wait_agent()
        evercert.wait_problem("loop.test", "rate_limited")
    assert fault.count(PLACES["order"]) == 1
