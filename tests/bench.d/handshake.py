"""CPU of a worker per full handshake: from the callback, and with the very same certificate as a static file. One worker, ports
taken in turn, so that whatever else the machine does falls on both alike."""
import os

from harness import lineages
from harness import ports, processes, tls
from harness.nginx import host
from report import median

ROUNDS, HANDSHAKES = 12, 250
NAME = "cost.test"


def cost(worker, port, context):
    before = processes.cpu_seconds(worker)
    for _ in range(HANDSHAKES):
        tls.connect(port, NAME, context).close()
    return 1e6 * (processes.cpu_seconds(worker) - before) / HANDSHAKES


def measure(stack, report):
    place = lineages.write(stack.place(), stack.authority, [NAME])
    live = os.path.join(place, "live", NAME)
    static = os.path.join(live, "fullchain.pem"), os.path.join(live, "privkey.pem")
    site = stack.nginx(host(NAME) + host(NAME, "", listen=ports.TLS_STATIC, http=False, static=static), workers=1,
                       global_extra="ssl_session_tickets off; ssl_session_cache off;")
    done = stack.evercert(site).run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == 0, done.stderr
    try:
        site.start()
        assert tls.leaf_at(ports.TLS, NAME).serial == tls.leaf_at(ports.TLS_STATIC, NAME).serial
        (worker,) = site.worker_pids()
        for title, version in (("TLS 1.3", tls.TLS13), ("TLS 1.2", tls.TLS12)):
            context = tls.client(version)
            ours, static_cost, ratios = [], [], []
            for index in range(ROUNDS):
                order = [ports.TLS, ports.TLS_STATIC] if index % 2 else [ports.TLS_STATIC, ports.TLS]
                seen = {port: cost(worker, port, context) for port in order}
                ours.append(seen[ports.TLS])
                static_cost.append(seen[ports.TLS_STATIC])
                ratios.append(seen[ports.TLS] / seen[ports.TLS_STATIC])
            report.figure("worker CPU per full handshake, P-256, " + title, median(ours), "us", None, median(static_cost),
                          "static file", 1.03, digits=1)
            report.note("median of the ratios of single rounds: %.3f" % median(ratios))
    finally:
        site.close()
