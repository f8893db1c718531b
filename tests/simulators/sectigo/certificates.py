"""/ssl: enrol, track, list, collect, renew, replace, revoke."""
import hashlib

from cryptography.hazmat.primitives.serialization import Encoding

from common import shapes
from common.authority import colons, der_of, hexadecimal, pem_of, pkcs7_of
from common.shapes import Fields, List, boolean, choice, digits, integer, optional, text
from common.simulator import route
from common.web import Reply, json_reply

from .account import MODES, Refused

CSR = text(32767, pattern=r"[a-zA-Z0-9\-+=/\s]+")
FIELD = Fields({"name": text(200), "value": text(256, 0)})
MODE = choice(*MODES)
ENROL = Fields({"orgId": integer(1), "csr": CSR, "certType": integer(1), "term": integer(1)},
               {"subjAltNames": shapes.anything, "comments": text(1024, 0), "externalRequester": text(512, 0), "customFields": List(FIELD), "dcvMode": MODE,
                "dcvEmail": shapes.anything, "numberServers": integer(0), "serverType": integer(-1)})
RENEW = Fields({}, {"csr": CSR, "dcvMode": MODE, "dcvEmail": shapes.anything})
REPLACE = Fields({"csr": CSR, "reason": text(512)}, {"commonName": text(253), "subjectAlternativeNames": List(text(253)), "dcvMode": MODE,
                                                     "dcvEmail": shapes.anything})
FILTERS = ("commonName", "subjectAlternativeName", "status", "sslTypeId", "orgId", "serialNumber", "requester", "externalRequester", "sha256Hash")
CHANGEABLE = ("Requested", "Declined", "Rejected", "Invalid")  # states in which an order is nothing yet
STATUSES = ("Invalid", "Requested", "Approved", "Declined", "Applied", "Issued", "Revoked", "Expired", "Replaced", "Rejected", "Unmanaged", "SAApproved", "Init")
REASONS = (0, 1, 3, 4, 5)


def reason_code(value):
    return None if value in REASONS or isinstance(value, str) and value.isdigit() and int(value) in REASONS else "must be one of 0, 1, 3, 4, 5"


REVOKE = Fields({"reasonCode": reason_code, "reason": text(512)})


