"""What HAProxy answers while certificates come and go: challenges, status, its own command line; and who may see what."""
import json
import os
import re
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.evercert import status_page
from harness.haproxy import certificate
from harness.waiting import wait_for

PREFIX = "/.well-known/acme-challenge/"
SERVICE = "http-request use-service lua.evercert_challenge if { path_beg %s }" % PREFIX
ANOTHER = ("http-request return status 200 content-type text/plain string \"another client\" if { path_beg %s }" % PREFIX)


def open_challenge(haproxy, fault, pebble, **options):
    """A server whose CA has asked and waits: (site, token, let it go on)."""
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate), after=True)
    mark = pebble.mark()
    site = haproxy([certificate("open.test")], directory=fault.uri, **options).start()
    wait_for(lambda: rule.hit and "validate w/ HTTP" in pebble.text(mark), "the challenge to be answered", seen=site.log)
    token = re.search(r"acme-challenge/([A-Za-z0-9_-]+)", pebble.text(mark)).group(1)
    return site, token, gate


def test_open_challenges_are_answered_and_all_else_reaches_another_client(haproxy, fault, pebble):
    site, token, gate = open_challenge(haproxy, fault, pebble, web=ANOTHER)
    code, body = tls.plain_get(ports.HTTP, "open.test", PREFIX + token)
    assert code == 200 and body.startswith(token.encode() + b".")
    assert tls.plain_get(ports.HTTP, "open.test", PREFIX + "unknown") == (200, b"another client")
    assert tls.plain_get(ports.HTTP, "open.test", PREFIX + token, method="HEAD")[0] == 200
    assert tls.plain_get(ports.HTTP, "open.test", "/") == (200, b"ok\n")
    gate.set()
    site.audit.wait("served", "open.test", seen=site.log)


def test_a_service_answers_challenges_where_nothing_else_does(haproxy, fault, pebble):
    site, token, gate = open_challenge(haproxy, fault, pebble, challenges=SERVICE)
    assert tls.plain_get(ports.HTTP, "open.test", PREFIX + token)[1].startswith(token.encode() + b".")
    assert tls.plain_get(ports.HTTP, "open.test", PREFIX + "unknown")[0] == 404
    gate.set()
    site.audit.wait("served", "open.test", seen=site.log)


def test_challenges_are_answered_in_a_frontend_that_redirects_everything(haproxy):
    site = haproxy([certificate("redirect.test")], web="http-request redirect scheme https unless { ssl_fc }").start()
    site.audit.wait("served", "redirect.test", seen=site.log)
    assert tls.plain_get(ports.HTTP, "redirect.test", "/")[0] == 302


def test_several_binds_and_lists_are_swapped_together(haproxy, evercert, folder):
    listed = os.path.join(folder, "list")
    site = haproxy([certificate("one.test"), certificate("two.test")],
                   frontends="frontend second\nbind 127.0.0.1:%d ssl crt-list %s\nhttp-request return status 200" % (ports.OTHER_TLS, listed))
    with open(listed, "w") as file:
        file.write("%s/one.test.pem [alpn h2]\n%s/two.test.pem two.test\n" % (site.pem_path, site.pem_path))
    site.start()
    for name in ("one.test", "two.test"):
        site.audit.wait("served", name, seen=site.log)
        evercert.renew(name)
        assert tls.leaf_at(ports.TLS, name).serial == tls.leaf_at(ports.OTHER_TLS, name).serial
        assert tls.leaf_at(ports.OTHER_TLS, name).names == [name]
    assert tls.connect(ports.OTHER_TLS, "one.test", tls.client(protocols=("h2",))).selected_alpn_protocol() == "h2"


def test_the_status_service_has_four_faces(haproxy, evercert):
    site = haproxy([certificate("seen.test")]).start()
    site.audit.wait("served", "seen.test", seen=site.log)
    evercert.wait_state("seen.test", "served")
    report = json.loads(status_page(ports.STATUS, "/json")[1])
    assert re.match(r"HAProxy/[0-9]+\.[0-9]+", report["server"]) and report["certificates"][0]["state"] == "served"
    assert report["certificates"][0]["served"]["listener"].endswith(":%d" % ports.TLS)
    assert b"<html" in status_page(ports.STATUS)[1].lower()
    assert b'evercert_certificate_expiration_timestamp_seconds{certificate="seen.test"' in status_page(ports.STATUS, "/metrics")[1]
    assert b"seen.test" in status_page(ports.STATUS, "/text")[1]
    assert status_page(ports.STATUS, "/elsewhere")[0] == 404


def test_haproxys_own_command_line_shows_status_and_asks_for_renewals(haproxy, pebble, evercert):
    pebble.kill()
    site = haproxy([certificate("cli.test")]).start()
    wait_for(lambda: "failing" in site.cli("evercert status") or "connection" in site.cli("evercert status"), "the failure to show", 20,
             seen=lambda: site.cli("evercert status"))
    pebble.start()
    said = site.cli("evercert renew cli.test")
    assert said.startswith("cli.test: "), said
    site.audit.wait("served", "cli.test", seen=site.log)
    wait_for(lambda: re.search(r"^cli\.test +test +served +1 +20\d\d-", site.cli("evercert status"), re.M), "the table to follow",
             seen=lambda: site.cli("evercert status"))
    assert site.cli("evercert status").startswith("# certificate")
    # Never forced from here: the worker faces the network.
    mark = pebble.mark()
    said = site.cli("evercert renew cli.test")
    assert "--force" in said, said
    assert "no certificate has this name" in site.cli("evercert renew other.test")
    assert "Write the name" in site.cli("evercert renew")
    assert pebble.orders(mark) == 0
    assert "evercert status" in site.cli("help")


def test_what_happens_is_told_in_haproxys_own_log(haproxy):
    site = haproxy([certificate("told.test")]).start()
    site.wait_log("told.test is served by 127.0.0.1")
    # Where HAProxy writes a level before Lua's lines depends on its version and on what log is set up.
    assert "evercert: generation 1 of told.test is published" in site.log()


def held_by(pid):
    found = []
    for number in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append((number, os.readlink("/proc/%d/fd/%s" % (pid, number))))
        except FileNotFoundError:
            pass  # a connection that ended
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed, so root is")
def test_no_process_that_serves_holds_seal_keys_or_a_writable_board(haproxy, evercert):
    site = haproxy([certificate("held.test")]).start()
    site.audit.wait("served", "held.test", seen=site.log)
    for pid in (*site.worker_pids(), site.master):
        for number, path in held_by(pid):
            assert "evercert-secrets" not in path and "evercert-plan" not in path, path
            if "evercert-board" in path:
                flags = re.search(r"flags:\s*(\d+)", open("/proc/%d/fdinfo/%s" % (pid, number)).read()).group(1)
                assert int(flags, 8) & os.O_ACCMODE == os.O_RDONLY
    (worker,) = site.worker_pids()
    assert "libcurl" not in open("/proc/%d/maps" % worker).read()
    assert processes.title_of(site.agent()).split()[1:] == ["run", "--descriptor", "3"]
    with open(os.path.join(evercert.state, "seal.key"), "rb") as file:
        assert file.read()[:16] not in site.log().encode()
    assert "PRIVATE KEY" not in site.log()
