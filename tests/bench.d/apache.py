"""Apache: start to served for one and for twenty domains, requests, what traffic notices of a renewal, and the cost of a
handshake; beside mod_md in the same run, whose graceful restart comes at the ideal instant."""
import os
import time

from harness import lineages, ports, processes, tls
from harness.apache import host
from harness.load import Load
from harness.waiting import wait_port
from mod_md import ModMd
from report import median

ROUNDS = {1: 5, 20: 2}
MANY = 50
STEADY = "KeepAliveTimeout 300\nMaxKeepAliveRequests 0\n"


def ours(stack, names):
    site = stack.apache("".join(host(name) for name in names))
    mark, begin = stack.pebble.mark(), time.monotonic()
    try:
        site.start(wait=False)
        for name in names:
            tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, 60, pause=0.002, seen=site.log)
        return time.monotonic() - begin, stack.pebble.request_count(mark) / len(names)
    finally:
        site.close()
        wait_port(ports.TLS, False)


def theirs(stack, names):
    peer = ModMd(stack.place(), stack.install, stack.pebble, names, "".join(host(name, "") for name in names))
    mark, begin = stack.pebble.mark(), time.monotonic()
    try:
        peer.start()
        peer.activate()
        return time.monotonic() - begin, stack.pebble.request_count(mark) / len(names)
    finally:
        peer.close()
        wait_port(ports.TLS, False)


def start_to_served(stack, report):
    for count, rounds in ROUNDS.items():
        mine, peers = [], []
        for index in range(rounds):
            names = ["apache%d-%d-%d.test" % (count, index, number) for number in range(count)]
            mine.append(ours(stack, names))
            peers.append(theirs(stack, names))
        what = "1 domain" if count == 1 else "%d domains" % count
        report.figure("Apache: start to served, %s, median of %d" % (what, rounds), median([r[0] for r in mine]), "s", None,
                      median([r[0] for r in peers]), "mod_md", 0.3)
    # Account, directory and the first nonces are asked for once, so ours cost less the more there are; mod_md asks anew for each.
    many = ours(stack, ["apache-many-%d.test" % number for number in range(MANY)])[1]
    for count, cost in ((20, median([r[1] for r in mine])), (MANY, many)):
        report.figure("Apache: requests to the CA per certificate, %d domains" % count, cost, "", 7.3, median([r[1] for r in peers]),
                      "mod_md, of 20")


def noticed(load, renew):
    """(failed requests, held connections that were closed) over a renewal."""
    try:
        load.wait_more(30)
        renew()
        load.wait_more(30)
        return len(load.failures), len(load.held) - load.held_alive()
    finally:
        load.stop()


def over_a_renewal(stack, report):
    site = stack.apache(host("traffic.test"), main=STEADY)
    try:
        site.start()
        site.audit.wait("served", "traffic.test")
        evercert = stack.evercert(site)
        mine = noticed(Load(ports.TLS, "traffic.test"), lambda: evercert.renew("traffic.test"))
    finally:
        site.close()
        wait_port(ports.TLS, False)
    static = stack.authority.files("traffic.test")
    peer = stack.apache(host("traffic.test", "", static=static), evercert=False, main=STEADY)
    try:
        peer.start()
        # What activation costs there does not depend on where the new certificate came from.
        theirs_ = noticed(Load(ports.TLS, "traffic.test"), peer.reload)
    finally:
        peer.close()
        wait_port(ports.TLS, False)
    for title, index in (("failed requests", 0), ("closed keep-alive connections of 4", 1)):
        report.figure("Apache: %s over a renewal" % title, mine[index], "", 0, theirs_[index] or None,
                      "graceful" if theirs_[index] else "graceful 0", digits=0)


def exact_cpu(site):
    return sum(processes.cpu_seconds(pid) for pid in site.worker_pids())


HANDSHAKES, COST_ROUNDS, NAME = 150, 12, "cost.test"


def cost(site, port, context):
    before = exact_cpu(site)
    for _ in range(HANDSHAKES):
        tls.connect(port, NAME, context).close()
    return 1e6 * (exact_cpu(site) - before) / HANDSHAKES


def handshakes(stack, report):
    place = lineages.write(stack.place(), stack.authority, [NAME])
    live = os.path.join(place, "live", NAME)
    static = os.path.join(live, "fullchain.pem"), os.path.join(live, "privkey.pem")
    hosts = host(NAME) + host(NAME, "", listen=ports.TLS_STATIC, http=False, static=static)
    site = stack.apache(hosts, main="Listen 127.0.0.1:%d https\nSSLSessionCache none\nSSLSessionTickets off\n" % ports.TLS_STATIC)
    done = stack.evercert(site).run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == 0, done.stderr
    try:
        site.start()
        assert tls.leaf_at(ports.TLS, NAME).serial == tls.leaf_at(ports.TLS_STATIC, NAME).serial
        for title, version in (("TLS 1.3", tls.TLS13), ("TLS 1.2", tls.TLS12)):
            context = tls.client(version)
            mine, files, ratios = [], [], []
            for index in range(COST_ROUNDS):
                order = [ports.TLS, ports.TLS_STATIC] if index % 2 else [ports.TLS_STATIC, ports.TLS]
                seen = {port: cost(site, port, context) for port in order}
                mine.append(seen[ports.TLS])
                files.append(seen[ports.TLS_STATIC])
                ratios.append(seen[ports.TLS] / seen[ports.TLS_STATIC])
            report.figure("Apache: CPU per full handshake relative to static, " + title, median(ratios), "", 1.03)
            report.note("P-256, ours %.1f us, static file %.1f us; the ratio is the median of %d rounds"
                        % (median(mine), median(files), COST_ROUNDS))
    finally:
        site.close()


def measure(stack, report):
    start_to_served(stack, report)
    over_a_renewal(stack, report)
    handshakes(stack, report)
