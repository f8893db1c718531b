"""HAProxy: from nothing to a certificate that is served, in every way HAProxy can be run, and what a start may not do."""
import os
import re

import pytest

from harness import ports, processes, tls
from harness.haproxy import SUITES, certificate, program_of
from harness.waiting import wait_for

MODES = {"-W": ("-W",), "-Ws": ("-Ws",), "-D": ("-D",), "-db": ("-db",), "-W -D": ("-W", "-D")}


def from_the_ca(leaf):
    return "Pebble" in leaf.issuer


@pytest.fixture(params=list(SUITES))
def program(request):
    found = program_of(request.param)
    if found is None:
        pytest.skip("HAProxy %s cannot be had here" % request.param)
    return found


@pytest.mark.parametrize("threads", [1, 4])
def test_two_lines_and_a_rule_get_a_certificate_that_clients_trust(haproxy, pebble, program, threads):
    site = haproxy([certificate("first.test")], program=program, threads=threads).start()
    leaf = tls.wait_leaf(ports.TLS, "first.test", from_the_ca, seen=site.log)
    assert leaf.names == ["first.test"] and leaf.kind == "ec" and leaf.bits == 256
    assert tls.chain_is_good(ports.TLS, "first.test", pebble.root_pem())
    assert tls.get(ports.TLS, "first.test") == (200, b"ok\n")
    site.audit.wait("served", "first.test", seen=site.log)
    assert not site.complaints()
    site.stop()


@pytest.mark.parametrize("mode", MODES)
def test_it_is_served_and_nothing_is_left_over_when_run_with(haproxy, mode):
    site = haproxy([certificate("mode.test")], mode=MODES[mode]).start()
    site.audit.wait("served", "mode.test", seen=site.log)
    agent, (keeper,) = site.wait_agent(), site.keepers()
    (worker,) = site.worker_pids()
    assert processes.user_of(agent) == processes.user_of(keeper) == processes.user_of(worker) != 0
    assert os.readlink("/proc/%d/root" % worker) == site.jail and os.readlink("/proc/%d/root" % agent) == "/"
    site.stop()
    assert not processes.alive(agent) and not processes.alive(keeper)


def test_without_root_it_is_the_same_with_a_note(haproxy, folder):
    # Everything belongs to the one user there is.
    uid, gid = processes.bystander()
    home = os.path.join(folder, "home")
    os.makedirs(home)
    os.chown(home, uid, gid)
    site = haproxy([certificate("plain.test")], user=None)
    site.stats_socket, site.master_socket = os.path.join(home, "cli"), os.path.join(home, "master")
    site.pid_file, site.pem_path, site.state = (os.path.join(home, name) for name in ("pid", "pem", "state"))
    site.write()
    site.start()
    site.audit.wait("served", "plain.test", seen=site.log)
    assert "as safe as everything else" in site.log()
    site.stop()


def test_a_configuration_check_starts_nothing_and_makes_no_key(haproxy, evercert):
    site = haproxy([certificate("checked.test")])
    before = set(processes.descendants_of(os.getpid()))
    code, said = site.test()
    assert code == 0, said
    assert not os.path.exists(os.path.join(evercert.state, "seal.key"))
    assert sorted(os.listdir(site.pem_path)) == [".evercert", "checked.test.pem"]
    assert set(processes.descendants_of(os.getpid())) <= before
    assert os.stat(site.pem_path).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(site.pem_path, "checked.test.pem")).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("change, said", [
    (dict(settings={"agent_usr": "x"}), r"haproxy\.json:\d+.*agent_usr.*agent_user"),
    (dict(certificates=[certificate("bad name.test")]), r"haproxy\.json:\d+.*bad name\.test"),
    (dict(certificates=[]), r"haproxy\.json: names no certificate"),
    (dict(settings={"agent_user": "nobody-at-all"}), r"haproxy\.json:\d+: agent_user: the user \"nobody-at-all\" does not exist; name another"),
], ids=["mistyped option", "impossible name", "no certificate", "unknown user"])
def test_a_wrong_configuration_is_refused_with_file_line_and_remedy(haproxy, change, said):
    site = haproxy([certificate("wrong.test")])
    site.write(**change)
    code, output = site.test()
    assert code != 0 and re.search(said, output), output


