"""What must not be seen: keys on disk, secrets in logs, arguments, environments and memory of others; who may ask what."""
import base64
import os
import re
import socket
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from harness import ports, processes, tls
from harness.authority import write_private
from harness.evercert import FAILED, UNREACHABLE, status_page
from harness.nginx import host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed, so root is")

READ_ALL = r"""
import os, sys
for where, folders, files in os.walk(sys.argv[1]):
    for name in files:
        path = os.path.join(where, name)
        try:
            with open(path, "rb") as file:
                sys.stdout.buffer.write(b"FILE " + path.encode() + b"\n" + file.read() + b"\n")
        except OSError as failure:
            sys.stdout.buffer.write(b"DENIED " + path.encode() + b" " + str(failure).encode() + b"\n")
"""


def read_as(user, folder):
    group = "www-data" if user == "www-data" else "nogroup"
    return subprocess.run(["/usr/bin/python3", "-c", READ_ALL, folder], capture_output=True, check=True, user=user, group=group,
                          extra_groups=[]).stdout


# What private keys look like on disk: PEM of any kind; PKCS#8 and SEC 1 of P-256, P-384, P-521; PKCS#8 of RSA.
KEYS = [rb"PRIVATE KEY", rb"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", rb"\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
        rb"\x30[\x74-\x78]\x02\x01\x01\x04\x20", rb"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
        base64.b64encode(b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d")[:14]]


def test_the_web_user_finds_no_key_on_disk(nginx, evercert):
    site = nginx(host("hidden.test", "evercert_certificate test key=ecdsa:256,rsa:2048;")).start()
    site.audit.wait("served", "hidden.test", more_than=1, timeout=30)
    seen = read_as("www-data", evercert.state)
    assert b"FILE " in seen and b"2.bundle" in seen  # the hunt did see the bundles
    for pattern in KEYS:
        assert not re.search(pattern, seen, re.S), pattern
    assert b"DENIED" in seen and b"seal.key" in seen.split(b"DENIED", 1)[1]


def test_other_users_see_nothing_of_the_state_at_all(nginx, evercert):
    site = nginx(host("closed.test")).start()
    site.audit.wait("served", "closed.test")
    assert b"FILE " not in read_as("nobody", evercert.state)


def secrets_of(evercert, *more):
    """Each secret in every form in which it might be printed."""
    with open(os.path.join(evercert.state, "seal.key"), "rb") as file:
        raw = file.read()
    found = [raw, raw[:16]]
    for data in (raw, *more):
        found += [data, data.hex().encode(), base64.b64encode(data)[:24], base64.urlsafe_b64encode(data)[:24]]
    return [secret for secret in found if len(secret) >= 12]


def test_no_secret_is_in_logs_events_status_arguments_or_environments(nginx, evercert, other_pebble, folder):
    ca = other_pebble(eab=True)
    write_private(os.path.join(folder, "hmac"), ca.eab[1].encode())
    # Level debug would print the most, where nginx is built for it.
    site = nginx(host("quiet.test"), pebble=ca, issuer_extra="external_account_key %s %s;" % (ca.eab[0], os.path.join(folder, "hmac")))
    site.start()
    site.audit.wait("served", "quiet.test")
    evercert.renew("quiet.test")
    hmac = base64.urlsafe_b64decode(ca.eab[1])
    output = evercert.run("status", "--json").stdout + evercert.run("show", "quiet.test", "--json").stdout
    seen = [("log", site.log().encode()), ("cli", output.encode())]
    seen += [("page " + rest, status_page(ports.STATUS, rest)[1]) for rest in ("", "/json", "/metrics")]
    for name in os.listdir(os.path.join(evercert.state, "state", "events")):
        with open(os.path.join(evercert.state, "state", "events", name), "rb") as file:
            seen.append((name, file.read()))
    for pid in [site.master, *site.remember()]:
        for what in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (pid, what), "rb") as file:
                seen.append(("%s of %s" % (what, processes.title_of(pid)), file.read()))
    for where, text in seen:
        for secret in secrets_of(evercert, hmac, ca.eab[1].encode()):
            assert secret not in text, "a secret in " + where
        assert b"PRIVATE KEY" not in text, where


def test_nothing_of_the_servers_environment_reaches_the_agent_and_its_arguments_are_fixed(nginx):
    site = nginx(host("args.test")).start()
    site.audit.wait("served", "args.test")
    agent = site.agent()
    variables = open("/proc/%d/environ" % agent, "rb").read().split(b"\0")
    assert all(not variable or variable.startswith(b"PATH=") for variable in variables), variables
    assert processes.title_of(agent).split()[1:] == ["run", "--descriptor", "3"]


SPY = r"""
import ctypes, os, sys
pid = int(sys.argv[1])
for what in ("mem", "environ", "maps", "fd", "map_files"):
    path = "/proc/%d/%s" % (pid, what)
    try:
        os.listdir(path) if what in ("fd", "map_files") else open(path, "rb").read(1)
        print("OPEN", what)
    except OSError as failure:
        print("denied", what, failure.errno)
libc = ctypes.CDLL(None, use_errno=True)
print("OPEN ptrace" if libc.ptrace(16, pid, 0, 0) == 0 else "denied ptrace")
"""


@pytest.mark.parametrize("role", ["agent", "manager", "worker"])
def test_the_memory_of_our_processes_is_closed_to_others_of_the_same_user(nginx, role):
    site = nginx(host("memory.test")).start()
    site.audit.wait("served", "memory.test")
    pid = {"agent": site.agent, "manager": site.manager, "worker": lambda: site.worker_pids()[0]}[role]()
    done = subprocess.run(["/usr/bin/python3", "-c", SPY, str(pid)], capture_output=True, text=True, check=True, user="www-data",
                          group="www-data", extra_groups=[])
    assert "OPEN" not in done.stdout and "denied mem" in done.stdout, done.stdout


def memory_files(pid):
    found = set()
    for number in os.listdir("/proc/%d/fd" % pid):
        try:
            found.add(os.readlink("/proc/%d/fd/%s" % (pid, number)))
        except OSError:
            pass
    return {name for name in found if "memfd:" in name}


def test_workers_hold_neither_the_plan_nor_the_secrets_nor_the_writable_board(nginx):
    site = nginx(host("holds.test")).start()
    site.audit.wait("served", "holds.test")
    worker, agent = memory_files(site.worker_pids()[0]), memory_files(site.agent())
    assert not [name for name in worker if "secret" in name or "plan" in name], worker
    assert agent or worker


def memory_of(pid):
    """All that the process could write at some time, as root sees it."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            where, rights = line.split()[:2]
            if "w" in rights and "memfd:" not in line:
                begin, end = (int(number, 16) for number in where.split("-"))
                memory.seek(begin)
                try:
                    yield memory.read(end - begin)
                except OSError:
                    pass


@pytest.mark.parametrize("role", ["worker", "manager"])
def test_neither_the_account_binding_nor_the_root_of_all_seals_is_in_a_processs_memory(nginx, evercert, other_pebble, folder, role):
    ca = other_pebble(eab=True)
    write_private(os.path.join(folder, "hmac"), ca.eab[1].encode())
    site = nginx(host("forgets.test"), pebble=ca, issuer_extra="external_account_key %s %s;" % (ca.eab[0], os.path.join(folder, "hmac")))
    site.start()
    site.audit.wait("served", "forgets.test")
    tls.leaf_at(ports.TLS, "forgets.test")
    with open(os.path.join(evercert.state, "seal.key"), "rb") as file:
        seal_text = file.read().split()[-1]
    seal = base64.urlsafe_b64decode(seal_text + b"=" * (-len(seal_text) % 4))
    binding = base64.urlsafe_b64decode(ca.eab[1])
    # A piece is enough to be a leak, and survives an allocator that writes its links into freed memory.
    needles = {"binding": binding[16:40], "its text": ca.eab[1].encode()[20:52], "seal key": seal[16:], "its text on disk": seal_text[20:]}
    pid = site.manager() if role == "manager" else site.worker_pids()[0]
    content = b"".join(memory_of(pid))
    assert b"forgets.test" in content, "the scan sees nothing"
    assert not [name for name, needle in needles.items() if needle in content]


def test_reading_verbs_are_for_the_servers_group_and_changing_ones_for_root(nginx, evercert, pebble):
    site = nginx(host("verbs.test")).start()
    site.audit.wait("served", "verbs.test")
    mark = pebble.mark()
    assert evercert.run("status", user="www-data").returncode == 0
    assert evercert.run("list", user="www-data").stdout == "verbs.test\n"
    for arguments in (["renew", "verbs.test", "--force"], ["rollback", "verbs.test"], ["revoke", "verbs.test", "--yes"]):
        refused = evercert.run(*arguments, user="www-data")
        assert refused.returncode in (FAILED, 4) and "root" in refused.stderr, refused
    assert pebble.orders(mark) == 0
    assert evercert.run("renew", "verbs.test", "--force").returncode == 0


def test_other_users_cannot_even_ask(nginx, evercert):
    site = nginx(host("strangers.test")).start()
    site.audit.wait("served", "strangers.test")
    done = evercert.run("renew", "strangers.test", "--force", user="nobody")
    assert done.returncode in (FAILED, UNREACHABLE) and done.stderr
    assert evercert.run("status", user="nobody").returncode == FAILED
    assert not connects_as_nobody(os.path.join(evercert.state, "state", "agent.sock"))


def connects_as_nobody(path):
    done = subprocess.run(["/usr/bin/python3", "-c", "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", path],
                          user="nobody", group="nogroup", extra_groups=[], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("message", [b"", b"\n\n\n", b"{", b"null\n", b'{"verb":7}\n', b'{"verb":"no-such"}\n', b"[" * 10000 + b"\n",
                                     b'{"verb":"renew"}\n', b"\xff\xfe\n", b'{"verb":"attach","server":"x","plan":"AAAA"}\n', b"x" * 2000000],
                         ids=lambda m: repr(m[:14]))
def test_nonsense_on_the_control_socket_harms_nobody(nginx, evercert, message):
    site = nginx(host("socket.test")).start()
    site.audit.wait("served", "socket.test")
    agent = site.agent()
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        link.connect(os.path.join(evercert.state, "state", "agent.sock"))
        try:
            link.sendall(message)
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert evercert.run("status").returncode == 0
    assert evercert.run("renew", "socket.test").returncode in (0, 1)
    assert site.agent() == agent


def test_a_leaf_and_the_key_behind_it_are_never_mixed_up_between_names(nginx):
    site = nginx(host("left.test") + host("right.test")).start()
    for name in ("left.test", "right.test"):
        site.audit.wait("served", name)
    keys = {tls.leaf_at(ports.TLS, name).x509.public_key().public_bytes(serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo) for name in ("left.test", "right.test")}
    assert len(keys) == 2
