"""Moving over as the pages say it: what another client has is taken in before the server knows of evercert, in any order of
names, kind of key and form of chain, and nothing is ordered for it."""
import os
import re
import shlex
import stat
import subprocess
import textwrap

import pytest

from harness import apache as httpd, nginx as ngx, ports, tls
from harness.authority import serial_of_pem, write_private
from harness.evercert import DONE, FAILED
from harness.haproxy import certificate
from harness.install import PROJECT
from harness.waiting import wait_for

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="to give files to another user needs root")


def command_on(page, begins):
    """The words of a command as the page has it, without the program."""
    with open(os.path.join(PROJECT, "docs", "how-to", page)) as file:
        return shlex.split(re.search(r"^\s*evercert (%s .*)$" % begins, file.read(), re.M).group(1))


def lineage(place, name, chain, key):
    live = os.path.join(place, "live", name)
    os.makedirs(live)
    write_private(os.path.join(live, "fullchain.pem"), chain)
    write_private(os.path.join(live, "privkey.pem"), key)
    return serial_of_pem(os.path.join(live, "fullchain.pem"))


def run_page(evercert, page, begins, path, user="www-data"):
    words = command_on(page, begins)
    words[2] = path
    words[words.index("--user") + 1] = user
    return evercert.run(*words)


@root_only
@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_what_certbot_has_is_served_from_the_first_handshake_and_not_ordered(request, server, kind, folder, authority, pebble, evercert):
    # Let's Encrypt sorts names, the block does not.
    chain, key = authority.issue("a.move.test", "www.a.move.test", kind=kind)
    place = os.path.join(folder, "letsencrypt")
    serial = lineage(place, "www.a.move.test", chain, key)
    user = "haproxy" if server == "haproxy" else "www-data"
    done = run_page(evercert, "move-from-certbot.md", "import certbot", place, user)
    assert done.returncode == DONE and "adopted" in done.stdout, done.stdout + done.stderr
    names = ["www.a.move.test", "a.move.test"]
    what = {"nginx": ngx.host(names), "apache": httpd.host(names), "haproxy": [certificate(names)]}[server]
    mark = pebble.mark()
    pebble.kill()
    try:
        site = request.getfixturevalue(server)(what, directory=pebble.uri).start()
        for name in names:
            leaf = tls.leaf_at(ports.TLS, name)
            assert leaf.serial == serial and leaf.kind == kind, site.log()
        (line,) = wait_for(lambda: [c for c in evercert.status()["certificates"] if c["next"]], "the status", seen=site.log)
        assert "of its life" in line["next"]["why"] and line["issuer"] == "import" and line["problem"] is None
    finally:
        pebble.start()
    assert pebble.orders(mark) == 0


@root_only
def test_what_nginxs_own_module_has_is_taken_over_by_the_command_and_at_each_start(nginx, folder, authority, pebble, evercert):
    place = os.path.join(folder, "acme_example")
    os.makedirs(place)

    def put(days):
        chain, key = authority.issue("n.move.test", "www.n.move.test", days=days)
        for ending, data in ((".crt", chain), (".key", key)):
            write_private(os.path.join(place, "www.n.move.test-0a1b2c" + ending), data)
            os.chown(os.path.join(place, "www.n.move.test-0a1b2c" + ending), *ids("www-data"))
        return serial_of_pem(os.path.join(place, "www.n.move.test-0a1b2c.crt"))
    first = put((-1, 80))
    done = run_page(evercert, "move-from-nginx-acme.md", "import nginx-acme", place)
    assert done.returncode == DONE and "www.n.move.test" in done.stdout, done.stdout + done.stderr
    mark = pebble.mark()
    block = ngx.host(["www.n.move.test", "n.move.test"])
    site = nginx(block, issuer_extra="state_path %s;" % place).start()
    assert tls.leaf_at(ports.TLS, "n.move.test").serial == first
    site.stop()
    second = put((-1, 90))
    site.start()
    tls.wait_leaf(ports.TLS, "n.move.test", lambda leaf: leaf.serial == second, seen=site.log)
    assert pebble.orders(mark) == 0


