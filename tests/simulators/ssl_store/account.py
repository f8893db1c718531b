"""What The SSL Store keeps of a partner: products, orders, money; and how the CA behind an order proves domains and issues.
Refused carries a sentence; only one error number is documented, the others are the setting `undocumented_number`."""
import hashlib
import re
import secrets
import time
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ec

from common import authority
from common.simulator import outside

SETTINGS = {
    "fresh_status": "Initial", "initial_seconds": 0.0,  # how long a new order is in that state
    "empty_dcv_polls": 1,  # so many looks at a new order show no file name yet
    "query_wrong_token": "empty",  # what order/query says to a wrong token: "empty", "book" (everything), "refused"
    "refuse_replay": True, "allow_credit": False,
    "requests_per_second": 0,  # 0: no limit
    "reuse_dv": True,  # whether a reissue of DigiCert's DV takes what was proved before
    "digicert_file_name": "given",  # or "empty": AuthFileName of DigiCert's products
    "checkdcv_needs_order": False,  # whether digicert/checkdcv is refused without an order's number
    "revoke_path": "both",  # the call that ends an issued order: or "refundrequest", "certificaterevokerequest"
    "rejected_status": "Cancelled",  # or "Rejected", of an order that the CA behind refused
    "download_seconds": 0.0,  # from Active to what can be downloaded
    "active_status": "Active",  # or another word that means so
    "digicert_hashes": ["sha256"], "undocumented_number": "", "default_culture": "en-US",
    "refund_approval": "auto", "revoked_status": "Cancelled", "change_method": True,
    "file_order": "odd",  # of downloaded files; or "leaf first"
    "root_in_download": True, "largest_page": 0,  # 0: no limit
}
SECTIGO_HASHES = ("NO_PREFERENCE", "INFER_FROM_CSR", "PREFER_SHA2", "REQUIRE_SHA2")
SECTIGO_METHODS, DIGICERT_METHODS = ("HTTP", "HTTPS", "DNS"), ("EMAIL", "HTTP", "DNS", "dns_cname_token")
NONE = -2208988800  # 1 January 1900: no date


class Refused(Exception):
    pass


class Control:
    """How one name is proved, in the way of the CA behind the product."""

    def __init__(self, name, vendor, request, unique):
        self.name, self.base, self.vendor = name, name.removeprefix("*."), vendor
        self.method, self.mail, self.status, self.polled_at, self.why = "EMAIL", "", "PENDING", NONE, ""
        if vendor == "DIGICERT":
            self.value = secrets.token_hex(16)
            self.file, self.lines = "fileauth.txt", [self.value]
            self.record = (self.base, self.value)
            self.alias = ("_dnsauth." + self.base, self.value + ".dcv.digicert.com")
        else:
            digest, short = hashlib.sha256(request.der).hexdigest(), hashlib.md5(request.der).hexdigest()
            more = [unique] if unique else []
            self.file, self.lines = short.upper() + ".txt", [digest, "sectigo.com"] + more
            self.alias = ("_%s.%s" % (short, self.base), ".".join([digest[:32], digest[32:]] + more + ["sectigo.com"]))
            self.record = None

    def dns(self):
        """(kind, owner, value) of the record that the method asks for."""
        if self.vendor == "DIGICERT" and self.method == "DNS":
            return "TXT", *self.record
        return "CNAME", *self.alias


class Order:
    def __init__(self, **given):
        self.major, self.minor, self.certificate, self.previous = "Initial", "", None, []
        self.controls, self.polls, self.refund, self.expected = {}, 0, None, None
        self.vetted, self.modified_at, self.issued_at, self.reissues = True, 0, 0, 0
        self.__dict__.update(given)


