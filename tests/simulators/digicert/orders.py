"""Orders of CertCentral: place, approve, track, prove, download, reissue, revoke, cancel."""
import datetime
import hashlib
import io
import re
import zipfile

from common import shapes
from common.authority import der_of, hexadecimal, pem_of, pkcs7_of
from common.shapes import Fields, List, boolean, choice, integer, optional, text
from common.simulator import route
from common.web import Reply, json_reply

from .account import DCV_METHODS, REASONS, Refused
from .reference import CONTAINER, PLATFORMS

VALIDITY = Fields({}, {"years": choice(1, 2, 3), "days": integer(1, 1188), "custom_expiration_date": shapes.day})
CERTIFICATE = Fields({"common_name": text(253), "csr": text(32767), "signature_hash": choice("sha256")}, {
    "dns_names": List(text(253)), "server_platform": Fields({"id": choice(*[number for number, _ in PLATFORMS])}), "organization_units": List(text(64)),
    "ca_cert_id": shapes.anything, "profile_option": shapes.anything})
PLACE = Fields({"certificate": CERTIFICATE}, {
    "organization": Fields({"id": integer(1)}), "order_validity": VALIDITY, "validity_years": choice(1, 2, 3), "certificate_validity": VALIDITY,
    "dcv_method": choice(*DCV_METHODS), "container": Fields({"id": integer(1)}), "comments": text(2000, 0), "disable_renewal_notifications": boolean,
    "renewal_of_order_id": integer(1), "custom_fields": List(Fields({"metadata_id": integer(1), "value": shapes.anything})), "skip_approval": boolean,
    "alternative_order_id": text(100), "payment_method": text(30)})
AGAIN = Fields({"certificate": CERTIFICATE}, {"comments": text(2000, 0), "skip_approval": boolean, "dcv_method": choice(*DCV_METHODS), "order_validity": VALIDITY})
REVOKE = Fields({}, {"comments": text(2000, 0), "revocation_reason": choice(*REASONS), "skip_approval": boolean})
FORMATS = ("pem_all", "pem_noroot", "pem_nointermediate", "p7b", "apache", "default")
LIST_FILTERS = {"status": lambda account, order: order.status, "common_name": lambda account, order: order.names[0],
                "order_id": lambda account, order: str(order.number), "search": lambda account, order: order.names[0],
                "alternative_order_id": lambda account, order: order.alternative, "date_created": lambda account, order: account.day(order.placed_at)}


def fits(value, wanted):
    """A filter's value, with the operators that are known: >a, <a, a...b."""
    if "..." in wanted:
        low, _, high = wanted.partition("...")
        return low <= value[:len(low)] and value[:len(high)] <= high
    if wanted[:1] in ("<", ">"):
        return value > wanted[1:] if wanted[0] == ">" else value < wanted[1:]
    return value.lower() == wanted.lower()


