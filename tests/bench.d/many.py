"""Two hundred certificates: ordered, stored, served and proved, against the yardstick that stores and serves nothing."""
import json
import os
import subprocess
import sys
import time

from harness import ports, processes, tls
from harness.nginx import host
from harness.waiting import wait_for, wait_port
from report import median

COUNT, ROUNDS = 200, 3
HERE = os.path.dirname(os.path.realpath(__file__))
YARDSTICK = os.path.join(HERE, "yardstick.py")
CORE = os.path.realpath(os.path.join(HERE, "..", "..", "core"))


def served_count(site):
    """Counts lines without parsing them: the measuring must not compete for the CPUs."""
    total = 0
    if os.path.isdir(site.audit.folder):
        for name in os.listdir(site.audit.folder):
            with open(os.path.join(site.audit.folder, name), "rb") as file:
                total += file.read().count(b'"name":"served"')
    return total


def one_round(stack, names):
    mark = stack.pebble.mark()
    site = stack.nginx("".join(host(name) for name in names))
    try:
        begin = time.monotonic()
        site.start(wait=False)
        wait_for(lambda: served_count(site) >= COUNT, "%d certificates to be served" % COUNT, 120, 0.02,
                 lambda: "%d served\n%s" % (served_count(site), site.log()[-2000:]))
        seconds = time.monotonic() - begin
        cpu = processes.cpu_ticks(site.agent())
        for name in names:
            assert tls.leaf_at(ports.TLS, name).names == [name]
        assert stack.pebble.issued(mark) == COUNT
        return seconds, stack.pebble.request_count(mark) / COUNT, 1000 * cpu / COUNT
    finally:
        site.close()
        wait_port(ports.TLS, False)


def yardstick(stack, names):
    done = subprocess.run([sys.executable, YARDSTICK, stack.pebble.uri, stack.pebble.trust, str(ports.HTTP), *names],
                          capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


def floor(stack):
    """What the libraries and the file system cost, without anything of ours."""
    program, folder = os.path.join(stack.folder, "floor"), stack.place()
    subprocess.run(["c++", "-O2", "-std=c++20", "-I" + CORE, "-I" + os.path.join(CORE, "include"), os.path.join(HERE, "floor.cpp"),
                    "-o", program, "-lcurl", "-lssl", "-lcrypto"], check=True, timeout=120)
    site = stack.nginx(host("floor.test")).start()
    try:
        site.audit.wait("served", "floor.test")
        uri = stack.pebble.uri.replace("/dir", "/order-plz")
        done = subprocess.run([program, uri, stack.pebble.trust, str(ports.TLS), "floor.test", folder],
                              capture_output=True, text=True, check=True, timeout=120)
        return json.loads(done.stdout)
    finally:
        site.close()
        wait_port(ports.TLS, False)


def measure(stack, report):
    ours, peers = [], []
    for index in range(ROUNDS):
        names = ["many%d-%d.test" % (index, number) for number in range(COUNT)]
        ours.append(one_round(stack, names))
        peers.append(yardstick(stack, names))
    report.figure("200 certificates stored, served and proved", median([r[0] for r in ours]), "s", None,
                  median([r["seconds"] for r in peers]), "yardstick", 1.5)
    report.figure("requests to the CA per certificate", median([r[1] for r in ours]), "", 7.2,
                  median([r["requests"] / COUNT for r in peers]), "yardstick")
    parts = floor(stack)
    report.figure("CPU of the agent per certificate", median([r[2] for r in ours]), "ms", 4.0, sum(parts.values()), "libraries and disk alone")
    report.note("libraries and disk alone: " + ", ".join("%s %.2f ms" % part for part in parts.items()) +
                "; yardstick (Python, stores and proves nothing) %.2f ms" % median([1000 * r["cpu"] / COUNT for r in peers]))
