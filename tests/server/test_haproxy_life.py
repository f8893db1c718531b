"""HAProxy's life: reloads in mid-order, kills of every process, outages of the CA, containers. Nothing is lost, doubled or left over."""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.haproxy import SUITES, certificate, program_of
from harness.load import Load
from harness.waiting import wait_for

VICTIMS = ["agent", "keeper", "worker", "master"]
EVENTS = ["order_placed", "challenge_seen", "finalized", "issued", "published"]


def newer_or_skip(version):
    found = program_of(version)
    if found is None:
        pytest.skip("HAProxy %s cannot be had here" % version)
    return found


@pytest.fixture
def mounted():
    @contextlib.contextmanager
    def mount(path, options):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", path], check=True)
    return mount


def ordered_once(site, pebble, mark, needs=1):
    """One order a need; a server that is killed while the CA validates makes the CA itself end an order."""
    ended_by_the_ca = [event for event in site.audit.all("renewal_failed") if event.get("kind") == "challenge_failed"]
    return (pebble.orders(mark), pebble.issued(mark)) == (needs + len(ended_by_the_ca), needs)


@pytest.mark.parametrize("version", SUITES)
def test_a_reload_in_mid_order_under_load_loses_nothing_and_orders_once(haproxy, pebble, fault, version):
    program = newer_or_skip(version)
    # An old certificate carries the load while the order of a new one is in flight.
    site = haproxy([certificate("load.test"), certificate("other.test")], directory=fault.uri, program=program).start()
    site.audit.wait("served", "load.test", seen=site.log)
    site.audit.wait("served", "other.test", seen=site.log)
    gate = threading.Event()
    rule = fault.add("/finalize-order/", fault_proxy.silence(20, gate))
    mark = pebble.mark()
    site.write(certificates=[certificate("load.test"), certificate("other.test"), certificate("mid.test")])
    load = Load(ports.TLS, "load.test", threads=2, held=0)
    try:
        load.wait_more(20)
        site.reload()
        wait_for(lambda: rule.hit, "the order to be in flight", seen=site.log)
        site.reload()
        gate.set()
        site.audit.wait("served", "mid.test", seen=site.log, timeout=30)
        load.wait_more(20)
    finally:
        gate.set()
        load.stop()
    assert not [failure for failure in load.failures if "reset" not in failure.lower()], load.failures[:5]
    assert ordered_once(site, pebble, mark), site.audit.sentences()
    wait_for(lambda: len(site.agents()) == len(site.keepers()) == 1, "the old agents to leave", 20, seen=site.tree)
    assert tls.leaf_at(ports.TLS, "mid.test").names == ["mid.test"]
    site.stop()


def test_while_an_old_worker_drains_the_new_one_leads_and_renews(haproxy, evercert):
    site = haproxy([certificate("drain.test")]).start()
    site.audit.wait("served", "drain.test", seen=site.log)
    # An idle connection would be closed; half a request is work that a worker waits for.
    held = tls.connect(ports.TLS, "drain.test")
    held.sendall(b"GET / HTTP/1.1\r\n")
    (old,) = site.worker_pids()
    site.reload()
    # The old agent may still be asked first, and hands over in the middle of it.
    wait_for(lambda: evercert.run("renew", "drain.test", "--force").returncode == 0, "the new agent to renew", 20, 0.1)
    assert processes.alive(old)
    held.sendall(b"Host: drain.test\r\nConnection: close\r\n\r\n")
    assert b" 200 " in held.recv(4096)
    held.close()
    wait_for(lambda: not processes.alive(old), "the old worker to end", seen=site.tree)
    wait_for(lambda: len(site.agents()) == 1, "its agent to end", seen=site.tree)


def test_after_a_reload_the_same_certificate_is_served_and_none_is_ordered(haproxy, pebble):
    site = haproxy([certificate("kept.test")]).start()
    site.audit.wait("served", "kept.test", seen=site.log)
    serial, mark = tls.leaf_at(ports.TLS, "kept.test").serial, pebble.mark()
    site.reload()
    assert tls.leaf_at(ports.TLS, "kept.test").serial == serial and pebble.orders(mark) == 0


