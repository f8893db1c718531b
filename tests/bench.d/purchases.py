"""Requests to a commercial CA for one order, from placing to served, beside the fewest that its interface allows."""
import os

from harness.authority import write_private
from harness.nginx import host
from harness.simulator import Simulator

# Read once a week, whatever is ordered.
LISTS = ("GetProductDetails", "GET /organization/v1", "GET /ssl/v1/types")
# Create, how to prove, look, state, download; v2 also fetches a token, and Sectigo hands leaf and issuers out separately.
FLOORS = {"certinext v1": 5, "sectigo": 6}


def block(kind, ca, folder):
    secret = os.path.join(folder, "secret")
    if kind == "sectigo":
        write_private(secret, ca.logins["api"].encode())
        return ("evercert_issuer bought { type sectigo; uri %s; account api; customer %s; secret %s; organization 10; product 501; "
                "term 199; ssl_trusted_certificate %s; }" % (ca.api, ca.customer_uri, secret, ca.tls_ca_file))
    write_private(secret, ca.access_key.encode())
    return ('evercert_issuer bought { type certinext; uri %s; account %s; secret %s; product 842; requester "Web Team" '
            'ops@example.com +91-8012345678; signer "Web Team" Chennai 8.8.8.8; ssl_trusted_certificate %s; }'
            % (ca.v1, ca.account_number, secret, ca.tls_ca_file))


def measure(stack, report):
    for kind, floor in FLOORS.items():
        folder = stack.place()
        settings = {"prevalidation": False, "any_domain": True} if kind == "sectigo" else {}
        ca = Simulator(kind.split()[0], folder, **settings)
        site = stack.nginx(host("bought.test"), pebble=None, global_extra=block(kind, ca, folder))
        try:
            site.start()
            site.audit.wait("served", "bought.test", timeout=60, pause=0.01)
            counts = ca.counts()
            lists = {name: counts.pop(name) for name in LISTS if name in counts}
            report.figure("requests per order, " + kind, sum(counts.values()), "", floor, floor, "floor", 1, digits=0)
            report.note(", ".join("%s %d" % pair for pair in counts.items()))
            report.note("beside them, once a week: " + ", ".join("%s %d" % pair for pair in lists.items()))
        finally:
            site.close()
            ca.close()
