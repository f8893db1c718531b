"""DigiCert CertCentral on nginx, against the simulated CA."""
import pytest

from harness.bind import bind_for
from harness.buyers import BUYERS
from harness.nginx import host


@pytest.fixture
def buyer(folder, dns):
    one = BUYERS["digicert"](folder)
    yield one
    one.close()


@pytest.fixture
def ca(buyer):
    return buyer.simulator


@pytest.fixture
def central(nginx, buyer):
    def make(http, options="", **wanted):
        return nginx(http, pebble=None, global_extra=buyer.issuer(name="central", **wanted) + options)
    return make


def test_two_certificates_whose_files_have_one_name_are_proved_at_once(central, buyer, ca):
    site = central(host("www.central.test") + host("other.test")).start()
    for name in ("www.central.test", "other.test"):
        site.audit.wait("served", name, timeout=40)
        assert buyer.is_served(name)
    assert len(ca.orders()) == 2


@pytest.mark.parametrize("challenge", ["dns-txt", "dns-cname"])
def test_a_wildcard_is_proved_by_a_record(central, buyer, ca, challenge):
    server = bind_for(buyer.folder, ca, "central.test")
    site = central(host("*.central.test", http=False), options=server.options, product="wildcard_dv_geotrust",
                   challenge=challenge).start()
    try:
        site.audit.wait("served", "*.central.test", timeout=40)
    finally:
        server.close()


def test_a_revocation_reaches_the_ca(central, ca, evercert):
    site = central(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test", timeout=40)
    done = evercert.run("revoke", "revoked.test", "--reason", "keyCompromise", "--yes")
    assert done.returncode == 0, done.stderr


def test_a_login_can_be_tested(central, ca, evercert):
    site = central(host("login.test")).start()
    site.audit.wait("served", "login.test", timeout=40)
    done = evercert.run("test", "issuer", "central")
    assert done.returncode == 0, done.stdout + done.stderr
