"""The simulated CertCentral, asked by plain HTTP as its documents describe it."""
import io
import time
import zipfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs7

from harness import csr
from harness.simulator import Wire
from harness.waiting import wait_for

SIMULATED = "digicert"


class Customer:
    def __init__(self, ca):
        self.ca, self.wire = ca, Wire(ca)

    def send(self, method, path, body=None, key="admin"):
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if key:
            headers["X-DC-DEVKEY"] = self.ca.keys.get(key, key)
        return self.wire.send(method, "/services/v2" + path, body, headers)

    def refused(self, status, code, method, path, body=None, **more):
        answer = self.send(method, path, body, **more)
        assert answer.status == status and answer.json["errors"][0]["code"] == code and answer.json["errors"][0]["message"], answer.body

    def order(self, *names, **changed):
        body = {"certificate": {"common_name": names[0], "dns_names": list(names), "csr": csr.request(*names), "signature_hash": "sha256", "server_platform": {"id": 45}},
                "order_validity": {"years": 1}, "dcv_method": "dns-txt-token", "comments": names[0] + "-1", "alternative_order_id": "ours"}
        return {k: v for k, v in dict(body, **changed).items() if v is not None}

    def place(self, *names, product=None, key="admin", **changed):
        product = product or ("ssl_dv_geotrust" if len(names) == 1 else "cloud_dv_geotrust")
        answer = self.send("POST", "/order/certificate/" + product, self.order(*names, **changed), key=key)
        assert answer.status == 201, answer.body
        return answer.json

    def detail(self, number):
        return self.send("GET", "/order/certificate/%s" % number).json

    def check(self, number):
        return self.send("PUT", "/order/certificate/%s/check-dcv" % number)

    def wait(self, number, status="issued"):
        wait_for(lambda: self.detail(number)["status"] == status, status, seen=lambda: self.detail(number)["status"])

    def issued(self, dns, *names, **changed):
        made = self.place(*names, **changed)
        for name in names:
            dns.text(name, made["dcv_random_value"])
        assert self.check(made["id"]).json["dcv_status"] == "valid"
        self.wait(made["id"])
        return made["id"]

    def issued_by_people(self, dns, name):
        made = self.place(name, key="admin", skip_approval=True)
        dns.text(name, made["dcv_random_value"])
        self.check(made["id"])
        self.wait(made["id"])
        return made["id"]

    def download(self, number, form="pem_all"):
        return self.send("GET", "/certificate/download/order/%s/format/%s" % (number, form)).body


@pytest.fixture
def customer(ca):
    one = Customer(ca)
    yield one
    one.wire.close()


def day(ca, days):
    return time.strftime("%Y-%m-%d", time.gmtime(ca.ask("GET", "/clock")["now"] + days * 86400))


def certificates(pem):
    mark = b"-----BEGIN CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(mark + part) for part in pem.split(mark)[1:]]


def test_who_may_call_and_how_often(ca, customer):
    assert customer.send("GET", "/user/me").json["username"] == "admin"
    customer.refused(401, "access_denied", "GET", "/user/me", key=None)
    customer.refused(401, "access_denied", "GET", "/user/me", key="wrong")
    customer.refused(403, "access_denied", "POST", "/order/certificate/ssl_dv_geotrust", customer.order("a.test"), key="viewer")
    customer.refused(404, "not_found|order", "GET", "/order/certificate/1")
    customer.refused(404, "not_found|route", "GET", "/unheard")
    ca.advance(6)
    for _ in range(100):
        assert customer.send("GET", "/user/me", key="viewer").status == 200
    customer.refused(429, "request_limit_exceeded", "GET", "/user/me", key="viewer")
    assert customer.send("GET", "/user/me").status == 200
    ca.advance(6)
    assert customer.send("GET", "/user/me", key="viewer").status == 200


def test_what_an_account_has(customer):
    assert "ssl_dv_geotrust" in [p["name_id"] for p in customer.send("GET", "/product").json["products"]]
    platforms = customer.send("GET", "/product/ssl_dv_geotrust").json["server_platforms"]
    assert {"id": 45, "name": "nginx"} in platforms
    rows = customer.send("GET", "/organization?include_validation=true&limit=1")
    assert rows.json["page"] == {"total": 2, "limit": 1, "offset": 0} and rows.json["organizations"][0]["validations"][0]["status"] == "active"