WORDS_OF_NGINXS_OWN_MODULE = """
acme_issuer example { uri %(uri)s; challenge http; contact ops@example.test; external_account_key kid %(mac)s;
    state_path %(state)s; accept_terms_of_service; ssl_trusted_certificate %(trust)s; }
acme_shared_zone zone=ngx_acme_shared:1M;
server { listen 127.0.0.1:%(tls)d ssl; server_name .words.test; acme_certificate example; ssl_certificate $acme_certificate; ssl_certificate_key $acme_certificate_key; }
server { listen 127.0.0.1:%(http)d; location / { return 404; } }
"""


def test_words_of_nginxs_own_module_work_after_the_pages_search_and_replace(nginx, other_pebble, folder):
    ca = other_pebble(eab=True)
    secret = os.path.join(folder, "mac")
    with open(secret, "w") as file:
        file.write(ca.eab[1])
    os.chmod(secret, 0o644)
    written = os.path.join(folder, "words.conf")
    with open(written, "w") as file:
        file.write(WORDS_OF_NGINXS_OWN_MODULE.replace(" kid ", " %s " % ca.eab[0]) % {
            "uri": ca.uri, "mac": secret, "state": os.path.join(folder, "acme_example"), "trust": ca.trust, "http": ports.HTTP, "tls": ports.TLS})
    with open(os.path.join(PROJECT, "docs", "how-to", "move-from-nginx-acme.md")) as file:
        command = re.search(r"^sed -i .*$", file.read(), re.M).group(0)
    subprocess.run(["sh", "-c", command.replace(" nginx.conf", " " + shlex.quote(written))], check=True)
    with open(written) as file:
        site = nginx(file.read(), pebble=None)
    code, said = site.test()
    assert code != 0 and "chmod" in said and secret in said, said
    os.chmod(secret, 0o600)
    site.start()
    leaf = tls.wait_leaf(ports.TLS, "words.test", lambda leaf: "Pebble" in leaf.issuer, seen=site.log)
    assert sorted(leaf.names) == ["words.test", "www.words.test"]
    assert tls.leaf_at(ports.TLS, "www.words.test").serial == leaf.serial


def ids(user):
    import pwd
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


@root_only
def test_imports_that_nobody_names_are_listed_and_found_by_a_later_configuration(nginx, folder, authority, pebble, evercert):
    site = nginx(ngx.host("running.move.test")).start()
    site.audit.wait("served", "running.move.test")
    chain, key = authority.issue("late.move.test", "b.late.move.test")
    serial = lineage(os.path.join(folder, "letsencrypt"), "late.move.test", chain, key)
    done = evercert.run("import", "certbot", os.path.join(folder, "letsencrypt"))
    assert done.returncode == DONE and "no configuration names it so far" in done.stdout, done.stdout + done.stderr
    wait_for(lambda: [line["name"] for line in evercert.status()["unnamed"]] == ["late.move.test"], "it to be listed", seen=evercert.status)
    assert "named by no configuration" in evercert.run("status").stdout
    mark = pebble.mark()
    site.write(http=ngx.host("running.move.test") + ngx.host(["b.late.move.test", "late.move.test"]))
    site.reload()
    assert tls.leaf_at(ports.TLS, "b.late.move.test").serial == serial
    wait_for(lambda: evercert.status()["unnamed"] == [], "it to be named", seen=evercert.status)
    assert pebble.orders(mark) == 0


@root_only
def test_chains_in_any_order_and_ip_addresses_are_taken_over(folder, authority, evercert):
    place = os.path.join(folder, "letsencrypt")
    chain, key = authority.issue("any.move.test")
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", chain, re.S)
    leaf, intermediate = blocks
    serial = lineage(place, "any.move.test", leaf + intermediate, key)
    with open(os.path.join(place, "live", "any.move.test", "fullchain.pem"), "wb") as file:
        file.write(intermediate + leaf + leaf + intermediate)
    for number, address in enumerate(("2001:db8::1", "::1")):
        lineage(place, "address%d" % number, *authority.issue(address))
    done = evercert.run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == DONE, done.stdout + done.stderr
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["0--1", "2001-db8--1", "any.move.test"] and serial
    # The next start need not look into each of them.
    index = os.stat(os.path.join(evercert.state, "state", "index"))
    assert stat.S_IMODE(index.st_mode) == 0o600 and index.st_uid == os.stat(os.path.join(evercert.state, "state")).st_uid
    again = evercert.run("import", "certbot", place)
    assert again.returncode == DONE and again.stdout.count("skipped") == 3, again.stdout


