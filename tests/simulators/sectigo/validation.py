"""Domain control of one order (/ssl/…/dcv) and ahead of orders (/dcv), domains and organisations."""
from common import shapes
from common.authority import Unsuitable, checked_name
from common.shapes import Fields, List, boolean, choice, integer, text
from common.simulator import route
from common.web import Reply, json_reply

from .account import ORDER_METHODS, Control, Refused

ONE = Fields({"domain": text(253)})
CERT_TYPES = List(choice("SSL", "SMIME", "CodeSign", "Device"), shortest=1)
ROLES = ("MRAO", "RAO_SSL", "DRAO_SSL", "RAO_SMIME", "DRAO_SMIME", "RAO_CS", "DRAO_CS")


def words(value):
    """The newer variant's spelling: NOT_VALIDATED is "Not validated"."""
    return value.replace("_", " ").capitalize()


class Validation:
    """Mixed into the simulator."""

    # --- organisations and domains ---
    def organization_row(self, number, found):
        return {"id": number, "name": found["name"], "departments": found["departments"], "certTypes": ["SSL"]}

    @route("GET", "/organization/v1")
    def organizations(self, call):
        return json_reply([self.organization_row(n, o) for n, o in self.account.organizations.items() if self.may_see(call, n)])

    @route("GET", "/organization/v1/{number}")
    def organization(self, call, number):
        if not number.isdigit():
            raise Refused(-639, "the organization id is not valid")
        found = self.account.organizations[self.organization_of(call, int(number))]
        return json_reply(dict(self.organization_row(int(number), found), city=found["locality"], country=found["country"],
                               validationStatus="VALIDATED" if found["validated"] else "NOT_VALIDATED", sslCertsApiEnabled=found["api"]))

    @route("GET", "/organization/v1/managed-by/{role}")
    def managed_by(self, call, role):
        if role not in ROLES:
            raise Refused(self.settings["undocumented_code"], "there is no role " + role)
        return self.organizations(call)

    def domain_of(self, call, number):
        found = self.account.domains.get(int(number)) if number.isdigit() else None
        if found is None or not any(self.may_see(call, organization) for organization in found.delegations):
            raise Refused(-727, "the domain is not known")
        return found

    @route("HEAD", "/domain/v1")
    @route("GET", "/domain/v1")
    def domains(self, call):
        query = call.query
        for name in query:
            if name not in ("size", "position", "name", "state", "status", "orgId"):
                raise Refused(self.settings["undocumented_code"], "the filter %s is not known" % name)
        rows = [d for d in self.account.domains.values() if any(self.may_see(call, o) for o in d.delegations) and query.get("name", "") in d.name
                and query.get("state", "active" if d.active else "inactive") == ("active" if d.active else "inactive")
                and query.get("status", "approved") == "approved" and (not query.get("orgId") or int(query["orgId"]) in d.delegations)]
        return self.paged(call, rows, lambda d: {"id": d.number, "name": d.name})

    @route("GET", "/domain/v1/{number}")
    def domain(self, call, number):
        found = self.domain_of(call, number)
        control, status = found.control, self.account.state_of(found.control)
        row = {"id": found.number, "name": found.name, "delegationStatus": "ACTIVE", "state": "ACTIVE" if found.active else "SUSPENDED",
               "validationStatus": words(status), "delegations": [{"orgId": o, "certTypes": t, "status": "ACTIVE"} for o, t in found.delegations.items()]}
        if control.validated_at:
            row.update(validationMethod=ORDER_METHODS[control.mode], dcvExpiration=self.expiration(call, control))
        return json_reply(row)

    @route("POST", "/domain/v1")
    def add_domain(self, call):
        body = self.body_of(call, Fields({"name": text(253), "delegations": List(Fields({"orgId": integer(1), "certTypes": CERT_TYPES}), shortest=1)},
                                         {"description": shapes.anything, "active": boolean}))
        name = body["name"].lower()
        try:
            checked_name(name)
        except Unsuitable as error:
            raise Refused(self.settings["undocumented_code"], str(error)) from error
        if any(d.name == name for d in self.account.domains.values()):
            raise Refused(self.settings["undocumented_code"], "the domain is there already")
        for delegation in body["delegations"]:
            self.organization_of(call, delegation["orgId"])
        made = self.account.add_domain(name, [], active=body.get("active", True), description=body.get("description", ""))
        made.delegations = {d["orgId"]: d["certTypes"] for d in body["delegations"]}
        return Reply(201, headers=[("Location", "%s/api/domain/v1/%d" % (self.url, made.number))])

    @route("POST", "/domain/v1/{number}/delegation")
    def delegate(self, call, number):
        body = self.body_of(call, Fields({"orgId": integer(1), "certTypes": CERT_TYPES}))
        self.domain_of(call, number).delegations[self.organization_of(call, body["orgId"])] = body["certTypes"]
        return Reply(200)

    # --- one order ---
    def log_of(self, call, order):
        logged, told = [], []
        for control in order.waiting["controls"] if order.waiting else ():
            last = self.account.date(control.last, call.query.get("dateFormat"), call.oauth)
            row = {"dcvStatus": "Validated" if control.status == "VALIDATED" else "Awaiting Validation", "domainName": control.name}
            if control.last:
                row.update(lastCheck=last, nextCheck=self.account.date(control.last + self.settings["recheck_seconds"], call.query.get("dateFormat"), call.oauth))
            logged.append(row)
            what = {"domainName": control.name, "dcvMode": control.mode}
            what.update({"CNAME": {"host": control.host + ".", "point": control.target + "."}, "TXT": {"host": control.text_host + ".", "point": control.text},
                         "EMAIL": {"dcvEmail": control.mail}}.get(control.mode) or {"url": self.place_of(control), "file": "\n".join(control.lines)})
            told.append(what)
        body = {"dcvLog": {"log": logged}, "instructions": told}
        return [body] if call.oauth else body

    def place_of(self, control):
        return "%s://%s/.well-known/pki-validation/%s" % (control.mode.lower(), control.base, control.file)

    @route("GET", "/ssl/v1/{number}/dcv")
    def order_dcv(self, call, number):
        return json_reply(self.log_of(call, self.one(call, number)))

    @route("POST", "/ssl/v1/{number}/dcv/recheck")
    def recheck(self, call, number):
        order = self.one(call, number)
        for control in order.waiting["controls"] if order.waiting else ():
            if control.status != "VALIDATED":
                self.account.start_looking(control, order, self.settings["dcv_seconds"])
        return json_reply(self.log_of(call, order), 202)

    # --- ahead of orders ---
    def control_of(self, call, name):
        name = name.lower()
        domain = next((d for d in self.account.domains.values() if d.name == name and any(self.may_see(call, o) for o in d.delegations)), None)
        if domain is None:
            raise Refused(-727, "the domain %s is not known" % name, 404 if call.newer else 400)
        if name.removeprefix("*.").count(".") != 1:
            raise Refused(-723, "only a high-level domain can be validated")
        return domain.control

    def spelt(self, call, value):
        return words(value) if call.oauth else value

    def expiration(self, call, control):
        if control.validated_at is None:
            return None
        return self.account.date(control.validated_at + self.settings["dcv_days"] * 86400, call.query.get("dateFormat"), call.oauth)

    @route("HEAD", "/dcv/v1/validation")
    @route("GET", "/dcv/v1/validation")
    def validations(self, call):
        query = call.query
        known = ("size", "position", "domain", "org", "department", "dcvStatus", "orderStatus", "expiresIn", "dateFormat")
        if any(name not in known for name in query):
            raise Refused(self.settings["undocumented_code"], "a filter that is not known")
        soon = self.now() + int(query.get("expiresIn") or 10 ** 6) * 86400
        rows = [d for d in self.account.domains.values() if any(self.may_see(call, o) for o in d.delegations) and query.get("domain", "") in d.name
                and self.account.state_of(d.control) == (query.get("dcvStatus") or d.control.status).upper().replace(" ", "_")
                and d.control.order_status == (query.get("orderStatus") or d.control.order_status).upper().replace(" ", "_")
                and (not query.get("expiresIn") or d.control.validated_at and d.control.validated_at + self.settings["dcv_days"] * 86400 < soon)]

        def row(domain):
            control = domain.control
            shown = {"domain": domain.name, "dcvStatus": self.spelt(call, control.status), "dcvOrderStatus": self.spelt(call, control.order_status)}
            if control.mode:
                shown.update(dcvOrderMethod=ORDER_METHODS[control.mode])
            if control.validated_at:
                shown.update(dcvMethod=ORDER_METHODS[control.mode], expirationDate=self.expiration(call, control))
            return shown
        return self.paged(call, rows, row)

    @route("POST", "/dcv/v1/validation/status")
    def validation_status(self, call):
        control = self.control_of(call, self.body_of(call, ONE)["domain"])
        row = {"status": self.spelt(call, self.account.state_of(control)), "orderStatus": self.spelt(call, control.order_status)}
        dated = call.query.get("dateFormat")
        if control.validated_at:
            row.update(validationDate=self.account.date(control.validated_at, dated, call.oauth), expirationDate=self.expiration(call, control))
        if control.mode:
            row.update(orderMode=ORDER_METHODS[control.mode], orderBackendId=str(70000 + abs(hash(control.file)) % 9999))
            row.update(self.told(control))
        if control.last:
            row.update(lastCheck=self.account.date(control.last, dated, call.oauth),
                       nextCheck=self.account.date(control.last + self.settings["recheck_seconds"], dated, call.oauth))
        return json_reply(row)

    def told(self, control):
        if control.mode in ("HTTP", "HTTPS"):
            return {"url": self.place_of(control), "firstLine": control.lines[0], "secondLine": control.lines[1]}
        return {"CNAME": {"host": control.host + ".", "point": control.target + "."}, "TXT": {"host": control.text_host + ".", "point": control.text},
                "EMAIL": {"validationEmail": control.mail}}[control.mode]

    @route("POST", "/dcv/v1/validation/start/domain/{way}")
    def start(self, call, way):
        mode = way.upper()
        if mode == "TXT" and call.oauth:  # is there, and starts nothing
            self.control_of(call, self.body_of(call, ONE)["domain"])
            return json_reply({"message": "There is nothing to start for this method"})
        if mode not in ("HTTP", "HTTPS", "CNAME", "EMAIL"):
            return json_reply({"code": self.settings["undocumented_code"], "description": "there is nothing to start"}, 404)
        body = self.body_of(call, Fields({}, {"domain": text(253), "domains": List(text(253), shortest=1)}))
        many = mode == "EMAIL" or call.newer and len(body.get("domains", [])) == 1
        if ("domain" in body) == ("domains" in body) or "domains" in body and not many:
            raise Refused(-7, "the field domain is missing")
        controls = [self.control_of(call, name) for name in body.get("domains", [body.get("domain")])]
        for control in controls:
            control.mode, control.order_status = mode, "AWAITING_SUBMISSION"
            control.started.add(mode)
        if mode == "EMAIL":
            rows = [{"domainName": c.base, "whoisEmails": [], "adminEmails": c.emails(), "dnsTxtEmails": []} for c in controls]
            return json_reply({"emails": controls[0].emails(), "dcvEmails": rows})
        return json_reply(self.told(controls[0]))

    @route("POST", "/dcv/v1/validation/submit/domain/{way}")
    def submit(self, call, way):
        mode = way.upper()
        if mode not in ORDER_METHODS:
            return json_reply({"code": self.settings["undocumented_code"], "description": "there is no such method"}, 404)
        more = {"dnsAgentUUID": shapes.anything, "dnsProviderName": shapes.anything} if mode == "CNAME" else {}
        body = self.body_of(call, Fields(dict({"domain": text(253)}, **({"email": shapes.email} if mode == "EMAIL" else {})), more))
        control = self.control_of(call, body["domain"])
        if mode != "TXT" and mode not in control.started:
            raise Refused(-724, "the validation was not started with this method")
        control.mode, control.order_status = mode, "SUBMITTED"
        answer = {"status": self.spelt(call, self.account.state_of(control)), "orderStatus": self.spelt(call, "SUBMITTED"), "message": "Submitted",
                  "orderBackendId": str(70000 + abs(hash(control.file)) % 9999)}
        if mode == "EMAIL":
            if body["email"] not in control.emails():
                raise Refused(self.settings["undocumented_code"], "the address is none of those offered")
            control.mail = body["email"]
            self.mail(body["email"], "", domain=control.name)
            return json_reply(answer)
        if mode == "TXT":
            answer.update(self.told(control))
        if control.status == "EXPIRED":
            control.status = "NOT_VALIDATED"
        self.account.start_looking(control, None, self.settings["dcv_seconds"])
        return json_reply(answer)

    @route("POST", "/dcv/v1/validation/submit-bulk/domain/email")
    def submit_bulk(self, call):
        if not call.newer:
            return json_reply({"code": self.settings["undocumented_code"], "description": "there is no such call"}, 404)
        body = self.body_of(call, Fields({"domains": List(text(253), shortest=1), "email": shapes.email}))
        controls = [self.control_of(call, name) for name in body["domains"]]
        for control in controls:
            if "EMAIL" not in control.started:
                raise Refused(-724, "the validation was not started with this method")
            if body["email"] not in control.emails():
                raise Refused(self.settings["undocumented_code"], "the address is none of those offered")
        for control in controls:
            control.mode, control.order_status, control.mail = "EMAIL", "SUBMITTED", body["email"]
            self.mail(body["email"], "", domain=control.name)
        return json_reply({"status": self.spelt(call, self.account.state_of(controls[0])), "orderStatus": self.spelt(call, "SUBMITTED"), "message": "Submitted"})

    @route("POST", "/dcv/v1/validation/{verb}")
    def tidy(self, call, verb):
        name = self.body_of(call, ONE)["domain"]
        control = self.control_of(call, name)
        if verb not in ("clear", "sync", "delete"):
            return json_reply({"code": self.settings["undocumented_code"], "description": "there is no such call"}, 404)
        if verb != "sync":
            domain = next(d for d in self.account.domains.values() if d.control is control)
            domain.control = Control(domain.name)
        return json_reply({"status": self.spelt(call, control.status), "orderStatus": self.spelt(call, control.order_status)})
