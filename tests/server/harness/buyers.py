"""Customers of the simulated commercial CAs for tests that ask the same of every CA: which calls place, prepare, track and collect
an order, and how each CA is brought to refuse."""
import re
import time

from .shop import Shop
from .waiting import wait_for

NAME = "bought.test"


class Buyer(Shop):
    kind = ""
    settings = {}
    # Patterns of the simulator's faults: the calls that place an order, say how names are proved, track it, hand out.
    place = task = track = collect = ""
    wrong_secret = dict(secret="not-the-secret")
    wrong_product = dict(product="999")
    # An account that exists and may not order: (options, settings of the simulator).
    no_role = ({}, {})
    poor, refill = dict(balance=0), dict(balance=1000)

    def __init__(self, folder, **settings):
        super().__init__(self.kind, folder, **dict(self.settings, **settings))

    def issuer(self, name="seller", **changed):
        return super().issuer(name, **changed)

    def through(self, port):
        """The address of the interface, if the CA were at this port."""
        return self.uri.replace(":%s/" % self.ca.url.rsplit(":", 1)[1], ":%d/" % port) if self.uri != self.ca.url else (
            "https://127.0.0.1:%d" % port)

    def _requests(self):
        return self.ca.ask("GET", "/requests")["requests"]

    def count(self, pattern):
        """Calls so far whose method and path match."""
        return sum(1 for _, method, path, _ in self._requests() if re.search(pattern, "%s %s" % (method, path)))

    def all_requests(self):
        return len(self._requests())

    def orders(self):
        return self.ca.orders()

    def is_served(self, name=NAME):
        return self.is_trusted(name)

    def stays_calm(self, seconds=1.0, most=0):
        """Whoever waits for a person or a pause leaves the CA alone."""
        before, begin = self.all_requests(), time.monotonic()
        wait_for(lambda: time.monotonic() - begin > seconds, "some time", seconds + 5, 0.05)
        assert self.all_requests() - before <= most


class CertinextOne(Buyer):
    kind = "certinext"
    place, task, track, collect = "GenerateOrderSSL$", "GetDcv$", "TrackOrder$", "GetCertificate$"
    no_role = ({}, dict(refuse_inactive=True))


class CertinextTwo(Buyer):
    kind = "certinext-v2"
    settings = dict(v2_http_file_name="proof.txt")
    place, task = "^POST .*/ssl-certificates$", "^GET .*/dcv$"
    track, collect = r"^GET .*/ssl-certificates/\d+$", "^GET .*/certificate$"
    wrong_product = dict(product="999 dv")
    no_role = ({}, dict(oauth_mode=False))

    def issuer(self, name="seller", **changed):
        return super().issuer(name, **dict({"validation_file": "proof.txt"}, **changed))


class Sectigo(Buyer):
    kind = "sectigo"
    place, task = "^POST .*/enroll$", r"^GET .*/ssl/v1/\d+/dcv$"
    track, collect = r"^GET .*/ssl/v1/\d+$", "^GET .*/collect/"
    no_role = (dict(account="portal", secret="Portal-2026"), {})
    # Certificates are bought beforehand: a number of them, not a balance.
    poor, refill = dict(orders_left=0), dict(orders_left=5)


class SslStore(Buyer):
    kind = "ssl_store"
    place, task, track, collect = "order/neworder", "order/status", "order/status", "order/download"
    wrong_product = dict(product="no_such_product")
    # There are no roles: what an account may not do is a sentence of the CA.
    no_role = ({}, dict(order_refusal={"message": "-9008 Token/Authentication Failure: this partner may not order"}))


class DigiCert(Buyer):
    kind = "digicert"
    place, task = "^POST .*/order/certificate/", "^PUT .*/dcv-random-value$"
    track, collect = r"^GET .*/order/certificate/\d+$", "^GET .*/certificate/download/"
    wrong_product = dict(product="no_such_product")

    @property
    def no_role(self):
        return dict(secret=self.ca.keys["viewer"]), {}


BUYERS = {"certinext-v1": CertinextOne, "certinext-v2": CertinextTwo, "sectigo": Sectigo, "ssl-store": SslStore, "digicert": DigiCert}


def says(problem, *words, who="issuer seller"):
    """A problem of the status is one clear sentence: who, these words, and nothing of a page."""
    for word in (who, *words):
        assert re.search(word, problem["message"]), "%s is not in: %s" % (word, problem["message"])
    assert problem["remedy"] and problem["since"]
    assert len(problem["message"]) < 700 and "\n" not in problem["message"] and "<" not in problem["message"]


def log_says(site, problem):
    wait_for(lambda: problem["message"] in site.log(), "the sentence in the log", seen=lambda: site.log()[-3000:])
