"""The files that commercial CAs ask for below /.well-known/pki-validation/, from every server but nginx, which the tests of each
CA use. CertCentral gives all files one name, so the host decides which one is shown."""
import json
import os
import subprocess

import pytest

from harness import ports, processes, tls
from harness.audit import Audit
from harness.authority import write_private
from harness.apache import host as virtual_host
from harness.haproxy import certificate
from harness.waiting import wait_for

NAMES = ["one.test", "two.test"]
# The ways to let our Lua answer: everything goes through the action, or a service has the folder to itself.
ANSWERS = {"action": "http-request lua.evercert",
           "action for the folder": "http-request lua.evercert if { path_beg /.well-known/ }",
           "service": "http-request use-service lua.evercert_challenge if { path_beg /.well-known/ }"}

only_digicert = pytest.mark.parametrize("buyer", ["digicert"], indirect=True)


def issuer_of(buyer, folder):
    """The issuer as evercert.json has it."""
    secret = os.path.join(folder, "json.secret")
    write_private(secret, buyer.options["secret"].encode())
    return dict(buyer.options, secret=secret, product=[buyer.options["product"]])


def were_asked_for(buyer):
    return {(url, what) for url, what in buyer.simulator.ask("GET", "/network")["seen"]}


@pytest.mark.parametrize("answers", ANSWERS)
@only_digicert
def test_haproxy_shows_each_host_its_own_file(haproxy, buyer, folder, answers):
    site = haproxy([certificate(name) for name in NAMES], pebble=None, challenges=ANSWERS[answers],
                   settings={"issuers": {"bought": issuer_of(buyer, folder)}}).start()
    for name in NAMES:
        site.audit.wait("served", name, timeout=40, seen=site.log)
        assert buyer.is_served(name)
        paths = {address.split("://")[1] for address, what in were_asked_for(buyer) if what == "found"}  # by https first
        assert name + "/.well-known/pki-validation/fileauth.txt" in paths
    # Other people's files are let through by the action, and nothing is there for the service.
    status = tls.plain_get(ports.HTTP, "one.test", "/.well-known/pki-validation/other.txt")[0]
    assert status == (404 if answers == "service" else 200)
    assert tls.plain_get(ports.HTTP, "three.test", "/.well-known/pki-validation/fileauth.txt")[0] == status


@only_digicert
def test_apache_shows_each_host_its_own_file(apache, buyer):
    options = issuer_of(buyer, buyer.folder)
    block = ("<EvercertIssuer bought>\nEvercertType digicert\nEvercertUri %s\nEvercertSecret %s\nEvercertProduct %s\n"
             "EvercertSslTrustedCertificate %s\n</EvercertIssuer>\n"
             % (options["uri"], options["secret"], options["product"][0], options["ssl_trusted_certificate"]))
    site = apache("".join(virtual_host(name) for name in NAMES), pebble=None, global_extra=block).start()
    for name in NAMES:
        site.audit.wait("served", name, timeout=40)
        assert buyer.is_served(name)


@only_digicert
def test_an_agent_without_a_server_shows_each_host_its_own_file(buyer, folder, install):
    state = os.path.join(folder, "evercert")
    config = os.path.join(folder, "alone.json")
    with open(config, "w") as file:
        json.dump({"state_path": state, "agent_user": "www-data", "http_listen": "127.0.0.1:%d" % ports.HTTP, "http_port": ports.HTTP,
                   "issuers": {"bought": issuer_of(buyer, folder)},
                   "certificates": [{"identifiers": [name], "proof": False} for name in NAMES]}, file)
    with open(os.path.join(folder, "agent.log"), "wb") as log:
        agent = subprocess.Popen([install.program, "run", "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for name in NAMES:
            Audit(state).wait("published", name, timeout=40)
            paths = {address.split("://")[1] for address, what in were_asked_for(buyer) if what == "found"}  # by https first
        assert name + "/.well-known/pki-validation/fileauth.txt" in paths
        wait_for(lambda: tls.plain_get(ports.HTTP, "three.test", "/.well-known/pki-validation/fileauth.txt")[0] == 404,
                 "no file for a host that has none")
    finally:
        processes.stop(agent)
