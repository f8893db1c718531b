"""What comes of a state directory, or a directory above it, that the web server's user may write to."""
import os
import pwd
import re
import signal
import subprocess

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import lineages, ports, processes, tls
from harness.evercert import REFUSED, UNREACHABLE, Evercert
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving directories away needs root")

WEB = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}
HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}
SERVERS = pytest.mark.parametrize("kind", sorted(WEB))


def give(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def server(request, kind, name, **options):
    return request.getfixturevalue(kind)(HOST[kind](name), **options)


@SERVERS
@pytest.mark.parametrize("what", ["itself", "its parent", "a place in a sticky directory"])
def test_a_state_path_that_the_web_user_may_write_to_is_refused_by_check_and_start(request, folder, kind, what):
    above = os.path.join(folder, "theirs")
    state = os.path.join(above, "evercert")
    os.makedirs(state)
    open_one = above if what == "its parent" else state
    if what.startswith("a place"):
        os.chmod(above, 0o1777)
    give(open_one, WEB[kind])
    site = server(request, kind, "refused.test", state=state)
    code, said = site.test()
    assert code != 0 and open_one in said and "chown root %s" % open_one in said, said
    site.start(wait=False)
    assert site.process.wait(20) != 0, site.log()
    assert not os.path.exists(os.path.join(state, "seal.key"))
    assert os.stat(open_one).st_uid == pwd.getpwnam(WEB[kind]).pw_uid


@SERVERS
def test_a_seal_key_that_the_web_user_made_is_never_accepted(request, folder, kind):
    state = os.path.join(folder, "evercert")
    os.makedirs(state)
    key = os.path.join(state, "seal.key")
    with open(key, "w") as file:
        file.write("evercert-seal-key 1 " + "A" * 43 + "\n")
    os.chmod(key, 0o600)
    give(key, WEB[kind])
    site = server(request, kind, "own-key.test")
    site.start(wait=False)
    assert wait_for(lambda: site.process.poll() is not None or re.search(r"seal\.key.*belongs to user", site.log()), "a refusal", 20,
                    seen=site.log)
    assert re.search(r"seal\.key.*belongs to user", site.log()), site.log()


def test_root_does_not_ask_or_believe_where_the_web_user_owns_the_state_path(nginx, evercert):
    site = nginx(nginx_of.host("asked.test")).start()
    site.audit.wait("served", "asked.test")
    give(evercert.state, "www-data")
    for words in (("renew", "asked.test", "--force"), ("revoke", "asked.test", "--yes"), ("rollback", "asked.test")):
        done = evercert.run(*words)
        assert done.returncode != 0 and "chown root " + evercert.state in done.stderr, (words, done.stderr)
    assert site.audit.count("published", "asked.test") == 1


KEY = "evercert-seal-key 1 " + "A" * 43 + "\n"


def state_of_a_server_without_root(folder, user):
    """As one leaves it that systemd starts with User=."""
    path = os.path.join(folder, "theirs", "evercert")
    os.makedirs(os.path.join(path, "state", "certificates"))
    with open(os.path.join(path, "seal.key"), "w") as file:
        file.write(KEY)
    for where, folders, files in os.walk(os.path.dirname(path)):
        give(where, user)
        for name in files:
            os.chmod(os.path.join(where, name), 0o600)
            give(os.path.join(where, name), user)
    return path


def asked(evercert, state, *words, user=None):
    return evercert.run(*words, "--state", state, state=False, user=user)


VERBS = (("renew", "a.test"), ("revoke", "a.test", "--yes"), ("rollback", "a.test"))


@pytest.fixture
def program(install):
    return Evercert(install, None)


def test_root_is_told_to_ask_as_the_user_of_a_server_without_root(folder, program, authority):
    state = state_of_a_server_without_root(folder, "www-data")
    user = pwd.getpwnam("www-data").pw_uid
    place = lineages.write(folder, authority, ["a.test"], days=(-1, 4000))
    for words in (*VERBS, ("import", "certbot", place)):
        done = asked(program, state, *words)
        assert done.returncode == REFUSED, (words, done)
        assert "belongs to user %d" % user in done.stderr and "(sudo -u '#%d' evercert ...)" % user in done.stderr, (words, done.stderr)
        assert "chown" not in done.stderr, (words, done.stderr)
    done = asked(program, state, "renew", "a.test", user="www-data")
    assert done.returncode == UNREACHABLE and "no agent answers" in done.stderr, done


@pytest.mark.parametrize("change", ["a key of root's", "open to others", "a parent of somebody else", "a link for state"])
def test_root_is_not_sent_to_a_user_where_others_could_change_what_lies_there(folder, program, change):
    state = state_of_a_server_without_root(folder, "www-data")
    if change == "a key of root's":  # root's, and given away
        os.chown(os.path.join(state, "seal.key"), 0, 0)
    elif change == "open to others":
        os.chmod(state, 0o777)
    elif change == "a parent of somebody else":
        give(os.path.dirname(state), "haproxy")
    else:
        os.rename(os.path.join(state, "state"), os.path.join(folder, "elsewhere"))
        os.symlink(os.path.join(folder, "elsewhere"), os.path.join(state, "state"))
    for words in VERBS:
        done = asked(program, state, *words)
        assert done.returncode == REFUSED and "chown root " in done.stderr and "sudo" not in done.stderr, (words, done)


SWAP = """
import os, sys
state, target = sys.argv[1:]
print("at work", flush=True)
while True:
    try:
        os.rename(state, state + ".away")
        os.symlink(target, state)
    except OSError:
        pass
    try:
        if os.path.islink(state):
            os.unlink(state)
        os.rename(state + ".away", state)
    except OSError:
        pass
"""


@pytest.mark.parametrize("owned", ["state_path", "state"])
def test_links_put_in_place_during_reloads_give_nothing_of_root_away(nginx, folder, evercert, owned):
    precious = os.path.join(folder, "precious")
    os.mkdir(precious, 0o700)
    site = nginx(nginx_of.host("links.test")).start()
    site.audit.wait("served", "links.test")
    inner = os.path.join(evercert.state, "state")
    swapped = inner
    if owned == "state_path":
        give(evercert.state, "www-data")  # a careless operator, while it runs
    else:
        swapped = os.path.join(inner, "certificates")
    hostile = subprocess.Popen(["/usr/bin/python3", "-c", SWAP, swapped, precious], user="www-data", group="www-data", extra_groups=[],
                               stdout=subprocess.PIPE, text=True)
    try:
        assert hostile.stdout.readline() == "at work\n"
        for _ in range(12):
            log = len(site.log())
            os.kill(site.master, signal.SIGHUP)
            wait_for(lambda: re.search(r"signal 1 \(SIGHUP\)|reconfiguring", site.log()[log:]), "a reload", seen=site.log)
            wait_for(lambda: re.search(r"is refused|start worker process|exiting|emerg", site.log()[log:]), "its outcome", seen=site.log)
    finally:
        processes.stop(hostile)
        hostile.stdout.close()
    facts = os.stat(precious)
    assert facts.st_uid == 0 and facts.st_mode & 0o777 == 0o700, facts
    assert os.listdir(precious) == []
    # What is theirs they may take away; what is served is back with it.
    if os.path.islink(swapped):
        os.unlink(swapped)
    if not os.path.lexists(swapped):
        os.rename(swapped + ".away", swapped)
    assert tls.wait_leaf(ports.TLS, "links.test")


@SERVERS
def test_a_volume_that_gives_its_group_all_files_is_closed_again_and_serves(request, folder, kind):
    state = os.path.join(folder, "evercert")
    site = server(request, kind, "volume-%s.test" % kind, state=state).start()
    site.audit.wait("served", "volume-%s.test" % kind)
    site.stop()
    group = pwd.getpwnam(WEB[kind]).pw_gid
    for path, mode in ((state, 0o2775), (os.path.join(state, "seal.key"), 0o660), (os.path.join(state, "leader"), 0o660)):
        os.chown(path, 0, group)
        os.chmod(path, mode)
    code, said = site.test()
    assert code == 0, said
    site.start()
    assert tls.wait_leaf(ports.TLS, "volume-%s.test" % kind)
    assert os.stat(state).st_mode & 0o022 == 0
    assert {os.stat(os.path.join(state, name)).st_mode & 0o777 for name in ("seal.key", "leader")} == {0o600}
