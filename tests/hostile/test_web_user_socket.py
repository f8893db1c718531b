"""What the web server's user gets who binds the control socket in the agent's place, and what root believes of it."""
import base64
import contextlib
import os
import pwd
import re
import signal
import socket

import pytest
from cryptography.hazmat.primitives import serialization

from harness import lineages, ports, tls
from harness.evercert import DONE, UNREACHABLE
from harness.nginx import host
from harness.waiting import wait_for
from harness.web_user import IMPOSTOR, MUTE, SQUATTER, WebUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

MANNERS = ["says done in clear", "greets with a number of its own", "announces without end", "relays"]


@pytest.fixture
def site(nginx):
    one = nginx(host("socket.test")).start()
    one.audit.wait("served", "socket.test")
    return one


@pytest.fixture
def kept(folder):
    path = os.path.join(folder, "kept")
    with open(path, "w"):
        pass
    entry = pwd.getpwnam("www-data")
    os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


@contextlib.contextmanager
def stopped(*pids):
    """An agent that runs takes its socket's name back within seconds."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def ask_impostor(site, evercert, kept, manner, *words):
    """What a verb comes to that the impostor was asked; one that relays needs the agent at work, which may be faster."""
    before = os.path.getsize(kept)
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            if manner != "relays":
                stack.enter_context(stopped(site.agent()))
            stack.enter_context(WebUser(IMPOSTOR, socket_of(evercert), manner, kept))
            done = evercert.run(*words)
        if os.path.getsize(kept) > before:
            return done
        wait_for(lambda: evercert.run("status").returncode == DONE and os.path.exists(socket_of(evercert)), "a socket", 10, 0.2)
    raise AssertionError("nobody asked the impostor, so this shows nothing")


def socket_of(evercert):
    return os.path.join(evercert.state, "state", "agent.sock")


def private_keys(place):
    """What a private key in certbot's folder looks like on its way: the ends of its DER, as bytes and in base64."""
    needles = []
    for where, _, files in os.walk(place):
        for name in files:
            if not name.startswith("privkey"):
                continue
            with open(os.path.join(where, name), "rb") as file:
                key = serialization.load_pem_private_key(file.read(), None)
            der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            needles += [der[-60:-20], base64.b64encode(der)[20:60]]
    assert needles
    return needles


@pytest.mark.parametrize("manner", MANNERS)
def test_a_private_key_is_not_sent_to_whoever_binds_the_socket(site, evercert, folder, authority, kept, manner):
    place = lineages.write(folder, authority, ["socket.test"], days=(-1, 4000))
    done = ask_impostor(site, evercert, kept, manner, "import", "certbot", place)
    assert done.returncode != DONE, done
    assert "adopted" not in done.stdout
    with open(kept, "rb") as file:
        heard = file.read()
    assert not [needle for needle in private_keys(place) if needle in heard]
    assert b"PRIVATE" not in heard and b"private" not in heard and b"adopt" not in heard


@pytest.mark.parametrize("manner", MANNERS)
def test_root_does_not_believe_that_anything_was_done(site, evercert, pebble, kept, manner):
    serial = tls.leaf_at(ports.TLS, "socket.test").serial
    for words in (("renew", "socket.test", "--force"), ("revoke", "socket.test", "--yes"), ("rollback", "socket.test"), ("cancel", "socket.test"),
                  ("sync",), ("test", "issuer", "test")):
        done = ask_impostor(site, evercert, kept, manner, *words)
        assert done.returncode != DONE, (words, done.stdout)
        assert "certificate renewed" not in done.stdout + done.stderr, done
        if manner != "relays":
            assert done.returncode == UNREACHABLE and re.search(r"user www-data, which is not the agent|holds the lead", done.stderr), done
    if manner != "relays":
        assert tls.leaf_at(ports.TLS, "socket.test").serial == serial


def test_a_server_that_is_away_is_stood_in_for_whoever_listens(nginx, evercert, folder, authority, kept):
    site = nginx(host("away.test")).start()
    site.audit.wait("served", "away.test")
    site.stop()
    place = lineages.write(folder, authority, ["away.test"], days=(-1, 4000))
    with WebUser(IMPOSTOR, socket_of(evercert), "says done in clear", kept):
        done = evercert.run("import", "certbot", place)
        assert done.returncode == DONE and "adopted: as generation 2" in done.stdout, done
    with open(kept, "rb") as file:
        heard = file.read()
    assert not [needle for needle in private_keys(place) if needle in heard]


