"""How fast a commercial CA is asked, and what happens when an answer is lost: nothing that changes something goes out twice,
limits are kept by all orders together, and what comes by itself is waited for in peace."""
import pytest

from harness import ports, tls
from harness.buyers import BUYERS, NAME
from harness.nginx import host
from harness.waiting import wait_for

every_ca = pytest.mark.parametrize("buyer", BUYERS, indirect=True)


def calm(site):
    return site.audit.count("renewal_failed") == site.audit.count("action_required") == 0


@every_ca
def test_what_only_reads_is_asked_again_with_fresh_numbers_when_a_kept_connection_dies(shop, buyer):
    for step in (buyer.track, buyer.collect):
        buyer.simulator.fault("drop_after", match=step)
    site = shop().start()
    site.audit.wait("served", NAME, timeout=60)
    assert len(buyer.orders()) == 1 and buyer.count(buyer.place) == 1 and buyer.is_served()
    # At most a lost answer on a connection that was new; never "Duplicate transaction" or a pause of a day.
    said = [event["sentence"] for event in site.audit.all("renewal_failed")]
    assert all("closed the connection without an answer" in sentence for sentence in said), said
    assert "uplicate" not in site.log()


def names(count):
    return ["n%02d.bought.test" % number for number in range(count)]


def buy_many(nginx, buyer, count, seconds):
    site = nginx("".join(host(name) for name in names(count)), pebble=None, global_extra=buyer.issuer()).start()
    wait_for(lambda: site.audit.count("served") == count, "all certificates", timeout=seconds, pause=0.5,
             seen=lambda: (site.audit.count("served"), site.audit.sentences()[-5:]))
    assert len(buyer.orders()) == count and buyer.count(buyer.place) == count
    assert tls.leaf_at(ports.TLS, names(count)[-1]).names == [names(count)[-1]]
    return site


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["certinext-v1", "certinext-v2"], indirect=True)
def test_thirty_names_are_ordered_as_fast_as_the_ca_takes_orders(nginx, buyer):
    assert calm(buy_many(nginx, buyer, 30, 180))


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["digicert"], indirect=True)
def test_forty_names_never_break_a_limit_that_the_ca_documents(nginx, buyer):
    assert buyer.simulator.initial["limits"]
    assert calm(buy_many(nginx, buyer, 40, 300))
    assert not [status for *_, status, _ in buyer.simulator.ask("GET", "/requests")["requests"] if status == 429]


@pytest.mark.slow
@pytest.mark.parametrize("buyer", ["sectigo"], indirect=True)
def test_no_more_than_two_requests_a_second_go_to_a_ca_that_wants_no_more(nginx, buyer):
    buy_many(nginx, buyer, 5, 120)
    instants = buyer.instants(".")
    assert min(third - first for first, third in zip(instants, instants[2:])) > 0.9


@every_ca
def test_after_a_limit_one_order_asks_and_the_others_wait_their_turn(nginx, buyer):
    buyer.simulator.fault("status", match=buyer.place, status=429, headers={"Retry-After": "4"}, times=2)
    site = nginx("".join(host(name) for name in names(4)), pebble=None, global_extra=buyer.issuer()).start()
    site.audit.wait("renewal_failed", timeout=30)
    wait_for(lambda: site.audit.count("served") == 4, "all certificates", timeout=90, pause=0.2, seen=site.audit.sentences)
    # Those two that were refused, and each order once.
    assert len(buyer.orders()) == 4 and buyer.count(buyer.place) <= 4 + 2


@pytest.mark.parametrize("buyer, settings", [("certinext-v2", dict(download_seconds=8.0)),
                                             ("certinext-v2", dict(download_seconds=8.0, download_status=404))], indirect=["buyer"])
def test_what_is_issued_and_not_yet_to_be_had_is_waited_for(shop, buyer, evercert, settings):
    buyer.simulator.settings(**settings)
    site = shop().start()
    wait_for(lambda: buyer.count(buyer.collect), "the first try", 30)
    assert evercert.certificate(NAME)["problem"] is None
    done = evercert.run("renew", NAME, timeout=60)
    assert done.returncode == 0, done.stderr
    assert calm(site) and site.audit.count("served", NAME) == 1 and len(buyer.orders()) == 1
