"""What users of Apache's ACME clients have met over the years: accounts, several CAs, names that come and go, states that lie,
and listeners of every kind."""
import base64
import glob
import os
import shutil
import socket
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.apache import host, issuer
from harness.authority import write_private
from harness.bind import Bind, make_key
from harness.waiting import wait_for


def binding(folder, kid, secret):
    path = os.path.join(folder, "binding.key")
    write_private(path, (secret + "\n").encode())
    return "EvercertExternalAccountKey %s %s" % (kid, path)


# --- accounts bound to a customer's number ---
def test_one_bound_account_serves_all_names_and_another_binding_is_another_account(apache, evercert, other_pebble, folder):
    keys = {kid: base64.urlsafe_b64encode(os.urandom(48)).decode() for kid in ("kid-a", "kid-b")}
    ca = other_pebble(eab=True, extra={"externalAccountMACKeys": keys})
    site = apache(host("first.test") + host("second.test"), pebble=ca, issuer_extra=binding(folder, "kid-a", keys["kid-a"])).start()
    for name in ("first.test", "second.test"):
        site.audit.wait("served", name, seen=site.log)
    assert ca.accounts() == 1
    site.write(issuer_extra=binding(folder, "kid-b", keys["kid-b"]), hosts=host("first.test") + host("third.test"))
    site.reload()
    site.audit.wait("served", "third.test", seen=site.log)
    assert ca.accounts() == 2
    # Without any, what is there is served on, and what is new waits for a person.
    serial = tls.leaf_at(ports.TLS, "first.test").serial
    site.write(issuer_extra="", hosts=host("first.test") + host("fourth.test"))
    site.reload()
    assert "EvercertExternalAccountKey" in evercert.wait_state("fourth.test", "action_required")["problem"]["message"]
    assert tls.leaf_at(ports.TLS, "first.test").serial == serial


@pytest.mark.parametrize("wrong", ["number", "key"])
def test_a_wrong_account_binding_waits_for_a_person_and_is_healed_by_a_graceful_restart(apache, evercert, other_pebble, folder, wrong):
    ca = other_pebble(eab=True)
    kid, secret = ca.eab
    bad = ("nobody", secret) if wrong == "number" else (kid, base64.urlsafe_b64encode(os.urandom(48)).decode())
    site = apache(host("bound.test"), pebble=ca, issuer_extra=binding(folder, *bad)).start()
    problem = evercert.wait_state("bound.test", "action_required")["problem"]
    assert "EvercertExternalAccountKey" in problem["message"] and problem["remedy"].startswith("Compare EvercertExternalAccountKey"), problem
    assert ca.request_count() < 12, ca.requests()  # it is not tried again and again
    site.write(issuer_extra=binding(folder, kid, secret))
    site.reload()
    site.audit.wait("served", "bound.test", timeout=30, seen=site.log)


# --- several CAs ---
@pytest.mark.slow
@pytest.mark.parametrize("dead", [1, 2])
def test_the_next_ca_is_asked_when_the_preferred_ones_are_dead(apache, pebble, dead):
    names = ["dead%d" % number for number in range(dead)]
    blocks = "".join(issuer("https://127.0.0.1:%d/dir" % (ports.FREE + number), pebble.trust, name) for number, name in enumerate(names))
    site = apache(host("failover.test", "EvercertCertificate %s" % ",".join([*names, "test"])), global_extra=blocks).start()
    site.audit.wait("served", "failover.test", timeout=90, pause=0.02, seen=site.log)
    changes = [(e["from"], e["to"]) for e in site.audit.all("issuer_changed")]
    assert changes == list(zip(names, [*names[1:], "test"]))


def test_an_order_waits_for_a_web_proxy_that_is_down_and_uses_it_when_it_is_back(apache, pebble, evercert):
    site = apache(host("proxied.test"), issuer_extra="EvercertProxy http://127.0.0.1:%d" % (ports.FREE + 5)).start()
    problem = evercert.wait_problem("proxied.test")
    assert str(ports.FREE + 5) in problem["message"], problem
    tunnels = Tunnels(ports.FREE + 5)
    try:
        wait_for(lambda: evercert.run("renew", "proxied.test").returncode == 0, "an order through the proxy", 60, 0.2, seen=site.log)
        assert tunnels.asked and set(tunnels.asked) == {"127.0.0.1:%d" % ports.ACME}
    finally:
        tunnels.close()
    assert "Pebble" in tls.leaf_at(ports.TLS, "proxied.test").issuer


class Tunnels:
    """A web proxy that makes tunnels to wherever it is asked to."""

    def __init__(self, port):
        self.asked = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = link.recv(4096)
            if not piece:
                return
            head += piece
        target = head.split()[1].decode()
        self.asked.append(target)
        onward = socket.create_connection(target.split(":"))
        link.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        threading.Thread(target=self._copy, args=(link, onward), daemon=True).start()
        self._copy(onward, link)

    @staticmethod
    def _copy(source, sink):
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self._listener.close()


