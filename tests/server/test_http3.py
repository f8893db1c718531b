"""HTTP/3: the same certificates, swaps, refusals and sessions as over TCP, for an nginx that has it and clients that speak it."""
import os
import re
import subprocess

import pytest

from harness import nginx as server, ports, tls
from harness.nginx import OK, host
from harness.waiting import wait_for


def speaks_quic():
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout
    openssl = subprocess.run(["openssl", "s_client", "-help"], capture_output=True, text=True, check=False).stderr
    return "HTTP3" in curl and "-quic" in openssl


pytestmark = [pytest.mark.skipif("--with-http_v3_module" not in server.built(), reason="this nginx has no HTTP/3"),
              pytest.mark.skipif(not speaks_quic(), reason="curl or openssl here has no HTTP/3")]


def quic(names, evercert="evercert on;", tcp=True, inside=OK, port=ports.TLS):
    """A block that listens for HTTP/3, and for TLS over TCP unless `tcp` is off."""
    lines = ["listen 127.0.0.1:%d;" % ports.HTTP, "listen 127.0.0.1:%d quic;" % port, "server_name %s;" % names]
    if tcp:
        lines.append("listen 127.0.0.1:%d ssl;" % port)
    return "  server { %s %s %s }\n" % (" ".join(lines), evercert, inside)


def alone(nginx, *arguments, **options):
    """Without `reuseport` a packet may reach another worker than the one that has its connection: nginx's nature, so one worker."""
    return nginx(*arguments, workers=1, **options)


def client(name, *arguments):
    return tls.s_client(ports.TLS, name, "-quic", "-alpn", "h3", *arguments)


def leaf(name):
    with subprocess.Popen(["openssl", "x509", "-noout", "-serial", "-ext", "subjectAltName"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as reader:
        text = reader.communicate(client(name).encode())[0].decode()
    return (re.search("serial=(.*)", text).group(1), re.findall(r"DNS:([^,\s]+)", text)) if text else None


def page(name):
    code, out, said = tls.curl("--http3-only", "-k", "--resolve", "%s:%d:127.0.0.1" % (name, ports.TLS), "-w", "%{http_version}",
                               "https://%s:%d/" % (name, ports.TLS))
    assert code == 0, said
    return out


def session(name, folder, use=None):
    """Whether the session in the file `use` was resumed, and the file with the new one."""
    new = os.path.join(folder, "session-%d" % len(os.listdir(folder)))
    with subprocess.Popen(["openssl", "s_client", "-quic", "-alpn", "h3", "-connect", "127.0.0.1:%d" % ports.TLS, "-servername", name,
                           "-sess_out", new, *(["-sess_in", use] if use else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            wait_for(lambda: os.path.exists(new) and os.path.getsize(new), "a session of " + name, 20)
        finally:
            said = process.communicate(timeout=20)[0].decode(errors="replace")
    return "Reused, TLSv1.3" in said, new


def test_a_certificate_is_served_swapped_and_kept_over_a_reload(nginx, evercert):
    site = alone(nginx, quic("one.test") + quic("two.test")).start()
    for name in ("one.test", "two.test"):
        site.audit.wait("served", name)
        assert page(name) == "ok\n3"
        assert leaf(name)[1] == [name]
    before, workers = leaf("one.test")[0], site.worker_pids()
    evercert.renew("one.test")
    after = leaf("one.test")[0]
    assert after != before and site.worker_pids() == workers
    site.reload()
    assert leaf("one.test")[0] == after and page("two.test") == "ok\n3"
    assert not site.complaints()


def test_a_name_without_a_certificate_is_refused(nginx, pebble):
    pebble.kill()
    site = alone(nginx, quic("early.test")).start()
    client("early.test")
    wait_for(lambda: "handshake rejected" in site.log(), "the refusal", seen=site.log)
    assert leaf("early.test") is None and not site.complaints()


def test_a_session_is_resumed_for_its_name_only(nginx, folder):
    site = alone(nginx, quic("alpha.test") + quic("beta.test")).start()
    for name in ("alpha.test", "beta.test"):
        site.audit.wait("served", name)
    kept = os.path.join(folder, "sessions")
    os.mkdir(kept)
    for first, second in (("alpha.test", "beta.test"), ("beta.test", "alpha.test")):
        again, one = session(first, kept)
        assert not again
        assert session(first, kept, one)[0]
        assert not session(second, kept, one)[0]


def test_a_port_with_quic_is_not_a_port_with_plain_http(nginx):
    redirect = "  server { listen 127.0.0.1:%d quic; server_name other.test; ssl_reject_handshake on; }\n" % ports.HTTP
    site = alone(nginx, host("web.test", http=False) + redirect)
    code, said = site.test()
    assert code == 0 and "nothing listens for plain HTTP at port %d" % ports.HTTP in said, said


def test_a_block_with_quic_only_is_served_and_said_to_be_unproved(nginx, evercert):
    site = alone(nginx, quic("only.test", tcp=False), port=ports.HTTP)
    code, said = site.test()
    assert code == 0 and "listens for QUIC only" in said and "no \"listen" not in said, said
    site.start()
    wait_for(lambda: leaf("only.test"), "a certificate over QUIC", 30, seen=site.log)
    assert leaf("only.test")[1] == ["only.test"] and page("only.test") == "ok\n3"
    assert evercert.certificate("only.test").get("served") is None
    for stance in ("evercert on; evercert_proof off;", "evercert on; evercert_proof_address 127.0.0.1:%d;" % ports.FREE):
        site.write(http=quic("only.test", stance, tcp=False))
        code, said = site.test()
        assert code == 0 and "QUIC" not in said, said
