"""What is nested without end, or has a size without end, in files that the web server's user may write: nobody who serves, and
no command of root's, may die or swell of it."""
import os
import socket
import subprocess
import time

import pytest

from harness import apache as httpd, haproxy as proxy, nginx as engine, ports, processes, tls
from harness.evercert import status_page
from harness.waiting import wait_for

NAME = "www.example.com"
DEEP = 400000
HOLE = 3 << 30
MOST_GROWTH = 100 << 20
# Of a process begun here, which has had this one's memory before it became another program.
MOST_OF_A_CHILD = 1 << 30


def make_nginx(nginx, **options):
    return nginx(engine.host(NAME), **options)


def make_apache(apache, **options):
    return apache(httpd.host(NAME, plain="<Location /server-status>\nSetHandler server-status\n</Location>"), modules=("status",), **options)


def make_haproxy(haproxy, **options):
    return haproxy([proxy.certificate(NAME)], **options)


MAKERS = {"nginx": make_nginx, "apache": make_apache, "haproxy": make_haproxy}
every_server = pytest.mark.parametrize("kind", MAKERS)


def served_site(request, kind):
    site = MAKERS[kind](request.getfixturevalue(kind)).start()
    site.audit.wait("served", NAME)
    return site


def put(site, name, content=b"", size=None, old=True):
    """A file of the agent's user in place of the agent's own, as old as if no agent ran."""
    path = os.path.join(site.state, "state", name)
    owner = os.stat(os.path.join(site.state, "state"))
    beside = path + ".hostile"
    with open(beside, "wb") as file:
        file.write(content)
        if size:
            file.truncate(size)
    os.chown(beside, owner.st_uid, owner.st_gid)
    if old:
        os.utime(beside, (time.time() - 3600,) * 2)
    os.rename(beside, path)


