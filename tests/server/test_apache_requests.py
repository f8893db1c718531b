"""What Apache answers to requests: challenges ahead of everything, 503 where there is no certificate yet, status pages, notes."""
import json
import os
import re
import threading

import fault_proxy
import pytest

from harness import evercert as command
from harness import ports, tls
from harness.apache import host
from harness.waiting import wait_for

PREFIX = "/.well-known/acme-challenge/"
# What hosts on port 80 do with requests; and what a token that is not ours gets there.
PLAIN = {
    "redirects": ("Redirect permanent / https://plain.test/", ("alias",), 301),
    "denies": ("<Location />\nRequire all denied\n</Location>", (), 403),
    "rewrites": ("RewriteEngine on\nRewriteRule ^ https://plain.test/ [R=302,L]", ("rewrite",), 302),
    "passes on": ("ProxyPass / http://127.0.0.1:%d/\nProxyPassReverse / http://127.0.0.1:%d/" % (ports.FREE + 3, ports.FREE + 3), ("proxy", "proxy_http"), 503),
}


@pytest.mark.parametrize("way", PLAIN)
def test_challenges_are_answered_on_a_host_that(apache, way):
    inside, modules, code = PLAIN[way]
    site = apache(host("plain.test", plain=inside), modules=modules).start()
    site.audit.wait("served", "plain.test", seen=site.log)
    assert tls.plain_get(ports.HTTP, "plain.test", PREFIX + "unknown")[0] == code


def test_challenges_are_answered_where_no_host_has_the_name(apache):
    first = "<VirtualHost 127.0.0.1:%d>\nServerName somebody.else\nRedirect gone /\n</VirtualHost>\n" % ports.HTTP
    site = apache(first + host("nowhere.test", http=False), modules=("alias",)).start()
    site.audit.wait("served", "nowhere.test", seen=site.log)


def test_a_token_of_another_client_reaches_the_sites_own_files(apache, folder):
    site = apache(host("own.test"))
    os.makedirs(os.path.join(folder, "web" + PREFIX))
    with open(os.path.join(folder, "web" + PREFIX, "own"), "w") as file:
        file.write("by hand")
    site.start()
    site.audit.wait("served", "own.test")
    assert tls.plain_get(ports.HTTP, "own.test", PREFIX + "own") == (200, b"by hand")


@pytest.fixture
def open_challenge(apache, fault, pebble):
    """A server whose challenge stays open; its token; what lets it go on."""
    def make(name, **options):
        gate = threading.Event()
        rule = fault.add("/chalZ/", fault_proxy.silence(20, gate), after=True)
        mark = pebble.mark()
        site = apache(host(name, **options.pop("host", {})), directory=fault.uri, **options).start()
        wait_for(lambda: rule.hit and "validate w/ HTTP" in pebble.text(mark), "the challenge to be answered", seen=site.log)
        return site, pebble.text(mark).split(PREFIX)[1].split()[0], gate
    return make


def test_answers_are_given_to_get_and_head_only_and_to_any_host(open_challenge):
    site, token, gate = open_challenge("method.test")
    code, body = tls.plain_get(ports.HTTP, "method.test", PREFIX + token)
    assert code == 200 and body.startswith(token.encode() + b".")
    assert tls.plain_get(ports.HTTP, "anything.test", PREFIX + token)[1] == body
    assert tls.plain_get(ports.HTTP, "method.test", PREFIX + token, "HEAD") == (200, b"")
    for path, method in ((token, "POST"), (token + "x", "GET"), ("x/../" + token, "GET"), ("", "GET")):
        assert not tls.plain_get(ports.HTTP, "method.test", PREFIX + path, method)[1].startswith(token.encode() + b"."), path
    gate.set()
    site.audit.wait("served", "method.test")


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_a_host_without_a_certificate_says_503_but_answers_challenges(open_challenge, mpm):
    site, token, gate = open_challenge("early.test", mpm=mpm)
    leaf = tls.leaf_at(ports.TLS, "early.test")
    assert leaf.names == ["early.test"] and "Pebble" not in leaf.issuer  # a stand-in, which nobody trusts
    assert tls.get(ports.TLS, "early.test")[0] == 503
    assert tls.get(ports.TLS, "early.test", PREFIX + token)[1].startswith(token.encode() + b".")
    assert tls.get(ports.TLS, "early.test", PREFIX + "unknown")[0] == 404
    assert tls.plain_get(ports.HTTP, "early.test", "/") == (200, b"ok\n")
    children = site.worker_pids()
    gate.set()
    site.audit.wait("served", "early.test")
    assert tls.get(ports.TLS, "early.test") == (200, b"ok\n") and site.worker_pids() == children
    assert not re.search("AH01909|AH01906", site.log())


