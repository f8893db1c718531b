"""Each server's whole path under AddressSanitizer and UndefinedBehaviorSanitizer: the test of a configuration, start, challenge,
handshakes, status pages, renewal and swap, reload, stop. When a server is closed, conftest looks for what a sanitizer wrote."""
import os
import subprocess
import time

import pytest

from harness import apache as httpd, haproxy as proxy, nginx as engine, ports, sanitizer, tls
from harness.evercert import DONE, status_page
from harness.waiting import wait_for

NAMES = ["www.example.com", "other.example.com"]
SECTION = "<Location /server-status>\nSetHandler server-status\n</Location>"
FORMS = {"/json": b'"certificates"', "": b"<html", "/metrics": b"evercert_agent_up", "/text": b"expires in"}

MAKERS = {
    "nginx": lambda make: make("".join(engine.host(name) for name in NAMES)),
    "apache": lambda make: make("".join(httpd.host(name, plain=SECTION) for name in NAMES), modules=("status",)),
    "haproxy": lambda make: make([proxy.certificate(name) for name in NAMES]),
}


@pytest.fixture(params=MAKERS)
def site(request):
    return MAKERS[request.param](request.getfixturevalue(request.param))


def handshakes():
    for name in NAMES:
        for version in (tls.TLS12, tls.TLS13):
            assert tls.leaf_at(ports.TLS, name, version=version).names == [name]
        assert tls.get(ports.TLS, name) == (200, b"ok\n")
    for name in ("unknown.example.net", ".".join(["x" * 60] * 4)):
        tls.leaf_or_none(ports.TLS, name)


def challenges():
    for path in ("/.well-known/acme-challenge/none", "/.well-known/pki-validation/none.txt", "/.well-known/", "/.well-known/acme-challenge/" + "x" * 4000):
        for name in (*NAMES, "unknown.example.net"):
            assert tls.plain_get(ports.HTTP, name, path)[0] != 0


def pages(site):
    for rest, part in FORMS.items():
        code, body = status_page(ports.STATUS, rest)
        assert code == 200 and part in body, (rest, body[:200])
        assert tls.plain_get(ports.STATUS, "localhost", "/evercert" + rest, "HEAD")[0] == 200
    assert status_page(ports.STATUS, "/nothing")[0] == 404
    if isinstance(site, httpd.Apache):
        for rest in ("", "?auto"):
            assert b"vercert" in tls.plain_get(ports.HTTP, NAMES[0], "/server-status" + rest)[1]


def old_pages(site):
    """As if no agent had run for an hour."""
    folder = os.path.join(site.state, "state")
    for rest in FORMS:
        for name in os.listdir(folder):
            if name.startswith(("status.", "section.")):
                os.utime(os.path.join(folder, name), (time.time() - 3600,) * 2)
        assert status_page(ports.STATUS, rest)[0] == 200
    if isinstance(site, httpd.Apache):
        assert tls.plain_get(ports.HTTP, NAMES[0], "/server-status")[0] == 200


def test_the_whole_path_of_a_server_is_clean(site, evercert, pebble):
    code, said = site.test()
    assert code == 0, said
    site.start(timeout=60)
    for name in NAMES:
        site.audit.wait("served", name, timeout=60, seen=site.log)
    handshakes()
    challenges()
    pages(site)
    before = tls.leaf_at(ports.TLS, NAMES[0]).serial
    evercert.renew(NAMES[0])
    tls.wait_leaf(ports.TLS, NAMES[0], lambda leaf: leaf.serial != before)
    site.reload()
    handshakes()
    # The agent of the new configuration takes over meanwhile.
    wait_for(lambda: evercert.run("renew", NAMES[1], "--force").returncode == DONE, "a renewal after the reload", 30, seen=site.log)
    for words in (["status"], ["list"], ["show", NAMES[0]], ["status", "--json"], ["rollback", NAMES[0]]):
        done = evercert.run(*words)
        assert done.returncode == DONE, (words, done.stdout + done.stderr)
    old_pages(site)
    if isinstance(site, proxy.Haproxy):
        assert NAMES[0] in site.cli("evercert status") and site.cli("evercert renew " + NAMES[0])
    agent = site.agent()
    os.kill(agent, 9)
    site.wait_agent(other_than=agent)
    evercert.wait_state(NAMES[0], "served")
    pages(site)
    assert not site.complaints()
    site.stop()


def test_what_a_sanitizer_says_is_found(install, folder):
    """That a report of a server's process, and of the agent's program, ends up where the tests look."""
    if not sanitizer.active():
        pytest.skip("these servers were built without sanitizers")
    source, module = os.path.join(folder, "bad.c"), os.path.join(folder, "bad.so")
    with open(source, "w") as file:
        file.write("#include <stdlib.h>\n__attribute__((constructor)) void bad(void) { volatile char* p = malloc(4); p[4] = 1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-fsanitize=address", "-o", module, source], check=True)
    configuration = os.path.join(folder, "bad.conf")
    with open(configuration, "w") as file:
        file.write("load_module %s;\nerror_log stderr;\npid %s/pid;\nevents { }\n" % (module, folder))
    done = subprocess.run([*sanitizer.prefix(install), engine.PROGRAM, "-t", "-c", configuration, "-e", "stderr"], capture_output=True, check=False)
    assert done.returncode == -6
    wait_for(lambda: "heap-buffer-overflow" in sanitizer.reports(install), "the report", 5)
