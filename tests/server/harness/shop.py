"""An account at a simulated commercial CA, and the issuer block that orders from it; the same four facts for every CA."""
import os

from . import ports, tls
from .authority import write_private
from .bind import Bind, make_key
from .simulator import Simulator

# What an issuer block says besides type, uri, secret and trust. Values may name what the simulator told about itself.
OPTIONS = {
    "certinext": {"api": "v1", "account": "{account_number}", "product": "842 dv", "requester": '"Web Team" ops@example.com +91-8012345678',
                  "signer": '"Web Team" Chennai 8.8.8.8'},
    "sectigo": {"account": "api", "customer": "{customer_uri}", "organization": "10", "product": "501", "term": "199"},
    "ssl_store": {"account": "{partner_code}", "product": "positivessl", "requester": '"Web Team" ops@example.com +91-8012345678'},
    "digicert": {"product": "ssl_dv_geotrust"},
}
SETTINGS = {"sectigo": {"prevalidation": False, "any_domain": True}}


class Shop:
    """`kind`: the issuer's type, or certinext-v2."""

    def __init__(self, kind, folder, **settings):
        self.kind, _, self.api = kind.partition("-")
        self.folder = folder
        self.ca = Simulator(self.kind, folder, **dict(SETTINGS.get(self.kind, {}), **settings))

    @property
    def secret(self):
        ca = self.ca
        return {"certinext": lambda: ca.client_secret if self.api == "v2" else ca.access_key, "sectigo": lambda: ca.logins["api"],
                "ssl_store": lambda: ca.auth_token, "digicert": lambda: ca.keys["admin"]}[self.kind]()

    @property
    def uri(self):
        ca = self.ca
        return {"certinext": lambda: ca.url if self.api == "v2" else ca.v1, "ssl_store": lambda: ca.rest}.get(self.kind, lambda: ca.api)()

    def issuer(self, name="shop", secret=None, extra="", **options):
        """An option of None is left out."""
        file = os.path.join(self.folder, name + ".secret")
        write_private(file, (secret or self.secret).encode() + b"\n")
        wanted = {"uri": self.uri, "ssl_trusted_certificate": self.ca.tls_ca_file, **OPTIONS[self.kind]}
        if self.api:
            wanted["api"] = self.api
        wanted.update(options)
        words = "".join("%s %s; " % (option, value.format(**self.ca.shown) if isinstance(value, str) else value)
                        for option, value in wanted.items() if value is not None)
        return "evercert_issuer %s { type %s; secret %s; %s%s }\n" % (name, self.kind, file, words, extra)

    def is_trusted(self, name):
        with open(self.ca.issuing_root, "rb") as file:
            return tls.chain_is_good(ports.TLS, name, file.read())

    def close(self):
        self.ca.close()


def name_server(shop, zone):
    """One that takes updates and that the CA asks; `options` are the directives that write there."""
    key = make_key(shop.folder, "update")
    server = Bind(shop.folder, {zone: dict(key="update")}, [key])
    shop.ca.settings(name_server="127.0.0.1:%d" % ports.BIND)
    server.options = ("evercert_resolver 127.0.0.1:%d; evercert_dns_port %d; evercert_dns_update * 127.0.0.1:%d %s;"
                      % (ports.BIND, ports.BIND, ports.BIND, key))
    return server