class Orders:
    """Mixed into the simulator."""

    def approved(self, call, body):
        """Whether no person has to say yes."""
        if body.get("skip_approval") and not call.key["admin"]:
            raise Refused(403, "access_denied|invalid_approver", "This key may not skip approval")
        return bool(body.get("skip_approval")) or self.settings["approval"] == "auto"

    def end_of(self, wanted):
        if len(wanted) != 1:
            raise Refused(400, self.settings["undocumented_code"], "order_validity has one of years, days, custom_expiration_date")
        if "custom_expiration_date" in wanted:
            try:
                end = datetime.datetime.fromisoformat(wanted["custom_expiration_date"] + "T23:59:59+00:00").timestamp()
            except ValueError as error:
                raise Refused(400, self.settings["undocumented_code"], "custom_expiration_date is no date") from error
            if end <= self.now():
                raise Refused(400, self.settings["undocumented_code"], "custom_expiration_date is past")
            return end
        return self.now() + (wanted.get("days") or wanted["years"] * 365) * 86400

    @route("POST", "/order/certificate/{name_id}")
    def place(self, call, name_id):
        account, product = self.account, self.account.products.get(name_id)
        if product is None:
            raise Refused(404, self.settings["undocumented_code"], "The product could not be found")
        body = self.body_of(call, PLACE)
        if "validity_years" in body and "order_validity" not in body and self.settings["validity_years_accepted"]:
            body["order_validity"] = {"years": body["validity_years"]}
        if "order_validity" not in body:
            raise Refused(400, self.settings["undocumented_code"], "order_validity is missing")
        end = self.end_of(body["order_validity"])
        organization = body.get("organization", {}).get("id")
        if product["kind"] != "dv" and organization not in account.organizations:
            raise Refused(400, self.settings["undocumented_code"], "organization is needed")
        if body.get("custom_fields"):
            raise Refused(400, self.settings["undocumented_code"], "this account has no custom fields")
        reference, renewal = body.get("alternative_order_id", ""), body.get("renewal_of_order_id")
        if reference and self.settings["unique_alternative_order_id"] and any(o.alternative == reference for o in self.orders.values()):
            raise Refused(400, self.settings["undocumented_code"], "alternative_order_id is in use")
        if renewal is not None:
            account.find(str(renewal))
        wanted = body["certificate"]
        request = account.request_of(wanted["csr"])
        names = account.names_of(product, wanted["common_name"], wanted.get("dns_names", []), request)
        method = body.get("dcv_method", "email")
        if method == "http-token" and any(n.startswith("*.") for n in names):
            raise Refused(400, self.settings["undocumented_code"], "http-token is not for wildcards")
        order, asked = account.place(product, request, names, end, approved=self.approved(call, body), organization=organization, dcv_method=method,
                                     comments=body.get("comments", ""), alternative=reference, renewal_of=str(renewal) if renewal else None,
                                     platform=wanted.get("server_platform", {}).get("id", -1), user=call.key["user"])
        self.settle()  # what is validated already is issued at once
        answer = {"id": order.number, "requests": [{"id": asked["id"], "status": asked["status"]}]}
        if order.issued:
            answer.update(certificate_id=order.issued[0].number, certificate_chain=[
                {"subject_common_name": c.subject.rfc4514_string().split("CN=")[1].split(",")[0], "pem": pem_of(c)} for c in self.chain(order.issued[0])])
        elif account.open_names(order) and method != "email":
            answer["dcv_random_value"] = account.random_value(order)
        return json_reply(answer, 201)

    # --- requests ---
    def request_row(self, request):
        return {"id": request["id"], "date": self.account.stamp(request["date"]), "type": request["type"], "status": request["status"],
                "requester": {"first_name": "Example", "last_name": request["user"]}, "comments": request["comments"], "order": {"id": request["order"].number}}

    @route("GET", "/request")
    def requests_of_people(self, call):
        return self.paged(call, "requests", [self.request_row(r) for r in self.account.requests.values()])

    @route("PUT", "/request/{number}/status")
    def decide(self, call, number):
        body = self.body_of(call, Fields({"status": choice("approved", "rejected")}, {"processor_comment": text(2000, 0)}))
        if not call.key["admin"]:
            raise Refused(403, "access_denied|invalid_approver", "This key may not approve")
        request = self.account.requests.get(int(number)) if number.isdigit() else None
        if request is None:
            raise Refused(404, "not_found|request", "The request could not be found")
        self.account.decide(request, body["status"] == "approved")
        return Reply(204)

    # --- track ---
    def certificate_row(self, order, one):
        certificate = one.certificate
        return {"id": one.number, "status": one.status, "serial_number": hexadecimal(certificate.serial), "common_name": one.names[0], "dns_names": one.names,
                "date_created": self.account.stamp(one.at), "valid_from": self.account.day(certificate.begin), "valid_till": self.account.day(certificate.end),
                "csr": one.request.shown(self.settings["csr_shown"]) if one.request else "", "signature_hash": "sha256", "key_size": certificate.key.key_size,
                "server_platform": {"id": order.platform}, "ca_cert": {"id": "CA1", "name": "digicert Simulated TLS CA"}}

    def row(self, order):
        account, coming = self.account, order.coming
        if order.issued:
            certificate = self.certificate_row(order, order.issued[-1])
        else:
            certificate = {"common_name": order.names[0], "dns_names": order.names, "signature_hash": "sha256", "status": "pending", "csr": coming.request.shown(self.settings["csr_shown"]) if coming else ""}
        if order.organization:
            certificate["organization"] = {"id": order.organization}
        return {"id": order.number, "status": order.status, "certificate": certificate, "date_created": account.stamp(order.placed_at), "container": CONTAINER,
                "product": {"name_id": order.product["name_id"], "name": order.product["name"]}, "dcv_method": order.dcv_method,
                "order_valid_till": account.day(order.order_end)}

    @route("GET", "/order/certificate/{number}")
    def detail(self, call, number):
        order = self.account.find(number) if number in self.orders else self.by_primary(number)
        row = self.row(order)
        row.update(requests=[self.request_row(self.account.requests[n]) for n in order.requests], organization_contact={}, comments=order.comments,
                   notes=[{"text": order.note}] if order.note else [])
        if order.alternative:
            row["alternative_order_id"] = order.alternative
        return json_reply(row)

    def by_primary(self, text):
        """Order info takes thumbprint and serial number of an order's primary certificate as well."""
        wanted = text.replace(":", "").lower()
        for order in self.orders.values():
            own = [one for one in order.issued if one.kind != "duplicate"]
            if own and wanted in (hexadecimal(own[-1].certificate.serial).lower(), hashlib.sha1(der_of(own[-1].certificate.made())).hexdigest()):
                return self.account.find(str(order.number))
        return self.account.find(text)

    @route("GET", "/order/certificate")
    def listing(self, call):
        wanted = {}
        for name, value in call.query.items():
            found = re.fullmatch(r"filters\[(\w+)\]", name)
            if found and found.group(1) == "alternative_order_id" and self.settings["filter_alternative"] != "refused":
                wanted.update({"alternative_order_id": value} if self.settings["filter_alternative"] == "works" else {})
            elif found and found.group(1) in LIST_FILTERS and found.group(1) != "alternative_order_id":
                wanted[found.group(1)] = value
            elif found or name not in ("limit", "offset", "sort"):
                raise Refused(400, self.settings["undocumented_code"], "%s is not known to this simulator" % name)
        found = []
        for order in self.orders.values():
            self.account.expire(order)
            if all(fits(LIST_FILTERS[name](self.account, order), value) for name, value in wanted.items()):
                found.append(order)
        if call.query.get("sort") in ("-order_id", "order_id"):
            found.sort(key=lambda order: order.number, reverse=call.query["sort"].startswith("-"))
        return self.paged(call, "orders", found, self.row)

    @route("GET", "/order/certificate/status-changes")
    def status_changes(self, call):
        minutes, dates = call.query.get("minutes"), call.query.get("filters[status_last_updated]")
        if minutes is not None:
            if not minutes.isdigit() or not 1 <= int(minutes) <= 10080:
                raise Refused(400, self.settings["undocumented_code"], "minutes is at most 10080")
            rows = [o for o in self.orders.values() if o.changed_at >= self.now() - int(minutes) * 60]
        elif dates:
            rows = [o for o in self.orders.values() if fits(self.account.day(o.changed_at), dates)]
        else:
            raise Refused(400, self.settings["undocumented_code"], "minutes is missing")
        return json_reply({"orders": [{"order_id": o.number, "certificate_id": o.issued[-1].number if o.issued else 0, "status": o.status} for o in rows]})

    # --- domain control ---
    @route("PUT", "/order/certificate/{number}/dcv-random-value")
    def random_value(self, call, number):
        order = self.account.find(number)
        if order.coming is None:
            raise Refused(400, "invalid_status", "Nothing waits for validation")
        value = self.account.random_value(order)
        return json_reply({"dcv_random_value": value, "expiration_date": self.account.stamp(order.value_until)})

    @route("PUT", "/order/certificate/{number}/check-dcv")
    def check_dcv(self, call, number):
        body = self.body_of(call, Fields({}, {"dns_names_validations": List(text(253))}))
        order = self.account.find(number)
        if order.coming is None:
            raise Refused(400, "invalid_status", "Nothing waits for validation")
        seen = self.account.check(order, body.get("dns_names_validations"))
        failed = [why for _, why in seen if why]
        newer = order.product["kind"] == "dv" and self.settings["check_dcv_form"] == "status"
        if failed and (newer or order.dcv_method == "http-token"):
            code = {"http-token": "file_random_value_not_found", "dns-txt-token": "invalid_dns_txt"}.get(order.dcv_method)
            raise Refused(400, code if newer and code else self.settings["undocumented_code"], failed[0])
        waited = order.coming or order.issued[-1]
        self.settle()
        answer = {"order_status": order.status, "dcv_status": "pending" if self.account.open_names(order) else "valid"}
        if newer:
            answer["certificate_id"] = waited.number
        elif order.dcv_method.startswith("dns"):
            answer["dns_name_validations"] = [{"dns_name": name, "status": "pending" if why else "valid"} for name, why in seen]
        return json_reply(answer)

    @route("PUT", "/order/certificate/{number}/dcv-method")
    def dcv_method(self, call, number):
        method = self.body_of(call, Fields({"dcv_method": choice(*DCV_METHODS)}))["dcv_method"]
        order = self.account.find(number)
        if order.coming is None:
            raise Refused(400, "invalid_status", "Nothing waits for validation")
        order.dcv_method = method
        return json_reply({"dcv_random_value": self.account.random_value(order)} if method != "email" else {})

    @route("PUT", "/order/certificate/{number}/resend-emails")
    def resend(self, call, number):
        order = self.account.find(number)
        for name in self.account.open_names(order) if order.dcv_method == "email" else ():
            self.mail("admin@" + name.removeprefix("*."), str(order.number), domain=name)
        return Reply(204)

    # --- download ---
    def issued_of(self, number):
        """By certificate id, or by serial number."""
        for order in self.orders.values():
            for one in order.issued:
                if str(one.number) == number or hexadecimal(one.certificate.serial).lower() == number.replace(":", "").lower():
                    return order, one
        raise Refused(404, "certificate_not_found", "The certificate could not be found")

    def chain(self, one):
        return [one.certificate.made()] + self.intermediates() + [self.authority.root]

    def packed(self, one, form):
        leaf, *more = self.chain(one)
        root = more.pop()
        if form not in FORMATS:
            raise Refused(400, self.settings["undocumented_code"], "the format %s is not known to this simulator" % form)
        if form == "p7b":
            return Reply(200, pkcs7_of([leaf] + more + [root]), kind="application/x-pkcs7-certificates")
        if form in ("apache", "default"):
            return self.zipped(one)
        rows = {"pem_all": [leaf] + more + [root], "pem_noroot": [leaf] + more, "pem_nointermediate": [leaf]}[form]
        return Reply(200, "".join(pem_of(c) for c in rows), kind="application/x-pem-file")

    def zipped(self, one):
        leaf, *more = self.chain(one)
        folder, made = one.names[0].replace("*", "star").replace(".", "_"), io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("certs/DigiCertCA.crt", "".join(pem_of(c) for c in more[:-1]))
            archive.writestr("certs/%s.crt" % folder, pem_of(leaf))
            archive.writestr("certs/TrustedRoot.crt", pem_of(more[-1]))
        return Reply(200, made.getvalue(), kind="application/zip")

    @route("GET", "/certificate/{number}/download/format/{form}")
    def download(self, call, number, form):
        return self.packed(self.given_out(*self.issued_of(number)), form)

    def given_out(self, order, one):
        """Now and then the certificate that is handed out is another one of the same order."""
        others = [other for other in order.issued if other is not one]
        if others and order.strays < self.settings["other_downloads"]:
            order.strays += 1
            return others[-1]
        return one

    def last_issued(self, number):
        order = self.account.find(number)
        if not order.issued:
            raise Refused(400, "invalid_status", "The order has no certificate yet")
        return self.given_out(order, order.issued[-1])

    @route("GET", "/certificate/download/order/{number}/format/{form}")
    def download_order(self, call, number, form):
        return self.packed(self.last_issued(number), form)

    @route("GET", "/certificate/download/order/{number}")
    def download_default(self, call, number):
        return self.zipped(self.last_issued(number))

    @route("GET", "/certificate/download/order/{number}/platform/{platform}")
    def download_platform(self, call, number, platform):
        return self.zipped(self.last_issued(number))

    @route("GET", "/certificate/{number}/chain")
    def chain_of(self, call, number):
        _, one = self.issued_of(number)
        return json_reply({"intermediates": [{"subject_common_name": c.subject.rfc4514_string().split("CN=")[1].split(",")[0], "pem": pem_of(c)}
                                             for c in self.chain(one)[1:]]})

    # --- reissue, duplicate ---
    def again(self, call, number, kind):
        body = self.body_of(call, AGAIN)
        order, account = self.account.find(number), self.account
        if order.status != "issued" or order.coming is not None:
            raise Refused(400, "invalid_status", "The order is not issued")
        wanted = body["certificate"]
        request = account.request_of(wanted["csr"])
        names = account.names_of(order.product, wanted["common_name"], wanted.get("dns_names", []), request)
        old = self.now() - self.settings["dcv_days"] * 86400
        if kind == "duplicate" and order.proved and any(at < old for at in order.proved.values()):
            raise Refused(400, self.settings["undocumented_code"], "The domain validation has expired: reissue first")
        order.dcv_method = body.get("dcv_method", order.dcv_method)
        if "order_validity" in body:
            order.order_end = self.end_of(body["order_validity"])
        asked = account.expect(order, kind, request, names, order.order_end, self.approved(call, body), body.get("comments", ""), call.key["user"])
        self.settle()
        answer = {"id": order.number, "requests": [{"id": asked["id"], "status": asked["status"]}]}
        if order.coming is None:
            answer["certificate_id"] = order.issued[-1].number
        elif account.open_names(order) and order.dcv_method != "email":
            answer["dcv_random_value"] = account.random_value(order)
        return json_reply(answer, 201)

    @route("POST", "/order/certificate/{number}/reissue")
    def reissue(self, call, number):
        return self.again(call, number, "reissue")

    @route("POST", "/order/certificate/{number}/duplicate")
    def duplicate(self, call, number):
        return self.again(call, number, "duplicate")

    @route("GET", "/order/certificate/{number}/reissue")
    @route("GET", "/order/certificate/{number}/duplicate")
    def certificates_of(self, call, number):
        order, kind = self.account.find(number), call.path.rsplit("/", 1)[1]
        shown = [one for one in order.issued if kind == "reissue" or one.kind == "duplicate"]
        shown += order.issued[:1] if self.settings["lists_repeat_primary"] else []
        return json_reply({"certificates": [self.certificate_row(order, one) for one in shown]})

    # --- the end ---
    def revocation(self, call, order, target):
        body = self.body_of(call, REVOKE)
        if order.coming is not None:
            raise Refused(400, "invalid_status", "A reissue is pending")
        if order.status == "revoked" or target is not None and target.status == "revoked" or not order.issued:
            raise Refused(400, "invalid_status", "There is nothing to revoke")
        approved = self.approved(call, body)
        if approved and self.settings["revoke_status"] != 201:  # nobody is asked: no request, and the comment is kept nowhere
            self.account.revoke_now(order, target)
            return Reply(self.settings["revoke_status"])
        asked = self.account.ask(order, "revoke", approved, body.get("comments", ""), target, call.key["user"])
        if approved:
            self.account.revoke_now(order, target)
        return json_reply(self.request_row(asked), 201)

    @route("PUT", "/certificate/{number}/revoke")
    def revoke(self, call, number):
        order, one = self.issued_of(number)
        return self.revocation(call, order, one)

    @route("PUT", "/order/certificate/{number}/revoke")
    def revoke_order(self, call, number):
        return self.revocation(call, self.account.find(number), None)

    @route("PUT", "/order/certificate/{number}/status")
    def set_status(self, call, number):
        body = self.body_of(call, Fields({"status": choice("CANCELED"), "note": text(2000)}, {"send_emails": optional(boolean)}))
        order = self.account.find(number)
        if order.status not in ("pending", "needs_approval"):
            raise Refused(400, "invalid_status", "Only a pending order can be canceled")
        order.coming, order.note = None, body["note"]
        self.account.change(order, "canceled")
        self.settings["balance"] += order.product["price"]
        return Reply(204)
