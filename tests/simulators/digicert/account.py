"""What CertCentral keeps of an account, and how an order comes to be issued. Refused is one element of the `errors` array; the
code of what is not documented is the setting `undocumented_code`."""
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import ec

from common import authority
from common.simulator import outside

SETTINGS = {
    "limits": [[1000, 180], [100, 5]],  # requests in so many seconds, for each key
    "validity_years_accepted": False, "unique_alternative_order_id": False, "undocumented_code": "undocumented",
    "limit_counting": "accepted",  # or "all": refused calls count as well
    "revoke_status": 204,  # of a revocation without approval: 204, 200 with nothing, or 201 with the request
    "revoke_last": "certificate",  # revoking its only certificate leaves the order; or "order": revokes it
    "reuse_dv": False,  # whether DV takes what was proved before, for another order or for the certificate that is reissued
    "check_dcv_form": "status",  # of DV orders, with refusals by code; or "list"
    "other_downloads": 0,  # so many downloads of an order with several certificates give another one of them
    "lists_repeat_primary": False, "filter_alternative": "refused",  # or "works", "ignored"
    "random_value_days": 30, "dcv_days": 199, "largest_days": 199, "default_limit": 1000, "revoke_hours": 72, "retry_after": 0,
}
DCV_METHODS = ("email", "dns-txt-token", "dns-cname-token", "http-token")
REASONS = ("unspecified", "key_compromise", "affiliation_changed", "superseded", "cessation_of_operation")


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


class Order:
    def __init__(self, **given):
        self.status, self.issued, self.coming, self.requests, self.proved = "pending", [], None, [], {}
        self.value, self.value_until, self.changed_at, self.note, self.strays = "", 0, 0, "", 0
        self.__dict__.update(given)


class Coming:
    """A certificate that was asked for: the first one, a reissue or a duplicate."""

    def __init__(self, kind, number, request, names, end, approved):
        self.kind, self.number, self.request, self.names, self.end, self.approved = kind, number, request, names, end, approved


class Issued:
    def __init__(self, number, certificate, request, names, kind, at):
        self.number, self.certificate, self.request, self.names, self.kind, self.at = number, certificate, request, names, kind, at
        self.status = "issued"