def test_an_order_goes_over_a_text_record_to_a_certificate_in_every_format(ca, customer, dns):
    ca.settings(check_dcv_form="list")
    made = customer.place("www.digicert.test", "b.digicert.test")
    number = made["id"]
    assert made["requests"][0]["status"] == "approved" and customer.detail(number)["status"] == "pending"
    customer.refused(400, "invalid_status", "GET", "/certificate/download/order/%s/format/pem_all" % number)
    dns.text("www.digicert.test", made["dcv_random_value"])
    half = customer.check(number).json
    assert half["dcv_status"] == "pending" and len(half["dns_name_validations"]) == 2
    dns.text("b.digicert.test", made["dcv_random_value"])
    assert customer.check(number).json["dcv_status"] == "valid"
    customer.wait(number)
    detail = customer.detail(number)
    leaf, middle, root = certificates(customer.download(number))
    assert csr.issued_by(leaf, middle) and csr.issued_by(middle, root) and int(detail["certificate"]["serial_number"], 16) == leaf.serial_number
    assert detail["alternative_order_id"] == "ours" and detail["certificate"]["valid_till"] == leaf.not_valid_after.strftime("%Y-%m-%d")
    assert certificates(customer.download(number, "pem_noroot")) == [leaf, middle] and certificates(customer.download(number, "pem_nointermediate")) == [leaf]
    assert leaf in pkcs7.load_pem_pkcs7_certificates(customer.download(number, "p7b"))
    with zipfile.ZipFile(io.BytesIO(customer.send("GET", "/certificate/download/order/%s" % number).body)) as archive:
        assert "certs/www_digicert_test.crt" in archive.namelist()
    chain = customer.send("GET", "/certificate/%s/chain" % detail["certificate"]["id"]).json["intermediates"]
    assert [certificates(c["pem"].encode())[0] for c in chain] == [middle, root]
    assert (leaf.not_valid_after - leaf.not_valid_before).days <= 199


@pytest.mark.parametrize("method", ["http-token", "dns-cname-token"])
def test_domain_control_by_file_and_by_alias(customer, dns, files, method):
    name = method.split("-")[0] + "way.test"
    made = customer.place(name, dcv_method=method)
    if method == "http-token":
        customer.refused(400, "file_random_value_not_found", "PUT", "/order/certificate/%s/check-dcv" % made["id"])
        files.put(name, "/.well-known/pki-validation/fileauth.txt", made["dcv_random_value"])
    else:
        dns.alias("_dnsauth." + name, "other.dcv.digicert.com")
        customer.refused(400, "undocumented", "PUT", "/order/certificate/%s/check-dcv" % made["id"])
        dns.alias("_dnsauth." + name, made["dcv_random_value"] + ".dcv.digicert.com")
    assert customer.check(made["id"]).json["dcv_status"] == "valid"
    customer.wait(made["id"])


def test_the_method_changes_and_the_random_value_ends(ca, customer, dns):
    made = customer.place("method.test", dcv_method="email")
    assert "dcv_random_value" not in made
    assert ca.ask("GET", "/mails")["mails"][-1]["domain"] == "method.test"
    value = customer.send("PUT", "/order/certificate/%s/dcv-method" % made["id"], {"dcv_method": "dns-txt-token"}).json["dcv_random_value"]
    again = customer.send("PUT", "/order/certificate/%s/dcv-random-value" % made["id"]).json
    assert again["dcv_random_value"] == value and again["expiration_date"]
    ca.advance(31 * 86400)
    fresh = customer.send("PUT", "/order/certificate/%s/dcv-random-value" % made["id"]).json["dcv_random_value"]
    assert fresh != value
    dns.text("method.test", value)
    customer.refused(400, "invalid_dns_txt", "PUT", "/order/certificate/%s/check-dcv" % made["id"])
    ca.settings(recheck_seconds=0.2)
    own = customer.place("polled.test")
    dns.text("polled.test", own["dcv_random_value"])
    customer.wait(own["id"])


