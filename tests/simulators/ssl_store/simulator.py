"""The SSL Store as one server: POST of JSON below /rest/, HTTP 200 for nearly everything, errors inside."""
import base64
import io
import json
import re
import zipfile

from common.authority import colons, hexadecimal, pem_of, pkcs7_of
from common.shapes import Fields, complaints, text
from common.simulator import Simulator
from common.web import Refusal, Reply, json_reply

from .account import NONE, SECTIGO_HASHES, SETTINGS, Account, Refused
from .operations import ARRAYS, AUTH, CHANGING, OPERATIONS, TOKEN_MAY, TOP, any_text

PREFIX = "/rest/"


class SslStore(Simulator):
    title = "ssl_store"
    own_settings = SETTINGS

    def __init__(self, *arguments, **options):
        self.replayed, self.recent, self.stranger = set(), [], False
        super().__init__(*arguments, **options)
        self.account = Account(self)

    @staticmethod
    def operation_of(call):
        return call.path[len(PREFIX):].strip("/").lower() if call.path.startswith(PREFIX) else ""

    def label(self, call):
        operation = self.operation_of(call)
        return operation if operation in OPERATIONS or operation in TOP or operation == "health/status" else "unknown"

    def changes(self, call):
        return call.label in CHANGING

    def limit(self):
        """A limit of requests, of which nothing is known but that there may be one."""
        now, most = self.now(), self.settings["requests_per_second"]
        self.recent = [t for t in self.recent if now - t < 1]
        if most and len(self.recent) >= most:
            raise Refusal(Reply(429, "", self.retry_after(1)))
        self.recent.append(now)

    def handle(self, call):
        operation = self.operation_of(call)
        if operation == "health/status":
            return json_reply("OK") if call.method == "GET" else Reply(405)
        if operation not in OPERATIONS and operation not in TOP:
            return Reply(404, "<html><body>Not Found</body></html>", kind="text/html")
        if call.method != "POST":
            return Reply(405)
        self.limit()
        if call.media_type() != "application/json":
            return Reply(415)
        auth = {}
        try:
            try:
                body = json.loads(call.body)
            except ValueError as error:
                raise Refused("The request is no JSON") from error
            if not isinstance(body, dict):
                raise Refused("The request is no object")
            if operation in TOP:
                auth, call.account = body, str(body.get("PartnerCode", ""))
                return self.top(operation, body)
            auth = body.pop("AuthRequest", None)
            said = complaints(auth, AUTH, "AuthRequest")
            auth = auth if isinstance(auth, dict) else {}
            if said:
                raise Refused("%s %s" % said[0])
            call.account = str(auth.get("PartnerCode", ""))
            limited = self.authenticate(operation, auth)
            shape, method = OPERATIONS[operation]
            said = complaints(body, shape)
            if said:
                raise Refused("%s %s" % said[0])
            answer = getattr(self, method)(body, limited)
            if isinstance(answer, list):
                return json_reply([dict(row, AuthResponse=self.response(auth)) for row in answer])
            return json_reply(dict(answer or {}, AuthResponse=self.response(auth)))
        except Refused as refused:
            number = self.settings["undocumented_number"]
            said = str(refused) if str(refused).startswith("-9008") or not number else "%s %s" % (number, refused)
            response = self.response(auth, [said])
            if operation == "health/validate":
                return json_reply(response)
            return json_reply([{"AuthResponse": response}] if operation in ARRAYS else {"AuthResponse": response})

    def response(self, auth, message=()):
        return {"isError": bool(message), "Message": list(message) or None, "Timestamp": self.account.date(self.date(), "en-US"),
                "ReplayToken": auth.get("ReplayToken"), "InvokingPartnerCode": auth.get("PartnerCode")}

    def known(self, auth):
        return (auth.get("PartnerCode"), auth.get("AuthToken")) == (self.account.partner, self.account.token)

    def authenticate(self, operation, auth):
        """The only order that the caller may reach, or None."""
        self.stranger = False
        replay = auth.get("ReplayToken")
        if replay and self.settings["refuse_replay"]:
            if replay in self.replayed:
                self.counts["repeated number"] += 1
                raise Refused("The ReplayToken was used before")
            self.replayed.add(replay)
        if auth.get("IsUsedForTokenSystem"):
            for order in self.orders.values():
                if auth.get("Token") == "%s#!%s" % (order.token_id, order.token_code) and operation in TOKEN_MAY:
                    return order
            raise Refused("-9008 Token/Authentication Failure")
        self.stranger = not self.known(auth)
        if self.stranger and (operation != "order/query" or self.settings["query_wrong_token"] == "refused"):
            raise Refused("-9008 Token/Authentication Failure")
        return None

    def top(self, operation, body):
        said = complaints(body, Fields({"PartnerCode": text(60), "AuthToken": text(200)}, {"ReplayToken": any_text, "UserAgent": any_text}))
        if said:
            raise Refused("%s %s" % said[0])
        if not self.known(body):
            raise Refused("-9008 Token/Authentication Failure")
        if operation == "health/validate":
            return json_reply(self.response(body))
        if operation == "user/accountdetail":
            return json_reply({"AuthResponse": self.response(body), "AccountBalance": round(self.settings["balance"], 2), "CurrentPlan": "Partner",
                               "AllowCredit": self.settings["allow_credit"], "Email": self.account.email})
        return json_reply({"AuthResponse": self.response(body), "OrganizationList": [
            dict(TSSOrganizationId=number, Status="Active", Address="1 Example Street", State="EX", Zip="00000", OrganizationContact={}, **found)
            for number, found in self.account.companies.items()]})

    # --- before ordering ---
    def products(self, body, _):
        rows = []
        for p in self.account.products.values():
            kinds = {1: p["type"] == 1, 3: p["type"] == 3, 4: p["wildcard"], 7: p["names"] > 1}
            if (body["ProductType"] == 0 or kinds.get(body["ProductType"])) and body.get("ProductCode") in (None, "", p["code"]):
                rows.append({"ProductCode": p["code"], "ProductName": p["name"], "CanbeReissued": True, "ReissueDays": 365, "RefundDays": 30,
                             "isWlidcard": p["wildcard"], "IsSanEnable": p["names"] > 1, "SanMin": 0, "SanMax": p["names"] - 1, "Brand": p["vendor"],
                             "IsCompetitiveUpgradeSupported": False, "isNoOfServerFree": True, "VendorName": p["vendor"], "ProductType": p["type"],
                             "PricingInfo": [{"NumberOfMonths": m, "NumberOfServer": 1, "Price": price, "PricePerAdditionalSAN": 5.0, "PricePerAdditionalServer": 0.0,
                                              "SRP": price * 2} for m, price in p["prices"].items()]})
        return rows

    def read_csr(self, body, _):
        request = self.account.request_of(body["CSR"], self.account.product(body["ProductCode"]))
        name = request.names[0] if request.names else ""
        return {"DomainName": name, "DNSNames": request.names[1:], "Country": "", "Email": "", "Locality": "", "Organization": "", "OrganizationUnit": "", "State": "",
                "hasBadExtensions": False, "isValidDomainName": self.refused_name([name]) is None, "isWildcardCSR": name.startswith("*.")}

    def validate(self, body, _):
        product = self.account.product(body["ProductCode"])
        if body["ValidityPeriod"] not in product["prices"]:
            raise Refused("ValidityPeriod %d is not offered" % body["ValidityPeriod"])
        self.account.request_of(body["CSR"], product)

    def approvers(self, body, _):
        self.account.product(body["ProductCode"])
        return {"ApproverEmailList": self.account.approvers(body["DomainName"]), "baseDomainName": ".".join(body["DomainName"].split(".")[-2:])}

    def agreement(self, body, _):
        self.account.product(body["ProductCode"])
        return {"Agreement": "Agreement of a simulated CA"}

    # --- ordering ---
    def checked(self, body):
        account, product = self.account, self.account.product(body["ProductCode"])
        self.validate({n: body[n] for n in ("ProductCode", "ValidityPeriod", "CSR")}, None)
        request = account.request_of(body["CSR"], product)
        self.check_hash(product, body)
        names = account.names_of(product, body["DomainName"], body.get("DNSNames", []), body.get("AutoWWW", False), request,
                                 body.get("ReserveSANCount", 0) + body.get("WildcardReserveSANCount", 0))
        company = body.get("OrganizationInfo") or {}
        if body.get("TSSOrganizationId"):
            found = account.companies.get(body["TSSOrganizationId"])
            if found is None or product["vendor"] != "DIGICERT":
                raise Refused("TSSOrganizationId is not valid")
            company = {"OrganizationName": found["Name"], "Country": found["Country"]}
        if product["type"] == 3 and not company.get("OrganizationName"):
            raise Refused("OrganizationInfo is required")
        if body.get("isRenewalOrder") and body.get("RelatedTheSSLStoreOrderID") not in self.orders:
            raise Refused("RelatedTheSSLStoreOrderID is not one of your orders")
        methods = account.methods(body, product, names)
        return product, request, names, methods, company

    def check_hash(self, product, body):
        known = self.settings["digicert_hashes"] if product["vendor"] == "DIGICERT" else SECTIGO_HASHES
        if body["SignatureHashAlgorithm"] not in known:
            raise Refused("SignatureHashAlgorithm is one of " + ", ".join(known))
        if body.get("CSRUniqueValue") and product["vendor"] == "DIGICERT":
            raise Refused("CSRUniqueValue is not for this product")

    def dry_run(self, body, _):
        self.checked(body)

    def place(self, body, _):
        product, request, names, methods, company = self.checked(body)
        order = self.account.place(product, body["ValidityPeriod"], request, names, methods, body.get("CSRUniqueValue") or "",
                                   reference=body.get("CustomOrderID") or "", admin=body["AdminContact"], technical=body["TechnicalContact"], organization=company,
                                   server=body["WebServerType"], hash=body["SignatureHashAlgorithm"], approver=body.get("ApproverEmail") or "",
                                   culture=body.get("DateTimeCulture") or self.settings["default_culture"])
        return self.shown(order, body)

    def one(self, body, limited):
        number, reference = body.get("TheSSLStoreOrderID"), body.get("CustomOrderID")
        if limited is not None and not number and not reference:
            return limited
        for order in self.orders.values():
            if (order.number == number if number else reference and order.reference == reference) and limited in (None, order):
                return self.account.ended(order)
        raise Refused("The order was not found")

    def shown(self, order, body, culture=None):
        culture = culture or body.get("DateTimeCulture") or self.settings["default_culture"]
        certificate, controls, date = order.certificate, list(order.controls.values()), self.account.date
        ready = order.polls >= self.settings["empty_dcv_polls"]
        first = controls[0] if controls and ready else None
        by_file, by_dns = first and first.method in ("HTTP", "HTTPS"), first and first.method in ("DNS", "dns_cname_token")
        polled = max([c.polled_at for c in controls], default=NONE)
        row = {"PartnerOrderID": order.partner, "CustomOrderID": order.reference, "TheSSLStoreOrderID": order.number, "VendorOrderID": "V" + order.number,
               "RefundRequestID": order.refund["id"] if order.refund else "", "isRefundApproved": bool(order.refund and order.refund["approved"]), "TinyOrderLink": "",
               "OrderStatus": {"isTinyOrder": False, "isTinyOrderClaimed": False, "MajorStatus": self.major_of(order), "MinorStatus": order.minor,
                               "AuthenticationStatuses": [{"AuthenticationStep": "Validation", "Status": "Completed" if order.vetted else "Pending", "LastUpdated": date(order.modified_at, culture)}],
                               "DomainAuthVettingStatus": [self.vetting(c, culture) for c in controls] if ready else []},
               "OrderAmount": order.price, "CommonName": order.names[0], "DNSNames": ",".join(order.names[1:]), "SANCount": len(order.names) - 1,
               "wildcardSANCount": sum(n.startswith("*.") for n in order.names[1:]), "ServerCount": 1, "Validity": order.months,
               "Organization": order.organization.get("OrganizationName", ""), "WebServerType": order.server, "ApproverEmail": order.approver,
               "ProductName": order.product["name"], "ProductCode": order.product["code"], "AdminContact": order.admin, "TechnicalContact": order.technical,
               "ReissueSuccessCode": "", "AuthFileName": self.file_of(first) if by_file else "", "AuthFileContent": "\n".join(first.lines) if by_file else "",
               "CNAMEAuthName": first.dns()[1] if by_dns else "", "CNAMEAuthValue": first.dns()[2] if by_dns else "",
               "PollStatus": "" if polled == NONE else "Polled", "PollDate": date(polled, culture), "TokenID": order.token_id, "TokenCode": order.token_code,
               "Token": "%s#!%s" % (order.token_id, order.token_code), "SiteSealurl": "", "SignatureHashAlgorithm": order.hash, "VendorName": order.product["vendor"],
               "SubVendorName": "", "SerialNumber": hexadecimal(certificate.serial) if certificate else "", "TSSOrganizationId": 0}
        dates = {"PurchaseDate": order.placed_at, "CertificateStartDate": certificate.begin if certificate else None,
                 "CertificateEndDate": certificate.end if certificate else None, "OrderExpiryDate": order.placed_at + order.months * 30.5 * 86400}
        for name, seconds in dates.items():
            row[name] = row[name + "InUTC"] = date(seconds, culture)
        return row

    def major_of(self, order):
        return self.settings["active_status"] if order.major == "Active" else order.major

    def file_of(self, control):
        """Whether the fixed name of DigiCert's file is told is not known."""
        return "" if control.vendor == "DIGICERT" and self.settings["digicert_file_name"] == "empty" else control.file

    def vetting(self, control, culture):
        row = {"domain": control.name, "dcvMethod": control.method, "dcvStatus": control.status, "FileName": "", "FileContents": "", "DNSName": "", "DNSEntry": "",
               "PollStatus": control.why, "LastPollDate": self.account.date(control.polled_at, culture)}
        if control.method in ("HTTP", "HTTPS"):
            row.update(FileName=self.file_of(control), FileContents="\n".join(control.lines))
        elif control.method != "EMAIL":
            _, row["DNSName"], row["DNSEntry"] = control.dns()
        return row

    def status(self, body, limited):
        order = self.one(body, limited)
        shown = self.shown(order, body)
        order.polls += 1
        return shown

    # --- lists ---
    def page(self, body, rows):
        size, number = body.get("PageSize", 0), body.get("PageNumber", 0)
        highest = self.settings["largest_page"]
        if highest and size > highest:
            raise Refused("PageSize is at most %d" % highest)
        return rows[(max(number, 1) - 1) * size:max(number, 1) * size] if size else rows

    def query(self, body, _):
        if self.stranger and self.settings["query_wrong_token"] == "empty":
            return []
        tests = [("ProductCode", lambda o, v: o.product["code"] == v), ("DomainName", lambda o, v: v.lower() in o.names[0]),
                 ("TheSSLStoreOrderID", lambda o, v: o.number == v), ("CustomOrderID", lambda o, v: o.reference == v),
                 ("StartDate", lambda o, v: o.placed_at >= self.account.moment(v)), ("EndDate", lambda o, v: o.placed_at <= self.account.moment(v)),
                 ("CertificateExpireFromDate", lambda o, v: o.certificate and o.certificate.end >= self.account.moment(v)),
                 ("CertificateExpireToDate", lambda o, v: o.certificate and o.certificate.end <= self.account.moment(v))]
        rows = [o for o in self.orders.values() if all(not body.get(name) or test(o, body[name]) for name, test in tests)]
        return [self.shown(self.account.ended(o), body) for o in self.page(body, rows)]

    def modified(self, body, _):
        begin, end = (self.account.moment(body[n]) for n in ("StartDate", "EndDate"))
        rows = [o for o in self.orders.values() if begin <= o.modified_at <= end]
        return {"Orders": [self.shown(self.account.ended(o), body) for o in self.page(body, rows)], "TotalOrders": len(rows)}

    # --- the certificate ---
    def files(self, order, bundle):
        if order.certificate is None or order.certificate.revoked_at or self.now() - order.issued_at < self.settings["download_seconds"]:
            raise Refused("The certificate is not available")
        leaf, middle, root = order.certificate.made(), self.intermediates(), [self.authority.root] if self.settings["root_in_download"] else []
        if bundle:
            return [(order.names[0].replace("*", "STAR").replace(".", "_") + ".p7b", pkcs7_of([leaf] + middle + root).decode())]
        rows = [(order.names[0].replace("*", "STAR").replace(".", "_") + ".crt", pem_of(leaf))]
        rows += [("SimulatedIntermediate%d.crt" % i, pem_of(c)) for i, c in enumerate(middle)] + [("SimulatedRoot.crt", pem_of(c)) for c in root]
        return rows[1:][::-1] + rows[:1] if self.settings["file_order"] == "odd" else rows

    def about(self, order, body):
        row = self.shown(order, body)
        kept = ("PartnerOrderID", "TheSSLStoreOrderID", "VendorOrderID", "CertificateStartDate", "CertificateEndDate", "CertificateStartDateInUTC", "CertificateEndDateInUTC")
        return dict({name: row[name] for name in kept}, CertificateStatus=self.major_of(order), ValidationStatus=order.minor)

    def download(self, body, limited):
        order = self.one(body, limited)
        files = self.files(order, body.get("ReturnPKCS7Cert", False))
        return dict(self.about(order, body), Certificates=[{"FileName": name, "FileContent": content} for name, content in files])

    def download_zip(self, body, limited):
        order = self.one(body, limited)

        def packed(files):
            made = io.BytesIO()
            with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files:
                    archive.writestr(name, content)
            return base64.b64encode(made.getvalue()).decode()
        return dict(self.about(order, body), Zip=packed(self.files(order, False)), pkcs7zip=packed(self.files(order, True)))

    def reissue(self, body, limited):
        order, account = self.one(body, limited), self.account
        if order.major != "Active" or order.minor == "PENDING_REISSUE":
            raise Refused("The order cannot be reissued now")
        if body["ReissueEmail"] != order.admin.get("Email"):
            raise Refused("ReissueEmail is not the address of the administrative contact")
        names = list(order.names)
        for kind in ("AddSAN", "EditSAN", "DeleteSAN"):
            for pair in body.get(kind, []):
                old, new = pair["OldValue"].lower(), pair["NewValue"].lower()
                if (bool(old), bool(new)) != {"AddSAN": (False, True), "EditSAN": (True, True), "DeleteSAN": (True, False)}[kind] or old and old not in names[1:] or new in names:
                    raise Refused("%s: %s, %s" % (kind, old, new))
                names = [new if n == old else n for n in names if n != old or new] + ([new] if not old else [])
        strange = [n for n in body.get("DNSNames", []) if n.lower() not in names + order.names]
        if strange:
            raise Refused("DNSNames has %s, AddSAN has not" % strange[0])
        self.check_hash(order.product, body)
        request = account.request_of(body["CSR"], order.product)
        names = account.names_of(order.product, names[0], names[1:], False, request)
        account.reissue(order, request, names, account.methods(body, order.product, names), body.get("CSRUniqueValue") or "")
        return dict(self.shown(order, body), ReissueSuccessCode="1")

    # --- domain control ---
    def resend(self, body, limited):
        order = self.one(body, limited)
        if order.expected is None:
            raise Refused("Nothing waits for an approver")
        for control in order.controls.values():
            if control.method == "EMAIL":
                self.mail(control.mail, order.number, domain=control.name)
        self.later(self.settings["dcv_seconds"], self.account.poll, order, order.expected)

    def change_dcv(self, order, word, names):
        if order.expected is None:
            raise Refused("Nothing waits for an approver")
        wanted = [n.strip().lower() for n in (names or "").split(",") if n.strip()] or list(order.controls)
        changed = []
        for name in wanted:
            if name not in order.controls:
                raise Refused("The order has no domain " + name)
            changed.append((order.controls[name], self.account.method_of(word, order.product, name)))
        for control, (method, address) in changed:
            control.method, control.mail = method, address
            if method == "EMAIL":
                self.mail(address, order.number, domain=control.name)

    def change_email(self, body, limited):
        self.change_dcv(self.one(body, limited), body["ResendEmail"], body["DomainNames"])

    def change_method(self, body, limited):
        if not self.settings["change_method"]:
            raise Refused("changeapprovermethod is not offered")
        word = body.get("ApproverEmail") if body["ApproverMethod"] == "EMAIL" and body.get("ApproverEmail") else body["ApproverMethod"]
        self.change_dcv(self.one(body, limited), word, body.get("DomainNames"))

    def check_dcv(self, body, _):
        number, reference = body.get("TheSSLStoreOrderID"), body.get("CustomOrderID")
        if self.settings["checkdcv_needs_order"] and not number and not reference:
            raise Refused("TheSSLStoreOrderID is required")
        found = [o for o in self.orders.values() if o.product["vendor"] == "DIGICERT" and o.expected and body["DomainName"].lower() in o.controls
                 and number in (None, "", o.number) and reference in (None, "", o.reference)]
        if not found:
            raise Refused("No order waits for this domain")
        for order in found:
            self.later(self.settings["dcv_seconds"], self.account.poll, order, order.expected)

    # --- the end ---
    def refund(self, body, limited):
        order = self.one(body, limited)
        if order.certificate and self.settings["revoke_path"] == "certificaterevokerequest":
            raise Refused("An issued order is ended by certificaterevokerequest")
        if order.major in ("Cancelled", "Expired", "Rejected", "Revoked") or order.refund:
            raise Refused("The order cannot be refunded")
        if self.now() - order.placed_at > 30 * 86400:
            raise Refused("The time for refunds has passed")
        self.account.refund(order)
        return self.shown(order, body)

    def refund_status(self, body, _):
        for order in self.orders.values():
            if order.refund and order.refund["id"] == body["RefundRequestID"]:
                return self.shown(order, body)
        raise Refused("The refund request was not found")

    def revoke(self, body, limited):
        order = self.one(body, limited)
        if self.settings["revoke_path"] == "refundrequest":
            raise Refused("An issued order is ended by refundrequest")
        serial = re.sub("[^0-9a-f]", "", (body.get("SerialNumber") or "").lower())
        if order.certificate is None or order.certificate.revoked_at or serial and serial != colons(order.certificate.serial).replace(":", "").lower():
            raise Refused("There is no such certificate to revoke")
        order.certificate.revoked_at, order.modified_at, order.major = self.now(), self.now(), self.settings["revoked_status"]

    def callback(self, body, _):
        return {}

    # --- management ---
    def described(self):
        return dict(super().described(), rest=self.url + PREFIX, partner_code=self.account.partner, auth_token=self.account.token,
                    products={p["code"]: p["vendor"] for p in self.account.products.values()}, organizations=list(self.account.companies))

    def order_described(self, order):
        return {"id": order.number, "state": order.major, "minor": order.minor, "names": order.names, "reference": order.reference, "product": order.product["code"],
                "serial": "%x" % order.certificate.serial if order.certificate else None,
                "dcv": {n: {"method": c.method, "status": c.status, "why": c.why} for n, c in order.controls.items()}}

    def act(self, order, action, body):
        if action == "approve":
            order.vetted = True
        elif action == "reject":
            order.major, order.expected = self.settings["rejected_status"], None
        elif action == "hold":
            order.vetted = False
        elif action == "status":
            order.major, order.minor = body.get("major", order.major), body.get("minor", order.minor)
        elif action == "mail":
            self.account.proved(order, order.controls[body["domain"]])
        elif action == "approve-refund":
            self.account.approve_refund(order)
        else:
            raise ValueError("no action " + action)
        self.account.progress(order)

    def seed(self, **wanted):
        return self.account.seed(**wanted)
