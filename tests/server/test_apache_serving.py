"""What a TLS client gets from Apache: as with files, under each way of processing, and while certificates are swapped."""
import os
import ssl

import pytest

from harness import ports, tls
from harness.apache import MPMS, host
from harness.authority import serial_of_pem
from harness.load import Load
from harness.waiting import wait_for

PROTOCOLS = pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13], ids=["TLS 1.2", "TLS 1.3"])
# With threads to spare: Apache's event MPM closes idle connections whenever all threads of a child are busy.
STEADY = ("KeepAliveTimeout 300\nMaxKeepAliveRequests 0\n"
          "<IfModule !mpm_prefork_module>\nThreadsPerChild 32\nMaxRequestWorkers 128\nMaxSpareThreads 128\n</IfModule>\n")


@pytest.mark.slow
@pytest.mark.parametrize("mpm", MPMS)
def test_twenty_swaps_under_load_fail_no_request_and_close_no_connection(apache, evercert, mpm):
    site = apache(host("swap.test"), mpm=mpm, main=STEADY).start()
    site.audit.wait("served", "swap.test")
    children = site.worker_pids()
    load = Load(ports.TLS, "swap.test", threads=3, held=3)
    try:
        load.wait_more(10)
        serials = []
        for _ in range(20):
            evercert.renew("swap.test")
            # renew returns after the proof. A child that parses the new one in one thread serves the old in others meanwhile.
            serials.append(tls.wait_leaf(ports.TLS, "swap.test", lambda leaf: leaf.serial not in serials, 5, site.log).serial)
            load.wait_serial(serials[-1])
        load.wait_more(10)
        alive = load.held_alive()
    finally:
        load.stop()
    assert len(set(serials)) == 20
    assert not load.failures, (len(load.failures), load.failures[:5])
    assert alive == 3 and load.handshakes > 60
    assert set(children) <= set(site.worker_pids()) and not site.complaints()