def test_a_placeholder_that_is_asked_for_serves_the_site(open_challenge):
    site, _, gate = open_challenge("stand-in.test", host={"evercert": "Evercert on\nEvercertPlaceholder on"})
    assert "Pebble" not in tls.leaf_at(ports.TLS, "stand-in.test").issuer
    assert tls.get(ports.TLS, "stand-in.test") == (200, b"ok\n")
    gate.set()
    site.audit.wait("served", "stand-in.test")


def test_an_open_challenge_survives_a_graceful_restart(apache, fault):
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate))  # held before the CA sees it: validation comes after the restart
    site = apache(host("reload.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the challenge to be answered")
    site.reload()
    fault.clear()
    gate.set()
    site.audit.wait("served", "reload.test", timeout=60, seen=site.log)


# --- pages ---
def test_the_status_is_served_in_three_forms(apache):
    site = apache(host("status.test")).start()
    site.audit.wait("served", "status.test")
    wait_for(lambda: json.loads(command.status_page(ports.STATUS, "/json")[1])["certificates"][0]["state"] == "served", "the status to follow", 5, 0.05)
    code, body = command.status_page(ports.STATUS, "/json")
    page = json.loads(body)
    assert code == 200 and page["format"] == 1 and page["server"].startswith("Apache/2.4")
    assert page["certificates"][0]["state"] == "served"
    code, body = command.status_page(ports.STATUS)
    assert code == 200 and body.lower().startswith(b"<!doctype html") and b"status.test" in body
    assert b"evercert_agent_up 1" in command.status_page(ports.STATUS, "/metrics")[1]
    assert command.status_page(ports.STATUS, "/nothing")[0] == 404
    assert tls.plain_get(ports.STATUS, "localhost", "/evercert", "HEAD") == (200, b"")
    assert tls.plain_get(ports.STATUS, "localhost", "/evercert", "POST")[0] == 405


def test_mod_status_has_a_section_of_ours(apache):
    page = "<Location /server-status>\nSetHandler server-status\n</Location>"
    site = apache(host("section.test", plain=page), modules=("status",)).start()
    site.audit.wait("served", "section.test")

    def lines():
        return tls.plain_get(ports.HTTP, "section.test", "/server-status?auto")[1].decode()
    wait_for(lambda: "EvercertStateServed: 1" in lines(), "the section to follow", 5, 0.05, seen=lines)
    assert "EvercertAgent: leader\n" in lines() and "EvercertCertificates: 1\n" in lines()
    whole = tls.plain_get(ports.HTTP, "section.test", "/server-status")[1].decode()
    assert re.search(r"<h2>evercert.*<td>section\.test</td><td>served</td>", whole, re.S), whole[-2000:]


def test_log_formats_can_say_which_certificate_a_connection_was_given(apache, evercert, folder):
    log = os.path.join(folder, "notes.access")
    lines = 'CustomLog %s "%%{evercert-certificate}n %%{evercert-generation}n %%H"' % log
    site = apache(host("note.test", inside=lines + "\nProtocols h2 http/1.1"), modules=("http2",)).start()
    site.audit.wait("served", "note.test")
    # The proof of the first generation made handshakes, but no request.
    assert tls.get(ports.TLS, "note.test")[0] == 200
    evercert.renew("note.test")
    assert tls.get(ports.TLS, "note.test")[0] == 200
    code, _, said = tls.curl("--http2", "-k", "--resolve", "note.test:%d:127.0.0.1" % ports.TLS, "https://note.test:%d/" % ports.TLS)
    assert code == 0, said
    wait_for(lambda: open(log).read().splitlines() == ["note.test 1 HTTP/1.1", "note.test 2 HTTP/1.1", "note.test 2 HTTP/2.0"],
             "three lines", 5, seen=lambda: open(log).read())


@pytest.mark.parametrize("level,seen", [("evercert:error", False), ("evercert:info", True)])
def test_the_modules_log_level_decides_what_is_logged(apache, level, seen):
    site = apache(host("level.test"), main="LogLevel warn " + level).start()
    site.audit.wait("served", "level.test")
    site.reload()  # whatever the agent said before is in the log by now
    site.stop()
    assert bool(re.search(r"\[evercert:info\]", site.log())) == seen  # httpd never leaves out what is of level notice
