"""The simulated SSL Store, asked by plain HTTP as its documents describe it."""
import base64
import io
import re
import secrets
import urllib.parse
import zipfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from harness import csr
from harness.simulator import Wire
from harness.waiting import wait_for

SIMULATED = "ssl_store"

WHO = {"FirstName": "Ops", "LastName": "Team", "Phone": "+15550100", "Email": "ops@example.com", "City": "Exampleton", "Country": "XX"}


class Partner:
    def __init__(self, ca):
        self.ca, self.wire = ca, Wire(ca)

    def send(self, operation, auth=None, **fields):
        who = {"PartnerCode": self.ca.partner_code, "AuthToken": self.ca.auth_token, "ReplayToken": secrets.token_hex(8), "UserAgent": "evercert",
               "TokenID": "", "TokenCode": "", "IPAddress": "", "IsUsedForTokenSystem": False, "Token": ""}
        return self.wire.send("POST", "/rest/" + operation, dict({"AuthRequest": dict(who, **(auth or {}))}, **fields),
                              {"Content-Type": "application/json; charset=utf-8"})

    def call(self, operation, **fields):
        answer = self.send(operation, **fields)
        first = answer.json[0] if isinstance(answer.json, list) else answer.json
        assert answer.status == 200 and first["AuthResponse"]["isError"] is False, answer.body
        return answer.json

    def refused(self, said, operation, auth=None, **fields):
        answer = self.send(operation, auth, **fields)
        first = answer.json[0] if isinstance(answer.json, list) else answer.json
        assert answer.status == 200 and first["AuthResponse"]["isError"] is True and said in first["AuthResponse"]["Message"][0], answer.body

    def order(self, *names, product="positivessl", request=None, **changed):
        request = request or csr.request(*names)
        digi = product.startswith("digi")
        body = {"CustomOrderID": secrets.token_hex(6), "ProductCode": product, "ValidityPeriod": 12, "ServerCount": 1,
                "CSR": urllib.parse.quote(request, safe="") if digi else request.replace("\n", ""), "DomainName": names[0], "DNSNames": list(names[1:]),
                "ReserveSANCount": len(names) - 1, "WebServerType": "Other", "ApproverEmail": "", "FileAuthDVIndicator": True, "HTTPSFileAuthDVIndicator": False,
                "CNAMEAuthDVIndicator": False, "SignatureHashAlgorithm": "sha256" if digi else "PREFER_SHA2", "isCUOrder": False, "isRenewalOrder": False,
                "isTrialOrder": False, "AdminContact": WHO, "TechnicalContact": WHO, "DateTimeCulture": "en-US"}
        return {k: v for k, v in dict(body, **changed).items() if v is not None}

    def place(self, *names, **changed):
        return self.call("order/neworder", **self.order(*names, **changed))["TheSSLStoreOrderID"]

    def status(self, number):
        return self.call("order/status", TheSSLStoreOrderID=number, DateTimeCulture="en-US")

    def told(self, number):
        """The status once it says what to publish."""
        return wait_for(lambda: (lambda s: s if s["OrderStatus"]["DomainAuthVettingStatus"] else None)(self.status(number)), "what to publish")

    def wait(self, number, major="Active", minor=""):
        wait_for(lambda: [self.status(number)["OrderStatus"][n] for n in ("MajorStatus", "MinorStatus")] == [major, minor], major,
                 seen=lambda: self.status(number)["OrderStatus"])

    def issued(self, files, *names, **changed):
        number = self.place(*names, **changed)
        self.prove(files, number)
        self.wait(number)
        return number

    def prove(self, files, number):
        for row in self.told(number)["OrderStatus"]["DomainAuthVettingStatus"]:
            files.put(row["domain"], "/.well-known/pki-validation/" + row["FileName"], row["FileContents"])
        self.call("order/resend", TheSSLStoreOrderID=number, ResendEmailType="ApproverEmail")

    def leaf(self, number):
        rows = self.call("order/download", TheSSLStoreOrderID=number, ReturnPKCS7Cert=False)["Certificates"]
        return [x509.load_pem_x509_certificate(r["FileContent"].encode()) for r in rows][-1]