def test_a_reload_that_fails_leaves_the_agent_as_it_is(haproxy, evercert):
    site = haproxy([certificate("failed.test")]).start()
    site.audit.wait("served", "failed.test", seen=site.log)
    before = site.agent()
    site.write(frontends="frontend broken\nbind 127.0.0.1:%d\nuse_backend nowhere" % ports.FREE)
    os.kill(site.master, signal.SIGUSR2)
    site.wait_log("Loading failure")
    site.wait_ready()
    # A port that somebody else holds is seen later, when an agent stands ready already.
    taken = socket.create_server(("127.0.0.1", ports.FREE + 1))
    site.write(frontends="frontend late\nbind 127.0.0.1:%d\nhttp-request return status 200" % (ports.FREE + 1))
    os.kill(site.master, signal.SIGUSR2)
    site.wait_log("(?i)cannot bind socket|Some protocols failed")
    taken.close()
    wait_for(lambda: site.log().count("Loading failure") == 2, "HAProxy to give up", seen=site.log)
    site.wait_ready()
    evercert.renew("failed.test")
    wait_for(lambda: site.agents() == [before] and len(site.keepers()) == 1, "the agent in waiting to leave", seen=site.tree)
    site.write(frontends="")
    os.kill(site.master, signal.SIGUSR2)
    site.wait_agent(other_than=before)
    wait_for(lambda: evercert.run("renew", "failed.test", "--force").returncode == 0, "the new agent to renew", 15, 0.1)


def test_a_reload_with_a_broken_evercert_json_serves_and_renews_on(haproxy, evercert):
    site = haproxy([certificate("broken.test")]).start()
    site.audit.wait("served", "broken.test", seen=site.log)
    serial, agent = tls.leaf_at(ports.TLS, "broken.test").serial, site.agent()
    site.write(settings={"agent_usr": "x"})
    os.kill(site.master, signal.SIGUSR2)
    site.wait_log("Loading failure")
    site.wait_ready()
    assert re.search(r"haproxy\.json:\d+.*agent_usr", site.log()) and tls.leaf_at(ports.TLS, "broken.test").serial == serial
    evercert.renew("broken.test")
    assert site.agents() == [agent]
    site.write(settings={})
    shutil.rmtree(site.pem_path)  # as after a clean-up of /run
    site.reload()
    assert tls.leaf_at(ports.TLS, "broken.test").serial != serial


def test_twenty_reloads_leak_neither_processes_nor_descriptors(haproxy, pebble):
    mark = pebble.mark()
    site = haproxy([certificate("storm%d.test" % index) for index in range(4)]).start()
    site.reload()
    descriptors = processes.descriptors_of(site.master)
    for _ in range(20):
        site.reload()
    for index in range(4):
        site.audit.wait("served", "storm%d.test" % index, timeout=40, seen=site.log)
    wait_for(lambda: len(site.agents()) == len(site.keepers()) == 1, "old agents to leave", 20, seen=site.tree)
    wait_for(lambda: len(site.worker_pids()) == 1, "old workers to leave", 20, seen=site.tree)
    assert processes.descriptors_of(site.master) <= descriptors
    assert ordered_once(site, pebble, mark, 4), site.audit.sentences()


