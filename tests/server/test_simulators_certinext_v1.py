"""The simulated CERTInext, its first interface, asked by plain HTTP as its documents describe it."""
import json
import socket

import pytest
from cryptography import x509

from harness import csr, ports
from harness.certinext import PLACE, One, Two, leaf_of
from harness.waiting import wait_for

SIMULATED = "certinext"


@pytest.fixture
def one(ca):
    customer = One(ca)
    yield customer
    customer.wire.close()


def test_an_order_goes_from_placing_over_a_file_to_a_certificate_and_its_revocation(ca, one, files):
    assert one.call("ValidateCredentials")["meta"]["errorCode"] == ""
    codes = [p["productCode"] for c in one.call("GetProductDetails", productDetails={})["productDetails"] for p in c["products"]]
    assert "842" in codes
    number = one.place("v1.test", "b.v1.test")
    before = one.track(number)
    assert before["orderStatusId"] == "2" and before["certificateStatusId"] == "2" and before["domainVerification"]["v1.test"]["dcvStatus"] == "0"
    for name in ("v1.test", "b.v1.test"):
        told = one.call("GetDcv", dcvDetails=one.dcv(number, name, "2"))["dcvDetails"]
        files.put(name, "/.well-known/pki-validation/" + told["fileName"], told["fileContent"])
        answer = one.call("VerifyDcv", dcvDetails=one.dcv(number, name, "2"))
        assert list(answer) == ["meta"]
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate", seen=lambda: one.track(number))
    assert one.track(number)["orderStatusId"] == "6" and one.track(number)["domainVerification"]["status"] == "1"
    got = one.certificate(number)
    leaf = leaf_of(got["endEntityCertificate"])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["v1.test", "b.v1.test"] and int(got["ceritficateSerialNumber"], 16) == leaf.serial_number
    assert csr.issued_by(leaf, leaf_of(got["caCertificate"])) and csr.issued_by(leaf_of(got["caCertificate"]), leaf_of(got["rootCertificate"]))
    assert (leaf.not_valid_after - leaf.not_valid_before).days <= 199
    assert one.track(number)["certificateStatusId"] == "9"
    revocation = {"orderNumber": number, "requestorEmail": "ops@example.com", "revokeReasonId": "4"}
    assert "Reason" in one.refused("RevokeOrder", revocationDetails=dict(revocation, revokeReasonId="2"))
    assert "Remarks" in one.refused("RevokeOrder", revocationDetails=dict(revocation, revokeRemarks="old; unused"))
    one.call("RevokeOrder", revocationDetails=revocation)
    after = one.track(number)
    assert after["certificateStatusId"] == "22" and after["revocationDetails"]["revokeRequestStatusId"] == "2"
    assert one.refused("RevokeOrder", revocationDetails=revocation) == "EMS-956"


def test_csr_agreement_and_text_record_may_come_later(ca, one, dns):
    number = one.place("later.test", csr=None, agreementDetails=None)
    who = {"orderNumber": number, "requestorEmail": "ops@example.com"}
    agreement = {"acceptAgreement": "1", "signerName": "Ops", "signerPlace": "Here", "signerIP": "127.0.0.1"}
    assert one.refused("AgreementAcceptance", agreementDetails=dict(agreement, **who)) == "EMS-1091"
    agreement["signerIP"] = "203.0.113.9"
    one.call("AgreementAcceptance", agreementDetails=dict(agreement, **who))
    assert one.refused("AgreementAcceptance", agreementDetails=dict(agreement, **who)) == "EMS-1082"
    request = csr.request("later.test")
    one.call("SubmitCSR", orderDetails=dict(who, csr=request))
    assert one.refused("SubmitCSR", orderDetails=dict(who, csr=request)) == "EMS-956"
    other = one.place("other.later.test", csr=None)
    assert one.refused("GenerateOrderSSL", orderDetails=one.order("later.test", csr=request)) == "EMS-1099"
    token = one.call("GetDcv", dcvDetails=one.dcv(number, "later.test", "1"))["dcvDetails"]["token"]
    one.call("VerifyDcv", dcvDetails=one.dcv(number, "later.test", "1"))
    wait_for(lambda: any(s[0] == "TXT later.test" for s in ca.ask("GET", "/network")["seen"]), "the first look")
    assert one.track(number)["domainVerification"]["later.test"]["dcvStatus"] == "0"
    dns.text("later.test", token)
    one.call("VerifyDcv", dcvDetails=one.dcv(number, "later.test", "1"))
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate")
    assert one.refused("VerifyDcv", dcvDetails=one.dcv(number, "later.test", "1")) == "EMS-956"
    one.call("RejectOrder", orderDetails={"orderNumber": other, "rejectRemarks": "not needed"})
    cancelled = one.track(other)
    assert (cancelled["orderStatusId"], cancelled["certificateStatusId"]) == ("5", "13")
    assert one.refused("RejectOrder", orderDetails={"orderNumber": number, "rejectRemarks": "late"}) == "EMS-956"


