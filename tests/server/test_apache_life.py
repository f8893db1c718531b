"""The agent and its relay beside Apache's parent: over graceful restarts, after kills of any process, and at the end."""
import os
import re
import signal
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.apache import MPMS, host
from harness.waiting import wait_for


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


@pytest.mark.parametrize("mpm", MPMS)
def test_a_graceful_restart_keeps_the_agent_and_gives_it_the_new_names(apache, pebble, mpm):
    site = apache(host("old.test"), mpm=mpm).start()
    site.audit.wait("served", "old.test")
    agent, relay, serial = site.agent(), site.relay(), tls.leaf_at(ports.TLS, "old.test").serial
    mark = pebble.mark()
    site.write(hosts=host("old.test") + host("new.test"))
    site.reload()
    site.audit.wait("served", "new.test", seen=site.log)
    assert site.agent() == agent and site.agents() == [agent]
    assert site.relay() != relay and not processes.alive(relay)
    assert tls.leaf_at(ports.TLS, "old.test").serial == serial and pebble.orders(mark) == 1
    assert tls.leaf_at(ports.TLS, "new.test").names == ["new.test"]


def test_a_name_that_leaves_the_configuration_leaves_the_agent(apache, evercert):
    site = apache(host("stay.test") + host("leave.test")).start()
    for name in ("stay.test", "leave.test"):
        site.audit.wait("served", name)
    site.write(hosts=host("stay.test"))
    site.reload()
    wait_for(lambda: evercert.named() == ["stay.test"], "the list to shrink", seen=lambda: evercert.run("list"))