@pytest.mark.parametrize("product,changed,code", [
    ("ssl_dv_geotrust", {"order_validity": None}, "undocumented"), ("ssl_dv_geotrust", {"order_validity": {"years": 1, "days": 3}}, "undocumented"),
    ("ssl_dv_geotrust", {"order_validity": {"custom_expiration_date": "2020-01-01"}}, "undocumented"), ("ssl_dv_geotrust", {"unheard": 1}, "undocumented"),
    ("ssl_basic", {}, "undocumented"), ("ssl_dv_geotrust", {"custom_fields": [{"metadata_id": 1, "value": "x"}]}, "undocumented"),
    ("ssl_dv_geotrust", {"certificate": {"common_name": "no.test", "dns_names": ["b.test"], "csr": csr.request("no.test"), "signature_hash": "sha256"}}, "invalid_dns_name"),
    ("ssl_dv_geotrust", {"certificate": {"common_name": "*.no.test", "csr": csr.request("*.no.test"), "signature_hash": "sha256"}}, "invalid_dns_name"),
    ("ssl_dv_geotrust", {"certificate": {"common_name": "no.test", "csr": csr.spoilt("no.test"), "signature_hash": "sha256"}}, "csr_invalid"),
    ("ssl_dv_geotrust", {"certificate": {"common_name": "no.test", "csr": csr.request("no.test", signer=csr.key("rsa", 1024)), "signature_hash": "sha256"}}, "csr_invalid"),
    ("ssl_dv_geotrust", {"certificate": {"common_name": "no.test", "csr": csr.request("no.test"), "signature_hash": "sha1"}}, "undocumented"),
    ("wildcard_dv_geotrust", {}, "invalid_dns_name"),
], ids=lambda value: str(value)[:40])
def test_orders_that_are_refused(ca, customer, product, changed, code):
    before = len(ca.orders())
    customer.refused(400, code, "POST", "/order/certificate/" + product, customer.order("no.test", **changed))
    assert len(ca.orders()) == before


def test_other_refusals_and_knobs(ca, customer):
    customer.refused(404, "undocumented", "POST", "/order/certificate/unheard", customer.order("no.test"))
    customer.refused(404, "not_found|order", "POST", "/order/certificate/ssl_dv_geotrust", customer.order("no.test", renewal_of_order_id=1))
    customer.refused(403, "access_denied|invalid_approver", "POST", "/order/certificate/ssl_dv_geotrust", customer.order("no.test", skip_approval=True), key="orders")
    ca.settings(balance=1.0)
    customer.refused(400, "undocumented", "POST", "/order/certificate/ssl_dv_geotrust", customer.order("no.test"))
    ca.settings(balance=1000.0, validity_years_accepted=True, unique_alternative_order_id=True)
    customer.place("years.test", order_validity=None, validity_years=1, alternative_order_id="once")
    customer.refused(400, "undocumented", "POST", "/order/certificate/ssl_dv_geotrust", customer.order("two.test", alternative_order_id="once"))


def test_people_approve_reject_and_validate(ca, customer, dns):
    ca.settings(approval="manual")
    waiting, refused = customer.place("approve.test", key="orders"), customer.place("reject.test", key="orders")
    assert waiting["requests"][0]["status"] == "pending" and customer.detail(waiting["id"])["status"] == "needs_approval"
    path = "/request/%s/status"
    customer.refused(403, "access_denied|invalid_approver", "PUT", path % waiting["requests"][0]["id"], {"status": "approved"}, key="orders")
    dns.text("approve.test", waiting["dcv_random_value"])
    assert customer.check(waiting["id"]).json["dcv_status"] == "valid"
    ca.advance(3 * 86400)
    assert customer.detail(waiting["id"])["status"] == "needs_approval"
    assert customer.send("PUT", path % waiting["requests"][0]["id"], {"status": "approved", "processor_comment": "fine"}).status == 204
    customer.wait(waiting["id"])
    assert customer.send("PUT", path % refused["requests"][0]["id"], {"status": "rejected"}).status == 204
    assert customer.detail(refused["id"])["status"] == "rejected"
    assert {r["status"] for r in customer.send("GET", "/request").json["requests"]} >= {"approved", "rejected"}
    direct = customer.place("skip.test", skip_approval=True)
    assert direct["requests"][0]["status"] == "approved"
    ov = customer.place("ov.test", product="ssl_basic", organization={"id": 117484}, skip_approval=True)
    dns.text("ov.test", ov["dcv_random_value"])
    assert customer.check(ov["id"]).json["dcv_status"] == "valid" and customer.detail(ov["id"])["status"] == "pending"
    ca.ask("POST", "/organizations", {"id": 117484})
    customer.wait(ov["id"])
    assert "O=Unvalidated Limited" in certificates(customer.download(ov["id"]))[0].subject.rfc4514_string()


