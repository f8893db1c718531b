"""From nothing to a certificate that is served, and what clients see until then."""
import json
import os

import pytest

from harness import ports, processes, tls
from harness.authority import serial_of_pem
from harness.evercert import status_page
from harness.nginx import host
from harness.waiting import wait_for

PROTOCOLS = pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13], ids=["TLS 1.2", "TLS 1.3"])


def test_one_directive_gets_a_certificate_that_clients_trust(nginx, pebble):
    site = nginx(host("first.test")).start()
    leaf = tls.wait_leaf(ports.TLS, "first.test", seen=site.log)
    assert leaf.names == ["first.test"] and leaf.kind == "ec" and leaf.bits == 256
    assert tls.chain_is_good(ports.TLS, "first.test", pebble.root_pem())
    assert tls.get(ports.TLS, "first.test") == (200, b"ok\n")
    assert not site.complaints()


def test_served_is_said_only_of_the_leaf_that_a_handshake_returned(nginx, evercert):
    site = nginx(host("proved.test")).start()
    event = site.audit.wait("served", "proved.test")
    leaf = tls.leaf_at(ports.TLS, "proved.test")
    certificate = evercert.wait_state("proved.test", "served")
    assert int(certificate["serial"], 16) == leaf.serial
    assert certificate["served"]["generation"] == certificate["generation"] == event["generation"] == 1
    assert str(ports.TLS) in certificate["served"]["listener"]


def test_an_order_takes_the_least_requests_that_the_protocol_allows(nginx, pebble):
    mark = pebble.mark()
    site = nginx(host("frugal.test")).start()
    site.audit.wait("served", "frugal.test")
    seen = pebble.requests(mark)
    assert seen["/order-plz"] == seen["/authZ"] == seen["/chalZ"] == seen["/finalize-order"] == seen["/certZ"] == 1, seen
    assert pebble.request_count(mark) <= 7 + 3 + 2, seen


def test_several_names_of_a_server_share_one_certificate_named_after_the_first(nginx, evercert, pebble):
    mark = pebble.mark()
    names = ["zebra.test", "ant.test", "mole.test"]
    site = nginx(host(names)).start()
    site.audit.wait("served", "zebra.test")
    for name in names:
        assert sorted(tls.leaf_at(ports.TLS, name).names) == sorted(names)
    assert [c["name"] for c in evercert.status()["certificates"]] == ["zebra.test"]
    assert pebble.orders(mark) == 1


@PROTOCOLS
def test_a_known_name_without_a_certificate_yet_is_refused_with_alert_112(nginx, pebble, version):
    pebble.kill()
    site = nginx(host("early.test"), global_extra="").start()
    assert tls.alert_of(ports.TLS, "early.test", version) == 112
    site.wait_agent()
    assert not [line for line in site.complaints() if "SSL" in line]


def test_a_placeholder_is_served_until_the_first_certificate_if_so_configured(nginx, pebble):
    pebble.kill()
    site = nginx(host("stand-in.test", "evercert on; evercert_placeholder on;")).start()
    early = tls.leaf_at(ports.TLS, "stand-in.test")
    assert early.names == ["stand-in.test"] and early.x509.issuer == early.x509.subject
    pebble.start()
    leaf = tls.wait_leaf(ports.TLS, "stand-in.test", lambda leaf: "Pebble" in leaf.issuer, 40, seen=site.log)
    assert leaf.serial != early.serial


def test_a_static_certificate_beside_evercert_is_overridden_live(nginx, pebble, authority):
    static = authority.files("both.test")
    pebble.kill()
    site = nginx(host("both.test", static=static)).start()
    assert tls.leaf_at(ports.TLS, "both.test").serial == serial_of_pem(static[0])
    workers = site.worker_pids()
    pebble.start()
    tls.wait_leaf(ports.TLS, "both.test", lambda leaf: "Pebble" in leaf.issuer, 40, seen=site.log)
    assert site.worker_pids() == workers


