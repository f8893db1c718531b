"""Whoever runs code as the web server's user tries to take plan, secrets and board out of processes in the moment they are forked."""
import os
import pwd
import re
import shutil
import subprocess

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import processes
from harness.install import PROJECT
from harness.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")]

WEB = pwd.getpwnam("www-data")


@pytest.fixture(scope="session")
def program(common_folder):
    made = os.path.join(common_folder, "thief")
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", made, os.path.join(PROJECT, "tests", "server", "harness", "thief.c")], check=True)
    return made


class Thief:
    """A thief at work, as the web server's user unless another is named; with `words` its victim as root."""

    def __init__(self, program, *words, user=(WEB.pw_uid, WEB.pw_gid)):
        identity = {} if words else {"user": user[0], "group": user[1], "extra_groups": []}
        words = words or (str(os.getpid()),)
        self.process = subprocess.Popen([program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **identity)
        if identity:
            assert self.process.stdout.readline() == "ready\n"

    def end(self):
        return self.process.communicate(timeout=30)[0].splitlines()


def test_the_thief_robs_a_server_that_does_not_defend_itself(program):
    # As another user than the servers have that other tests start meanwhile: their thieves must not find this victim.
    user = processes.bystander()
    victim, thief = Thief(program, "victim", *map(str, user)), Thief(program, user=user)
    try:
        assert "memfd:evercert-control" in thief.process.stdout.readline()
    finally:
        victim.end()
        thief.end()


def copied(folder, install, mode):
    """The agent's program as `cp` leaves it, or closed to others."""
    path = os.path.join(folder, "copy-of-evercert")
    shutil.copy(install.program, path)
    os.chmod(path, mode)
    return path


def has_capabilities(pid):
    try:
        with open("/proc/%d/status" % pid) as file:
            return not re.search(r"CapPrm:\t0+\n", file.read())
    except (FileNotFoundError, ProcessLookupError):
        return False


def restarts(site):
    site.reload()
    return site.wait_agent()


def test_the_thief_robs_an_agent_that_a_script_starts(nginx, program, folder, install):
    """What a script executes cannot be hidden: the thief is fast enough, and the log warns of such a program."""
    script = os.path.join(folder, "wrapper")
    with open(script, "w") as file:
        file.write('#!/bin/bash\nexec -a evercert %s "$@"\n' % copied(folder, install, 0o755))
    os.chmod(script, 0o755)
    site = nginx(nginx_of.host("theft.test")).use_program(script).start()
    site.audit.wait("served", "theft.test", seen=site.log)
    assert "is a script" in site.log()
    thieves = [Thief(program) for _ in range(2)]
    try:
        for _ in range(6):
            restarts(site)
    finally:
        taken = [line for thief in thieves for line in thief.end()]
    assert any("socket:" in line for line in taken)


@pytest.mark.parametrize("mode", [0o711, 0o755], ids=["closed", "readable"])
@pytest.mark.parametrize("server", ["nginx", "apache"])
def test_nothing_is_taken_while_a_server_restarts_and_its_agent_is_killed(request, program, folder, install, server, mode):
    make = request.getfixturevalue(server)
    site = make((nginx_of if server == "nginx" else apache_of).host("theft.test"))
    site.use_program(copied(folder, install, mode)).start()
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
    # The parent keeps no capability over from the defence to what it starts: a child that was forked a moment ago is still to
    # become the web server's user, and one of the configuration before may end at any time.
    wait_for(lambda: not any(has_capabilities(pid) for pid in site.worker_pids()), "workers without capabilities", seen=site.tree)
    assert site.process.poll() is None


def test_nothing_is_taken_from_the_keeper_and_the_agent_of_haproxy(haproxy, program, folder, install):
    thieves = [Thief(program) for _ in range(2)]
    try:
        site = haproxy([haproxy_of.certificate("theft.test")], settings={"program": copied(folder, install, 0o755)}).start()
        site.audit.wait("served", "theft.test", seen=site.log)
        for _ in range(6):
            agent = site.wait_agent()
            processes.kill(agent)
            site.wait_agent(other_than=agent)
    finally:
        taken = [line for thief in thieves for line in thief.end()]
    assert not taken, taken[:10]


def test_a_program_that_was_exchanged_is_what_the_next_reload_starts(nginx, folder, install):
    path = copied(folder, install, 0o755)
    site = nginx(nginx_of.host("theft.test")).use_program(path).start()
    site.audit.wait("served", "theft.test", seen=site.log)
    old = site.wait_agent()
    assert os.readlink("/proc/%d/exe" % old).startswith("/memfd:evercert")
    with open("/proc/%d/exe" % old, "rb") as running, open(path, "rb") as file:
        assert running.read() == file.read()
    shutil.copy(path, path + ".new")
    with open(path + ".new", "ab") as file:
        file.write(b"another release")
    os.replace(path + ".new", path)
    site.reload()
    new = site.wait_agent(other_than=old)
    with open("/proc/%d/exe" % new, "rb") as running:
        assert running.read().endswith(b"another release")
    site.audit.wait("agent_leads", more_than=1, seen=site.log)


# Refuses execveat(2), as a security module refuses programs in memory files; then becomes the server.
WITHOUT_EXECVEAT = r"""
import ctypes, os, platform, struct, sys

number = {"x86_64": 322, "aarch64": 281}[platform.machine()]
load, jump_if_equal, give, allow, refuse = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050000 | 13
steps = [(load, 0, 0, 0), (jump_if_equal, 0, 1, number), (give, 0, 0, refuse), (give, 0, 0, allow)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
    sys.exit("no filter: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_a_system_that_runs_no_programs_in_memory_is_told_from_a_missing_program(request, folder, install, server):
    path = copied(folder, install, 0o755)
    host = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}[server]
    site = request.getfixturevalue(server)(host("memory.test")).use_program(path)
    if server == "haproxy":
        site.write(settings={"program": path})
    words = ["/usr/bin/python3", "-c", WITHOUT_EXECVEAT]
    site.start(prefix=words)
    site.wait_log(r"a copy in memory is executed in its place, and that is refused: Permission denied; .*"
                  r"do: chown root %s && chmod 0711 %s, and reload the server" % (path, path))
    assert "see that the program is installed" not in site.log()
    # The remedy is one.
    os.chmod(path, 0o711)
    site.reload()
    site.audit.wait("served", "memory.test", seen=site.log)
