"""Configurations made from the option table: each option alone, in pairs, all of them, every count of global ones, in several
orders. What a server says of them is other tests' business; here no subset may end it, or make a sanitizer speak.

One run of a server takes one set of global options, and as many issuers and certificates as one likes, each with a set of its
own: so the pairs of those cost next to nothing."""
import concurrent.futures
import itertools
import json
import os
import random
import re
import subprocess

import pytest

from harness import apache as httpd, haproxy as proxy, nginx as engine, ports, processes, sanitizer

SEED = 20261130
GLOBAL_PAIRS = 120
ORDERS = 3
RUNNING = 2

# A value for every option that a person writes; PATH stands for a folder that is there.
GLOBAL = {
    "state_path": ["PATH/state"], "agent_user": "USER", "program": "PROGRAM", "http_port": ports.HTTP, "tls_port": ports.TLS,
    "cache_size": 10, "pem_path": "PATH/pem", "http_listen": "127.0.0.1:%d" % ports.FREE, "export_path": "PATH/export",
    "runtime_api": "PATH/stats.sock", "master_cli": "PATH/master.sock", "hook": ["/bin/true", "word"], "shared_zone": "zone=ngx_acme:1M",
    "include": ["PATH/included.json"], "proof": False, "proof_address": ["127.0.0.1:%d" % ports.TLS], "resolver": ["127.0.0.1:53"],
    "dns_update": ["example.test", "127.0.0.1", "PATH/tsig.key"], "dns_program": "/bin/true", "dns_propagation": "30", "dns_port": 53,
}
ISSUER = {
    "type": "acme", "uri": "https://127.0.0.1:1/dir", "account_key": "rsa:2048", "challenge": ["http-01"], "common_name_in_csr": True,
    "contact": ["ops@example.test"], "external_account_key": ["kid", "data:c2VjcmV0LXNlY3JldC1zZWNyZXQ"], "preferred_chain": "Some Root",
    "profile": ["classic", "require"], "ssl_trusted_certificate": "PATH/trust.pem", "ssl_verify": False, "state_path": "PATH/acme",
    "accept_terms_of_service": True, "proxy": ["http://127.0.0.1:3128"], "caa_identity": ["ca.example"], "timeout": 20, "connect_timeout": 5,
    "api": "v2", "account": "12345", "customer": "customer", "secret": "PATH/secret", "token_uri": "https://127.0.0.1:1/token",
    "product": ["100", "dv"], "group": "7", "organization": "8", "term": 1, "requester": ["A Name", "a@example.test"],
    "technical_contact": ["B Name", "b@example.test"], "signer": ["C Name", "Place", "192.0.2.1"], "comments": "a remark",
    "tags": ["one", "two"], "custom_field": ["Field", "value"], "recipients": ["c@example.test"], "low_balance": "10.00", "www": True,
    "validation_name": "_v.{domain}", "validation_file": "file.txt", "max_orders": 2, "order": False,
}
CERTIFICATE = {
    "issuer": ["one"], "identifiers": ["ID.example.test", "more.ID.example.test"], "key": ["ecdsa:256,rsa:2048"], "name": "called-ID", "each": True,
    "placeholder": True, "proof": False, "proof_address": ["127.0.0.1:%d" % ports.TLS, "proxy_protocol"],
}
# What a server says of itself, and only evercert.json has words for.
OF_SERVER = {"server": "HAProxy/2.6.12", "lines": ["first.example.test", "line.example.test"]}
OF_HOST = {"server_names": ["n.example.test"], "plain_ports": [80, ports.HTTP]}
TABLES = {"Global": {*GLOBAL, *OF_SERVER}, "Issuers": set(ISSUER), "Certificates": {*CERTIFICATE, *OF_HOST}}


@pytest.fixture(scope="module")
def reference(install):
    return subprocess.run([install.program, "reference", "options"], capture_output=True, text=True, check=True).stdout


def test_every_option_of_the_table_has_a_value_here(reference):
    found = {}
    for line in reference.splitlines():
        if line.startswith("## "):
            found[line[3:]] = chapter = set()
        elif line.startswith("### "):
            chapter.add(line[4:])
    assert {name: found.get(name, set()) ^ table for name, table in TABLES.items()} == {name: set() for name in TABLES}


