"""What the web server's user writes into the status reaches browsers and terminals of operators as text and as nothing else."""
import os
import re
import signal
import subprocess

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, tls

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

NAME = "pages.test"
WEB = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}
SECTION = "<Location /server-status>\nSetHandler server-status\n</Location>"
HOSTILE = ('<!DOCTYPE html><html><head><meta http-equiv="refresh" content="0; url=https://evil.test/"><base href="https://evil.test/"></head>'
           '<body><script>fetch("/")</script><img src=x onerror="alert(1)"><form action="https://evil.test/"></form></body></html>\n')


@pytest.fixture(params=sorted(WEB))
def site(request):
    """One whose agent stands still, so that what is written stays."""
    host = {"nginx": lambda: nginx_of.host(NAME), "apache": lambda: apache_of.host(NAME, plain=SECTION),
            "haproxy": lambda: [haproxy_of.certificate(NAME)]}[request.param]()
    more = {"modules": ("status",)} if request.param == "apache" else {}
    one = request.getfixturevalue(request.param)(host, **more).start()
    one.audit.wait("served", NAME)
    one.kind, agent = request.param, one.wait_agent()
    os.kill(agent, signal.SIGSTOP)
    yield one
    os.kill(agent, signal.SIGCONT)


def put(site, name, text):
    """As that user may: the file is its own."""
    path = os.path.join(site.state, "state", name)
    subprocess.run(["tee", path], input=text.encode(), user=WEB[site.kind], group=WEB[site.kind], extra_groups=[], check=True,
                   stdout=subprocess.DEVNULL)


def head_of(path):
    with tls.raw(ports.STATUS) as link:
        link.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path).encode())
        said = b""
        while b"\r\n\r\n" not in said:
            piece = link.recv(65536)
            assert piece, said
            said += piece
    lines = said.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def test_a_page_that_the_web_user_wrote_runs_nothing_in_a_browser(site):
    put(site, "status.html", HOSTILE)
    put(site, "status.json", HOSTILE)
    for rest, kind in (("", "text/html"), ("/json", "application/json"), ("/metrics", "text/plain"), ("/text", "text/plain")):
        head = head_of("/evercert" + rest)
        policy = dict((part.split(None, 1) + [""])[:2] for part in head["content-security-policy"].split("; "))
        assert head["content-type"].startswith(kind) and head["x-content-type-options"] == "nosniff"
        # No script, no picture, no frame, no form, no other place to go to; without allowances a sandbox refuses a refresh, too.
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'" and policy["sandbox"] == ""
        assert not [name for name in policy if name.startswith("script") or name in ("img-src", "connect-src")]


@pytest.mark.parametrize("site", ["apache"], indirect=True)
def test_nothing_that_the_web_user_wrote_is_a_part_of_apaches_own_page(site):
    for name in ("section.tsv", "section.txt"):
        put(site, name, "leader" + HOSTILE + HOSTILE)
    for rest in ("", "?auto"):
        page = tls.plain_get(ports.HTTP, NAME, "/server-status" + rest)[1].decode()
        assert "evil.test" in page and not re.search("<(script|img|meta http|base|form action)", page), page[-3000:]


@pytest.mark.parametrize("site", ["haproxy"], indirect=True)
def test_a_table_that_the_web_user_wrote_does_not_steer_the_terminal_of_haproxys_command_line(site):
    put(site, "status.txt", "# certificate\n\x1b]0;owned\x07\x1b[2J\u009b31m\u202e" + "x" * 70000 + "\u00e4\n" + "\u00f6" * 40000)
    said = site.cli("evercert status")
    assert "# certificate\n" in said and "owned" in said and said.count("x") > 69999 and said.count("\u00f6") == 40000
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ufffd]", said)
