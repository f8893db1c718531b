"""The SSL Store on nginx, against the simulated one: products of Sectigo and of DigiCert."""
import pytest

from harness import clock, ports, tls
from harness.bind import bind_for
from harness.buyers import SslStore
from harness.clock import Clock
from harness.nginx import host


@pytest.fixture
def buyer(folder, dns):
    one = SslStore(folder)
    yield one
    one.close()


@pytest.fixture
def ca(buyer):
    return buyer.simulator


@pytest.fixture
def store(nginx, buyer):
    def make(http, options="", **wanted):
        return nginx(http, pebble=None, global_extra=buyer.issuer(**wanted) + options)
    return make


@pytest.mark.parametrize("product", ["positivessl", "digi_rapidssl"])
def test_a_certificate_of_either_ca_behind_it_is_bought_proved_by_file_and_served(store, buyer, ca, product):
    site = store(host("www.store.test"), product=product).start()
    site.audit.wait("served", "www.store.test", timeout=60)
    assert buyer.is_served("www.store.test") and len(ca.orders()) == 1
    order = ca.order(ca.orders()[0]["id"])
    assert order["dcv"]["www.store.test"]["method"] == "HTTP" and order["reference"].startswith("evercert-")


def test_several_names_are_bought_in_one_order(store, ca):
    site = store(host(["several.test", "www.several.test", "mail.several.test"]), product="positivemdcssl").start()
    site.audit.wait("served", "several.test", timeout=60)
    assert set(tls.leaf_at(ports.TLS, "mail.several.test").names) == {"several.test", "www.several.test", "mail.several.test"}
    assert len(ca.orders()) == 1


@pytest.mark.parametrize("product, challenge", [("positivesslwildcard", "dns-cname"), ("digi_rapidssl_wc", "dns-txt"), ("digi_rapidssl_wc", "dns-cname")])
def test_a_wildcard_is_proved_by_a_record(store, buyer, ca, product, challenge):
    server = bind_for(buyer.folder, ca, "store.test")
    try:
        site = store(host("*.store.test", http=False), options=server.options, product=product, challenge=challenge).start()
        site.audit.wait("served", "*.store.test", timeout=60)
    finally:
        server.close()


def test_a_record_is_seen_although_what_it_leads_to_cannot_be_looked_up(store, buyer, ca):
    server = bind_for(buyer.folder, ca, "store.test", broken=["sectigo.com"])
    try:
        site = store(host("alias.store.test"), options=server.options, challenge="dns-cname").start()
        site.audit.wait("served", "alias.store.test", timeout=40)
    finally:
        server.close()


def test_a_company_is_named_where_the_product_wants_one(store, ca):
    fields = "OrganizationName 'Example Limited' City Exampleton Country XX"
    site = store(host("company.test"), product="sectigoovssl", custom_field=fields).start()
    site.audit.wait("served", "company.test", timeout=60)
    assert "Example Limited" in tls.leaf_at(ports.TLS, "company.test").x509.subject.rfc4514_string()


def test_a_renewal_is_a_reissue_of_the_running_order(store, ca, evercert):
    site = store(host("renewed.test"), term=12).start()
    site.audit.wait("served", "renewed.test", timeout=60)
    first = tls.leaf_at(ports.TLS, "renewed.test")
    evercert.renew("renewed.test", timeout=60)
    second = tls.leaf_at(ports.TLS, "renewed.test")
    assert first.serial != second.serial and len(ca.orders()) == 1


def test_vetting_by_people_is_waited_for(store, ca, evercert):
    ca.settings(approval="manual")
    store(host("vetted.test")).start()
    certificate = evercert.wait_state("vetted.test", "action_required", timeout=90)
    assert "portal" in certificate["problem"]["message"] and certificate["problem"]["since"]
    ca.act(ca.orders()[0]["id"], "approve")
    evercert.renew("vetted.test", timeout=60)
    assert len(ca.orders()) == 1


def test_a_mail_is_answered_by_a_person(store, ca, evercert):
    store(host("mail.test"), challenge="email:admin@mail.test").start()
    certificate = evercert.wait_state("mail.test", "action_required", timeout=60)
    assert "admin@mail.test" in certificate["problem"]["message"]
    ca.act(ca.orders()[0]["id"], "mail", domain="mail.test")
    evercert.renew("mail.test", timeout=60)


