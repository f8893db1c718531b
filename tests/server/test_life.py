"""Reloads, upgrades, two servers on one state, other ways to start, wrong clocks, and the whole path under valgrind."""
import os
import re
import signal

import pytest

from harness import clock, ports, processes, tls, valgrind
from harness.clock import Clock
from harness.nginx import host
from harness.waiting import wait_for


@pytest.mark.slow
def test_a_storm_of_reloads_neither_loses_nor_doubles_orders_and_leaks_nothing(nginx, pebble):
    names = ["storm%d.test" % i for i in range(10)]
    mark = pebble.mark()
    site = nginx("".join(host(name) for name in names)).start()
    site.reload()
    descriptors = processes.descriptors_of(site.master)
    for _ in range(20):
        site.reload()
    for name in names:
        site.audit.wait("served", name, timeout=40, pause=0.02)
    assert (pebble.orders(mark), pebble.issued(mark)) == (10, 10), site.audit.sentences()
    wait_for(lambda: len(site.agents()) == 1, "old agents to leave", seen=site.tree)
    wait_for(lambda: processes.descriptors_of(site.master) <= descriptors, "descriptors of the master to be closed",
             seen=lambda: "%d before, %d after" % (descriptors, processes.descriptors_of(site.master)))
    assert not site.complaints()


def test_a_reload_with_one_more_name_keeps_the_old_certificates_and_orders_only_the_new(nginx, pebble):
    site = nginx(host("old.test")).start()
    site.audit.wait("served", "old.test")
    serial = tls.leaf_at(ports.TLS, "old.test").serial
    mark = pebble.mark()
    site.write(http=host("old.test") + host("new.test"))
    site.reload()
    site.audit.wait("served", "new.test")
    assert tls.leaf_at(ports.TLS, "old.test").serial == serial and pebble.orders(mark) == 1


def test_a_restart_does_not_tell_the_log_again_when_each_certificate_is_due(nginx):
    site = nginx(host("due.test")).start()
    site.audit.wait("served", "due.test")
    site.audit.wait("renewal_scheduled", "due.test")
    wait_for(lambda: "renewal is due at" in site.log(), "the log to tell it once", seen=site.log)
    site.stop()
    site.start()
    site.audit.wait("renewal_scheduled", "due.test", more_than=1, seen=site.log)
    assert site.log().count("renewal is due at") == 1, site.log()


def test_a_name_that_leaves_the_configuration_leaves_the_agent_and_its_files_stay(nginx, evercert):
    site = nginx(host("stay.test") + host("leave.test")).start()
    for name in ("stay.test", "leave.test"):
        site.audit.wait("served", name)
    site.write(http=host("stay.test"))
    site.reload()
    wait_for(lambda: evercert.named() == ["stay.test"], "the list to shrink", seen=lambda: evercert.run("list"))
    assert os.listdir(os.path.join(evercert.state, "state", "certificates", "leave.test"))


def test_evercert_can_be_switched_off_and_on_again_by_reload(nginx, authority):
    static = authority.files("toggle.test")
    site = nginx(host("toggle.test", static=static)).start()
    site.audit.wait("served", "toggle.test")
    site.write(http=host("toggle.test", "evercert off;", static=static))
    site.reload()
    assert "evercert tests" in tls.leaf_at(ports.TLS, "toggle.test").issuer
    wait_for(lambda: not site.agents(), "the agent to leave", seen=site.tree)
    site.write(http=host("toggle.test", static=static))
    site.reload()
    tls.wait_leaf(ports.TLS, "toggle.test", lambda leaf: "Pebble" in leaf.issuer)


