"""apache2 -t: every mistake names the file, the line and the remedy, and checking does nothing else."""
import os
import re

import pytest

from harness import ports, processes, tls
from harness.apache import Apache, host
from harness.waiting import wait_for

URI = "https://127.0.0.1:%d/dir" % ports.FREE
GOOD = "EvercertAcceptTermsOfService on"


def block(body, name="test"):
    return "<EvercertIssuer %s>\n%s\n</EvercertIssuer>\n" % (name, body)


ISSUER = block("EvercertUri %s\n%s" % (URI, GOOD))
TWO = block("EvercertUri %s\n%s" % (URI, GOOD), "one") + block("EvercertUri %s/2\n%s" % (URI, GOOD), "two")
BARE = "<VirtualHost 127.0.0.1:%d>\n" % ports.TLS

# case: (hosts, the text on the line that is to be blamed, words that the complaint must have)
MISTAKES = {
    "an unknown issuer": (ISSUER + host("a.test", "EvercertCertificate nobody"), "EvercertCertificate nobody", ["nobody", "test"]),
    "no issuer at all": (host("a.test"), "Evercert on", ["<EvercertIssuer default>", "EvercertUri"]),
    "several issuers and no default": (TWO + host("a.test"), "Evercert on", ["one", "two", "default"]),
    "an issuer without address": (block(GOOD, "bare") + host("a.test"), "<EvercertIssuer bare", ["uri", "bare"]),
    "an issuer without name": ("<EvercertIssuer>\n</EvercertIssuer>\n" + host("a.test"), "<EvercertIssuer>", ["name"]),
    "an address that is none": (block("EvercertUri not-an-address\n" + GOOD) + host("a.test"), "EvercertUri not-an-address", ["uri", "https"]),
    "an address without encryption": (block("EvercertUri http://ca.example/dir\n" + GOOD) + host("a.test"), "EvercertUri http://ca", ["uri", "https"]),
    "an issuer defined twice": (ISSUER + block("EvercertUri %s/again\n%s" % (URI, GOOD)) + host("a.test"), "<EvercertIssuer test", ["twice"]),
    "an issuer in a virtual host": (BARE + ISSUER + "</VirtualHost>\n", "<EvercertIssuer test", ["<VirtualHost>"]),
    "a wildcard under http-01": (ISSUER + host(["a.test", "*.wild.test"]), BARE, ["*.wild.test", "wildcard", "http-01"]),
    "a pattern as alias": (ISSUER + host(["a.test", "www?.test"]), BARE, ["www?.test"]),
    "no name at all": (ISSUER + BARE + "SSLEngine on\nEvercert on\n</VirtualHost>\n", BARE, ["name"]),
    "an unknown kind of key": (ISSUER + host("a.test", "Evercert on\nEvercertKey dsa:1024"), "EvercertKey dsa", ["dsa:1024", "ecdsa:256"]),
    "a key of odd size": (ISSUER + host("a.test", "EvercertCertificate test key=rsa:1000"), "key=rsa:1000", ["rsa:2048"]),
    "two keys of one algorithm": (ISSUER + host("a.test", "Evercert on\nEvercertKey ecdsa:256,ecdsa:384"), "EvercertKey ecdsa:256", ["ecdsa:384"]),
    "an unknown challenge": (block("EvercertUri %s\nEvercertChallenge fax-01\n%s" % (URI, GOOD)) + host("a.test"), "EvercertChallenge", ["http-01"]),
    "a mistyped directive": (block("EvercertUri %s\nEvercertContcat a@b.test\n%s" % (URI, GOOD)) + host("a.test"), "EvercertContcat", ["EvercertContcat"]),
    "an option of another container": (block("EvercertUri %s\nEvercertKey ecdsa:256\n%s" % (URI, GOOD)) + host("a.test"), "EvercertKey", ["<EvercertIssuer>"]),
    "an issuer's option outside": ("EvercertUri %s\n" % URI + host("a.test"), "EvercertUri", ["outside"]),
    "a global option in a virtual host": (ISSUER + host("a.test", "Evercert on\nEvercertCacheSize 7"), "EvercertCacheSize 7", ["virtual host"]),
    "an option without its words": (block("EvercertUri\n" + GOOD) + host("a.test"), "EvercertUri", ["uri", "1 word"]),
    "a word that Evercert does not know": (ISSUER + host("a.test", "Evercert maybe"), "Evercert maybe", ["maybe", "each"]),
    "Evercert twice": (ISSUER + host("a.test", "Evercert on\nEvercert Each"), "Evercert Each", ["twice"]),
    "a secret file that is not there": (block("EvercertUri %s\nEvercertExternalAccountKey kid {folder}/missing.key\n%s" % (URI, GOOD)) + host("a.test"),
                                        "EvercertExternalAccountKey", ["missing.key", "No such file"]),
    "a secret file that all may read": (block("EvercertUri %s\nEvercertExternalAccountKey kid open.key\n%s" % (URI, GOOD)) + host("a.test"),
                                        "EvercertExternalAccountKey", ["{folder}/open.key", "chmod"]),
    "trusted certificates that are none": (block("EvercertUri %s\nEvercertSslTrustedCertificate open.key\n%s" % (URI, GOOD)) + host("a.test"),
                                           "EvercertSslTrustedCertificate", ["open.key", "certificate"]),
    "one name claimed twice with different issuers": (
        TWO + host("a.test", "EvercertCertificate one") + host(["b.test", "a.test"], "EvercertCertificate two", http=False),
        "EvercertCertificate two", ["a.test", "one", "two"]),
    "a number that is none": ("EvercertCacheSize many\n" + ISSUER + host("a.test"), "EvercertCacheSize many", ["EvercertCacheSize"]),
    "SSLEngine left implicit": (ISSUER + host("a.test").replace("SSLEngine on\n", ""), "Evercert on", ["SSLEngine on"]),
    "no source of a certificate": (ISSUER + host("a.test") + host("none.test", "", http=False).replace("<VirtualHost 1", "<VirtualHost  1"),
                                   "<VirtualHost  1", ["SSLCertificateFile", "Evercert on"]),
    "a file to include that is not there": ("EvercertInclude missing.json\n" + host("a.test"), "EvercertInclude", ["{folder}/missing.json"]),
}


