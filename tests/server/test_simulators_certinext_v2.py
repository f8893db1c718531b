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
    assert two.send("GET", "/reports/orders?page=0").json["page"] == 1 and two.send("GET", "/reports/orders?size=101").status == 400
    assert two.send("GET", "/reports/orders?status=pending-dcv").status == 422
    mine = [r for r in ca.orders() if r["names"] == ["mine.test"]]
    got = two.send("GET", "/ssl-certificates/%s/certificate" % mine[0]["id"]).json
    assert leaf_of(got["certificatePem"]).subject.rfc4514_string() == "CN=mine.test"


# --- what the facts leave open, or tell in so many words ---

def test_a_second_create_under_one_key_makes_two_orders_and_says_500(ca, two):
    before, key = ca.paid(), "8f14e45f-ceea-467f-9a36-dedd4bea2543"
    body = two.order("twice.test")
    assert two.send("POST", "/ssl-certificates", body, Idempotency_Key=key).status == 201
    again = two.send("POST", "/ssl-certificates", two.order("twice.test"), Idempotency_Key=key)
    assert again.status == 500 and again.json["title"] == "Internal Server Error"
    assert ca.paid() == before + 2 and [o["names"] for o in ca.orders()].count(["twice.test"]) == 2
    assert two.send("POST", "/ssl-certificates", two.order("twice.test"), Idempotency_Key="another").status == 201


def test_an_organisation_is_needed_and_said_in_brackets(ca, two):
    lacking = two.send("POST", "/ssl-certificates", two.order("ov.test", productVariant="ov"))
    assert lacking.status == 422 and "[EMS-1180]" in lacking.json["detail"] and "Organization Name" in lacking.json["detail"]
    assert two.send("POST", "/ssl-certificates", two.order("ov.test"), X_Product_Code="").status == 422


@pytest.mark.parametrize("place,detail", [("prefix", "EMS-1162: Invalid Product Code"), ("brackets", "[EMS-1162] Invalid Product Code"), ("type", "Invalid Product Code")])
def test_a_code_may_stand_anywhere_in_a_refusal(ca, two, place, detail):
    ca.settings(ems_place=place, withdrawn_products=["842"])
    told = two.send("POST", "/ssl-certificates", two.order("code.test")).json
    assert told["detail"] == detail and told["type"].endswith("EMS-1162") == (place == "type")


@pytest.mark.parametrize("value,status", [("all", 201), ("0", 201), (["ops@example.com"], 400), (True, 400), ("1", 400)], ids=str)
def test_notifications_are_one_of_two_words(two, value, status):
    assert two.send("POST", "/ssl-certificates", two.order("mails.test", emailNotifications=value)).status == status


def test_a_group_is_told_in_the_body_and_asked_for_in_the_query(ca, two):
    number = two.place("group.test", groupNumber="2160000002")
    theirs = {row["orderNumber"] for row in two.send("GET", "/reports/orders?size=100&groupNumber=2160000002").json["content"]}
    others = {row["orderNumber"] for row in two.send("GET", "/reports/orders?size=100&groupNumber=2160000001").json["content"]}
    assert number in theirs and number not in others
    codes = [p["productCode"] for c in two.send("GET", "/catalog/products?groupNumber=2160000002").json for p in c["products"]]
    assert "842" in codes and "850" not in codes
    assert two.send("GET", "/catalog/products?groupNumber=1").status == 422


@pytest.mark.parametrize("taken,pem,bare", [("both", 201, 201), ("pem", 201, 422), ("base64", 422, 201)])
@pytest.mark.parametrize("code", ["EMS-921", "EMS-922"])
def test_the_request_of_a_create_is_pem_or_what_is_between_its_lines(ca, two, taken, pem, bare, code):
    ca.settings(csr_taken=taken, csr_code=code)
    request = csr.request("form.test")
    inner = "".join(csr.request("form.test").strip().splitlines()[1:-1])
    answers = [two.send("POST", "/ssl-certificates", two.order("form.test", csr=text)) for text in (request, inner)]
    assert [answer.status for answer in answers] == [pem, bare]
    assert all(code in answer.json["detail"] for answer in answers if answer.status == 422)
    assert code in two.send("PUT", "/ssl-certificates/%s/csr" % two.place("form2.test", csr=None), {"csr": "garbage"}).json["detail"]


def test_a_request_with_only_the_first_name_is_enough(two):
    assert two.send("POST", "/ssl-certificates", two.order("cn.test", "more.cn.test", csr=csr.request("cn.test"))).status == 201


def test_a_verification_that_succeeds_answers_200_or_204(ca, two, dns):
    ca.settings(verify_answer=204)
    number = two.place("empty.test", csr=None)
    answer = two.prove(dns, number, "empty.test")
    assert answer.status == 204 and answer.body == b"" and two.status(number)["status"] == "pending-csr"


def test_validation_by_mail_sends_two_fields_and_waits_for_the_click(ca, two):
    ca.settings(v2_email_field="refused", v2_email_answer=422)
    number = two.place("click.test")
    path = "/ssl-certificates/%s/dcv/verify" % number
    assert two.send("POST", path, {"domain": "click.test", "method": "email", "email": "admin@click.test"}).status == 400
    before = two.send("POST", path, {"domain": "click.test", "method": "email"})
    assert before.status == 422 and before.json["overallStatus"] == "FAILED"
    ca.settings(v2_email_answer=204)
    assert two.send("POST", path, {"domain": "click.test", "method": "email"}).status == 204
    ca.act(number, "mail", domain="click.test")
    wait_for(lambda: two.status(number)["status"] == "issued", "the certificate")


