"""Sectigo Certificate Manager on nginx, and several CAs for one certificate, against the simulated CAs."""
import pytest

from harness import ports, tls
from harness.bind import bind_for
from harness.buyers import BUYERS
from harness.nginx import host, issuer
from harness.waiting import wait_for


@pytest.fixture
def buyer(folder, dns):
    one = BUYERS["sectigo"](folder)
    yield one
    one.close()


@pytest.fixture
def ca(buyer):
    return buyer.simulator


@pytest.fixture
def managed(nginx, buyer):
    def make(http, options="", **wanted):
        return nginx(http, pebble=None, global_extra=buyer.issuer(name="managed", **wanted) + options)
    return make


def test_a_certificate_is_enrolled_proved_by_file_and_served(managed, buyer, ca):
    site = managed(host("www.managed.test")).start()
    site.audit.wait("served", "www.managed.test", timeout=40)
    assert buyer.is_served("www.managed.test") and len(ca.orders()) == 1
    # The fewest requests that the interface allows, leaf and issuers handed out separately.
    lists = {"GET /organization/v1", "GET /ssl/v1/types"}  # read once a week
    assert sum(times for call, times in ca.counts().items() if call not in lists) <= 6


def test_a_wildcard_is_proved_by_an_alias(managed, buyer, ca):
    server = bind_for(buyer.folder, ca, "managed.test")
    site = managed(host("*.managed.test", http=False), options=server.options, product=503, challenge="dns-cname").start()
    try:
        site.audit.wait("served", "*.managed.test", timeout=40)
    finally:
        server.close()


def test_a_revocation_reaches_the_ca(managed, ca, evercert):
    site = managed(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test", timeout=40)
    done = evercert.run("revoke", "revoked.test", "--reason", "keyCompromise", "--yes")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wanted, said", [(dict(secret="wrong"), "secret"), (dict(product=999), "product"),
                                          (dict(organization=99), "organization")])
def test_what_is_wrong_with_our_settings_is_said_and_costs_nothing(managed, ca, evercert, wanted, said):
    managed(host("wrong.test"), **wanted).start()
    problem = evercert.wait_problem("wrong.test", timeout=20)
    assert said in problem["message"], problem
    assert len(ca.orders()) == 0


def test_sectigo_first_then_certinext_then_acme_each_move_explained(nginx, buyer, ca, folder, evercert, pebble):
    other = BUYERS["certinext-v1"](folder, balance=0)
    try:
        blocks = buyer.issuer(name="first", secret="wrong") + other.issuer(name="second") + issuer(pebble.uri, pebble.trust, name="third")
        site = nginx(host("mixed.test", evercert="evercert_certificate first,second,third;"), pebble=None,
                     global_extra=blocks)
        pebble.kill()
        site.start()
        # The last one is not there: the status says so, and why the first two were left.
        problem = evercert.wait_problem("mixed.test", "connection", timeout=30)
        assert str(pebble.acme) in problem["message"]
        shown = evercert.run("show", "mixed.test").stdout
        assert "ordered from second from now on; first failed" in shown and "ordered from third from now on; second failed" in shown
        assert "secret" in shown and "fill up the account" in shown
        left = {one["issuer"]: one for one in evercert.certificate("mixed.test")["set_aside"]}
        assert list(left) == ["first", "second"] and all(one["kind"] == "action_required" and one["until"] > one["since"] for one in left.values())
        assert "secret" in left["first"]["message"] and "fill up the account" in left["second"]["message"]
        assert "issuer first is set aside until " + left["first"]["until"] in shown
        pebble.start()
        site.audit.wait("served", "mixed.test", timeout=60)
        moves = [(e["fields"]["from"], e["fields"]["to"]) if "fields" in e else (e["from"], e["to"])
                 for e in site.audit.all("issuer_changed")]
        assert moves == [("first", "second"), ("second", "third")]
        wait_for(lambda: evercert.certificate("mixed.test")["set_aside"] == [], "nobody to be set aside", seen=evercert.status)
        said = [e["sentence"] for e in site.audit.all("issuer_changed")]
        assert "secret" in said[0] and "account" in said[1]
        assert not ca.orders() and not other.orders()
        assert tls.chain_is_good(ports.TLS, "mixed.test", pebble.root_pem())
    finally:
        other.close()


def test_a_login_can_be_tested(managed, ca, evercert):
    site = managed(host("login.test")).start()
    site.audit.wait("served", "login.test", timeout=40)
    done = evercert.run("test", "issuer", "managed")
    assert done.returncode == 0 and "api of example" in done.stdout, done.stdout + done.stderr
    refused = evercert.run("test", "issuer", "nobody")
    assert refused.returncode == 1 and "nobody" in refused.stderr + refused.stdout


def test_a_second_way_of_proving_is_refused_since_the_ca_changes_it_in_its_portal_only(managed):
    code, said = managed(host("ways.test"), challenge="http-file dns-cname", options="evercert_dns_program /bin/true;").test()
    assert code != 0 and "Sectigo takes one way of proving for an order" in said, said