@pytest.fixture
def partner(ca):
    one = Partner(ca)
    yield one
    one.wire.close()


def test_who_may_call_and_where_a_wrong_token_goes_unnoticed(ca, partner):
    wrong = {"AuthToken": "wrong"}
    partner.refused("-9008", "order/status", wrong, TheSSLStoreOrderID="1")
    partner.refused("not found", "order/status", TheSSLStoreOrderID="1")
    answer = partner.send("order/query", wrong)
    assert isinstance(answer.json, list) and not any(row["AuthResponse"]["isError"] for row in answer.json)
    ca.settings(query_wrong_token="refused")
    partner.refused("-9008", "order/query", wrong)
    good = partner.wire.send("POST", "/rest/health/validate/", {"PartnerCode": ca.partner_code, "AuthToken": ca.auth_token, "ReplayToken": "r-1", "UserAgent": "x"}).json
    assert good["isError"] is False and good["ReplayToken"] == "r-1" and good["InvokingPartnerCode"] == ca.partner_code
    assert partner.wire.send("POST", "/rest/health/validate", {"PartnerCode": ca.partner_code, "AuthToken": "wrong"}).json["isError"] is True
    partner.refused("ReplayToken", "order/status", {"ReplayToken": partner.status(partner.place("replay.test"))["AuthResponse"]["ReplayToken"]}, TheSSLStoreOrderID="1")
    assert partner.wire.send("GET", "/rest/health/status").status == 200 and partner.wire.send("POST", "/rest/order/unheard", {}).status == 404
    account = partner.wire.send("POST", "/rest/user/accountdetail", {"PartnerCode": ca.partner_code, "AuthToken": ca.auth_token}).json
    assert account["AccountBalance"] > 0 and account["AllowCredit"] is False


def test_an_order_of_sectigo_goes_over_a_file_to_a_certificate(ca, partner, files):
    ca.settings(initial_seconds=100.0)
    products = partner.call("product/query", ProductType=1)
    assert {"positivessl", "digi_rapidssl"} <= {p["ProductCode"] for p in products} and "isWlidcard" in products[0]
    body = partner.order("www.store.test")
    partner.call("order/validateorderparameters/", **body)
    placed = partner.call("order/neworder", **body)
    assert placed["OrderStatus"]["MajorStatus"] == "Initial" and placed["AuthFileName"] == "" and placed["CertificateEndDate"].startswith("1/1/1900")
    assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M", placed["PurchaseDate"])
    number = placed["TheSSLStoreOrderID"]
    ca.advance(101)
    partner.wait(number, "Pending")
    told = partner.told(number)
    assert re.fullmatch(r"[0-9A-F]{32}\.txt", told["AuthFileName"]) and told["AuthFileContent"].split("\n")[1] == "sectigo.com"
    partner.refused("not available", "order/download", TheSSLStoreOrderID=number)
    partner.prove(files, number)
    partner.wait(number)
    rows = partner.call("order/download", CustomOrderID=body["CustomOrderID"])["Certificates"]
    root, middle, leaf = [x509.load_pem_x509_certificate(row["FileContent"].encode()) for row in rows]
    assert csr.issued_by(leaf, middle) and csr.issued_by(middle, root) and rows[2]["FileName"] == "www_store_test.crt"
    assert int(partner.status(number)["SerialNumber"], 16) == leaf.serial_number
    bundle = partner.call("order/download", TheSSLStoreOrderID=number, ReturnPKCS7Cert=True)["Certificates"]
    assert leaf in pkcs7.load_pem_pkcs7_certificates(bundle[0]["FileContent"].encode())
    packed = partner.call("order/downloadaszip", TheSSLStoreOrderID=number)
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(packed["Zip"]))) as archive:
        assert "www_store_test.crt" in archive.namelist()


