"""What a careless operator writes is told in the words of his own file, with its line."""
import os
import re

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness.nginx import host


def refused(site, *parts):
    code, said = site.test()
    assert code != 0, said
    for part in parts:
        assert re.search(part, said), "%s in\n%s" % (part, said)
    return said


def warned(site, *parts):
    code, said = site.test()
    assert code == 0, said
    for part in parts:
        assert re.search(part, said), "%s in\n%s" % (part, said)
    return said


def test_options_are_named_as_nginx_spells_them(nginx):
    said = refused(nginx(host("www.example.com"), global_extra="evercert_cache_size many;"), r"evercert_cache_size: \"many\" is not a whole number.*nginx.conf:\d+")
    assert not re.search(r"[ \"(]cache_size", said)
    refused(nginx(host("www.example.com"), global_extra="evercert_agent_user a b;", label="two"), r"\"evercert_agent_user\" takes 1 word.*write: evercert_agent_user USER")
    refused(nginx(host("www.example.com"), issuer_extra="proxy cache.example:3128;", label="three"), r"proxy: .*write http://cache\.example:3128")


def test_options_are_named_as_apache_spells_them(apache):
    said = refused(apache(apache_of.host("www.example.com"), global_extra="EvercertCacheSize many"), r"EvercertCacheSize: \"many\" is not a whole number")
    assert "cache_size" not in said


def test_a_word_in_place_of_true_is_told_for_json(haproxy):
    site = haproxy([haproxy_of.certificate("www.example.com", placeholder="yes")])
    refused(site, r"\"placeholder\" is a string; write true or false, without quotes")


def test_a_number_in_quotes_is_told_for_json(haproxy):
    site = haproxy([haproxy_of.certificate("www.example.com")], settings={"tls_port": "443"})
    refused(site, r"haproxy\.json:\d+: \"tls_port\" is a string; write a number, without quotes")


@pytest.mark.parametrize("option", ["hook", "dns_program"])
def test_a_command_that_is_not_there_is_told_by_nginx(nginx, folder, option):
    missing = os.path.join(folder, "not-there")
    warned(nginx(host("www.example.com"), global_extra="evercert_%s %s;" % (option, missing)), r"evercert_%s: there is no %s" % (option, missing))


def test_a_command_that_is_not_there_is_told_by_apache(apache, folder):
    missing = os.path.join(folder, "not-there")
    warned(apache(apache_of.host("www.example.com"), global_extra="EvercertHook %s --all" % missing), r"EvercertHook: there is no %s" % missing)


def test_a_command_that_is_not_there_is_told_by_haproxy(haproxy, folder):
    missing = os.path.join(folder, "not-there")
    warned(haproxy([haproxy_of.certificate("www.example.com")], settings={"hook": [missing]}), r"hook: there is no %s" % missing)


def test_a_state_path_of_an_issuer_is_not_taken_for_the_global_one(nginx):
    said = refused(nginx(host("www.example.com"), issuer_extra="state_path off;"), r"evercert: state_path off is refused", r"kept in the global evercert_state_path")
    assert "evercert_state_path off" not in said


@pytest.mark.parametrize("place", ["itself", "parent"])
def test_a_state_path_that_is_a_file_is_told_with_its_line(nginx, folder, place):
    path = os.path.join(folder, "a-file")
    with open(path, "w"):
        pass
    site = nginx(host("www.example.com"), state=path if place == "itself" else os.path.join(path, "below"))
    refused(site, r"evercert_state_path: .*no directory; name another one in .*nginx.conf:\d+")


def test_a_server_name_in_another_script_is_told_with_what_clients_send(nginx):
    warned(nginx(host("grüße.test")), r"clients send this name as xn--gre-6ka8l\.test.*nginx.conf:\d+")


def test_a_certificate_for_others_than_the_server_is_told(nginx):
    warned(nginx(host("a.test", evercert="evercert_certificate test b.test;")), r"no name of this server \(a\.test\) is in this certificate \(b\.test\)")


def test_names_that_no_public_ca_issues_for_are_told(nginx):
    names = "localhost 192.0.2.1 intranet"
    world = "evercert_issuer world { uri https://acme.ca-of-the-world.com/directory; accept_terms_of_service; }"
    warned(nginx(host(names, evercert="evercert_certificate world %s;" % names), global_extra=world),
           r"\"localhost\" is a name that nobody can own: no publicly trusted CA issues for it",
           r"\"192\.0\.2\.1\" is an address that is for documentation", r"\"intranet\" has no dot")


@pytest.mark.parametrize("server", ["nginx", "apache"])
def test_an_account_that_the_ca_wants_is_asked_for_in_the_words_of_the_server(request, server, evercert, other_pebble):
    make = request.getfixturevalue(server)
    of = {"nginx": nginx_of, "apache": apache_of}[server]
    make(of.host("www.example.com"), pebble=other_pebble(eab=True)).start()
    problem = evercert.wait_state("www.example.com", "action_required")["problem"]
    name = "EvercertExternalAccountKey" if server == "apache" else "external_account_key"
    assert name in problem["remedy"] and name in problem["message"], problem