@pytest.mark.skipif(not clock.LIBRARY, reason="the package faketime is not installed")
@pytest.mark.parametrize("product, record", [("positivessl", "dns-cname"), ("digi_rapidssl", "dns-txt"), ("digi_rapidssl", "dns-cname")])
def test_where_a_file_is_not_found_the_record_is_tried_next(store, buyer, ca, folder, install, product, record):
    # Nothing of ours listens where the CA knocks.
    ca.settings(http_port=ports.FREE, recheck_seconds=1)
    server = bind_for(buyer.folder, ca, "store.test")
    try:
        site = store(host("fallback.store.test"), options=server.options, product=product, challenge="http-file " + record)
        # The agent gives each way a minute: of a clock that runs ten times as fast.
        site.use_program(Clock(folder, install, "+0 x10").program).start()
        site.audit.wait("validation_method_changed", timeout=150)
        site.audit.wait("served", "fallback.store.test", timeout=60)
        assert len(ca.orders()) == 1
    finally:
        server.close()


def test_an_order_is_cancelled_and_its_money_asked_back(store, ca, evercert):
    ca.settings(approval="manual")
    site = store(host("cancelled.test")).start()
    site.audit.wait("order_placed", "cancelled.test")
    assert evercert.cancel("cancelled.test")
    site.audit.wait("order_cancelled")
    assert [order["state"] for order in ca.orders()] == ["Cancelled"]


def test_a_revocation_reaches_the_ca_with_its_reason(store, ca, evercert):
    site = store(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test", timeout=60)
    done = evercert.run("revoke", "revoked.test", "--reason", "keyCompromise", "--comment", "the laptop is gone", "--yes")
    assert done.returncode == 0, done.stderr
    assert ca.orders()[0]["state"] == "Cancelled" and ca.counts()["order/certificaterevokerequest"] == 1


@pytest.mark.parametrize("wanted, said", [(dict(secret="wrong"), "secret"), (dict(product="no_such"), "product"), (dict(term=7), "term")])
def test_what_is_wrong_with_our_settings_is_said_and_costs_nothing(store, buyer, ca, evercert, wanted, said):
    store(host("wrong.test"), **wanted).start()
    problem = evercert.wait_problem("wrong.test", timeout=40)
    assert said in problem["message"] and buyer.options["secret"] not in problem["message"], problem
    assert len(ca.orders()) == 0


@pytest.mark.parametrize("fault, options", [("html", dict(status=503)), ("truncated", {}), ("drop", {})])
def test_an_order_gets_over_a_ca_that_is_out_of_order(store, ca, fault, options):
    for operation in ("order/neworder", "order/status", "order/download"):
        ca.fault(fault, match=operation, **options)
    site = store(host("rough.test")).start()
    site.audit.wait("served", "rough.test", timeout=120)
    assert len(ca.orders()) == 1


def test_a_login_is_tested_by_a_call_that_refuses_a_wrong_token(store, ca, evercert):
    ca.settings(approval="manual")
    site = store(host("login.test")).start()
    site.audit.wait("order_placed", "login.test")
    done = evercert.run("test", "issuer", "seller")
    assert done.returncode == 0 and ca.partner_code in done.stdout, done.stdout + done.stderr


def test_a_wrong_token_fails_the_test_of_the_login(store, evercert):
    store(host("login.test"), secret="wrong").start()
    evercert.wait_problem("login.test")
    done = evercert.run("test", "issuer", "seller")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "secret" in said and said.count("-9008") == 1


@pytest.mark.parametrize("wanted, said", [
    (dict(requester="Team ops@example.com +91-8012345678"), "first and a last name"),
    (dict(requester=None), "has no requester"),
    (dict(organization="81"), "only DigiCert"),
    (dict(custom_field="Colour green"), "Colour"),
    (dict(challenge="dns-txt", options="evercert_dns_program /bin/true;"), "dns-cname"),
    (dict(recipients="a@b.c"), "recipients is no option"),
])
def test_what_is_wrong_with_the_options_is_said_with_file_and_line(store, wanted, said):
    site = store(host("check.test"), **wanted)
    code, answer = site.test()
    assert code != 0 and said in answer and site.configuration + ":" in answer, answer
