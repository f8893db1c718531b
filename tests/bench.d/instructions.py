"""Instructions per full handshake, counted by callgrind: the same for the same work, whatever else the machine does. One process
serves, from the callback and with the very same certificate as a static file."""
import os

from harness import apache, lineages, nginx, ports, tls
from harness.waiting import wait_port

FEW, MANY = 20, 120
NAME = "cost.test"
ONE_CHILD = ("StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nSSLSessionTickets off\nSSLSessionCache none\n"
             "Listen 127.0.0.1:%d https\n" % ports.TLS_STATIC)


def nginx_site(stack, static):
    return stack.nginx(nginx.host(NAME) + nginx.host(NAME, "", listen=ports.TLS_STATIC, http=False, static=static), workers=1,
                       processes_off=True, global_extra="evercert_proof off; ssl_session_tickets off; ssl_session_cache off;")


def apache_site(stack, static):
    hosts = apache.host(NAME) + apache.host(NAME, "", listen=ports.TLS_STATIC, http=False, static=static)
    return stack.apache(hosts, mpm="prefork", main=ONE_CHILD, global_extra="EvercertProof off")


def instructions_in(path):
    with open(path) as file:
        return next(int(line.split()[1]) for line in file if line.startswith("totals: "))


def total(stack, make, prepare, port, version, handshakes):
    """Instructions of one life of the process that serves."""
    place, static = prepare
    site = make(stack, static)
    done = stack.evercert(site).run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == 0, done.stderr
    counts = os.path.join(site.folder, "counts")
    os.mkdir(counts)
    os.chmod(counts, 0o1777)  # a child writes its own as the server's user
    try:
        site.start(wait=False, prefix=["valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=%s/%%p" % counts])
        wait_port(ports.TLS_STATIC, True, 120)
        context = tls.client(version)
        for _ in range(handshakes):
            tls.connect(port, NAME, context, timeout=30).close()
        site.stop(timeout=60)
        # A child begins with its parent's count, so the one that served has most.
        return max(instructions_in(os.path.join(counts, name)) for name in os.listdir(counts))
    finally:
        site.close()
        wait_port(ports.TLS_STATIC, False)


def measure_server(stack, report, title, make):
    os.chmod(stack.install.program, 0o755)  # valgrind looks into a program before it lets it be executed
    place = lineages.write(stack.place(), stack.authority, [NAME])
    live = os.path.join(place, "live", NAME)
    prepare = place, (os.path.join(live, "fullchain.pem"), os.path.join(live, "privkey.pem"))
    for version_title, version in (("TLS 1.3", tls.TLS13), ("TLS 1.2", tls.TLS12)):
        # Start and end cost the same in both lives, so the difference is handshakes alone.
        ours, fixed = ((total(stack, make, prepare, port, version, MANY) - total(stack, make, prepare, port, version, FEW))
                       / (MANY - FEW) for port in (ports.TLS, ports.TLS_STATIC))
        report.figure("%s: instructions per full handshake, %s" % (title, version_title), ours / 1e6, "M", None, fixed / 1e6,
                      "static file", 1.03)


def measure(stack, report):
    measure_server(stack, report, "nginx", nginx_site)
    measure_server(stack, report, "Apache", apache_site)