def test_who_may_call(ca, one):
    assert "Authentication" in one.refused("ValidateCredentials", meta=one.meta(authKey="0" * 64))
    assert "Authentication" in one.refused("ValidateCredentials", meta=one.meta(accountNumber="1111111111"))
    assert "time" in one.refused("ValidateCredentials", meta=one.meta(offset=-400))
    assert "time" in one.refused("ValidateCredentials", meta=one.meta(offset=400))
    ca.skew(3600)
    assert "time" in one.refused("ValidateCredentials")
    ca.skew(0)
    meta = one.meta()
    assert one.send("ValidateCredentials", meta=meta).json["meta"]["txn"] == meta["txn"]
    assert "Duplicate" in one.refused("ValidateCredentials", meta=meta)
    assert "txn" in one.refused("ValidateCredentials", meta=one.meta(txn="short"))
    assert "ts" in one.refused("ValidateCredentials", meta=one.meta(ts="2026-03-01T10:00:00Z"))
    ca.settings(v1_authentication_status=401)
    assert one.send("ValidateCredentials", meta=one.meta(authKey="0" * 64)).status == 401
    unknown = one.send("RenewOrder")
    assert unknown.status == 404 and "meta" not in unknown.json and unknown.json["path"] == PLACE + "RenewOrder"
    assert one.wire.send("POST", "/GenerateOrderSSL", {"meta": one.meta()}).status == 404
    assert one.wire.send("POST", PLACE + "TrackOrder", b"{", {"Content-Type": "application/json"}).status == 400


@pytest.mark.parametrize("change,said", [
    ({"additionalInformation": None}, "EMS-918"), ({"additionalInformation": {"tags": ["a"]}}, "EMS-918"), ({"productCode": "999"}, "EMS-1162"),
    ({"productCode": "850", "delegationInformation": {"groupNumber": "2160000002"}}, "EMS-1269"),
    ({"productCode": "846", "organizationDetails": {"preVetting": "1", "organizationNumber": "1"}}, "EMS-1073"),
    ({"productCode": 842}, "productCode"), ({"unheard": "1"}, "unheard"), ({"subscriptionDetails": {"validity": "4", "autoRenew": "0"}}, "validity"),
    ({"agreementDetails": {"acceptAgreement": "1", "signerName": "a", "signerPlace": "b", "signerIP": "127.0.0.1"}}, "EMS-1091"),
    ({"requestorInformation": {"requestorName": "X", "requestorEmail": "who@example.com", "requestorIsdCode": "1", "requestorMobileNumber": "1"}}, "registered"),
    ({"certificateInformation": {"domainName": "localhost"}}, "localhost"), ({"certificateInformation": {"domainName": "*.a.test"}}, "wildcard"),
    ({"certificateInformation": {"domainName": "a.test", "additionalDomains": ["b.test"]}}, "additional"),
], ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else value)
def test_orders_that_are_refused(ca, one, change, said):
    assert said in one.refused("GenerateOrderSSL", orderDetails=one.order("refused.test", **change))
    assert "refused.test" not in [name for order in ca.orders() for name in order["names"]]