class Ground:
    """The files that values name, and the words of them on each server."""

    def __init__(self, folder, install, user):
        self.folder, self.install, self.user = folder, install, user
        for name in ("export", "acme"):
            os.makedirs(os.path.join(folder, name))
        self.put("included.json", json.dumps({"issuers": {"included": {"uri": "https://127.0.0.1:1/dir"}}}))
        self.put("tsig.key", 'key "k" { algorithm hmac-sha256; secret "c2VjcmV0LXNlY3JldC1zZWNyZXQ="; };\n')
        self.put("secret", "not told\n")
        self.put("trust.pem", "")

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)

    def value(self, value, number):
        if isinstance(value, list):
            return [self.value(one, number) for one in value]
        if not isinstance(value, str):
            return value
        for word, meant in (("PATH", self.folder), ("PROGRAM", self.install.program), ("USER", self.user), ("ID", "c%d" % number)):
            value = value.replace(word, meant)
        return value

    def words(self, value, number):
        value = self.value(value, number)
        if isinstance(value, bool):
            return ["on" if value else "off"]
        return [str(one) for one in (value if isinstance(value, list) else [value])]


class Subsets:
    """Global sets one by one; sets of the others in portions."""

    def __init__(self):
        chance = random.Random(SEED)
        self.global_sets = [[name] for name in GLOBAL]
        pairs = list(itertools.permutations(GLOBAL, 2))
        self.global_sets += [list(pair) for pair in chance.sample(pairs, GLOBAL_PAIRS)]
        for count in [count for count in range(len(GLOBAL) + 1) for _ in range(ORDERS)]:
            self.global_sets.append(["tls_port", *chance.sample([name for name in GLOBAL if name != "tls_port"], count - 1)] if count else [])
            chance.shuffle(self.global_sets[-1])
        self.global_sets += [list(GLOBAL), list(reversed(GLOBAL))]
        self.issuer_sets, self.certificate_sets = (
            [[], *([name] for name in table), *map(list, itertools.permutations(table, 2)), list(table), list(reversed(table))]
            for table in (ISSUER, CERTIFICATE))
        chance.shuffle(self.issuer_sets)

    def runs(self):
        portion = -(-len(self.issuer_sets) // len(self.global_sets))
        for index, names in enumerate(self.global_sets):
            yield index, names, self.issuer_sets[index * portion:(index + 1) * portion], self.certificate_sets[index::len(self.global_sets)]


def in_haproxy(ground, index, names, issuers, certificates):
    document = {name: ground.value(GLOBAL[name], index) for name in names}
    if index % 2:
        document = {**OF_SERVER, **document} if index % 4 == 1 else {**document, **OF_SERVER}
    document["issuers"] = {"one": {"uri": "https://127.0.0.1:1/dir"}}
    for number, chosen in enumerate(issuers):
        document["issuers"]["i%d" % number] = {name: ground.value(ISSUER[name], number) for name in chosen}
    document["certificates"] = [{**({} if "identifiers" in chosen else {"identifiers": ["n%d.example.test" % number]}),
                                 **(OF_HOST if number % 3 == 0 else {}),
                                 **{name: ground.value(CERTIFICATE[name], number) for name in chosen}} for number, chosen in enumerate(certificates)]
    # Never the folders of this machine.
    for name in ("state_path", "pem_path"):
        if len(names) > 1 and name not in document:
            document[name] = ground.value(GLOBAL[name], index)
    settings, configuration = (os.path.join(ground.folder, "%d.%s" % (index, ending)) for ending in ("json", "cfg"))
    with open(settings, "w") as file:
        json.dump(document, file)
    with open(configuration, "w") as file:
        file.write("global\nsetenv EVERCERT_CONFIG %s\nlua-prepend-path %s/?.so cpath\nlua-load %s\ndefaults\nmode http\ntimeout client 1s\n"
                   "timeout server 1s\ntimeout connect 1s\nfrontend web\nbind 127.0.0.1:%d\n" % (settings, ground.install.folder, ground.install.lua, ports.HTTP))
    # With one option or none the defaults hold, and they are the machine's: then as somebody who may not touch them.
    return [proxy.PROGRAM, "-c", "-f", configuration], len(names) <= 1


def in_nginx(ground, index, names, issuers, certificates):
    def line(prefix, name, words):
        return "%s%s %s;" % (prefix, name, " ".join('"%s"' % word for word in words))
    lines = [line("evercert_", name, ground.words(GLOBAL[name], index)) for name in names]
    lines.append("evercert_issuer one { uri https://127.0.0.1:1/dir; }")
    for number, chosen in enumerate(issuers):
        lines.append("evercert_issuer i%d { %s }" % (number, " ".join(line("", name, ground.words(ISSUER[name], number)) for name in chosen)))
    for number, chosen in enumerate(certificates):
        more = " ".join(line("evercert_", name, ground.words(CERTIFICATE[name], number)) for name in chosen)
        lines.append("server { listen 127.0.0.1:%d ssl; server_name n%d.example.test; evercert on; %s }" % (ports.TLS, number, more))
    if "state_path" not in names:
        lines.append("evercert_state_path %s/state;" % ground.folder)
    path = os.path.join(ground.folder, "%d.conf" % index)
    with open(path, "w") as file:
        file.write("load_module %s;\nerror_log stderr;\npid %s/pid;\nevents { }\nhttp {\naccess_log off;\nserver_names_hash_bucket_size 128;\n%s\n%s\n}\n"
                   % (ground.install.http_module, ground.folder,
                      "\n".join("%s_temp_path %s/temp;" % (kind, ground.folder) for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
                      "\n".join(lines)))
    return [engine.PROGRAM, "-t", "-c", path, "-e", "stderr"], False


def in_apache(ground, index, names, issuers, certificates):
    def line(name, words):
        return "Evercert%s %s" % ("".join(part.capitalize() for part in name.split("_")), " ".join('"%s"' % word for word in words))
    lines = [line(name, ground.words(GLOBAL[name], index)) for name in names]
    lines.append("<EvercertIssuer one>\nEvercertUri https://127.0.0.1:1/dir\n</EvercertIssuer>")
    for number, chosen in enumerate(issuers):
        lines.append("<EvercertIssuer i%d>\n%s\n</EvercertIssuer>" % (number, "\n".join(line(n, ground.words(ISSUER[n], number)) for n in chosen)))
    for number, chosen in enumerate(certificates):
        more = "\n".join(line(name, ground.words(CERTIFICATE[name], number)) for name in chosen)
        lines.append("<VirtualHost 127.0.0.1:%d>\nServerName n%d.example.test\nSSLEngine on\nEvercert on\n%s\n</VirtualHost>" % (ports.TLS, number, more))
    if "state_path" not in names:
        lines.append("EvercertStatePath %s/state" % ground.folder)
    path = os.path.join(ground.folder, "%d.conf" % index)
    head = ["ServerRoot %s" % ground.folder, "ErrorLog /dev/null", "ServerName localhost", "PidFile %s/pid" % ground.folder, "DefaultRuntimeDir " + ground.folder]
    head += ["LoadModule %s_module %s/mod_%s.so" % (module, httpd.MODULES, module) for module in ("mpm_event", "authz_core", "socache_shmcb", "ssl")]
    head += ["LoadModule evercert_module " + ground.install.apache_module, "User www-data\nGroup www-data", "Listen 127.0.0.1:%d https" % ports.TLS]
    with open(path, "w") as file:
        file.write("\n".join(head + lines) + "\n")
    return [httpd.PROGRAM, "-t", "-f", path], False


SERVERS = {"nginx": (in_nginx, "www-data"), "apache": (in_apache, "www-data"), "haproxy": (in_haproxy, "haproxy")}


@pytest.mark.parametrize("kind", SERVERS)
def test_no_subset_of_the_options_ends_a_server(kind, folder, install):
    write, user = SERVERS[kind]
    ground = Ground(os.path.join(folder, kind), install, user) if os.makedirs(os.path.join(folder, kind)) is None else None
    uid, gid = processes.bystander()

    def run(part):
        index, names = part[:2]
        command, modest = write(ground, *part)
        if modest:
            if os.geteuid() != 0:
                return None
            for name in ("%d.json" % index, "%d.cfg" % index):
                os.chmod(os.path.join(ground.folder, name), 0o644)
        identity = {"user": uid, "group": gid, "extra_groups": []} if modest else {}
        done = subprocess.run([*sanitizer.prefix(install), *command], capture_output=True, text=True, errors="replace", timeout=60,
                              check=False, stdin=subprocess.DEVNULL, **identity)
        said = done.stdout + done.stderr
        if done.returncode not in (0, 1) or (done.returncode == 1 and not re.search(r"\d+\.(json|conf|cfg)", said)):
            return "%s: exit %d\n%s" % (names, done.returncode, said[-3000:])
        return None
    with concurrent.futures.ThreadPoolExecutor(RUNNING) as several:
        faults = [fault for fault in several.map(run, Subsets().runs()) if fault]
    found = sanitizer.reports(install)
    assert not faults and not found, "%d subsets:\n%s\n%s" % (len(faults), "\n".join(faults[:3]), found[:8000])
