"""From the moment a new generation is in the store to the moment every worker serves it. Connections are opened before, and
the kernel's tables tell which worker each belongs to; of each worker one handshake after the other is made until it shows the
new leaf, so the figure holds two handshakes at least."""
import os
import socket
import threading
import time

from harness import ports, processes, tls
from harness.nginx import host
from harness.waiting import wait_for
from report import median

ROUNDS, WORKERS, WAITING = 10, 2, 32
NAME = "commit.test"


def socket_inodes(port):
    """Peer port: inode of the server's end, for established connections to a local port."""
    found = {}
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[1].endswith(":%04X" % port) and fields[3] == "01":
                found[int(fields[2].rsplit(":", 1)[1], 16)] = fields[9]
    return found


def sockets_of(pid):
    """Inodes of a process's sockets."""
    found = set()
    for number in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, number))
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def waiting_connections(workers):
    """Open connections by worker."""
    opened = [socket.create_connection(("127.0.0.1", ports.TLS), 5) for _ in range(WAITING)]

    def by_worker():
        inodes = socket_inodes(ports.TLS)
        found = {}
        for pid in workers:
            owned = sockets_of(pid)
            found[pid] = [plain for plain in opened if inodes.get(plain.getsockname()[1]) in owned]
        return found if sum(len(each) for each in found.values()) == len(opened) else None
    return wait_for(by_worker, "the workers to accept %d connections" % WAITING, 10)


def serial_of(plain, context):
    with context.wrap_socket(plain, server_hostname=NAME) as link:
        return tls.Leaf(link.getpeercert(binary_form=True)).serial


def one_round(stack, site, generation):
    """Milliseconds, or None when a worker had no connection waiting."""
    evercert = stack.evercert(site)
    old = tls.leaf_at(ports.TLS, NAME).serial
    path = os.path.join(site.state, "state", "certificates", NAME, "%d.bundle" % generation)
    context = tls.client()
    waiting = waiting_connections(site.worker_pids())
    renewal = threading.Thread(target=evercert.renew, args=(NAME,))
    renewal.start()
    try:
        while not os.path.exists(path):
            time.sleep(0.0001)
        committed = time.monotonic()
        for connections in waiting.values():
            while connections and serial_of(connections.pop(), context) == old:
                pass
            if not connections:
                return None
        return 1000 * (time.monotonic() - committed)
    finally:
        renewal.join(30)
        for plain in [each for connections in waiting.values() for each in connections]:
            plain.close()


def measure(stack, report):
    site = stack.nginx(host(NAME), workers=WORKERS)
    try:
        site.start()
        site.audit.wait("served", NAME)
        values = [value for value in (one_round(stack, site, 2 + index) for index in range(ROUNDS)) if value is not None]
        own = [event.get("milliseconds") for event in site.audit.all("served", NAME) if event.get("milliseconds") is not None]
        report.figure("store commit to served by all %d workers, median of %d" % (WORKERS, len(values)), median(values), "ms", 10.0,
                      digits=2)
        report.note("single rounds %s; includes the handshakes that look" % " ".join("%.1f" % v for v in values))
        if own:
            report.note("publication to proof, as the agent says: median %.1f ms" % median([float(v) for v in own]))
        assert processes.alive(site.master)
    finally:
        site.close()