class Account:
    def __init__(self, simulator):
        self.simulator, self.settings, self.orders = simulator, simulator.settings, simulator.orders
        self.keys = {"DEVKEY-admin-71QX": {"user": "admin", "admin": True, "view": False}, "DEVKEY-user-52BN": {"user": "orders", "admin": False, "view": False},
                     "DEVKEY-view-09MM": {"user": "viewer", "admin": False, "view": True}}
        rows = [("ssl_dv_geotrust", "GeoTrust Standard DV", "dv", 1, False), ("ssl_dv_rapidssl", "RapidSSL Standard DV", "dv", 1, False),
                ("wildcard_dv_geotrust", "GeoTrust Wildcard DV", "dv", 1, True), ("cloud_dv_geotrust", "GeoTrust Cloud DV", "dv", 250, True),
                ("ssl_basic", "Basic OV", "ov", 250, True), ("ssl_securesite_flex", "Secure Site OV", "ov", 250, True), ("ssl_ev_basic", "Basic EV", "ev", 250, False)]
        self.products = {name_id: {"name_id": name_id, "name": name, "kind": kind, "names": names, "wildcard": wildcard, "price": 20.0 if kind == "dv" else 90.0}
                         for name_id, name, kind, names, wildcard in rows}
        self.organizations = {117483: {"name": "Example Limited", "city": "Exampleton", "country": "xx", "validated": True},
                              117484: {"name": "Unvalidated Limited", "city": "Exampleton", "country": "xx", "validated": False}}
        self.domains = {}
        self.requests = {}
        self._number = 11000000 + secrets.randbelow(90000)

    def next_number(self):
        self._number += 1
        return self._number

    @staticmethod
    def stamp(seconds):
        return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))

    @staticmethod
    def day(seconds):
        return time.strftime("%Y-%m-%d", time.gmtime(seconds))

    # --- checks ---
    def request_of(self, pem):
        try:
            return authority.Request(pem)
        except authority.Unsuitable as error:
            raise Refused(400, "csr_invalid", str(error)) from error

    def names_of(self, product, common_name, more, request):
        names = [common_name.lower()] + [n.lower() for n in more if n.lower() != common_name.lower()]
        refused = self.simulator.refused_name(names)
        if refused:
            raise Refused(400, "invalid_dns_name", "%s: %s" % refused)
        if len(names) > product["names"] or len(set(names)) != len(names):
            raise Refused(400, "invalid_dns_name", "the product has %d names" % product["names"])
        if any(n.startswith("*.") for n in names) and not product["wildcard"]:
            raise Refused(400, "invalid_dns_name", "the product has no wildcard names")
        if product["wildcard"] and product["names"] == 1 and not names[0].startswith("*."):
            raise Refused(400, "invalid_dns_name", "the product needs a wildcard name")
        foreign = self.simulator.foreign_names(request, names)
        if foreign:
            raise Refused(400, "csr_invalid", "the request has the name %s, the order has not" % foreign[0])
        return names

    def find(self, number):
        order = self.orders.get(number)
        if order is None:
            raise Refused(404, "not_found|order", "The order could not be found")
        self.expire(order)
        return order

    def change(self, order, status):
        if order.status != status:
            order.status, order.changed_at = status, self.simulator.now()

    def expire(self, order):
        if order.status == "issued" and order.order_end < self.simulator.now():
            self.change(order, "expired")

    # --- requests of people ---
    def ask(self, order, kind, approved, comments="", target=None, user=""):
        number = self.next_number()
        self.requests[number] = {"id": number, "order": order, "type": kind, "status": "approved" if approved else "pending", "date": self.simulator.now(),
                                 "comments": comments, "target": target, "user": user}
        order.requests.append(number)
        return self.requests[number]

    def decide(self, request, approved):
        if request["status"] != "pending":
            raise Refused(400, "invalid_status", "The request is not pending")
        request["status"] = "approved" if approved else "rejected"
        order = request["order"]
        if request["type"] == "revoke":
            if approved:
                self.revoke_now(order, request["target"])
        else:
            self.vet(order, approved)

    def vet(self, order, yes):
        if yes:
            order.coming.approved = True
            self.change(order, "reissue_pending" if order.coming.kind == "reissue" else "pending")
            self.progress(order)
        else:
            order.coming = None
            self.change(order, "issued" if order.issued else "rejected")

    # --- domain control ---
    def prevalidated(self, name, kind):
        if kind == "dv" and not self.settings["reuse_dv"]:
            return False
        plain = name.removeprefix("*.")
        for domain in self.domains.values():
            fresh = domain["at"] and self.simulator.now() - domain["at"] < self.settings["dcv_days"] * 86400
            if fresh and domain["active"] and (plain == domain["name"] or plain.endswith("." + domain["name"])):
                return True
        return False

    def random_value(self, order):
        if not order.value or order.value_until < self.simulator.now():
            order.value, order.value_until = secrets.token_hex(16), self.simulator.now() + self.settings["random_value_days"] * 86400
        return order.value

    def open_names(self, order):
        """Names of the coming certificate that nothing has proved yet."""
        if order.coming is None:
            return []
        fresh = self.simulator.now() - self.settings["dcv_days"] * 86400
        return [n for n in order.coming.names if order.proved.get(n, 0) < fresh and not self.prevalidated(n, order.product["kind"])]

    def look(self, method, name, value):
        network, plain = self.simulator.network, name.removeprefix("*.")
        with self.simulator.state_released():
            if method == "http-token":
                if name.startswith("*."):
                    return "a wildcard cannot be validated by file"
                return network.file_contains(("https", "http"), plain, "/.well-known/pki-validation/fileauth.txt", value, 5000)
            if method == "dns-txt-token":
                return network.text_record(plain, value) and network.text_record("_dnsauth." + plain, value)
            return network.alias("_dnsauth." + plain, value + ".dcv.digicert.com")

    def check(self, order, names=None):
        """Looks at all that is open; [(name, why not or None)]."""
        method, value, seen = order.dcv_method, self.random_value(order), []
        for name in [n for n in self.open_names(order) if names is None or n in names] if method != "email" else ():
            why = self.look(method, name, value)
            seen.append((name, why))
            if why is None and order.dcv_method == method:
                order.proved[name] = self.simulator.now()
        self.progress(order)
        return seen

    @outside
    def watch(self, order):
        """The CA's own polling."""
        if order.coming is not None and order.status in ("pending", "needs_approval", "reissue_pending") and order.value_until > self.simulator.now():
            self.check(order)
            self.simulator.later(self.settings["recheck_seconds"], self.watch, order)

    # --- towards the certificate ---
    def expect(self, order, kind, request, names, end, approved, comments="", user=""):
        if order.product["kind"] == "dv" and kind != "duplicate" and not self.settings["reuse_dv"]:
            order.proved, order.value = {}, ""
        order.coming = Coming(kind, self.next_number(), request, names, end, approved)
        order.names = names
        asked = self.ask(order, kind, approved, comments, user=user)
        if not approved:
            self.change(order, "needs_approval")
        elif kind == "reissue":
            self.change(order, "reissue_pending")
        if self.open_names(order):
            self.random_value(order)
            if order.dcv_method == "email":
                for name in self.open_names(order):
                    self.simulator.mail("admin@" + name.removeprefix("*."), str(order.number), domain=name)
            else:
                self.simulator.later(self.settings["recheck_seconds"], self.watch, order)
        self.progress(order)
        return asked

    def ready(self, order):
        coming = order.coming
        vetted = order.product["kind"] == "dv" or self.organizations[order.organization]["validated"]
        return coming is not None and coming.approved and vetted and not self.open_names(order)

    def progress(self, order):
        if self.ready(order) and order.status in ("pending", "needs_approval", "reissue_pending", "issued"):
            if order.status != "reissue_pending" and not order.issued:
                self.change(order, "processing")
            self.simulator.later(self.settings["issue_seconds"], self.issue, order, order.coming)

    def issue(self, order, coming):
        if order.coming is not coming or order.status in ("canceled", "rejected", "revoked"):
            return
        order.coming = None
        if self.simulator.forbidden_by_caa(coming.names):
            order.coming = coming
            self.change(order, "reissue_pending" if order.issued else "pending")
            return
        organization = self.organizations.get(order.organization) if order.product["kind"] != "dv" else None
        subject = {"organization": organization["name"], "locality": organization["city"], "country": organization["country"].upper()} if organization else {}
        begin, end = self.simulator.lifetime(days=min(self.settings["certificate_days"], self.settings["largest_days"]))
        made = authority.Certificate(self.simulator.authority, coming.request.key, coming.names, subject, begin, min(end, coming.end))
        older = list(order.issued)
        order.issued.append(Issued(coming.number, made, coming.request, coming.names, coming.kind, self.simulator.now()))
        self.change(order, "issued")
        if coming.kind == "reissue":
            for one in older:
                if set(one.names) - set(coming.names):
                    self.simulator.later(self.settings["revoke_hours"] * 3600, self.revoke_now, order, one)
        if order.renewal_of and order.renewal_of in self.orders:
            self.change(self.orders[order.renewal_of], "renewed")

    def revoke_now(self, order, target):
        """`target`: one certificate, or None for the whole order."""
        for one in order.issued if target is None else [target]:
            one.status, one.certificate.revoked_at = "revoked", self.simulator.now()
        if target is None or all(one.status == "revoked" for one in order.issued) and self.settings["revoke_last"] == "order":
            self.change(order, "revoked")

    def place(self, product, request, names, end, **more):
        refusal = self.simulator.no_order()
        if refusal:
            raise Refused(refusal["status"] or 400, refusal["code"] or self.settings["undocumented_code"], refusal["message"])
        if product["price"] > self.settings["balance"]:
            raise Refused(400, self.settings["undocumented_code"], "insufficient funds")
        self.settings["balance"] -= product["price"]
        approved, comments, user = more.pop("approved"), more["comments"], more.pop("user")
        number = self.next_number()
        order = Order(number=number, product=product, placed_at=self.simulator.now(), changed_at=self.simulator.now(), order_end=end, **more)
        self.orders[str(number)] = order
        self.simulator.pay(number, names, product["price"])
        asked = self.expect(order, "new_request", request, names, end, approved, comments, user)
        self.simulator.decided_at_once(order)
        return order, asked

    def seed(self, count=0, expired=0, revoked=0, rejected=0, canceled=0, pending=0, csrs=(), suffix="seeded.test", comments=""):
        key, now, made = ec.generate_private_key(ec.SECP256R1()).public_key(), self.simulator.now(), []
        states = ["issued"] * count + ["expired"] * expired + ["revoked"] * revoked + ["rejected"] * rejected + ["canceled"] * canceled + ["pending"] * pending
        for position, status in enumerate(states):
            request = authority.Request(csrs[position]) if position < len(csrs) else None
            names = (request.names if request else None) or ["host%05d.%s" % (position, suffix)]
            begin = now - (position % 150) * 86400 - (500 * 86400 if status == "expired" else 3600)
            order = Order(number=self.next_number(), product=self.products["ssl_dv_geotrust"], placed_at=begin, changed_at=begin, order_end=begin + 365 * 86400,
                          organization=None, dcv_method="dns-txt-token", comments=comments, alternative="", renewal_of=None, platform=-1, status=status, names=names)
            if status in ("issued", "expired", "revoked"):
                certificate = authority.Certificate(self.simulator.authority, request.key if request else key, names, {}, *self.simulator.lifetime(begin))
                order.issued.append(Issued(self.next_number(), certificate, request, names, "new_request", begin))
                order.issued[0].status = "revoked" if status == "revoked" else "issued"
            self.orders[str(order.number)] = order
            if status == "pending" and request:
                self.expect(order, "new_request", request, names, order.order_end, True, comments)
            made.append(str(order.number))
        return {"orders": made}
