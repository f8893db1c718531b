"""What CERTInext keeps of a customer, whichever interface is used: products, groups, organisations, domains, orders and how
they come to be issued. Each refusal is a Problem; the interfaces put it in their own words."""
import ipaddress
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import ec

from common import authority
from common.simulator import outside

# What only this CA has to be set.
SETTINGS = {
    "clock_skew_seconds": 300, "burst_orders": 16, "burst_seconds": 10.0,
    "burst_counting": "accepted",  # or "attempts": refused tries count as well; "fixed": windows that begin by the clock
    "txn_seconds": 0.0,  # for how long a txn is known; 0: for ever
    "duplicate_txn_status": 200, "v1_authentication_body": "meta",  # or "empty"
    "authentication_words": "Authentication failed",  # of V1, whose own nobody has recorded
    "place_checks_signer_ip": True,  # whether GenerateOrderSSL looks at signerIP as AgreementAcceptance does
    "queue_without_organization": False,  # an order without organizationNumber waits for people, DV too
    "revocation": "at once",  # or "requested": people decide; "later", "refused": they have decided after revocation_seconds
    "revocation_seconds": 1.0,
    "revoked_download": "given",  # or "refused", "empty"
    "ems_place": "prefix",  # where V2 has the EMS code: "prefix", "brackets" of the detail, or "type"
    "csr_code": "EMS-921", "csr_taken": "both",  # by V2's create: PEM and bare base64; or "pem", "base64"
    "verify_answer": 200,  # or 204, of V2's verification that succeeds
    "v2_email_field": "taken",  # or "refused": no document has an address in the call
    "v2_email_answer": 204,  # or 422, of V2's verification by mail before the click
    "download_body": "problem",  # or "empty", "spring": of V2's refusal until the certificate is downloadable
    "unknown_looks": 0,  # so many looks at an order say "unknown"
    "order_id_form": "numeric",  # or "ord"
    "dcv_inheritance": True, "inheritance_excludes": [],  # names below a validated domain are validated too, but these
    "dcv_ready_seconds": 0.0,  # until DCV calls are valid for an order
    "domain_verification_seconds": 0.0,  # until TrackOrder has that block
    "download_seconds": 0.0,  # from issued to downloadable, V2
    "txt_host": "{domain}",  # where the TXT record is looked for
    "dns_covers_subdomains": True,
    "v2_http_file_name": "",  # the name of the file when V2 validates by HTTP: not known, so unset it is refused
    "undocumented_code": "",  # the EMS code of refusals whose code is not known
    "v1_authentication_status": 200,
    "withdrawn_products": [],  # codes that this account may not order any more
    "refuse_inactive": False,  # the account is inactive
    "duplicate_csr": True,
    "token_seconds": 3600, "oauth_mode": True, "root_in_chain": True, "chain_order": "right",
    "layouts": {},  # answers whose layout is not known, by operation or path
    "csr_replacement": False,
    "products_need_group": False,  # the catalogue of V1 is empty without a group number
    "download_status": 422,  # or 404, until the certificate is downloadable
    "update_sans": "replace",  # what additionalDomains means in a reissue: all names but the first; or "add"
}

ORDER_STATUS = {1: "Order Placed", 2: "Order Accepted", 3: "In Progress", 4: "Order Rejected", 5: "Order Cancelled", 6: "Order Fulfilled",
                7: "On Hold", 8: "Pending Approval", 9: "Pending Admin Approval"}
CERTIFICATE_STATUS = {
    1: "Setup Pending", 2: "Pending for Approver", 3: "Under Discrepancy", 4: "Approved", 5: "Rejected", 6: "Pending Second Approver",
    7: "Approved by Second Approver", 8: "Rejected by Second Approver", 9: "Certificate Downloaded", 12: "Certificate Expired",
    13: "Rejected due to Order Cancellation", 14: "Auto Rejected", 15: "Order Auto Approved", 16: "Pending LRA", 17: "Approved LRA",
    18: "Rejected LRA", 19: "Invalid Configuration", 20: "Certificate Generated", 21: "Download Rejected", 22: "Certificate Revoked",
    23: "Rekey Approved", 24: "Pending Approver, Auto Approval"}