class Certificates:
    """Mixed into the simulator."""

    def one(self, call, number):
        order = self.orders.get(number)
        if order is None or not self.may_see(call, order.organization):
            raise Refused(-124, "there is no SSL certificate with this id")
        self.account.status_of(order)
        return order

    def profile(self, number):
        if number not in self.account.profiles:
            raise Refused(-111, "the certificate profile id is not valid")
        return self.account.profiles[number]

    def mode_of(self, body):
        if self.settings["prevalidation"]:
            return None, ""
        if "dcvMode" not in body:
            raise Refused(-7, "the field dcvMode is missing")
        if body["dcvMode"] == "EMAIL" and not body.get("dcvEmail"):
            raise Refused(-7, "the field dcvEmail is missing")
        return body["dcvMode"], body.get("dcvEmail", "")

    @route("GET", "/ssl/v1/types")
    def types(self, call):
        return json_reply([{"id": p["id"], "name": p["name"], "description": p["kind"], "terms": p["terms"], "keyTypes": p["keys"], "useSecondaryOrgName": False}
                           for p in self.account.profiles.values()])

    @route("GET", "/ssl/v1/customFields")
    def custom_fields(self, call):
        return json_reply([dict(field, mandatory=self.settings["custom_field_mandatory"]) for field in self.account.fields])

    @route("POST", "/ssl/v1/enroll")
    def enrol(self, call):
        account = self.account
        body = self.body_of(call, ENROL)
        organization = self.organization_of(call, body["orgId"])
        if not account.organizations[organization]["api"]:
            raise Refused(-1021, "ordering by API is not enabled for this organization")
        profile = self.profile(body["certType"])
        if body["term"] not in profile["terms"]:
            raise Refused(-36, "the term is not one of this profile")
        self.check_fields(body.get("customFields", []))
        request = account.request_of(body["csr"], profile)
        if not request.names:
            raise Refused(-9, "the request has no common name")
        given = [name.strip() for name in body.get("subjAltNames", "").split(",") if name.strip()]
        names = account.names_of(request.names[0], given or request.names[1:], request, profile)
        mode, mail = self.mode_of(body)
        order = account.place(organization, profile, body["term"], request, names, mode, mail, requester=call.login, comments=body.get("comments", ""),
                              external=body.get("externalRequester", ""), fields=body.get("customFields", []), privileged=call.administrator["privileged"])
        return json_reply({"sslId": order.number, "renewId": order.renew_id})

    def check_fields(self, given):
        known = [field["name"] for field in self.account.fields]
        for field in given:
            if field["name"] not in known:
                raise Refused(self.settings["undocumented_code"], "there is no custom field " + field["name"])
        missing = [name for name in known if not any(f["name"] == name and f["value"] for f in given)]
        if self.settings["custom_field_mandatory"] and missing:
            raise Refused(-62, "the custom field %s is mandatory" % missing[0])

    @route("POST", "/ssl/v1/approve/{number}")
    def approve_one(self, call, number):
        return self.decide(call, number, True)

    @route("POST", "/ssl/v1/decline/{number}")
    def decline_one(self, call, number):
        return self.decide(call, number, False)

    def decide(self, call, number, yes):
        self.body_of(call, Fields({"message": text(1024, 0) if yes else text(512)}))
        order = self.one(call, number)
        if not call.administrator["privileged"]:
            raise Refused(-3, "this administrator may not decide on requests", 403)
        if order.status != "Requested":
            raise Refused(self.settings["undocumented_code"], "the certificate is not in the state Requested")
        if yes:
            self.account.approve(order)
        else:
            order.status, order.declined_at = "Declined", self.now()
        return Reply(204)

    # --- track and list ---
    @route("GET", "/ssl/v1/{number}")
    def detail(self, call, number):
        order = self.one(call, number)
        return json_reply(self.detailed(call, order))

    def detailed(self, call, order):
        certificate = order.certificate
        status = "SA Approved" if order.status == "SAApproved" and call.oauth else order.status
        profile = order.profile
        row = {"commonName": order.names[0], "sslId": order.number, "id": order.number, "orgId": order.organization, "status": status, "orderNumber": 0,
               "backendCertId": str(50000 + order.number), "vendor": "Sectigo Limited", "certType": {"id": profile["id"], "name": profile["name"], "terms": profile["terms"]},
               "validationType": profile["kind"], "term": order.term, "owner": order.requester, "requester": order.requester, "requestedVia": "API",
               "externalRequester": order.external, "comments": order.comments, "renewed": order.renewed_at is not None, "serialNumber": "",
               "subjectAlternativeNames": order.names[1:], "customFields": order.fields, "autoInstallDetails": {"state": "NOT_SCHEDULED"},
               "autoRenewDetails": order.auto_renew, "suspendNotifications": order.suspend}
        dates = {"requested": order.requested_at, "approved": order.approved_at, "issued": order.issued_at, "declined": order.declined_at,
                 "expires": certificate.end if certificate else None, "replaced": order.replaced_at, "revoked": order.revoked_at, "renewedDate": order.renewed_at}
        for name, seconds in dates.items():
            if seconds is not None:
                row[name] = self.account.date(seconds, call.query.get("dateFormat"), call.oauth)
        if order.reason is not None:
            row["reasonCode"] = order.reason
        if certificate:
            made = certificate.made()
            size = getattr(certificate.key, "curve", None)
            row.update(serialNumber=colons(certificate.serial), signatureAlg="SHA256WITHECDSA",
                       keyType="EC - P-%d" % certificate.key.key_size if size else "RSA - %d" % certificate.key.key_size,
                       certificateDetails={"issuer": made.issuer.rfc4514_string(), "subject": made.subject.rfc4514_string(),
                                           "subjectAltNames": ", ".join("dNSName=" + n for n in certificate.names)})
        return row

    def selected(self, call):
        wanted = {name: value for name, value in call.query.items() if name not in ("size", "position", "dateFormat")}
        for name in wanted:
            if name not in FILTERS or name == "sha256Hash" and not call.newer:
                raise Refused(self.settings["undocumented_code"], "the filter %s is not known to this simulator" % name)
        status = wanted.get("status", "").replace(" ", "")
        if status and status not in STATUSES:
            raise Refused(self.settings["undocumented_code"], "there is no status " + status)
        serial = wanted.get("serialNumber", "").replace(":", "").upper()
        tests = [lambda o: not status or self.account.status_of(o) == status,
                 lambda o: wanted.get("commonName", "").lower() in o.names[0],
                 lambda o: any(wanted.get("subjectAlternativeName", "").lower() in n for n in o.names),
                 lambda o: wanted.get("sslTypeId", str(o.profile["id"])) == str(o.profile["id"]),
                 lambda o: wanted.get("orgId", str(o.organization)) == str(o.organization),
                 lambda o: not serial or o.certificate and hexadecimal(o.certificate.serial) == serial,
                 lambda o: "sha256Hash" not in wanted or o.certificate and hashlib.sha256(der_of(o.certificate.made())).hexdigest() == wanted["sha256Hash"].lower(),
                 lambda o: wanted.get("requester", o.requester) == o.requester,
                 lambda o: wanted.get("externalRequester", o.external) == o.external]
        return [o for o in self.orders.values() if self.may_see(call, o.organization) and all(test(o) for test in tests)]

    @route("HEAD", "/ssl/v1")
    @route("GET", "/ssl/v1")
    def listing(self, call):
        return self.paged(call, self.selected(call), lambda order: {
            "sslId": order.number, "commonName": order.names[0], "subjectAlternativeNames": order.names[1:],
            "serialNumber": colons(order.certificate.serial) if order.certificate else ""})

    @route("POST", "/report/v1/ssl-certificates")
    def report(self, call):
        body = self.body_of(call, Fields({}, {"from": shapes.day, "to": shapes.day, "organizationIds": List(integer(1)), "commonName": shapes.anything,
                                             "certificateStatus": choice("0", "1", "2", "3", "4"), "certificateDateAttribute": choice("2", "3", "4", "5")}))
        status = {"1": "Requested", "2": "Issued", "3": "Revoked", "4": "Expired"}.get(body.get("certificateStatus", "0"))
        rows = []
        for order in self.orders.values():
            end = order.certificate.end if order.certificate else None
            moment = {"2": order.revoked_at, "3": end, "4": order.requested_at, "5": order.issued_at}[body.get("certificateDateAttribute", "4")]
            day = self.account.date(moment, "ISO", False)
            dated = day is not None and body.get("from", "") <= day <= body.get("to", "9") or not ("from" in body or "to" in body)
            if dated and self.may_see(call, order.organization) and (status is None or self.account.status_of(order) == status) and \
                    order.organization in body.get("organizationIds", [order.organization]) and body.get("commonName", "").lower() in order.names[0]:
                rows.append(self.detailed(call, order))
        return json_reply({"statusCode": 0, "message": "", "reports": rows})

    # --- collect ---
    @route("GET", "/ssl/v1/collect/{number}")
    def collect(self, call, number):
        return self.collected(call, number, call.query.get("format", "base64"))

    @route("GET", "/ssl/v1/collect/{number}/{form}")
    def collect_by_path(self, call, number, form):
        return self.collected(call, number, form)

    def collected(self, call, number, form):
        order = self.one(call, number)
        ready = order.status in ("Issued", "Expired", "Replaced") or order.status == "Applied" and order.certificate and self.settings["collect_while_replacing"]
        if ready and order.status == "Issued" and self.now() - order.issued_at < self.settings["download_seconds"]:
            raise Refused(self.settings["not_yet_code"], "the certificate is not available now")
        if not ready:
            code, said = {"Applied": (-1400, "the certificate is being processed"), "Revoked": (-110, "the certificate is revoked")}.get(
                order.status, (-183, "the certificate cannot be collected now"))
            raise Refused(code, said)
        leaf, middle, root = [order.certificate.made()], self.intermediates(), [self.authority.root]
        orders = {"x509": root + middle[::-1] + leaf, "x509CO": leaf, "x509IO": root + middle[::-1], "x509IOR": middle + root, "x509R": leaf + middle + root,
                  "pem": leaf + middle + root, "pemco": leaf, "pemia": leaf + middle, "base64": leaf + middle + root, "bin": leaf + middle + root}
        if form not in orders:
            raise Refused(self.settings["undocumented_code"], "there is no format " + form)
        name = order.names[0].replace("*", "STAR").replace(".", "_") + {"bin": ".p7b", "base64": ".p7b"}.get(form, ".pem")
        if form == "bin":
            body = pkcs7_of(orders[form], Encoding.DER)
        elif form == "base64":
            body = pkcs7_of(orders[form])
        else:
            body = "".join(pem_of(c) for c in orders[form])
        return Reply(200, body, [("Content-Disposition", 'attachment; filename="%s"' % name)], "application/octet-stream")

    # --- renew, replace, revoke ---
    def permitted(self, call, what):
        if what not in call.administrator["may"]:
            raise Refused(-3, "this administrator has not the privilege " + what, 403)

    def renewed(self, call, order, body):
        self.permitted(call, "sslRenew")
        if order.status not in ("Issued", "Expired"):
            raise Refused(-130, "the state is not ISSUED")
        if not order.profile["renewable"]:
            raise Refused(-180, "the profile does not allow renewal")
        request = self.account.request_of(body["csr"], order.profile) if "csr" in body else order.request
        if request is None:
            raise Refused(-7, "the field csr is missing")
        names = self.account.names_of(order.names[0], order.names[1:], request, order.profile)
        mode, mail = self.mode_of(dict({"dcvMode": order.mode, "dcvEmail": order.mail} if order.mode else {}, **body))
        fresh = self.account.place(order.organization, order.profile, max(order.profile["terms"]), request, names, mode, mail, requester=call.login, comments=order.comments,
                                   external=order.external, fields=order.fields, privileged=call.administrator["privileged"])
        order.renewed_at = self.now()
        return fresh

    @route("POST", "/ssl/v1/renewById/{number}")
    def renew_by_id(self, call, number):
        order = self.one(call, number)
        if not call.body:
            raise Refused(-1002, "the body of the request cannot be read")
        return json_reply({"sslId": self.renewed(call, order, self.body_of(call, RENEW)).number})

    @route("POST", "/ssl/v1/renew/{renew_id}")
    def renew(self, call, renew_id):
        body = self.body_of(call, Fields({}, {"csr": CSR}))
        order = next((o for o in self.orders.values() if o.renew_id == renew_id and self.may_see(call, o.organization)), None)
        if order is None:
            raise Refused(-124, "there is no certificate with this renew id")
        self.account.status_of(order)
        self.renewed(call, order, body)
        return Reply(204)

    @route("POST", "/ssl/v1/renew/manual/{number}")
    def renew_manually(self, call, number):
        self.body_of(call, Fields({}, {"id": integer(1), "orderNumber": integer(0)}))
        self.one(call, number).renewed_at = self.now()
        return Reply(204)

    @route("POST", "/ssl/v1/replace/{number}")
    def replace(self, call, number):
        self.permitted(call, "sslReplace")
        body = self.body_of(call, REPLACE)
        order = self.one(call, number)
        if order.status != "Issued":
            raise Refused(-130, "the state is not ISSUED")
        request = self.account.request_of(body["csr"], order.profile)
        names = self.account.names_of(body.get("commonName", order.names[0]), body.get("subjectAlternativeNames", order.names[1:]), request, order.profile)
        mode, mail = self.mode_of(dict({"dcvMode": order.mode, "dcvEmail": order.mail} if order.mode else {}, **body))
        self.account.replace(order, request, names, mode, mail)
        return Reply(204)

    def revoked(self, order, body):
        if order.status == "Revoked":
            raise Refused(-159, "the certificate is already revoked")
        if order.status not in ("Issued", "Replaced", "Expired"):
            raise Refused(-102, "only an issued certificate can be revoked")
        order.status, order.revoked_at, order.reason = "Revoked", self.now(), int(body["reasonCode"])
        return Reply(204)

    @route("POST", "/ssl/v1/revoke/{number}")
    def revoke(self, call, number):
        self.permitted(call, "sslRevoke")
        body = self.body_of(call, REVOKE)
        return self.revoked(self.one(call, number), body)

    @route("POST", "/ssl/v1/revoke/serial/{serial}")
    def revoke_serial(self, call, serial):
        self.permitted(call, "sslRevoke")
        body = self.body_of(call, REVOKE)
        wanted = serial.replace(":", "").upper()
        for order in self.orders.values():
            if order.certificate and hexadecimal(order.certificate.serial) == wanted and self.may_see(call, order.organization):
                self.account.status_of(order)
                return self.revoked(order, body)
        raise Refused(-124, "there is no certificate with this serial number")

    @route("DELETE", "/ssl/v1/{number}")
    def remove(self, call, number):
        if not self.one(call, number).imported:
            raise Refused(self.settings["undocumented_code"], "only certificates that were imported or discovered can be deleted")
        del self.orders[number]
        return Reply(204)

    @route("PUT", "/ssl/v1")
    def update(self, call):
        body = self.body_of(call, Fields({"sslId": integer(1)}, {
            "comments": text(1024, 0), "externalRequester": text(512, 0), "customFields": List(FIELD), "suspendNotifications": boolean,
            "autoRenewDetails": Fields({}, {"state": shapes.anything, "daysBeforeExpiration": integer(1)}), "csr": CSR, "commonName": text(253),
            "subjectAlternativeNames": List(text(253)), "term": integer(1), "certTypeId": integer(1), "orgId": integer(1), "requester": optional(digits)}))
        order = self.one(call, str(body["sslId"]))
        early = [n for n in ("csr", "commonName", "subjectAlternativeNames", "term", "certTypeId", "orgId") if n in body]
        if early and order.status not in CHANGEABLE:
            raise Refused(self.settings["undocumented_code"], "%s can be changed in the states %s only" % (early[0], ", ".join(CHANGEABLE)))
        order.comments, order.external = body.get("comments", order.comments), body.get("externalRequester", order.external)
        order.suspend, order.auto_renew = body.get("suspendNotifications", order.suspend), body.get("autoRenewDetails", order.auto_renew)
        if "customFields" in body:
            self.check_fields(body["customFields"])
            order.fields = body["customFields"]
        if early:
            profile = self.profile(body.get("certTypeId", order.profile["id"]))
            request = self.account.request_of(body["csr"], profile) if "csr" in body else order.request
            names = self.account.names_of(body.get("commonName", order.names[0]), body.get("subjectAlternativeNames", order.names[1:]), request, profile)
            self.account.check_domains(names, order.organization)
            order.profile, order.request, order.names, order.term = profile, request, names, body.get("term", order.term)
            self.account.begin(order)
        return json_reply(self.detailed(call, order))
