"""Whoever runs code as the web server's user tries to take plan, secrets and board out of processes in the moment they are forked."""
import os
import pwd
import re
import subprocess

import pytest

from harness import apache as apache_of
from harness import nginx as nginx_of
from harness import processes
from harness.install import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")]

WEB = pwd.getpwnam("www-data")


@pytest.fixture(scope="session")
def program(common_folder):
    made = os.path.join(common_folder, "thief")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", made, os.path.join(PROJECT, "tests", "server", "harness", "thief.c")], check=True)
    return made


class Thief:
    """A thief at work, or with `words` its victim as root."""

    def __init__(self, program, *words):
        identity = {} if words else {"user": WEB.pw_uid, "group": WEB.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen([program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **identity)
        if not words:
            assert self.process.stdout.readline() == "ready\n"

    def end(self):
        return self.process.communicate(timeout=30)[0].splitlines()


def test_the_thief_robs_a_server_that_does_not_defend_itself(program):
    victim, thief = Thief(program, "victim", str(WEB.pw_uid), str(WEB.pw_gid)), Thief(program)
    try:
        assert "memfd:evercert-control" in thief.process.stdout.readline()
    finally:
        victim.end()
        thief.end()


def restarts(site):
    site.reload()
    return site.wait_agent()


@pytest.mark.parametrize("server", ["nginx", "apache"])
def test_nothing_is_taken_while_a_server_restarts_and_its_agent_is_killed(request, program, server):
    make = request.getfixturevalue(server)
    site = make((nginx_of if server == "nginx" else apache_of).host("theft.test")).start()
    site.audit.wait("served", "theft.test", seen=site.log)
    thieves = [Thief(program) for _ in range(2)]
    try:
        for round_ in range(12):
            agent = restarts(site)
            if round_ % 3 == 0:
                processes.kill(agent)
                site.wait_agent(other_than=agent)
    finally:
        taken = [line for thief in thieves for line in thief.end()]
    assert not taken, taken[:10]
    # The parent keeps no capability over from the defence to what it starts.
    for pid in site.worker_pids():
        with open("/proc/%d/status" % pid) as file:
            assert re.search(r"CapPrm:\t0+\n", file.read())
    assert site.process.poll() is None
