"""Customers of the simulated commercial CAs, all alike: each knows how an issuer block of nginx is written for its CA, which
calls place, prepare, track and collect an order, and what the CA calls its options."""
import os
import re
import time

from . import ports, tls
from .authority import write_private
from .simulator import Simulator
from .waiting import wait_for

NAME = "bought.test"


class Buyer:
    """`options`: the issuer block, right as it stands; issuer(product="999") is the same with one thing changed."""
    ca = ""
    settings = {}
    # Patterns of the simulator's faults: the calls that place an order, say how names are proved, track it, hand out.
    place = task = track = collect = ""
    # What is wrong when somebody changes one option.
    wrong_secret = dict(secret="not-the-secret")
    wrong_product = dict(product="999")
    # An account that exists and may not order: (options, settings of the simulator).
    no_role = ({}, {})
    poor = dict(balance=0)
    refill = dict(balance=1000)

    def __init__(self, folder, **settings):
        self.folder = folder
        self.simulator = Simulator(self.ca, folder, **dict(self.settings, **settings))
        self.options = dict(self.described(), ssl_trusted_certificate=self.simulator.tls_ca_file)

    def described(self):
        raise NotImplementedError

    def issuer(self, name="seller", **changed):
        options = dict(self.options, **changed)
        path = os.path.join(self.folder, name + ".secret")
        write_private(path, options["secret"].encode() + b"\n")
        options["secret"] = path
        return "evercert_issuer %s { %s }\n" % (name, " ".join("%s %s;" % pair for pair in options.items() if pair[1] is not None))

    def through(self, port):
        """The address of the interface, if the CA were at this port."""
        own = ":%s/" % self.simulator.url.rsplit(":", 1)[1]
        return self.options["uri"].replace(own, ":%d/" % port)

    def count(self, pattern):
        """Calls so far whose method and path match."""
        return len(self.instants(pattern))

    def instants(self, pattern):
        """When, by the CA's clock, such calls had been answered."""
        return [at for _, method, path, _, at in self.simulator.ask("GET", "/requests")["requests"]
                if re.search(pattern, "%s %s" % (method, path))]

    def all_requests(self):
        return len(self.simulator.ask("GET", "/requests")["requests"])

    def orders(self):
        return self.simulator.orders()

    def is_served(self, name=NAME):
        with open(self.simulator.issuing_root, "rb") as file:
            return tls.chain_is_good(ports.TLS, name, file.read())

    def stays_calm(self, seconds=1.0, most=0):
        """Whoever waits for a person or a pause leaves the CA alone."""
        before, begin = self.all_requests(), time.monotonic()
        wait_for(lambda: time.monotonic() - begin > seconds, "some time", seconds + 5, 0.05)
        assert self.all_requests() - before <= most

    def close(self):
        self.simulator.close()


class CertinextOne(Buyer):
    ca = "certinext"
    place, task, track, collect = "GenerateOrderSSL$", "GetDcv$", "TrackOrder$", "GetCertificate$"
    no_role = ({}, dict(refuse_inactive=True))

    def described(self):
        return {"type": "certinext", "uri": self.simulator.v1, "account": self.simulator.account_number, "secret": self.simulator.access_key,
                "product": "842 dv", "requester": '"Web Team" ops@example.com +91-8012345678', "signer": '"Web Team" Chennai 8.8.8.8'}


class CertinextTwo(Buyer):
    ca = "certinext"
    settings = dict(v2_http_file_name="proof.txt")
    place, task = "^POST .*/ssl-certificates$", "^GET .*/dcv$"
    track, collect = r"^GET .*/ssl-certificates/\d+$", "^GET .*/certificate$"
    wrong_product = dict(product="999 dv")
    no_role = ({}, dict(oauth_mode=False))

    def described(self):
        return {"type": "certinext", "api": "v2", "uri": self.simulator.url + "/", "account": self.simulator.account_number,
                "secret": self.simulator.client_secret, "product": "842 dv", "requester": '"Web Team" ops@example.com +91-8012345678',
                "signer": '"Web Team" Chennai 8.8.8.8', "validation_file": "proof.txt"}


class Sectigo(Buyer):
    ca = "sectigo"
    settings = dict(prevalidation=False, any_domain=True)
    place, task = "^POST .*/enroll$", r"^GET .*/ssl/v1/\d+/dcv$"
    track, collect = r"^GET .*/ssl/v1/\d+$", "^GET .*/collect/"
    no_role = (dict(account="portal", secret="Portal-2026"), {})
    # Certificates are bought beforehand: a number of them, not a balance.
    poor = dict(orders_left=0)
    refill = dict(orders_left=5)

    def described(self):
        return {"type": "sectigo", "uri": self.simulator.api, "account": "api", "customer": self.simulator.customer_uri,
                "secret": self.simulator.logins["api"], "organization": "10", "product": "501", "term": "199"}


class SslStore(Buyer):
    ca = "ssl_store"
    place, task, track, collect = "order/neworder$", "order/status$", "order/status$", "order/download$"
    wrong_product = dict(product="no_such_product")
    # There are no roles: what an account may not do is a sentence of the CA.
    no_role = ({}, dict(order_refusal={"message": "-9008 Token/Authentication Failure: this partner may not order"}))

    def described(self):
        return {"type": "ssl_store", "uri": self.simulator.rest, "account": self.simulator.partner_code, "secret": self.simulator.auth_token,
                "product": "positivessl", "requester": '"Web Team" ops@example.com +91-8012345678'}


class DigiCert(Buyer):
    ca = "digicert"
    place, task = "^POST .*/order/certificate/", "^PUT .*/dcv-random-value$"
    track, collect = r"^GET .*/order/certificate/\d+$", "^GET .*/certificate/download/"
    wrong_product = dict(product="no_such_product")

    @property
    def no_role(self):
        return dict(secret=self.simulator.keys["viewer"]), {}

    def described(self):
        return {"type": "digicert", "uri": self.simulator.api, "secret": self.simulator.keys["admin"], "product": "ssl_dv_geotrust"}


BUYERS = {"certinext-v1": CertinextOne, "certinext-v2": CertinextTwo, "sectigo": Sectigo, "ssl-store": SslStore, "digicert": DigiCert}


def says(problem, *words, who="issuer seller"):
    """A problem of the status is one clear sentence: who, these words, and nothing of a page."""
    for word in (who, *words):
        assert re.search(word, problem["message"]), "%s is not in: %s" % (word, problem["message"])
    assert problem["remedy"] and problem["since"]
    assert len(problem["message"]) < 700 and "\n" not in problem["message"] and "<" not in problem["message"]


def log_says(site, problem):
    wait_for(lambda: problem["message"] in site.log(), "the sentence in the log", seen=lambda: site.log()[-3000:])