def test_a_validated_domain_gives_a_certificate_at_once(customer, dns):
    made = customer.send("POST", "/domain", {"name": "ready.test", "organization": {"id": 117483}, "validations": [{"type": "ov"}], "dcv_method": "dns-txt-token"})
    assert made.status == 201
    path = "/domain/%s/dcv" % made.json["id"]
    customer.refused(400, "undocumented", "PUT", path)
    dns.text("ready.test", made.json["dcv_token"]["token"])
    assert customer.send("PUT", path).status == 204
    placed = customer.place("www.ready.test", product="ssl_basic", organization={"id": 117483})
    assert placed["certificate_id"] and certificates(placed["certificate_chain"][0]["pem"].encode())[0].subject.rfc4514_string().startswith("CN=www.ready.test")
    customer.refused(400, "undocumented", "POST", "/domain", {"name": "ready.test", "organization": {"id": 117483}, "validations": [], "dcv_method": "email"})


def test_reissue_and_duplicate_keep_the_order(ca, customer, dns):
    ca.settings(reuse_dv=True)
    number = customer.issued(dns, "re.digi.test", "gone.digi.test")
    first = customer.detail(number)["certificate"]
    again = {"certificate": customer.order("re.digi.test", "new.digi.test")["certificate"]}
    answer = customer.send("POST", "/order/certificate/%s/reissue" % number, again)
    assert answer.status == 201 and answer.json["id"] == number and "certificate_id" not in answer.json
    assert customer.detail(number)["status"] == "reissue_pending"
    customer.refused(400, "invalid_status", "PUT", "/certificate/%s/revoke" % first["id"], {"comments": "now"})
    customer.refused(400, "invalid_status", "POST", "/order/certificate/%s/reissue" % number, again)
    dns.text("new.digi.test", answer.json["dcv_random_value"])
    customer.check(number)
    customer.wait(number)
    second = customer.detail(number)["certificate"]
    assert second["id"] != first["id"] and second["dns_names"] == ["re.digi.test", "new.digi.test"]
    ca.advance(73 * 3600)
    wait_for(lambda: [c["status"] for c in customer.send("GET", "/order/certificate/%s/reissue" % number).json["certificates"]] == ["revoked", "issued"], "the revocation")
    twice = customer.send("POST", "/order/certificate/%s/duplicate" % number, {"certificate": customer.order("re.digi.test", "new.digi.test")["certificate"]})
    assert twice.status == 201 and twice.json["certificate_id"]
    assert len(customer.send("GET", "/order/certificate/%s/duplicate" % number).json["certificates"]) == 1


def test_one_order_gives_one_certificate_however_often_it_is_checked(ca, customer, dns):
    ca.settings(issue_seconds=100.0, reuse_dv=True)
    made = customer.place("once.digi.test")
    dns.text("once.digi.test", made["dcv_random_value"])
    for _ in range(3):
        assert customer.check(made["id"]).json["order_status"] == "processing"
    ca.advance(101)
    customer.wait(made["id"])
    assert len(ca.order(made["id"])["serials"]) == 1
    again = {"certificate": customer.order("once.digi.test")["certificate"]}
    assert customer.send("POST", "/order/certificate/%s/reissue" % made["id"], again).status == 201
    for _ in range(3):
        assert customer.check(made["id"]).json["order_status"] == "reissue_pending"
    ca.advance(101)
    customer.wait(made["id"])
    assert len(ca.order(made["id"])["serials"]) == 2


def test_renewal_is_a_new_order(customer, dns):
    number = customer.issued(dns, "renew.digi.test")
    fresh = customer.issued(dns, "renew.digi.test", renewal_of_order_id=number)
    assert fresh != number and customer.detail(number)["status"] == "renewed"


