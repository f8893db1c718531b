"""What a TLS client gets from a server whose certificate comes from the callback: as with static files, in every mode."""
import os
import ssl

import pytest

from harness import nginx as server, ports, tls
from harness.authority import Authority, serial_of_pem
from harness.nginx import OK, host
from harness.waiting import wait_for

PROTOCOLS = pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13], ids=["TLS 1.2", "TLS 1.3"])


@PROTOCOLS
def test_handshakes_succeed_in(nginx, version):
    site = nginx(host("mode.test")).start()
    site.audit.wait("served", "mode.test")
    with tls.connect(ports.TLS, "mode.test", tls.client(version)) as connection:
        assert connection.version() == {tls.TLS12: "TLSv1.2", tls.TLS13: "TLSv1.3"}[version]


@PROTOCOLS
def test_http2_is_agreed_on_in(nginx, version):
    site = nginx(host("h2.test", listen=ports.TLS_HTTP2, flags="http2") + host("other.test")).start()
    site.audit.wait("served", "h2.test")
    with tls.connect(ports.TLS_HTTP2, "h2.test", tls.client(version, ["h2", "http/1.1"])) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    limit = "--tls-max", {tls.TLS12: "1.2", tls.TLS13: "1.3"}[version]
    code, out, said = tls.curl("--http2", "-k", *limit, "--resolve", "h2.test:%d:127.0.0.1" % ports.TLS_HTTP2,
                               "-w", "%{http_version}", "https://h2.test:%d/" % ports.TLS_HTTP2)
    assert code == 0 and out == "ok\n2", said


