"""Import of ten thousand orders from the account at a commercial CA: memory of the agent at its peak, requests, time, progress."""
import os
import re
import time

from cryptography.hazmat.primitives import serialization

from harness import csr
from harness.authority import write_private
from harness.buyers import CertinextOne
from harness.nginx import host
from harness.waiting import wait_for

COUNT = int(os.environ.get("EVERCERT_BENCH_ORDERS", "10000"))
KEYS = 20
TARGET_MIB = 64


def peak_mib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1024


def key_and_request(folder, name):
    key = csr.key()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(os.path.join(folder, name + ".key"), pem)
    return csr.request(name, signer=key)


def measure(stack, report):
    folder = stack.place()
    names = ["bound%02d.test" % number for number in range(KEYS)]
    keys = os.path.join(folder, "keys")
    os.makedirs(keys)
    requests = [key_and_request(keys, name) for name in names]
    buyer = CertinextOne(folder)
    ca = buyer.simulator
    site = stack.nginx(host(names, "evercert each;"), pebble=None, global_extra=buyer.issuer("bought", order="off"))
    try:
        ca.seed(count=COUNT, expired=500, revoked=200, rejected=100, csrs=requests)
        site.start().audit.wait("agent_leads")
        evercert = stack.evercert(site)
        agent = wait_for(lambda: evercert.status()["agent"].get("pid"), "the agent")
        before = peak_mib(agent)
        begin = time.monotonic()
        done = evercert.run("import", "issuer", "bought", "--key", keys, timeout=1800)
        seconds = time.monotonic() - begin
        assert done.returncode == 0, done.stdout + done.stderr[-2000:]
        assert "%d taken over" % KEYS in done.stdout, done.stdout
        progress = done.stderr.count("import_progress")
        assert progress >= COUNT // 100, "progress was told %d times" % progress
        report.figure("import of %d orders: memory of the agent at its peak" % COUNT, peak_mib(agent), "MiB", TARGET_MIB, digits=1)
        report.note("%.0f MiB before; %.0f s, %d requests for %d orders and %d certificates taken over; progress told %d times"
                    % (before, seconds, sum(ca.counts().values()), COUNT + 800, KEYS, progress))
        again = time.monotonic()
        assert "0 downloads" in evercert.run("import", "issuer", "bought", "--key", keys, timeout=600).stdout
        report.note("run again: %.1f s, no certificate downloaded" % (time.monotonic() - again))
    finally:
        site.close()
        buyer.close()