def test_revocation_and_cancellation(ca, customer, dns):
    ca.settings(revoke_last="order")
    number = customer.issued(dns, "revoke.digi.test")
    certificate = customer.detail(number)["certificate"]
    customer.refused(400, "undocumented", "PUT", "/certificate/%s/revoke" % certificate["id"], {"comments": "x", "revocation_reason": "hold"})
    customer.refused(404, "certificate_not_found", "PUT", "/certificate/1/revoke", {"comments": "x"})
    ca.settings(approval="manual")
    asked = customer.send("PUT", "/certificate/%s/revoke" % certificate["serial_number"], {"comments": "x", "revocation_reason": "superseded"}, key="orders")
    assert asked.status == 201 and asked.json["type"] == "revoke" and asked.json["status"] == "pending" and customer.detail(number)["status"] == "issued"
    assert customer.send("PUT", "/request/%s/status" % asked.json["id"], {"status": "approved"}).status == 204
    assert customer.detail(number)["status"] == "revoked"
    customer.refused(400, "invalid_status", "PUT", "/order/certificate/%s/revoke" % number, {"comments": "x"})
    ca.settings(approval="auto")
    waiting = customer.place("cancel.digi.test")["id"]
    path = "/order/certificate/%s/status" % waiting
    customer.refused(400, "undocumented", "PUT", path, {"status": "GONE", "note": "x"})
    assert customer.send("PUT", path, {"status": "CANCELED", "note": "not needed", "send_emails": False}).status == 204
    assert customer.detail(waiting)["status"] == "canceled"
    customer.refused(400, "invalid_status", "PUT", path, {"status": "CANCELED", "note": "x"})


def test_lists_have_pages_filters_and_changes(ca, customer):
    ca.seed(count=250, expired=5, revoked=5, rejected=5, canceled=5, pending=5, suffix="list.digi.test", csrs=[csr.request("mine.digi.test")])
    first = customer.send("GET", "/order/certificate?limit=100&offset=0&sort=-order_id").json
    assert len(first["orders"]) == 100 and first["page"]["total"] >= 275 and first["orders"][0]["id"] > first["orders"][1]["id"]
    total = first["page"]["total"]
    assert len(customer.send("GET", "/order/certificate?limit=100&offset=%d" % (total - 20)).json["orders"]) == 20
    assert customer.send("GET", "/order/certificate?filters[status]=expired").json["page"]["total"] >= 5
    mine = customer.send("GET", "/order/certificate?filters[common_name]=mine.digi.test").json["orders"]
    assert len(mine) == 1 and mine[0]["certificate"]["serial_number"]
    recent = customer.send("GET", "/order/certificate?filters[date_created]=%3E" + day(ca, -2)).json["page"]["total"]
    assert 0 < recent < total
    customer.refused(400, "undocumented", "GET", "/order/certificate?filters[unheard]=1")
    number = customer.place("changes.digi.test")["id"]
    ca.advance(7200)
    assert customer.send("GET", "/order/certificate/status-changes?minutes=60").json["orders"] == []
    assert number in [o["order_id"] for o in customer.send("GET", "/order/certificate/status-changes?minutes=180").json["orders"]]
    customer.refused(400, "undocumented", "GET", "/order/certificate/status-changes?minutes=10081")


# --- what the facts leave open, or tell in so many words ---

@pytest.mark.parametrize("counting,free", [("accepted", True), ("all", False)])
def test_a_limit_is_counted_for_each_key_and_tells_no_time(ca, customer, counting, free):
    ca.settings(limits=[[2, 5]], limit_counting=counting)
    ca.advance(10)
    answers = [customer.send("GET", "/user/me", key="viewer") for _ in range(3)]
    assert [a.status for a in answers] == [200, 200, 429] and answers[-1].headers["Retry-After"] is None
    assert customer.send("GET", "/user/me", key="orders").status == 200
    ca.advance(4)
    for _ in range(2):
        customer.refused(429, "request_limit_exceeded", "GET", "/product", key="viewer")
    ca.advance(2)  # the two that were taken are six seconds old
    assert (customer.send("GET", "/user/me", key="viewer").status == 200) is free
    ca.settings(limits=[], retry_after=0)
    assert ca.ask("GET", "/log")["busiest"]["viewer"]["5"] >= 3


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_a_limit_may_tell_the_wait_in_some_form(ca, customer, form):
    ca.settings(limits=[[1, 5]], retry_after=9, retry_after_form=form)
    ca.advance(10)
    customer.send("GET", "/user/me")
    told = customer.send("GET", "/user/me").headers["Retry-After"]
    assert {"seconds": told == "9", "date": bool(told) and told.endswith("GMT"), "none": told is None}[form]


