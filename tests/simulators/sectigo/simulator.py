"""Sectigo Certificate Manager as one server: classic calls below /api and /private/api, the same with bearer tokens below /api."""
import json
import re
import secrets
import urllib.parse

from common.shapes import Fields, complaints
from common.simulator import Simulator
from common.web import Reply, json_reply

from .account import SETTINGS, Account, Refused
from .certificates import STATUSES, Certificates
from .validation import Validation

TOKEN = "/auth/realms/apiclients/protocol/openid-connect/token"


class Sectigo(Certificates, Validation, Simulator):
    title = "sectigo"
    own_settings = SETTINGS

    def __init__(self, *arguments, **options):
        self.tokens, self.recent = {}, []
        super().__init__(*arguments, **options)
        self.account = Account(self)

    # --- calls ---
    @staticmethod
    def plain(path):
        """(prefix, path with the versions that mean the same folded into one)"""
        prefix = next((p for p in ("/private/api", "/api") if path.startswith(p + "/")), None)
        if prefix is None:
            return None, path
        return prefix, re.sub(r"^/(ssl|dcv)/v2(?=/|$)", r"/\1/v1", path[len(prefix):])

    def label(self, call):
        if call.path == TOKEN:
            return "token"
        prefix, call.resource = self.plain(call.path)
        call.classic_path, call.path = call.path, call.resource
        found = self.find(call)[0] if prefix else None
        call.path = call.classic_path
        return found or "unknown"

    def changes(self, call):
        return super().changes(call) and call.path != TOKEN and not call.label.endswith(("/validation/status", "/report/v1/ssl-certificates"))

    def handle(self, call):
        if call.path == TOKEN:
            return self.issue_token(call)
        prefix, path = self.plain(call.path)
        if prefix is None:
            return Reply(404, "<html><body>Not Found</body></html>", kind="text/html")
        call.newer = bool(re.match(r"/(ssl|dcv)/v2(/|$)", call.path[len(prefix):]))
        call.path = path
        try:
            self.authenticate(call, prefix)
            _, handler, found = self.find(call)
            if handler is None:
                return json_reply({"code": self.settings["undocumented_code"], "description": "HTTP method not supported" if found else "Not found"},
                                  405 if found else 404)
            return handler(call, **found)
        except Refused as refused:
            return json_reply({"code": refused.code, "description": str(refused)}, refused.status, refused.headers)

    def authenticate(self, call, prefix):
        limit, now = self.settings["requests_per_second"], self.now()
        self.recent = [t for t in self.recent if now - t < 1]
        if limit and len(self.recent) >= limit:
            raise Refused(self.settings["undocumented_code"], "too many requests", 429, self.retry_after(1))
        self.recent.append(now)
        bearer = call.header("Authorization")
        call.oauth = bearer is not None
        if call.oauth:
            if prefix != "/api" or not bearer.startswith("Bearer ") or self.tokens.get(bearer[7:], 0) <= now:
                raise Refused(-16, "Unknown user", 401)
            call.login = "api"
        else:
            call.login = call.header("login")
            known = self.account.administrators.get(call.login)
            if known is None or call.header("customerUri") != self.account.customer:
                raise Refused(-16, "Unknown user", 401)
            if prefix == "/private/api":
                if call.certificate is None or call.header("password") is not None:
                    raise Refused(-16, "Unknown user", 401)
            elif call.header("password") != known["password"]:
                raise Refused(self.settings["wrong_password_code"], "Unknown user", 401)
        call.account = call.login
        call.administrator = self.account.administrators[call.login]
        if not call.administrator["api"]:
            raise Refused(-3, "this administrator has no permission to use the API", 403)

    def issue_token(self, call):
        form = dict(urllib.parse.parse_qsl(call.body.decode("utf-8", "replace")))
        if call.method != "POST" or call.media_type() != "application/x-www-form-urlencoded" or form.get("grant_type") != "client_credentials":
            return json_reply({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (self.account.client_id, self.account.client_secret):
            return json_reply({"error": "invalid_client", "error_description": "Invalid client credentials"}, 401)
        token = secrets.token_urlsafe(48)
        self.tokens[token] = self.now() + self.settings["token_seconds"]
        return json_reply({"access_token": token, "token_type": "Bearer", "expires_in": self.settings["token_seconds"]})

    def may_see(self, call, organization):
        allowed = call.administrator["organizations"]
        return allowed is None or organization in allowed

    def organization_of(self, call, number):
        """The organisation itself, or that of a department."""
        for organization, found in self.account.organizations.items():
            if number == organization or any(d["id"] == number for d in found["departments"]):
                if self.may_see(call, organization):
                    return organization
                raise Refused(-3, "this organization belongs to other administrators", 403)
        raise Refused(-639, "the organization is not known")

    def body_of(self, call, shape):
        if not call.body and isinstance(shape, Fields) and not shape.needed:
            return {}
        if call.media_type() != "application/json":
            raise Refused(self.settings["undocumented_code"], "Content-Type must be application/json", 415)
        try:
            body = json.loads(call.body)
        except ValueError as error:
            raise Refused(-1002, "the body of the request cannot be read") from error
        for where, what in complaints(body, shape):
            code = {"orgId": -639, "csr": -9}.get(where, self.settings["undocumented_code"])
            raise Refused(-7 if what == "is missing" else code, "the field %s %s" % (where, what))
        return body

    def paged(self, call, rows, row):
        values = []
        for name, default, highest in (("size", self.settings["default_page_size"], 200), ("position", 0, 1 << 30)):
            value = call.query.get(name, str(default))
            if not re.fullmatch(r"\d{1,9}", value) or int(value) > highest:
                raise Refused(self.settings["undocumented_code"], "%s is between 0 and %d" % (name, highest))
            values.append(int(value))
        size, position = values
        shown = [] if call.method == "HEAD" else [row(item) for item in rows[position:position + size]]
        return json_reply(shown, headers=[("X-Total-Count", str(len(rows)))])

    # --- management ---
    def described(self):
        return dict(super().described(), api=self.url + "/api", private_api=self.url + "/private/api", token_url=self.url + TOKEN,
                    customer_uri=self.account.customer, logins={n: a["password"] for n, a in self.account.administrators.items()},
                    client_id=self.account.client_id, client_secret=self.account.client_secret, organizations=list(self.account.organizations),
                    profiles={str(n): p["name"] for n, p in self.account.profiles.items()}, domains=[d.name for d in self.account.domains.values()])

    def order_described(self, order):
        return {"id": str(order.number), "state": self.account.status_of(order), "names": order.names, "profile": order.profile["id"], "comments": order.comments,
                "serial": "%x" % order.certificate.serial if order.certificate else None,
                "dcv": {c.name: {"mode": c.mode, "status": c.status, "why": c.why} for c in order.waiting["controls"]} if order.waiting else {}}

    def act(self, order, action, body):
        states = {"reject": "Rejected", "invalid": "Invalid", "hold": "SAApproved"}
        if action == "approve":
            self.account.approve(order)
        elif action == "decline":
            order.status, order.declined_at = "Declined", self.now()
        elif action == "mail":
            self.account.validated(next(c for c in order.waiting["controls"] if c.name == body["domain"]), order)
        elif action in states:
            order.status = states[action]
        elif action == "status" and body["status"] in STATUSES:
            order.status = body["status"]
        else:
            raise ValueError("no action " + action)

    def seed(self, **wanted):
        return self.account.seed(**wanted)

    def managed(self, call, parts, body):
        if parts[0] == "tokens" and call.method == "DELETE":
            self.tokens.clear()
            return json_reply({})
        if parts[0] == "domains" and call.method == "POST":  # a domain that people added, validated or not
            domain = next((d for d in self.account.domains.values() if d.name == body["name"]), None)
            domain = domain or self.account.add_domain(body["name"], body.get("organizations", [10]))
            if body.get("validated", True):
                domain.control.mode = domain.control.mode or "EMAIL"
                self.account.validated(domain.control)
            return json_reply({"id": domain.number})
        return super().managed(call, parts, body)