def test_a_server_without_evercert_is_untouched(nginx, authority):
    static = authority.files("plain.test")
    serial = serial_of_pem(static[0])
    site = nginx(host("plain.test", "", static=static) + host("managed.test")).start()
    site.audit.wait("served", "managed.test")
    assert tls.leaf_at(ports.TLS, "plain.test").serial == serial
    assert tls.leaf_at(ports.TLS, "managed.test").names == ["managed.test"]
    assert all(c["name"] != "plain.test" for c in json.loads(status_page(ports.STATUS, "/json")[1])["certificates"])


def test_after_a_restart_the_very_first_handshake_is_right_without_the_ca(nginx, pebble):
    site = nginx(host("kept.test")).start()
    site.audit.wait("served", "kept.test")
    serial = tls.leaf_at(ports.TLS, "kept.test").serial
    site.stop()
    pebble.kill()
    site.start()
    assert tls.leaf_at(ports.TLS, "kept.test").serial == serial


def test_the_first_handshake_after_a_restart_needs_no_agent_at_all(nginx):
    site = nginx(host("alone.test")).start()
    site.audit.wait("served", "alone.test")
    serial = tls.leaf_at(ports.TLS, "alone.test").serial
    site.stop()
    site.write(global_extra="", main="")
    text = open(site.configuration).read().replace(site.install.program, "/bin/false")
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start()
    assert tls.leaf_at(ports.TLS, "alone.test").serial == serial


def test_the_status_location_has_three_faces_that_agree(nginx):
    site = nginx(host("seen.test")).start()
    site.audit.wait("served", "seen.test")
    wait_for(lambda: b"\"state\":\"served\"" in status_page(ports.STATUS, "/json")[1].replace(b": ", b":"), "the status page to say served")
    wait_for(lambda: json.loads(status_page(ports.STATUS, "/json")[1])["certificates"][0]["next"], "the next renewal to be told")
    code, body = status_page(ports.STATUS, "/json")
    report = json.loads(body)
    assert code == 200 and report["format"] == 1 and report["server"].startswith("nginx/1.")
    assert report["agent"]["pid"] == site.agent()
    (certificate,) = report["certificates"]
    assert certificate["state"] == "served" and certificate["identifiers"] == ["seen.test"]
    assert certificate["next"]["at"] and certificate["next"]["why"]
    code, html = status_page(ports.STATUS)
    assert code == 200 and b"seen.test" in html and b"<html" in html.lower()
    # The three faces are written one after the other.
    wait_for(lambda: b"expiration_timestamp_seconds{certificate=\"seen.test\"" in status_page(ports.STATUS, "/metrics")[1], "the metrics to follow")
    code, metrics = status_page(ports.STATUS, "/metrics")
    assert code == 200 and b'evercert_certificate_expiration_timestamp_seconds{certificate="seen.test"' in metrics
    assert status_page(ports.STATUS, "/elsewhere")[0] == 404


def test_the_agent_is_the_only_process_that_talks_and_has_the_servers_user(nginx):
    site = nginx(host("whose.test")).start()
    site.audit.wait("served", "whose.test")
    agent, worker = site.agent(), site.worker_pids()[0]
    assert processes.user_of(agent) == processes.user_of(worker) != 0
    maps = open("/proc/%d/maps" % worker).read()
    assert "libcurl" not in maps and "ngx_http_evercert_module.so" in maps
    assert "libcurl" in open("/proc/%d/maps" % agent).read()
    assert os.readlink("/proc/%d/exe" % agent) == site.install.program


def test_variables_name_the_certificate_as_nginxs_own_acme_module_does(nginx):
    site = nginx(host("variable.test", "evercert_certificate test; ssl_certificate $evercert_certificate; "
                      "ssl_certificate_key $evercert_certificate_key;")).start()
    leaf = tls.wait_leaf(ports.TLS, "variable.test", seen=site.log)
    assert leaf.names == ["variable.test"]
