"""Old certificates that the web server's user puts back, which nothing but a number kept elsewhere tells from new ones."""
import os
import re
import subprocess

import pytest

from harness import apache as apache_of
from harness import damage
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, tls
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

WEB = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}
HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}


def as_user(user, *words):
    subprocess.run(words, user=user, group=user, extra_groups=[], check=True)


def put_back(state, folder, name, user):
    """What that user may do: the newest bundle away, the one before it stays."""
    newest = damage.bundles(state, name)[-1]
    as_user(user, "rm", newest)
    return int(os.path.basename(newest).split(".")[0])


@pytest.mark.parametrize("kind", sorted(WEB))
def test_an_older_generation_is_not_served_silently_after_a_restart(request, evercert, folder, kind):
    name = "back-%s.test" % kind
    site = request.getfixturevalue(kind)(HOST[kind](name)).start()
    site.audit.wait("served", name)
    old = tls.leaf_at(ports.TLS, name).serial
    evercert.renew(name)
    site.stop()
    reached = put_back(evercert.state, folder, name, WEB[kind])
    site.start()
    # Served rather than nothing, and loudly: by whoever serves it first, by the agent, in the status.
    assert tls.wait_leaf(ports.TLS, name).serial == old
    said = site.wait_log(r"generation \d+ of %s is served, although generation %d was published" % (re.escape(name), reached))
    assert said
    problem = evercert.wait_problem(name, "older_generation")
    assert "generation %d was published" % reached in problem["message"] and "rollback" in problem["message"]
    site.audit.wait("older_generation", name)
    # A person decides; the next generation is above all that there ever were.
    done = evercert.run("rollback", name, "--to", str(reached - 1))
    assert done.returncode == 0 and "generation %d" % (reached + 1) in done.stdout, done
    wait_for(lambda: not evercert.certificate(name)["problem"], "the alarm to end", seen=lambda: evercert.certificate(name))
    assert tls.leaf_at(ports.TLS, name).serial == old


def test_an_older_generation_is_told_where_no_agent_runs(haproxy, nginx, evercert, folder):
    site = nginx(nginx_of.host("alone.test")).start()
    site.audit.wait("served", "alone.test")
    evercert.renew("alone.test")
    site.stop()
    reached = put_back(evercert.state, folder, "alone.test", "www-data")
    broken = os.path.join(folder, "no-agent")
    with open(broken, "w") as file:
        file.write("#!/bin/sh\nexit 1\n")
    os.chmod(broken, 0o755)
    site.use_program(broken).start()
    assert tls.leaf_at(ports.TLS, "alone.test")
    site.wait_log("although generation %d was published" % reached)


def test_a_rollback_by_the_operator_is_no_alarm_also_without_a_server(nginx, evercert):
    site = nginx(nginx_of.host("rolled.test")).start()
    site.audit.wait("served", "rolled.test")
    first = tls.leaf_at(ports.TLS, "rolled.test").serial
    evercert.renew("rolled.test")
    assert evercert.run("rollback", "rolled.test").returncode == 0
    tls.wait_leaf(ports.TLS, "rolled.test", lambda leaf: leaf.serial == first)
    site.stop()
    assert evercert.run("rollback", "rolled.test").returncode == 0  # by the command line in the agent's place
    site.start()
    site.audit.wait("agent_leads", more_than=1)
    evercert.wait_state("rolled.test", "served")
    assert evercert.certificate("rolled.test")["problem"] is None and "although generation" not in site.log()


def test_a_file_of_generations_that_was_damaged_or_lost_is_made_anew_and_serves_on(nginx, evercert):
    site = nginx(nginx_of.host("ledger.test")).start()
    site.audit.wait("served", "ledger.test")
    for damaged in (lambda path: os.truncate(path, 100), lambda path: os.truncate(path, 5), os.unlink,
                    lambda path: open(path, "wb").write(os.urandom(4096))):
        site.stop()
        damaged(os.path.join(evercert.state, "leader"))
        site.start()
        assert tls.leaf_at(ports.TLS, "ledger.test")
        site.wait_agent()
    # What is not ours is left alone and told.
    site.wait_log("was not written by this release")


def test_the_web_user_cannot_reach_the_file_of_generations(nginx, evercert):
    site = nginx(nginx_of.host("closed.test")).start()
    site.audit.wait("served", "closed.test")
    path = os.path.join(evercert.state, "leader")
    info = os.stat(path)
    assert (info.st_uid, info.st_mode & 0o777) == (0, 0o600) and info.st_size == 128
    tries = ["cat %s" % path, "mv %s %s.away" % (path, path), ": > %s" % path]
    tries += ["cat /proc/%d/fd/%s" % (pid, "*") for pid in [site.agent(), site.manager(), *site.worker_pids()]]
    for words in tries:
        done = subprocess.run(["/bin/sh", "-c", words], user="www-data", group="www-data", extra_groups=[], capture_output=True, check=False)
        assert done.returncode != 0 and b"evercert leader" not in done.stdout, words
    assert os.stat(path).st_size == 128


