"""Who stops the agent, or locks what may be locked, keeps nobody from renewing for longer than it takes to notice."""
import os
import signal

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, processes
from harness.evercert import DONE, UNREACHABLE
from harness.waiting import wait_for
from harness.web_user import LOCKER, WebUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

WEB = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}
HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}
SERVERS = pytest.mark.parametrize("kind", sorted(WEB))


@pytest.fixture
def begun(request, kind):
    name = "lead-%s.test" % kind
    site = request.getfixturevalue(kind)(HOST[kind](name)).start()
    site.audit.wait("served", name)
    return site, name


def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: processes.state_of(pid) == "T", "process %d to stop" % pid)
    return pid


def leads_again(site, name, evercert, other_than):
    """Another agent leads, and renews."""
    wait_for(lambda: not processes.alive(other_than), "the stopped agent to be gone", 40, seen=lambda: site.log()[-3000:])
    site.wait_agent(other_than=other_than)
    wait_for(lambda: evercert.run("renew", name, "--force").returncode == DONE, "a renewal", 30, 0.2, seen=lambda: site.log()[-3000:])


@SERVERS
def test_a_stopped_agent_is_noticed_told_and_replaced(begun, evercert, kind):
    site, name = begun
    agent = stopped(site.agent())
    site.wait_log(r"has said nothing for \d+ s; it is ended and started again", 40)
    leads_again(site, name, evercert, agent)


@SERVERS
def test_a_stopped_agent_does_not_keep_the_lead_through_a_reload(begun, evercert, kind):
    site, name = begun
    agent = stopped(site.agent())
    site.reload()
    leads_again(site, name, evercert, agent)


@SERVERS
def test_a_stopped_agent_does_not_keep_the_lead_through_quit_and_start(begun, evercert, kind):
    site, name = begun
    agent = stopped(site.agent())
    processes.stop(site.process, signal.SIGTERM, 30)
    site._close_stderr()
    wait_for(lambda: not processes.alive(agent), "the stopped agent to leave with its server")
    site.start()
    leads_again(site, name, evercert, agent)


def test_a_stopped_agent_of_another_server_is_told_of_and_replaced(nginx, evercert):
    first = nginx(nginx_of.host("both.test")).start()
    first.audit.wait("served", "both.test")
    leader = first.agent()
    second = nginx(nginx_of.host("other.test", listen=ports.OTHER_TLS, http=False), port=ports.OTHER_TLS, status_port=ports.FREE + 1).start()
    second.wait_agent()
    wait_for(lambda: evercert.certificate("other.test"), "a follower's certificate", seen=evercert.status)
    # Its own server does not look after it any more.
    stopped(first.manager())
    stopped(leader)
    try:
        second.wait_log(r"process %d holds the lead of \S+ and does not answer; it was ended" % leader, 40)
        wait_for(lambda: evercert.run("renew", "other.test", "--force").returncode == DONE, "a renewal", 30, 0.2, seen=second.log)
    finally:
        os.kill(first.manager(), signal.SIGCONT)


def test_roots_verbs_end_and_name_the_process_that_does_not_answer(nginx, evercert):
    site = nginx(nginx_of.host("named.test")).start()
    site.audit.wait("served", "named.test")
    manager, agent = stopped(site.manager()), stopped(site.agent())
    try:
        for words in (("renew", "named.test", "--force"), ("rollback", "named.test")):
            done = evercert.run(*words, timeout=120)
            assert done.returncode == UNREACHABLE, done
            assert "process %d holds the lead" % agent in done.stderr and "does not answer" in done.stderr, done.stderr
    finally:
        os.kill(agent, signal.SIGCONT)
        os.kill(manager, signal.SIGCONT)
    # It may have been given up meanwhile.
    wait_for(lambda: evercert.run("renew", "named.test", "--force").returncode == DONE, "a renewal", 30, 0.2, seen=site.log)


@SERVERS
def test_locks_of_the_web_user_keep_no_agent_from_leading(begun, evercert, kind):
    site, name = begun
    before = site.agent()
    site.stop()
    with WebUser(LOCKER, evercert.state, user=WEB[kind]) as locker:
        assert "leader" not in locker.said
        site.start()
        site.audit.wait("agent_leads", more_than=1)
        assert site.agent() != before
        assert evercert.run("status").returncode == DONE
        # What is written is written without waiting for anybody.
        wait_for(lambda: evercert.run("renew", name, "--force").returncode == DONE, "a renewal", 15, 0.2, seen=lambda: site.log()[-3000:])
    assert "does not let go" not in site.log(), site.log()[-3000:]


def test_locks_taken_while_the_agent_works_do_not_hold_it_up(nginx, evercert):
    site = nginx(nginx_of.host("busy.test")).start()
    site.audit.wait("served", "busy.test")
    with WebUser(LOCKER, os.path.join(evercert.state, "state")):
        for _ in range(2):
            evercert.renew("busy.test")
        assert evercert.run("rollback", "busy.test").returncode == DONE
    assert not os.path.exists(os.path.join(evercert.state, "state", "locks"))