def test_an_order_of_digicert_goes_over_a_text_record(ca, partner, dns):
    raw = partner.order("digi.test", product="digi_rapidssl", FileAuthDVIndicator=False, CNAMEAuthDVIndicator=True)
    partner.refused("csr_invalid", "order/neworder", **dict(raw, CSR=urllib.parse.unquote(raw["CSR"])))
    partner.refused("SignatureHashAlgorithm", "order/neworder", **dict(raw, SignatureHashAlgorithm="PREFER_SHA2"))
    number = partner.call("order/neworder", **raw)["TheSSLStoreOrderID"]
    row = partner.told(number)["OrderStatus"]["DomainAuthVettingStatus"][0]
    assert row["dcvMethod"] == "DNS" and row["DNSName"] == "digi.test"
    dns.text("digi.test", row["DNSEntry"])
    partner.call("digicert/checkdcv/", DomainName="digi.test")
    partner.wait(number)


def test_the_ca_behind_looks_by_itself_and_methods_can_change(ca, partner, files, dns):
    ca.settings(recheck_seconds=0.2)
    number = partner.place("change.test")
    assert partner.told(number)["AuthFileName"]
    partner.call("order/changeapproveremail", TheSSLStoreOrderID=number, ResendEmail="DNS", DomainNames="change.test")
    told = partner.told(number)
    assert told["AuthFileName"] == "" and told["CNAMEAuthName"].startswith("_") and told["CNAMEAuthValue"].endswith(".sectigo.com")
    dns.alias(told["CNAMEAuthName"], told["CNAMEAuthValue"])
    partner.wait(number)
    mailed = partner.place("mail.test", FileAuthDVIndicator=False, ApproverEmail=partner.call("order/approverlist", ProductCode="positivessl", DomainName="mail.test")["ApproverEmailList"][0])
    wait_for(lambda: any(m["order"] == mailed for m in ca.ask("GET", "/mails")["mails"]), "the mail")
    ca.act(mailed, "mail", domain="mail.test")
    partner.wait(mailed)
    partner.refused("approver", "order/changeapproveremail", TheSSLStoreOrderID=partner.place("other.test"), ResendEmail="me@elsewhere.test", DomainNames="other.test")
    ca.settings(change_method=False)
    partner.refused("not offered", "order/changeapprovermethod", TheSSLStoreOrderID=number, ApproverMethod="DNS")


@pytest.mark.parametrize("changed,said", [
    ({"ProductCode": "unheard"}, "Product code"), ({"ValidityPeriod": 11}, "ValidityPeriod"), ({"ValidityPeriod": "12"}, "ValidityPeriod"), ({"CSR": "garbage"}, "csr_invalid"),
    ({"CSR": csr.spoilt("no.test")}, "signature"), ({"CSR": csr.request("no.test", signer=csr.key("rsa", 1024))}, "1024"), ({"unheard": 1}, "unheard"),
    ({"FileAuthDVIndicator": False}, "ApproverEmail"), ({"CNAMEAuthDVIndicator": True}, "More than one"), ({"DNSNames": ["b.test"]}, "names"),
    ({"AdminContact": None}, "AdminContact"), ({"SignatureHashAlgorithm": "SHA1"}, "SignatureHashAlgorithm"), ({"CSRUniqueValue": "too-long!"}, "CSRUniqueValue"),
    ({"isRenewalOrder": True, "RelatedTheSSLStoreOrderID": "1"}, "RelatedTheSSLStoreOrderID"), ({"ProductCode": "sectigoovssl"}, "OrganizationInfo"),
    ({"ServerCount": 2}, "ServerCount"), ({"TSSOrganizationId": 81}, "TSSOrganizationId"),
], ids=lambda value: str(value)[:50])
def test_orders_that_are_refused(ca, partner, changed, said):
    before = len(ca.orders())
    partner.refused(said, "order/neworder", **partner.order("no.test", **changed))
    assert len(ca.orders()) == before


