"""DNS-01 against a real BIND 9: wildcards, shared names, propagation, keys, delegation, a program of the operator's own."""
import json
import os
import stat

import pytest

from harness import ports, tls
from harness.bind import Bind, make_key
from harness.nginx import host
from harness.waiting import wait_for

WILD = ["*.wild.test", "wild.test"]


@pytest.fixture
def named(folder):
    """Makes name servers for this test."""
    made = []

    def make(zones, keys=(), **options):
        server = Bind(folder, zones, keys, **options)
        made.append(server)
        return server
    yield make
    for server in made:
        server.close()


@pytest.fixture
def ca(other_pebble):
    """An ACME server that asks BIND."""
    return lambda **knobs: other_pebble(dns_port=ports.BIND, **knobs)


def dns_options(*updates, extra=""):
    lines = ["evercert_resolver 127.0.0.1:%d; evercert_dns_port %d;" % (ports.BIND, ports.BIND)]
    lines += ["evercert_dns_update %s 127.0.0.1:%d %s;" % (zone, ports.BIND, key) for zone, key in updates]
    return " ".join([*lines, extra])


def site_with(nginx, pebble, names, options):
    return nginx(host(names, http=False), pebble=pebble, issuer_extra="challenge dns-01;", global_extra=options)


def test_a_wildcard_and_its_parent_are_proved_under_one_name_beside_a_foreign_record(nginx, named, ca, folder):
    key = make_key(folder, "update")
    server = named({"wild.test": dict(key="update", records=['_acme-challenge TXT "somebody else"'])}, [key])
    site = site_with(nginx, ca(), WILD, dns_options(("*", key))).start()
    site.audit.wait("served", "*.wild.test", timeout=30)
    assert set(tls.leaf_at(ports.TLS, "any.wild.test").names) == set(WILD)
    assert server.text().count("adding an RR at '_acme-challenge.wild.test' TXT") == 2
    wait_for(lambda: server.look_up("_acme-challenge.wild.test") == ['"somebody else"'], "our records to be gone",
             seen=lambda: server.look_up("_acme-challenge.wild.test"))
    assert site.audit.count("renewal_failed") == 0
    wait_for(lambda: 'evercert_challenges_total{kind="dns-01",result="valid"} 2' in
             tls.plain_get(ports.STATUS, "localhost", "/evercert/metrics")[1].decode(), "both challenges to be counted by their kind")


def test_the_ca_is_told_only_when_every_name_server_of_the_zone_shows_the_record(nginx, named, ca, folder, evercert):
    key = make_key(folder, "update")
    zones = {"wild.test": dict(key="update", servers=["127.0.0.1", "::1"])}
    first = named(zones, [key])
    second = named(zones, [key], address="::1", primary="127.0.0.1", started=False)
    pebble = ca()
    site = site_with(nginx, pebble, WILD, dns_options(("wild.test", key))).start()
    wait_for(lambda: len(first.look_up("_acme-challenge.wild.test")) == 2, "the records at the first server")
    wait_for(lambda: any(o["state"] == "presented" for o in evercert.status()["orders"]), "the order to wait")
    assert pebble.requests()["/chalZ"] == 0
    evercert.wait_certificate("*.wild.test", lambda one: one and "cannot be seen everywhere yet" in (one["now"] or ""), "why it waits", 20)
    second.start()
    site.audit.wait("served", "*.wild.test", timeout=60)


def test_a_record_that_never_arrives_is_reported_with_the_server_and_the_order_is_kept(nginx, named, ca, folder, evercert):
    key = make_key(folder, "update")
    zones = {"wild.test": dict(key="update", servers=["127.0.0.1", "::1"])}
    named(zones, [key])
    named({"wild.test": dict(key=None)}, address="::1")
    pebble = ca()
    site = site_with(nginx, pebble, WILD, dns_options(("wild.test", key), extra="evercert_dns_propagation 1;")).start()
    problem = evercert.wait_problem("*.wild.test", "dns")
    assert "[::1]:%d" % ports.BIND in problem["message"] and "_acme-challenge.wild.test" in problem["message"]
    wait_for(lambda: site.audit.count("renewal_failed") >= 2, "another look", timeout=30)
    assert pebble.orders() == 1 and pebble.requests()["/chalZ"] == 0


@pytest.mark.parametrize("fault, said", [("secret", "BADSIG"), ("name", "BADKEY"), ("policy", "REFUSED")])
def test_a_key_that_the_name_server_does_not_take_is_named_and_costs_no_second_order(nginx, named, ca, folder, evercert,
                                                                                     fault, said):
    key = make_key(folder, "update")
    other = make_key(folder, "other")
    server_key = make_key(os.path.join(folder), "update2") if fault == "secret" else key
    if fault == "secret":
        with open(server_key) as file:
            text = file.read().replace("update2", "update")
        with open(server_key, "w") as file:
            file.write(text)
    used = other if fault in ("name", "policy") else key
    named({"wild.test": dict(key="update")}, [server_key, other] if fault == "policy" else [server_key])
    pebble = ca()
    site_with(nginx, pebble, WILD, dns_options(("*", used))).start()
    problem = evercert.wait_problem("*.wild.test", "dns")
    assert said in problem["message"] and "127.0.0.1:%d" % ports.BIND in problem["message"] and problem["remedy"]
    assert pebble.orders() == 1


