"""Instructions per full handshake, counted by callgrind: the same for the same work, whatever else the machine does. nginx runs
as one process, from the callback and with the very same certificate as a static file."""
import glob
import os
import re
import subprocess

import lineages
from harness import ports, tls
from harness.nginx import host

HANDSHAKES = 100
NAME = "cost.test"


def control(pid, *arguments):
    subprocess.run(["callgrind_control", *arguments, str(pid)], check=True, capture_output=True, timeout=60)


def counted(out, pid, port, context):
    """Instructions per handshake."""
    # What is done once (tables, the bundle) is no part of a handshake.
    for _ in range(5):
        tls.connect(port, NAME, context, timeout=30).close()
    for old in glob.glob(out + ".*"):
        os.remove(old)
    control(pid, "--zero")
    for _ in range(HANDSHAKES):
        tls.connect(port, NAME, context, timeout=30).close()
    control(pid, "--dump=handshakes")
    total = 0
    for path in glob.glob(out + ".*"):
        with open(path) as file:
            for line in file:
                if re.match(r"(totals|summary): ", line):
                    total += int(line.split()[1])
                    break
    return total / HANDSHAKES


def measure(stack, report):
    place = lineages.write(stack.place(), stack.authority, [NAME])
    live = os.path.join(place, "live", NAME)
    static = os.path.join(live, "fullchain.pem"), os.path.join(live, "privkey.pem")
    site = stack.nginx(host(NAME) + host(NAME, "", listen=ports.TLS_STATIC, http=False, static=static), workers=1,
                       processes_off=True, global_extra="evercert_proof off; ssl_session_tickets off; ssl_session_cache off;")
    done = stack.evercert(site).run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == 0, done.stderr
    out = os.path.join(site.folder, "callgrind.out")
    try:
        site.start(prefix=["valgrind", "--quiet", "--tool=callgrind", "--trace-children=no", "--callgrind-out-file=" + out],
                   timeout=120)
        assert tls.leaf_at(ports.TLS, NAME).serial == tls.leaf_at(ports.TLS_STATIC, NAME).serial
        for title, version in (("TLS 1.3", tls.TLS13), ("TLS 1.2", tls.TLS12)):
            context = tls.client(version)
            ours = counted(out, site.process.pid, ports.TLS, context)
            fixed = counted(out, site.process.pid, ports.TLS_STATIC, context)
            report.figure("instructions per full handshake, P-256, " + title, ours / 1e6, "M", None, fixed / 1e6, "static file", 1.03)
    finally:
        site.close()
