"""HAProxy: from nothing to a certificate that is served, in every way HAProxy can be run."""
from harness import ports, tls
from harness.haproxy import certificate


def test_two_lines_and_a_rule_get_a_certificate_that_clients_trust(haproxy, pebble):
    site = haproxy([certificate("first.test")]).start()
    leaf = tls.wait_leaf(ports.TLS, "first.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    assert leaf.names == ["first.test"] and leaf.kind == "ec" and leaf.bits == 256
    assert tls.chain_is_good(ports.TLS, "first.test", pebble.root_pem())
    site.audit.wait("served", "first.test", seen=site.log)
    assert not site.complaints()
    site.stop()