@pytest.mark.parametrize("request_path", ["^/order-plz", "^/chalZ/", "^/finalize-order/"])
def test_no_order_is_lost_or_doubled_by_graceful_restarts_in_its_middle(apache, pebble, fault, request_path):
    gate = threading.Event()
    rule = fault.add(request_path, fault_proxy.silence(20, gate), after=True)
    mark = pebble.mark()
    site = apache(host("middle.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the request to come", seen=site.log)
    agent = site.agent()
    for _ in range(2):
        site.reload()
    gate.set()
    fault.clear()
    site.audit.wait("served", "middle.test", timeout=40, seen=site.log)
    assert site.agent() == agent
    assert (pebble.orders(mark), pebble.issued(mark)) == (1, 1), site.audit.sentences()


@pytest.mark.slow
def test_thirty_graceful_restarts_leave_no_memory_and_no_descriptor_behind(apache, pebble):
    names = ["storm%d.test" % i for i in range(10)]
    mark = pebble.mark()
    site = apache("".join(host(name) for name in names)).start()
    for _ in range(5):  # until allocators have what they want
        site.reload()
    for name in names:
        site.audit.wait("served", name, timeout=40, pause=0.02, seen=site.log)
    agent, descriptors, memory = site.agent(), processes.descriptors_of(site.master), resident(site.master)
    of_agent = processes.descriptors_of(agent)
    for _ in range(30):
        site.reload()
    assert processes.descriptors_of(site.master) <= descriptors
    assert resident(site.master) < memory + 1500, "from %d to %d KiB" % (memory, resident(site.master))
    assert site.agents() == [agent]
    wait_for(lambda: processes.descriptors_of(agent) <= of_agent, "the agent to have no more descriptors than before")
    assert (pebble.orders(mark), pebble.issued(mark)) == (10, 10), site.audit.sentences()
    assert {tls.leaf_at(ports.TLS, name).names[0] for name in names} == set(names)
    assert not site.complaints()


def memory_files_of(pid):
    links = []
    for number in os.listdir("/proc/%d/fd" % pid):
        try:
            links.append(os.readlink("/proc/%d/fd/%s" % (pid, number)))
        except FileNotFoundError:
            pass
    return [link for link in links if "memfd:" in link]


@pytest.mark.skipif(os.geteuid() != 0, reason="looking into others' descriptors needs root")
@pytest.mark.parametrize("mpm", MPMS)
def test_children_hold_no_plan_and_no_secrets_and_nobody_of_their_user_looks_into_them(apache, mpm):
    site = apache(host("secret.test"), mpm=mpm).start()
    site.audit.wait("served", "secret.test")
    for _ in range(2):
        # One that was forked just now has still to become what it will be.
        for pid in site.worker_pids():
            wait_for(lambda: not [name for name in memory_files_of(pid) if re.search("plan|secret|stand-in", name)],
                     "a child to close what is not for it", 5, seen=lambda: memory_files_of(pid))
        for pid in [*site.worker_pids(), site.agent(), site.relay()]:
            # Its files in /proc belong to root unless it may be looked into.
            wait_for(lambda: os.stat("/proc/%d/fd" % pid).st_uid == 0 != processes.user_of(pid), "%s to protect itself" % processes.name_of(pid), 5)
        site.reload()
        site.wait_agent()


def test_a_killed_agent_comes_back_and_traffic_never_notices(apache, evercert):
    site = apache(host("calm.test")).start()
    site.audit.wait("served", "calm.test")
    children, serial, last = site.worker_pids(), tls.leaf_at(ports.TLS, "calm.test").serial, None
    for _ in range(3):
        last = site.wait_agent(other_than=last)
        processes.kill(last)
        assert tls.leaf_at(ports.TLS, "calm.test").serial == serial
    site.wait_agent(other_than=last)
    site.wait_log(r"by signal 9")
    wait_for(lambda: evercert.run("renew", "calm.test", "--force").returncode == 0, "renew to find the new agent", 20)
    assert site.worker_pids() == children


def test_an_agent_that_is_killed_right_after_a_graceful_restart_harms_no_parent(apache):
    site = apache(host("parent.test")).start()
    site.audit.wait("served", "parent.test")
    for _ in range(3):
        site.reload()
        agent = site.wait_agent()
        processes.kill(agent)
        site.wait_agent(other_than=agent)
    assert site.process.poll() is None and not site.complaints()


def test_a_killed_relay_comes_back_with_the_same_agent(apache, evercert):
    site = apache(host("relay.test")).start()
    site.audit.wait("served", "relay.test")
    agent, relay = site.agent(), site.relay()
    processes.kill(relay)
    wait_for(lambda: site.relay() not in (None, relay), "another relay", seen=site.tree)
    assert site.agent() == agent
    wait_for(lambda: evercert.run("renew", "relay.test", "--force").returncode == 0, "the agent to renew", 20, 0.1)
    assert site.agent() == agent


@pytest.mark.slow
def test_an_agent_that_hears_nothing_any_more_is_replaced(apache, pebble):
    site = apache(host("deaf.test")).start()
    site.audit.wait("served", "deaf.test")
    agent = site.agent()
    os.kill(agent, signal.SIGSTOP)
    site.write(hosts=host("deaf.test") + host("next.test"))
    site.reload()
    site.audit.wait("served", "next.test", timeout=40, seen=site.log)
    assert site.agent() != agent


@pytest.mark.parametrize("mpm", MPMS)
def test_a_killed_child_is_replaced_by_one_that_serves(apache, mpm):
    site = apache(host("child.test"), mpm=mpm).start()
    site.audit.wait("served", "child.test")
    serial, agent = tls.leaf_at(ports.TLS, "child.test").serial, site.agent()
    victim = site.worker_pids()[0]
    processes.kill(victim)
    wait_for(lambda: victim not in site.worker_pids(), "the child to be gone")
    assert {tls.leaf_at(ports.TLS, "child.test").serial for _ in range(30)} == {serial}
    assert site.agent() == agent


def test_a_killed_parent_takes_the_agent_along_and_its_next_start_serves_at_once(apache, pebble):
    site = apache(host("master.test")).start()
    site.audit.wait("served", "master.test")
    serial, agent, relay = tls.leaf_at(ports.TLS, "master.test").serial, site.agent(), site.relay()
    site.remember()
    site.process.kill()
    site.process.wait()
    wait_for(lambda: not processes.alive(agent) and not processes.alive(relay), "agent and relay to leave")
    site.process.stderr.close()
    processes.end_all(site.known)
    site.known.clear()
    mark = pebble.mark()
    site.start()
    assert tls.leaf_at(ports.TLS, "master.test").serial == serial
    assert pebble.orders(mark) == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGWINCH], ids=["stop", "graceful-stop"])