@pytest.mark.parametrize("mpm", MPMS)
def test_ec_and_rsa_are_served_together_by_what_the_client_can(apache, mpm):
    site = apache(host("dual.test", "EvercertCertificate test key=ecdsa:256,rsa:2048"), mpm=mpm).start()
    # The first key is served as soon as it is there; the second makes a generation of its own.
    rsa_only = tls.wait_leaf(ports.TLS, "dual.test", lambda leaf: "Pebble" in leaf.issuer and leaf.kind == "rsa", 30, site.log, version=tls.TLS12,
                             ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    # Either may be there first.
    ec_only = tls.wait_leaf(ports.TLS, "dual.test", lambda leaf: "Pebble" in leaf.issuer and leaf.kind == "ec", 30, site.log, version=tls.TLS12,
                            ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert (ec_only.kind, rsa_only.kind) == ("ec", "rsa") and rsa_only.bits == 2048
    for offer, wanted in (("ECDSA+SHA256", ("id-ecPublicKey", "PKEY: EC")), ("RSA-PSS+SHA256", ("RSA-PSS", "rsa_pss"))):
        said = tls.s_client(ports.TLS, "dual.test", "-tls1_3", "-sigalgs", offer)
        # OpenSSL's versions differ in how they print a key's kind.
        assert any(word in said for word in wanted), said


@PROTOCOLS
@pytest.mark.parametrize("mpm", ["event", "worker"])  # mod_http2 does not serve under prefork
def test_http2_is_agreed_on_and_lives_over_a_swap(apache, evercert, mpm, version):
    site = apache(host("h2.test", inside="Protocols h2 http/1.1"), mpm=mpm, modules=("http2",)).start()
    site.audit.wait("served", "h2.test")
    with tls.connect(ports.TLS, "h2.test", tls.client(version, ["h2", "http/1.1"])) as connection:
        assert connection.selected_alpn_protocol() == "h2"
    evercert.renew("h2.test")
    limit = "--tls-max", {tls.TLS12: "1.2", tls.TLS13: "1.3"}[version]
    code, out, said = tls.curl("--http2", "-k", *limit, "--resolve", "h2.test:%d:127.0.0.1" % ports.TLS,
                               "-w", "%{http_version}", "https://h2.test:%d/" % ports.TLS)
    assert code == 0 and out == "ok\n2", said


@pytest.mark.parametrize("mpm", MPMS)
def test_two_hosts_on_one_port_get_their_own_and_clients_without_a_name_the_first(apache, mpm):
    site = apache(host("one.test") + host("two.test"), mpm=mpm).start()
    for name in ("one.test", "two.test"):
        site.audit.wait("served", name)
    assert tls.leaf_at(ports.TLS, "one.test").names == ["one.test"]
    assert tls.leaf_at(ports.TLS, "two.test").names == ["two.test"]
    assert tls.leaf_at(ports.TLS, "TWO.test").names == ["two.test"]
    assert tls.leaf_at(ports.TLS, "stranger.test").names == ["one.test"]
    assert tls.leaf_at(ports.TLS, None).names == ["one.test"]


@pytest.mark.parametrize("mpm", MPMS)
def test_a_host_with_client_certificates_serves_verifies_and_is_proved(apache, authority, evercert, mpm):
    person = authority.files("person.test")
    mutual = "SSLCACertificateFile %s\nSSLVerifyClient require\nSSLVerifyDepth 3\n" % authority.root_path
    site = apache(host("open.test") + host("mutual.test", inside=mutual), mpm=mpm).start()
    site.audit.wait("served", "mutual.test", seen=site.log)  # although the proof has no client certificate to show
    assert tls.get(ports.TLS, "mutual.test", context=tls.client(certificate=person)) == (200, b"ok\n")
    with pytest.raises((OSError, ssl.SSLError)):
        tls.get(ports.TLS, "mutual.test")
    first = tls.leaf_at(ports.TLS, "mutual.test").serial
    evercert.renew("mutual.test")
    assert tls.leaf_at(ports.TLS, "mutual.test").serial != first


@pytest.mark.parametrize("mpm", MPMS)
def test_a_static_certificate_is_served_until_the_first_generation_overrides_it_live(apache, authority, fault, mpm):
    import threading
    import fault_proxy
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate))
    static = authority.files("moving.test")
    site = apache(host("moving.test", static=static), directory=fault.uri, mpm=mpm, main=STEADY).start()
    wait_for(lambda: rule.hit, "the order to be under way", seen=site.log)
    assert tls.leaf_at(ports.TLS, "moving.test").serial == serial_of_pem(static[0])
    assert tls.get(ports.TLS, "moving.test") == (200, b"ok\n")
    children = site.worker_pids()
    load = Load(ports.TLS, "moving.test", threads=2, held=2)
    try:
        gate.set()
        site.audit.wait("served", "moving.test", timeout=30)
        load.wait_serial(tls.leaf_at(ports.TLS, "moving.test").serial)
        assert "Pebble" in tls.leaf_at(ports.TLS, "moving.test").issuer
        assert load.held_alive() == 2
    finally:
        load.stop()
    assert not load.failures and set(children) <= set(site.worker_pids())


def test_hosts_without_evercert_are_never_touched(apache, authority):
    static = authority.files("*.mixed.test")
    site = apache(host("exact.mixed.test", "") + host(["wild.mixed.test", "*.mixed.test"], "Evercert off", static=static),
                  global_extra="Evercert on").start()
    site.audit.wait("served", "exact.mixed.test", seen=site.log)
    assert tls.leaf_at(ports.TLS, "exact.mixed.test").names == ["exact.mixed.test"]
    assert tls.leaf_at(ports.TLS, "any.mixed.test").serial == serial_of_pem(static[0])


def resumed(context, name, session):
    with tls.connect(ports.TLS, name, context, session) as connection:
        tls.get(ports.TLS, name, connection=connection)
        return connection.session_reused, connection.session


@PROTOCOLS
@pytest.mark.parametrize("way", ["on", "off"], ids=["by ticket", "by cache"])
def test_sessions_are_resumed(apache, version, way):
    site = apache(host("resume.test") + host("other.test"), main="SSLSessionTickets %s" % way).start()
    for name in ("resume.test", "other.test"):
        site.audit.wait("served", name)
    context = tls.client(version)
    again, session = resumed(context, "resume.test", None)
    assert not again
    assert resumed(context, "resume.test", session)[0]


