"""CertCentral's Services API as one server, below /services/v2."""
import json
import re

from common.shapes import Fields, complaints
from common.simulator import Simulator
from common.web import json_reply

from .account import SETTINGS, Account, Refused
from .orders import Orders
from .reference import Reference

PREFIX = "/services/v2"


class DigiCert(Orders, Reference, Simulator):
    title = "digicert"
    own_settings = SETTINGS

    def __init__(self, *arguments, **options):
        self.recent = {}
        super().__init__(*arguments, **options)
        self.account = Account(self)

    def label(self, call):
        return self.find(call, PREFIX)[0] or "unknown"

    def handle(self, call):
        try:
            self.authenticate(call)
            _, handler, found = self.find(call, PREFIX)
            if handler is None:
                raise Refused(405 if found else 404, "not_found|route", "There is nothing here")
            if call.key["view"] and call.method != "GET":
                raise Refused(403, "access_denied", "This key may only read")
            return handler(call, **found)
        except Refused as refused:
            headers = self.retry_after(self.settings["retry_after"]) if refused.status == 429 else []
            return json_reply({"errors": [{"code": refused.code, "message": str(refused)}]}, refused.status, headers)

    def authenticate(self, call):
        name = call.header("X-DC-DEVKEY")
        call.key = self.account.keys.get(name)
        if call.key is None:
            raise Refused(401, "access_denied", "The API key is missing or not valid")
        call.account = call.key["user"]
        now, seen = self.now(), self.recent.setdefault(name, [])
        longest = max([window for _, window in self.settings["limits"]], default=0)
        seen[:] = [t for t in seen if now - t < longest]
        for count, window in self.settings["limits"]:
            if sum(now - t < window for t in seen) >= count:
                if self.settings["limit_counting"] == "all":
                    seen.append(now)
                raise Refused(429, "request_limit_exceeded", "Too many requests")
        seen.append(now)

    def body_of(self, call, shape):
        if not call.body and isinstance(shape, Fields) and not shape.needed:
            return {}
        if call.media_type() != "application/json":
            raise Refused(415, self.settings["undocumented_code"], "Content-Type must be application/json")
        try:
            body = json.loads(call.body)
        except ValueError as error:
            raise Refused(400, self.settings["undocumented_code"], "the body is no JSON") from error
        for where, what in complaints(body, shape):
            raise Refused(400, self.settings["undocumented_code"], "%s %s" % (where, what))
        return body

    def paged(self, call, name, rows, shape=lambda row: row):
        values = {}
        for part, default in (("limit", self.settings["default_limit"]), ("offset", 0)):
            text = call.query.get(part, str(default))
            if not re.fullmatch(r"\d{1,9}", text) or int(text) > 10 ** 8 or part == "limit" and int(text) > 1000:
                raise Refused(400, self.settings["undocumented_code"], part + " is not valid")
            values[part] = int(text)
        shown = [shape(row) for row in rows[values["offset"]:values["offset"] + values["limit"]]]
        return json_reply({name: shown, "page": {"total": len(rows), "limit": values["limit"], "offset": values["offset"]}})

    # --- management ---
    def described(self):
        return dict(super().described(), api=self.url + PREFIX, keys={k["user"]: name for name, k in self.account.keys.items()},
                    organizations=list(self.account.organizations), products={p["name_id"]: p["kind"] for p in self.account.products.values()})

    def order_described(self, order):
        return {"id": str(order.number), "state": order.status, "names": order.names, "product": order.product["name_id"], "reference": order.alternative,
                "comments": order.comments, "serials": ["%x" % one.certificate.serial for one in order.issued], "open": self.account.open_names(order)}

    def act(self, order, action, body):
        account = self.account
        pending = [account.requests[n] for n in order.requests if account.requests[n]["status"] == "pending"]
        if action == "hold":
            order.coming.approved = False
        elif action in ("approve", "reject"):
            if pending:
                account.decide(pending[-1], action == "approve")
            elif order.coming is None or action == "approve" and order.coming.approved:
                raise ValueError("no request is pending")
            else:  # not the account's own people, but those of the CA
                account.vet(order, action == "approve")
        elif action == "mail":
            order.proved[body["domain"]] = self.now()
            account.progress(order)
        elif action == "status":
            account.change(order, body["status"])
        else:
            raise ValueError("no action " + action)

    def seed(self, **wanted):
        return self.account.seed(**wanted)

    def managed(self, call, parts, body):
        if parts[0] == "organizations" and call.method == "POST":  # the CA has vetted it, or its vetting has ended
            self.account.organizations[int(body["id"])]["validated"] = bool(body.get("validated", True))
            for order in self.orders.values():
                self.account.progress(order)
            return json_reply({})
        return super().managed(call, parts, body)