class Account:
    def __init__(self, simulator):
        self.simulator, self.settings, self.orders = simulator, simulator.settings, simulator.orders
        self.partner, self.token, self.email = "60048817", "store-token-D83KQ7", "partner@example.com"
        rows = [("positivessl", "PositiveSSL", "COMODO", 1, 1, False), ("positivesslwildcard", "PositiveSSL Wildcard", "COMODO", 1, 1, True),
                ("positivemdcssl", "PositiveSSL Multi-Domain", "COMODO", 1, 100, False), ("positivemdcwildcard", "PositiveSSL Multi-Domain Wildcard", "COMODO", 1, 100, True),
                ("sectigossl", "Sectigo SSL", "COMODO", 1, 1, False), ("sectigoovssl", "Sectigo OV SSL", "COMODO", 3, 1, False),
                ("digi_rapidssl", "RapidSSL", "DIGICERT", 1, 1, False), ("digi_rapidssl_wc", "RapidSSL Wildcard", "DIGICERT", 1, 1, True),
                ("digi_ssl_dv_geotrust_flex", "GeoTrust DV SSL", "DIGICERT", 1, 100, False), ("digi_ssl_basic", "Basic OV", "DIGICERT", 3, 100, False)]
        self.products = {code: {"code": code, "name": name, "vendor": vendor, "type": kind, "names": names, "wildcard": wildcard,
                                "prices": {12: 9.0, 24: 17.0, 36: 25.0} if names == 1 else {12: 29.0, 24: 55.0}}
                         for code, name, vendor, kind, names, wildcard in rows}
        self.companies = {81: {"Name": "Example Limited", "City": "Exampleton", "Country": "XX"}}
        self._number = 2400000 + secrets.randbelow(9000)

    # --- dates ---
    def date(self, seconds, culture):
        day = time.gmtime(NONE if seconds is None else seconds)
        hour = day.tm_hour % 12 or 12
        half = "AM" if day.tm_hour < 12 else "PM"
        first, second = (day.tm_mon, day.tm_mday) if culture == "en-US" else (day.tm_mday, day.tm_mon)
        return "%d/%d/%d %d:%02d:%02d %s" % (first, second, day.tm_year, hour, day.tm_min, day.tm_sec, half)

    @staticmethod
    def moment(text):
        """Seconds of /Date(milliseconds)/."""
        found = re.fullmatch(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/", text or "")
        if not found:
            raise Refused("Dates are written /Date(milliseconds since 1970)/")
        return int(found.group(1)) / 1000

    # --- checks ---
    def product(self, code):
        if code not in self.products:
            raise Refused("Product code %s is not valid" % code)
        return self.products[code]

    def request_of(self, text, product):
        """The encoding that is accepted depends on the CA behind the product."""
        pem = text
        if product["vendor"] == "DIGICERT":
            pem = urllib.parse.unquote(text) if "%" in text else ""
        joined = re.fullmatch(r"\s*(-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----)(.*?)(-----END (?:NEW )?CERTIFICATE REQUEST-----)\s*", pem, re.S)
        try:
            if not joined:
                raise authority.Unsuitable("unreadable", "")
            body = "".join(joined.group(2).split())
            return authority.Request("-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n" % "\n".join(
                body[i:i + 64] for i in range(0, len(body), 64)))
        except authority.Unsuitable as error:
            if error.code == "unreadable":
                raise Refused("csr_invalid - Failed to parse CSR") from error
            raise Refused("csr_invalid - " + str(error)) from error

    def names_of(self, product, first, more, www, request, reserved=None):
        names = [first.lower()] + [name.lower() for name in more if name.lower() != first.lower()]
        if www and product["names"] > 1:
            raise Refused("AutoWWW is for products of one name")
        if www and not names[0].startswith(("www.", "*.")) and "www." + names[0] not in names:
            names.insert(1, "www." + names[0])
        refused = self.simulator.refused_name(names)
        if refused:
            raise Refused("%s: %s" % refused)
        bought = len(names) - (1 if www else 0)
        if bought > product["names"] or len(set(names)) != len(names):
            raise Refused("Product %s has %d names" % (product["code"], product["names"]))
        if product["names"] > 1 and reserved is not None and bought - 1 > reserved:
            raise Refused("ReserveSANCount is %d, %d names are given" % (reserved, bought - 1))
        if any(n.startswith("*.") for n in names) != product["wildcard"] and not (product["wildcard"] and product["names"] > 1):
            raise Refused("Product %s %s wildcard names" % (product["code"], "needs" if product["wildcard"] else "has no"))
        foreign = self.simulator.foreign_names(request, names)
        if foreign:
            raise Refused("the request has the name %s, the order has not" % foreign[0])
        return names

    def approvers(self, name):
        base = name.removeprefix("*.")
        return [who + "@" + base for who in ("admin", "administrator", "hostmaster", "postmaster", "webmaster")]

    def method_of(self, word, product, name):
        """An address or the name of a method, as ApproverEmail and changeapproveremail have them."""
        known = DIGICERT_METHODS if product["vendor"] == "DIGICERT" else SECTIGO_METHODS
        if word in known:
            if name.startswith("*.") and word in ("HTTP", "HTTPS"):
                raise Refused("%s cannot be validated by file" % name)
            return word, self.approvers(name)[0] if word == "EMAIL" else ""
        if word in self.approvers(name) + self.approvers(".".join(name.split(".")[-2:])):
            return "EMAIL", word
        raise Refused("%s is no approver of %s" % (word, name))

    def methods(self, body, product, names):
        """{name: (method, address)}"""
        flags = {"HTTP": "FileAuthDVIndicator", "HTTPS": "HTTPSFileAuthDVIndicator", "DNS": "CNAMEAuthDVIndicator"}
        chosen = [method for method, flag in flags.items() if body.get(flag)]
        if len(chosen) > 1:
            raise Refused("More than one DCV indicator is set")
        if chosen == ["HTTPS"] and product["vendor"] == "DIGICERT":
            raise Refused("HTTPSFileAuthDVIndicator is not for this product")
        words = [w.strip() for w in (body.get("ApproverEmail") or body.get("ApproverEmails") or "").split(",") if w.strip()]
        if not words and not chosen:
            raise Refused("ApproverEmail is required")
        if len(words) not in (0, 1, len(names)):
            raise Refused("ApproverEmail has %d entries for %d domains" % (len(words), len(names)))
        per_name = len(words) == len(names) and len(names) > 1
        if chosen and not per_name:
            return {name: self.method_of(chosen[0], product, name) for name in names}
        return {name: self.method_of(words[i] if per_name else words[0], product, name) for i, name in enumerate(names)}

    # --- orders ---
    def place(self, product, months, request, names, methods, unique="", **more):
        reference = more.get("reference")
        if reference and any(o.reference == reference for o in self.orders.values()):
            raise Refused("CustomOrderID %s exists already" % reference)
        refusal = self.simulator.no_order()
        if refusal:
            raise Refused(("%s %s" % (refusal["code"], refusal["message"])).strip())
        price = product["prices"][months]
        if price > self.settings["balance"] and not self.settings["allow_credit"]:
            raise Refused("Insufficient funds")
        self.settings["balance"] -= price
        self._number += 1
        now = self.simulator.now()
        order = Order(number=str(self._number), partner=str(self._number), product=product, months=months, price=price, names=names, placed_at=now, modified_at=now,
                      token_id=secrets.token_hex(8), token_code=secrets.token_hex(8), **more)
        order.major = self.settings["fresh_status"]
        order.vetted = self.settings["approval"] == "auto"
        self.orders[order.number] = order
        self.simulator.pay(order.number, names, price)
        self.expect(order, request, names, methods, unique)
        self.simulator.later(self.settings["initial_seconds"], self.enter, order)
        self.simulator.decided_at_once(order)
        return order

    def expect(self, order, request, names, methods, unique):
        """What has to be proved for the certificate that is to come."""
        order.expected = (request, list(names))
        order.controls = {}
        for name in names:
            control = order.controls[name] = Control(name, order.product["vendor"], request, unique)
            control.method, control.mail = methods[name]
        order.polls = 0

    def enter(self, order):
        if order.major == self.settings["fresh_status"] and order.certificate is None:
            order.major, order.modified_at = "Pending", self.simulator.now()
        self.watch(order)

    def watch(self, order):
        for control in order.controls.values():
            if control.method == "EMAIL":
                self.simulator.mail(control.mail, order.number, domain=control.name)
        self.simulator.later(self.settings["recheck_seconds"], self.poll, order, order.expected, True)
        self.progress(order)

    @outside
    def poll(self, order, expected, again=False):
        """The CA behind looks at all that is still open, and goes on doing so."""
        if order.expected is not expected or expected is None or order.major not in ("Pending", "Active"):
            return
        for control in list(order.controls.values()):
            if control.status == "PENDING" and control.method != "EMAIL":
                method = control.method
                with self.simulator.state_released():
                    why = self.look(control, method)
                control.polled_at, control.why = self.simulator.now(), why or ""
                if why is None and control.method == method:
                    order.modified_at = self.simulator.now()
                    self.proved(order, control)
        self.progress(order)
        if again and any(c.status == "PENDING" for c in order.controls.values()):
            self.simulator.later(self.settings["recheck_seconds"], self.poll, order, expected, True)

    def proved(self, order, control):
        """By DNS or mail at a name, its www name is proved as well; a file stands for its own name only."""
        control.status = "COMPLETED"
        for other in order.controls.values():
            if control.method not in ("HTTP", "HTTPS") and other.base in ("www." + control.base, control.base) and other.method == control.method:
                other.status = "COMPLETED"

    def look(self, control, method):
        network = self.simulator.network
        if control.vendor == "DIGICERT" and method == "HTTP":
            return network.file_contains(("https", "http"), control.base, "/.well-known/pki-validation/" + control.file, control.lines[0], 5000)
        if method in ("HTTP", "HTTPS"):
            return network.file_has((method.lower(),), control.base, "/.well-known/pki-validation/" + control.file, control.lines)
        kind, owner, value = control.dns()
        return network.text_record(owner, value) if kind == "TXT" else network.alias(owner, value)

    def progress(self, order):
        if order.major in ("Pending", "Active") and order.expected and order.vetted and all(c.status == "COMPLETED" for c in order.controls.values()):
            self.simulator.later(self.settings["issue_seconds"], self.issue, order, order.expected)

    def issue(self, order, expected):
        if order.expected is not expected or order.major not in ("Pending", "Active"):
            return
        order.expected = None
        request, names = expected
        if self.simulator.forbidden_by_caa(names):
            order.major, order.minor = self.settings["rejected_status"], "CAA"
            return
        company = order.organization if order.product["type"] == 3 else {}
        if order.certificate:
            order.previous.append(order.certificate)
        subject = {"organization": company.get("OrganizationName"), "country": company.get("Country")} if company else {}
        order.certificate = authority.Certificate(self.simulator.authority, request.key, names, subject, *self.simulator.lifetime())
        order.names, order.major, order.minor, order.modified_at = names, "Active", "", self.simulator.now()
        order.issued_at = self.simulator.now()

    def reissue(self, order, request, names, methods, unique):
        order.minor, order.modified_at, order.reissues = "PENDING_REISSUE", self.simulator.now(), order.reissues + 1
        order.partner = "%s-%d" % (order.number, order.reissues)
        proved = {name for name, c in order.controls.items() if c.status == "COMPLETED"} if self.reusable(order.product) else set()
        self.expect(order, request, names, methods, unique)
        for name in proved & set(order.controls):
            order.controls[name].status = "COMPLETED"
        self.watch(order)

    def reusable(self, product):
        """Whether what was proved stands for a reissue as well."""
        return product["vendor"] == "DIGICERT" and (product["type"] != 1 or self.settings["reuse_dv"])

    def ended(self, order):
        if order.major == "Active" and order.placed_at + order.months * 30.5 * 86400 < self.simulator.now():
            order.major = "Expired"
        return order

    def refund(self, order):
        order.refund = {"id": "R" + secrets.token_hex(5), "approved": False}
        # Sectigo's own refund call knows no multi-domain products: people do those.
        if self.settings["refund_approval"] == "auto" and (order.product["vendor"] == "DIGICERT" or order.product["names"] == 1):
            self.approve_refund(order)

    def approve_refund(self, order):
        order.refund["approved"], order.major, order.minor, order.expected = True, "Cancelled", "", None
        order.modified_at = self.simulator.now()
        if order.certificate:
            order.certificate.revoked_at = self.simulator.now()
        self.settings["balance"] += order.price

    def seed(self, count=0, expired=0, cancelled=0, pending=0, csrs=(), suffix="seeded.test", reference=""):
        key, now, made = ec.generate_private_key(ec.SECP256R1()).public_key(), self.simulator.now(), []
        states = ["Active"] * count + ["Expired"] * expired + ["Cancelled"] * cancelled + ["Pending"] * pending
        for position, major in enumerate(states):
            request = authority.Request(csrs[position]) if position < len(csrs) else None
            names = (request.names if request else None) or ["host%05d.%s" % (position, suffix)]
            begin = now - (position % 150) * 86400 - (400 * 86400 if major == "Expired" else 3600)
            self._number += 1
            order = Order(number=str(self._number), partner=str(self._number), product=self.products["positivessl"], months=12, price=9.0, names=names, placed_at=begin, modified_at=begin,
                          token_id=secrets.token_hex(8), token_code=secrets.token_hex(8), reference=reference and "%s-%d" % (reference, position),
                          admin={}, technical={}, organization={}, server="Other", hash="PREFER_SHA2", approver="", major=major, culture="en-US")
            if major in ("Active", "Expired"):
                order.certificate = authority.Certificate(self.simulator.authority, request.key if request else key, names, {}, *self.simulator.lifetime(begin))
            self.orders[order.number] = order
            made.append(order.number)
        return {"orders": made}
