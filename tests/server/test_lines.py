"""Names in a configuration change: what is stored is found by its names, served until what is wanted is there, and nothing is
ordered that a valid certificate has already. With a CA that is away, since that is when it matters."""
import json
import os

import pytest

from harness import apache as httpd, nginx as ngx, ports, tls
from harness.evercert import DONE
from harness.haproxy import certificate
from harness.waiting import wait_for


class Site:
    """One way of writing lists of names for each kind of server; a list of lists is one host, or block, each."""

    def __init__(self, kind, make, pebble):
        self.kind, self.pebble = kind, pebble
        self.server = make(self._what(()), directory=pebble.uri)

    def _what(self, hosts, each=False):
        if self.kind == "nginx":
            return "".join(ngx.host(names, "evercert each;" if each else "evercert on;") for names in hosts)
        if self.kind == "apache":
            return "".join(httpd.host(list(names), "Evercert each" if each else "Evercert on") for names in hosts)
        return [certificate(names, **({"each": True} if each else {})) for names in hosts]

    def write(self, hosts, each=False):
        part = {"nginx": "http", "apache": "hosts", "haproxy": "certificates"}[self.kind]
        self.server.write(**{part: self._what(hosts, each)})

    def start(self, hosts, each=False):
        self.write(hosts, each)
        self.server.start()
        return self

    def edit(self, hosts, each=False):
        self.write(hosts, each)
        self.server.reload()

    def served(self, name):
        """The names of what is served for this one, or None: refused, or a stand-in."""
        leaf = tls.leaf_or_none(ports.TLS, name)
        return sorted(leaf.names) if leaf is not None and "Pebble" in leaf.issuer else None

    def wait_served(self, name, names, timeout=30):
        wait_for(lambda: self.served(name) == sorted(names), "%s to be served for %s" % (names, name), timeout,
                 seen=lambda: "%s\n%s" % (self.served(name), self.server.log()[-3000:]))


@pytest.fixture(params=["nginx", "apache", "haproxy"])
def site(request, pebble):
    return Site(request.param, request.getfixturevalue(request.param), pebble)


def is_due_later(evercert, name):
    """It has a certificate, and what is next is its renewal when it is time."""
    line = evercert.certificate(name)
    return line and line["generation"] and line["next"] and "of its life" in line["next"]["why"]


A, B, C = "a.lines.test", "b.lines.test", "c.lines.test"


def bought(site, hosts, each=False):
    """A running site whose certificates are there, and whose CA then goes away."""
    site.start(hosts, each)
    for names in hosts:
        for name in names:
            site.wait_served(name, [name] if each else names)
    site.pebble.kill()
    return site


@pytest.mark.parametrize("edited", [[B, A], [B], [A], [C, A, B], [A, B, C]],
                         ids=["swapped", "first removed", "last removed", "one in front", "one at the end"])
def test_an_edited_list_of_names_keeps_its_site_on_tls_while_the_ca_is_away(site, edited, evercert):
    bought(site, [[A, B]])
    try:
        site.edit([edited])
        for name in edited:
            if name != C:
                assert site.served(name) == [A, B], site.server.log()[-3000:]
        wait_for(lambda: [(c["name"], sorted(c["identifiers"])) for c in evercert.status()["certificates"]] == [(A, sorted(edited))],
                 "the status to have one line under its old name", seen=evercert.status)
    finally:
        site.pebble.start()
    if C in edited:
        site.wait_served(C, edited, timeout=60)
        site.wait_served(A, edited)
        wait_for(lambda: evercert.certificate(A)["generation"] == 2, "the status to follow", seen=evercert.status)


def test_names_that_a_valid_certificate_has_are_not_ordered_again(site, evercert):
    site.start([[A, B]])
    site.wait_served(A, [A, B])
    mark = site.pebble.mark()
    for edited in ([B, A], [B], [A], [A, B]):
        site.edit([edited])
        wait_for(lambda: is_due_later(evercert, A) and sorted(evercert.certificate(A)["identifiers"]) == sorted(edited),
                 "the status to follow", seen=lambda: json.dumps(evercert.status(), indent=1))
    assert site.pebble.orders(mark) == 0


def test_a_host_that_is_split_keeps_both_halves_on_tls_and_orders_nothing(site, evercert):
    bought(site, [[A, B]])
    try:
        site.edit([[B], [A]])
        assert site.served(A) == [A, B] and site.served(B) == [A, B], site.server.log()[-3000:]
        wait_for(lambda: is_due_later(evercert, B), "the second half to have its own line",
                 seen=lambda: json.dumps(evercert.status(), indent=1))
        assert site.served(A) == [A, B] and site.served(B) == [A, B]
    finally:
        site.pebble.start()
    assert evercert.renew(B).returncode == DONE
    site.wait_served(B, [B])
    assert site.served(A) == [A, B]


def test_two_hosts_that_become_one_are_served_from_both_until_the_new_one_is_there(site, evercert):
    bought(site, [[A], [B]])
    try:
        site.edit([[B, A]])
        assert site.served(A) == [A] and site.served(B) == [B], site.server.log()[-3000:]
        wait_for(lambda: [c.get("meanwhile") for c in evercert.status()["certificates"]], "the status to say from where",
                 seen=lambda: json.dumps(evercert.status(), indent=1))
    finally:
        site.pebble.start()
    site.wait_served(A, [A, B], timeout=60)
    site.wait_served(B, [A, B])


