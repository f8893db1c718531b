"""The simulated Sectigo Certificate Manager, asked by plain HTTP as its documents describe it."""
import hashlib
import re
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization import pkcs7

from harness import csr, ports
from harness.simulator import Files, Wire
from harness.waiting import wait_for

SIMULATED = "sectigo"


class Customer:
    def __init__(self, ca):
        self.ca, self.wire = ca, Wire(ca)
        self.headers = {"login": "api", "password": ca.logins["api"], "customerUri": ca.customer_uri, "Content-Type": "application/json;charset=UTF-8"}

    def send(self, method, path, body=None, prefix="/api", **headers):
        used = {k: v for k, v in dict(self.headers, **headers).items() if v is not None}
        return self.wire.send(method, prefix + path, body, used)

    def refused(self, code, method, path, body=None, status=400, **headers):
        answer = self.send(method, path, body, **headers)
        assert (answer.status, answer.json["code"]) == (status, code), answer.body
        assert answer.json["description"]

    def request(self, *names, **changed):
        body = {"orgId": 10, "csr": csr.request(*names), "certType": 501 if len(names) == 1 else 502, "term": 199, "subjAltNames": ",".join(names[1:]),
                "comments": names[0] + "-1"}
        return {k: v for k, v in dict(body, **changed).items() if v is not None}

    def enrol(self, *names, **changed):
        answer = self.send("POST", "/ssl/v1/enroll", self.request(*names, **changed))
        assert answer.status == 200 and answer.json["renewId"], answer.body
        return answer.json["sslId"]

    def detail(self, number, query="?dateFormat=ISO_HMS"):
        return self.send("GET", "/ssl/v1/%s%s" % (number, query)).json

    def wait(self, number, status="Issued"):
        wait_for(lambda: self.detail(number)["status"] == status, status, seen=lambda: self.detail(number))

    def issued(self, *names, **changed):
        number = self.enrol(*names, **changed)
        self.wait(number)
        return number

    def collect(self, number, form):
        return self.send("GET", "/ssl/v1/collect/%s?format=%s" % (number, form))


@pytest.fixture
def customer(ca):
    ca.ask("POST", "/domains", {"name": "own.test"})
    one = Customer(ca)
    yield one
    one.wire.close()


def certificates(pem):
    return [x509.load_pem_x509_certificate(text.encode()) for text in re.findall(r"-----BEGIN CERT.*?-----END CERTIFICATE-----\n", pem.decode(), re.S)]


def test_who_may_call(ca, customer):
    for changed in ({"login": "nobody"}, {"password": "wrong"}, {"customerUri": "other"}, {"customerUri": None}, {"password": None}):
        customer.refused(-16, "GET", "/organization/v1", status=401, **changed)
    customer.refused(-3, "GET", "/organization/v1", status=403, login="portal", password=ca.logins["portal"])
    assert [o["id"] for o in customer.send("GET", "/organization/v1").json] == [10, 20, 30]
    mine = dict(login="department", password=ca.logins["department"])
    assert [o["id"] for o in customer.send("GET", "/organization/v1", **mine).json] == [20]
    customer.refused(-3, "GET", "/organization/v1/10", status=403, **mine)
    assert customer.send("GET", "/organization/v1/30").json["sslCertsApiEnabled"] is False
    assert customer.send("GET", "/nothing").status == 404 and customer.send("PUT", "/organization/v1", {}).status == 405


def test_a_client_certificate_or_a_token_stands_for_the_password(ca, customer):
    customer.refused(-16, "GET", "/organization/v1", status=401, prefix="/private/api", password=None)
    other = Wire(ca, (ca.client_certificate, ca.client_key))
    answer = other.send("GET", "/private/api/organization/v1", headers={"login": "api", "customerUri": ca.customer_uri})
    assert answer.status == 200
    other.close()

    def token(secret):
        form = {"grant_type": "client_credentials", "client_id": ca.client_id, "client_secret": secret}
        return customer.wire.send("POST", urllib.parse.urlsplit(ca.token_url).path, form=urllib.parse.urlencode(form))
    assert token("wrong").status == 401
    bearer = {"Authorization": "Bearer " + token(ca.client_secret).json["access_token"]}
    assert customer.wire.send("GET", "/api/ssl/v2/types", headers=bearer).json[0]["terms"] == [90, 199]
    ca.advance(301)
    assert customer.wire.send("GET", "/api/ssl/v2/types", headers=bearer).status == 401


