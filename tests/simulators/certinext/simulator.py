"""CERTInext as one server: V1 below /emSignHub-API/, V2 below /api/certinext/v2, tokens at /oauth/token."""
from common.authority import pem_of
from common.simulator import Simulator
from common.web import json_reply

from . import v1, v2
from .account import SETTINGS, Account
from .domains import Domains


class CertInext(v2.VersionTwo, Domains, Simulator):
    title = "certinext"
    own_settings = SETTINGS

    def __init__(self, *arguments, **options):
        self.tokens, self.idempotency_keys = {}, set()
        super().__init__(*arguments, **options)
        self.account = Account(self)
        self.one = v1.VersionOne(self, self.account, self.token_is_good)

    def label(self, call):
        if call.path.startswith(v1.PREFIX):
            return v1.operation_of(call) if v1.operation_of(call) in v1.OPERATIONS or v1.operation_of(call) in v1.UNDESCRIBED else "unknown"
        if call.path == "/oauth/token":
            return "token"
        path, call.path = call.path, self.folded(call.path)
        found = self.find(call, v2.PREFIX)[0] or "unknown"
        call.path = path
        return found

    def changes(self, call):
        if call.path.startswith(v1.PREFIX):
            return v1.operation_of(call) in v1.CHANGING
        return super().changes(call) and call.path != "/oauth/token"

    def handle(self, call):
        call.account = self.account.number
        if call.path.startswith(v1.PREFIX):
            return self.one.handle(call)
        if call.path == "/oauth/token":
            return self.issue_token(call)
        if call.path.startswith(v2.PREFIX + "/"):
            return self.handle_two(call)
        return json_reply({"timestamp": self.account.stamp(self.now()), "status": 404, "error": "Not Found", "path": call.path}, 404)

    def delivered(self, order):
        """Leaf, intermediates, root, each as PEM."""
        return pem_of(order.certificate.made()), [pem_of(c) for c in self.intermediates()], pem_of(self.authority.root)

    # --- management ---
    def described(self):
        return dict(super().described(), v1=self.url + v1.PREFIX, v2=self.url + v2.PREFIX, token_url=self.url + "/oauth/token",
                    account_number=self.account.number, access_key=self.account.access_key, client_id=self.account.number,
                    client_secret=self.account.secret, requestors=self.account.users, groups=list(self.account.groups),
                    organizations=list(self.account.organizations), products={p["code"]: p["variant"] for p in self.account.products.values()})

    def order_described(self, order):
        return {"id": order.number, "request": order.request_number, "state": order.state, "waits_for": self.account.waits_for(order) if order.state == "open" else None,
                "names": order.names, "product": order.product["code"], "tags": order.tags, "remarks": order.remarks,
                "serial": "%x" % order.certificate.serial if order.certificate else None,
                "dcv": {n: {"status": c.status, "method": c.method} for n, c in order.controls.items()}}

    def act(self, order, action, body):
        self.account.act(order, action, body)

    def seed(self, **wanted):
        return self.account.seed(**wanted)

    def managed(self, call, parts, body):
        if parts[0] == "tokens" and call.method == "DELETE":  # every token is revoked early
            self.tokens.clear()
            return json_reply({})
        return super().managed(call, parts, body)