def test_each_zone_has_its_own_key_and_a_delegated_name_is_written_where_its_alias_leads(nginx, named, ca, folder):
    one, two = make_key(folder, "one"), make_key(folder, "two", "hmac-sha512")
    server = named({"one.test": dict(key="one", records=["_acme-challenge.alias CNAME alias.two.test."]),
                    "two.test": dict(key="two")}, [one, two])
    options = dns_options(("one.test", one), ("two.test", two))
    site = nginx(host("*.one.test", http=False) + host(["*.two.test"], http=False) + host(["*.alias.one.test"], http=False),
                 pebble=ca(), issuer_extra="challenge dns-01;", global_extra=options).start()
    for name in ("*.one.test", "*.two.test", "*.alias.one.test"):
        site.audit.wait("served", name, timeout=30)
    assert "adding an RR at 'alias.two.test' TXT" in server.text()


def test_a_program_of_the_operators_own_writes_the_records(nginx, named, ca, folder):
    key = make_key(folder, "update")
    named({"wild.test": dict(key="update")}, [key])
    os.chmod(key, 0o644)  # the program's own business
    program = os.path.join(folder, "write-record")
    calls = os.path.join(folder, "calls")
    with open(program, "w") as file:
        file.write('#!/bin/sh\necho "$#:$1 $2 $3" >>%s\n[ "$1" = remove ] && word=delete || word="add"\n'
                   'printf "server 127.0.0.1 %d\\nupdate $word $3 60 $2 \\"$4\\"\\nsend\\n" | nsupdate -k %s\n'
                   % (calls, ports.BIND, key))
    os.chmod(program, 0o755)
    open(calls, "w").close()
    os.chmod(calls, 0o666)
    site = site_with(nginx, ca(), WILD, dns_options(extra="evercert_dns_program %s;" % program)).start()
    site.audit.wait("served", "*.wild.test", timeout=30)

    def said():
        with open(calls) as file:
            return sorted(file.read().splitlines())
    wait_for(lambda: said() == ["4:add TXT _acme-challenge.wild.test"] * 2 + ["4:remove TXT _acme-challenge.wild.test"] * 2,
             "both records to be removed", seen=said)


def test_a_program_that_fails_is_quoted(nginx, named, ca, folder, evercert):
    named({"wild.test": dict(key=None)})
    program = os.path.join(folder, "write-record")
    with open(program, "w") as file:
        file.write("#!/bin/sh\necho the zone is frozen >&2\nexit 3\n")
    os.chmod(program, 0o755)
    site_with(nginx, ca(), WILD, dns_options(extra="evercert_dns_program %s;" % program)).start()
    problem = evercert.wait_problem("*.wild.test", "dns")
    assert "status 3" in problem["message"] and "the zone is frozen" in problem["message"]


def test_what_is_missing_for_dns_01_is_said_with_file_and_line(nginx, pebble, folder):
    site = site_with(nginx, pebble, WILD, "")
    code, said = site.test()
    assert code != 0 and "dns_update" in said and "dns_program" in said and site.configuration in said
    key = make_key(folder, "update")
    os.chmod(key, os.stat(key).st_mode | stat.S_IROTH)
    site.write(global_extra=dns_options(("*", key)))
    code, said = site.test()
    assert code != 0 and "everybody can read" in said and key in said
    os.chmod(key, 0o600)
    with open(key, "w") as file:
        file.write("no key at all")
    code, said = site.test()
    assert code != 0 and "tsig-keygen" in said


def test_nothing_is_ordered_that_caa_records_forbid(nginx, named, ca, folder, evercert):
    key = make_key(folder, "update")
    named({"wild.test": dict(key="update", records=['@ CAA 0 issue "other.example"', "sub TXT x",
                                                    'own CAA 0 issue "ca.example; validationmethods=dns-01"'])}, [key])
    pebble = ca()
    options = dns_options(("*", key))
    site = nginx(host(["www.sub.wild.test"], http=False) + host("own.wild.test", http=False), pebble=pebble,
                 issuer_extra="challenge dns-01; caa_identity ca.example;", global_extra=options).start()
    site.audit.wait("served", "own.wild.test", timeout=30)
    problem = evercert.wait_problem("www.sub.wild.test", "challenge_failed")
    assert "CAA" in problem["message"] and "other.example" in problem["message"] and "ca.example" in problem["message"]
    assert pebble.orders() == 1


def with_identities(*identities):
    """The directory's answer, with the names under which the CA looks for itself (RFC 8555 section 9.7.6)."""
    def act(link, answer):
        status, headers, body = answer
        directory = json.loads(body)
        directory.setdefault("meta", {})["caaIdentities"] = list(identities)
        body = json.dumps(directory).encode()
        fields = [(name, value) for name, value in headers if name.lower() != "content-length"]
        lines = ["HTTP/1.1 %d OK" % status, *("%s: %s" % field for field in fields), "Content-Length: %d" % len(body)]
        link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return True
    return act


def test_the_names_in_an_acme_directory_are_looked_for_in_caa_records(nginx, named, pebble, fault, evercert):
    fault.add("^/dir$", with_identities("CA.example", "ca.test"), times=1000, after=True)
    server = named({"wild.test": dict(key=None, records=['www CAA 0 issue "other.example"', 'own CAA 0 issue "ca.test"'])})
    mark = pebble.mark()
    site = nginx(host("www.wild.test") + host("own.wild.test") + host("silent.other"), directory=fault.uri,
                 global_extra=dns_options()).start()
    # No record forbids it, or none could be had: the CA looks, too.
    site.audit.wait("served", "own.wild.test", timeout=30)
    site.audit.wait("served", "silent.other", timeout=30)
    problem = evercert.wait_problem("www.wild.test", "challenge_failed")
    assert "CAA" in problem["message"] and "other.example" in problem["message"] and "ca.example" in problem["message"]
    assert pebble.orders(mark) == 2 and server.look_up("www.wild.test", "CAA")