def prepared(folder, text):
    with open(os.path.join(folder, "open.key"), "w") as file:
        file.write("aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8\n")
    os.chmod(os.path.join(folder, "open.key"), 0o644)
    return text.replace("{folder}", folder)


def line_of(path, text):
    with open(path) as file:
        return [number for number, line in enumerate(file, 1) if text in line]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_explains(folder, install, mistake):
    hosts, blamed, words = MISTAKES[mistake]
    site = Apache(folder, install, prepared(folder, hosts))
    code, said = site.test()
    assert code == 1 and "Syntax OK" not in said, said
    for word in words:
        assert word.replace("{folder}", folder).lower() in said.lower(), said
    lines = line_of(site.configuration, blamed.strip())
    places = ["line %d of %s" % (line, site.configuration) for line in lines] + ["%s:%d" % (site.configuration, line) for line in lines]
    assert any(re.search(re.escape(place) + r"\b", said) for place in places), "%s\nexpected line %s" % (said, lines)


def test_a_host_of_mod_md_and_of_ours_is_refused_with_both_names(folder, install):
    md = "MDStoreDir md\nMDCertificateAgreement accepted\nMDomain other.test both.test\n"
    site = Apache(folder, install, ISSUER + host(["mine.test", "both.test"]), modules=("md",), main=md)
    code, said = site.test()
    assert code == 1 and "mod_md" in said and "evercert" in said, said
    for text in ("MDomain other", "Evercert on"):
        assert "%s:%d" % (site.configuration, line_of(site.configuration, text)[0]) in said, said
    site.write(main=md.replace(" both.test", ""))
    code, said = site.test()
    assert code == 0, said


def test_all_mistakes_are_told_at_once(folder, install):
    hosts = block("EvercertUri nonsense\nEvercertAccountKey dsa\n") + host("a.test", "EvercertCertificate ghost")
    code, said = Apache(folder, install, hosts).test()
    assert code == 1 and all(word in said for word in ("nonsense", "dsa", "ghost")), said


WARNINGS = {
    "terms not accepted": (block("EvercertUri %s" % URI) + host("a.test"), ["EvercertAcceptTermsOfService"]),
    "no listener where the CA asks": (ISSUER + host("a.test"), [str(ports.FREE + 1), "http"]),
    "a zone that is not needed": ("EvercertSharedZone zone=acme:1m\n" + ISSUER + host("a.test"), ["EvercertSharedZone"]),
    "a host that speaks no TLS": (ISSUER + host("a.test", http=False, plain="") + "<VirtualHost 127.0.0.1:%d>\nServerName b.test\nEvercert on\n</VirtualHost>\n" % ports.HTTP,
                                  ["SSLEngine", "served nowhere"]),
}


