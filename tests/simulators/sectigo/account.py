"""What Sectigo keeps of a customer, and how an order comes to be issued. Refusals are Refused with one of the documented numbers;
the number of what is not documented is the setting `undocumented_code`."""
import hashlib
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import ec

from common import authority
from common.simulator import outside

SETTINGS = {
    "prevalidation": True,  # domains are validated before orders; off: each order has its own DCV and needs dcvMode
    "any_domain": False,  # a domain that nobody added is added and delegated when somebody orders
    "dcv_days": 198, "unique_value": True, "default_page_size": 25, "undocumented_code": -1, "wrong_password_code": -16,
    "dcv_refusal": -107,  # of an order for a domain that is not validated; or -737 (a list of them), -724 (their state)
    "download_seconds": 0.0,  # from Issued to what can be collected
    "not_yet_code": -1400,  # or -183, -109, -103, -169: until then
    "date_time_format": "%Y-%m-%dT%H:%M:%SZ",  # of ISO_HMS, whose exact form is not known
    "replace_keeps_id": True, "collect_while_replacing": False, "custom_field_mandatory": False,
    "requests_per_second": 0,  # 0: no limit
    "apply_seconds": 0.0,  # from Approved to Applied
    "token_seconds": 300, "role": "MRAO",
}
MODES = ("EMAIL", "CNAME", "HTTP", "HTTPS", "TXT")
ORDER_METHODS = {"HTTP": "HTTP_CSR_HASH", "HTTPS": "HTTPS_CSR_HASH", "CNAME": "CNAME_CSR_HASH", "EMAIL": "EMAIL", "TXT": "DNSTXT_RANDOM_VALUE"}


PRIVILEGES = ("sslRequest", "sslRenew", "sslReplace", "sslRevoke")


class Refused(Exception):
    def __init__(self, code, description, status=400, headers=()):
        super().__init__(description)
        self.code, self.status, self.headers = code, status, headers


class Control:
    """Domain control of one name: what is published for it where, and what has been seen."""

    def __init__(self, name, request=None, unique=True):
        self.name, self.base = name, name.removeprefix("*.")
        seed = request.der if request else secrets.token_bytes(64)
        self.file = hashlib.md5(seed).hexdigest().upper() + ".txt"
        digest = hashlib.sha256(seed).hexdigest()
        self.unique = secrets.token_hex(8) if request and unique else ""
        self.lines = [digest, "sectigo.com"] + ([self.unique] if self.unique else [])
        parts = [digest[:32], digest[32:]] + ([self.unique] if self.unique else []) + ["sectigo.com"]
        self.host, self.target = "_%s.%s" % (hashlib.md5(seed).hexdigest(), self.base), ".".join(parts)
        self.text_host, self.text = "_pki-validation." + self.base, 'v="%s\\|%s' % (secrets.token_hex(6), secrets.token_urlsafe(18))
        self.mode, self.mail, self.started = "", "", set()
        self.status, self.order_status = "NOT_VALIDATED", "NOT_INITIATED"
        self.validated_at, self.last, self.why = None, None, ""

    def emails(self):
        return [who + "@" + self.base for who in ("admin", "administrator", "hostmaster", "postmaster", "webmaster")]


class Domain:
    def __init__(self, number, name, organizations, active=True, description=""):
        self.number, self.name, self.active, self.description = number, name, active, description
        self.delegations = {organization: ["SSL"] for organization in organizations}
        self.control = Control(name)


class Order:
    def __init__(self, **given):
        self.status, self.certificate, self.approved_at, self.issued_at, self.declined_at = "Requested", None, None, None, None
        self.revoked_at = self.reason = self.replaced_at = self.renewed_at = None
        self.imported, self.waiting, self.suspend, self.auto_renew = False, None, False, {"state": "Not scheduled"}
        self.__dict__.update(given)