def strike(site, victim):
    if victim in ("worker", "master"):
        # Without a worker HAProxy's master ends everything.
        processes.kill(site.worker_pids()[0]) if victim == "worker" else site.process.kill()
        site.process.wait(15)
        wait_for(lambda: not any(processes.alive(pid) for pid in site.known), "the rest to end", 10,
                 seen=lambda: [processes.title_of(pid) for pid in site.known])
        return site.start()
    pid = {"agent": site.agent, "keeper": lambda: (site.keepers() or [None])[0]}[victim]()
    if pid is None:
        return None
    processes.kill(pid)
    wait_for(lambda: not processes.alive(pid), "the %s to die" % victim)
    if victim == "keeper":
        site.wait_log("keeper has gone: certificates are served on")
        wait_for(lambda: not site.agents(), "the agent to end with its keeper", seen=site.tree)
        site.reload()
    return None


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("event", EVENTS)
def test_one_order_and_one_certificate_after_killing(haproxy, pebble, victim, event):
    mark = pebble.mark()
    site = haproxy([certificate("crash.test")]).start()
    site.audit.wait(event, "crash.test", seen=site.log)
    site.remember()
    strike(site, victim)
    site.audit.wait("served", "crash.test", timeout=30, seen=site.log)
    tls.wait_leaf(ports.TLS, "crash.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    assert ordered_once(site, pebble, mark), site.audit.sentences()
    site.stop()


@pytest.mark.slow
def test_killing_at_random_moments_loses_nothing(haproxy, pebble, evercert):
    names = ["random%d.test" % index for index in range(6)]
    mark = pebble.mark()
    site = haproxy([certificate(name) for name in names]).start()
    dice = random.Random(4)
    for _ in range(8):
        wait_for(lambda: site.audit.mark() > dice.randrange(30), "something to happen", seen=site.log)
        site.remember()
        strike(site, dice.choice(VICTIMS))
    for name in names:
        site.audit.wait("served", name, timeout=40, seen=site.log)
        tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    assert pebble.issued(mark) == len(names), site.audit.sentences()


def test_a_killed_agent_is_replaced_without_haproxy_noticing(haproxy, evercert):
    site = haproxy([certificate("again.test")]).start()
    site.audit.wait("served", "again.test", seen=site.log)
    workers, agent = site.worker_pids(), site.agent()
    processes.kill(agent)
    site.wait_agent(other_than=agent)
    wait_for(lambda: evercert.run("renew", "again.test", "--force").returncode == 0, "the new agent to renew", 15, 0.1)
    assert site.worker_pids() == workers


def test_keeper_and_agent_let_handshakes_go_first(haproxy):
    """A program that only root may read cannot change the weight of its session any more: it was done before."""
    site = haproxy([certificate("polite.test")]).start()
    site.audit.wait("served", "polite.test", seen=site.log)
    (keeper,) = site.keepers()
    first = site.agent()
    processes.kill(first)
    site.wait_agent(other_than=first)
    for pid in (keeper, site.agent()):
        assert os.getpriority(os.PRIO_PROCESS, pid) == 10 and os.sched_getscheduler(pid) == os.SCHED_BATCH
        assert os.getsid(pid) == keeper
        if os.path.exists("/proc/%d/autogroup" % pid):
            with open("/proc/%d/autogroup" % pid) as file:
                assert file.read().split()[-2:] == ["nice", "10"]
    for pid in site.worker_pids():
        assert os.getpriority(os.PRIO_PROCESS, pid) == 0 and os.getsid(pid) != keeper


def test_a_restart_with_the_ca_down_serves_what_there_is(haproxy, pebble):
    site = haproxy([certificate("outage.test")]).start()
    site.audit.wait("served", "outage.test", seen=site.log)
    serial = tls.leaf_at(ports.TLS, "outage.test").serial
    site.stop()
    pebble.kill()
    site.start()
    assert tls.leaf_at(ports.TLS, "outage.test").serial == serial
    site.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=["TERM", "USR1"])
def test_nothing_is_left_over_after_stopping_with(haproxy, number):
    site = haproxy([certificate("stop.test")]).start()
    site.audit.wait("served", "stop.test", seen=site.log)
    assert len(site.remember()) >= 3
    site.stop(number)


def test_an_old_process_hands_over_to_a_new_one_without_a_master(haproxy, evercert, folder):
    site = haproxy([certificate("sf.test")], mode=("-D",)).start()
    site.audit.wait("served", "sf.test", seen=site.log)
    old, agent = site.process, site.agent()
    subprocess.run([*site.arguments(), "-sf", str(old.pid)], check=True, timeout=20, stdin=subprocess.DEVNULL)
    site.process = processes.Adopted(wait_for(lambda: (lambda pid: pid if pid != old.pid else 0)(site._pid_in_file()), "the new one"))
    old.wait(15)
    site.wait_agent(other_than=agent)
    wait_for(lambda: evercert.run("renew", "sf.test", "--force").returncode == 0, "the new agent to lead", 15, 0.1)
    wait_for(lambda: len(site.agents()) == 1, "the old agent to leave", seen=site.tree)
    site.stop()


