"""Ten thousand names in one server block, each with its own certificate (`evercert each`). The certificates are made by the
tests' own CA and adopted by `evercert import` before the start, so that no CA is part of the figure."""
import os
import time

from harness import lineages
from harness import ports, tls
from harness.nginx import host
from harness.waiting import wait_for
from report import median

COUNT = int(os.environ.get("EVERCERT_BENCH_NAMES", "10000"))
STARTS = 3


def private_kib(pid):
    """Memory that is this process's alone."""
    total = 0
    with open("/proc/%d/smaps_rollup" % pid) as file:
        for line in file:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1])
    return total


def measure(stack, report):
    names = ["name%05d.test" % number for number in range(COUNT)]
    begin = time.monotonic()
    place = lineages.write(stack.place(), stack.authority, names)
    site = stack.nginx(host(names, "evercert each;"), workers=1, global_extra="evercert_proof off; evercert_cache_size %d;" % (COUNT + 1),
                       main="worker_rlimit_nofile 8192;")
    made = time.monotonic()
    done = stack.evercert(site).run("import", "certbot", place, "--user", "www-data", timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    report.note("%d certificates made in %.0f s, adopted by evercert import in %.0f s" % (COUNT, made - begin, time.monotonic() - made))
    try:
        starts = []
        for index in range(STARTS):
            begin = time.monotonic()
            site.start(wait=False)
            tls.wait_leaf(ports.TLS, names[-1], timeout=60, pause=0.001, seen=site.log)
            starts.append(time.monotonic() - begin)
            if index < STARTS - 1:
                site.stop(timeout=60)
        report.figure("%d names in one block: start to first handshake" % COUNT, median(starts), "s", 0.3)
        (worker,) = wait_for(site.worker_pids, "the worker")
        context = tls.client()
        for name in names[:50]:
            tls.connect(ports.TLS, name, context).close()
        before = private_kib(worker)
        for name in names[50:]:
            tls.connect(ports.TLS, name, context).close()
        report.figure("memory of a worker per name served and cached", (private_kib(worker) - before) / (COUNT - 50), "KiB", 8.0, digits=2)
        begin = time.monotonic()
        for name in names[:500]:
            tls.connect(ports.TLS, name, context).close()
        report.note("cached handshakes afterwards: %.0f a second from one client" % (500 / (time.monotonic() - begin)))
    finally:
        site.close()