@pytest.mark.parametrize("status", [204, 200])
@pytest.mark.parametrize("last,end", [("order", "revoked"), ("certificate", "issued")])
def test_a_revocation_that_nobody_approves_is_answered_with_nothing(ca, customer, dns, status, last, end):
    number = customer.issued(dns, "nothing.digi.test")
    ca.settings(revoke_status=status, revoke_last=last)
    before = len(customer.send("GET", "/request").json["requests"])
    certificate = customer.detail(number)["certificate"]["id"]
    answer = customer.send("PUT", "/certificate/%s/revoke" % certificate, {"comments": "nobody keeps this", "skip_approval": True})
    assert answer.status == status and answer.body == b"" and len(customer.send("GET", "/request").json["requests"]) == before
    assert customer.detail(number)["status"] == end and customer.detail(number)["certificate"]["status"] == "revoked"
    whole = customer.issued(dns, "whole.digi.test")
    assert customer.send("PUT", "/order/certificate/%s/revoke" % whole, {"skip_approval": True, "revocation_reason": "superseded"}).status == status
    assert customer.detail(whole)["status"] == "revoked"
    ca.settings(approval="manual")
    asked = customer.issued_by_people(dns, "asked.digi.test")
    answer = customer.send("PUT", "/order/certificate/%s/revoke" % asked, {"comments": "x"}, key="orders")
    assert answer.status == 201 and (answer.json["type"], answer.json["status"]) == ("revoke", "pending") and customer.detail(asked)["status"] == "issued"
    customer.refused(403, "access_denied|invalid_approver", "PUT", "/request/%s/status" % answer.json["id"], {"status": "approved"}, key="orders")
    assert customer.send("PUT", "/request/%s/status" % answer.json["id"], {"status": "rejected"}).status == 204
    assert customer.detail(asked)["status"] == "issued"


@pytest.mark.parametrize("method,code", [("dns-txt-token", "invalid_dns_txt"), ("http-token", "file_random_value_not_found")])
def test_a_check_that_finds_nothing_says_so_by_code(ca, customer, dns, files, method, code):
    ca.settings(check_dcv_form="status")
    name = method.split("-")[0] + "code.test"
    made = customer.place(name, dcv_method=method)
    customer.refused(400, code, "PUT", "/order/certificate/%s/check-dcv" % made["id"])
    if method == "http-token":
        # The file holds what several orders want, and is asked for over https first.
        files.put(name, "/.well-known/pki-validation/fileauth.txt", "of another order\n%s\n" % made["dcv_random_value"])
    else:
        dns.text("_dnsauth." + name, made["dcv_random_value"])
    answer = customer.check(made["id"])
    assert answer.status == 200 and set(answer.json) == {"order_status", "certificate_id", "dcv_status"} and answer.json["dcv_status"] == "valid"
    customer.wait(made["id"])
    if method == "http-token":
        assert [seen[0].split(":")[0] for seen in ca.ask("GET", "/network")["seen"] if name in seen[0]][-2:] == ["https", "http"]


def test_a_value_beyond_the_first_5000_bytes_is_not_seen(customer, files):
    made = customer.place("long.test", dcv_method="http-token")
    files.put("long.test", "/.well-known/pki-validation/fileauth.txt", "x" * 5000 + made["dcv_random_value"])
    customer.refused(400, "file_random_value_not_found", "PUT", "/order/certificate/%s/check-dcv" % made["id"])


def test_every_order_and_reissue_of_dv_is_validated_anew(ca, customer, dns):
    ca.settings(reuse_dv=False)
    made = customer.send("POST", "/domain", {"name": "fresh.test", "organization": {"id": 117483}, "validations": [{"type": "ov"}], "dcv_method": "dns-txt-token"}).json
    dns.text("fresh.test", made["dcv_token"]["token"])
    assert customer.send("PUT", "/domain/%s/dcv" % made["id"]).status == 204
    number = customer.issued(dns, "www.fresh.test")
    again = customer.send("POST", "/order/certificate/%s/reissue" % number, {"certificate": customer.order("www.fresh.test")["certificate"]}).json
    assert customer.detail(number)["status"] == "reissue_pending" and again["dcv_random_value"]
    dns.text("www.fresh.test", again["dcv_random_value"])
    assert customer.check(number).json["dcv_status"] == "valid"
    customer.wait(number)
    # What an organisation's certificates were validated by stays good.
    assert customer.place("ov.fresh.test", product="ssl_basic", organization={"id": 117483})["certificate_id"]