def test_a_binary_upgrade_keeps_serving_and_hands_the_lead_over(nginx, evercert):
    # nginx upgrades itself only as a daemon.
    site = nginx(host("upgrade.test"), daemon=True).start()
    site.audit.wait("served", "upgrade.test")
    serial = tls.leaf_at(ports.TLS, "upgrade.test").serial
    old = site.master
    os.kill(old, signal.SIGUSR2)

    def second_master():
        if not os.path.exists(site.pid_file + ".oldbin") or not os.path.exists(site.pid_file):
            return None
        with open(site.pid_file) as file:
            return int(file.read() or 0)  # it is there before its number is
    new = wait_for(second_master, "the second master", seen=site.log)
    assert new != old
    # Workers of both take connections from one listener: until its agent follows, the new one's have no answer for the CA.
    wait_for(lambda: evercert.status()["agent"]["followers"], "the new master's agent to follow", seen=site.tree)
    assert {tls.leaf_at(ports.TLS, "upgrade.test").serial for _ in range(12)} == {serial}
    evercert.renew("upgrade.test")

    # Which of the two takes a connection is not ours to say.
    def fresh_everywhere():
        now = {tls.leaf_at(ports.TLS, "upgrade.test").serial for _ in range(24)}
        return now.pop() if len(now) == 1 and serial not in now else None
    fresh = wait_for(fresh_everywhere, "both servers to follow", 5)
    known = set(site.remember())
    os.kill(old, signal.SIGQUIT)
    site.process.wait(20)
    wait_for(lambda: len([p for p in known | set(processes.descendants_of(new)) if re.search(r"evercert run", processes.title_of(p))]) == 1,
             "the old agent to leave")
    try:
        assert tls.leaf_at(ports.TLS, "upgrade.test").serial == fresh
        wait_for(lambda: evercert.run("renew", "upgrade.test", "--force").returncode == 0, "the new leader to renew", 20, 0.1)
    finally:
        processes.end_all([new, *processes.descendants_of(new)])


def other_host(name):
    return ("  server { listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl; server_name %s; evercert on; return 200 \"other\\n\"; }\n"
            % (ports.OTHER_HTTP, ports.OTHER_TLS, name))


def test_two_servers_on_one_state_are_led_by_one_agent_and_both_serve(nginx, evercert, pebble):
    mark = pebble.mark()
    first = nginx(host("first-host.test")).start()
    first.audit.wait("served", "first-host.test")
    # The CA knocks at the first server only; the second one's answers are given there, too.
    second = nginx(other_host("second-host.test"), port=ports.OTHER_TLS, status_port=ports.STATUS + 20).start()
    second.audit.wait("served", "second-host.test", timeout=30)
    assert tls.leaf_at(ports.OTHER_TLS, "second-host.test").names == ["second-host.test"]
    assert pebble.orders(mark) == 2
    wait_for(lambda: sorted(evercert.run("list").stdout.split()) == ["first-host.test", "second-host.test"], "both in the status", 5, 0.05)
    # The leader's server ends: the follower leads, and goes on with its own.
    first.stop()
    wait_for(lambda: evercert.run("renew", "second-host.test", "--force").returncode in (0, 1), "somebody to lead", 20, 0.1)
    assert tls.leaf_at(ports.OTHER_TLS, "second-host.test").names == ["second-host.test"]


def test_a_leader_knows_at_once_that_the_ca_asked_another_server(nginx):
    first = nginx(host("leader-host.test"), status_port=ports.STATUS + 20).start()
    first.audit.wait("served", "leader-host.test")
    # The port at which the CA knocks becomes the second server's; the first one's agent leads.
    first.write(http=other_host("leader-host.test"))
    first.port = ports.OTHER_TLS
    first.reload()
    second = nginx(host("asked-host.test")).start()
    second.audit.wait("challenge_seen", "asked-host.test", timeout=30)
    second.audit.wait("served", "asked-host.test", timeout=30)


def test_two_servers_that_want_the_same_certificate_share_it(nginx, pebble):
    mark = pebble.mark()
    first = nginx(host("shared.test")).start()
    second = nginx(other_host("shared.test"), port=ports.OTHER_TLS, status_port=ports.STATUS + 20).start()
    first.audit.wait("served", "shared.test", timeout=30)
    leaf = tls.wait_leaf(ports.OTHER_TLS, "shared.test", seen=second.log)
    assert leaf.serial == tls.leaf_at(ports.TLS, "shared.test").serial
    assert pebble.orders(mark) == 1