def test_another_servers_agent_does_not_give_its_plan_to_an_impostor(site, nginx, evercert, kept, folder):
    secret = os.path.join(folder, "eab")
    with open(secret, "w") as file:
        file.write("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")
    os.chmod(secret, 0o600)
    with stopped(site.manager(), site.agent()), WebUser(IMPOSTOR, socket_of(evercert), "greets with a number of its own", kept):
        other = nginx(host("other.test", listen=ports.OTHER_TLS, http=False), port=ports.OTHER_TLS, status_port=ports.FREE + 1,
                      issuer_extra="external_account_key kid %s;" % secret)
        other.start()
        agent = other.wait_agent()
        # It goes on asking, without haste.
        tls.wait_for(lambda: os.path.getsize(kept) > 2000, "the agent to have asked often", seen=other.log)
        assert other.agent() == agent
    with open(kept, "rb") as file:
        lines = file.read().splitlines()
    assert lines and all(re.fullmatch(rb'(\{"seal":"[A-Za-z0-9_-]{43}"\})+', line) for line in lines), lines[:3]


def test_what_is_said_in_clear_changes_nothing(site, evercert):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(socket_of(evercert))  # as root
        link.sendall(b'{"verb":"renew","name":"socket.test","force":true}\n')
        said = link.recv(65536)
    assert b'"exit":1' in said and b"seal.key" in said, said
    assert site.audit.count("published", "socket.test") == 1
    assert evercert.run("renew", "socket.test", "--force").returncode == DONE


def test_a_mute_socket_is_not_taken_for_a_silent_agent(site, evercert):
    agent = site.agent()
    with stopped(agent), WebUser(MUTE, socket_of(evercert)) as mute:
        for words in (("renew", "socket.test", "--force", "--timeout", "3"), ("rollback", "socket.test", "--timeout", "3")):
            done = evercert.run(*words)
            assert done.returncode == UNREACHABLE, done
            said = "is answered by process %d of user www-data, which is not the agent (process %d)" % (mute.process.pid, agent)
            if said not in done.stderr:  # rollback goes on to take the agent's place, and finds it alive
                assert words[0] == "rollback" and "process %d holds the lead" % agent in done.stderr, done.stderr
    assert site.agent() == agent


def test_a_mute_socket_where_nobody_leads_is_told_of(nginx, evercert):
    site = nginx(host("gone.test")).start()
    site.audit.wait("served", "gone.test")
    site.stop()
    with WebUser(MUTE, socket_of(evercert)) as mute:
        done = evercert.run("renew", "gone.test", "--timeout", "3")
        assert done.returncode == UNREACHABLE, done
        assert "is answered by process %d of user www-data, which is not the agent: none leads" % mute.process.pid in done.stderr, done.stderr


@pytest.mark.parametrize("program", [MUTE, SQUATTER], ids=["a socket of its own", "a directory"])
def test_a_socket_whose_name_was_taken_away_is_made_anew(site, evercert, program):
    with WebUser(program, socket_of(evercert)):
        wait_for(lambda: evercert.run("renew", "socket.test", "--force", "--timeout", "3").returncode == DONE, "the agent to be asked again", 30,
                 0.2, seen=lambda: site.log()[-3000:])
        assert "has taken the control socket away; it was made anew" in site.log()


def test_a_directory_in_the_sockets_place_keeps_no_agent_from_leading(nginx, evercert):
    site = nginx(host("blocked.test")).start()
    site.audit.wait("served", "blocked.test")
    site.stop()
    place = socket_of(evercert)
    if not os.path.lexists(place):
        with open(place, "w"):
            pass
        os.chown(place, pwd.getpwnam("www-data").pw_uid, -1)
    with WebUser(SQUATTER, place):
        site.start()
        wait_for(lambda: evercert.run("renew", "blocked.test", "--force").returncode == DONE, "a renewal", 20, 0.2, seen=lambda: site.log()[-3000:])