def test_a_reference_is_unique_and_money_runs_out(ca, partner):
    body = partner.order("twice.test")
    partner.call("order/neworder", **body)
    partner.refused("CustomOrderID", "order/neworder", **body)
    ca.settings(balance=5.0)
    partner.refused("funds", "order/neworder", **partner.order("poor.test"))
    ca.settings(allow_credit=True)
    partner.place("poor.test")


def test_a_reissue_adds_edits_and_deletes_names(ca, partner, files):
    number = partner.issued(files, "re.test", "b.re.test", "c.re.test", product="positivemdcssl")
    before = partner.leaf(number)
    names = ["re.test", "b2.re.test", "d.re.test"]
    body = {"TheSSLStoreOrderID": number, "CSR": csr.request(*names).replace("\n", ""), "WebServerType": "Other", "DNSNames": names[1:], "isRenewalOrder": False,
            "AddSAN": [{"OldValue": "", "NewValue": "d.re.test"}], "EditSAN": [{"OldValue": "b.re.test", "NewValue": "b2.re.test"}],
            "DeleteSAN": [{"OldValue": "c.re.test", "NewValue": ""}], "ReissueEmail": "ops@example.com", "SignatureHashAlgorithm": "PREFER_SHA2",
            "FileAuthDVIndicator": True, "PreferEnrollmentLink": False}
    partner.refused("ReissueEmail", "order/reissue", **dict(body, ReissueEmail="other@example.com"))
    partner.refused("DeleteSAN", "order/reissue", **dict(body, DeleteSAN=[{"OldValue": "unheard.test", "NewValue": ""}]))
    assert partner.call("order/reissue", **body)["ReissueSuccessCode"]
    partner.wait(number, "Active", "PENDING_REISSUE")
    assert partner.leaf(number) == before
    partner.refused("cannot be reissued", "order/reissue", **body)
    partner.prove(files, number)
    partner.wait(number)
    after = partner.leaf(number)
    assert after.serial_number != before.serial_number
    assert after.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == names


def test_vetting_takes_three_days_and_expiry_comes(ca, partner, files):
    ca.settings(approval="manual")
    company = {"OrganizationName": "Example Limited", "OrganizationAddress": {"City": "Exampleton", "Country": "XX"}}
    number = partner.place("ov.test", product="sectigoovssl", OrganizationInfo=company)
    partner.prove(files, number)
    wait_for(lambda: partner.status(number)["OrderStatus"]["DomainAuthVettingStatus"][0]["dcvStatus"] == "COMPLETED", "the proof")
    ca.advance(3 * 86400)
    status = partner.status(number)["OrderStatus"]
    assert status["MajorStatus"] == "Pending" and status["AuthenticationStatuses"][0]["Status"] == "Pending"
    ca.act(number, "approve")
    partner.wait(number)
    assert "O=Example Limited" in partner.leaf(number).subject.rfc4514_string()
    ca.advance(400 * 86400)
    assert partner.status(number)["OrderStatus"]["MajorStatus"] == "Expired"


def test_refund_and_revocation(ca, partner, files):
    balance = ca.settings()["balance"]
    number = partner.place("refund.test")
    answer = partner.call("order/refundrequest", TheSSLStoreOrderID=number, RefundReason="not needed")
    assert answer["isRefundApproved"] is True and answer["OrderStatus"]["MajorStatus"] == "Cancelled" and ca.settings()["balance"] == balance
    assert partner.call("order/refundstatus", RefundRequestID=answer["RefundRequestID"])["isRefundApproved"] is True
    ca.settings(refund_approval="manual")
    late = partner.place("late.test")
    assert partner.call("order/refundrequest", TheSSLStoreOrderID=late, RefundReason="x")["isRefundApproved"] is False
    old = partner.place("old.test")
    ca.advance(31 * 86400)
    partner.refused("time for refunds", "order/refundrequest", TheSSLStoreOrderID=old, RefundReason="x")
    bad = partner.issued(files, "revoke.test")
    partner.refused("no such certificate", "order/certificaterevokerequest", TheSSLStoreOrderID=bad, SerialNumber="00", RevokeReason="superseded")
    partner.call("order/certificaterevokerequest", TheSSLStoreOrderID=bad, SerialNumber=partner.status(bad)["SerialNumber"], RevokeReason="superseded")
    assert partner.status(bad)["OrderStatus"]["MajorStatus"] == "Cancelled"