@pytest.mark.parametrize("warning", WARNINGS)
def test_the_check_warns_and_passes_on(folder, install, warning):
    text, words = WARNINGS[warning]
    site = Apache(folder, install, prepared(folder, text))
    if warning.startswith("no listener"):
        content = open(site.configuration).read().replace("EvercertHttpPort %d" % ports.HTTP, "EvercertHttpPort %d" % (ports.FREE + 1))
        with open(site.configuration, "w") as file:
            file.write(content)
    code, said = site.test()
    assert code == 0, said
    assert all(word in said for word in words), said


def test_a_good_configuration_passes_without_a_word_a_key_a_file_or_a_process(folder, install):
    site = Apache(folder, install, ISSUER + host("quiet.test"))
    before = set(processes.descendants_of(os.getpid()))
    code, said = site.test()
    assert code == 0 and said.strip() == "Syntax OK", said
    assert set(processes.descendants_of(os.getpid())) == before
    assert not os.path.exists(site.state)


def test_a_check_beside_a_running_server_disturbs_nothing(apache):
    site = apache(host("running.test")).start()
    site.audit.wait("served", "running.test")
    site.audit.wait("renewal_scheduled", "running.test")
    agent, children, mark = site.agent(), site.worker_pids(), site.audit.mark()
    for _ in range(3):
        assert site.test()[0] == 0
    assert site.agent() == agent and site.worker_pids() == children and site.audit.mark() == mark


def test_options_stand_in_containers_and_in_shared_files(apache, folder, pebble):
    shared = os.path.join(folder, "shared.json")
    with open(shared, "w") as file:
        file.write('{ // shared\n "issuers": { "common": { "uri": "%s", "accept_terms_of_service": true, "ssl_trusted_certificate": "%s" } } }\n'
                   % (pebble.uri, pebble.trust))
    own = ("<EvercertCertificate>\nEvercertIssuer common\nEvercertIdentifiers one.test two.test\nEvercertName box\nEvercertKey ecdsa:384\n"
           "EvercertProof On\n</EvercertCertificate>")
    site = apache(host("one.test", own), global_extra="EvercertInclude shared.json\nEvercertKey ecdsa:256").start()
    site.audit.wait("served", "box", seen=site.log)
    leaf = tls.leaf_at(ports.TLS, "one.test")
    assert sorted(leaf.names) == ["one.test", "two.test"] and leaf.bits == 384


def test_evercert_on_for_all_hosts_means_those_with_tls(apache, evercert):
    hosts = host("each-a.test", "") + host("each-b.test", "")
    site = apache(hosts, global_extra="Evercert on").start()
    for name in ("each-a.test", "each-b.test"):
        site.audit.wait("served", name, seen=site.log)
    assert len(evercert.status()["certificates"]) == 2


def test_macros_and_included_files_are_understood(apache, folder):
    with open(os.path.join(folder, "engine.inc"), "w") as file:
        file.write("<IfModule ssl_module>\nSSLEngine on\n</IfModule>\n")
    macro = ("<Macro Site $name>\n<VirtualHost 127.0.0.1:%d>\nServerName $name\nInclude engine.inc\nEvercert on\n</VirtualHost>\n</Macro>\n"
             "Use Site macro-a.test\nUse Site macro-b.test\nUndefMacro Site\n" % ports.TLS)
    site = apache(macro, modules=("macro",)).start()
    for name in ("macro-a.test", "macro-b.test"):
        site.audit.wait("served", name, seen=site.log)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("wrong", ["the seal key readable for others", "a state directory others may write"])
def test_wrong_permissions_stop_a_start_but_not_a_running_server(apache, evercert, wrong):
    site = apache(host("modes.test")).start()
    site.audit.wait("served", "modes.test")
    if wrong.startswith("the seal"):
        os.chmod(os.path.join(evercert.state, "seal.key"), 0o644)
    else:
        os.chmod(evercert.state, 0o777)
    site.reload()
    site.wait_log("chmod|permission|belong")
    assert tls.get(ports.TLS, "modes.test")[0] == 200
    site.stop()
    site.process = None
    site.start(wait=False)
    assert site.process.wait(20) != 0


def test_a_restart_that_names_a_missing_program_keeps_serving(apache):
    site = apache(host("keeps.test")).start()
    site.audit.wait("served", "keeps.test")
    serial, agent = tls.leaf_at(ports.TLS, "keeps.test").serial, site.agent()
    text = open(site.configuration).read().replace(site.install.program, "/nonexistent/evercert")
    with open(site.configuration, "w") as file:
        file.write(text)
    site.reload()
    site.wait_log("/nonexistent/evercert")
    wait_for(lambda: not processes.alive(agent), "the agent to have tried")
    assert tls.leaf_at(ports.TLS, "keeps.test").serial == serial
