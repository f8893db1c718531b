"""From the start of the server to the first handshake with a real certificate: one name, nothing on disk."""
import time

import caddy
from harness import ports, tls
from harness.nginx import host
from harness.waiting import wait_port
from report import median

ROUNDS = 7


def until_served(start, name):
    begin = time.monotonic()
    start()
    tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, 30, pause=0.002)
    return time.monotonic() - begin


def measure(stack, report):
    ours, theirs = [], []
    for index in range(ROUNDS):
        name = "first%d.test" % index
        site = stack.nginx(host(name))
        try:
            ours.append(until_served(lambda: site.start(wait=False), name))
        finally:
            site.close()
        wait_port(ports.TLS, False)
        if caddy.available():
            peer = caddy.Caddy(stack.place(), stack.pebble, [name])
            try:
                theirs.append(until_served(peer.start, name))
            finally:
                peer.stop()
            wait_port(ports.TLS, False)
    report.figure("start to first certificate served, median of %d" % ROUNDS, median(ours), "s", 0.15,
                  median(theirs) if theirs else None, "caddy" if theirs else "caddy is missing", 0.3)
    report.note("ours %s" % " ".join("%.3f" % value for value in sorted(ours)))
    if theirs:
        report.note("caddy %s" % " ".join("%.3f" % value for value in sorted(theirs)))