def test_an_order_goes_from_enrolment_to_a_certificate_in_every_format(ca, customer):
    ca.settings(issue_seconds=1000.0)
    number = customer.enrol("www.own.test", "b.own.test")
    wait_for(lambda: customer.detail(number)["status"] == "Applied", "Applied")
    customer.refused(-1400, "GET", "/ssl/v1/collect/%s?format=x509CO" % number)
    assert "issued" not in customer.detail(number)
    ca.advance(1001)
    customer.wait(number)
    detail = customer.detail(number)
    leaf, = certificates(customer.collect(number, "x509CO").body)
    assert detail["serialNumber"].replace(":", "") == "%X" % leaf.serial_number or int(detail["serialNumber"].replace(":", ""), 16) == leaf.serial_number
    assert detail["subjectAlternativeNames"] == ["b.own.test"] and detail["comments"] == "www.own.test-1" and detail["keyType"] == "EC - P-256"
    root, middle, last = certificates(customer.collect(number, "x509").body)
    assert last == leaf and csr.issued_by(leaf, middle) and csr.issued_by(middle, root)
    assert certificates(customer.collect(number, "x509IOR").body) == [middle, root]
    assert certificates(customer.collect(number, "x509IO").body) == [root, middle]
    assert certificates(customer.collect(number, "pemia").body) == [leaf, middle]
    default = customer.send("GET", "/ssl/v1/collect/%s" % number)
    assert default.headers["Content-Type"] == "application/octet-stream" and "attachment" in default.headers["Content-Disposition"]
    assert leaf in pkcs7.load_pem_pkcs7_certificates(default.body)
    assert leaf in pkcs7.load_der_pkcs7_certificates(customer.send("GET", "/ssl/v1/collect/%s/bin" % number).body)
    customer.refused(-1, "GET", "/ssl/v1/collect/%s?format=zip" % number)
    ca.settings(chain="wrong")
    assert not csr.issued_by(leaf, certificates(customer.collect(number, "x509IOR").body)[0])


