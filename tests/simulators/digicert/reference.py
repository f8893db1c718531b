"""What a CertCentral account has: user, products, organisations, domains, divisions, custom fields."""
import secrets

from common import shapes
from common.authority import Unsuitable, checked_name
from common.shapes import Fields, List, choice, integer, text
from common.simulator import route
from common.web import Reply, json_reply

from .account import DCV_METHODS, Refused

PLATFORMS = [(-1, "OTHER"), (2, "Apache"), (45, "nginx")]
CONTAINER = {"id": 5, "name": "Example Limited"}


class Reference:
    """Mixed into the simulator."""

    @route("GET", "/user/me")
    def me(self, call):
        return json_reply({"id": 1, "username": call.key["user"], "first_name": "Example", "last_name": call.key["user"], "email": "ops@example.com",
                           "account": {"id": 9}, "container": CONTAINER})

    @route("GET", "/container")
    def containers(self, call):
        return json_reply({"containers": [dict(CONTAINER, parent_id=0, is_active=True)]})

    @route("GET", "/account/metadata")
    def metadata(self, call):
        return json_reply({"metadata": []})

    @route("GET", "/product")
    def products(self, call):
        return json_reply({"products": [{"group_name": p["kind"] + "_ssl_certificate", "name_id": p["name_id"], "name": p["name"], "type": "ssl_certificate"}
                                        for p in self.account.products.values()]})

    @route("GET", "/product/{name_id}")
    def product(self, call, name_id):
        found = self.account.products.get(name_id)
        if found is None:
            raise Refused(404, self.settings["undocumented_code"], "The product could not be found")
        return json_reply({"name_id": name_id, "name": found["name"], "allowed_validity_years": [1, 2, 3], "csr_required": True,
                           "signature_hash_types": {"allowed_hash_types": [{"id": "sha256", "name": "SHA-256"}], "default_hash_type_id": "sha256"},
                           "additional_dns_names_allowed": found["names"] > 1, "allowed_ca_certs": [], "custom_expiration_date_allowed": True,
                           "server_platforms": [{"id": number, "name": name} for number, name in PLATFORMS], "duplicates_allowed": True})

    @route("GET", "/organization")
    def organizations(self, call):
        rows = []
        for number, found in self.account.organizations.items():
            row = {"id": number, "name": found["name"], "status": "active", "is_active": True, "city": found["city"], "country": found["country"], "container": CONTAINER}
            if "include_validation" in call.query:
                row["validations"] = [{"type": "ov", "name": "OV", "status": "active" if found["validated"] else "pending"}]
            rows.append(row)
        return self.paged(call, "organizations", rows)

    # --- domains ---
    def domain_of(self, number):
        found = self.account.domains.get(int(number)) if number.isdigit() else None
        if found is None:
            raise Refused(404, "not_found|domain", "The domain could not be found")
        return found

    @route("GET", "/domain")
    def domains(self, call):
        rows = []
        for number, found in self.account.domains.items():
            row = {"id": number, "name": found["name"], "is_active": found["active"], "organization": {"id": found["organization"]}, "container": CONTAINER,
                   "dcv_method": found["method"]}
            if "include_validation" in call.query:
                row["validations"] = [{"type": "ov", "status": "active" if found["at"] else "pending"}]
            rows.append(row)
        return self.paged(call, "domains", rows)

    @route("POST", "/domain")
    def add_domain(self, call):
        body = self.body_of(call, Fields({"name": text(253), "organization": Fields({"id": integer(1)}), "validations": List(Fields({"type": text(20)}, {"user": shapes.anything})),
                                          "dcv_method": choice(*DCV_METHODS)}, {"container": Fields({"id": integer(1)})}))
        name = body["name"].lower()
        try:
            checked_name(name, False)
        except Unsuitable as error:
            raise Refused(400, "invalid_dns_name", str(error)) from error
        if body["organization"]["id"] not in self.account.organizations:
            raise Refused(404, "not_found|organization", "The organization could not be found")
        if any(d["name"] == name for d in self.account.domains.values()):
            raise Refused(400, self.settings["undocumented_code"], "The domain exists already")
        number = self.account.next_number()
        self.account.domains[number] = {"name": name, "organization": body["organization"]["id"], "method": body["dcv_method"], "value": secrets.token_hex(16),
                                        "at": None, "active": True}
        return json_reply(dict({"id": number}, dcv_token=self.token_row(number)), 201)

    def token_row(self, number):
        found = self.account.domains[number]
        return {"token": found["value"], "status": "active" if found["at"] else "pending",
                "expiration_date": self.account.stamp(self.now() + self.settings["random_value_days"] * 86400)}

    @route("PUT", "/domain/{number}/dcv/token")
    def domain_token(self, call, number):
        self.domain_of(number)["value"] = secrets.token_hex(16)
        return json_reply({"dcv_token": self.token_row(int(number))})

    @route("PUT", "/domain/{number}/dcv")
    def check_domain(self, call, number):
        found = self.domain_of(number)
        if found["method"] == "email":
            return Reply(204)
        why = self.account.look(found["method"], found["name"], found["value"])
        if why:
            raise Refused(400, self.settings["undocumented_code"], why)
        found["at"] = self.now()
        return Reply(204)

    @route("GET", "/domain/{number}/dcv/emails")
    def domain_emails(self, call, number):
        name = self.domain_of(number)["name"]
        return json_reply({"name_scope": name, "base_emails": [who + "@" + name for who in ("admin", "administrator", "hostmaster", "postmaster", "webmaster")],
                           "whois_emails": []})
