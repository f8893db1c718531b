"""A CA that takes requests and never answers them: nobody who orders elsewhere waits for it, and somebody is told."""
import threading

import fault_proxy
from harness.forger import EVER
from harness.nginx import host, issuer


def test_a_ca_that_never_answers_keeps_nobody_waiting_at_another_one(nginx, pebble, fault):
    over = threading.Event()
    fault.add("^/dir$", fault_proxy.silence(600, over), times=EVER)
    elsewhere = [f"b{i}.test" for i in range(3)]
    # More orders at the silent one than the agent has threads, and first in every row.
    hosts = "".join(host(f"a{i:02}.test", evercert="evercert on; evercert_issuer test;") for i in range(24))
    hosts += "".join(host(name, evercert="evercert on; evercert_issuer other;") for name in elsewhere)
    site = nginx(hosts, directory=fault.uri, global_extra=issuer(pebble.uri, pebble.trust, name="other")).start()
    try:
        for name in elsewhere:
            site.audit.wait("served", name)
        # At the first time-out: later ones would come one by one.
        told = site.audit.wait("issuer_unreachable", timeout=60)
        assert told["issuer"] == "test", told
        assert fault.count("^/dir$") < 5, fault.seen
    finally:
        over.set()
    fault.clear()
    site.audit.wait("issuer_back", timeout=60)
    for i in range(24):
        site.audit.wait("served", f"a{i:02}.test", timeout=60)