def weak_key():
    """RSA whose primes are neighbours: 2048 bits, found by Fermat's method at once."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    p = int("e5" + "17" * 127, 16) | 1

    def prime_after(number):
        while any(number % d == 0 for d in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) or pow(2, number - 1, number) != 1 or pow(3, number - 1, number) != 1:
            number += 2
        return number
    p = prime_after(p)
    q = prime_after(p + 2)
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p=p, q=q, d=d, dmp1=d % (p - 1), dmq1=d % (q - 1), iqmp=rsa.rsa_crt_iqmp(p, q),
                                    public_numbers=rsa.RSAPublicNumbers(65537, p * q))
    return numbers.private_key()


@pytest.mark.parametrize("make,said", [
    (lambda: "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "read"),
    (lambda: csr.spoilt("key.test"), "signature"), (lambda: csr.request("key.test", signer=csr.key("rsa", 1024)), "1024"),
    (lambda: csr.request("key.test", signer=csr.key(size=521)), "secp521r1"), (lambda: csr.request("key.test", "foreign.test"), "foreign.test"),
    (lambda: csr.request("key.test", signer=weak_key()), "close"),
], ids=["unreadable", "signature", "small", "curve", "foreign name", "weak"])
def test_requests_that_no_ca_may_sign(ca, one, make, said):
    assert said in one.refused("GenerateOrderSSL", orderDetails=one.order("key.test", csr=make()))


def test_quirks_of_an_order_that_is_not_ready(ca, one):
    ca.settings(dcv_ready_seconds=3600.0, domain_verification_seconds=20.0)
    number = one.place("early.test")
    assert "domainVerification" not in one.track(number)
    assert one.refused("GetDcv", dcvDetails=one.dcv(number, "early.test", "1")) == "EMS-956"
    ca.advance(30)
    assert "early.test" in one.track(number)["domainVerification"]
    ca.advance(3600)
    assert one.call("GetDcv", dcvDetails=one.dcv(number, "early.test", "1"))["dcvDetails"]["token"]
    draft = one.call("GenerateOrderSSL", orderDetails=one.order("draft.test", saveAndHold="1"))["orderDetails"]
    assert list(draft) == ["requestNumber"]
    assert one.refused("TrackOrder", orderDetails={"orderNumber": draft["requestNumber"]}) == "EMS-943"
    assert one.refused("TrackOrder", orderDetails={"orderNumber": "123"}) == "EMS-913"
    one.call("RejectRequest", orderDetails={"requestNumber": draft["requestNumber"], "rejectRemarks": "no"})
    ca.settings(products_need_group=True)
    assert one.call("GetProductDetails", productDetails={})["productDetails"] == []
    assert one.call("GetProductDetails", productDetails={"groupNumber": "2160000002"})["productDetails"]
    assert "layout" in one.refused("GetGroupDetails")
    ca.settings(layouts={"GetGroupDetails": {"groupDetails": []}})
    assert one.call("GetGroupDetails")["groupDetails"] == []
    assert one.refused("GenerateOrderPrivatePKI", orderDetails=one.order("intra.test")) == "EMS-1162"
    ca.settings(approval="manual")
    assert one.refused("GenerateOrderPrivatePKI", orderDetails=one.order("intra.test", productCode="104")) == "EMS-939"


def test_a_burst_of_orders_is_called_an_inactive_account(ca, one):
    for number in range(16):
        one.place("burst%d.test" % number)
    assert one.refused("GenerateOrderSSL", orderDetails=one.order("burst.test")) == "Inactive Account User."
    one.call("ValidateCredentials")
    ca.advance(11)
    one.place("burst.test")


def test_report_pages_from_one_and_filters(ca, one):
    before = one.call("GetOrderReport", searchCriteria={})["orderDetails"]["totalNoOfResults"]
    ca.seed(count=1000, expired=20, revoked=20, rejected=5, cancelled=5, pending=10, suffix="report.test")
    first = one.call("GetOrderReport", searchCriteria={"pageNumber": "1", "pageSize": "500"})["orderDetails"]
    assert first["totalNoOfResults"] == before + 1060 and first["noOfPages"] == 3 and first["currentPage"] == "1" and len(first["ordersArray"]) == 500
    assert "noOfPages" in one.call("GetOrderReport", searchCriteria={"pageNumber": "9", "pageSize": "500"})["orderDetails"]
    assert "page" in one.refused("GetOrderReport", searchCriteria={"pageNumber": "0"})
    assert "page" in one.refused("GetOrderReport", searchCriteria={"pageSize": "501"})
    row = one.call("GetOrderReport", searchCriteria={"domainName": "host00003.report.test"})["orderDetails"]["ordersArray"][0]
    assert row["certificateStatusId"] == "20" and "remarks" not in row
    assert int(row["certificateSerialNumber"], 16) == leaf_of(one.certificate(row["orderNumber"])["endEntityCertificate"]).serial_number


def proved_by(one, files, name, put):
    number = one.place(name)
    told = one.call("GetDcv", dcvDetails=one.dcv(number, name, "2"))["dcvDetails"]
    put("/.well-known/pki-validation/" + told["fileName"], told["fileContent"])
    one.call("VerifyDcv", dcvDetails=one.dcv(number, name, "2"))
    return number


def looks(ca, number, name, found=True):
    """Waits until the CA has looked for a file of this name, and says what it saw."""
    return wait_for(lambda: [s for s in ca.ask("GET", "/network")["seen"] if "//" + name in s[0] and (s[1] == "found") == found], "a look at " + name)


def test_redirects_are_followed_and_other_contents_refused(ca, one, files):
    def moved(path, content):
        files.move("moved.test", path, "http://target.test/elsewhere")
        files.put("target.test", "/elsewhere", content)
    number = proved_by(one, files, "moved.test", moved)
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate")
    assert ("target.test", "/elsewhere") in files.asked
    wrong = proved_by(one, files, "wrong.test", lambda path, content: files.put("wrong.test", path, content + "x"))
    wait_for(lambda: ("wrong.test") in [host for host, _ in files.asked], "a look")
    assert one.track(wrong)["domainVerification"]["wrong.test"]["dcvStatus"] == "0"
    endless = proved_by(one, files, "endless.test", lambda path, _: files.move("endless.test", path, "http://endless.test" + path))
    looks(ca, endless, "endless.test", False)
    assert one.track(endless)["domainVerification"]["endless.test"]["dcvStatus"] == "0"


def test_a_server_that_never_answers_holds_up_nobody_else(ca, one, files):
    deaf = socket.create_server(("127.0.0.1", ports.FREE))
    ca.settings(addresses={"deaf.test": "127.0.0.1:%d" % ports.FREE}, fetch_timeout=60.0)
    deaf_order = proved_by(one, files, "deaf.test", lambda path, content: None)
    number = proved_by(one, files, "lively.test", lambda path, content: files.put("lively.test", path, content))
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate of the other")
    assert one.track(deaf_order)["domainVerification"]["deaf.test"]["dcvStatus"] == "0"
    deaf.close()


def test_caa_that_names_another_ca_keeps_this_one_from_issuing(ca, one, files, dns):
    ca.settings(caa_identity="ca.example")
    dns.permit("caa.test", "other.example")
    try:
        number = proved_by(one, files, "caa.test", lambda path, content: files.put("caa.test", path, content))
        wait_for(lambda: one.track(number)["domainVerification"]["caa.test"]["caaStatus"] == "2", "the refusal by CAA")
        assert one.track(number)["orderStatusId"] == "2"
    finally:
        dns.permit_all("caa.test")


def test_a_person_clicks_the_link_in_the_mail(ca, one):
    number = one.place("mail.test")
    offered = one.call("GetDcv", dcvDetails=one.dcv(number, "mail.test", "3"))["dcvDetails"]["dcvEmails"]
    asked = one.dcv(number, "mail.test", "3")
    assert "offered" in one.refused("VerifyDcv", dcvDetails=dict(asked, dcvEmail="me@elsewhere.test"))
    one.call("VerifyDcv", dcvDetails=dict(asked, dcvEmail=offered[0]))
    assert ca.ask("GET", "/mails")["mails"][-1]["to"] == offered[0]
    ca.act(number, "mail", domain="mail.test")
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate")


def test_a_connection_that_is_dropped_leaves_the_order_or_not(ca, one):
    for fault, orders in (("drop", 0), ("drop_after", 1)):
        ca.fault(fault, match="GenerateOrderSSL")
        before = len(ca.orders())
        with pytest.raises(OSError):
            one.place(fault.replace("_", "-") + ".test")
        one.wire.close()
        assert len(ca.orders()) - before == orders
    assert ca.counts()["GenerateOrderSSL"] == 2
    found = one.call("GetOrderReport", searchCriteria={"domainName": "drop-after.test"})["orderDetails"]["ordersArray"]
    assert [row["tags"] for row in found] == [["drop-after.test-1"]]


@pytest.mark.parametrize("refusal,said", [
    ({"order_refusal": {"code": "EMS-939", "message": "Something went wrong"}}, "EMS-939"), ({"orders_left": 0}, "used up"), ({"balance": 0.0}, "balance"),
    ({"refuse_inactive": True}, "Inactive Account User."), ({"undocumented_code": "EMS-7", "balance": 0.0}, "EMS-7"), ({"refused_names": ["poor.test"]}, "refused"),
], ids=str)
def test_refusals_that_a_test_makes_up(ca, one, refusal, said):
    ca.settings(**refusal)
    assert said in one.refused("GenerateOrderSSL", orderDetails=one.order("poor.test"))


@pytest.mark.parametrize("order_id", range(1, 10))
def test_every_status_can_be_shown(ca, one, order_id):
    number = one.place("status%d.test" % order_id)
    for certificate_id in [1, 2, 3, 4, 5, 6, 7, 8, 9, *range(12, 25)]:
        ca.act(number, "ids", order=order_id, certificate=certificate_id)
        shown = one.track(number)
        assert (shown["orderStatusId"], shown["certificateStatusId"]) == (str(order_id), str(certificate_id)) and shown["certificateStatus"]
    ca.act(number, "ids")
    assert one.track(number)["orderStatusId"] == "2"


def test_a_bearer_token_is_taken_too(ca, one):
    two = Two(ca)
    bearer = {"Authorization": "Bearer " + two.bearer}
    path = PLACE + "ValidateCredentials"
    assert one.wire.send("POST", path, {"meta": one.meta(authKey="")}, bearer).json["meta"]["status"] == "1"
    assert one.wire.send("POST", path, {"meta": one.meta()}, bearer).json["meta"]["status"] == "0"
    assert one.wire.send("POST", path, {"meta": one.meta(authKey="")}, {"Authorization": "Bearer x"}).json["meta"]["status"] == "0"
    two.wire.close()


# --- what the facts leave open, or tell in so many words ---

def test_a_try_needs_a_fresh_txn_whatever_became_of_the_one_before(ca, one):
    early = one.meta(offset=-400)
    assert "time" in one.refused("ValidateCredentials", meta=early)
    assert "Duplicate" in one.refused("ValidateCredentials", meta=one.meta(txn=early["txn"], **one.signed(early["txn"])))
    ca.settings(duplicate_txn_status=409)
    used = one.meta()
    one.call("ValidateCredentials", meta=used)
    again = one.send("ValidateCredentials", meta=used)
    assert again.status == 409 and again.json["meta"]["status"] == "0"
    ca.settings(txn_seconds=60.0)
    ca.advance(61)
    one.call("ValidateCredentials", meta=one.meta(txn=used["txn"], **one.signed(used["txn"])))


@pytest.mark.parametrize("status", [200, 401, 403])
@pytest.mark.parametrize("body", ["meta", "empty"])
def test_a_wrong_key_is_refused_in_any_of_the_ways_that_clients_have_met(ca, one, status, body):
    ca.settings(v1_authentication_status=status, v1_authentication_body=body, authentication_words="Invalid Request", undocumented_code="EMS-999")
    answer = one.send("GenerateOrderSSL", meta=one.meta(authKey="0" * 64), orderDetails=one.order("key.test"))
    assert answer.status == status and (answer.body == b"") == (body == "empty" and status != 200)
    if answer.body:
        told = answer.json["meta"]
        assert (told["status"], told["errorCode"], told["errorMessage"]) == ("0", "EMS-999", "Invalid Request")


@pytest.mark.parametrize("skew", [60, 300])
def test_the_window_of_time_stamps_is_as_wide_as_it_is_set(ca, one, skew):
    ca.settings(clock_skew_seconds=skew, undocumented_code="EMS-999")
    assert one.refused("ValidateCredentials", meta=one.meta(offset=-skew - 5)) == "EMS-999"
    one.call("ValidateCredentials", meta=one.meta(offset=5 - skew))


@pytest.mark.parametrize("counting,still_full", [("accepted", False), ("attempts", True), ("fixed", False)])
def test_a_burst_is_told_from_a_dead_account_by_its_credentials(ca, one, counting, still_full):
    ca.settings(burst_orders=2, burst_seconds=1000.0, burst_counting=counting)
    ca.advance(2000)
    while counting == "fixed" and ca.ask("GET", "/clock")["now"] % 1000 > 500:
        ca.advance(501)
    for number in range(2):
        one.place("many%d.test" % number)
    ca.advance(400)
    answer = one.send("GenerateOrderSSL", orderDetails=one.order("many.test"))
    told = answer.json["meta"]
    assert answer.status == 200 and (told["status"], told["errorCode"], told["errorMessage"]) == ("0", "", "Inactive Account User.") and "Retry-After" not in answer.headers
    one.call("ValidateCredentials")
    ca.advance(601)  # the two that were taken are forgotten now, the refused one is not
    assert one.send("GenerateOrderSSL", orderDetails=one.order("many.test")).json["meta"]["status"] == "1"
    assert one.send("GenerateOrderSSL", orderDetails=one.order("more.test")).json["meta"]["status"] == ("0" if still_full else "1")


@pytest.mark.parametrize("form,lines", [("pem", True), ("pem crlf", True), ("base64", False), ("base64 lines", True), ("none", False)])
def test_the_request_of_an_order_is_shown_in_one_of_many_forms(ca, one, form, lines):
    ca.settings(csr_shown=form)
    request = csr.request("shown.test")
    shown = one.track(one.place("shown.test", csr=request))["csr"]
    assert ("BEGIN" in shown) == form.startswith("pem") and ("\n" in shown) == lines and ("\r" in shown) == (form == "pem crlf")
    if form != "none":
        inner = "".join(line for line in shown.splitlines() if "-----" not in line)
        assert inner == "".join(request.strip().splitlines()[1:-1])


def issued(one, files, name):
    number = proved_by(one, files, name, lambda path, content: files.put(name, path, content))
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate")
    return number


@pytest.mark.parametrize("how,end", [("at once", "2"), ("requested", "1"), ("later", "2"), ("refused", "3")])
def test_a_revocation_is_done_or_only_asked_for(ca, one, files, how, end):
    number = issued(one, files, "%s.end.test" % how.replace(" ", ""))
    ca.settings(revocation=how, revocation_seconds=50.0)
    revocation = {"orderNumber": number, "requestorEmail": "ops@example.com", "revokeReasonId": "4"}
    assert list(one.call("RevokeOrder", revocationDetails=revocation)) == ["meta"]
    state = one.track(number)
    assert state["revocationDetails"]["revokeRequestStatusId"] == ("2" if how == "at once" else "1")
    assert (state["certificateStatusId"] == "22") == (how == "at once")
    ca.advance(51)
    assert one.track(number)["revocationDetails"]["revokeRequestStatusId"] == end
    if how == "requested":
        assert one.refused("RevokeOrder", revocationDetails=revocation) == "EMS-956"
        ca.act(number, "reject-revocation")
        assert one.track(number)["revocationDetails"]["revokeRequestStatusId"] == "3" and one.track(number)["certificateStatusId"] == "20"
        one.call("RevokeOrder", revocationDetails=revocation)
        ca.act(number, "approve-revocation")
        assert one.track(number)["certificateStatusId"] == "22"


def test_a_revoked_certificate_may_be_handed_out_refused_or_empty(ca, one, files):
    number = issued(one, files, "handed.end.test")
    one.call("RevokeOrder", revocationDetails={"orderNumber": number, "requestorEmail": "ops@example.com", "revokeReasonId": "4"})
    assert one.certificate(number)["endEntityCertificate"]
    ca.settings(revoked_download="empty")
    assert one.certificate(number)["endEntityCertificate"] == ""
    ca.settings(revoked_download="refused")
    assert one.refused("GetCertificate", orderDetails={"orderNumber": number, "requestorEmail": "ops@example.com"}) == "EMS-956"


@pytest.mark.parametrize("key,good", [(("rsa", 2048), True), (("rsa", 3072), True), (("rsa", 6144), False), (("ec", 384), True), (("ec", 521), False)], ids=str)
def test_only_the_key_sizes_that_were_seen_to_be_taken_are_taken(ca, one, key, good):
    body = one.order("size.test", csr=csr.request("size.test", signer=csr.key(*key)))
    assert one.call("GenerateOrderSSL", orderDetails=body) if good else "Invalid key size" in one.refused("GenerateOrderSSL", orderDetails=body)


def test_an_order_without_an_organisation_may_stand_in_a_queue(ca, one, files):
    ca.settings(queue_without_organization=True)
    number = proved_by(one, files, "queue.test", lambda path, content: files.put("queue.test", path, content))
    wait_for(lambda: one.track(number)["domainVerification"]["queue.test"]["dcvStatus"] == "1", "the proof")
    ca.advance(40 * 3600)
    assert one.track(number)["orderStatusId"] == "8"
    ca.act(number, "approve")
    wait_for(lambda: one.track(number)["certificateStatusId"] == "20", "the certificate")
    assert one.refused("GenerateOrderSSL", orderDetails=one.order("no.test", organizationDetails={"preVetting": "1", "organizationNumber": "1"})) == "EMS-1073"


def test_the_address_of_the_signer_is_looked_at_when_the_order_is_placed_or_only_later(ca, one):
    loopback = {"acceptAgreement": "1", "signerName": "Ops", "signerPlace": "Here", "signerIP": "127.0.0.1"}
    assert one.refused("GenerateOrderSSL", orderDetails=one.order("signer.test", agreementDetails=loopback)) == "EMS-1091"
    ca.settings(place_checks_signer_ip=False)
    one.place("signer.test", agreementDetails=loopback)
    later = one.place("signer2.test", agreementDetails=None)
    assert one.refused("AgreementAcceptance", agreementDetails=dict(loopback, orderNumber=later, requestorEmail="ops@example.com")) == "EMS-1091"


@pytest.mark.parametrize("approval,ids", [("auto", ("2", "2")), ("manual", ("2", "2")), ("hold", ("7", "2")), ("reject", ("4", "5"))])
def test_people_may_have_decided_before_anybody_looks(ca, one, approval, ids):
    ca.settings(approval=approval)
    state = one.track(one.place("people.test"))
    assert (state["orderStatusId"], state["certificateStatusId"]) == ids


def test_every_order_that_costs_money_is_counted_once(ca, one):
    before = ca.ask("GET", "/paid")
    number = one.place("paid.test")
    one.refused("GenerateOrderSSL", orderDetails=one.order("paid.test", productCode="999"))
    one.call("RejectOrder", orderDetails={"orderNumber": number, "rejectRemarks": "no"})
    after = ca.ask("GET", "/paid")
    assert after["orders"] == before["orders"] + 1 and after["amount"] == before["amount"] + 10.0
    assert after["log"][-1]["order"] == number and after["log"][-1]["names"] == ["paid.test"]


def test_a_create_whose_answer_is_slow_or_lost_is_an_order(ca, one):
    ca.fault("drop_after", match="GenerateOrderSSL", changes=True)
    before = ca.paid()
    with pytest.raises(OSError):
        one.place("lost.test")
    one.wire.close()
    found = one.call("GetOrderReport", searchCriteria={"domainName": "lost.test"})["orderDetails"]["ordersArray"]
    assert [row["tags"] for row in found] == [["lost.test-1"]] and ca.paid() == before + 1