def test_the_book_is_listed_in_pages_or_whole(ca, partner):
    ca.seed(count=250, expired=5, cancelled=5, suffix="book.test", csrs=[csr.request("mine.test")], reference="seed")
    assert len(partner.call("order/query", DomainName="book.test")) == 259
    pages = [partner.call("order/query", DomainName="book.test", PageNumber=n, PageSize=100) for n in (1, 2, 3)]
    assert [len(p) for p in pages] == [100, 100, 59] and pages[0][0]["AuthResponse"]["isError"] is False
    assert [o["CommonName"] for o in partner.call("order/query", CustomOrderID="seed-0")] == ["mine.test"]
    now = int(ca.ask("GET", "/clock")["now"] * 1000)
    partner.refused("Date", "order/query", StartDate="2026-01-01")
    recent = partner.call("order/query", DomainName="book.test", StartDate="/Date(%d)/" % (now - 86400000))
    assert 0 < len(recent) < 259
    summary = partner.call("order/getmodifiedorderssummary", StartDate="/Date(%d)/" % (now - 86400000), EndDate="/Date(%d)/" % now, PageNumber=1, PageSize=10)
    assert summary["TotalOrders"] >= 1 and len(summary["Orders"]) == min(10, summary["TotalOrders"])
    other = partner.call("order/query", CustomOrderID="seed-0", DateTimeCulture="en-GB")[0]["PurchaseDate"]
    american = partner.call("order/query", CustomOrderID="seed-0", DateTimeCulture="en-US")[0]["PurchaseDate"]
    assert other.split("/")[:2] == american.split("/")[1::-1]


def test_a_token_reaches_one_order_only(ca, partner):
    order = partner.status(partner.place("token.test"))
    by_token = {"PartnerCode": "", "AuthToken": "", "IsUsedForTokenSystem": True, "Token": order["Token"]}
    assert partner.send("order/status", by_token).json["TheSSLStoreOrderID"] == order["TheSSLStoreOrderID"]
    partner.refused("not found", "order/status", by_token, TheSSLStoreOrderID=partner.place("token2.test"))
    partner.refused("-9008", "order/query", by_token)
    partner.refused("-9008", "order/status", dict(by_token, Token="a#!b"))


# --- what the facts leave open, or tell in so many words ---

@pytest.mark.parametrize("told,rows", [("empty", 0), ("book", 1), ("refused", 1)])
def test_a_query_with_a_wrong_token_proves_nothing(ca, partner, told, rows):
    ca.seed(count=1, suffix="%s.proof.test" % told)
    ca.settings(query_wrong_token=told)
    answer = partner.send("order/query", {"AuthToken": "wrong"}, DomainName="%s.proof.test" % told)
    assert answer.status == 200 and len(answer.json) == rows and any(row["AuthResponse"]["isError"] for row in answer.json) == (told == "refused")
    # The status call knows better, whatever the order.
    partner.refused("-9008", "order/status", {"AuthToken": "wrong"}, TheSSLStoreOrderID="1")
    partner.refused("The order was not found", "order/status", TheSSLStoreOrderID="1")


