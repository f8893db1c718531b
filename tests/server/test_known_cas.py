"""Certificate authorities by a word, on each server: what the configuration test says, and whom the agent then speaks to."""
import os
import re
import socket

import pytest

from harness import apache as httpd, nginx as engine, ports
from harness.apache import Apache
from harness.haproxy import Haproxy, certificate
from harness.install import PROJECT
from harness.nginx import Nginx

NAME = "known.test"
SERVERS = {"nginx": lambda folder, install, uri: Nginx(folder, install, engine.host(NAME), directory=uri),
           "apache": lambda folder, install, uri: Apache(folder, install, httpd.host(NAME), directory=uri),
           "haproxy": lambda folder, install, uri: Haproxy(folder, install, [certificate(NAME)], directory=uri)}
OPTION = {"nginx": "external_account_key KID FILE", "apache": "EvercertExternalAccountKey KID FILE", "haproxy": "external_account_key KID FILE"}


@pytest.fixture(params=SERVERS)
def server(request):
    return request.param


def file_of(site):
    return getattr(site, "settings_path", site.configuration)


def line_with(path, text):
    with open(path) as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


def test_a_word_stands_for_an_address_without_further_ado(folder, install, server):
    site = SERVERS[server](folder, install, "letsencrypt")
    code, said = site.test()
    assert code == 0 and "letsencrypt" not in said, said


def test_a_mistyped_word_gets_the_nearest_one_with_file_and_line(folder, install, server):
    site = SERVERS[server](folder, install, "letsencript-staging")
    code, said = site.test()
    assert code != 0
    (complaint,) = [line for line in said.splitlines() if "letsencript-staging" in line]
    assert 'did you mean "letsencrypt-staging"?' in complaint, said
    path = file_of(site)
    assert re.search(r"%s\D{1,12}%d\b" % (re.escape(path), line_with(path, "letsencript-staging")), said), said


def test_a_ca_that_is_gone_is_said_to_be(folder, install, server):
    code, said = SERVERS[server](folder, install, "buypass").test()
    assert code != 0 and "has issued no TLS certificates since 31 October 2025" in said, said


def test_a_missing_external_account_key_is_said_with_where_to_get_it(folder, install, server):
    for uri in ("zerossl", "https://acme.zerossl.com/v2/DV90"):
        code, said = SERVERS[server](folder, install, uri).test()
        assert code == 0, said
        assert "get a key identifier and an HMAC key at https://app.zerossl.com/developer" in said and OPTION[server] in said, said


def test_the_agent_asks_for_the_host_of_the_table(folder, nginx):
    """Through a web proxy on this machine, which is told where the connection should go."""
    with open(os.path.join(PROJECT, "docs", "reference", "certificate-authorities.md")) as file:
        (host,) = re.findall(r"^\| `letsencrypt-staging` \|.*`https://([^/]+)/directory`", file.read(), re.M)
    with socket.create_server(("127.0.0.1", ports.PROXY)) as listener:
        listener.settimeout(30)
        nginx(engine.host(NAME), directory="letsencrypt-staging", issuer_extra="proxy http://127.0.0.1:%d;" % ports.PROXY).start()
        link, _ = listener.accept()
        with link:
            link.settimeout(30)
            assert link.recv(4096).split(b"\r\n")[0] == b"CONNECT %s:443 HTTP/1.1" % host.encode()