class Account:
    def __init__(self, simulator):
        self.simulator, self.settings, self.orders = simulator, simulator.settings, simulator.orders
        self.customer = "example"
        self.administrators = {
            "api": {"password": "Rehearse-2026", "organizations": None, "api": True, "privileged": True, "may": PRIVILEGES},
            "department": {"password": "Department-2026", "organizations": [20], "api": True, "privileged": False, "may": PRIVILEGES},
            "requester": {"password": "Requester-2026", "organizations": None, "api": True, "privileged": True, "may": ("sslRequest",)},
            "portal": {"password": "Portal-2026", "organizations": None, "api": False, "privileged": True, "may": PRIVILEGES}}
        self.client_id, self.client_secret = "api-client-1", "client-secret-7Tq"
        self.organizations = {
            10: {"name": "Example Limited", "locality": "Exampleton", "country": "XX", "validated": True, "api": True, "departments": [{"id": 11, "name": "Web", "parentName": "Example Limited"}]},
            20: {"name": "Second Limited", "locality": "Exampleton", "country": "XX", "validated": False, "api": True, "departments": []},
            30: {"name": "Portal Only Limited", "locality": "Exampleton", "country": "XX", "validated": True, "api": False, "departments": []}}
        keys = {"RSA": ["2048", "3072", "4096"], "EC": ["P-256", "P-384"]}
        rows = [(501, "Single Domain SSL", "DV", 1, False), (502, "Multi-Domain SSL", "DV", 100, False), (503, "Wildcard SSL", "DV", 1, True),
                (504, "Multi-Domain Wildcard SSL", "DV", 100, True), (601, "InstantSSL Pro", "OV", 100, False)]
        self.profiles = {n: {"id": n, "name": name, "kind": kind, "names": count, "wildcard": wildcard, "terms": [90, 199], "keys": keys, "renewable": True}
                         for n, name, kind, count, wildcard in rows}
        self.fields = [{"id": 71, "name": "Cost centre"}]
        self.domains = {}
        self._number, self._domain = 900 + secrets.randbelow(100), 40

    def next_number(self):
        self._number += 1
        return self._number

    # --- domains ---
    def add_domain(self, name, organizations, **more):
        self._domain += 1
        self.domains[self._domain] = Domain(self._domain, name, organizations, **more)
        return self.domains[self._domain]

    def domain_over(self, name):
        """The nearest domain of the account that holds this name."""
        label = name.removeprefix("*.")
        while label:
            for domain in self.domains.values():
                if domain.name.removeprefix("*.") == label:
                    return domain
            label = label.partition(".")[2]
        return None

    def state_of(self, control):
        if control.status == "VALIDATED" and self.simulator.now() - control.validated_at > self.settings["dcv_days"] * 86400:
            control.status = "EXPIRED"
        return control.status

    def check_domains(self, names, organization):
        unproved = []
        for name in names:
            domain = self.domain_over(name)
            if domain is None and self.settings["any_domain"]:
                domain = self.add_domain(".".join(name.removeprefix("*.").split(".")[-2:]), [organization])
            if domain is None:
                raise Refused(-727, "Domain %s is not known" % name)
            if not domain.active:
                raise Refused(-715, "Domain %s is not active" % domain.name)
            if "SSL" not in domain.delegations.get(organization, ()):
                raise Refused(-1010, "Domain %s is not allowed for this organization" % domain.name)
            if self.settings["prevalidation"] and self.state_of(domain.control) != "VALIDATED":
                unproved.append(domain)
        if unproved:
            code, first = self.settings["dcv_refusal"], unproved[0]
            raise Refused(code, {-107: "Domain control validation of %s is incomplete or has expired" % first.name,
                                 -737: "The following domains are not validated: " + ", ".join(sorted({d.name for d in unproved})),
                                 -724: "The validation status of the domain %s (%s) does not allow this" % (first.name, first.control.status)}[code])

    # --- domain control over the network ---
    def start_looking(self, control, order=None, seconds=None):
        """The CA looks by itself, again and again, until it has seen what it wants."""
        self.simulator.later(self.settings["recheck_seconds"] if seconds is None else seconds, self.look, control, order, control.mode)

    @outside
    def look(self, control, order, mode):
        dead = order is not None and (order.status != "Applied" or order.waiting is None or control not in order.waiting["controls"])
        if self.state_of(control) == "VALIDATED" or control.mode != mode or mode == "EMAIL" or dead:
            return
        network = self.simulator.network
        with self.simulator.state_released():
            if mode in ("HTTP", "HTTPS"):
                why = network.file_has((mode.lower(),), control.base, "/.well-known/pki-validation/" + control.file, control.lines)
            elif mode == "CNAME":
                why = network.alias(control.host, control.target)
            else:
                why = network.text_record(control.text_host, control.text)
        control.last, control.why = self.simulator.now(), why or ""
        if why is None and control.mode == mode:
            self.validated(control, order)
        else:
            self.start_looking(control, order)

    def validated(self, control, order=None):
        control.status, control.order_status, control.validated_at = "VALIDATED", "NOT_INITIATED", self.simulator.now()
        if order is not None:
            self.progress(order)

    # --- orders ---
    def request_of(self, text, profile):
        pem = text if "BEGIN" in text else "-----BEGIN CERTIFICATE REQUEST-----\n%s\n-----END CERTIFICATE REQUEST-----\n" % text.strip()
        try:
            request = authority.Request(pem)
        except authority.Unsuitable as error:
            raise Refused({"unreadable": -9, "signature": -10, "name": -9}.get(error.code, -11), str(error)) from error
        return request

    def names_of(self, common_name, alternative, request, profile):
        names = [common_name.lower()] + [name.lower() for name in alternative if name.lower() != common_name.lower()]
        refused = self.simulator.refused_name(names)
        if refused:
            raise Refused(-1010, "%s: %s" % refused)
        foreign = self.simulator.foreign_names(request, names)
        if foreign:
            raise Refused(self.settings["undocumented_code"], "the request has the name %s, the order has not" % foreign[0])
        if len(names) > profile["names"] or len(set(names)) != len(names):
            raise Refused(self.settings["undocumented_code"], "this profile has %d names" % profile["names"])
        if any(name.startswith("*.") for name in names) and not profile["wildcard"]:
            raise Refused(self.settings["undocumented_code"], "this profile has no wildcards")
        return names

    def place(self, organization, profile, term, request, names, mode=None, mail="", paid=True, **more):
        refusal = self.simulator.no_order() if paid else None
        if refusal:
            raise Refused(refusal["code"] or self.settings["undocumented_code"], refusal["message"], refusal["status"] or 400)
        self.check_domains(names, organization)
        if profile["kind"] == "OV" and not self.organizations[organization]["validated"]:
            raise Refused(-843, "the organization is not validated")
        order = Order(number=self.next_number(), renew_id=secrets.token_urlsafe(15).replace("-", "x").replace("_", "y"), organization=organization,
                      profile=profile, term=term, requested_at=self.simulator.now(), names=names, request=request, mode=mode, mail=mail, **more)
        self.orders[str(order.number)] = order
        if paid:
            self.simulator.pay(order.number, names, 1)
        self.begin(order)
        if self.settings["approval"] == "auto" and more.get("privileged", True):
            self.approve(order)
        self.simulator.decided_at_once(order)
        return order

    def begin(self, order):
        """What has to be proved for the certificate that is to come."""
        controls = []
        for name in order.names if not self.settings["prevalidation"] else ():
            control = Control(name, order.request, self.settings["unique_value"])
            control.mode, control.mail, control.order_status = order.mode, order.mail, "SUBMITTED"
            controls.append(control)
        order.waiting = {"controls": controls, "request": order.request, "names": list(order.names)}

    def approve(self, order):
        order.status, order.approved_at = "Approved", self.simulator.now()
        self.simulator.later(self.settings["apply_seconds"], self.apply, order)

    def apply(self, order):
        if order.status != "Approved":
            return
        order.status = "Applied"
        self.wait_for_proof(order)

    def wait_for_proof(self, order):
        for control in order.waiting["controls"]:
            if control.mode == "EMAIL":
                self.simulator.mail(control.mail or control.emails()[0], str(order.number), domain=control.name)
            else:
                self.start_looking(control, order)
        self.progress(order)

    def progress(self, order):
        if order.status == "Applied" and order.waiting and all(c.status == "VALIDATED" for c in order.waiting["controls"]):
            self.simulator.later(self.settings["issue_seconds"], self.issue, order, order.waiting)

    def issue(self, order, waiting):
        if order.status != "Applied" or order.waiting is not waiting:
            return
        order.waiting = None
        if self.simulator.forbidden_by_caa(waiting["names"]):
            order.status = "Rejected"
            return
        organization, shown = self.organizations[order.organization], order.profile["kind"] == "OV"
        subject = {"organization": organization["name"], "locality": organization["locality"], "country": organization["country"]} if shown else {}
        order.certificate = authority.Certificate(self.simulator.authority, waiting["request"].key, waiting["names"], subject,
                                                  *self.simulator.lifetime(days=order.term))
        order.status, order.issued_at = "Issued", self.simulator.now()

    def replace(self, order, request, names, mode, mail):
        order.replaced_at = self.simulator.now()
        if not self.settings["replace_keeps_id"]:
            fresh = self.place(order.organization, order.profile, order.term, request, names, mode, mail, paid=False, requester=order.requester,
                               comments=order.comments, external=order.external, fields=order.fields)
            order.status = "Replaced"
            return fresh
        self.check_domains(names, order.organization)
        order.request, order.names, order.mode, order.mail = request, names, mode, mail
        order.status = "Applied"
        self.begin(order)
        self.wait_for_proof(order)
        return order

    def status_of(self, order):
        if order.status == "Issued" and order.certificate.end < self.simulator.now():
            order.status = "Expired"
        return order.status

    def seed(self, count=0, expired=0, revoked=0, rejected=0, declined=0, pending=0, csrs=(), suffix="seeded.test", comments=""):
        key, now, made = ec.generate_private_key(ec.SECP256R1()).public_key(), self.simulator.now(), []
        states = ["Issued"] * count + ["Expired"] * expired + ["Revoked"] * revoked + ["Rejected"] * rejected + ["Declined"] * declined + ["Requested"] * pending
        for position, status in enumerate(states):
            request = authority.Request(csrs[position]) if position < len(csrs) else None
            names = (request.names if request else None) or ["host%05d.%s" % (position, suffix)]
            begin = now - (position % 150) * 86400 - (300 * 86400 if status == "Expired" else 3600)
            order = Order(number=self.next_number(), renew_id=secrets.token_hex(10), organization=10, profile=self.profiles[501], term=199, requested_at=begin,
                          names=names, request=request, mode=None, mail="", requester="api", comments=comments, external="", fields=[], status=status)
            if status in ("Issued", "Expired", "Revoked"):
                order.approved_at = order.issued_at = begin
                order.certificate = authority.Certificate(self.simulator.authority, request.key if request else key, names, {}, *self.simulator.lifetime(begin, 199))
            if status == "Revoked":
                order.revoked_at, order.reason = now - 60, 4
            self.orders[str(order.number)] = order
            made.append(str(order.number))
        return {"orders": made}

    # --- dates ---
    def date(self, seconds, wanted, oauth):
        if seconds is None:
            return None
        formats = {"iso": "%Y-%m-%d", "iso_hms": self.settings["date_time_format"], "eu": "%d/%m/%Y", "us": "%m/%d/%Y", "mm/dd/yyyy": "%m/%d/%Y",
                   "yyyy-mm-dd": "%Y-%m-%d", "dd/mm/yyyy": "%d/%m/%Y"}
        wanted = ("iso_hms" if oauth else "us") if wanted is None else wanted.lower()
        if wanted not in formats:
            raise Refused(self.settings["undocumented_code"], "dateFormat %s is not known to this simulator" % wanted)
        return time.strftime(formats[wanted], time.gmtime(seconds))