def test_a_duplicate_after_the_validation_has_expired_is_refused(ca, customer, dns):
    number = customer.issued(dns, "double.test", order_validity={"years": 3})
    ca.advance(200 * 86400)
    body = {"certificate": customer.order("double.test")["certificate"]}
    customer.refused(400, "undocumented", "POST", "/order/certificate/%s/duplicate" % number, body)
    assert customer.send("POST", "/order/certificate/%s/reissue" % number, body).json["dcv_random_value"]
    assert customer.detail(number)["status"] == "reissue_pending"


def test_order_info_knows_thumbprint_and_serial_of_the_primary_certificate(customer, dns):
    number = customer.issued(dns, "info.test")
    certificate = customer.detail(number)["certificate"]
    thumbprint = certificates(customer.download(number))[0].fingerprint(hashes.SHA1()).hex()
    assert [customer.detail(by)["id"] for by in (certificate["serial_number"], thumbprint)] == [number] * 2
    twin = customer.send("POST", "/order/certificate/%s/duplicate" % number, {"certificate": customer.order("info.test")["certificate"]}).json
    serial = next(c["serial_number"] for c in customer.send("GET", "/order/certificate/%s/duplicate" % number).json["certificates"] if c["id"] == twin["certificate_id"])
    customer.refused(404, "not_found|order", "GET", "/order/certificate/" + serial)


@pytest.mark.parametrize("form", ["pem", "pem crlf", "base64", "base64 lines", "none"])
def test_the_request_of_an_order_is_shown_in_one_of_many_forms(ca, customer, form):
    ca.settings(csr_shown=form)
    shown = customer.detail(customer.place("shown.test")["id"])["certificate"]["csr"]
    assert ("BEGIN" in shown) == form.startswith("pem") and bool(shown) == (form != "none") and ("\r" in shown) == (form == "pem crlf")


def test_another_certificate_of_the_order_comes_back_now_and_then(ca, customer, dns):
    ca.settings(reuse_dv=True)
    number = customer.issued(dns, "stray.test")
    first = certificates(customer.download(number))[0]
    customer.send("POST", "/order/certificate/%s/reissue" % number, {"certificate": customer.order("stray.test")["certificate"]})
    customer.wait(number)
    ca.settings(other_downloads=1, lists_repeat_primary=True)
    newest = customer.detail(number)["certificate"]["id"]
    got = [certificates(customer.send("GET", "/certificate/%s/download/format/pem_all" % newest).body)[0] for _ in range(2)]
    assert got[0] == first and got[1] != first
    rows = [c["id"] for c in customer.send("GET", "/order/certificate/%s/reissue" % number).json["certificates"]]
    assert len(rows) == 3 and len(set(rows)) == 2


@pytest.mark.parametrize("how,rows", [("refused", None), ("works", 1), ("ignored", 2)])
def test_a_filter_by_our_own_reference_works_or_does_not(ca, customer, how, rows):
    ca.settings(filter_alternative=how)
    for part in ("a", "b"):
        customer.place("%s.%s.filter.test" % (part, how), alternative_order_id="%s-%s" % (how, part))
    path = "/order/certificate?filters[alternative_order_id]=%s-a" % how
    if rows is None:
        customer.refused(400, "undocumented", "GET", path)
    else:
        found = [o for o in customer.send("GET", path).json["orders"] if o["certificate"]["common_name"].endswith(how + ".filter.test")]
        assert len(found) == rows
    assert customer.send("GET", "/order/certificate?filters[search]=a.%s.filter.test" % how).json["page"]["total"] == 1


@pytest.mark.parametrize("approval,status", [("manual", "needs_approval"), ("hold", "pending"), ("reject", "rejected")])
def test_people_may_have_decided_before_anybody_looks(ca, customer, approval, status):
    ca.settings(approval=approval)
    before = ca.paid()
    number = customer.place("people.test", skip_approval=None if approval == "manual" else True)["id"]
    assert customer.detail(number)["status"] == status and ca.paid() == before + 1