def peak(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def quiet(site):
    """The agent has gone and stays so: what is put in its files' place stays."""
    site.remember()
    for pid in [*site.agents(), *(site.keepers() if isinstance(site, proxy.Haproxy) else [])]:
        os.kill(pid, 19)  # SIGSTOP: a dead one would be started again


def wake(site):
    for pid in [*site.agents(), *(site.keepers() if isinstance(site, proxy.Haproxy) else [])]:
        os.kill(pid, 18)


def statuses():
    lists = b"[" * DEEP + b"]" * DEEP
    return {"lists for certificates": b'{"agent":{"state":"leader"},"certificates":[' + lists + b"]}",
            "lists in the agent": b'{"agent":{"state":' + lists + b'},"certificates":[]}',
            "objects all the way": b'{"a":' * DEEP + b"1" + b"}" * DEEP}


@every_server
def test_a_status_that_is_nested_without_end_kills_nobody(request, kind, evercert):
    site = served_site(request, kind)
    quiet(site)
    before = site.worker_pids()
    for what, content in statuses().items():
        for name in ("status.json", "section.tsv", "section.txt"):
            put(site, name, content)
        for rest in ("/json", "", "/metrics", "/text"):
            assert status_page(ports.STATUS, rest)[0] in (200, 500), (what, rest)
        if kind == "apache":
            for rest in ("", "?auto"):
                assert tls.plain_get(ports.HTTP, NAME, "/server-status" + rest)[0] == 200, what
        for words in (["status"], ["status", "--json"], ["list"], ["show", NAME]):
            assert evercert.run(*words).returncode in range(6), (what, words)
    assert site.worker_pids() == before and tls.leaf_at(ports.TLS, NAME).names == [NAME]
    assert not site.complaints()
    wake(site)


@every_server
def test_a_status_of_three_gigabytes_costs_no_memory(request, kind, evercert):
    site = served_site(request, kind)
    quiet(site)
    tls.get(ports.TLS, NAME)
    before = {pid: peak(pid) for pid in site.worker_pids()}
    for name in ("status.json", "status.html", "status.prom", "status.txt", "section.tsv", "section.txt"):
        put(site, name, size=HOLE)
    for rest in ("/json", "", "/metrics", "/text"):
        assert status_page(ports.STATUS, rest)[0] == 500, rest
    if kind == "apache":
        assert tls.plain_get(ports.HTTP, NAME, "/server-status")[0] == 200
    done = subprocess.Popen([evercert.program, "status", "--state", evercert.state], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = done.stderr.read()
    _, state, usage = os.wait4(done.pid, 0)
    assert os.waitstatus_to_exitcode(state) == 1 and "larger than any status" in said
    assert usage.ru_maxrss << 10 < MOST_OF_A_CHILD
    after = {pid: peak(pid) for pid in site.worker_pids()}
    assert set(after) == set(before) and all(after[pid] - before[pid] < MOST_GROWTH for pid in before), (before, after)
    assert "larger than any status" in site.log()
    wake(site)


@every_server
def test_a_status_within_its_limit_is_sent_and_not_kept(request, kind):
    site = served_site(request, kind)
    quiet(site)
    tls.get(ports.TLS, NAME)
    status_page(ports.STATUS, "/text")
    before = {pid: peak(pid) for pid in site.worker_pids()}
    size = 24 << 20
    put(site, "status.txt", b"x" * size, old=False)
    code, body = tls.plain_get(ports.STATUS, "localhost", "/evercert/text", timeout=20)
    assert code == 200 and len(body) == size and body.strip(b"x") == b""
    put(site, "status.txt", b"x" * size)
    code, body = tls.plain_get(ports.STATUS, "localhost", "/evercert/text", timeout=20)
    assert code == 200 and body.startswith(b"The agent is not running") and body.endswith(b"x" * size)
    grown = {pid: peak(pid) - before[pid] for pid in site.worker_pids()}
    assert all(growth < 8 << 20 for growth in grown.values()), grown
    wake(site)


@every_server
def test_a_reader_who_goes_away_in_the_middle_leaves_no_descriptor(request, kind):
    site = served_site(request, kind)
    quiet(site)
    put(site, "status.txt", b"x" * (24 << 20), old=False)

    def held():
        count = 0
        for pid in site.worker_pids():
            for number in os.listdir("/proc/%d/fd" % pid):
                try:
                    count += os.readlink("/proc/%d/fd/%s" % (pid, number)).endswith("status.txt")
                except FileNotFoundError:
                    pass
        return count
    for _ in range(80):
        with tls.raw(ports.STATUS) as link:
            link.sendall(b"GET /evercert/text HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert link.recv(200)
    if kind == "haproxy":
        # Lua lets go when it collects; at the bound it is made to.
        assert held() <= 64
    else:
        wait_for(lambda: held() == 0, "no open status", seen=held)
    assert tls.plain_get(ports.STATUS, "localhost", "/evercert/text", timeout=20)[0] == 200
    wake(site)


@every_server
def test_a_status_of_another_user_is_not_sent(request, kind):
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    site = served_site(request, kind)
    quiet(site)
    path = os.path.join(site.state, "state", "status.txt")
    with open(path + ".other", "w") as file:
        file.write("what only its owner may know")
    os.chmod(path + ".other", 0o644)
    os.chown(path + ".other", *processes.bystander())
    os.rename(path + ".other", path)
    code, body = status_page(ports.STATUS, "/text")
    assert code == 500 and b"only its owner" not in body
    wake(site)


def newest_bundle(site):
    folder = os.path.join(site.state, "state", "certificates", NAME)
    return os.path.join(folder, max((f for f in os.listdir(folder) if f.endswith(".bundle")), key=lambda f: int(f.split(".")[0])))


@every_server
def test_a_bundle_of_three_gigabytes_costs_no_memory(request, kind):
    site = served_site(request, kind)
    path = newest_bundle(site)
    site.stop()
    os.truncate(path, HOLE)
    code, said = site.test()
    assert code == 0, said
    begin = time.monotonic()
    site.start(wait=True)
    tls.leaf_or_none(ports.TLS, NAME)
    site.remember()
    everybody = [site.master, *site.worker_pids(), *site.agents()]
    assert all(peak(pid) < 3 * MOST_GROWTH for pid in everybody), {processes.title_of(pid): peak(pid) for pid in everybody}
    assert time.monotonic() - begin < 60
    assert "larger than the 512 KiB" in wait_for(lambda: site.log() if "larger than the" in site.log() else "", "a line in the log", seen=site.log)


def test_a_seal_key_with_a_hole_in_it_costs_a_start_no_memory(haproxy):
    site = make_haproxy(haproxy).start()
    site.audit.wait("served", NAME)
    site.stop()
    os.truncate(os.path.join(site.state, "seal.key"), HOLE)
    done = subprocess.Popen([site.program, "-c", "-f", site.configuration], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = done.stderr.read()
    _, state, usage = os.wait4(done.pid, 0)
    assert os.waitstatus_to_exitcode(state) == 1 and "larger than the 1 KiB" in said, said
    assert usage.ru_maxrss << 10 < MOST_OF_A_CHILD


def test_lines_without_end_cost_the_agent_neither_memory_nor_its_work(nginx, evercert):
    site = make_nginx(nginx).start()
    site.audit.wait("served", NAME)
    agent = site.wait_agent()
    path, before = os.path.join(site.state, "state", "agent.sock"), peak(agent)
    # The web server's user is the agent's own: it may say as much at a time as a follower with its plan.
    talker = ("import socket\nfor count in range(20):\n    link = socket.socket(socket.AF_UNIX)\n    link.settimeout(20)\n    link.connect(%r)\n"
              "    try:\n        for part in range(15):\n            link.sendall(b'[' * (1 << 20))\n    except OSError:\n        pass\n"
              "    globals()['kept%%d' %% count] = link\nprint('said', flush=True)\ninput()\n" % path)
    identity = {"user": "www-data", "group": "www-data", "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/usr/bin/python3", "-c", talker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **identity) as process:
        assert process.stdout.readline() == "said\n"
        evercert.renew(NAME)
        process.stdin.close()
    for line in (b"[" * (1 << 20) + b"\n", b'{"verb":' + b"[" * DEEP + b"]" * DEEP + b"}\n"):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(20)
            link.connect(path)
            try:
                link.sendall(line)
                assert link.recv(100) == b""
            except OSError:
                pass  # it hung up on what it had not read
    assert site.agent() == agent and peak(agent) - before < 2 * MOST_GROWTH
