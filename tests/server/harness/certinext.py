"""Customers of the simulated CERTInext, one for each of its interfaces, who speak plain HTTP as its documents describe it."""
import datetime
import hashlib
import secrets
import urllib.parse

from cryptography import x509

from . import csr
from .simulator import Wire
from .waiting import wait_for

PLACE = "/emSignHub-API/"
TWO = "/api/certinext/v2"


class One:
    """A customer of V1."""

    def __init__(self, ca):
        self.ca, self.wire = ca, Wire(ca)

    def meta(self, offset=0, **changed):
        now = datetime.datetime.fromtimestamp(self.ca.ask("GET", "/clock")["now"] + offset, datetime.timezone.utc)
        stamp, txn = now.isoformat(timespec="seconds"), secrets.token_hex(8)
        meta = {"ver": "1.0", "ts": stamp, "txn": txn, "accountNumber": self.ca.account_number,
                "authKey": hashlib.sha256((self.ca.access_key + stamp + txn).encode()).hexdigest()}
        return dict(meta, **changed)

    def signed(self, txn):
        """Time stamp and key for a txn that was made before."""
        stamp = self.meta()["ts"]
        return {"ts": stamp, "authKey": hashlib.sha256((self.ca.access_key + stamp + txn).encode()).hexdigest()}

    def send(self, operation, meta=None, **blocks):
        return self.wire.send("POST", PLACE + operation, dict({"meta": meta or self.meta()}, **blocks))

    def call(self, operation, **blocks):
        answer = self.send(operation, **blocks)
        assert answer.status == 200 and answer.json["meta"]["status"] == "1", answer.body
        return answer.json

    def refused(self, operation, **blocks):
        answer = self.send(operation, **blocks)
        assert answer.json["meta"]["status"] == "0" and answer.json["meta"]["errorMessage"], answer.body
        return answer.json["meta"]["errorCode"] or answer.json["meta"]["errorMessage"]

    def order(self, *names, **changed):
        details = {"productCode": "842" if len(names) == 1 else "844", "accountingModel": "2", "saveAndHold": "0", "emailNotifications": "1",
                   "requestorInformation": {"requestorName": "Ops", "requestorEmail": "ops@example.com", "requestorIsdCode": "1", "requestorMobileNumber": "5550100"},
                   "subscriptionDetails": {"validity": "1", "autoRenew": "0", "renewCriteria": "30"},
                   "certificateInformation": {"domainName": names[0], "autoSecureWWW": "0"},
                   "technicalPointOfContact": {"tpcName": "Ops", "tpcEmail": "ops@example.com", "tpcIsdCode": "1", "tpcMobileNumber": "5550100"},
                   "agreementDetails": {"acceptAgreement": "1", "signerName": "Ops", "signerPlace": "Here", "signerIP": "203.0.113.9"},
                   "additionalInformation": {"remarks": "evercert", "tags": [names[0] + "-1"]}, "csr": csr.request(*names)}
        if len(names) > 1:
            details["certificateInformation"]["additionalDomains"] = list(names[1:])
        details.update(changed)
        return {name: value for name, value in details.items() if value is not None}

    def place(self, *names, **changed):
        return self.call("GenerateOrderSSL", orderDetails=self.order(*names, **changed))["orderDetails"]["orderNumber"]

    def dcv(self, number, name, method):
        return {"requestorEmail": "ops@example.com", "orderNumber": number, "domainName": name, "dcvMethod": method}

    def track(self, number):
        return self.call("TrackOrder", orderDetails={"orderNumber": number})["orderDetails"]

    def certificate(self, number):
        return self.call("GetCertificate", orderDetails={"orderNumber": number, "requestorEmail": "ops@example.com"})["certificateDetails"]


class Two:
    """A customer of V2."""

    def __init__(self, ca):
        self.ca, self.wire, self.bearer = ca, Wire(ca), None
        self.bearer = self.token().json["access_token"]

    def token(self, **changed):
        form = dict({"grant_type": "client_credentials", "client_id": self.ca.client_id, "client_secret": self.ca.client_secret}, **changed)
        return self.wire.send("POST", "/oauth/token", form=urllib.parse.urlencode(form))

    def send(self, method, path, body=None, **headers):
        headers = dict({"Accept": "application/json", "Authorization": "Bearer " + self.bearer}, **{k.replace("_", "-"): v for k, v in headers.items()})
        return self.wire.send(method, TWO + path, body, headers)

    def order(self, *names, **changed):
        body = {"productVariant": "dv" if len(names) == 1 else "dv-ucc", "certificate": {"domain": names[0], "autoSecureWww": False},
                "subscription": {"validityYears": 1, "autoRenew": False}, "requestor": {"name": "Ops", "email": "ops@example.com", "phone": "+15550100", "designation": "Ops"},
                "agreement": {"signerName": "Ops", "signerPlace": "Here", "accepted": True}, "csr": csr.request(*names), "tags": [names[0] + "-2"]}
        if len(names) > 1:
            body["certificate"]["additionalDomains"] = list(names[1:])
        return {name: value for name, value in dict(body, **changed).items() if value is not None}

    def place(self, *names, **changed):
        answer = self.send("POST", "/ssl-certificates", self.order(*names, **changed))
        assert answer.status == 201, answer.body
        return answer.json["orderId"]

    def status(self, number):
        return self.send("GET", "/ssl-certificates/" + number).json

    def prove(self, dns, number, name):
        token = self.send("GET", "/ssl-certificates/%s/dcv?domain=%s&method=dns-txt" % (number, name)).json["token"]
        dns.text(name, token)
        return self.send("POST", "/ssl-certificates/%s/dcv/verify" % number, {"domain": name, "method": "dns-txt"})

    def issued(self, dns, *names, **changed):
        number = self.place(*names, **changed)
        for name in names:  # a record at a name stands for all below it, too
            if any(d["domain"] == name and d["dcvStatus"] == "PENDING" for d in self.status(number)["verifications"]["domain"]["domains"]):
                assert self.prove(dns, number, name).status == 200
        wait_for(lambda: self.status(number)["status"] == "issued", "the certificate", seen=lambda: self.status(number))
        return number


def leaf_of(pem):
    return x509.load_pem_x509_certificate(pem.encode())
