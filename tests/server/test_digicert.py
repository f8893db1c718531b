"""DigiCert CertCentral on nginx, against the simulated CA."""
import os

import pytest

from harness import ports, tls
from harness.authority import write_private
from harness.bind import Bind, make_key
from harness.nginx import host
from harness.simulator import Simulator


@pytest.fixture
def ca(folder, dns):
    one = Simulator("digicert", folder)
    yield one
    one.close()


@pytest.fixture
def central(nginx, ca, folder):
    def make(http, options="", product="ssl_dv_geotrust", key=None, extra=""):
        secret = os.path.join(folder, "central.secret")
        write_private(secret, (key or ca.keys["admin"]).encode())
        block = ("evercert_issuer central { type digicert; uri %s; secret %s; product %s; ssl_trusted_certificate %s; %s }\n"
                 % (ca.api, secret, product, ca.tls_ca_file, extra))
        return nginx(http, pebble=None, global_extra=block + options)
    return make


def is_trusted(ca, name):
    with open(ca.issuing_root, "rb") as file:
        return tls.chain_is_good(ports.TLS, name, file.read())


def test_two_certificates_whose_files_have_one_name_are_proved_at_once(central, ca):
    site = central(host("www.central.test") + host("other.test")).start()
    for name in ("www.central.test", "other.test"):
        site.audit.wait("served", name, timeout=40)
        assert is_trusted(ca, name)
    assert len(ca.orders()) == 2


@pytest.mark.parametrize("challenge", ["dns-txt", "dns-cname"])
def test_a_wildcard_is_proved_by_a_record(central, ca, folder, challenge):
    key = make_key(folder, "update")
    server = Bind(folder, {"central.test": dict(key="update")}, [key])
    ca.settings(name_server="127.0.0.1:%d" % ports.BIND)
    options = ("evercert_resolver 127.0.0.1:%d; evercert_dns_port %d; evercert_dns_update * 127.0.0.1:%d %s;"
               % (ports.BIND, ports.BIND, ports.BIND, key))
    site = central(host("*.central.test", http=False), options=options, product="wildcard_dv_geotrust",
                   extra="challenge %s;" % challenge).start()
    try:
        site.audit.wait("served", "*.central.test", timeout=40)
    finally:
        server.close()


def test_an_approval_in_certcentral_is_waited_for(central, ca, evercert):
    ca.settings(approval="manual")
    central(host("approval.test")).start()
    certificate = evercert.wait_state("approval.test", "action_required")
    assert "approves" in certificate["problem"]["message"]
    ca.act(ca.orders()[0]["id"], "approve")
    evercert.renew("approval.test", timeout=60)
    assert len(ca.orders()) == 1


def test_an_order_whose_answer_was_lost_is_found_by_our_mark(central, ca):
    ca.fault("drop_after", match="POST")
    site = central(host("lost.test")).start()
    site.audit.wait("served", "lost.test", timeout=40)
    assert len(ca.orders()) == 1


def test_a_revocation_reaches_the_ca(central, ca, evercert):
    site = central(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test", timeout=40)
    done = evercert.run("revoke", "revoked.test", "--reason", "keyCompromise", "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wanted, said", [(dict(key="wrong"), "secret"), (dict(product="no_such"), "product")])
def test_what_is_wrong_with_our_settings_is_said_and_costs_nothing(central, ca, evercert, wanted, said):
    central(host("wrong.test"), **wanted).start()
    problem = evercert.wait_problem("wrong.test", timeout=20)
    assert said in problem["message"], problem
    assert len(ca.orders()) == 0


def test_a_login_can_be_tested(central, ca, evercert):
    site = central(host("login.test")).start()
    site.audit.wait("served", "login.test", timeout=40)
    done = evercert.run("test", "issuer", "central")
    assert done.returncode == 0, done.stdout + done.stderr