def test_checkdcv_names_the_order(ca, partner, files):
    orders = [partner.place("same.test", product="digi_rapidssl") for _ in range(2)]
    ca.settings(checkdcv_needs_order=True)
    partner.refused("TheSSLStoreOrderID", "digicert/checkdcv", DomainName="same.test")
    told = [partner.told(number)["OrderStatus"]["DomainAuthVettingStatus"][0] for number in orders]
    # The file has one fixed name, and holds what both orders want.
    assert [row["FileName"] for row in told] == ["fileauth.txt"] * 2
    files.put("same.test", "/.well-known/pki-validation/fileauth.txt", "\n".join(row["FileContents"] for row in told) + "\n")
    partner.call("digicert/checkdcv", DomainName="same.test", TheSSLStoreOrderID=orders[0])
    partner.wait(orders[0])
    assert partner.status(orders[1])["OrderStatus"]["MajorStatus"] == "Pending"
    partner.call("digicert/checkdcv", DomainName="same.test", TheSSLStoreOrderID=orders[1])
    partner.wait(orders[1])


def test_the_fixed_name_of_a_file_may_be_told_or_not(ca, partner):
    ca.settings(digicert_file_name="empty")
    told = partner.told(partner.place("noname.test", product="digi_rapidssl"))
    partner.status(told["TheSSLStoreOrderID"])
    told = partner.status(told["TheSSLStoreOrderID"])
    assert told["AuthFileName"] == "" and told["AuthFileContent"] and told["OrderStatus"]["DomainAuthVettingStatus"][0]["FileName"] == ""
    assert partner.told(partner.place("named.test"))["OrderStatus"]["DomainAuthVettingStatus"][0]["FileName"].endswith(".txt")


def test_a_www_name_has_its_own_file_and_shares_a_record(ca, partner, files, dns):
    by_file = partner.place("two.test", AutoWWW=True)
    rows = partner.told(by_file)["OrderStatus"]["DomainAuthVettingStatus"]
    assert [row["domain"] for row in rows] == ["two.test", "www.two.test"]
    files.put("two.test", "/.well-known/pki-validation/" + rows[0]["FileName"], rows[0]["FileContents"])
    partner.call("order/resend", TheSSLStoreOrderID=by_file, ResendEmailType="ApproverEmail")
    statuses = wait_for(lambda: (lambda s: s if s[0] == "COMPLETED" else None)([r["dcvStatus"] for r in partner.told(by_file)["OrderStatus"]["DomainAuthVettingStatus"]]), "the proof")
    assert statuses == ["COMPLETED", "PENDING"]
    by_record = partner.place("three.test", AutoWWW=True, FileAuthDVIndicator=False, CNAMEAuthDVIndicator=True)
    row = partner.told(by_record)["OrderStatus"]["DomainAuthVettingStatus"][0]
    dns.alias(row["DNSName"], row["DNSEntry"])
    partner.call("order/resend", TheSSLStoreOrderID=by_record, ResendEmailType="ApproverEmail")
    partner.wait(by_record)
    partner.refused("AutoWWW", "order/neworder", **partner.order("four.test", product="positivemdcssl", AutoWWW=True))


def test_the_three_indicators_decide_and_approver_method_does_not(partner):
    number = partner.place("method2.test", ApproverMethod="DNS")
    assert partner.told(number)["OrderStatus"]["DomainAuthVettingStatus"][0]["dcvMethod"] == "HTTP"


def test_a_reissue_keeps_one_number_and_changes_the_other(ca, partner, files):
    number = partner.issued(files, "numbers.test")
    before = partner.status(number)
    partner.call("order/reissue", TheSSLStoreOrderID=number, CSR=csr.request("numbers.test").replace("\n", ""), WebServerType="Other", ReissueEmail="ops@example.com",
                 SignatureHashAlgorithm="PREFER_SHA2", FileAuthDVIndicator=True, isRenewalOrder=False, PreferEnrollmentLink=False)
    after = partner.status(number)
    assert after["TheSSLStoreOrderID"] == number and after["PartnerOrderID"] != before["PartnerOrderID"]


