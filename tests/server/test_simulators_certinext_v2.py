"""The simulated CERTInext, its second interface, asked by plain HTTP as its documents describe it."""
import pytest
from cryptography import x509

from harness import csr
from harness.certinext import Two, leaf_of
from harness.waiting import wait_for

SIMULATED = "certinext"


@pytest.fixture
def two(ca):
    customer = Two(ca)
    yield customer
    customer.wire.close()


def test_an_order_goes_from_placing_over_a_text_record_to_a_certificate(ca, two, dns):
    me = two.send("GET", "/auth/me")
    assert me.json["accountNumber"] == ca.account_number and me.headers["X-API-Version"] == "2.0.0"
    assert two.send("GET", "/groups").json["groups"][0]["accountBalance"]
    number = two.place("v2.test")
    assert two.status(number)["status"] == "pending-dcv"
    dns.text("v2.test", "v=spf1 -all")  # another value at the same name
    failed = two.send("POST", "/ssl-certificates/%s/dcv/verify" % number, {"domain": "v2.test", "method": "dns-txt"})
    assert failed.status == 422 and failed.json["overallStatus"] == "FAILED"
    ca.settings(download_seconds=30.0)
    assert two.prove(dns, number, "v2.test").json["overallStatus"] == "VERIFIED"
    wait_for(lambda: two.status(number)["status"] == "issued", "the certificate")
    path = "/ssl-certificates/%s/certificate" % number
    assert two.send("GET", path).status == 422
    ca.advance(31)
    got = two.send("GET", path).json
    leaf = leaf_of(got["certificatePem"])
    assert got["serialNumber"] == str(leaf.serial_number) and len(got["chainPem"]) == 2
    assert csr.issued_by(leaf, leaf_of(got["chainPem"][0]))
    assert two.send("GET", path, Accept="application/pkcs7-mime").status == 406
    assert x509.load_der_x509_certificate(two.send("GET", path, Accept="application/pkix-cert").body) == leaf
    assert two.send("GET", path, Accept="application/x-pem-file").body.count(b"BEGIN CERTIFICATE") == 3
    again = two.send("GET", "/ssl-certificates/%s/dcv?domain=v2.test&method=dns-txt" % two.place("v2.test"))
    assert again.status == 200  # nothing is re-used between orders unless the domain was validated for the account


def test_tokens(ca, two):
    assert two.token(client_secret="wrong").status == 401
    assert two.token(grant_type="password").status == 400
    ca.settings(oauth_mode=False)
    assert two.token().status == 403
    ca.settings(oauth_mode=True)
    assert two.send("GET", "/auth/me").status == 200
    ca.advance(3601)
    stale = two.send("GET", "/auth/me")
    assert stale.status == 401 and stale.headers["Content-Type"] == "application/problem+json" and stale.json["status"] == 401
    two.bearer = two.token().json["access_token"]
    ca.ask("DELETE", "/tokens")
    assert two.send("GET", "/auth/me").status == 401


def test_refusals(ca, two):
    wrong = two.send("POST", "/ssl-certificates", two.order("a.test", unheard=1))
    assert wrong.status == 400 and wrong.json["errors"] == [{"field": "unheard", "message": "is not known"}]
    assert two.send("POST", "/ssl-certificates", two.order("a.test"), X_Product_Code="845").status == 422
    assert "EMS-1091" in two.send("POST", "/ssl-certificates", two.order("a.test", agreement={
        "signerName": "a", "signerPlace": "b", "signerIp": "127.0.0.1", "accepted": True})).json["detail"]
    assert two.send("POST", "/ssl-certificates", two.order("a.test", csr=csr.spoilt("a.test"))).status == 422
    ca.settings(balance=1.0)
    poor = two.send("POST", "/ssl-certificates", two.order("a.test"))
    assert poor.status == 422 and "balance" in poor.json["detail"]
    assert two.send("GET", "/ssl-certificates/1").status == 404 and two.send("GET", "/nothing").json["error"] == "Not Found"
    assert two.send("DELETE", "/ssl-certificates/1").status == 405
    ca.settings(burst_orders=0, burst_seconds=7.0)
    slow = two.send("POST", "/ssl-certificates", two.order("a.test"))
    assert slow.status == 429 and slow.headers["Retry-After"] == "7"


def test_reissue_revoke_and_cancel(ca, two, dns):
    number = two.issued(dns, "re.test", "b.re.test")
    more = two.send("POST", "/ssl-certificates/%s/reissue" % number, {"mode": "update-sans", "additionalDomains": ["b.re.test", "c.re2.test"], "revokePrevious": True})
    fresh = more.json["orderId"]
    assert more.status == 201 and fresh == number + "R001"
    waiting = two.status(fresh)
    assert {d["domain"]: d["dcvStatus"] for d in waiting["verifications"]["domain"]["domains"]} == {
        "re.test": "VERIFIED", "b.re.test": "VERIFIED", "c.re2.test": "PENDING"}
    assert two.prove(dns, fresh, "c.re2.test").status == 200
    wait_for(lambda: two.status(fresh)["status"] == "issued", "the reissued certificate")
    assert two.status(number)["status"] == "revoked"
    revoke = "/ssl-certificates/%s/revoke" % fresh
    assert two.send("POST", revoke, {"reason": "unspecified"}).json["detail"] == "Invalid Revoke Reason ID"
    assert two.send("POST", revoke, {"reason": "superseded", "note": "a;b"}).status == 422
    assert two.send("POST", revoke, {"reason": "superseded"}).status == 200
    assert two.send("POST", revoke, {"reason": "superseded"}).status == 404
    assert two.status(fresh)["revocation"]["reason"] == "superseded"
    open_order = two.place("cancel.test", csr=None)
    balance = ca.settings()["balance"]
    assert two.send("POST", "/ssl-certificates/%s/cancel" % open_order, {"reason": "no"}).status == 200
    assert two.status(open_order)["status"] == "cancelled" and ca.settings()["balance"] > balance


