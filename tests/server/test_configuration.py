"""nginx -t: every mistake names the file, the line, the option and the remedy, and checking does nothing else."""
import os
import re
import socket
import stat
import subprocess
import threading

import pytest

from harness import ports, processes
from harness.nginx import Nginx, host, issuer


class Listener:
    """A stand-in for the CA that only counts who connects."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", ports.FREE))
        self.connections = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            link.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def silent_ca():
    listener = Listener()
    yield listener
    listener.close()


URI = "https://127.0.0.1:%d/dir" % ports.FREE
GOOD = "accept_terms_of_service;"


def block(body, name="test"):
    return "evercert_issuer %s { %s }\n" % (name, body)


ISSUER = block("uri %s; %s" % (URI, GOOD))

# case: (http configuration, the text on the line that is to be blamed, words that the complaint must have)
MISTAKES = {
    "an unknown issuer": (ISSUER + host("a.test", "evercert_certificate nobody;"), "evercert_certificate nobody", ["nobody", "test"]),
    "no issuer at all": (host("a.test"), "evercert on", ["issuer", "uri"]),
    "several issuers and no default": (block("uri %s; %s" % (URI, GOOD), "one") + block("uri %s/2; %s" % (URI, GOOD), "two")
                                       + host("a.test"), "evercert on", ["one", "two", "default"]),
    "an issuer without address": (block(GOOD, "bare") + host("a.test"), "evercert_issuer bare", ["uri", "bare"]),
    "an address that is none": (block("uri not-an-address; " + GOOD) + host("a.test"), "uri not-an-address", ["uri", "https"]),
    "an address without encryption": (block("uri http://ca.example/dir; " + GOOD) + host("a.test"), "uri http://ca.example", ["uri", "https"]),
    "an issuer defined twice": (ISSUER + ISSUER + host("a.test"), "evercert_issuer test", ["twice"]),
    "a wildcard under http-01": (ISSUER + host("*.wild.test"), "server_name *.wild", ["*.wild.test", "wildcard", "http-01"]),
    "a regular expression as name": (ISSUER + host('"~^www\\d+\\.test$"'), "server_name \"~^www", ["regular expression"]),
    "no name at all": (ISSUER + "server { listen 127.0.0.1:%d ssl; evercert on; }" % ports.TLS, "server { listen 127.0.0.1:%d ssl;" % ports.TLS, ["name"]),
    "an unknown kind of key": (ISSUER + host("a.test", "evercert_certificate test key=dsa:1024;"), "key=dsa:1024", ["dsa:1024", "ecdsa:256"]),
    "a key of odd size": (ISSUER + host("a.test", "evercert_certificate test key=rsa:1000;"), "key=rsa:1000", ["rsa:2048"]),
    "two keys of one algorithm": (ISSUER + host("a.test", "evercert_certificate test key=ecdsa:256,ecdsa:384;"), "key=ecdsa:256,ecdsa:384", ["ecdsa:256", "ecdsa:384"]),
    "an unknown challenge": (block("uri %s; challenge tls-alpn-01; %s" % (URI, GOOD)) + host("a.test"), "challenge tls-alpn-01", ["challenge", "http-01"]),
    "a mistyped option": (block("uri %s; contcat a@b.test; %s" % (URI, GOOD)) + host("a.test"), "contcat", ["contcat", "contact"]),
    "an option without its words": (block("uri; " + GOOD) + host("a.test"), "uri;", ["uri"]),
    "a secret file that is not there": (block("uri %s; external_account_key kid {folder}/missing.key; %s" % (URI, GOOD)) + host("a.test"),
                                        "external_account_key", ["missing.key", "No such file"]),
    "a secret file that all may read": (block("uri %s; external_account_key kid {folder}/open.key; %s" % (URI, GOOD)) + host("a.test"),
                                        "external_account_key", ["open.key", "chmod"]),
    "trusted certificates that are none": (block("uri %s; ssl_trusted_certificate {folder}/open.key; %s" % (URI, GOOD)) + host("a.test"),
                                           "ssl_trusted_certificate", ["open.key", "certificate"]),
    "state that is not kept": (block("uri %s; state_path off; %s" % (URI, GOOD)) + host("a.test"), "state_path off", ["state_path"]),
    "one name claimed twice with different issuers": (
        block("uri %s; %s" % (URI, GOOD), "one") + block("uri %s/2; %s" % (URI, GOOD), "two")
        + host("a.test", "evercert_certificate one;") + host(["b.test", "a.test"], "evercert_certificate two;", http=False), "evercert_certificate two",
        ["a.test", "one", "two"]),
    "a state path that is not absolute": ("evercert_cache_size many;" + ISSUER + host("a.test"), "evercert_cache_size many", ["cache_size"]),
}


def prepared(folder, text):
    with open(os.path.join(folder, "open.key"), "w") as file:
        file.write("aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8\n")
    os.chmod(os.path.join(folder, "open.key"), 0o644)
    return text.replace("{folder}", folder).replace("evercert on;", "\n    evercert on;\n")


def line_of(path, text):
    with open(path) as file:
        return [number for number, line in enumerate(file, 1) if text in line]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_explains(folder, install, silent_ca, mistake):
    text, blamed, words = MISTAKES[mistake]
    site = Nginx(folder, install, prepared(folder, text))
    code, said = site.test()
    assert code == 1, said
    (complaint,) = [line for line in said.splitlines() if "[emerg]" in line][:1]
    for word in words:
        assert word.lower() in complaint.lower(), said
    lines = line_of(site.configuration, blamed)
    assert any("%s:%d" % (site.configuration, line) in complaint for line in lines), "%s\nexpected line %s" % (said, lines)
    assert silent_ca.connections == 0


def test_all_mistakes_are_told_at_once(folder, install):
    text = prepared(folder, block("uri nonsense;\n account_key dsa;\n") + host("a.test", "evercert_certificate ghost;"))
    code, said = Nginx(folder, install, text).test()
    assert code == 1 and "nonsense" in said and "dsa" in said and "ghost" in said, said


WARNINGS = {
    "terms not accepted": (block("uri %s;" % URI) + host("a.test"), ["accept_terms_of_service"]),
    "no listener where the CA asks": ("evercert_http_port %d;" % (ports.FREE + 1) + ISSUER + host("a.test"), [str(ports.FREE + 1), "http"]),
    "a zone that is not needed": ("evercert_shared_zone zone=acme:1m;" + ISSUER + host("a.test"), ["shared_zone"]),
}


@pytest.mark.parametrize("warning", WARNINGS)
def test_the_check_warns_and_passes_on(folder, install, warning):
    text, words = WARNINGS[warning]
    site = Nginx(folder, install, prepared(folder, text))
    if "http_port" in text:
        content = open(site.configuration).read().replace("evercert_http_port %d;" % ports.HTTP, "")
        with open(site.configuration, "w") as file:
            file.write(content)
    code, said = site.test()
    assert code == 0, said
    assert any("[warn]" in line and all(word in line for word in words) for line in said.splitlines()), said


def test_a_good_configuration_passes_without_a_word_a_connection_a_key_or_a_process(folder, install, silent_ca):
    site = Nginx(folder, install, prepared(folder, ISSUER + host("quiet.test")))
    before = set(processes.descendants_of(os.getpid()))
    code, said = site.test()
    assert code == 0 and "[warn]" not in said and "[emerg]" not in said, said
    assert silent_ca.connections == 0
    assert set(processes.descendants_of(os.getpid())) == before
    left = [os.path.join(where, name) for where, folders, files in os.walk(site.state) for name in folders + files]
    assert left in ([], [os.path.join(site.state, "state")])  # directories may stay, empty


def test_a_check_beside_a_running_server_disturbs_nothing(nginx):
    site = nginx(host("running.test")).start()
    site.audit.wait("served", "running.test")
    site.audit.wait("renewal_scheduled", "running.test")
    agent, workers, mark = site.agent(), site.worker_pids(), site.audit.mark()
    for _ in range(3):
        assert site.test()[0] == 0
    assert site.agent() == agent and site.worker_pids() == workers and site.audit.mark() == mark


def test_a_reload_with_a_mistake_is_refused_and_the_old_configuration_lives_on(nginx):
    from harness import tls
    site = nginx(host("stays.test")).start()
    site.audit.wait("served", "stays.test")
    workers, agent, serial = site.worker_pids(), site.agent(), tls.leaf_at(ports.TLS, "stays.test").serial
    site.write(http=host("stays.test", "evercert_certificate nobody;"))
    os.kill(site.master, 1)
    site.wait_log(r"\[emerg\].*nobody")
    assert site.worker_pids() == workers and site.agent() == agent
    assert tls.leaf_at(ports.TLS, "stays.test").serial == serial


def test_words_of_nginxs_own_acme_module_mean_the_same_with_our_prefix(folder, install, authority):
    own = """
    evercert_issuer example {
        uri https://127.0.0.1:%d/dir; account_key ecdsa:256; challenge http-01; common_name_in_csr off;
        contact mailto:ops@example.test; preferred_chain "Some Root"; profile classic; ssl_verify on;
        ssl_trusted_certificate %s; state_path %s/old; accept_terms_of_service;
    }
    evercert_shared_zone zone=acme:1m;
    server { listen 127.0.0.1:%d ssl; listen 127.0.0.1:%d; server_name a.test; evercert_certificate example a.test key=ecdsa:384;
             ssl_certificate $evercert_certificate; ssl_certificate_key $evercert_certificate_key; }
    """ % (ports.FREE, authority.root_path, folder, ports.TLS, ports.HTTP)
    code, said = Nginx(folder, install, own).test()
    assert code == 0, said


def test_settings_shared_by_several_servers_can_be_included(folder, install, authority):
    shared = os.path.join(folder, "evercert.json")
    with open(shared, "w") as file:
        file.write('{ // shared\n "issuers": { "test": { "uri": "%s", "accept_terms_of_service": true } } }\n' % URI)
    site = Nginx(folder, install, host("a.test"), global_extra="evercert_include %s;" % shared)
    code, said = site.test()
    assert code == 0, said
    with open(shared, "w") as file:
        file.write('{\n "issuers": { "test": {\n "uri": "nonsense", "accept_terms_of_service": true } } }\n')
    code, said = site.test()
    assert code == 1 and "%s:3" % shared in said and "uri" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("wrong", ["the seal key readable for others", "the seal key of another user", "a state directory others may write"])
def test_wrong_permissions_stop_the_start_and_say_what_to_do(nginx, evercert, wrong):
    site = nginx(host("modes.test")).start()
    site.audit.wait("served", "modes.test")
    site.stop()
    key = os.path.join(evercert.state, "seal.key")
    if wrong.endswith("others"):
        os.chmod(key, 0o644)
    elif wrong.endswith("user"):
        os.chown(key, processes.bystander()[0], 0)
    else:
        os.chmod(evercert.state, 0o777)
    done = subprocess.run(site.arguments(), capture_output=True, text=True, timeout=30, check=False)
    said = done.stderr + site.log()
    assert done.returncode != 0, "it started"
    assert evercert.state in said and re.search("chmod|chown|belong|permission", said), said[-2000:]


def test_the_state_directory_has_the_documented_owners_and_modes(nginx, evercert):
    import pwd
    site = nginx(host("owner.test")).start()
    site.audit.wait("served", "owner.test")
    www = pwd.getpwnam("www-data")

    def facts(*parts):
        info = os.stat(os.path.join(evercert.state, *parts))
        return info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)
    assert facts()[0] == 0
    assert facts("seal.key") == (0, 0, 0o600)
    assert facts("state") == (www.pw_uid, www.pw_gid, 0o750)
    assert facts("state", "certificates", "owner.test", "1.bundle")[2] == 0o640
    assert facts("state", "status.json")[2] == 0o640
    assert facts("leader") == (0, 0, 0o600)
    assert sorted(os.listdir(evercert.state)) == ["leader", "seal.key", "state"]
    for where, folders, files in os.walk(os.path.join(evercert.state, "state")):
        for name in folders + files:
            info = os.lstat(os.path.join(where, name))
            assert info.st_uid == www.pw_uid and not info.st_mode & 0o007, os.path.join(where, name)


def test_two_servers_with_different_issuers_of_the_same_directory_are_both_served(nginx, pebble):
    site = nginx(host("x.test", "evercert_certificate test;") + host("y.test", "evercert_certificate second;"),
                 global_extra=issuer(pebble.uri, pebble.trust, "second")).start()
    for name in ("x.test", "y.test"):
        site.audit.wait("served", name)