def remove_all(state, name, user):
    """What that user may do to a line: every file of it."""
    as_user(user, "find", os.path.join(state, "state", "certificates", name), "-type", "f", "-delete")
    assert not damage.bundles(state, name)


@pytest.mark.parametrize("kind", sorted(WEB))
def test_a_line_whose_files_were_all_removed_is_not_missed_in_silence_after_a_restart(request, evercert, pebble, kind):
    name = "gone-%s.test" % kind
    site = request.getfixturevalue(kind)(HOST[kind](name), directory=pebble.uri).start()
    site.audit.wait("served", name)
    site.stop()
    remove_all(evercert.state, name, WEB[kind])
    pebble.kill()
    try:
        site.start()
        site.wait_log(r"no generation of %s is left on the disk, although generation 1 was published" % re.escape(name))
        site.audit.wait("older_generation", name)
        problem = wait_for(lambda: (evercert.certificate(name) or {}).get("problem"), "a problem", seen=evercert.status)
        assert problem["kind"] in ("older_generation", "connection")
    finally:
        pebble.start()
    # The next order gets a number above all that there ever were, and ends it.
    evercert.renew(name)
    wait_for(lambda: not evercert.certificate(name)["problem"], "the alarm to end", seen=lambda: evercert.certificate(name))
    assert evercert.certificate(name)["generation"] == 2


def test_a_line_whose_files_were_all_removed_is_told_where_no_agent_runs(nginx, evercert, folder):
    site = nginx(nginx_of.host("alone.test")).start()
    site.audit.wait("served", "alone.test")
    site.stop()
    remove_all(evercert.state, "alone.test", "www-data")
    broken = os.path.join(folder, "no-agent")
    with open(broken, "w") as file:
        file.write("#!/bin/sh\nexit 1\n")
    os.chmod(broken, 0o755)
    site.use_program(broken).start()
    assert tls.leaf_or_none(ports.TLS, "alone.test") is None
    site.wait_log("no generation of alone.test is left on the disk")


@pytest.mark.parametrize("kind", sorted(WEB))
def test_files_that_are_removed_beside_a_running_server_are_not_missed_at_its_next_start_only(request, evercert, folder, pebble, kind):
    name = "beside-%s.test" % kind
    site = request.getfixturevalue(kind)(HOST[kind](name), directory=pebble.uri).start()
    site.audit.wait("served", name)
    serial = tls.leaf_at(ports.TLS, name).serial
    (source,) = damage.bundles(evercert.state, name)
    kept = os.path.join(folder, "kept.bundle")
    subprocess.run(["cp", "-p", source, kept], check=True)
    remove_all(evercert.state, name, WEB[kind])
    pebble.kill()
    try:
        # Looked at each minute, and whenever something happens to the certificate.
        evercert.run("renew", name, "--force", "--no-wait")
        site.wait_log(r"generation 1 of %s was removed from the disk" % re.escape(name))
        site.audit.wait("older_generation", name)
        # Each process of a server loads a certificate when it first needs it: one that has serves it on.
        leaves = [tls.leaf_or_none(ports.TLS, name) for _ in range(20)]
        assert serial in {leaf.serial for leaf in leaves if leaf}
    finally:
        subprocess.run(["cp", "-p", kept, source], check=True)
        pebble.start()
    evercert.renew(name)
    wait_for(lambda: not evercert.certificate(name)["problem"], "the alarm to end", seen=lambda: evercert.certificate(name))
    site.audit.wait("recovered", name)


def test_haproxy_serves_on_what_it_had_when_the_web_user_removed_every_bundle(haproxy, evercert, pebble):
    site = haproxy(HOST["haproxy"]("kept.test"), directory=pebble.uri).start()
    site.audit.wait("served", "kept.test")
    site.reload()  # writes what was issued since the start
    serial = tls.leaf_at(ports.TLS, "kept.test").serial
    site.stop()
    remove_all(evercert.state, "kept.test", "haproxy")
    pebble.kill()
    try:
        code, said = site.test()
        assert code == 0, said
        site.start()
        assert tls.leaf_at(ports.TLS, "kept.test").serial == serial
        site.wait_log("is served on")
    finally:
        pebble.start()


def test_a_test_of_another_configuration_takes_nothing_from_the_haproxy_that_runs(haproxy, evercert):
    site = haproxy(HOST["haproxy"]("runs.test")).start()
    site.audit.wait("served", "runs.test")
    path = os.path.join(site.pem_path, "runs.test.pem")
    site.reload()  # writes what was issued since
    with open(path) as file:
        before = file.read()
    site.write(certificates=HOST["haproxy"]("other.test"))
    code, said = site.test()
    assert code == 0, said
    with open(path) as file:
        assert file.read() == before