@pytest.mark.parametrize("mpm", MPMS)
def test_everything_ends_with_the_server(apache, mpm, end):
    site = apache(host("end.test"), mpm=mpm).start()
    site.audit.wait("served", "end.test")
    known = [site.master, *site.remember()]
    assert site.agent() in known and site.relay() in known
    site.stop(end)
    assert not any(processes.alive(pid) for pid in known) and not site.complaints()


def test_a_hard_restart_serves_and_orders_on(apache, pebble):
    site = apache(host("hard.test")).start()
    site.audit.wait("served", "hard.test")
    serial, mark = tls.leaf_at(ports.TLS, "hard.test").serial, pebble.mark()
    site.write(hosts=host("hard.test") + host("harder.test"))
    os.kill(site.master, signal.SIGHUP)
    site.audit.wait("served", "harder.test", timeout=30, seen=site.log)
    assert tls.leaf_at(ports.TLS, "hard.test").serial == serial and pebble.orders(mark) == 1


def test_evercert_can_be_switched_off_and_on_again(apache, authority):
    static = authority.files("toggle.test")
    site = apache(host("toggle.test", static=static)).start()
    site.audit.wait("served", "toggle.test")
    site.write(hosts=host("toggle.test", "Evercert off", static=static))
    site.reload()
    assert "evercert tests" in tls.leaf_at(ports.TLS, "toggle.test").issuer
    wait_for(lambda: not site.agents(), "the agent to leave", seen=site.tree)
    site.write(hosts=host("toggle.test", static=static))
    site.reload()
    tls.wait_leaf(ports.TLS, "toggle.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)


def test_a_restart_while_the_ca_is_down_serves_what_there_is(apache, other_pebble):
    ca = other_pebble()
    site = apache(host("outage.test"), directory=ca.uri).start()
    site.audit.wait("served", "outage.test")
    serial = tls.leaf_at(ports.TLS, "outage.test").serial
    ca.kill()
    site.stop()
    site.start()
    assert {tls.leaf_at(ports.TLS, "outage.test").serial for _ in range(5)} == {serial}


def test_a_program_that_is_not_there_is_named_and_harms_no_traffic(apache, authority):
    static = authority.files("static.test")
    site = apache(host("static.test", "Evercert off", static=static) + host("lost.test"))
    text = open(site.configuration).read().replace(site.install.program, "/nonexistent/evercert")
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start()
    site.wait_log("/nonexistent/evercert")
    assert tls.leaf_at(ports.TLS, "static.test").names == ["static.test"]
    assert tls.get(ports.TLS, "lost.test")[0] == 503


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_the_agent_runs_as_the_user_that_is_named(apache, evercert):
    import pwd
    site = apache(host("user.test"), global_extra="EvercertAgentUser nobody").start()
    site.audit.wait("served", "user.test", seen=site.log)
    nobody = pwd.getpwnam("nobody").pw_uid
    assert processes.user_of(site.agent()) == nobody == processes.user_of(site.relay())
    first = tls.leaf_at(ports.TLS, "user.test").serial
    evercert.renew("user.test")
    assert tls.leaf_at(ports.TLS, "user.test").serial != first


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_an_ordinary_user_can_run_all_of_it(apache, folder):
    uid, gid = processes.bystander()
    site = apache(host("own.test"), user=None)
    for where, folders, files in os.walk(folder):
        for name in [where, *(os.path.join(where, n) for n in folders + files)]:
            os.chown(name, uid, gid)
    site.start()
    site.audit.wait("served", "own.test", seen=site.log)
    assert processes.user_of(site.agent()) == uid and "as safe as" in site.log()