def test_ec_and_rsa_are_served_together_by_what_the_client_can(nginx, evercert):
    site = nginx(host("dual.test", "evercert_certificate test key=ecdsa:256,rsa:2048;")).start()
    # The first key is served as soon as it is there; the second makes a generation of its own.
    tls.wait_leaf(ports.TLS, "dual.test", timeout=30, version=tls.TLS12, ciphers="ECDHE-RSA-AES128-GCM-SHA256", seen=site.log)
    ec_only = tls.wait_leaf(ports.TLS, "dual.test", timeout=30, version=tls.TLS12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", seen=site.log)
    rsa_only = tls.leaf_at(ports.TLS, "dual.test", version=tls.TLS12, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    assert (ec_only.kind, rsa_only.kind) == ("ec", "rsa") and rsa_only.bits == 2048
    for offer, wanted in (("ECDSA+SHA256", ("id-ecPublicKey", "PKEY: EC")), ("RSA-PSS+SHA256", ("rsaEncryption", "RSA-PSS", "rsa_pss"))):
        said = tls.s_client(ports.TLS, "dual.test", "-tls1_3", "-sigalgs", offer)
        # OpenSSL's versions differ in how they print a key's kind.
        assert any(word in said for word in wanted), said
    # The status page is written at most five times a second.
    wait_for(lambda: sorted(evercert_keys(evercert.certificate("dual.test"))) == ["ecdsa:256", "rsa:2048"], "both keys in the status")


def evercert_keys(certificate):
    key = certificate["key"]
    return key if isinstance(key, list) else [key]


@pytest.mark.parametrize("key,kind,bits", [("ecdsa:384", "ec", 384), ("ecdsa:521", "ec", 521), ("rsa:3072", "rsa", 3072)])
def test_the_key_asked_for_is_the_key_served(nginx, key, kind, bits):
    name = "key-%d.test" % bits
    site = nginx(host(name, "evercert_certificate test key=%s;" % key)).start()
    site.audit.wait("served", name, timeout=40)
    leaf = tls.leaf_at(ports.TLS, name)
    assert (leaf.kind, leaf.bits) == (kind, bits)


def test_a_stream_server_serves_and_swaps_as_well(nginx, evercert):
    stream = ("  server { listen 127.0.0.1:%d ssl; evercert_certificate test stream.test; return \"stream\\n\"; }" % ports.STREAM)
    site = nginx(host("web.test"), stream=stream).start()
    site.audit.wait("served", "stream.test", timeout=20)
    first = tls.leaf_at(ports.STREAM, "stream.test")
    assert first.names == ["stream.test"]
    for version in (tls.TLS12, tls.TLS13):
        with tls.connect(ports.STREAM, "stream.test", tls.client(version)) as connection:
            assert connection.recv(100) == b"stream\n"
    workers = site.worker_pids()
    evercert.renew("stream.test")
    assert tls.leaf_at(ports.STREAM, "stream.test").serial != first.serial
    assert site.worker_pids() == workers
    site.audit.wait("served", "web.test")


def test_two_hosts_on_one_port_get_their_own_and_a_stranger_the_default(nginx):
    site = nginx(host("one.test") + host("two.test")).start()
    site.audit.wait("served", "one.test")
    site.audit.wait("served", "two.test")
    assert tls.leaf_at(ports.TLS, "one.test").names == ["one.test"]
    assert tls.leaf_at(ports.TLS, "two.test").names == ["two.test"]
    assert tls.leaf_at(ports.TLS, "ONE.test").names == ["one.test"]
    assert tls.leaf_at(ports.TLS, "stranger.test").names == ["one.test"]
    assert tls.leaf_at(ports.TLS, None).names == ["one.test"]


def test_a_host_with_client_certificates_serves_verifies_and_is_proved(nginx, authority, evercert):
    person = authority.files("person.test")
    mutual = "ssl_client_certificate %s; ssl_verify_client on; ssl_verify_depth 3; %s" % (
        authority.root_path, 'location / { return 200 "$ssl_client_verify\\n"; }')
    site = nginx(host("open.test") + host("mutual.test", inside=mutual)).start()
    site.audit.wait("served", "mutual.test")  # although the proof has no client certificate to show
    assert evercert.wait_state("mutual.test", "served")
    assert tls.get(ports.TLS, "mutual.test", context=tls.client(certificate=person)) == (200, b"SUCCESS\n")
    assert tls.get(ports.TLS, "mutual.test")[0] == 400


@pytest.mark.parametrize("group", ["X448", "ffdhe3072", "X25519MLKEM768"])
def test_a_server_that_agrees_on_one_group_only_is_proved(nginx, evercert, group):
    site = nginx(host("group.test", inside="ssl_ecdh_curve %s; %s" % (group, OK)))
    if site.test()[0] != 0:
        pytest.skip("this OpenSSL does not know " + group)
    site.start()
    site.audit.wait("served", "group.test", seen=site.log)
    assert evercert.wait_state("group.test", "served")


def resumed(context, name, session):
    with tls.connect(ports.TLS, name, context, session) as connection:
        tls.get(ports.TLS, name, connection=connection)
        return connection.session_reused, connection.session


@PROTOCOLS
@pytest.mark.parametrize("way", ["ssl_session_tickets on;", "ssl_session_tickets off; ssl_session_cache shared:cache:1m;"],
                         ids=["by ticket", "by cache"])
def test_sessions_are_resumed(nginx, version, way):
    site = nginx(host("resume.test"), global_extra=way).start()
    site.audit.wait("served", "resume.test")
    context = tls.client(version)
    again, session = resumed(context, "resume.test", None)
    assert not again
    assert resumed(context, "resume.test", session)[0]


def test_a_session_of_one_certificate_is_not_resumed_under_another(nginx):
    site = nginx(host("alpha.test") + host("beta.test"), global_extra="ssl_session_cache shared:cache:1m;").start()
    for name in ("alpha.test", "beta.test"):
        site.audit.wait("served", name)
    context = tls.client(tls.TLS12)
    _, session = resumed(context, "alpha.test", None)
    assert resumed(context, "alpha.test", session)[0]
    try:
        again, _ = resumed(context, "beta.test", session)
    except ssl.SSLError:
        again = False  # refused outright is as good
    assert not again


@PROTOCOLS
@pytest.mark.parametrize("way", ["ssl_session_tickets on;", "ssl_session_tickets off; ssl_session_cache shared:cache:1m;"],
                         ids=["by ticket", "by cache"])
@pytest.mark.skipif((1, 23) <= server.version() < (1, 26, 3), reason="this nginx does not keep its own clients apart, with or without ours")
def test_blocks_of_the_operator_keep_their_clients_apart_beside_ours(nginx, authority, folder, version, way):
    strangers = Authority(os.path.join(folder, "strangers"))
    def block(name, root):
        return host(name, "", static=authority.files(name), inside="ssl_client_certificate %s; ssl_verify_client on; ssl_verify_depth 3; %s"
                    % (root, OK))
    site = nginx(block("ours.test", authority.root_path) + block("theirs.test", strangers.root_path) + host("managed.test"),
                 global_extra=way).start()
    site.audit.wait("served", "managed.test")
    context = tls.client(version, certificate=authority.files("person.test"))
    with tls.connect(ports.TLS, "ours.test", context) as connection:
        assert tls.get(ports.TLS, "ours.test", connection=connection)[0] == 200
        session = connection.session
    assert session is not None
    try:
        with tls.connect(ports.TLS, "theirs.test", context, session) as connection:
            status = tls.get(ports.TLS, "theirs.test", connection=connection)[0]
    except OSError:
        status = 0  # refused outright is as good
    assert status != 200


def test_a_wildcard_of_a_static_host_and_an_exact_managed_name_live_together(nginx, authority):
    static = authority.files("*.mixed.test")
    site = nginx(host("*.mixed.test", "", static=static) + host("exact.mixed.test")).start()
    site.audit.wait("served", "exact.mixed.test")
    assert tls.leaf_at(ports.TLS, "exact.mixed.test").names == ["exact.mixed.test"]
    assert tls.leaf_at(ports.TLS, "any.mixed.test").serial == serial_of_pem(static[0])


def test_one_certificate_each_for_the_names_of_one_block(nginx, evercert):
    names = ["each%d.test" % i for i in range(5)]
    site = nginx(host(names, "evercert each;")).start()
    for name in names:
        site.audit.wait("served", name)
        assert tls.leaf_at(ports.TLS, name).names == [name]
    assert len(evercert.status()["certificates"]) == 5