D, E = "d.lines.test", "e.lines.test"


def test_a_name_that_moves_to_another_host_stays_on_tls_until_that_one_has_it(nginx, pebble, other_pebble, evercert):
    slow = other_pebble()
    one = Site("nginx", lambda what, **options: nginx(what, global_extra=ngx.issuer(slow.uri, slow.trust, "slow")), pebble)
    one.server.write(http=ngx.host([A, B], "evercert_certificate test;") + ngx.host([C], "evercert_certificate test;"))
    one.server.start()
    for name, names in ((A, [A, B]), (B, [A, B]), (C, [C])):
        one.wait_served(name, names)
    slow.kill()
    one.server.write(http=ngx.host([A, E], "evercert_certificate test;") + ngx.host([C, B], "evercert_certificate slow;"))
    one.server.reload()
    one.server.audit.wait("issued_waits", A, seen=one.server.log)
    assert one.served(B) == [A, B] and one.served(A) == [A, B] and one.served(C) == [C]
    wait_for(lambda: "another certificate wants" in (evercert.certificate(A)["now"] or ""), "the status to say so", seen=evercert.status)
    slow.start()
    one.wait_served(B, [B, C], 60)
    one.wait_served(E, [A, E], 60)
    one.wait_served(A, [A, E])


def test_two_hosts_that_exchange_a_name_keep_every_name_on_tls(site, evercert):
    site.start([[A, B], [C, D]])
    for name, names in ((A, [A, B]), (B, [A, B]), (C, [C, D]), (D, [C, D])):
        site.wait_served(name, names)
    seen = []
    site.edit([[A, D], [C, B]])
    wait_for(lambda: seen.append([site.served(name) for name in (A, B, C, D)]) or seen[-1] == [[A, D], [B, C], [B, C], [A, D]],
             "the exchange", 60, seen=lambda: seen[-3:])
    lost = [each for each in seen if None in each]
    assert len(lost) <= 1, lost  # both are published at once, one after the other


def test_one_for_all_and_one_each_follow_each_other_without_a_gap(site):
    bought(site, [[A, B]])
    try:
        site.edit([[A, B]], each=True)
        assert site.served(A) == [A, B] and site.served(B) == [A, B], site.server.log()[-3000:]
        site.edit([[A, B]])
        assert site.served(A) == [A, B] and site.served(B) == [A, B], site.server.log()[-3000:]
    finally:
        site.pebble.start()


def test_a_line_that_leaves_the_configuration_is_listed_and_found_again(site, evercert):
    site.start([[A, B], [C]])
    for name in (A, C):
        site.wait_served(name, [A, B] if name == A else [C])
    mark = site.pebble.mark()
    site.edit([[C]])
    wait_for(lambda: [line["name"] for line in evercert.status()["unnamed"]] == [A], "the line to be listed as unnamed",
             seen=lambda: json.dumps(evercert.status(), indent=1))
    site.edit([[C], [B, A]])
    assert site.served(A) == [A, B] and site.served(B) == [A, B], site.server.log()[-3000:]
    wait_for(lambda: evercert.status()["unnamed"] == [], "it to be named again", seen=evercert.status)
    assert site.pebble.orders(mark) == 0


def test_another_name_for_a_certificate_takes_what_the_one_of_before_has(nginx, pebble, evercert):
    site = nginx(ngx.host([A, B])).start()
    site.audit.wait("served", A)
    pebble.kill()
    try:
        site.write(http=ngx.host([A, B], "evercert on; evercert_name shop;"))
        site.reload()
        assert sorted(tls.leaf_at(ports.TLS, B).names) == [A, B]
        wait_for(lambda: (evercert.certificate("shop") or {}).get("generation") == 1, "the new name to have it", seen=evercert.status)
        assert [line["name"] for line in evercert.status()["unnamed"]] == [A]
        assert evercert.run("status", B).returncode == DONE  # one of its names is as good as its own
    finally:
        pebble.start()


def test_two_servers_that_want_the_same_names_in_another_order_order_them_once(nginx, pebble, evercert):
    mark = pebble.mark()
    first = nginx(ngx.host([A, B])).start()
    first.audit.wait("served", A)
    second = nginx(ngx.host([B, A], listen=ports.OTHER_TLS, http=False), port=ports.OTHER_TLS, status_port=ports.STREAM).start()
    tls.wait_leaf(ports.OTHER_TLS, B, lambda leaf: sorted(leaf.names) == [A, B], seen=second.log)
    assert pebble.orders(mark) == 1 and [c["name"] for c in evercert.status()["certificates"]] == [A]


def test_an_index_that_is_gone_or_not_ours_costs_time_only(nginx, pebble, evercert):
    site = nginx(ngx.host([A, B])).start()
    site.audit.wait("served", A)
    index = os.path.join(evercert.state, "state", "index")
    wait_for(lambda: os.path.exists(index), "the index", seen=lambda: os.listdir(os.path.join(evercert.state, "state")))
    pebble.kill()
    try:
        for content in (b"EVERCERT, or not", b"", None):
            site.stop()
            if content is None:
                os.remove(index)
            else:
                with open(index, "wb") as file:
                    file.write(content)
            site.write(http=ngx.host([B, A]))
            site.start()
            assert sorted(tls.leaf_at(ports.TLS, A).names) == [A, B]
    finally:
        pebble.start()