def test_stages_wait_for_people_for_three_days(ca, two, dns):
    ca.settings(approval="manual")
    number = two.place("stages.test", csr=None, agreement=None)
    assert two.prove(dns, number, "stages.test").status == 200
    assert two.status(number)["status"] == "pending-csr"
    assert two.send("PUT", "/ssl-certificates/%s/csr" % number, {"csr": csr.request("stages.test")}).status == 200
    assert two.send("PUT", "/ssl-certificates/%s/csr" % number, {"csr": csr.request("stages.test")}).status == 422
    ca.act(number, "documents")
    assert two.status(number)["status"] == "pending-documents"
    ca.act(number, "approve")
    assert two.status(number)["status"] == "pending-agreement"
    agreed = {"agreement": {"signerName": "Ops", "signerPlace": "Here", "accepted": True}}
    assert two.send("POST", "/ssl-certificates/%s/agreement" % number, agreed).status == 200
    wait_for(lambda: two.status(number)["status"] == "issued", "the certificate")
    held = two.place("approval.test")
    assert two.prove(dns, held, "approval.test").status == 200
    ca.advance(3 * 86400)
    two.bearer = two.token().json["access_token"]
    assert two.status(held)["status"] == "pending-approval"
    ca.act(held, "approve")
    wait_for(lambda: two.status(held)["status"] == "issued", "the certificate")
    rejected = two.place("rejected.test")
    ca.act(rejected, "reject")
    assert two.status(rejected)["status"] == "rejected"


def test_organisations_and_prevalidated_domains(ca, two, dns):
    made = two.send("POST", "/domains", {"domainName": "org.test", "organizationId": "5520001"})
    twice = two.send("POST", "/domains", {"domainName": "org.test"})
    assert made.status == 201 and twice.status == 409 and twice.json["existingDomainId"] == made.json["domainId"]
    path = "/domains/%s/dcv" % made.json["domainId"]
    dns.text("org.test", two.send("GET", path).json["txtToken"])
    assert two.send("POST", path + "/verify").json["overallStatus"] == "VERIFIED"
    assert two.send("GET", path).json == {"method": "dns-txt"}
    assert two.send("GET", path + "/attempts/last").json["diagnostics"]["overallStatus"] == "VERIFIED"
    assert two.send("GET", "/domains?dcvStatus=EXPIRED").status == 400
    assert [d["domainName"] for d in two.send("GET", "/domains?dcvStatus=VERIFIED").json["domains"]] == ["org.test"]
    number = two.place("www.org.test", productVariant="ov", organization={"organizationNumber": "5520001", "preVetted": True})
    wait_for(lambda: two.status(number)["status"] == "issued", "the certificate")
    leaf = leaf_of(two.send("GET", "/ssl-certificates/%s/certificate" % number).json["certificatePem"])
    assert "O=Example Limited" in leaf.subject.rfc4514_string()
    vetted = two.place("www2.org.test", productVariant="ov", organization={"organizationNumber": "5520002", "preVetted": True})
    assert two.status(vetted)["status"] == "pending-organization-verification"


def test_private_orders_have_the_same_verbs_under_another_word(ca, two, dns):
    body = {name: value for name, value in two.order("intra.test").items() if name not in ("productVariant", "certificate")}
    made = two.send("POST", "/private-pki-certificates", dict(body, variant="intranet-ssl", hostname="intra.test", additionalHosts=[]))
    assert made.status == 201
    number = made.json["orderId"]
    assert two.prove(dns, number, "intra.test").status == 200
    wait_for(lambda: two.send("GET", "/private-pki-certificates/" + number).json["status"] == "issued", "the certificate")
    assert two.send("GET", "/private-pki-certificates/%s/certificate" % number).json["certificatePem"]
    assert two.send("POST", "/private-pki-certificates/%s/revoke" % number, {"reason": "superseded"}).status == 200


def test_the_consent_of_an_organisation_spares_the_wait(ca, two, dns):
    ca.settings(approval="manual")
    organization = {"organizationNumber": "5520001", "preVetted": True}
    waiting = two.place("wait.consent.test", productVariant="ov", organization=organization)
    spared = two.place("now.consent.test", productVariant="ov", organization=dict(organization, preVettingToken="token-1"))
    for number, name in ((waiting, "wait.consent.test"), (spared, "now.consent.test")):
        assert two.prove(dns, number, name).status == 200
    wait_for(lambda: two.status(spared)["status"] == "issued", "the certificate")
    assert two.status(waiting)["status"] == "pending-approval"


def test_report_repeats_its_last_page(ca, two):
    ca.seed(count=230, suffix="pages.test", csrs=[csr.request("mine.test")])
    first = two.send("GET", "/reports/orders?page=1&size=100").json
    last = two.send("GET", "/reports/orders?page=%d&size=100" % first["totalPages"]).json
    past = two.send("GET", "/reports/orders?page=999&size=100").json
    assert len(first["content"]) == 100 and past["content"] == last["content"] and first["totalElements"] >= 230
    assert two.send("GET", "/reports/orders?page=0").status == 400 and two.send("GET", "/reports/orders?size=101").status == 400
    assert two.send("GET", "/reports/orders?status=pending-dcv").status == 422
    mine = [r for r in ca.orders() if r["names"] == ["mine.test"]]
    got = two.send("GET", "/ssl-certificates/%s/certificate" % mine[0]["id"]).json
    assert leaf_of(got["certificatePem"]).subject.rfc4514_string() == "CN=mine.test"