@pytest.mark.parametrize("status", [422, 404])
@pytest.mark.parametrize("form", ["problem", "empty", "spring"])
def test_between_issued_and_downloadable_is_a_gap(ca, two, dns, status, form):
    number = two.issued(dns, "gap.test")
    ca.settings(download_seconds=30.0, download_status=status, download_body=form)
    early = two.send("GET", "/ssl-certificates/%s/certificate" % number)
    assert early.status == status and two.status(number)["status"] == "issued"
    assert (early.body == b"") == (form == "empty") and (form != "spring" or "timestamp" in early.json)
    ca.advance(31)
    assert two.send("GET", "/ssl-certificates/%s/certificate" % number).json["certificatePem"]


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_a_limit_tells_the_wait_in_some_form_or_in_none(ca, two, form):
    ca.settings(burst_orders=0, burst_seconds=7.0, retry_after_form=form)
    answer = two.send("POST", "/ssl-certificates", two.order("limit.test"))
    told = answer.headers["Retry-After"]
    assert answer.status == 429 and {"seconds": told == "7", "date": bool(told) and told.endswith("GMT"), "none": told is None}[form]


def test_domains_are_found_by_part_of_their_name_and_by_several_states(ca, two):
    for name in ("find.test", "other-find.test"):
        two.send("POST", "/domains", {"domainName": name})
    found = [d["domainName"] for d in two.send("GET", "/domains?search=find.test&domainStatus=ACTIVE,EXPIRED&dcvStatus=PENDING,REJECTED").json["domains"]]
    assert found == ["find.test", "other-find.test"]
    assert two.send("GET", "/domains?domainStatus=ACTIVE,DEACTIVATED").status == 400


def test_a_revoked_order_is_still_accepted(ca, two, dns):
    number = two.issued(dns, "gone.test")
    body = two.status(number)
    assert "revocation" not in body and body["productVariant"] == "dv" and body["orderedBy"]["email"] and "_links" not in body
    revoke = "/ssl-certificates/%s/revoke" % number
    assert two.send("POST", revoke, {"reason": "keyCompromise"}).status == 400
    assert two.send("POST", revoke, {"reason": "ca-compromise"}).status == 422
    assert two.send("POST", revoke, {"reason": "superseded"}).status == 200
    body = two.status(number)
    assert (body["status"], body["orderState"], body["certificateState"]) == ("revoked", "Order Accepted", "Certificate Revoked")
    assert set(body["revocation"]) == {"status", "reason", "processedAt"} and body["subscription"]["status"] == "active"
    row = next(r for r in two.send("GET", "/reports/orders?size=100&status=revoked").json["content"] if r["orderNumber"] == number)
    assert (row["orderStatus"], row["certificateStatus"]) == ("Order Accepted", "Certificate Revoked")
    path = "/ssl-certificates/%s/certificate" % number
    assert two.send("GET", path).json["certificatePem"]
    ca.settings(revoked_download="empty")
    assert "certificatePem" not in two.send("GET", path).json
    ca.settings(revoked_download="refused")
    assert two.send("GET", path).status == 422


@pytest.mark.parametrize("how,first,end", [("at once", "REVOKED", "REVOKED"), ("requested", "PENDING", "PENDING"), ("later", "PENDING", "REVOKED"),
                                           ("refused", "PENDING", "REJECTED")])
def test_a_revocation_may_only_be_asked_for(ca, two, dns, how, first, end):
    number = two.issued(dns, "%s.ask.test" % how.replace(" ", ""))
    ca.settings(revocation=how, revocation_seconds=50.0)
    assert two.send("POST", "/ssl-certificates/%s/revoke" % number, {"reason": "superseded"}).status == 200
    assert two.status(number)["revocation"]["status"] == first and two.status(number)["status"] == ("revoked" if how == "at once" else "issued")
    ca.advance(51)
    assert two.status(number)["revocation"]["status"] == end


def test_an_order_may_be_unknown_for_some_looks_and_have_any_id(ca, two):
    ca.settings(unknown_looks=2, order_id_form="ord")
    number = two.place("strange.test")
    assert number.startswith("ord_")
    assert [two.status(number)["status"] for _ in range(3)] == ["unknown", "unknown", "pending-dcv"]


def test_names_below_a_validated_domain_are_validated_unless_they_are_left_out(ca, two, dns):
    made = two.send("POST", "/domains", {"domainName": "heir.test"}).json
    dns.text("heir.test", two.send("GET", "/domains/%s/dcv" % made["domainId"]).json["txtToken"])
    assert two.send("POST", "/domains/%s/dcv/verify" % made["domainId"]).status == 200
    assert two.status(two.place("a.heir.test"))["status"] in ("issued", "pending-approval")
    ca.settings(inheritance_excludes=["b.heir.test"])
    assert two.status(two.place("b.heir.test"))["status"] == "pending-dcv"
    ca.settings(dcv_inheritance=False)
    assert two.status(two.place("c.heir.test"))["status"] == "pending-dcv"
    assert two.status(two.place("heir.test"))["status"] != "pending-dcv"


@pytest.mark.parametrize("approval,status", [("auto", "pending-dcv"), ("manual", "pending-dcv"), ("hold", "pending-approval"), ("reject", "rejected")])
def test_people_may_have_decided_before_anybody_looks(ca, two, approval, status):
    ca.settings(approval=approval)
    assert two.status(two.place("people.test"))["status"] == status