@pytest.mark.parametrize("path,refund,revoke", [("both", True, True), ("refundrequest", True, False), ("certificaterevokerequest", False, True)])
def test_an_issued_order_is_ended_by_one_call_or_the_other(ca, partner, files, path, refund, revoke):
    ca.settings(revoke_path=path, revoked_status="Revoked")
    first, second = partner.issued(files, "a.%s.test" % path), partner.issued(files, "b.%s.test" % path)
    answers = [partner.send("order/refundrequest", TheSSLStoreOrderID=first, RefundReason="x"), partner.send("order/certificaterevokerequest", TheSSLStoreOrderID=second)]
    assert [not answer.json["AuthResponse"]["isError"] for answer in answers] == [refund, revoke]
    assert partner.status(second)["OrderStatus"]["MajorStatus"] == ("Revoked" if revoke else "Active")


def test_refunds_of_several_names_of_sectigo_wait_for_people(partner):
    for product, approved in (("positivessl", True), ("positivemdcssl", False), ("digi_ssl_dv_geotrust_flex", True)):
        number = partner.place("refund-%s.test" % product.replace("_", "-"), product=product)
        answer = partner.call("order/refundrequest", TheSSLStoreOrderID=number, RefundReason="x")
        assert answer["isRefundApproved"] is approved and answer["OrderStatus"]["MajorStatus"] in ("Cancelled", "Initial", "Pending")


@pytest.mark.parametrize("word", ["Active", "issued", "valid", "complete", "completed", "enrolled"])
def test_words_for_a_finished_order_differ(ca, partner, files, word):
    ca.settings(active_status=word, download_seconds=30.0)
    number = partner.place("word.test")
    partner.prove(files, number)
    partner.wait(number, word)
    partner.refused("not available", "order/download", TheSSLStoreOrderID=number)
    ca.advance(31)
    assert partner.call("order/download", TheSSLStoreOrderID=number)["CertificateStatus"] == word


@pytest.mark.parametrize("approval,major", [("manual", "Pending"), ("hold", "Pending"), ("reject", "Rejected")])
def test_people_may_have_decided_before_anybody_looks(ca, partner, files, approval, major):
    ca.settings(approval=approval, rejected_status="Rejected")
    before = ca.paid()
    number = partner.place("people.test")
    if approval != "reject":
        partner.prove(files, number)
        wait_for(lambda: partner.status(number)["OrderStatus"]["DomainAuthVettingStatus"][0]["dcvStatus"] == "COMPLETED", "the proof")
    assert partner.status(number)["OrderStatus"]["MajorStatus"] == major and ca.paid() == before + 1


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_a_limit_tells_the_wait_in_some_form_or_in_none(ca, partner, form):
    ca.settings(requests_per_second=2, retry_after_form=form)
    answers = [partner.send("order/status", TheSSLStoreOrderID="1") for _ in range(3)]
    told = answers[-1].headers["Retry-After"]
    assert [a.status for a in answers] == [200, 200, 429] and {"seconds": told == "1", "date": bool(told) and told.endswith("GMT"), "none": told is None}[form]


def test_validation_of_digicerts_dv_is_used_once_if_so_set(ca, partner, files):
    ca.settings(reuse_dv=False)
    number = partner.issued(files, "anew.test", product="digi_rapidssl")
    partner.call("order/reissue", TheSSLStoreOrderID=number, CSR=urllib.parse.quote(csr.request("anew.test"), safe=""), WebServerType="Other",
                 ReissueEmail="ops@example.com", SignatureHashAlgorithm="sha256", FileAuthDVIndicator=True, isRenewalOrder=False, PreferEnrollmentLink=False)
    assert partner.told(number)["OrderStatus"]["DomainAuthVettingStatus"][0]["dcvStatus"] == "PENDING"
    partner.prove(files, number)
    partner.wait(number)
