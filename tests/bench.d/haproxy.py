"""HAProxy: start to served, requests, and what a thousand swaps do to handshakes; beside HAProxy's own ACME (3.2) where it can be had."""
import os
import re
import subprocess
import time

import haproxy_swaps
from fault_proxy import FaultProxy
from harness import ports, processes, tls
from harness.authority import Authority, private_key_pem
from harness.haproxy import Haproxy, certificate, program_of
from harness.waiting import wait_port
from cryptography.hazmat.primitives.asymmetric import ec
from report import median

ROUNDS = 5


class Native:
    """HAProxy 3.2's own ACME, as its documentation shows it. It does not say how long its requests are and Pebble insists on that:
    a proxy between them adds Content-Length and nothing else. It costs milliseconds."""

    def __init__(self, folder, directory, names):
        self.folder, self.process = folder, None
        key = os.path.join(folder, "account.key")
        with open(key, "wb") as file:
            file.write(private_key_pem(ec.generate_private_key(ec.SECP256R1())))
        lines = ["global", "log stdout format raw local0", "expose-experimental-directives", "httpclient.ssl.verify none", "httpclient.resolvers.prefer ipv4", "defaults", "log global",
                 "mode http", "timeout client 10s", "timeout server 10s", "timeout connect 5s", "crt-store s", "crt-base " + folder, "key-base " + folder]
        own = Authority(os.path.join(folder, "own"))
        for index, name in enumerate(names):
            chain, secret = own.issue(name, days=(-89, 1))  # one that is not due is not ordered anew
            with open(os.path.join(folder, "d%d.pem" % index), "wb") as file:
                file.write(chain + secret)
            lines.append("load crt d%d.pem alias d%d acme P domains %s" % (index, index, name))
        lines += ["frontend f", "bind 127.0.0.1:%d" % ports.HTTP, "bind 127.0.0.1:%d ssl" % ports.TLS,
                  'http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].%[path,field(-1,/),map(virt@acme)]\\n" '
                  "if { path_beg /.well-known/acme-challenge/ }", "http-request return status 200"]
        lines += ["ssl-f-use crt @s/d%d" % index for index in range(len(names))]
        lines += ["acme P", "directory " + directory, "account-key " + key, "contact a@bench.test", "challenge HTTP-01", "keytype ECDSA",
                  "curves P-256", "map virt@acme"]
        self.configuration = os.path.join(folder, "native.cfg")
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        with open(os.path.join(self.folder, "native.log"), "wb") as log:
            self.process = subprocess.Popen([program_of("3.2"), "-db", "-f", self.configuration], stdout=log, stderr=log)

    def stop(self):
        processes.stop(self.process)


def until_served(start, names, patience=60):
    begin = time.monotonic()
    start()
    for name in names:
        tls.wait_leaf(ports.TLS, name, lambda leaf: "Pebble" in leaf.issuer, patience, pause=0.005)
    return time.monotonic() - begin


def start_to_served(stack, report, count, target, rounds):
    ours, requests, peer, peer_requests = [], [], None, None
    for index in range(rounds):
        names = ["h%d-%d-%d.test" % (count, index, number) for number in range(count)]
        site = Haproxy(stack.place(), stack.install, [certificate(name) for name in names], pebble=stack.pebble)
        mark = stack.pebble.mark()
        try:
            ours.append(until_served(lambda: site.start(wait=False), names))
            requests.append(stack.pebble.request_count(mark) / count)
        finally:
            site.close()
        wait_port(ports.TLS, False)
    if program_of("3.2"):
        names = ["n%d-%d.test" % (count, number) for number in range(count)]
        proxy = FaultProxy(ports.FAULT, ports.ACME, stack.pebble.chain_path, stack.pebble.key_path)
        native = Native(stack.place(), proxy.uri, names)
        mark = stack.pebble.mark()
        try:
            peer = until_served(native.start, names, 40 + count)
            peer_requests = stack.pebble.request_count(mark) / count
        except AssertionError as failure:
            report.note("native ACME: %s" % str(failure).splitlines()[0])
            with open(os.path.join(native.folder, "native.log"), errors="replace") as log:
                said = [line.strip() for line in log if line.startswith("acme:")]
                report.note(said[-1] if said else "it said nothing of a fault")
        finally:
            native.stop()
            proxy.close()
        wait_port(ports.TLS, False)
    title = "HAProxy: start to served, %d name%s" % (count, "" if count == 1 else "s")
    report.figure(title, median(ours), "s", target, peer, "native ACME" if peer else "no peer")
    if peer:
        report.note("native ACME goes through a proxy that adds the Content-Length which Pebble insists on; it costs milliseconds")
    if count > 1:
        report.figure("HAProxy: requests per certificate", median(requests), "", 7.3, peer_requests, "native ACME")


def rate(port, path):
    done = subprocess.run(["ab", "-q", "-n", "20000", "-c", "32", "http://127.0.0.1:%d%s" % (port, path)], capture_output=True, text=True, check=True)
    return float(re.search(r"Requests per second:\s+([\d.]+)", done.stdout).group(1))


def challenges(stack, report):
    """A token that nobody knows takes the whole way through the action; the static answer is behind it in the other frontend."""
    static = 'frontend static\nbind 127.0.0.1:%d\nhttp-request return status 200 content-type text/plain string "ok\\n"' % ports.FREE
    site = Haproxy(stack.place(), stack.install, [certificate("rate.test")], pebble=stack.pebble, frontends=static, threads=2)
    try:
        site.start()
        ours, theirs = [], []
        for _ in range(3):
            ours.append(rate(ports.HTTP, "/.well-known/acme-challenge/unknown"))
            theirs.append(rate(ports.FREE, "/"))
        report.figure("HAProxy: time of a static answer over a challenge's", median(theirs) / median(ours), "", 1 / 0.6)
        report.note("challenges %.0f/s, static %.0f/s" % (median(ours), median(theirs)))
    finally:
        site.close()


def measure(stack, report):
    start_to_served(stack, report, 1, 0.3, ROUNDS)
    start_to_served(stack, report, 20, 1.0, 3)
    haproxy_swaps.measure(stack, report)
    challenges(stack, report)
