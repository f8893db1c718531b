"""Renewal under traffic: new connections get the new certificate, old ones live on, nobody notices."""
import os

import pytest

from harness import ports, tls
from harness.load import Load
from harness.nginx import host
from harness.waiting import wait_for


@pytest.mark.slow
def test_twenty_swaps_under_load_fail_no_handshake_and_move_no_worker(nginx, evercert):
    site = nginx(host("swap.test"), global_extra="keepalive_timeout 300s; keepalive_requests 100000;").start()
    site.audit.wait("served", "swap.test")
    workers = site.wait_workers()
    load = Load(ports.TLS, "swap.test", threads=4, held=6)
    try:
        load.wait_more(20)
        serials = []
        for _ in range(20):
            evercert.renew("swap.test")
            # renew returns after the proof, so any handshake that begins now gets the new leaf, from whichever worker.
            serials.append(tls.leaf_at(ports.TLS, "swap.test").serial)
            load.wait_serial(serials[-1])
        load.wait_more(20)
        alive = load.held_alive()
    finally:
        load.stop()
    assert len(set(serials)) == 20
    assert not load.failures, (len(load.failures), load.failures[:5])
    assert load.handshakes > 200 and alive == 6
    assert site.worker_pids() == workers
    assert not site.complaints()
    wait_for(lambda: evercert.certificate("swap.test")["generation"] == 21, "status to follow", 5, 0.05)


def test_all_workers_serve_the_new_certificate_as_soon_as_renew_returns(nginx, evercert):
    site = nginx(host("all.test"), workers=4).start()
    site.audit.wait("served", "all.test")
    evercert.renew("all.test")
    wait_for(lambda: evercert.certificate("all.test")["generation"] == 2, "status to follow", 5, 0.05)
    wanted = int(evercert.certificate("all.test")["serial"], 16)
    # Enough connections that each of four workers has taken some.
    assert {tls.leaf_at(ports.TLS, "all.test").serial for _ in range(60)} == {wanted}
    assert len(site.worker_pids()) == 4


def test_a_rollback_serves_the_previous_generation_again_without_an_order(nginx, evercert, pebble):
    site = nginx(host("back.test")).start()
    site.audit.wait("served", "back.test")
    first = tls.leaf_at(ports.TLS, "back.test").serial
    evercert.renew("back.test")
    assert tls.leaf_at(ports.TLS, "back.test").serial != first
    mark = pebble.mark()
    done = evercert.run("rollback", "back.test")
    assert done.returncode == 0, done.stderr
    tls.wait_leaf(ports.TLS, "back.test", lambda leaf: leaf.serial == first, 5)
    site.audit.wait("rolled_back", "back.test")
    assert pebble.orders(mark) == 0
    wait_for(lambda: evercert.certificate("back.test")["generation"] == 3, "status to follow", 5, 0.05)


def test_only_the_present_and_the_previous_generation_stay_on_disk(nginx, evercert, folder):
    site = nginx(host("tidy.test")).start()
    site.audit.wait("served", "tidy.test")
    for _ in range(3):
        evercert.renew("tidy.test")
    kept = sorted(os.listdir(os.path.join(folder, "evercert", "state", "certificates", "tidy.test")))
    assert kept == ["3.bundle", "4.bundle"]


def test_an_unforced_renewal_of_a_fresh_certificate_does_nothing_and_says_so(nginx, evercert, pebble):
    site = nginx(host("fresh.test")).start()
    site.audit.wait("served", "fresh.test")
    mark = pebble.mark()
    done = evercert.run("renew", "fresh.test")
    assert done.returncode in (0, 1) and pebble.orders(mark) == 0, done
    assert "--force" in done.stdout + done.stderr


def test_renewals_at_the_same_time_are_one(nginx, evercert, pebble):
    site = nginx(host("twice.test")).start()
    site.audit.wait("served", "twice.test")
    mark = pebble.mark()
    running = [evercert.start("renew", "twice.test", "--force", "--state", evercert.state) for _ in range(3)]
    codes = [process.wait(30) for process in running]
    for process in running:
        process.communicate()
    assert codes == [0, 0, 0]
    wait_for(lambda: pebble.issued(mark) == pebble.orders(mark), "orders to be done")
    assert 1 <= pebble.orders(mark) <= 3
