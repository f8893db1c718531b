"""Domains that are validated before any order, as CERTInext's second interface has them."""
import secrets

from common.authority import Unsuitable, checked_name
from common.shapes import Fields, choice, text
from common.simulator import route
from common.web import json_reply

from .account import Control, Problem

METHODS = {"dns-txt": "dns", "http-url": "http"}
SORTS = ("domainName", "createdAt", "status", "dcvStatus")


class Domains:
    """Mixed into the simulator beside the orders."""

    def domain(self, number):
        found = self.account.domains.get(number)
        if found is None:
            raise Problem("EMS-DOMAIN-002", "Domain not found", 404)
        return found

    def item(self, number, found):
        organization = self.account.organizations.get(found["organization"], {})
        return {"domainId": number, "domainName": found["name"], "organizationId": found["organization"], "organizationName": organization.get("name", ""),
                "status": found["status"], "dcvStatus": found["dcv"].status, "createdAt": self.account.stamp(found["created"])}

    @route("GET", "/domains")
    def list_domains(self, call):
        offset, limit = self.number_in(call, "offset", 0, 0, 1 << 29), self.number_in(call, "limit", 50, 1, 200)
        allowed = {"domainStatus": ("ACTIVE", "INACTIVE", "EXPIRED", "REVOKED"), "dcvStatus": ("VERIFIED", "PENDING", "REJECTED"),
                   "sortBy": SORTS, "sortDir": ("asc", "desc", "ASC", "DESC")}
        for name, values in allowed.items():
            if call.query.get(name) and any(value not in values for value in call.query[name].split(",")):
                raise Problem("", "%s is none of %s" % (name, ", ".join(values)), 400)
        rows = [self.item(number, found) for number, found in self.account.domains.items()
                if call.query.get("search", "") in found["name"] and found["status"] in (call.query.get("domainStatus") or found["status"]).split(",")
                and found["dcv"].status in (call.query.get("dcvStatus") or found["dcv"].status).split(",")]
        if call.query.get("sortBy"):
            rows.sort(key=lambda row: row[call.query["sortBy"]], reverse=call.query.get("sortDir", "asc").lower() == "desc")
        return json_reply({"domains": rows[offset:offset + limit], "total": len(rows), "offset": offset, "limit": limit})

    @route("POST", "/domains")
    def add_domain(self, call):
        body = self.body_of(call, Fields({"domainName": text(253)}, {"organizationId": text(20)}))
        name = body["domainName"].lower()
        try:
            checked_name(name, False)
        except Unsuitable as error:
            raise Problem("", str(error)) from error
        for number, found in self.account.domains.items():
            if found["name"] == name and found["status"] == "ACTIVE":
                raise Problem("", "The domain exists already", 409, existingDomainId=number)
        if "organizationId" in body and body["organizationId"] not in self.account.organizations:
            raise Problem("EMS-1073", "Invalid Organization Number")
        number = "dom_" + secrets.token_urlsafe(9)
        self.account.domains[number] = {"name": name, "organization": body.get("organizationId", ""), "status": "ACTIVE", "dcv": Control(name),
                                        "method": "dns-txt", "created": self.now(), "attempts": []}
        return json_reply(self.item(number, self.account.domains[number]), 201)

    @route("POST", "/domains/{number}/deactivate")
    def deactivate(self, call, number):
        found = self.domain(number)
        found["status"] = "INACTIVE"
        return json_reply(self.item(number, found))

    @route("GET", "/domains/{number}/dcv")
    def domain_dcv(self, call, number):
        found = self.domain(number)
        if found["dcv"].status == "VERIFIED":
            return json_reply({"method": found["method"]})
        key, token = ("txtToken", found["dcv"].text_token) if found["method"] == "dns-txt" else ("fileToken", found["dcv"].file_content)
        return json_reply({"method": found["method"], key: token, "tokenExpiry": self.account.stamp(self.now() + 30 * 86400)})

    @route("PATCH", "/domains/{number}/dcv/method")
    def domain_method(self, call, number):
        found = self.domain(number)
        found["method"] = self.body_of(call, Fields({"dcvMethod": choice(*METHODS)}))["dcvMethod"]
        return self.domain_dcv(call, number)

    @route("POST", "/domains/{number}/dcv/verify")
    def verify_domain(self, call, number):
        found = self.domain(number)
        if found["dcv"].status == "VERIFIED":
            raise Problem("EMS-1080", "Domain already verified")
        why = self.account.look(found["dcv"], METHODS[found["method"]])
        if why is None:
            self.account.verified(found["dcv"], METHODS[found["method"]])
        control = found["dcv"]
        expected = {"domainName": found["name"], "recordValue": control.text_token}
        if found["method"] == "http-url":
            expected = {"domainName": found["name"], "fileName": control.file_name, "fileContent": control.file_content}
        overall = "FAILED" if why else "VERIFIED"
        found["attempts"].append({"attemptedAt": self.account.stamp(self.now()), "diagnostics": {
            "overallStatus": overall, "failureClass": "MISMATCH" if why else None, "expected": expected, "perspectives": [], "consensus": {}, "tokenIsStale": False}})
        return json_reply({"overallStatus": overall, "method": found["method"]}, 422 if why else 200)

    @route("GET", "/domains/{number}/dcv/attempts")
    def attempts(self, call, number):
        return json_reply({"attempts": self.domain(number)["attempts"]})

    @route("GET", "/domains/{number}/dcv/attempts/last")
    def last_attempt(self, call, number):
        found = self.domain(number)["attempts"]
        if not found:
            raise Problem("", "There was no attempt", 404)
        return json_reply(found[-1])