# What the account's own words for a state are in the ids of V1: order, certificate.
IDS = {"draft": (1, 1), "open": (2, 2), "approval": (8, 2), "hold": (7, 2), "discrepancy": (3, 3), "issued": (6, 20), "downloaded": (6, 9),
       "revoked": (6, 22), "cancelled": (5, 13), "rejected": (4, 5), "expired": (6, 12)}
REASONS = {"1": "key-compromise", "3": "affiliation-changed", "4": "superseded", "5": "cessation-of-operation", "9": "privilege-withdrawn"}


class Problem(Exception):
    """code: the EMS code where one is known, else empty. kind: what V2 makes of it."""

    def __init__(self, code, sentence, kind=422, status=None, **more):
        super().__init__(sentence)
        self.code, self.kind, self.status, self.more = code, kind, status, more


class Control:
    """Domain control of one name."""

    def __init__(self, name):
        self.name = name
        self.base = name.removeprefix("*.")
        self.renew()
        self.status, self.method, self.verified_at, self.caa = "PENDING", "", None, "1"

    def renew(self):
        self.text_token = secrets.token_hex(20)
        self.file_name, self.file_content = secrets.token_hex(16) + ".txt", secrets.token_hex(32)


class Order:
    def __init__(self, **given):
        self.number = self.request_number = ""
        self.requestor, self.technical, self.organization, self.agreement, self.request = {}, {}, None, None, None
        self.remarks, self.tags, self.notes = "", [], ""
        self.state, self.approved, self.issuing, self.needs_documents = "open", True, False, False
        self.certificate, self.issued_at, self.revocation, self.ids = None, None, None, None
        self.consent = False  # the organisation's, given ahead by a token
        self.auto_renew, self.originator, self.reissues, self.revokes = False, "CERTInext API", 0, None
        self.price, self.looks = 0.0, 0
        self.__dict__.update(given)


def product(code, name, variant, kind, price, category="2"):
    return {"code": code, "name": name, "variant": variant, "type": kind, "price": price, "category": category}