def test_without_a_master_process_it_works_all_the_same(nginx, evercert):
    site = nginx(host("single.test"), processes_off=True).start()
    site.audit.wait("served", "single.test")
    agent = site.agent()
    import pwd
    assert processes.user_of(agent) == pwd.getpwnam("www-data").pw_uid
    first = tls.leaf_at(ports.TLS, "single.test").serial
    evercert.renew("single.test")
    assert tls.leaf_at(ports.TLS, "single.test").serial != first
    processes.kill(agent)
    assert site.wait_agent(other_than=agent)
    site.stop()
    assert not processes.alive(agent)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_an_ordinary_user_can_run_all_of_it(nginx, evercert, folder):
    uid, gid = processes.bystander()
    own = os.path.join(folder, "home")
    os.makedirs(own)
    os.chown(own, uid, gid)
    os.chown(folder, uid, gid)
    site = nginx(host("user.test"), user=None, state=os.path.join(own, "evercert")).start()
    site.audit.wait("served", "user.test", seen=site.log)
    assert processes.user_of(site.agent()) == uid
    assert re.search(r"as safe as", site.log())
    evercert.state = site.state
    assert evercert.run("renew", "user.test", "--force", user="nobody").returncode == 0


@pytest.mark.skipif(not clock.LIBRARY, reason="the package faketime is not installed")
def test_a_clock_that_is_a_day_ahead_still_gets_one_certificate(nginx, folder, install, pebble):
    mark = pebble.mark()
    site = nginx(host("ahead.test")).use_program(Clock(folder, install, "+1d").program).start()
    tls.wait_leaf(ports.TLS, "ahead.test", seen=site.log)
    assert pebble.orders(mark) == 1


@pytest.mark.skipif(not clock.LIBRARY, reason="the package faketime is not installed")
def test_a_clock_that_is_a_day_behind_is_named_and_orders_do_not_run_away(nginx, folder, install, pebble):
    mark = pebble.mark()
    site = nginx(host("behind.test")).use_program(Clock(folder, install, "-1d").program).start()
    wait_for(lambda: re.search(r"(?i)clock|not yet valid|not_before|begins", site.log()), "a word on the clock", 20,
             seen=lambda: site.log()[-3000:])
    assert pebble.orders(mark) <= 2


@pytest.mark.slow
@pytest.mark.skipif(not valgrind.INSTALLED, reason="valgrind is not installed")
def test_the_whole_path_is_clean_under_valgrind(nginx, evercert, folder, install):
    tool = valgrind.Valgrind(folder)
    site = nginx(host("valgrind.test", flags="http2") + host("second.test"), workers=1).use_program(tool.readable(install))
    site.start(prefix=tool.prefix, timeout=60)
    for name in ("valgrind.test", "second.test"):
        site.audit.wait("served", name, timeout=60, pause=0.02, seen=site.log)
    for version in (tls.TLS12, tls.TLS13):
        assert tls.leaf_at(ports.TLS, "valgrind.test", version=version).names == ["valgrind.test"]
    for _ in range(2):
        evercert.renew("valgrind.test")
    assert tls.plain_get(ports.STATUS, "localhost", "/evercert/json", timeout=20)[0] == 200
    os.kill(site.master, signal.SIGHUP)
    site.wait_log(r"gracefully shutting down", 60)  # valgrind keeps process titles to itself
    assert tls.leaf_at(ports.TLS, "second.test").names == ["second.test"]
    assert tls.alert_of(ports.TLS, "valgrind.test", timeout=20) is None
    site.stop(signal.SIGQUIT, timeout=60)
    assert not tool.complaints(), "\n\n".join(tool.complaints()[:5])
