"""HTTP-01 answers come from any server block, whatever it does with requests, and nothing else is touched."""
import os
import threading

import fault_proxy
import pytest

from harness import ports, tls
from harness.nginx import host
from harness.waiting import wait_for

PREFIX = "/.well-known/acme-challenge/"

# name: (server block on the CA's port, status that an unknown token gets; 0: the connection is closed)
BLOCKS = {
    "server-level redirect": ("return 301 https://$host$request_uri;", 301),
    "redirect in a location": ("location / { return 301 https://$host$request_uri; }", 301),
    "rewrite, password and deny": ('rewrite ^/(.*)$ /secret/$1; auth_basic "closed"; auth_basic_user_file {folder}/nobody; '
                                   "location / { } location ~ /\\. { deny all; }", 403),
    "dropped connection": ("return 444;", 0),
    "proxy to a dead backend": ("location / { proxy_pass http://127.0.0.1:9; }", 502),
    "static files": ("root {folder}/web;", 404),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_validation_passes_through_a_block_with(nginx, folder, fault, kind):
    inside, otherwise = BLOCKS[kind]
    open(os.path.join(folder, "nobody"), "w").close()
    os.makedirs(os.path.join(folder, "web"))
    os.chmod(os.path.join(folder, "web"), 0o755)
    name = "_" if kind == "dropped connection" else "block.test"
    block = "  server { listen 127.0.0.1:%d; server_name %s; %s }\n" % (ports.HTTP, name, inside.replace("{folder}", folder))
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate), after=True)
    site = nginx(block + host("block.test", http=False), directory=fault.uri).start()
    assert tls.plain_get(ports.HTTP, "block.test", PREFIX + "unknown-token")[0] == otherwise
    wait_for(lambda: rule.hit, "the challenge to be answered")
    # While a challenge is open other tokens still pass through to the site.
    assert tls.plain_get(ports.HTTP, "block.test", PREFIX + "unknown-token")[0] == otherwise
    gate.set()
    site.audit.wait("served", "block.test")


def test_an_unknown_token_reaches_the_sites_own_files(nginx, folder):
    os.makedirs(os.path.join(folder, "web" + PREFIX))
    with open(os.path.join(folder, "web" + PREFIX, "own"), "w") as file:
        file.write("by hand")
    block = "  server { listen 127.0.0.1:%d; server_name own.test; root %s/web; }\n" % (ports.HTTP, folder)
    site = nginx(block + host("own.test", http=False)).start()
    site.audit.wait("served", "own.test")
    assert tls.plain_get(ports.HTTP, "own.test", PREFIX + "own") == (200, b"by hand")


def test_answers_are_given_to_get_and_head_only_and_are_gone_afterwards(nginx, fault, pebble):
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate), after=True)
    mark = pebble.mark()
    site = nginx(host("method.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit and "validate w/ HTTP" in pebble.text(mark), "the challenge to be answered")
    token = pebble.text(mark).split(PREFIX)[1].split()[0]
    code, body = tls.plain_get(ports.HTTP, "method.test", PREFIX + token)
    assert code == 200 and body.startswith(token.encode() + b".")
    assert tls.plain_get(ports.HTTP, "method.test", PREFIX + token, "HEAD") == (200, b"")
    assert tls.plain_get(ports.HTTP, "method.test", PREFIX + token, "POST")[1] == b"ok\n"
    assert tls.plain_get(ports.HTTP, "method.test", PREFIX + token + "x")[1] == b"ok\n"
    gate.set()
    site.audit.wait("served", "method.test")
    assert token.encode() + b"." not in tls.plain_get(ports.HTTP, "method.test", PREFIX + token + "/")[1]


def test_any_worker_answers_and_each_validation_request_is_seen(nginx):
    site = nginx(host("hits.test"), workers=4).start()
    site.audit.wait("challenge_seen", "hits.test")
    site.audit.wait("served", "hits.test")


def test_an_open_challenge_survives_a_reload(nginx, fault):
    gate = threading.Event()
    rule = fault.add("/chalZ/", fault_proxy.silence(20, gate))  # held before the CA sees it: validation comes after the reload
    site = nginx(host("reload.test"), directory=fault.uri).start()
    wait_for(lambda: rule.hit, "the challenge to be answered")
    site.reload()
    fault.clear()
    gate.set()
    site.audit.wait("served", "reload.test", timeout=60)