@root_only
@pytest.mark.parametrize("agent", ["running", "gone"])
@pytest.mark.parametrize("form", ["without its chain", "signed by itself"])
def test_what_clients_would_refuse_takes_no_good_certificates_place(nginx, folder, authority, evercert, agent, form):
    site = nginx(ngx.host("good.test")).start()
    site.audit.wait("served", "good.test")
    serial = tls.leaf_at(ports.TLS, "good.test").serial
    place = os.path.join(folder, "letsencrypt")
    if form == "without its chain":
        chain, key = authority.issue("good.test", days=(-1, 5000))
        chain = chain[:chain.index(b"-----END CERTIFICATE-----\n") + 26]
    else:
        made = [os.path.join(folder, name) for name in ("own.pem", "own.key")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "5000", "-subj",
                        "/CN=good.test", "-addext", "subjectAltName=DNS:good.test", "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
        chain, key = [open(path, "rb").read() for path in made]  # noqa: SIM115
    lineage(place, "good.test", chain, key)
    if agent == "gone":
        site.stop()
    done = evercert.run("import", "certbot", place)
    assert "skipped" in done.stdout and "generation 1 from test is valid until" in done.stdout, done.stdout + done.stderr
    assert {"without its chain": "without the certificate of its issuer", "signed by itself": "it signed itself"}[form] in done.stdout, done.stdout
    if agent == "gone":
        site.start()
    assert tls.leaf_at(ports.TLS, "good.test").serial == serial


@root_only
@pytest.mark.parametrize("agent", ["running", "gone"])
def test_what_evercert_revoked_is_not_taken_over_again(nginx, folder, evercert, agent):
    given = os.path.join(folder, "given")
    os.makedirs(given)
    os.chown(given, *ids("www-data"))
    site = nginx(ngx.host("revoked.test"), global_extra="evercert_export_path %s; " % given).start()
    site.audit.wait("exported", "revoked.test", seen=site.log)
    with open(os.path.join(given, os.listdir(given)[0]), "rb") as file:
        pem = file.read()
    at = pem.index(b"-----BEGIN PRIVATE KEY")
    end = pem.index(b"-----END PRIVATE KEY-----\n") + len(b"-----END PRIVATE KEY-----\n")
    chain, key = pem[:at] + pem[end:], pem[at:end]
    certbot, own = os.path.join(folder, "letsencrypt"), os.path.join(folder, "acme_example")
    lineage(certbot, "revoked.test", chain, key)
    os.makedirs(own)
    for ending, data in ((".crt", chain), (".key", key)):
        write_private(os.path.join(own, "revoked.test-0a1b2c" + ending), data)
    done = evercert.run("import", "certbot", certbot, "--name", "before.test")
    assert done.returncode == DONE and "adopted" in done.stdout, done.stdout + done.stderr
    assert evercert.run("revoke", "revoked.test", "--yes").returncode == DONE
    if agent == "gone":
        site.stop()
    # Under a name of its own, since the line that it was revoked in holds it still.
    for kind, place in (("certbot", certbot), ("nginx-acme", own)):
        done = evercert.run("import", kind, place, "--name", "again.test")
        assert done.returncode == FAILED and "refused: evercert revoked it" in done.stdout, done.stdout + done.stderr
    assert not os.path.exists(os.path.join(evercert.state, "state", "certificates", "again.test"))


@pytest.mark.parametrize("words", ["nginx", "apache", "json"])
def test_the_page_on_dns_says_what_each_server_takes(nginx, apache, folder, words):
    key = os.path.join(folder, "update.key")
    write_private(key, b'key "evercert" { algorithm hmac-sha256; secret "%s"; };\n' % (b"c2VjcmV0" * 4))
    with open(os.path.join(PROJECT, "docs", "how-to", "validate-by-dns.md")) as file:
        text = textwrap.dedent(re.search(r"^ *```%s\n(.*?)```" % words, file.read(), re.M | re.S).group(1))
    text = re.sub(r"[\w/.-]*(evercert-dns|dns)\.key", key, text)
    if words == "json":
        written = os.path.join(folder, "page.json")
        with open(written, "w") as file:
            file.write(text)
        site = nginx("", pebble=None, global_extra="evercert_include %s; " % written)
    else:
        site = {"nginx": nginx, "apache": apache}[words](text, pebble=None)
    code, said = site.test()
    assert code == 0 and not re.search(r"evercert: .*(dns|challenge)", said), said
