"""From the moment a new generation is in the store to the moment every worker serves it. Connections are opened before, so
that it is settled which worker each belongs to; their handshakes are made after."""
import os
import socket
import threading
import time

from harness import ports, processes, tls
from harness.nginx import host
from report import median

ROUNDS, WORKERS = 10, 2
NAME = "commit.test"


def waiting_connections(count):
    return [socket.create_connection(("127.0.0.1", ports.TLS), 5) for _ in range(count)]


def handshake(plain, context):
    """(time of the leaf, serial, worker)"""
    with context.wrap_socket(plain, server_hostname=NAME) as link:
        at = time.monotonic()
        serial = tls.Leaf(link.getpeercert(binary_form=True)).serial
        return at, serial, int(tls.get(ports.TLS, NAME, connection=link)[1])


def one_round(stack, site, generation):
    evercert = stack.evercert(site)
    old = tls.leaf_at(ports.TLS, NAME).serial
    path = os.path.join(site.state, "state", "certificates", NAME, "%d.bundle" % generation)
    context = tls.client()
    waiting = waiting_connections(12)
    renewal = threading.Thread(target=evercert.renew, args=(NAME,))
    renewal.start()
    try:
        while not os.path.exists(path):
            time.sleep(0.0001)
        committed = time.monotonic()
        first = {}
        while len(first) < WORKERS:
            if not waiting:
                waiting = waiting_connections(4)
            at, serial, worker = handshake(waiting.pop(), context)
            if serial != old:
                first.setdefault(worker, at)
            else:
                first.pop(worker, None)
        return 1000 * (max(first.values()) - committed)
    finally:
        renewal.join(30)
        for plain in waiting:
            plain.close()


def measure(stack, report):
    site = stack.nginx(host(NAME, inside='location / { return 200 "$pid"; }'), workers=WORKERS)
    try:
        site.start()
        site.audit.wait("served", NAME)
        values = [one_round(stack, site, 2 + index) for index in range(ROUNDS)]
        own = [event.get("milliseconds") for event in site.audit.all("served", NAME) if event.get("milliseconds") is not None]
        report.figure("store commit to served by all %d workers, median of %d" % (WORKERS, ROUNDS), median(values), "ms", 10.0,
                      digits=2)
        report.note("single rounds %s; includes the handshakes that look (about 1 ms each)" % " ".join("%.1f" % v for v in values))
        if own:
            report.note("publication to proof, as the agent says: median %.1f ms" % median([float(v) for v in own]))
        assert processes.alive(site.master)
    finally:
        site.close()