# --- names ---
def test_a_new_first_name_and_a_name_that_moves_to_another_host_get_what_they_need(apache, evercert):
    site = apache(host(["old.test", "kept.test", "moving.test"]) + host("other.test")).start()
    for name in ("old.test", "other.test"):
        site.audit.wait("served", name)
    site.write(hosts=host(["new.test", "kept.test"]) + host(["other.test", "moving.test"]))
    site.reload()
    for name, names in (("kept.test", ["kept.test", "new.test"]), ("moving.test", ["moving.test", "other.test"])):
        tls.wait_leaf(ports.TLS, name, lambda leaf, names=names: sorted(leaf.names) == names, 30, site.log)
    wait_for(lambda: evercert.named() == ["old.test", "other.test"], "the list to follow", seen=lambda: evercert.run("list"))


def test_a_name_too_long_for_a_common_name_is_served(apache):
    name = "a-name-of-more-than-sixty-four-characters-is-no-common-name" + ".but-fits.test"
    assert len(name) > 64
    site = apache(host(name)).start()
    site.audit.wait("served", name, seen=site.log)
    assert tls.leaf_at(ports.TLS, name).names == [name]


def test_a_wildcard_is_ordered_by_dns_and_served_to_hosts_below_it(apache, other_pebble, folder):
    key = make_key(folder, "update")
    named = Bind(folder, {"wild.test": dict(key="update")}, [key])
    try:
        options = ("EvercertResolver 127.0.0.1:%d\nEvercertDnsPort %d\nEvercertDnsUpdate wild.test 127.0.0.1:%d %s"
                   % (ports.BIND, ports.BIND, ports.BIND, key))
        site = apache(host(["wild.test", "*.wild.test"], http=False), pebble=other_pebble(dns_port=ports.BIND), issuer_extra="EvercertChallenge dns-01",
                      global_extra=options).start()
        site.audit.wait("served", "wild.test", timeout=30, seen=site.log)
        assert set(tls.leaf_at(ports.TLS, "any.wild.test").names) == {"wild.test", "*.wild.test"}
        assert tls.get(ports.TLS, "any.wild.test") == (200, b"ok\n")
    finally:
        named.close()


def test_a_ca_that_cannot_reach_port_80_is_told_of_with_what_it_said(apache, evercert):
    site = apache(host("shut.test", http=False))
    text = open(site.configuration).read().replace("Listen 127.0.0.1:%d http\n" % ports.HTTP, "")
    with open(site.configuration, "w") as file:
        file.write(text)
    site.start()
    problem = evercert.wait_problem("shut.test")
    assert "shut.test" in problem["message"] and problem["remedy"], problem
    assert tls.get(ports.TLS, "shut.test")[0] == 503


