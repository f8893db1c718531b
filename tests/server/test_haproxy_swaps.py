"""Certificates are exchanged inside the running HAProxy: many, large ones, under load; and what is wrong never reaches it."""
import contextlib
import os
import signal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness import lineages, ports, processes, tls
from harness.authority import private_key_pem, write_private
from harness.evercert import DONE
from harness.haproxy import certificate, program_of
from harness.load import Load
from harness.waiting import wait_for


def served_count(evercert):
    return sum(bool(certificate.get("served")) for certificate in evercert.status()["certificates"])


@contextlib.contextmanager
def without_agent(site):
    """What others write to the store meanwhile comes all at once when the agent is back."""
    site.wait_agent()
    (keeper,) = site.keepers()
    os.kill(keeper, signal.SIGSTOP)
    processes.kill(site.agent())
    try:
        yield
    finally:
        os.kill(keeper, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.6", "3.2"])
def test_a_thousand_certificates_are_swapped_under_load_without_one_failed_handshake(haproxy, evercert, pebble, authority, folder, version):
    program = program_of(version)
    if program is None:
        pytest.skip("HAProxy %s cannot be had here" % version)
    names = ["swap%d.test" % index for index in range(1000)]
    place = lineages.write(folder, authority, names)
    pebble.kill()  # what is swapped in comes from elsewhere
    site = haproxy([certificate(name) for name in names], program=program, threads=2).start()
    workers = site.worker_pids()
    with without_agent(site):
        done = evercert.run("import", "certbot", place, timeout=120)
        assert done.returncode == DONE, done.stderr[-2000:]
        load = Load(ports.TLS, names[500], threads=1, held=2)
        load.wait_more(20)
    try:
        wait_for(lambda: served_count(evercert) == len(names), "all to be served", 300, 0.5,
                 lambda: [c for c in evercert.status()["certificates"] if not c.get("served")][:3])
        load.wait_more(20)
        alive = load.held_alive()
    finally:
        load.stop()
    assert not load.failures, (len(load.failures), load.failures[:5])
    assert load.handshakes > 200 and alive == 2
    assert site.worker_pids() == workers
    for name in names[::97]:
        assert tls.leaf_at(ports.TLS, name).names == [name] and "evercert tests" in tls.leaf_at(ports.TLS, name).issuer
    assert not site.complaints()


def test_twenty_renewals_under_load_fail_no_handshake_and_move_no_worker(haproxy, evercert):
    site = haproxy([certificate("swap.test")]).start()
    site.audit.wait("served", "swap.test", seen=site.log)
    workers = site.worker_pids()
    load = Load(ports.TLS, "swap.test", threads=3, held=4)
    try:
        load.wait_more(20)
        serials = []
        for _ in range(20):
            evercert.renew("swap.test")
            serials.append(tls.leaf_at(ports.TLS, "swap.test").serial)
            load.wait_serial(serials[-1])
        alive = load.held_alive()
    finally:
        load.stop()
    assert len(set(serials)) == 20 and not load.failures and alive == 4
    assert site.worker_pids() == workers


def test_chains_longer_than_haproxys_buffers_are_swapped(haproxy, other_pebble, evercert):
    ca = other_pebble(chain_length=30)
    site = haproxy([certificate("long.test", key=["rsa:4096"])], pebble=ca).start()
    site.audit.wait("served", "long.test", timeout=40, seen=site.log)
    # More than tune.bufsize, which bounds what the stats socket takes.
    with open(os.path.join(site.state, "state", "certificates", "long.test", "1.bundle"), "rb") as file:
        assert len(file.read()) * 4 / 3 > 16384
    before = tls.leaf_at(ports.TLS, "long.test").serial
    evercert.renew("long.test")
    assert tls.leaf_at(ports.TLS, "long.test").serial != before


@pytest.mark.parametrize("fault,said", [("wrong key", "match"), ("expired", "expired")])
def test_what_is_wrong_is_refused_before_haproxy_sees_it(haproxy, evercert, authority, folder, fault, said):
    site = haproxy([certificate("good.test")]).start()
    site.audit.wait("served", "good.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "good.test").serial
    # Only what is valid for longer than what is served is looked at.
    place = lineages.write(folder, authority, ["good.test"], days=(-90, -1) if fault == "expired" else (-1, 4000))
    if fault == "wrong key":
        key = os.path.join(place, "live", "good.test", "privkey.pem")
        os.unlink(key)
        write_private(key, private_key_pem(ec.generate_private_key(ec.SECP256R1())))
    done = evercert.run("import", "certbot", place)
    assert (done.returncode != DONE or "skipped" in done.stdout) and said in done.stdout + done.stderr, done
    assert tls.leaf_at(ports.TLS, "good.test").serial == serial
    assert evercert.wait_state("good.test", "served")["generation"] == 1
    assert not site.complaints()


def test_a_certificate_of_another_host_is_kept_for_that_host_and_never_served_for_this_one(haproxy, evercert, authority, folder):
    site = haproxy([certificate("good.test")]).start()
    site.audit.wait("served", "good.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "good.test").serial
    live = os.path.join(lineages.write(folder, authority, ["bad.test"]), "live")
    os.rename(os.path.join(live, "bad.test"), os.path.join(live, "good.test"))  # the folder's name proves nothing
    done = evercert.run("import", "certbot", os.path.dirname(live))
    assert done.returncode == DONE and "no configuration names it so far" in done.stdout, done
    wait_for(lambda: [line["name"] for line in evercert.status()["unnamed"]] == ["bad.test"], "it to be listed", seen=evercert.status)
    for name in ("good.test", "bad.test"):
        assert tls.leaf_at(ports.TLS, name).serial == serial
    assert evercert.wait_state("good.test", "served")["generation"] == 1
    site.reload()
    assert tls.leaf_at(ports.TLS, "good.test").serial == serial and not site.complaints()


def kind_offered(*kinds):
    return {"version": tls.TLS12, "ciphers": ":".join("ECDHE-%s-AES128-GCM-SHA256" % kind for kind in kinds)}


def test_what_was_taken_over_keeps_its_kind_of_key_until_it_is_renewed(haproxy, evercert, pebble, authority, folder):
    place = lineages.write(folder, authority, ["moved.test"], kind="rsa")
    site = haproxy([certificate("moved.test", key=["ecdsa:256"])])
    done = evercert.run("import", "certbot", place, "--user", "haproxy")
    assert done.returncode == DONE, done.stderr
    mark = pebble.mark()
    site.start()
    evercert.wait_state("moved.test", "served")
    leaf = tls.leaf_at(ports.TLS, "moved.test", **kind_offered("ECDSA", "RSA"))
    assert leaf.kind == "rsa" and "evercert tests" in leaf.issuer
    assert "of its life" in evercert.certificate("moved.test")["next"]["why"] and pebble.orders(mark) == 0
    evercert.renew("moved.test")
    leaf = tls.leaf_at(ports.TLS, "moved.test", **kind_offered("ECDSA", "RSA"))
    assert leaf.kind == "ec" and "Pebble" in leaf.issuer


def test_what_was_taken_over_is_served_until_the_second_kind_of_key_is_there_and_beside_it(haproxy, evercert, pebble, authority, folder):
    place = lineages.write(folder, authority, ["moved.test"], kind="rsa")
    pebble.kill()
    site = haproxy([certificate("moved.test", key=["ecdsa:256", "rsa:2048"])])
    done = evercert.run("import", "certbot", place, "--user", "haproxy")
    assert done.returncode == DONE, done.stderr
    site.start()
    for _ in range(3):
        leaf = tls.leaf_at(ports.TLS, "moved.test", **kind_offered("ECDSA", "RSA"))
        assert leaf.kind == "rsa" and "evercert tests" in leaf.issuer
    pebble.start()
    tls.wait_leaf(ports.TLS, "moved.test", lambda leaf: leaf.kind == "ec" and "Pebble" in leaf.issuer, 40, seen=site.log,
                  **kind_offered("ECDSA", "RSA"))
    assert "evercert tests" in tls.leaf_at(ports.TLS, "moved.test", **kind_offered("RSA")).issuer


def test_a_rollback_serves_the_previous_generation_again(haproxy, evercert):
    site = haproxy([certificate("back.test")]).start()
    site.audit.wait("served", "back.test", seen=site.log)
    first = tls.leaf_at(ports.TLS, "back.test").serial
    evercert.renew("back.test")
    assert evercert.run("rollback", "back.test").returncode == DONE
    tls.wait_leaf(ports.TLS, "back.test", lambda leaf: leaf.serial == first, 5)


def test_somebody_elses_change_by_the_stats_socket_does_not_stop_ours(haproxy, evercert, authority):
    site = haproxy([certificate("shared.test")]).start()
    site.audit.wait("served", "shared.test", seen=site.log)
    chain, key = authority.issue("shared.test")
    path = os.path.join(site.pem_path, "shared.test.pem")
    said = site.cli("set ssl cert %s <<\n%s%s\n" % (path, chain.decode(), key.decode()))
    assert "created" in said or "Transaction" in said, said
    evercert.renew("shared.test")  # beside an open transaction
    assert "Pebble" in tls.leaf_at(ports.TLS, "shared.test").issuer
