"""CERTInext's second interface: resources, bearer tokens, problem documents (RFC 7807)."""
import json
import re
import secrets
import urllib.parse

from common import shapes
from common.authority import der_of
from common.shapes import Fields, List, boolean, choice, complaints, email, integer, optional, text
from common.simulator import route
from common.web import Reply, json_reply

from .account import CERTIFICATE_STATUS, ORDER_STATUS, REASONS, Problem

PREFIX = "/api/certinext/v2"
VARIANTS = ("dv", "dv-wildcard", "dv-ucc", "dv-wildcard-ucc", "ov", "ov-wildcard", "ov-ucc", "ov-wildcard-ucc", "ev", "ev-ucc")
PHONE = text(16, pattern=r"\+[1-9][0-9]{4,14}")
PERSON = Fields({"name": text(200), "email": email}, {"phone": PHONE, "designation": shapes.anything})
AGREEMENT = Fields({"signerName": text(200), "signerPlace": text(200), "accepted": choice(True)}, {"signerIp": text(45)})
SUBSCRIPTION = Fields({"validityYears": integer(1, 3)}, {"autoRenew": boolean, "renewBeforeDays": integer(1, 365)})
COMMON = {"csr": text(32767), "groupNumber": text(20), "requestId": text(64), "remarks": text(1000), "tags": List(text(200)),
          "recipientEmails": List(email), "emailNotifications": choice("all", "0"), "technicalPointOfContact": PERSON, "agreement": AGREEMENT}
CREATE = Fields({"productVariant": choice(*VARIANTS), "certificate": Fields({"domain": text(253)}, {"additionalDomains": List(text(253)), "autoSecureWww": boolean}),
                 "subscription": SUBSCRIPTION, "requestor": PERSON},
                dict(COMMON, organization=Fields({"organizationNumber": text(20), "preVetted": boolean}, {"preVettingToken": text(200)})))
PRIVATE = Fields({"variant": choice("intranet-ssl"), "hostname": text(253), "subscription": SUBSCRIPTION, "requestor": PERSON},
                 dict(COMMON, caProfileId=shapes.anything, masterProductId=shapes.anything, additionalHosts=List(text(253))))
REISSUE = Fields({"mode": choice("rekey", "update-sans")}, {
    "csr": text(32767), "additionalDomains": List(text(253)), "reason": optional(text(1000)), "revokePrevious": boolean, "revokeReason": text(64),
    "revokeAllPriorReissues": boolean})
STATE = {"draft": "unknown", "hold": "pending-approval", "discrepancy": "pending-documents", "issued": "issued", "downloaded": "issued",
         "revoked": "revoked", "cancelled": "cancelled", "rejected": "rejected", "expired": "expired"}
# Reasons that are documented and refused for TLS; what is no reason at all is another refusal.
OTHER_REASONS = ("unspecified", "ca-compromise", "certificate-hold", "aa-compromise")
FILTERS = ("issued", "revoked", "expired", "cancelled", "rejected", "pending-approval")
HEADERS = [("X-API-Version", "2.0.0")]


def problem(status, title, detail, call, **more):
    body = dict({"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": call.path}, **more)
    return json_reply(body, status, HEADERS, "application/problem+json")


