"""CERTInext's first interface: every call is a POST of {"meta": …} to the name of an operation."""
import datetime
import hashlib
import json
import re

from common import shapes
from common.shapes import Fields, List, choice, complaints, digits, email, optional, text
from common.web import Refusal, Reply, json_reply

from .account import CERTIFICATE_STATUS, ORDER_STATUS, REASONS, Problem

PREFIX = "/emSignHub-API/"
META = Fields({"ver": choice("1.0"), "ts": text(25, pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"), "txn": text(50, 10, r"[A-Za-z0-9]+"),
               "accountNumber": digits, "authKey": text(64, 0, r"([0-9a-f]{64})?")})
ADDRESS = text(45)
AGREEMENT = {"acceptAgreement": choice("1"), "signerName": text(200), "signerPlace": text(200), "signerIP": ADDRESS}
REMARKS = Fields({"remarks": text(1000)}, {"tags": List(text(200))})
PLACE = Fields({
    "productCode": digits,
    "requestorInformation": Fields({"requestorName": text(200), "requestorEmail": email, "requestorIsdCode": digits, "requestorMobileNumber": digits},
                                   {"requestorDesignation": shapes.anything}),
    "subscriptionDetails": Fields({"validity": choice("1", "2", "3"), "autoRenew": choice("0", "1")}, {"renewCriteria": optional(choice("30", "60"))}),
    "certificateInformation": Fields({"domainName": text(253)}, {"additionalDomains": List(text(253)), "autoSecureWWW": choice("0", "1")}),
}, {
    "accountingModel": choice("1", "2"), "saveAndHold": choice("0", "1"), "emailNotifications": choice("1"),
    "delegationInformation": Fields({"groupNumber": digits}),
    "organizationDetails": Fields({"preVetting": choice("0", "1")}, {"organizationNumber": digits}),
    "csr": text(32767), "agreementDetails": Fields(AGREEMENT),
    "technicalPointOfContact": Fields({"tpcName": text(200), "tpcEmail": email}, {"tpcIsdCode": optional(digits), "tpcMobileNumber": optional(digits)}),
    "additionalInformation": REMARKS,
})
DCV = Fields({"requestorEmail": email, "orderNumber": digits, "domainName": text(253), "dcvMethod": choice("1", "2", "3")}, {"dcvEmail": optional(email)})
SEARCH = Fields({}, {name: shapes.anything for name in (
    "productCode", "groupNumber", "orderDateFrom", "orderDateTill", "domainName", "orderNumber", "orderStatusId", "certExpiryDateFrom",
    "certExpiryDateTill", "requestorEmailId", "pageNumber", "pageSize", "certificateChain", "certificateTrustType")})
METHODS = {"dns": "DNS TXT Record", "http": "HTTP File", "email": "Email", "domain": "Pre-validated", "": ""}
NOTHING = Fields()
# Operation: the block that it needs besides meta, its shape, the method below that answers.
OPERATIONS = {
    "ValidateCredentials": (None, NOTHING, "validate"),
    "GetProductDetails": ("productDetails", Fields({}, {"groupNumber": digits}), "products"),
    "GetFieldDetails": ("productDetails", Fields({"groupNumber": digits, "categoryID": digits, "productCode": digits}), "fields"),
    "GenerateOrderSSL": ("orderDetails", PLACE, "place"), "GenerateOrderPrivatePKI": ("orderDetails", PLACE, "place_private"),
    "SubmitCSR": ("orderDetails", Fields({"orderNumber": digits, "requestorEmail": email, "csr": text(32767)}), "submit_csr"),
    "AgreementAcceptance": ("agreementDetails", Fields(dict(AGREEMENT, requestorEmail=email, orderNumber=digits)), "agree"),
    "GetDcv": ("dcvDetails", DCV, "dcv"), "VerifyDcv": ("dcvDetails", DCV, "verify"),
    "TrackOrder": ("orderDetails", Fields({"orderNumber": digits}), "track"),
    "GetCertificate": ("orderDetails", Fields({"orderNumber": digits, "requestorEmail": email}), "certificate"),
    "RevokeOrder": ("revocationDetails", Fields({"orderNumber": digits, "requestorEmail": email, "revokeReasonId": digits},
                                                {"revokeRemarks": shapes.anything}), "revoke"),
    "RejectOrder": ("orderDetails", Fields({"orderNumber": digits, "rejectRemarks": text(1000)}), "reject"),
    "RejectRequest": ("orderDetails", Fields({"requestNumber": digits, "rejectRemarks": text(1000)}), "reject_request"),
    "GetOrderReport": ("searchCriteria", SEARCH, "report"),
}
# Answers whose layout nobody has described: the setting `layouts` has what is answered, else the call is refused.
UNDESCRIBED = ("GetGroupDetails", "GetGroupDetailsV2", "GetOrganizationDetails", "GetDomainDetails", "GenerateOrderSMIME",
               "GenerateOrderSignature", "SubmitDocument")


# Operations after which something is not as it was, so that nobody wants them twice.
CHANGING = ("GenerateOrderSSL", "GenerateOrderPrivatePKI", "SubmitCSR", "AgreementAcceptance", "VerifyDcv", "RevokeOrder", "RejectOrder", "RejectRequest")


class Failure(Exception):
    """Of authentication: may have an HTTP status of its own."""


def operation_of(call):
    return call.path[len(PREFIX):]


class VersionOne:
    def __init__(self, simulator, account, token_is_good):
        self.simulator, self.account, self.settings = simulator, account, simulator.settings
        self.token_is_good = token_is_good
        self.transactions = {}  # txn: when it was used

    def handle(self, call):
        operation = operation_of(call)
        if call.method != "POST" or operation not in OPERATIONS and operation not in UNDESCRIBED:
            raise Refusal(json_reply({"timestamp": self.account.stamp(self.simulator.now()), "status": 404, "error": "Not Found", "path": call.path}, 404))
        if call.media_type() != "application/json":
            raise Refusal(Reply(415, b""))
        meta = {}
        try:
            body = json.loads(call.body)
        except ValueError as error:
            raise Refusal(json_reply({"timestamp": self.account.stamp(self.simulator.now()), "status": 400, "error": "Bad Request",
                                      "path": call.path}, 400)) from error
        try:
            meta = body.get("meta", {}) if isinstance(body, dict) else {}
            meta = meta if isinstance(meta, dict) else {}
            self.authenticate(call, meta)
            return self.answered(meta, self.operate(operation, body))
        except Failure as failure:
            if self.settings["v1_authentication_body"] == "empty" and self.settings["v1_authentication_status"] != 200:
                return Reply(self.settings["v1_authentication_status"])
            return self.answered(meta, {}, self.settings["undocumented_code"], str(failure), self.settings["v1_authentication_status"])
        except Problem as problem:
            return self.answered(meta, {}, problem.code or self.settings["undocumented_code"], str(problem), problem.status or 200)

    def answered(self, meta, blocks, code="", message="", status=200):
        now = datetime.datetime.fromtimestamp(self.simulator.date(), datetime.timezone.utc)
        reply = {"meta": {"ver": "1.0", "ts": now.isoformat(timespec="seconds"), "txn": str(meta.get("txn", "")),
                          "status": "0" if message else "1", "errorCode": code, "errorMessage": message}}
        return json_reply(dict(reply, **blocks), status)

    def authenticate(self, call, meta):
        said = complaints(meta, META)
        if said:
            raise Problem("", "meta.%s %s" % said[0])
        if meta["accountNumber"] != self.account.number:
            raise Failure(self.settings["authentication_words"])
        bearer = call.header("Authorization")
        if bearer:
            if not self.token_is_good(bearer) or meta["authKey"]:
                raise Failure(self.settings["authentication_words"])
        else:
            wanted = hashlib.sha256((self.account.access_key + meta["ts"] + meta["txn"]).encode()).hexdigest()
            if meta["authKey"] != wanted:
                raise Failure(self.settings["authentication_words"])
        now, known = self.simulator.now(), self.settings["txn_seconds"]
        used = self.transactions.get(meta["txn"])
        if used is not None and (not known or now - used < known):
            self.simulator.counts["repeated number"] += 1
            raise Problem("", "Duplicate transaction", status=self.settings["duplicate_txn_status"])
        self.transactions[meta["txn"]] = now  # whatever becomes of this try, the next one needs another
        try:
            stamp = datetime.datetime.fromisoformat(meta["ts"]).timestamp()
        except ValueError as error:
            raise Problem("", "meta.ts is no time") from error
        if abs(stamp - self.simulator.date()) > self.settings["clock_skew_seconds"]:
            raise Failure("The time of the request is too far from ours")

    def operate(self, operation, body):
        if operation in UNDESCRIBED:
            if operation in self.settings["layouts"]:
                return self.settings["layouts"][operation]
            raise Problem("", "The layout of %s is not known to this simulator (setting layouts)" % operation)
        block, shape, method = OPERATIONS[operation]
        extra = [name for name in body if name not in ("meta", block)]
        if extra:
            raise Problem("", extra[0] + " is not known")
        if block and block not in body:
            raise Problem("", block + " is missing")
        given = body.get(block, {})
        said = complaints(given, shape)
        if said:
            raise Problem("EMS-918" if said[0][0] == "additionalInformation.remarks" else "", "%s %s" % said[0])
        return getattr(self, method)(given) or {}

    def requestor(self, address):
        if address not in self.account.users:
            raise Problem("", "%s is not registered in this account" % address)

    # --- operations ---
    def validate(self, _):
        return {}

    def products(self, given):
        group = self.account.group_of(given.get("groupNumber"))
        if self.settings["products_need_group"] and "groupNumber" not in given:
            return {"productDetails": []}
        rows = {}
        for product in self.account.on_offer().values():
            if product["code"] in self.account.unmapped.get(group, ()):
                continue
            name = "Private PKI" if product["category"] == "8" else "SSL Certificates"
            category = rows.setdefault(product["category"], {"categoryName": name, "categoryID": product["category"], "currencyType": "USD", "products": []})
            category["products"].append({"productCode": product["code"], "productName": product["name"], "productTypeID": product["type"],
                                         "price": "%.2f" % product["price"]})
        return {"productDetails": list(rows.values())}

    def fields(self, given):
        self.product(given["productCode"], self.account.group_of(given["groupNumber"]), given["categoryID"])
        if "GetFieldDetails" in self.settings["layouts"]:
            return self.settings["layouts"]["GetFieldDetails"]
        raise Problem("", "The layout of GetFieldDetails is not known to this simulator (setting layouts)")

    def product(self, code, group, category):
        found = self.account.on_offer().get(code)
        if found is None or (found["category"] == "8") != (category == "8"):
            raise Problem("EMS-1162", "Invalid Product Code")
        if code in self.account.unmapped.get(group, ()):
            raise Problem("EMS-1269", "Product not mapped to this group")
        return found

    def place_private(self, given):
        if given.get("saveAndHold", "0") == "0" and self.settings["approval"] != "auto":
            raise Problem("EMS-939", "Something went wrong")
        return self.place(given, "8")

    def place(self, given, category="2"):
        account = self.account
        if account.inactive():
            raise Problem("", "Inactive Account User.")
        if "additionalInformation" not in given:
            raise Problem("EMS-918", "Additional Information is missing")
        group = account.group_of(given.get("delegationInformation", {}).get("groupNumber"))
        product = self.product(given["productCode"], group, category)
        who = given["requestorInformation"]
        self.requestor(who["requestorEmail"])
        wanted = given["certificateInformation"]
        names = account.all_names(product, wanted["domainName"], wanted.get("additionalDomains", []), wanted.get("autoSecureWWW", "1") == "1")
        organization = given.get("organizationDetails", {})
        number = account.organization_for(product, organization.get("organizationNumber"), organization.get("preVetting") == "1")
        agreement = given.get("agreementDetails")
        agreement = agreement and account.agreed(agreement["signerName"], agreement["signerPlace"], agreement["signerIP"], self.settings["place_checks_signer_ip"])
        draft = given.get("saveAndHold") == "1"
        order = account.place(
            draft, queued=self.settings["queue_without_organization"] and not organization.get("organizationNumber"), product=product, names=names, years=int(given["subscriptionDetails"]["validity"]), group=group, organization=number,
            auto_renew=given["subscriptionDetails"]["autoRenew"] == "1", agreement=agreement,
            request=account.request_of(given["csr"], names) if "csr" in given else None, technical=given.get("technicalPointOfContact", {}),
            requestor={"name": who["requestorName"], "email": who["requestorEmail"], "phone": "+" + who["requestorIsdCode"] + who["requestorMobileNumber"]},
            remarks=given["additionalInformation"]["remarks"], tags=given["additionalInformation"].get("tags", []))
        if draft:
            return {"orderDetails": {"requestNumber": order.request_number}}
        return {"orderDetails": {"orderNumber": order.number, "requestNumber": order.request_number, "trackingURL": self.tracking(order)}}

    def tracking(self, order):
        return "%s/track/%s" % (self.simulator.url, order.number)

    def submit_csr(self, given):
        self.requestor(given["requestorEmail"])
        order = self.account.find(given["orderNumber"])
        if order.state not in ("open", "hold", "discrepancy") or order.request is not None and not self.settings["csr_replacement"]:
            raise Problem("EMS-956", "Invalid Request for this API")
        order.request = self.account.request_of(given["csr"], order.names)
        self.account.used_requests[order.request.der] = order
        self.account.progress(order)

    def agree(self, given):
        self.requestor(given["requestorEmail"])
        order = self.account.find(given["orderNumber"])
        if order.agreement is not None:
            raise Problem("EMS-1082", "Agreement already signed")
        order.agreement = self.account.agreed(given["signerName"], given["signerPlace"], given["signerIP"])
        self.account.progress(order)

    def control(self, given):
        self.requestor(given["requestorEmail"])
        order = self.account.find(given["orderNumber"])
        return order, self.account.control_of(order, given["domainName"])

    def dcv(self, given):
        _, control = self.control(given)
        if "dcvEmail" in given:
            raise Problem("", "dcvEmail belongs to VerifyDcv")
        if given["dcvMethod"] == "1":
            return {"dcvDetails": {"token": control.text_token}}
        if given["dcvMethod"] == "2":
            if control.name.startswith("*."):
                raise Problem("", "A wildcard domain cannot be validated by file")
            return {"dcvDetails": {"fileName": control.file_name, "fileContent": control.file_content}}
        return {"dcvDetails": {"dcvEmails": self.account.addresses_of(control)}}

    def verify(self, given):
        order, control = self.control(given)
        if (given["dcvMethod"] == "3") != bool(given.get("dcvEmail")):
            raise Problem("", "dcvEmail belongs to method 3, and to no other")
        if given["dcvMethod"] == "3":
            if given["dcvEmail"] not in self.account.addresses_of(control):
                raise Problem("", "dcvEmail is none of the addresses offered")
            self.simulator.mail(given["dcvEmail"], order.number, domain=control.name)
        else:
            method = "dns" if given["dcvMethod"] == "1" else "http"
            self.simulator.later(self.settings["dcv_seconds"], self.account.verify, order, control, method)

    def track(self, given):
        order = self.account.find(given["orderNumber"])
        order_id, certificate_id = self.account.ids(order)
        certificate, day = order.certificate, self.account.day
        answer = {"trackingUrl": self.tracking(order), "orderStatusId": str(order_id), "orderStatus": ORDER_STATUS[order_id],
                  "certificateStatusId": str(certificate_id), "certificateStatus": CERTIFICATE_STATUS[certificate_id],
                  "certificateExpiryDate": day(certificate.end) if certificate else "",
                  "requestorInformation": {"requestorName": order.requestor["name"], "requestorEmail": order.requestor["email"]},
                  "csr": order.request.shown(self.settings["csr_shown"]) if order.request else "", "subscriberAgreement": {"status": "1" if order.agreement else "0"}}
        if order.revocation:
            reasons = {v: k for k, v in REASONS.items()}
            status = order.revocation["status"]
            answer["revocationDetails"] = {"revokeRequestStatusId": status, "revokeRequestStatus": {"1": "Initiated", "2": "Revoked", "3": "Rejected"}[status],
                                           "revokeReasonId": reasons[order.revocation["reason"]], "revokeProcessedDate": day(order.revocation["at"])}
        if self.simulator.now() - order.placed_at >= self.settings["domain_verification_seconds"]:
            marks = {"PENDING": "0", "VERIFIED": "1", "REJECTED": "2"}
            block = {"status": "1" if all(c.status == "VERIFIED" for c in order.controls.values()) else "0"}
            for name, control in order.controls.items():
                block[name] = {"dcvMethod": METHODS[control.method], "dcvStatus": marks[control.status], "status": "1",
                               "verifiedDate": day(control.verified_at), "caaStatus": control.caa}
            answer["domainVerification"] = block
        return {"orderDetails": answer}

    def certificate(self, given):
        self.requestor(given["requestorEmail"])
        order = self.account.find(given["orderNumber"])
        self.account.expire(order)
        if order.certificate is None or order.state not in ("issued", "downloaded", "expired", "revoked"):
            raise Problem("EMS-956", "Invalid Request for this API")
        if order.state == "revoked" and self.settings["revoked_download"] != "given":
            if self.settings["revoked_download"] == "refused":
                raise Problem("EMS-956", "Invalid Request for this API")
            return {"certificateDetails": {"endEntityCertificate": "", "caCertificate": "", "rootCertificate": "", "expiryDate": "", "ceritficateSerialNumber": ""}}
        order.state = "downloaded" if order.state == "issued" else order.state
        leaf, chain, root = self.simulator.delivered(order)
        return {"certificateDetails": {"endEntityCertificate": leaf, "caCertificate": "".join(chain), "rootCertificate": root,
                                       "expiryDate": self.account.day(order.certificate.end),
                                       "ceritficateSerialNumber": "%x" % order.certificate.serial}}

    def revoke(self, given):
        self.requestor(given["requestorEmail"])
        if given["revokeReasonId"] not in REASONS:
            raise Problem("", "Invalid Revoke Reason ID")
        self.account.revoke(self.account.find(given["orderNumber"]), REASONS[given["revokeReasonId"]], given.get("revokeRemarks"))

    def reject(self, given):
        self.account.cancel(self.account.find(given["orderNumber"]), given["rejectRemarks"])

    def reject_request(self, given):
        order = self.account.orders.get("request-" + given["requestNumber"])
        if order is None:
            raise Problem("EMS-913", "Request not found")
        self.account.cancel(order, given["rejectRemarks"])

    def report(self, given):
        size, page = given.get("pageSize", "") or "100", given.get("pageNumber", "") or "1"
        if not re.fullmatch(r"[1-9]\d{0,2}", size) or int(size) > 500 or not re.fullmatch(r"[1-9]\d{0,6}", page):
            raise Problem("", "pageNumber begins with 1 and pageSize is at most 500")
        for name in ("orderDateFrom", "orderDateTill", "certExpiryDateFrom", "certExpiryDateTill"):
            if given.get(name) and shapes.day(given[name]):
                raise Problem("", name + " must be YYYY-MM-DD")
        rows = [order for order in self.account.orders.values() if self.selected(order, given)]
        start = (int(page) - 1) * int(size)
        return {"orderDetails": {"noOfPages": -(-len(rows) // int(size)), "totalNoOfResults": len(rows), "currentPage": page, "pageSize": int(size),
                                 "ordersArray": [self.row(order, given.get("certificateChain") == "1") for order in rows[start:start + int(size)]]}}

    def selected(self, order, given):
        def day():
            return self.account.day(order.placed_at)[:10]

        def end():
            return self.account.day(order.certificate.end if order.certificate else None)[:10]
        tests = {"productCode": lambda v: order.product["code"] == v, "groupNumber": lambda v: order.group == v,
                 "orderDateFrom": lambda v: day() >= v, "orderDateTill": lambda v: day() <= v, "domainName": lambda v: v.lower() in order.names,
                 "orderNumber": lambda v: order.number == v, "orderStatusId": lambda v: str(self.account.ids(order)[0]) == v,
                 "certExpiryDateFrom": lambda v: end() >= v, "certExpiryDateTill": lambda v: "" < end() <= v,
                 "requestorEmailId": lambda v: order.requestor["email"] == v,
                 "certificateTrustType": lambda v: v == ("2" if order.product["category"] == "8" else "1")}
        return all(tests[name](value) for name, value in given.items() if value and name in tests)

    def row(self, order, chain):
        order_id, certificate_id = self.account.ids(order)
        certificate, organization = order.certificate, self.account.organizations.get(order.organization)
        row = {"orderNumber": order.number, "requestNumber": order.request_number, "orderStatusId": str(order_id), "orderStatus": ORDER_STATUS[order_id],
               "certificateStatusId": str(certificate_id), "certificateStatus": CERTIFICATE_STATUS[certificate_id], "domainName": order.names[0],
               "organizationName": organization["name"] if organization else "", "groupNumber": order.group, "productCode": order.product["code"],
               "certificateSerialNumber": "%x" % certificate.serial if certificate else "",
               "certificateExpiryDate": self.account.day(certificate.end) if certificate else "",
               "issuerCA": self.simulator.authority.brand + " Simulated TLS CA" if certificate else "",
               "certificateTrustType": "2" if order.product["category"] == "8" else "1", "orderDate": self.account.day(order.placed_at),
               "expiresWithin": str(int((certificate.end - self.simulator.now()) // 86400)) if certificate else "", "tags": order.tags,
               "customFields": [], "countryName": ""}
        return row
