"""Whether an agent runs is told from who holds the lead at this moment, not from what it wrote when it did."""
import fcntl
import json
import os
import re
import signal

import pytest

from harness import apache as httpd
from harness import haproxy as haproxy_of
from harness import nginx as ngx
from harness import ports
from harness.evercert import DONE, UNREACHABLE, end
from harness.waiting import wait_for

NAME = "stands.test"
SERVERS = ["nginx", "apache", "haproxy"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed, so root is")


def running_site(request, kind, **more):
    what = [haproxy_of.certificate(NAME)] if kind == "haproxy" else {"nginx": ngx, "apache": httpd}[kind].host(NAME)
    site = request.getfixturevalue(kind)(what, **more).start()
    site.audit.wait("served", NAME, seen=site.log)
    return site


def state_of(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()[0]


def row(text):
    return next(line for line in text.splitlines() if line.startswith(NAME))


def check_gone(evercert, said=r"the agent is not running: nothing is renewed until it is"):
    """At once, not when the page has grown old."""
    table = evercert.run("status")
    assert table.returncode == UNREACHABLE and re.search(said, table.stderr), table
    assert "was served" in row(table.stdout) and "runs since" not in table.stderr, table
    shown = evercert.run("show", NAME)
    assert shown.returncode == UNREACHABLE and "%s  was served" % NAME in shown.stdout, shown
    done = evercert.run("status", "--json")
    page = json.loads(done.stdout)
    assert done.returncode == UNREACHABLE and page["agent"]["state"] == "silent" and re.search(said, page["agent"]["message"]), done
    one, = page["certificates"]
    assert one["state"] == "issued" and one["served"] is None and one["last_known"]["state"] == "served", one
    assert one["last_known"]["served"]["generation"] == 1
    assert evercert.run("list").returncode == DONE


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_was_stopped_has_no_agent_and_serves_nothing(request, kind, evercert):
    site = running_site(request, kind)
    evercert.wait_state(NAME, "served")
    table = evercert.run("status")
    assert table.returncode == DONE and "runs since" in table.stderr and "  served  " in row(table.stdout), table
    site.stop()
    check_gone(evercert)
    site.start()
    evercert.wait_state(NAME, "served")
    assert evercert.run("status").returncode == DONE


@pytest.mark.parametrize("kind", SERVERS)
def test_no_reload_is_told_as_an_agent_that_is_gone(request, kind, evercert):
    site = running_site(request, kind)
    evercert.wait_state(NAME, "served")
    for leads in (2, 3, 4):
        site.reload()
        while True:
            done = evercert.run("status", "--json")
            assert done.returncode == DONE and json.loads(done.stdout)["agent"]["state"] == "leader", done
            text = evercert.run("status")
            assert text.returncode == DONE and re.search(r"runs since|has just begun to lead", text.stderr), text
            if site.audit.count("agent_leads") >= leads and "runs since" in text.stderr:
                break


@pytest.mark.parametrize("kind", SERVERS)
def test_a_process_that_a_signal_has_stopped_is_told_as_silent(request, kind, evercert):
    running_site(request, kind)
    evercert.wait_state(NAME, "served")
    agent = evercert.status()["agent"]["pid"]
    os.kill(agent, signal.SIGSTOP)
    try:
        wait_for(lambda: state_of(agent) == "T", "the agent to be stopped")
        check_gone(evercert, "process %d holds the lead and does not answer" % agent)
    finally:
        os.kill(agent, signal.SIGCONT)
    evercert.wait_state(NAME, "served")


@as_root
def test_who_may_not_see_who_leads_is_told_what_the_page_says_and_when(nginx, evercert):
    site = nginx(ngx.host(NAME)).start()
    site.audit.wait("served", NAME)
    evercert.wait_state(NAME, "served")
    told = evercert.run("status", user="www-data")
    assert told.returncode == DONE and re.search(r"\(leader, process \d+\) ran when it wrote this, (\d+ s ago|now);", told.stderr), told
    assert "only root" in told.stderr and "runs since" not in told.stderr
    site.stop()
    told = evercert.run("status", user="www-data")
    assert told.returncode == UNREACHABLE and "is not running" in told.stderr and "was served" in row(told.stdout), told


@as_root
def test_a_command_in_the_agents_place_is_no_agent(nginx, evercert):
    site = nginx(ngx.host(NAME)).start()
    site.audit.wait("served", NAME)
    evercert.wait_state(NAME, "served")
    site.stop()
    with open(os.path.join(evercert.state, "leader"), "r+b") as leader:
        fcntl.lockf(leader, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        told = evercert.run("status")
        assert told.returncode == UNREACHABLE and "was served" in row(told.stdout), told
        assert "is not running (process %d, an evercert command, has its place for a moment)" % os.getpid() in told.stderr, told


def alone(evercert, pebble, folder, name, **more):
    configuration = os.path.join(folder, "evercert.json")
    with open(configuration, "w") as file:
        json.dump({"state_path": evercert.state, "http_port": ports.HTTP, "proof": False, **more,
                   "issuers": {"default": {"uri": pebble.uri, "ssl_trusted_certificate": pebble.trust, "accept_terms_of_service": True}},
                   "certificates": [{"identifiers": [name]}]}, file)
    return evercert.start("run", "--config", configuration)


def test_the_agent_alone_that_was_killed_does_not_run(evercert, pebble, folder):
    agent = alone(evercert, pebble, folder, NAME)
    try:
        wait_for(lambda: os.path.exists(os.path.join(evercert.state, "state", "status.json")), "the first page", 20)
        evercert.wait_state(NAME, "issued", 30)
        assert "runs since" in evercert.run("status").stderr
        agent.kill()
        agent.wait()
        told = evercert.run("status")
        assert told.returncode == UNREACHABLE and "is not running" in told.stderr and "was issued" in row(told.stdout), told
    finally:
        end(agent)


@as_root
def test_an_agent_that_follows_takes_over_without_being_told_as_gone(nginx, evercert, pebble, folder):
    site = nginx(ngx.host(NAME)).start()
    site.audit.wait("served", NAME)
    agent = alone(evercert, pebble, folder, "alone.test", http_listen="127.0.0.1:%d" % (ports.FREE + 3))
    try:
        wait_for(lambda: "alone.test" in evercert.run("list").stdout.split(), "the leader to take over the plan", 20, 0.05, seen=site.log)
        evercert.wait_state(NAME, "served")
        site.stop()
        told = evercert.run("status")
        assert told.returncode == DONE and re.search(r"\(process %d\) has just begun to lead|process %d\) runs since" % (agent.pid, agent.pid), told.stderr), told
        wait_for(lambda: evercert.status()["agent"]["pid"] == agent.pid, "a page of the agent that leads now", 20)
    finally:
        end(agent)
