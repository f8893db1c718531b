"""Server blocks of stream{} that share a listener and are chosen by name, as nginx does from 1.25.5 on."""
import ssl

import pytest

from harness import nginx as server, ports, tls
from harness.authority import serial_of_pem
from harness.nginx import host

pytestmark = pytest.mark.skipif(server.version() < (1, 25, 5), reason="this nginx has one stream block for each listener")
PROTOCOLS = pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13], ids=["TLS 1.2", "TLS 1.3"])


def block(name, evercert="evercert on;", inside=""):
    return '  server { listen 127.0.0.1:%d ssl; server_name %s; %s %s return "%s\\n"; }\n' % (ports.STREAM, name, evercert, inside, name)


def own(files):
    return "ssl_certificate %s; ssl_certificate_key %s;" % tuple(files)


def hello(name, context=None, session=None):
    """What a block says, and the connection's session."""
    with tls.connect(ports.STREAM, name, context or tls.client(), session) as connection:
        said = b""
        while piece := connection.recv(100):
            said += piece
        return said, connection.session_reused, connection.session


def test_each_block_serves_and_swaps_its_own(nginx, evercert):
    site = nginx(host("web.test"), stream=block("one.test") + block("two.test alias.test")).start()
    for name in ("one.test", "two.test"):
        site.audit.wait("served", name, timeout=20)
        assert hello(name)[0].startswith(name.encode())
    assert tls.leaf_at(ports.STREAM, "one.test").names == ["one.test"]
    assert sorted(tls.leaf_at(ports.STREAM, "ALIAS.test").names) == ["alias.test", "two.test"]
    assert tls.leaf_at(ports.STREAM, "stranger.test").names == ["one.test"]
    workers, before = site.worker_pids(), tls.leaf_at(ports.STREAM, "two.test").serial
    evercert.renew("two.test")
    assert tls.leaf_at(ports.STREAM, "two.test").serial != before and site.worker_pids() == workers


@PROTOCOLS
def test_a_name_without_a_certificate_is_refused_beside_a_block_with_its_own(nginx, pebble, authority, version):
    pebble.kill()
    static = authority.files("static.test")
    site = nginx(host("web.test"), stream=block("static.test", "", own(static)) + block("early.test")).start()
    for name in ("early.test", "EARLY.test"):
        assert tls.alert_of(ports.STREAM, name, version) == 112
    for name in ("static.test", "stranger.test", None):
        assert tls.leaf_at(ports.STREAM, name, version=version).serial == serial_of_pem(static[0])
    assert "handshake rejected" in site.log() and not site.complaints()


@PROTOCOLS
@pytest.mark.parametrize("way", ["ssl_session_tickets on;", "ssl_session_tickets off; ssl_session_cache shared:streams:1m;"],
                         ids=["by ticket", "by cache"])
def test_a_session_is_resumed_for_its_name_only(nginx, version, way):
    site = nginx(host("web.test"), stream=way + block("alpha.test") + block("beta.test")).start()
    for name in ("alpha.test", "beta.test"):
        site.audit.wait("served", name, timeout=20)
    context = tls.client(version)
    for first, second in (("alpha.test", "beta.test"), ("beta.test", "alpha.test")):
        # nginx's stream forgets a session now and then, also one of blocks with files, so there is more than one try.
        for _ in range(10):
            _, _, session = hello(first, context)
            said, again, session = hello(first, context, session)
            if again:
                break
        assert again and said.startswith(first.encode())
        try:
            said, again, _ = hello(second, context, session)
        except ssl.SSLError:
            again = False  # refused outright is as good
        assert not again


def test_a_wildcard_and_an_exact_name_live_together(nginx):
    wild = block("*.wild.test", "evercert_certificate test exact-not.wild.test;")
    site = nginx(host("web.test"), stream=wild + block("exact.wild.test")).start()
    for name in ("exact-not.wild.test", "exact.wild.test"):
        site.audit.wait("served", name, timeout=20)
        assert tls.leaf_at(ports.STREAM, name).names == [name]


def test_a_block_that_refuses_every_handshake_is_not_to_serve(nginx):
    site = nginx(host("web.test"), stream=block("one.test") + block("never.test", inside="ssl_reject_handshake on;"))
    code, said = site.test()
    assert code != 0 and '"ssl_reject_handshake on" refuses every handshake here' in said
    site.write(stream="evercert on;" + block("one.test", "") + block("never.test", "", "ssl_reject_handshake on;"))
    code, said = site.test()
    assert code == 0, said


def test_a_stream_that_passes_on_to_http_is_served_by_http(nginx):
    inward = ports.FREE
    stream = "  server { listen 127.0.0.1:%d; ssl_preread on; pass 127.0.0.1:%d; }" % (ports.STREAM, inward)
    site = nginx(host("inner.test", listen=inward), stream=stream, port=inward).start()
    site.audit.wait("served", "inner.test")
    assert tls.leaf_at(ports.STREAM, "inner.test").names == ["inner.test"]