class Account:
    """The simulator gives the clock, the network and the issuing CA."""

    def __init__(self, simulator):
        self.simulator, self.settings, self.orders = simulator, simulator.settings, simulator.orders
        self.number, self.access_key, self.secret = "8412009917", "K7" + "q" * 6 + "4mWv2TzLr9", "oauth-secret-4H8s"
        self.users = ["ops@example.com", "admin@example.com"]
        self.groups = {"2160000001": {"name": "Web", "default": True}, "2160000002": {"name": "Shops", "default": False}}
        self.organizations = {"5520001": {"name": "Example Limited", "locality": "Exampleton", "state": "EX", "country": "XX", "prevetted": True},
                              "5520002": {"name": "Unvetted Limited", "locality": "Exampleton", "state": "EX", "country": "XX", "prevetted": False}}
        rows = [("842", "DV SSL", "dv", "1", 10.0), ("843", "DV SSL Wildcard", "dv-wildcard", "1", 60.0), ("844", "DV SSL UCC", "dv-ucc", "1", 30.0),
                ("845", "DV SSL Wildcard UCC", "dv-wildcard-ucc", "1", 90.0), ("846", "OV SSL", "ov", "2", 40.0),
                ("847", "OV SSL Wildcard", "ov-wildcard", "2", 140.0), ("848", "OV SSL UCC", "ov-ucc", "2", 90.0),
                ("849", "OV SSL Wildcard UCC", "ov-wildcard-ucc", "2", 190.0), ("850", "EV SSL", "ev", "3", 110.0), ("851", "EV SSL UCC", "ev-ucc", "3", 180.0)]
        self.products = {r[0]: product(*r) for r in rows}
        self.products["104"] = product("104", "Intranet SSL", "intranet-ssl", "4", 5.0, "8")
        self.unmapped = {"2160000002": ["850", "851"]}  # products that a group does not have
        self.domains = {}
        self.used_requests = {}
        self.recent, self.window, self._counter = [], 0, 7000100000 + secrets.randbelow(90000)

    def on_offer(self):
        return {code: one for code, one in self.products.items() if code not in self.settings["withdrawn_products"]}

    def next_number(self):
        self._counter += 1
        return str(self._counter)

    def day(self, seconds):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) if seconds else ""

    def stamp(self, seconds):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None

    # --- placing ---
    def inactive(self):
        """A burst of orders is answered with the words for an inactive account. Counts the one that is being placed."""
        now, seconds, counting = self.simulator.now(), self.settings["burst_seconds"], self.settings["burst_counting"]
        window = int(now // seconds) if counting == "fixed" and seconds else 0
        self.recent = [t for t in self.recent if (window == self.window if window else now - t < seconds)]
        self.window = window
        full = len(self.recent) >= self.settings["burst_orders"]
        if counting == "attempts" or not full:
            self.recent.append(now)
        return self.settings["refuse_inactive"] or full

    def group_of(self, number):
        if not number:
            return next(n for n, g in self.groups.items() if g["default"])
        if number not in self.groups:
            raise Problem("", "Group %s is not known" % number)
        return number

    def all_names(self, kind, domain, additional, www):
        """The names of an order, checked against what the product may have."""
        domain, additional = domain.lower(), [name.lower() for name in additional]
        variant = kind["variant"]
        names = [domain] + [name for name in additional if name != domain]
        if len(set(additional)) != len(additional):
            raise Problem("", "A name is given twice")
        if additional and "ucc" not in variant and variant != "intranet-ssl":
            raise Problem("", "Product %s has no additional domains" % kind["code"])
        if "wildcard" in variant and not any(name.startswith("*.") for name in names):
            raise Problem("", "Product %s needs a wildcard name" % kind["code"])
        if "wildcard" not in variant and any(name.startswith("*.") for name in names):
            raise Problem("", "Product %s has no wildcard names" % kind["code"])
        if www and not domain.startswith(("www.", "*.")) and "www." + domain not in names:
            names.insert(1, "www." + domain)
        refused = self.simulator.refused_name(names)
        if refused:
            raise Problem("", "Domain %s: %s" % refused)
        return names

    def organization_for(self, kind, number, prevetted):
        if kind["variant"][:2] not in ("ov", "ev"):
            if number and number not in self.organizations:
                raise Problem("EMS-1073", "Invalid Organization Number")
            return None
        if not prevetted:
            raise Problem("", "A new organization cannot be given here: its fields are not known")
        if number not in self.organizations:
            raise Problem("EMS-1073", "Invalid Organization Number")
        return number

    def request_of(self, pem, names, order=None, code=""):
        try:
            request = authority.Request(pem, sizes=(2048, 3072, 4096))
        except authority.Unsuitable as error:
            raise Problem(code, "CSR: " + ("Invalid key size: " if error.code == "key" else "") + str(error), 422) from error
        foreign = self.simulator.foreign_names(request, names)
        if foreign:
            raise Problem(code, "CSR: the order has no name " + foreign[0])
        user = self.used_requests.get(request.der)
        if self.settings["duplicate_csr"] and user not in (None, order):
            raise Problem("EMS-1099", "Duplicate CSR")
        return request

    def agreed(self, name, place, address, checked=True):
        if not checked:
            return {"name": name, "place": place, "ip": address, "at": self.simulator.now()}
        try:
            found = ipaddress.ip_address(address) if address else None
        except ValueError as error:
            raise Problem("EMS-1091", "Invalid Signer IP") from error
        if found and (found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast or any(
                found in ipaddress.ip_network(own) for own in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))):
            raise Problem("EMS-1091", "Invalid Signer IP")
        return {"name": name, "place": place, "ip": address, "at": self.simulator.now()}

    def order_id(self):
        return self.next_number() if self.settings["order_id_form"] == "numeric" else "ord_" + secrets.token_hex(8)

    def place(self, draft=False, cost=True, queued=False, **given):
        """Makes the order. Everything about it has been checked; only the money has not."""
        kind = given["product"]
        refusal = self.simulator.no_order() if cost else None
        if refusal:
            raise Problem(refusal["code"], refusal["message"], status=refusal["status"])
        price = kind["price"] * given["years"] * max(1, len(given["names"]) if "ucc" in kind["variant"] else 1)
        if cost and price > self.settings["balance"]:
            raise Problem("", "Insufficient balance")
        order = Order(price=price if cost else 0.0, placed_at=self.simulator.now(), request_number=self.next_number(), **given)
        order.number = "" if draft else given.get("number") or self.order_id()
        order.state = "draft" if draft else "open"
        order.controls = {name: Control(name) for name in order.names}
        order.approved = (self.settings["approval"] == "auto" or order.consent) and not queued
        if order.organization and not self.organizations[order.organization]["prevetted"]:
            order.approved = False
        self.settings["balance"] -= order.price
        if cost:
            self.simulator.pay(order.number or order.request_number, order.names, order.price)
        self.orders[order.number or "request-" + order.request_number] = order
        if order.request:
            self.used_requests[order.request.der] = order
        for control in order.controls.values():
            if self.prevalidated(control.base):
                self.verified(control, "domain")
        self.progress(order)
        if not draft:
            self.simulator.decided_at_once(order)
        return order

    def find(self, number):
        order = self.orders.get(number)
        if order is not None and order.number:
            self.expire(order)
            return order
        if any(o.request_number == number for o in self.orders.values()):
            raise Problem("EMS-943", "Order not found", 404)
        raise Problem("EMS-913", "Order not found", 404)

    # --- domain control ---
    def prevalidated(self, name):
        inherited = self.settings["dcv_inheritance"] and name not in self.settings["inheritance_excludes"]
        return any(d["dcv"].status == "VERIFIED" and d["status"] == "ACTIVE" and (name == d["name"] or inherited and name.endswith("." + d["name"]))
                   for d in self.domains.values())

    def verified(self, control, method):
        control.status, control.method, control.verified_at = "VERIFIED", method, self.simulator.now()

    def control_of(self, order, name):
        """For a DCV call on an order that has come far enough and not too far."""
        control = order.controls.get(name.lower())
        if control is None:
            raise Problem("", "The order has no domain " + name)
        if order.state not in ("open", "hold", "discrepancy") or self.simulator.now() - order.placed_at < self.settings["dcv_ready_seconds"]:
            raise Problem("EMS-956", "Invalid Request for this API")
        if control.status == "VERIFIED":
            raise Problem("EMS-1080", "Domain already verified")
        return control

    def addresses_of(self, control):
        return [who + "@" + control.base for who in ("admin", "administrator", "webmaster", "hostmaster", "postmaster")]

    def look(self, control, method, file_name=None, content=None):
        """Goes out and looks; None or why not. Lets go of the state meanwhile."""
        network = self.simulator.network
        with self.simulator.state_released():
            if method == "http":
                if control.name.startswith("*."):
                    return "a wildcard cannot be validated by file"
                return network.file_has(("http", "https"), control.base, "/.well-known/pki-validation/" + (file_name or control.file_name),
                                        [content or control.file_content])
            return network.text_record(self.settings["txt_host"].format(domain=control.base), control.text_token)

    @outside
    def verify(self, order, control, method, **more):
        why = self.look(control, method, **more)
        if why is None:
            self.succeeded(order, control, method)
        return why

    def succeeded(self, order, control, method):
        self.verified(control, method)
        if method != "http" and self.settings["dns_covers_subdomains"]:
            for other in order.controls.values():
                if other.base == control.base or other.base.endswith("." + control.base):
                    self.verified(other, method)
        self.progress(order)

    # --- towards the certificate ---
    def waits_for(self, order):
        """What the order waits for, in V2's words; None: nothing."""
        if any(c.status != "VERIFIED" for c in order.controls.values()):
            return "pending-dcv"
        if order.organization and not self.organizations[order.organization]["prevetted"] and not order.approved:
            return "pending-organization-verification"
        if order.request is None:
            return "pending-csr"
        if order.needs_documents:
            return "pending-documents"
        if order.agreement is None:
            return "pending-agreement"
        return None if order.approved else "pending-approval"

    def progress(self, order):
        if order.state != "open" or order.issuing or self.waits_for(order) is not None:
            return
        order.issuing = True
        self.simulator.later(self.settings["issue_seconds"], self.issue, order)

    def issue(self, order):
        order.issuing = False
        if order.state != "open" or self.waits_for(order) is not None:
            return
        forbidden = self.simulator.forbidden_by_caa(order.names)
        for name in forbidden:
            order.controls[name].caa = "2"
        if forbidden or order.state != "open":
            return
        organization = self.organizations.get(order.organization)
        subject = {"organization": organization["name"], "locality": organization["locality"], "country": organization["country"]} if organization else {}
        order.certificate = authority.Certificate(self.simulator.authority, order.request.key, order.names, subject, *self.simulator.lifetime())
        order.state, order.issued_at = "issued", self.simulator.now()
        for control in order.controls.values():
            control.caa = "1"
        if order.revokes:
            order.revokes.state, order.revokes.revocation = "revoked", {"reason": "superseded", "at": self.simulator.now(), "status": "2"}

    def expire(self, order):
        if order.certificate and order.state in ("issued", "downloaded") and order.certificate.end < self.simulator.now():
            order.state = "expired"

    def revoke(self, order, reason, remarks):
        if ";" in (remarks or ""):
            raise Problem("", "Invalid Revoke Remarks")
        self.expire(order)
        if order.state not in ("issued", "downloaded") or order.revocation and order.revocation["status"] == "1":
            raise Problem("EMS-956", "Invalid Request for this API", 404)
        order.revocation = {"reason": reason, "at": self.simulator.now(), "status": "1"}
        how = self.settings["revocation"]
        if how == "at once":
            self.decide_revocation(order, True)
        elif how != "requested":
            self.simulator.later(self.settings["revocation_seconds"], self.decide_revocation, order, how == "later")

    def decide_revocation(self, order, yes):
        order.revocation.update(status="2" if yes else "3", at=self.simulator.now())
        order.state = "revoked" if yes else order.state

    def cancel(self, order, remarks):
        if order.state not in ("draft", "open", "hold", "discrepancy"):
            raise Problem("EMS-956", "Invalid Request for this API")
        order.state, order.notes = "cancelled", remarks
        self.settings["balance"] += order.price
        order.price = 0.0

    def ids(self, order):
        self.expire(order)
        if order.ids:
            return order.ids
        state = "approval" if order.state == "open" and self.waits_for(order) == "pending-approval" else order.state
        return IDS[state]

    # --- what people at the CA do; seeding ---
    def act(self, order, action, body):
        states = {"hold": "hold", "discrepancy": "discrepancy", "release": "open", "reject": "rejected", "submit": "open"}
        if action == "approve":
            order.approved, order.needs_documents = True, False
            order.state = "open" if order.state in ("hold", "discrepancy") else order.state
        elif action == "documents":
            order.needs_documents = True
        elif action == "ids":
            order.ids = (int(body["order"]), int(body["certificate"])) if body else None
        elif action == "mail":  # a person clicks the link
            control = order.controls[body["domain"]]
            if not any(m["order"] == order.number and m["domain"] == control.name for m in self.simulator.mails):
                raise ValueError("no mail was sent for " + control.name)
            self.succeeded(order, control, "email")
        elif action in ("approve-revocation", "reject-revocation"):
            self.decide_revocation(order, action == "approve-revocation")
        elif action in states:
            order.state = states[action]
            if action == "submit":
                del self.orders["request-" + order.request_number]
                order.number = self.next_number()
                self.orders[order.number] = order
        else:
            raise ValueError("no action " + action)
        self.progress(order)

    def seed(self, count=0, expired=0, revoked=0, rejected=0, cancelled=0, pending=0, csrs=(), suffix="seeded.test", tags=()):
        """`count` issued orders and so many of each other kind, the first of them for the keys in `csrs`."""
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        now, made = self.simulator.now(), []
        wanted = [("issued", i) for i in range(count)] + [(state, i) for state, number in (
            ("expired", expired), ("revoked", revoked), ("rejected", rejected), ("cancelled", cancelled), ("open", pending)) for i in range(number)]
        for position, (state, _) in enumerate(wanted):
            request = authority.Request(csrs[position]) if position < len(csrs) else None
            names = (request.names if request else None) or ["host%05d.%s" % (position, suffix)]
            age = (position % 150) * 86400 + (300 * 86400 if state == "expired" else 3600)
            number = self.next_number()
            order = Order(product=self.products["842"], names=names, years=1, group=self.group_of(None), number=number, placed_at=now - age,
                          request_number=self.next_number(), state=state, request=request, tags=list(tags), originator="CERTInext",
                          requestor={"name": "Ops", "email": self.users[0], "phone": "+15550100"}, remarks="seeded",
                          agreement={"name": "Ops", "place": "Exampleton", "ip": "", "at": now - age})
            order.controls = {name: Control(name) for name in names}
            if state in ("issued", "expired", "revoked"):
                order.certificate = authority.Certificate(self.simulator.authority, request.key if request else key, names, {},
                                                          *self.simulator.lifetime(now - age))
                order.issued_at = now - age
                for control in order.controls.values():
                    self.verified(control, "dns")
            if state == "revoked":
                order.revocation = {"reason": "superseded", "at": now - age / 2, "status": "2"}
            self.orders[number] = order
            made.append(number)
        return {"orders": made}
