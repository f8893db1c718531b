"""Requests to a commercial CA for one order, from placing to served, beside the fewest that its interface allows."""
from harness.buyers import BUYERS, NAME
from harness.nginx import host

# Read once a week, whatever is ordered.
LISTS = ("GetProductDetails", "GET /catalog/products", "GET /groups", "GET /organization/v1", "GET /ssl/v1/types", "product/query",
         "user/accountdetail", "GET /product", "GET /product/{name_id}", "GET /organization")
# Create, how to prove, look, state, download; V2 also fetches a token, and Sectigo hands leaf and issuers out separately.
FLOORS = {"certinext-v1": 5, "certinext-v2": 6, "sectigo": 6, "ssl-store": 5, "digicert": 5}
# As soon as an order is there, the CA knows how its names are proved; where The SSL Store does not, two more looks are needed.
READY = {"ssl-store": {"empty_dcv_polls": 0}}


def measure(stack, report):
    for kind, make in BUYERS.items():
        buyer = make(stack.place(), **READY.get(kind, {}))
        site = stack.nginx(host(NAME), pebble=None, global_extra=buyer.issuer())
        try:
            site.start()
            site.audit.wait("served", NAME, timeout=60, pause=0.01)
            counts = buyer.simulator.counts()
            lists = {name: counts.pop(name) for name in LISTS if name in counts}
            report.figure("requests per order, " + kind, sum(counts.values()), "", FLOORS[kind], FLOORS[kind], "floor", 1, digits=0)
            report.note(", ".join("%s %d" % pair for pair in counts.items()))
            report.note("beside them, once a week: " + ", ".join("%s %d" % pair for pair in sorted(lists.items())))
        finally:
            site.close()
            buyer.close()