def test_until_the_first_certificate_a_stand_in_is_served(haproxy, pebble):
    pebble.kill()
    site = haproxy([certificate("early.test")]).start()
    early = tls.leaf_at(ports.TLS, "early.test")
    assert early.names == ["early.test"] and early.x509.issuer == early.x509.subject
    pebble.start()
    tls.wait_leaf(ports.TLS, "early.test", from_the_ca, 40, seen=site.log)


def test_both_kinds_of_key_are_served_and_swapped(haproxy, evercert):
    site = haproxy([certificate("both.test", key=["ecdsa:256", "rsa:2048"])]).start()
    kinds = {"ec": "ECDHE-ECDSA-AES128-GCM-SHA256", "rsa": "ECDHE-RSA-AES128-GCM-SHA256"}
    for kind, ciphers in kinds.items():
        assert tls.wait_leaf(ports.TLS, "both.test", from_the_ca, version=tls.TLS12, ciphers=ciphers, seen=site.log).kind == kind
    assert sorted(os.listdir(site.pem_path)) == [".evercert", "both.test.pem.ecdsa", "both.test.pem.rsa"]
    wait_for(lambda: evercert.certificate("both.test")["state"] == "served", "both to be proved", seen=evercert.status)
    before = {kind: tls.leaf_at(ports.TLS, "both.test", version=tls.TLS12, ciphers=ciphers).serial for kind, ciphers in kinds.items()}
    evercert.renew("both.test")
    for kind, ciphers in kinds.items():
        tls.wait_leaf(ports.TLS, "both.test", lambda leaf, kind=kind: leaf.serial != before[kind], version=tls.TLS12, ciphers=ciphers)


def test_a_directory_of_somebody_else_is_refused_for_keys(haproxy, folder):
    site = haproxy([certificate("theirs.test")])
    os.makedirs(site.pem_path)
    os.chmod(site.pem_path, 0o777)
    code, output = site.test()
    assert code != 0 and "chmod go-w %s" % site.pem_path in output, output


def test_pem_files_of_certificates_that_left_go_and_others_stay(haproxy):
    site = haproxy([certificate("here.test")])
    os.makedirs(site.pem_path, mode=0o700)
    for name in ("gone.test.pem", "gone.test.pem.rsa", "list.txt", "bought.pem"):
        open(os.path.join(site.pem_path, name), "w").close()
    with open(os.path.join(site.pem_path, ".evercert"), "w") as written:
        written.write("gone.test.pem\ngone.test.pem.rsa\n")
    # A test of the configuration removes nothing from a server that may run with another one.
    site.test()
    assert sorted(os.listdir(site.pem_path)) == [".evercert", "bought.pem", "gone.test.pem", "gone.test.pem.rsa", "here.test.pem", "list.txt"]
    site.start(wait=False)  # HAProxy itself refuses what is no certificate
    site.process.wait(20)
    assert sorted(os.listdir(site.pem_path)) == [".evercert", "bought.pem", "here.test.pem", "list.txt"]


def test_haproxy_starts_and_serves_the_store_where_no_agent_can_be_started(haproxy):
    site = haproxy([certificate("alone.test")]).start()
    site.audit.wait("served", "alone.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "alone.test").serial
    site.stop()
    site.write(settings={"program": "/bin/false"})
    site.start()
    assert tls.leaf_at(ports.TLS, "alone.test").serial == serial
    site.wait_log("no certificate is ordered or renewed: the agent cannot be started")
    assert not site.keepers()


def test_lua_loaded_once_per_thread_starts_one_agent(haproxy):
    site = haproxy([certificate("threads.test")], lua_per_thread=True, threads=4).start()
    site.audit.wait("served", "threads.test", seen=site.log)
    assert len(site.keepers()) == len(site.agents()) == 1
    assert not site.complaints()