def test_a_start_in_the_background_lets_go_of_the_output_of_its_caller(haproxy):
    # As in $(haproxy -D ... 2>&1): the end of the output comes when nobody holds it any more.
    site = haproxy([certificate("shell.test")], mode=("-D",))
    with open(site.configuration) as file:
        text = file.read()
    with open(site.configuration, "w") as file:
        file.write(text.replace("log stderr format raw daemon", ""))  # HAProxy itself would hold it
    with subprocess.Popen(site.arguments(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as first:
        site.process = processes.Adopted(wait_for(site._pid_in_file, "the pid file"))
        said, _ = first.communicate(timeout=20)
    assert first.returncode == 0 and b"ALERT" not in said
    site.wait_agent()
    site.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
def test_as_process_one_of_a_container_it_works_and_ends(haproxy, evercert):
    site = haproxy([certificate("container.test")])
    # unshare waits for its child, which is process 1 of a namespace with a /proc of its own.
    site.start(prefix=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    site.audit.wait("served", "container.test", seen=site.log)
    (inner,) = processes.children_of(site.process.pid)
    assert re.search(r"^NSpid:.*\t1$", open("/proc/%d/status" % inner).read(), re.M)
    site.remember()
    evercert.renew("container.test")
    os.kill(inner, signal.SIGTERM)
    site.process.wait(10)
    wait_for(lambda: not any(processes.alive(pid) for pid in site.known), "everything to end")


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted")
def test_a_full_file_system_for_pem_files_does_not_keep_haproxy_from_starting(haproxy, evercert, folder, mounted):
    site, small = haproxy([certificate("full.test")]), os.path.join(folder, "small")
    with mounted(small, "size=64k,mode=755"):
        site.pem_path = os.path.join(small, "pem")
        site.write()
        site.start()
        site.audit.wait("served", "full.test", seen=site.log)
        evercert.renew("full.test")
        serial = tls.leaf_at(ports.TLS, "full.test").serial
        with open(os.path.join(small, "ballast"), "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * 1024)
        site.stop()
        site.start()  # with what stood there, and soon with what is newest
        site.wait_log("make room there")
        tls.wait_leaf(ports.TLS, "full.test", lambda leaf: leaf.serial == serial, seen=site.log)
        site.stop()


def test_two_haproxies_on_one_state_directory_order_a_shared_name_once(haproxy, pebble, evercert):
    """The first leads and shows the challenges of both; each swaps for itself."""
    mark = pebble.mark()
    one = haproxy([certificate("shared.test"), certificate("one.test")]).start()
    one.audit.wait("served", "one.test", seen=one.log)
    first = one.remember()
    two = haproxy([certificate("shared.test"), certificate("two.test")], label="second", port=ports.OTHER_TLS, http=ports.OTHER_HTTP, status=ports.FREE).start()
    for name in ("shared.test", "two.test"):
        tls.wait_leaf(ports.OTHER_TLS, name, lambda leaf: "Pebble" in leaf.issuer, 20, seen=two.log)
    assert pebble.issued(mark) == 3
    evercert.renew("shared.test")
    renewed = tls.leaf_at(ports.TLS, "shared.test").serial
    tls.wait_leaf(ports.OTHER_TLS, "shared.test", lambda leaf: leaf.serial == renewed, seen=two.log)
    assert pebble.issued(mark) == 4
    # Where the CA knocks is the first one's port: the second leads, but orders nothing new.
    processes.stop(one.process)
    wait_for(lambda: not any(processes.alive(pid) for pid in first), "the first and its agent to end", seen=one.tree)
    one.process = None
    wait_for(lambda: evercert.status()["agent"]["pid"] == two.agent(), "the second to lead", 20, 0.1)
    assert tls.leaf_at(ports.OTHER_TLS, "shared.test").serial == renewed
    two.stop()


def test_systemd_hears_of_the_master_only(haproxy, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(15)
        notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        site = haproxy([certificate("notify.test")], mode=("-Ws",)).start(environment=dict(os.environ, NOTIFY_SOCKET=path))
        site.audit.wait("served", "notify.test", seen=site.log)
        site.reload()
        site.stop()
        notify.setblocking(False)
        senders, said = set(), b""
        while True:
            try:
                text, control, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(12))
            except BlockingIOError:
                break
            said += text
            senders.update(int.from_bytes(data[:4], "little") for _, kind, data in control if kind == socket.SCM_CREDENTIALS)
        assert b"READY=1" in said and senders == {site.process.pid}