def test_dates_are_american_unless_asked_for_otherwise(customer):
    number = customer.issued("dates.own.test")
    assert re.fullmatch(r"\d\d/\d\d/\d{4}", customer.detail(number, "")["issued"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", customer.detail(number, "?dateFormat=ISO")["issued"])
    assert re.match(r"\d{4}-\d\d-\d\dT", customer.detail(number)["issued"])


@pytest.mark.parametrize("changed,code", [
    ({"orgId": None}, -7), ({"csr": None}, -7), ({"term": 200}, -36), ({"certType": 1}, -111), ({"orgId": 99}, -639), ({"orgId": 30}, -1021),
    ({"csr": "###"}, -9), ({"csr": csr.spoilt("www.own.test")}, -10), ({"csr": csr.request("www.own.test", signer=csr.key("rsa", 1024))}, -11),
    ({"certType": 601, "orgId": 20}, -1010), ({"unheard": 1}, -1), ({"term": "199"}, -1), ({"subjAltNames": "other.test"}, -1),
    ({"comments": "x" * 1025}, -1), ({"customFields": [{"name": "unheard", "value": "1"}]}, -1),
], ids=str)
def test_enrolments_that_are_refused(ca, customer, changed, code):
    before = len(ca.orders())
    customer.refused(code, "POST", "/ssl/v1/enroll", customer.request("www.own.test", **changed))
    assert len(ca.orders()) == before


def test_domains_stand_between_an_organisation_and_its_certificates(ca, customer):
    customer.refused(-727, "POST", "/ssl/v1/enroll", customer.request("www.unknown.test"))
    made = customer.send("POST", "/domain/v1", {"name": "fresh.test", "delegations": [{"orgId": 10, "certTypes": ["SSL"]}], "active": True})
    assert made.status == 201 and made.body == b""
    number = made.headers["Location"].rsplit("/", 1)[1]
    assert customer.send("GET", "/domain/v1/" + number).json["validationStatus"] == "Not validated"
    customer.refused(-107, "POST", "/ssl/v1/enroll", customer.request("www.fresh.test"))
    customer.refused(-1010, "POST", "/ssl/v1/enroll", customer.request("www.fresh.test", orgId=20))
    assert customer.send("POST", "/domain/v1/%s/delegation" % number, {"orgId": 20, "certTypes": ["SSL"]}).status == 200
    ca.ask("POST", "/domains", {"name": "fresh.test"})
    customer.refused(-843, "POST", "/ssl/v1/enroll", customer.request("www.fresh.test", orgId=20, certType=601))
    ca.settings(custom_field_mandatory=True)
    assert customer.send("GET", "/ssl/v1/customFields").json[0]["mandatory"] is True
    customer.refused(-62, "POST", "/ssl/v1/enroll", customer.request("www.fresh.test"))
    customer.issued("www.fresh.test", customFields=[{"name": "Cost centre", "value": "7"}])
    ca.advance(200 * 86400)
    customer.refused(-107, "POST", "/ssl/v1/enroll", customer.request("www2.fresh.test", customFields=[{"name": "Cost centre", "value": "7"}]))


def test_a_domain_is_validated_ahead_by_file_alias_or_text_record(ca, customer, files, dns):
    ca.settings(recheck_seconds=0.2)
    for way in ("http", "cname", "txt"):
        name = way + "ahead.test"
        customer.send("POST", "/domain/v1", {"name": name, "delegations": [{"orgId": 10, "certTypes": ["SSL"]}]})
        body = {"domain": name}
        if way == "txt":
            told = customer.send("POST", "/dcv/v1/validation/submit/domain/txt", body).json
            assert told["host"] == "_pki-validation.%s." % name and '"' in told["point"] and "\\" in told["point"]
            dns.text(told["host"].rstrip("."), told["point"])
        else:
            customer.refused(-724, "POST", "/dcv/v1/validation/submit/domain/" + way, body)
            told = customer.send("POST", "/dcv/v1/validation/start/domain/" + way, body).json
            assert customer.send("POST", "/dcv/v2/validation/submit/domain/" + way, body).json["orderStatus"] == "SUBMITTED"
            assert customer.send("POST", "/dcv/v2/validation/status", body).json["status"] == "NOT_VALIDATED"
        if way == "http":
            assert re.fullmatch(r"http://%s/\.well-known/pki-validation/[0-9A-F]{32}\.txt" % name, told["url"]) and told["secondLine"] == "sectigo.com"
            files.put(name, urllib.parse.urlsplit(told["url"]).path, "%s\n%s" % (told["firstLine"], told["secondLine"]))
        if way == "cname":
            assert re.fullmatch(r"_[0-9a-f]{32}\.%s\." % name, told["host"]) and told["point"].endswith(".sectigo.com.")
            dns.alias(told["host"].rstrip("."), told["point"].rstrip("."))
        wait_for(lambda: customer.send("POST", "/dcv/v2/validation/status", body).json["status"] == "VALIDATED", "validation by " + way)
        customer.issued("www." + name)
    customer.refused(-723, "POST", "/dcv/v1/validation/start/domain/http", {"domain": ca.ask("POST", "/domains", {"name": "deep.own.test"}) and "deep.own.test"})
    rows = customer.send("GET", "/dcv/v1/validation?dcvStatus=VALIDATED&domain=ahead")
    assert rows.headers["X-Total-Count"] == "3" and rows.json[0]["dcvMethod"].endswith("_CSR_HASH")


def test_an_order_proves_its_own_names_where_domains_are_not_validated_ahead(ca, customer, files):
    ca.settings(prevalidation=False)
    customer.refused(-7, "POST", "/ssl/v1/enroll", customer.request("one.own.test"))
    customer.refused(-7, "POST", "/ssl/v1/enroll", customer.request("one.own.test", dcvMode="EMAIL"))
    number = customer.enrol("one.own.test", "two.own.test", dcvMode="HTTP")
    dcv = customer.send("GET", "/ssl/v1/%d/dcv" % number).json
    assert [log["dcvStatus"] for log in dcv["dcvLog"]["log"]] == ["Awaiting Validation"] * 2
    for told in dcv["instructions"]:
        lines = told["file"].split("\n")
        assert len(lines) == 3 and lines[1] == "sectigo.com"
        files.put(told["domainName"], urllib.parse.urlsplit(told["url"]).path, told["file"])
    assert customer.send("POST", "/ssl/v1/%d/dcv/recheck" % number).status == 202
    customer.wait(number)
    assert customer.send("GET", "/ssl/v1/%d/dcv" % number).json["instructions"] == []


@pytest.mark.parametrize("mode", ["HTTPS", "CNAME", "TXT", "EMAIL"])
def test_an_order_is_proved_in_the_way_it_chose(ca, customer, files, dns, authority, mode):
    ca.settings(prevalidation=False)
    name = mode.lower() + ".own.test"
    number = customer.enrol(name, dcvMode=mode, **({"dcvEmail": "admin@own.test"} if mode == "EMAIL" else {}))
    wait_for(lambda: customer.detail(number)["status"] == "Applied", "Applied")
    told, = customer.send("GET", "/ssl/v1/%d/dcv" % number).json["instructions"]
    if mode == "HTTPS":
        path = urllib.parse.urlsplit(told["url"]).path
        files.put(name, path, told["file"])  # on port 80, where this method does not look
        secure = Files(ports.TLS, authority.files(name))
        try:
            customer.send("POST", "/ssl/v1/%d/dcv/recheck" % number)
            wait_for(lambda: secure.asked, "a look over TLS")
            assert customer.detail(number)["status"] == "Applied"
            secure.put(name, path, told["file"])
            customer.send("POST", "/ssl/v1/%d/dcv/recheck" % number)
            customer.wait(number)
        finally:
            secure.close()
        return
    if mode == "EMAIL":
        assert told["dcvEmail"] == "admin@own.test"
        ca.act(str(number), "mail", domain=name)
    else:
        publish = dns.alias if mode == "CNAME" else dns.text
        publish(told["host"].rstrip("."), told["point"].rstrip(".") if mode == "CNAME" else told["point"])
        customer.send("POST", "/ssl/v1/%d/dcv/recheck" % number)
    customer.wait(number)


def test_requests_wait_for_people(ca, customer):
    mine = dict(login="department", password=ca.logins["department"])
    ca.ask("POST", "/domains", {"name": "dept.test", "organizations": [20]})
    waiting = [customer.send("POST", "/ssl/v1/enroll", customer.request(name, orgId=20), **mine).json["sslId"] for name in ("a.dept.test", "b.dept.test")]
    ca.advance(3 * 86400)
    assert customer.detail(waiting[0])["status"] == "Requested"
    customer.refused(-183, "GET", "/ssl/v1/collect/%d" % waiting[0])
    customer.refused(-3, "POST", "/ssl/v1/approve/%d" % waiting[0], {"message": "mine"}, status=403, **mine)
    done = customer.send("POST", "/ssl/v1/approve/%d" % waiting[0], {"message": "fine"})
    assert done.status == 204 and done.body == b""
    customer.wait(waiting[0])
    assert customer.send("POST", "/ssl/v1/decline/%d" % waiting[1], {"message": "no"}).status == 204
    assert customer.detail(waiting[1])["status"] == "Declined" and "declined" in customer.detail(waiting[1])
    customer.refused(-1, "POST", "/ssl/v1/approve/%d" % waiting[0], {"message": "again"})


def test_replace_keeps_the_id_and_renewal_gives_another(ca, customer):
    number = customer.issued("re.own.test")
    serial = customer.detail(number)["serialNumber"]
    ca.settings(issue_seconds=500.0)
    body = {"csr": csr.request("re.own.test"), "reason": "new key"}
    assert customer.send("POST", "/ssl/v1/replace/%d" % number, body).status == 204
    assert customer.detail(number)["status"] == "Applied"
    customer.refused(-130, "POST", "/ssl/v1/replace/%d" % number, body)
    ca.settings(issue_seconds=0.0)
    ca.advance(501)
    customer.wait(number)
    assert customer.detail(number)["serialNumber"] != serial
    customer.refused(-7, "POST", "/ssl/v1/replace/%d" % number, {"csr": body["csr"]})
    fresh = customer.send("POST", "/ssl/v1/renewById/%d" % number, {"csr": csr.request("re.own.test")}).json["sslId"]
    assert fresh != number
    customer.wait(fresh)
    renew_id = customer.send("POST", "/ssl/v1/enroll", customer.request("re2.own.test")).json["renewId"]
    wait_for(lambda: customer.send("GET", "/ssl/v1?commonName=re2.own.test").json[0]["serialNumber"], "the certificate")
    answer = customer.send("POST", "/ssl/v1/renew/" + renew_id, {})
    assert answer.status == 204 and customer.send("HEAD", "/ssl/v1?commonName=re2.own.test").headers["X-Total-Count"] == "2"
    customer.refused(-124, "POST", "/ssl/v1/renew/unknown", {})
    ca.settings(replace_keeps_id=False)
    customer.send("POST", "/ssl/v1/replace/%d" % fresh, {"csr": csr.request("re.own.test"), "reason": "other"})
    assert customer.detail(fresh)["status"] == "Replaced"


def test_revocation(ca, customer):
    number = customer.issued("gone.own.test")
    customer.refused(-1, "POST", "/ssl/v1/revoke/%d" % number, {"reasonCode": 2, "reason": "x"})
    customer.refused(-7, "POST", "/ssl/v1/revoke/%d" % number, {"reasonCode": 4})
    serial = customer.detail(number)["serialNumber"]
    assert customer.send("POST", "/ssl/v1/revoke/serial/" + serial, {"reasonCode": 4, "reason": "x"}).status == 204
    customer.refused(-159, "POST", "/ssl/v1/revoke/%d" % number, {"reasonCode": 4, "reason": "x"})
    customer.refused(-110, "GET", "/ssl/v1/collect/%d" % number)
    assert customer.detail(number)["reasonCode"] == 4
    customer.refused(-1, "DELETE", "/ssl/v1/%d" % number)
    customer.refused(-124, "POST", "/ssl/v1/revoke/1", {"reasonCode": 4, "reason": "x"})
    ca.settings(issue_seconds=5000.0)
    customer.refused(-102, "POST", "/ssl/v1/revoke/%d" % customer.enrol("open.own.test"), {"reasonCode": 4, "reason": "x"})


def test_lists_have_positions_and_a_total(ca, customer):
    ca.seed(count=450, expired=5, revoked=5, suffix="list.test", csrs=[csr.request("kept.test")])
    first = customer.send("GET", "/ssl/v1?size=200&position=0&commonName=list.test")
    assert len(first.json) == 200 and first.headers["X-Total-Count"] == "459" and set(first.json[0]) == {
        "sslId", "commonName", "subjectAlternativeNames", "serialNumber"}
    assert len(customer.send("GET", "/ssl/v1?size=200&position=400&commonName=list.test").json) == 59
    assert customer.send("GET", "/ssl/v1?size=200&position=900&commonName=list.test").json == []
    assert customer.send("HEAD", "/ssl/v1?status=Revoked&commonName=list.test").headers["X-Total-Count"] == "5"
    customer.refused(-1, "GET", "/ssl/v1?size=201")
    customer.refused(-1, "GET", "/ssl/v1?unheard=1")
    report = customer.send("POST", "/report/v1/ssl-certificates", {"certificateStatus": "4"}).json
    assert len(report["reports"]) >= 5 and {r["status"] for r in report["reports"]} == {"Expired"}
    kept = customer.send("GET", "/ssl/v1?commonName=kept.test").json[0]
    assert certificates(customer.collect(kept["sslId"], "x509CO").body)[0].serial_number == int(kept["serialNumber"].replace(":", ""), 16)


def test_unissued_requests_change_and_knobs_refuse(ca, customer):
    ca.settings(approval="manual")
    number = customer.enrol("change.own.test")
    changed = customer.send("PUT", "/ssl/v1", {"sslId": number, "comments": "other", "csr": csr.request("changed.own.test"), "commonName": "changed.own.test"})
    assert changed.status == 200 and changed.json["commonName"] == "changed.own.test"
    assert customer.send("POST", "/ssl/v1/approve/%d" % number, {"message": ""}).status == 204
    customer.wait(number)
    customer.refused(-1, "PUT", "/ssl/v1", {"sslId": number, "term": 90})
    ca.settings(orders_left=1)
    customer.enrol("last.own.test")
    customer.refused(-1, "POST", "/ssl/v1/enroll", customer.request("more.own.test"))
    ca.settings(order_refusal={"status": 500, "code": -2, "message": "Internal error"})
    customer.refused(-2, "POST", "/ssl/v1/enroll", customer.request("more.own.test"), status=500)
    ca.settings(requests_per_second=1)
    slow = [customer.send("GET", "/organization/v1") for _ in range(3)][-1]
    assert slow.status == 429 and slow.headers["Retry-After"] == "1"


# --- what the facts leave open, or tell in so many words ---

@pytest.mark.parametrize("code,said", [(-107, "open.test"), (-737, "open.test, other-open.test"), (-724, "NOT_VALIDATED")])
def test_a_domain_that_is_not_validated_is_refused_with_one_of_three_numbers(ca, customer, code, said):
    ca.settings(dcv_refusal=code)
    for name in ("open.test", "other-open.test"):
        ca.ask("POST", "/domains", {"name": name, "validated": False})
    answer = customer.send("POST", "/ssl/v1/enroll", customer.request("www.open.test", "www.other-open.test"))
    assert answer.status == 400 and answer.json["code"] == code and said in answer.json["description"]


def test_a_validation_is_used_for_198_days(ca, customer):
    ca.advance(197 * 86400)
    customer.issued("reuse.own.test")
    ca.advance(2 * 86400)
    customer.refused(-107, "POST", "/ssl/v1/enroll", customer.request("reuse.own.test"))


def test_a_list_without_a_size_is_shorter_than_the_longest_that_may_be_asked_for(ca, customer):
    ca.seed(count=210, suffix="short.test")
    assert len(customer.send("GET", "/ssl/v1?commonName=short.test").json) == 25
    ca.settings(default_page_size=199)
    answer = customer.send("GET", "/ssl/v1?commonName=short.test")
    assert len(answer.json) == 199 and answer.headers["X-Total-Count"] == "210"


def test_renewal_needs_a_body_and_takes_the_longest_term(ca, customer):
    number = customer.issued("term.own.test", term=90)
    customer.refused(-1002, "POST", "/ssl/v1/renewById/%d" % number)
    customer.refused(-1002, "POST", "/ssl/v1/renewById/%d" % number, b"not JSON")
    fresh = customer.send("POST", "/ssl/v1/renewById/%d" % number, {}).json["sslId"]
    assert (customer.detail(number)["term"], customer.detail(fresh)["term"]) == (90, 199)
    customer.refused(-36, "POST", "/ssl/v1/enroll", customer.request("term.own.test", term=365))


@pytest.mark.parametrize("message,code", [(None, -7), ("", -1), ("x" * 513, -1)], ids=["none", "empty", "long"])
def test_declining_needs_a_message(ca, customer, message, code):
    ca.settings(approval="manual")
    number = customer.enrol("decline.own.test")
    customer.refused(code, "POST", "/ssl/v1/decline/%d" % number, {} if message is None else {"message": message})
    assert customer.detail(number)["status"] == "Requested"


@pytest.mark.parametrize("status,good", [("Requested", True), ("Declined", True), ("Rejected", True), ("Invalid", True), ("Approved", False), ("Applied", False),
                                         ("SAApproved", False), ("Init", False)])
def test_a_request_is_changed_in_four_states_only(ca, customer, status, good):
    ca.settings(approval="manual")
    number = customer.enrol("state.own.test")
    ca.act(str(number), "status", status=status)
    body = {"sslId": number, "csr": csr.request("state.own.test")}
    if good:
        assert customer.send("PUT", "/ssl/v1", body).status == 200
    else:
        customer.refused(-1, "PUT", "/ssl/v1", body)
    # What has been applied for can be withdrawn by no call at all.
    if status != "Requested":
        customer.refused(-1, "POST", "/ssl/v1/decline/%d" % number, {"message": "no"})


def test_each_call_needs_its_privilege(ca, customer):
    number = customer.issued("right.own.test")
    who = dict(login="requester", password=ca.logins["requester"])
    customer.refused(-3, "POST", "/ssl/v1/replace/%d" % number, {"csr": csr.request("right.own.test"), "reason": "x"}, status=403, **who)
    customer.refused(-3, "POST", "/ssl/v1/revoke/%d" % number, {"reasonCode": 4, "reason": "x"}, status=403, **who)
    customer.refused(-3, "POST", "/ssl/v1/renewById/%d" % number, {}, status=403, **who)
    assert customer.send("POST", "/ssl/v1/enroll", customer.request("right2.own.test"), **who).status == 200


@pytest.mark.parametrize("reason", [None, "", "x" * 513], ids=["none", "empty", "long"])
def test_replacing_needs_a_reason_of_512_characters_at_most(customer, reason):
    number = customer.issued("reason.own.test")
    body = {"csr": csr.request("reason.own.test"), "reason": reason}
    customer.refused(-7 if reason is None else -1, "POST", "/ssl/v1/replace/%d" % number, {k: v for k, v in body.items() if v is not None})


@pytest.mark.parametrize("keeps", [True, False])
def test_a_replacement_has_the_same_number_or_another(ca, customer, keeps):
    number = customer.issued("%s.own.test" % str(keeps).lower())
    serial, before = customer.detail(number)["serialNumber"], ca.paid()
    ca.settings(replace_keeps_id=keeps)
    answer = customer.send("POST", "/ssl/v1/replace/%d" % number, {"csr": csr.request("%s.own.test" % str(keeps).lower()), "reason": "new key"})
    assert answer.status == 204 and answer.body == b"" and "Location" not in answer.headers
    rows = wait_for(lambda: (lambda found: found if all(r["serialNumber"] for r in found) and any(r["serialNumber"] != serial for r in found) else None)(
        customer.send("GET", "/ssl/v1?commonName=%s.own.test" % str(keeps).lower()).json), "the replacement")
    assert [row["sslId"] == number for row in rows] == ([True] if keeps else [True, False])
    assert customer.detail(number)["status"] == ("Issued" if keeps else "Replaced") and ca.paid() == before


@pytest.mark.parametrize("code", [-1400, -183, -109, -103, -169])
def test_what_is_issued_may_not_be_ready_to_collect(ca, customer, code):
    ca.settings(download_seconds=30.0, not_yet_code=code)
    number = customer.issued("collect.own.test")
    customer.refused(code, "GET", "/ssl/v1/collect/%d?format=x509CO" % number)
    ca.advance(31)
    assert customer.collect(number, "x509CO").status == 200


@pytest.mark.parametrize("word", ["iso_hms", "ISO_HMS", "yyyy-MM-dd", "YYYY-mm-DD"])
def test_a_date_format_is_a_word_or_a_pattern_in_any_case(customer, word):
    number = customer.issued("case.own.test")
    assert re.match(r"\d{4}-\d\d-\d\d", customer.detail(number, "?dateFormat=" + word)["issued"])


def test_the_newer_interface_differs_in_some_calls(ca, customer):
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": ca.client_id, "client_secret": ca.client_secret})
    token = customer.wire.send("POST", urllib.parse.urlsplit(ca.token_url).path, form=form).json["access_token"]

    def send(method, path, body=None):
        return customer.wire.send(method, "/api" + path, body, {"Authorization": "Bearer " + token})
    number = customer.issued("newer.own.test")
    digest = hashlib.sha256(certificates(customer.collect(number, "x509CO").body)[0].public_bytes(Encoding.DER)).hexdigest()
    assert [row["sslId"] for row in send("GET", "/ssl/v2?sha256Hash=" + digest).json] == [number]
    customer.refused(-1, "GET", "/ssl/v1?sha256Hash=" + digest)
    nothing = send("POST", "/dcv/v2/validation/start/domain/txt", {"domain": "own.test"})
    assert nothing.status == 200 and set(nothing.json) == {"message"}
    assert customer.send("POST", "/dcv/v1/validation/start/domain/txt", {"domain": "own.test"}).status == 404
    unknown = send("POST", "/dcv/v2/validation/start/domain/http", {"domain": "unheard.test"})
    assert unknown.status == 404 and unknown.json["code"] == -727
    assert send("POST", "/dcv/v2/validation/start/domain/http", {"domains": ["own.test"]}).json["firstLine"]
    customer.refused(-7, "POST", "/dcv/v1/validation/start/domain/http", {"domains": ["own.test"]})
    assert send("POST", "/dcv/v2/validation/start/domain/email", {"domains": ["own.test"]}).status == 200
    assert send("POST", "/dcv/v2/validation/submit-bulk/domain/email", {"domains": ["own.test"], "email": "admin@own.test"}).json["orderStatus"] == "Submitted"
    assert ca.ask("GET", "/mails")["mails"][-1]["domain"] == "own.test"


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_a_limit_tells_the_wait_in_some_form_or_in_none(ca, customer, form):
    ca.settings(requests_per_second=2, retry_after_form=form)
    answers = [customer.send("GET", "/organization/v1") for _ in range(3)]
    told = answers[-1].headers["Retry-After"]
    assert [a.status for a in answers] == [200, 200, 429] and {"seconds": told == "1", "date": bool(told) and told.endswith("GMT"), "none": told is None}[form]


@pytest.mark.parametrize("approval,status", [("manual", "Requested"), ("hold", "SAApproved"), ("reject", "Rejected")])
def test_people_may_have_decided_before_anybody_looks(ca, customer, approval, status):
    ca.settings(approval=approval)
    before = ca.paid()
    number = customer.enrol("people.own.test")
    assert customer.detail(number)["status"] == status and ca.paid() == before + 1
