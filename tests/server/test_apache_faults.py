"""Apache on bad days: disks that are full or read-only, damage under a running server, kills at random, and the whole path under
valgrind."""
import os
import random
import signal
import threading

import pytest

from harness import ports, processes, tls, valgrind
from harness.apache import MPMS, host
from harness.damage import DAMAGES, bundles, change
from harness.evercert import Evercert, end
from harness.load import Load
from harness.waiting import wait_for, wait_port
from test_apache_crashes import strike


def test_a_full_disk_stops_neither_traffic_nor_graceful_restarts_and_heals(disk, apache, install):
    site = apache(host("full.test"), state=disk.state).start()
    evercert = Evercert(install, disk.state)
    site.audit.wait("served", "full.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "full.test").serial
    disk.fill()
    done = evercert.run("renew", "full.test", "--force", timeout=90)
    assert done.returncode != 0 and ("full" in done.stderr.lower() or "space" in done.stderr.lower()), done
    site.reload()
    assert tls.leaf_at(ports.TLS, "full.test").serial == serial and tls.get(ports.TLS, "full.test")[0] == 200
    disk.make_room()
    wait_for(lambda: evercert.run("renew", "full.test", "--force").returncode == 0, "a renewal with room", 40, 0.2, site.audit.sentences)
    assert tls.leaf_at(ports.TLS, "full.test").serial != serial


def test_a_disk_that_is_full_from_the_start_is_named_and_the_next_start_serves(disk, apache, pebble):
    site = apache(host("nospace.test"), state=disk.state)
    disk.fill()
    mark = pebble.mark()
    assert site.test()[0] == 0
    site.start(wait=False)
    # Without a seal key nothing can be kept: the first start of all is refused, none after it.
    assert site.process.wait(20) != 0 and "no space" in site.log().lower() and pebble.issued(mark) == 0
    site.process.stderr.close()
    disk.make_room()
    site.start()
    site.audit.wait("served", "nospace.test", timeout=60, pause=0.02, seen=site.log)
    assert pebble.issued(mark) == 1


def test_a_read_only_state_serves_on_and_says_so(disk, apache, install):
    site = apache(host("readonly.test"), state=disk.state).start()
    site.audit.wait("served", "readonly.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "readonly.test").serial
    site.stop()
    disk.remount("ro")
    site.start()
    site.wait_log(r"(?i)read-only")
    site.reload()
    assert tls.leaf_at(ports.TLS, "readonly.test").serial == serial
    disk.remount("rw")
    # Whoever starts its agent is root still, and needs no restart.
    wait_for(lambda: Evercert(install, disk.state).run("renew", "readonly.test", "--force").returncode == 0, "a renewal once writable", 60, 0.2,
             site.log)
    assert "can be opened again" in site.log()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_under_a_running_server_changes_nothing_and_later_children_serve_the_one_before(apache, evercert, damage):
    site = apache(host("damaged.test"), mpm="prefork").start()
    site.audit.wait("served", "damaged.test", seen=site.log)
    first = tls.leaf_at(ports.TLS, "damaged.test").serial
    evercert.renew("damaged.test")
    newest = tls.leaf_at(ports.TLS, "damaged.test").serial
    held = tls.connect(ports.TLS, "damaged.test")  # its child has the newest in memory
    change(bundles(evercert.state, "damaged.test")[-1], DAMAGES[damage])
    children = site.worker_pids()
    for pid in children[:-1]:
        processes.kill(pid)
    wait_for(lambda: not set(children[:-1]) & set(site.worker_pids()), "children to be gone")
    assert {tls.leaf_at(ports.TLS, "damaged.test").serial for _ in range(20)} <= {first, newest}
    held.close()
    site.stop()
    site.start()
    assert tls.leaf_at(ports.TLS, "damaged.test").serial == first and tls.get(ports.TLS, "damaged.test")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("mpm", MPMS)
def test_ten_names_survive_kills_at_random_instants(apache, pebble, mpm):
    chance = random.Random("apache " + mpm)
    names = ["random%d.test" % i for i in range(10)]
    mark = pebble.mark()
    site = apache("".join(host(name) for name in names), mpm=mpm).start()
    pause = threading.Event()
    for _ in range(8):
        pause.wait(chance.uniform(0.005, 0.2))  # a random instant is what is wanted
        deed = chance.choice(["agent", "agent", "relay", "child", "graceful"])
        if deed == "graceful":
            os.kill(site.master, signal.SIGUSR1)
        elif deed != "child" or site.worker_pids():
            strike(site, deed)
    for name in names:
        tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, 60, seen=site.log)
        site.audit.wait("served", name, timeout=60, pause=0.01, seen=site.log)
    ended_by_the_ca = [e for e in site.audit.all("renewal_failed") if e.get("kind") == "challenge_failed"]
    assert (pebble.orders(mark), pebble.issued(mark)) == (10 + len(ended_by_the_ca), 10), site.audit.sentences()
    assert site.process.poll() is None and not site.complaints()


def test_a_dead_ca_and_a_dying_agent_never_reach_traffic(apache, evercert, other_pebble):
    ca = other_pebble()
    site = apache(host("calm.test"), pebble=ca, main="KeepAliveTimeout 300\nMaxKeepAliveRequests 0\n").start()
    site.audit.wait("served", "calm.test", seen=site.log)
    ca.kill()
    load = Load(ports.TLS, "calm.test", threads=2, held=2)
    try:
        for _ in range(3):
            load.wait_more(10)
            agent, tries = site.wait_agent(), site.audit.count("renewal_failed")
            asked = evercert.start("renew", "calm.test", "--force", "--state", evercert.state)
            site.audit.wait("renewal_failed", more_than=tries, seen=site.log)
            end(asked)
            processes.kill(agent)
            site.wait_agent(other_than=agent)
            wait_for(lambda: evercert.run("status").returncode == 0, "an agent that leads", 20, 0.05)
        load.wait_more(10)
        assert load.held_alive() == 2
    finally:
        load.stop()
    assert not load.failures and not site.complaints()


@pytest.mark.slow
@pytest.mark.skipif(not valgrind.INSTALLED, reason="valgrind is not installed")
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_the_whole_path_is_clean_under_valgrind(apache, evercert, folder, install, mpm):
    tool = valgrind.Valgrind(folder)
    few = "StartServers 4\nMinSpareServers 2\nMaxSpareServers 4\n" if mpm == "prefork" else "StartServers 1\nThreadsPerChild 4\nMaxRequestWorkers 16\n"
    http2 = ("http2",) if mpm == "event" else ()
    site = apache(host("valgrind.test", inside="Protocols h2 http/1.1" if http2 else "") + host("second.test"), mpm=mpm, main=few, modules=http2)
    text = open(site.configuration).read().replace(site.install.program, tool.readable(install))
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start(wait=False, prefix=tool.prefix)
    wait_port(ports.TLS, True, 60)
    for name in ("valgrind.test", "second.test"):
        site.audit.wait("served", name, timeout=120, pause=0.02, seen=site.log)  # one that was too slow is asked again after a while
    for version in (tls.TLS12, tls.TLS13):
        assert tls.leaf_at(ports.TLS, "valgrind.test", version=version).names == ["valgrind.test"]
    for _ in range(2):
        evercert.renew("valgrind.test")
    assert tls.get(ports.TLS, "valgrind.test") == (200, b"ok\n")
    for rest in ("", "/json", "/metrics"):
        assert tls.plain_get(ports.STATUS, "localhost", "/evercert" + rest, timeout=20)[0] == 200
    os.kill(site.master, signal.SIGUSR1)
    wait_for(lambda: site.log().count("resuming normal operations") > 1, "httpd to resume", 60, 0.05, site.log)
    assert tls.wait_leaf(ports.TLS, "second.test", timeout=30).names == ["second.test"]
    assert tls.get(ports.TLS, "valgrind.test") == (200, b"ok\n")
    site.stop(timeout=60)
    assert not tool.complaints(), "\n\n".join(tool.complaints()[:5])
