"""A CA that issues what nobody asked for: a proxy in front of the ACME server hands out certificates of the tests' own authority,
for the key that was sent, with names and dates as a test wants them."""
import base64
import json
import re

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import fault_proxy

from .authority import Authority, _name

DOWNLOAD, FINALIZE, EVER = "^/certZ/", "^/finalize-order/", 1 << 30


def _plain(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Forger:
    def __init__(self, fault, authority):
        self.fault, self.authority = fault, authority
        self.rule = None

    def _request(self):
        path = [p for p in self.fault.bodies if re.search(FINALIZE, p)][-1]
        payload = json.loads(_plain(json.loads(self.fault.bodies[path])["payload"]))
        return x509.load_der_x509_csr(_plain(payload["csr"]))

    def issue(self, names=None, days=(-1, 90)):
        """From now on. `names`: instead of those that were asked for; `days`: begin and end from now."""
        def change(_):
            request = self._request()
            asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
            leaf = Authority._sign(_name("forged"), request.public_key(), self.authority.certificate.subject, self.authority.key,
                                   names or asked, days=days)
            chain = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, self.authority.certificate))
            return chain, [("Content-Type", "application/pem-certificate-chain")]
        self.stop()
        self.rule = self.fault.add(DOWNLOAD, fault_proxy.rewrite(change), times=EVER)

    def stop(self):
        if self.rule:
            self.fault.rules.remove(self.rule)
            self.rule = None