def test_a_session_of_one_host_is_not_resumed_at_another(apache):
    site = apache(host("alpha.test") + host("beta.test")).start()
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


def test_one_certificate_each_for_the_names_of_one_host(apache, evercert):
    names = ["each%d.test" % i for i in range(4)]
    site = apache(host(names, "Evercert each")).start()
    for name in names:
        site.audit.wait("served", name, seen=site.log)
        assert tls.leaf_at(ports.TLS, name).names == [name]
    assert len(evercert.status()["certificates"]) == 4


def test_names_of_aliases_are_in_the_certificate_and_one_certificate_serves_two_hosts(apache, evercert, pebble):
    mark = pebble.mark()
    line = "EvercertCertificate test left.test right.test name=both"
    site = apache(host(["main.test", "alias.test"]) + host("left.test", line) + host("right.test", line)).start()
    for name in ("main.test", "both"):
        site.audit.wait("served", name, seen=site.log)
    assert sorted(tls.leaf_at(ports.TLS, "alias.test").names) == ["alias.test", "main.test"]
    assert tls.leaf_at(ports.TLS, "left.test").serial == tls.leaf_at(ports.TLS, "right.test").serial
    assert pebble.orders(mark) == 2


def test_the_first_name_may_change_places_with_an_alias(apache, evercert, pebble):
    site = apache(host(["first.test", "second.test"])).start()
    site.audit.wait("served", "first.test")
    serial, mark = tls.leaf_at(ports.TLS, "second.test").serial, pebble.mark()
    site.write(hosts=host(["second.test", "first.test"]))
    site.reload()
    assert tls.leaf_at(ports.TLS, "second.test").serial == serial
    assert evercert.run("list").stdout.split() == ["first.test"] and pebble.orders(mark) == 0


def test_a_tls_alpn_challenge_of_mod_md_is_left_alone(apache, pebble):
    """The CA comes to our host, which is the first; our callback must not put its certificate over the one that answers."""
    site = apache(host("ours.test") + MD_HOST, modules=("md",), main=MD % (pebble.uri, pebble.trust, ports.TLS)).start()
    site.audit.wait("served", "ours.test", seen=site.log)
    wait_for(lambda: "theirs.test" in staged(site.folder), "mod_md to finish its order", 30, 0.1, seen=site.log)


MD = ("Protocols http/1.1 acme-tls/1\nMDStoreDir md\nMDCertificateAuthority %s\nMDCACertificateFile %s\nMDCertificateAgreement accepted\n"
      "MDContactEmail ops@example.test\nMDPortMap http:- https:%d\nMDCAChallenges tls-alpn-01\nMDPrivateKeys secp256r1\nMDomain theirs.test\n")
# Its own host listens elsewhere, so that the CA's knock for this name falls to ours.
MD_HOST = ("Listen 127.0.0.1:%d https\n<VirtualHost 127.0.0.1:%d>\nServerName theirs.test\nSSLEngine on\n</VirtualHost>\n"
           % (ports.OTHER_TLS, ports.OTHER_TLS))


def staged(folder):
    import json
    done = []
    for where, _, files in os.walk(os.path.join(folder, "md", "staging")):
        if "job.json" in files:
            with open(os.path.join(where, "job.json")) as file:
                try:
                    if json.load(file).get("finished"):
                        done.append(os.path.basename(where))
                except ValueError:
                    pass
    return done


# --- storage ---
def test_a_corrupt_bundle_is_passed_over_and_the_previous_one_served(apache, evercert):
    site = apache(host("corrupt.test")).start()
    site.audit.wait("served", "corrupt.test")
    first = tls.leaf_at(ports.TLS, "corrupt.test").serial
    evercert.renew("corrupt.test")
    site.stop()
    path = os.path.join(site.state, "state", "certificates", "corrupt.test", "2.bundle")
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\0" * 64)
    site.start()
    assert tls.leaf_at(ports.TLS, "corrupt.test").serial == first
    site.wait_log(r"damaged|does not open|2\.bundle")