class VersionTwo:
    """Mixed into the simulator: its routes are found there."""

    def token_is_good(self, header):
        return header.startswith("Bearer ") and self.tokens.get(header[7:], 0) > self.now()

    def issue_token(self, call):
        if call.method != "POST" or call.media_type() != "application/x-www-form-urlencoded":
            return json_reply({"error": "invalid_request"}, 400)
        form = dict(urllib.parse.parse_qsl(call.body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return json_reply({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (self.account.number, self.account.secret):
            return json_reply({"error": "invalid_client"}, 401)
        if not self.settings["oauth_mode"]:
            return json_reply({"error": "unauthorized_client"}, 403)
        token = secrets.token_urlsafe(40)
        self.tokens[token] = self.now() + self.settings["token_seconds"]
        return json_reply({"access_token": token, "token_type": "Bearer", "expires_in": self.settings["token_seconds"]},
                          headers=[("Cache-Control", "no-store")])

    def handle_two(self, call):
        if not self.token_is_good(call.header("Authorization") or ""):
            return problem(401, "Unauthorized", "The access token is missing, unknown or expired", call)
        path, call.path = call.path, self.folded(call.path)
        _, handler, found = self.find(call, PREFIX)
        call.path = path
        if handler is None:
            if found:
                return problem(405, "Method Not Allowed", call.method + " is not supported here", call)
            return json_reply({"timestamp": self.account.stamp(self.now()), "status": 404, "error": "Not Found", "path": call.path}, 404)
        try:
            reply = handler(call, **found)
        except Problem as refused:
            status = refused.status or refused.kind
            titles = {400: "Bad Request", 404: "Not Found", 409: "Conflict", 422: "Unprocessable Entity", 429: "Too Many Requests", 406: "Not Acceptable"}
            return problem(status, titles.get(status, "Error"), **self.worded(refused), call=call, **refused.more)
        reply.headers += HEADERS
        return reply

    def worded(self, refused):
        """Text and code of a refusal; where the code stands is a setting."""
        if not refused.code:
            return {"detail": str(refused)}
        if self.settings["ems_place"] == "type":
            return {"detail": str(refused), "type": "urn:certinext:error:" + refused.code}
        return {"detail": ("%s: %s" if self.settings["ems_place"] == "prefix" else "[%s] %s") % (refused.code, refused)}

    @staticmethod
    def folded(path):
        """Orders of private certificates are reached by the same verbs under another word."""
        return path.replace("/private-pki-certificates/", "/ssl-certificates/", 1)

    def body_of(self, call, shape):
        if not call.body and not shape.needed:
            return {}
        if call.media_type() != "application/json":
            raise Problem("", "Content-Type must be application/json", 415)
        try:
            body = json.loads(call.body)
        except ValueError as error:
            raise Problem("", "The body is no JSON", 400) from error
        said = complaints(body, shape)
        if said:
            raise Problem("", "Validation failed", 400, errors=[{"field": where, "message": what} for where, what in said])
        return body

    def number_in(self, call, name, default, lowest, highest):
        value = call.query.get(name, str(default))
        if not re.fullmatch(r"\d{1,9}", value) or not lowest <= int(value) <= highest:
            raise Problem("", "%s must be between %d and %d" % (name, lowest, highest), 400)
        return int(value)

    # --- what the account has ---
    @route("GET", "/auth/me")
    def me(self, call):
        return json_reply({"accountNumber": self.account.number, "authType": "OAUTH"})

    @route("GET", "/groups")
    def groups(self, call):
        members = [{"organizationNumber": n, "organizationName": o["name"], "validationFor": "OV"} for n, o in self.account.organizations.items()]
        balance = "%.2f" % self.settings["balance"]
        return json_reply({"groups": [{"groupNumber": number, "groupName": group["name"], "isDefaultGroup": "1" if group["default"] else "0",
                                       "accountBalance": balance, "groupBalance": balance, "finance": "1", "organizationDetails": members}
                                      for number, group in self.account.groups.items()]})

    @route("GET", "/organizations")
    def organizations(self, call):
        return json_reply({"organizations": [{"organizationNumber": n, "organizationName": o["name"], "isPreVettingOrg": "1" if o["prevetted"] else "0"}
                                             for n, o in self.account.organizations.items()]})

    @route("GET", "/organizations/{number}")
    def organization(self, call, number):
        found = self.account.organizations.get(number)
        if found is None:
            raise Problem("", "Organization not found", 404)
        vetted = "1" if found["prevetted"] else "0"
        return json_reply({"organizationNumber": number, "organizationName": found["name"], "organizationStatusId": "1", "validationStatusId": vetted,
                           "validationFor": "OV", "organizationLocality": found["locality"], "organizationStateCode": found["state"],
                           "organizationCountryCode": found["country"], "isPreVettingOrg": vetted, "subscriberAgreement": {"signed": True}, "orgRepresentatives": []})

    @route("GET", "/catalog/products")
    def catalog(self, call):
        rows, group = {}, self.account.group_of(call.query.get("groupNumber"))
        for kind in self.account.on_offer().values():
            if kind["code"] in self.account.unmapped.get(group, ()):
                continue
            name = "Private PKI" if kind["category"] == "8" else "SSL Certificates"
            row = rows.setdefault(kind["category"], {"categoryName": name, "categoryID": kind["category"], "currencyType": "USD", "products": []})
            row["products"].append({"productCode": kind["code"], "productName": kind["name"], "productTypeID": kind["type"], "price": kind["price"]})
        return json_reply(list(rows.values()))

    @route("GET", "/catalog/products/{code}/custom-fields")
    def custom_fields(self, call, code):
        if code not in self.account.on_offer():
            raise Problem("EMS-1162", "Invalid Product Code", 404)
        if "custom-fields" in self.settings["layouts"]:
            return json_reply(self.settings["layouts"]["custom-fields"])
        raise Problem("", "The layout of custom fields is not known to this simulator (setting layouts)")

    # --- orders ---
    @route("POST", "/ssl-certificates")
    def create(self, call):
        return self.created(call, self.body_of(call, CREATE))

    @route("POST", "/private-pki-certificates")
    def create_private(self, call):
        body = self.body_of(call, PRIVATE)
        body["productVariant"] = body["variant"]
        body["certificate"] = {"domain": body["hostname"], "additionalDomains": body.get("additionalHosts", []), "autoSecureWww": False}
        return self.created(call, body)

    def created(self, call, body):
        account = self.account
        if account.inactive():
            return json_reply({"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "Rate limit exceeded", "instance": call.path},
                              429, self.retry_after(max(1, int(self.settings["burst_seconds"]))), "application/problem+json")
        code = call.header("X-Product-Code")
        kind = next((p for p in account.on_offer().values() if p["variant"] == body["productVariant"] and code in (None, p["code"])), None)
        if kind is None:
            raise Problem("EMS-1162", "Invalid Product Code")
        group = account.group_of(body.get("groupNumber"))
        if kind["code"] in account.unmapped.get(group, ()):
            raise Problem("EMS-1269", "Product not mapped to this group")
        wanted, who = body["certificate"], body["requestor"]
        if who["email"] not in account.users:
            raise Problem("", who["email"] + " is not registered in this account")
        names = account.all_names(kind, wanted["domain"], wanted.get("additionalDomains", []), wanted.get("autoSecureWww", True))
        if kind["variant"][:2] in ("ov", "ev") and "organization" not in body:
            raise Problem("", "[EMS-1180] Organization Name is required")
        organization = body.get("organization", {})
        number = account.organization_for(kind, organization.get("organizationNumber"), organization.get("preVetted"))
        agreement = body.get("agreement")
        agreement = agreement and account.agreed(agreement["signerName"], agreement["signerPlace"], agreement.get("signerIp"))
        queued = self.settings["queue_without_organization"] and not organization.get("organizationNumber")
        order = account.place(queued=queued, product=kind, names=names, years=body["subscription"]["validityYears"], group=group, organization=number,
                              auto_renew=body["subscription"].get("autoRenew", False), agreement=agreement, requestor=who,
                              request=self.request_in(body["csr"], names) if "csr" in body else None, remarks=body.get("remarks", ""),
                              tags=body.get("tags", []), technical=body.get("technicalPointOfContact", {}), consent="preVettingToken" in organization)
        key = call.header("Idempotency-Key")
        if key and key in self.idempotency_keys:  # the key keeps nobody from ordering, and yet the answer is an error
            return problem(500, "Internal Server Error", "An unexpected error occurred", call)
        self.idempotency_keys.add(key)
        return json_reply(self.handle_of(order), 201)

    def request_in(self, text, names):
        """The request in the body of a create: PEM, or only what is between its lines."""
        bare, taken = "BEGIN" not in text, self.settings["csr_taken"]
        if taken == ("pem" if bare else "base64"):
            raise Problem(self.settings["csr_code"], "CSR: the certificate request cannot be read")
        pem = "-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n" % text.strip() if bare else text
        return self.account.request_of(pem, names, code=self.settings["csr_code"])

    def handle_of(self, order):
        base = PREFIX + "/ssl-certificates/" + order.number
        links = {"self": base}
        links.update({what: base + "/" + what for what in ("dcv", "csr", "agreement", "certificate", "cancel", "revoke")})
        return {"orderId": order.number, "requestId": order.request_number, "status": self.status_of(order),
                "_links": {name: {"href": href} for name, href in links.items()}}

    def status_of(self, order):
        self.account.expire(order)
        if order.looks < self.settings["unknown_looks"]:
            return "unknown"
        return STATE.get(order.state) or self.account.waits_for(order) or "pending-approval"

    @route("GET", "/ssl-certificates/{number}")
    def status(self, call, number):
        order = self.account.find(number)
        stamp, agreement = self.account.stamp, order.agreement
        caa = {"1": "PASSED", "2": "AUTHORIZATION_REQUIRED"}
        domains = []
        for name, control in order.controls.items():
            row = {"domain": name, "domainStatus": "ACTIVE", "dcvStatus": control.status, "caaStatus": caa[control.caa]}
            if control.status == "VERIFIED":
                row.update(dcvMethod=control.method, verifiedAt=stamp(control.verified_at))
            domains.append(row)
        body = {"orderId": order.number, "requestId": order.request_number, "status": self.status_of(order), "domain": order.names[0],
                "csrSubmitted": order.request is not None, "requestor": order.requestor, "productVariant": order.product["variant"],
                "orderedBy": {"name": order.requestor["name"], "email": order.requestor["email"]}, "subscriberAgreement": {"signed": agreement is not None},
                "subscription": {"validityYears": order.years, "status": "active", "endDate": stamp(order.placed_at + order.years * 365 * 86400)},
                "verifications": {"domain": {"status": "VERIFIED" if all(d["dcvStatus"] == "VERIFIED" for d in domains) else "PENDING", "domains": domains}}}
        body["orderState"], body["certificateState"] = self.display(order)
        order.looks += 1
        if agreement:
            body["subscriberAgreement"].update(signedAt=stamp(agreement["at"]), signerName=agreement["name"], signedPlace=agreement["place"])
        if order.certificate:
            body.update(issuedAt=stamp(order.issued_at), expiresAt=stamp(order.certificate.end))
        if order.revocation:
            body["revocation"] = {"status": {"1": "PENDING", "2": "REVOKED", "3": "REJECTED"}[order.revocation["status"]], "reason": order.revocation["reason"], "processedAt": stamp(order.revocation["at"])}
        return json_reply(body)

    def display(self, order):
        """Order and certificate in the words that are shown. A revoked order is still accepted."""
        order_id, certificate_id = self.account.ids(order)
        return "Order Accepted" if order.state == "revoked" else ORDER_STATUS[order_id], CERTIFICATE_STATUS[certificate_id]

    @route("PUT", "/ssl-certificates/{number}/csr")
    def put_csr(self, call, number):
        body = self.body_of(call, Fields({"csr": text(32767)}, {"attested": boolean}))
        order = self.account.find(number)
        if order.state not in ("open", "hold", "discrepancy"):
            raise Problem("EMS-956", "Invalid Request for this API")
        if order.request is not None and not self.settings["csr_replacement"]:
            raise Problem("", "A CSR is already there")
        order.request = self.account.request_of(body["csr"], order.names, code=self.settings["csr_code"])
        self.account.used_requests[order.request.der] = order
        self.account.progress(order)
        return json_reply({"orderId": number, "status": self.status_of(order)})

    @route("POST", "/ssl-certificates/{number}/agreement")
    def agreement(self, call, number):
        body = self.body_of(call, Fields({"agreement": AGREEMENT}))["agreement"]
        order = self.account.find(number)
        if order.agreement is not None:
            raise Problem("EMS-1082", "Agreement already signed")
        order.agreement = self.account.agreed(body["signerName"], body["signerPlace"], body.get("signerIp"))
        self.account.progress(order)
        return json_reply({"orderId": number, "status": self.status_of(order)})

    @route("GET", "/ssl-certificates/{number}/dcv")
    def get_dcv(self, call, number):
        method = call.query.get("method", "dns-txt")
        control = self.account.control_of(self.account.find(number), call.query.get("domain", ""))
        if method not in ("dns-txt", "http-url"):
            raise Problem("", "method is dns-txt or http-url", 400)
        token = control.text_token if method == "dns-txt" else control.file_content
        return json_reply({"token": token, "tokenExpiryDate": self.account.stamp(self.now() + 30 * 86400)})

    @route("POST", "/ssl-certificates/{number}/dcv/verify")
    def verify_dcv(self, call, number):
        may = {"email": email} if self.settings["v2_email_field"] == "taken" else {}
        body = self.body_of(call, Fields({"domain": text(253), "method": choice("dns-txt", "http-url", "email")}, may))
        order = self.account.find(number)
        control = self.account.control_of(order, body["domain"])
        if body["method"] == "email":
            address = body.get("email", self.account.addresses_of(control)[0])
            if address not in self.account.addresses_of(control):
                raise Problem("", "email is none of the addresses of this domain")
            self.mail(address, number, domain=control.name)
            if self.settings["v2_email_answer"] == 204:
                return Reply(204)
            return problem(422, "Unprocessable Entity", "The validation is not complete", call, overallStatus="FAILED", method="email")
        file_name = self.settings["v2_http_file_name"]
        if body["method"] == "http-url" and not file_name:
            why = "the name of the file is not known to this simulator (setting v2_http_file_name)"
        elif body["method"] == "http-url":
            why = self.account.verify(order, control, "http", file_name=file_name)
        else:
            why = self.account.verify(order, control, "dns")
        if why is None and self.settings["verify_answer"] == 204:
            return Reply(204)
        if why is None:
            return json_reply({"overallStatus": "VERIFIED", "method": body["method"], "verifiedAt": self.account.stamp(self.now())})
        return problem(422, "Unprocessable Entity", why, call, overallStatus="FAILED", method=body["method"])

    @route("GET", "/ssl-certificates/{number}/certificate")
    def download(self, call, number):
        order = self.account.find(number)
        self.account.expire(order)
        accept = (call.header("Accept") or "application/json").split(",")[0].split(";")[0].strip()
        if accept not in ("application/json", "application/x-pem-file", "application/pkix-cert", "*/*"):
            raise Problem("", "Accept: " + accept, 406)
        if order.certificate is None or self.now() - order.issued_at < self.settings["download_seconds"]:
            return self.not_yet(call)
        if order.state == "revoked" and self.settings["revoked_download"] == "refused":
            raise Problem("EMS-956", "Invalid Request for this API", 422)
        order.state = "downloaded" if order.state == "issued" else order.state
        leaf, chain, root = self.delivered(order)
        chain = chain + ([root] if self.settings["root_in_chain"] else [])
        chain = chain[::-1] if self.settings["chain_order"] == "reversed" else chain
        if accept == "application/x-pem-file":
            return Reply(200, leaf + "".join(chain), kind=accept)
        made = order.certificate.made()
        if accept == "application/pkix-cert":
            return Reply(200, der_of(made), kind=accept)
        if order.state == "revoked" and self.settings["revoked_download"] == "empty":
            return json_reply({"orderId": number, "serialNumber": str(order.certificate.serial)})
        return json_reply({"orderId": number, "serialNumber": str(order.certificate.serial), "subject": made.subject.rfc4514_string(),
                           "issuer": made.issuer.rfc4514_string(), "notBefore": self.account.stamp(order.certificate.begin),
                           "notAfter": self.account.stamp(order.certificate.end), "certificatePem": leaf, "chainPem": chain})

    def not_yet(self, call):
        """Between issued and downloadable; nobody has recorded what this answer holds."""
        status, form = self.settings["download_status"], self.settings["download_body"]
        if form == "empty":
            return Reply(status)
        if form == "spring":
            return json_reply({"timestamp": self.account.stamp(self.now()), "status": status, "error": "Unprocessable Entity", "path": call.path}, status)
        return problem(status, "Unprocessable Entity", "The certificate is not available yet", call)

    @route("POST", "/ssl-certificates/{number}/cancel")
    def cancel(self, call, number):
        body = self.body_of(call, Fields({}, {"reason": optional(text(1000))}))
        order = self.account.find(number)
        self.account.cancel(order, body.get("reason", ""))
        return json_reply({"orderId": number, "status": "cancelled"})

    @route("POST", "/ssl-certificates/{number}/reject")
    def reject(self, call, number):
        order = self.account.orders.get("request-" + number)
        if order is None:
            raise Problem("", "No draft has this number", 404)
        self.account.cancel(order, "")
        return json_reply({"requestId": number, "status": "cancelled"})

    @route("POST", "/ssl-certificates/{number}/revoke")
    def revoke(self, call, number):
        body = self.body_of(call, Fields({"reason": choice(*REASONS.values(), *OTHER_REASONS)}, {"note": shapes.anything}))
        if body["reason"] in OTHER_REASONS:
            raise Problem("", "Invalid Revoke Reason ID")
        order = self.account.find(number)
        self.account.revoke(order, body["reason"], body.get("note"))
        return json_reply({"orderId": number, "status": self.status_of(order)})

    @route("POST", "/ssl-certificates/{number}/reissue")
    def reissue(self, call, number):
        body = self.body_of(call, REISSUE)
        order, account = self.account.find(number), self.account
        if order.state not in ("issued", "downloaded"):
            raise Problem("EMS-956", "Invalid Request for this API")
        names = list(order.names)
        if body["mode"] == "rekey" and "additionalDomains" in body or body["mode"] == "update-sans" and "additionalDomains" not in body:
            raise Problem("", "rekey has no additionalDomains, update-sans needs them")
        if body.get("revokeReason") and body["revokeReason"] not in REASONS.values():
            raise Problem("", "Invalid Revoke Reason ID")
        if body["mode"] == "update-sans":
            kept = [n for n in names[1:] if n not in body["additionalDomains"]] if self.settings["update_sans"] == "add" else []
            names = account.all_names(order.product, names[0], kept + body["additionalDomains"], False)
        request = account.request_of(body["csr"], names) if "csr" in body else order.request if body["mode"] == "update-sans" else None
        order.reissues += 1
        fresh = account.place(cost=False, product=order.product, names=names, years=order.years, group=order.group, organization=order.organization,
                              number="%sR%03d" % (order.number[:-4] if re.search(r"R\d{3}$", order.number) else order.number, order.reissues),
                              agreement=order.agreement, requestor=order.requestor, request=request, tags=order.tags, remarks=order.remarks,
                              revokes=order if body.get("revokePrevious") else None)
        for name, control in fresh.controls.items():
            if name in order.controls and order.controls[name].status == "VERIFIED":
                account.verified(control, order.controls[name].method)
        account.progress(fresh)
        return json_reply(self.handle_of(fresh), 201)

    # --- import ---
    @route("GET", "/reports/orders")
    def report(self, call):
        page, size = self.number_in(call, "page", 1, 0, 1 << 30), self.number_in(call, "size", 20, 1, 100)
        status = call.query.get("status")
        if status and status not in FILTERS:
            raise Problem("", "status %s cannot be filtered" % status, 422)
        for name in ("from", "to"):
            if name in call.query and shapes.day(call.query[name]):
                raise Problem("", name + " must be YYYY-MM-DD", 400)
        rows = []
        for order in self.account.orders.values():
            if status and self.status_of(order) != status or order.group != call.query.get("groupNumber", order.group):
                continue
            dated = "from" in call.query or "to" in call.query
            if not dated or call.query.get("from", "") <= self.account.day(order.placed_at)[:10] <= call.query.get("to", "9"):
                rows.append(order)
        pages = max(1, -(-len(rows) // size))
        shown = max(1, min(page, pages))  # what is out of range is brought into it
        return json_reply({"content": [self.row_of(order) for order in rows[(shown - 1) * size:shown * size]], "page": shown, "size": size,
                           "totalElements": len(rows), "totalPages": pages})

    def row_of(self, order):
        row = self.one.row(order, False)
        for name in ("orderStatusId", "certificateStatusId", "certificateTrustType", "expiresWithin"):
            del row[name]
        row["certificateSerialNumber"] = str(order.certificate.serial) if order.certificate else ""
        row["orderStatus"], row["certificateStatus"] = self.display(order)
        row["originator"] = order.originator
        return row