# --- states that lie ---
def test_an_order_record_from_the_past_neither_orders_again_nor_harms_what_is_served(apache, evercert, pebble, fault, folder):
    gate = threading.Event()
    rule = fault.add("^/finalize-order/", fault_proxy.silence(20, gate), after=True)
    site = apache(host("liar.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the order to be in its middle", seen=site.log)
    (record,) = glob.glob(os.path.join(site.state, "state", "orders", "liar.test*"))
    shutil.copy2(record, os.path.join(folder, "kept.order"))
    gate.set()
    fault.clear()
    site.audit.wait("served", "liar.test", timeout=30)
    site.audit.wait("renewal_scheduled", "liar.test")
    serial, mark = tls.leaf_at(ports.TLS, "liar.test").serial, pebble.mark()
    site.stop()
    status = os.stat(os.path.dirname(record))
    shutil.copy2(os.path.join(folder, "kept.order"), record)
    os.chown(record, status.st_uid, status.st_gid)
    scheduled = site.audit.count("renewal_scheduled", "liar.test")
    site.start()
    site.audit.wait("renewal_scheduled", "liar.test", more_than=scheduled, timeout=30, seen=site.log)
    assert tls.leaf_at(ports.TLS, "liar.test").serial == serial
    assert pebble.orders(mark) == 0 and pebble.issued(mark) == 0
    evercert.wait_state("liar.test", "served")


def test_files_that_are_not_ours_are_left_alone_in_the_store(apache, evercert):
    site = apache(host("foreign.test")).start()
    site.audit.wait("served", "foreign.test")
    site.stop()
    places = [os.path.join(site.state, "state", *where) for where in (("certificates", "README"), ("certificates", "foreign.test", "notes.txt"), ("orders", "core"))]
    for place in places:
        with open(place, "w") as file:
            file.write("somebody else's")
    site.start()
    wait_for(lambda: evercert.run("renew", "foreign.test", "--force").returncode == 0, "the agent to renew", 20, 0.1, seen=site.log)
    assert all(open(place).read() == "somebody else's" for place in places)
    assert tls.get(ports.TLS, "foreign.test")[0] == 200


def test_two_httpd_on_one_state_are_led_by_one_agent_and_both_serve(apache, evercert, pebble):
    mark = pebble.mark()
    first = apache(host("left.test") + host("shared.test")).start()
    second = apache("".join(host(name, listen=ports.OTHER_TLS, http=False) for name in ("right.test", "shared.test")), port=ports.OTHER_TLS, status_port=ports.FREE)
    text = open(second.configuration).read().replace("Listen 127.0.0.1:%d http\n" % ports.HTTP, "")
    with open(second.configuration, "w") as file:
        file.write(text)
    second.start()
    first.audit.wait("served", "left.test", seen=first.log)
    tls.wait_leaf(ports.OTHER_TLS, "right.test", lambda leaf: "Pebble" in leaf.issuer, 30, second.log)
    shared = tls.wait_leaf(ports.TLS, "shared.test", lambda leaf: "Pebble" in leaf.issuer, 30, first.log)
    tls.wait_leaf(ports.OTHER_TLS, "shared.test", lambda leaf: leaf.serial == shared.serial, 30, second.log)
    assert (pebble.orders(mark), pebble.issued(mark)) == (3, 3)
    # The one that leads goes: the other goes on alone.
    leader, other, port, name = (first, second, ports.OTHER_TLS, "right.test")
    leader.stop()
    before = tls.leaf_at(port, name).serial
    wait_for(lambda: evercert.run("status").returncode == 0, "the other to lead", 20, 0.1)
    assert tls.leaf_at(port, name).serial == before and other.process.poll() is None


# --- listeners ---
def behind(preface, family, address, port, name):
    """A leaf as a client sees it that says `preface` before TLS."""
    with socket.socket(family) as plain:
        plain.settimeout(5)
        plain.connect((address, port))
        plain.sendall(preface)
        with tls.client().wrap_socket(plain, server_hostname=name) as connection:
            return tls.Leaf(connection.getpeercert(binary_form=True))


@pytest.fixture
def six():
    try:
        socket.create_server(("::1", ports.FREE + 7), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 on its loopback device")


def test_a_host_on_an_ipv6_listener_is_served_and_proved_there(apache, six):
    site = apache(host("six.test", address="[::1]", listen=ports.FREE + 7), main="Listen [::1]:%d https" % (ports.FREE + 7)).start()
    assert site.audit.wait("served", "six.test", seen=site.log)["listener"] == "[::1]:%d" % (ports.FREE + 7)
    assert "Pebble" in behind(b"", socket.AF_INET6, "::1", ports.FREE + 7, "six.test").issuer


def test_a_host_that_expects_the_proxy_protocol_is_proved_with_it(apache, evercert):
    site = apache(host("behind.test", inside="RemoteIPProxyProtocol On"), modules=("remoteip",)).start()
    site.audit.wait("served", "behind.test", seen=site.log)
    preface = b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 443\r\n"
    first = behind(preface, socket.AF_INET, "127.0.0.1", ports.TLS, "behind.test").serial
    evercert.renew("behind.test")
    assert behind(preface, socket.AF_INET, "127.0.0.1", ports.TLS, "behind.test").serial != first


def test_the_proof_goes_where_it_is_told_to(apache):
    """Behind something that passes TLS through, the server's own listener may be nobody's business."""
    relay = Relay(ports.FREE + 8, ports.TLS)
    try:
        site = apache(host("told.test", "Evercert on\nEvercertProofAddress 127.0.0.1:%d" % (ports.FREE + 8))).start()
        assert site.audit.wait("served", "told.test", seen=site.log)["listener"] == "127.0.0.1:%d" % (ports.FREE + 8)
        assert relay.asked
    finally:
        relay.close()


class Relay(Tunnels):
    """Passes every connection on to one port."""

    def __init__(self, port, target):
        self.target = target
        super().__init__(port)

    def _serve(self, link):
        self.asked.append(self.target)
        onward = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=self._copy, args=(link, onward), daemon=True).start()
        self._copy(onward, link)


def test_a_single_process_started_for_debugging_orders_and_serves(apache):
    site = apache(host("debug.test"))
    arguments = site.arguments
    site.arguments = lambda: [*arguments(), "-X"]
    site.start(wait=False)
    site.audit.wait("served", "debug.test", timeout=30, seen=site.log)
    assert tls.get(ports.TLS, "debug.test") == (200, b"ok\n")
    # Nobody looks after other processes there, which the log says; what was served is served on.
    assert "an agent that ends is not started again" in site.log()
    processes.kill(site.agent())
    wait_for(lambda: not site.agents(), "the agent to be gone")
    assert tls.get(ports.TLS, "debug.test") == (200, b"ok\n")
