"""What is written for all hosts at once: a certificate of the operator's above them, and `evercert on` for those that can have
a certificate. And what a test of the configuration accepts, a start does not refuse."""
import os
import re

import pytest

from harness import apache as httpd, nginx as ngx, ports, tls
from harness.waiting import wait_for

NAMELESS = "  server { listen 127.0.0.1:%d ssl %s; server_name %s; %s %s }\n"


def test_a_certificate_of_the_level_above_is_served_until_the_first_generation(nginx, authority, pebble):
    static = authority.files("above.test", "*.above.test")
    pebble.kill()
    try:
        site = nginx(ngx.host("www.above.test"), global_extra="ssl_certificate %s; ssl_certificate_key %s;" % static,
                     stream="  ssl_certificate %s; ssl_certificate_key %s;\n  server { listen 127.0.0.1:%d ssl; "
                            "evercert_certificate test stream.above.test; return \"stream\\n\"; }" % (*static, ports.STREAM)).start()
        for port, name in ((ports.TLS, "www.above.test"), (ports.STREAM, "stream.above.test")):
            assert "evercert tests" in tls.leaf_at(port, name).issuer, site.log()
    finally:
        pebble.start()
    tls.wait_leaf(ports.TLS, "www.above.test", lambda leaf: "Pebble" in leaf.issuer, 60, site.log)


def test_evercert_for_all_of_nginx_leaves_out_hosts_that_cannot_have_a_certificate(nginx, authority):
    static = authority.files("own.test")
    port = ports.TLS
    others = "".join((NAMELESS % (port, "default_server", "_", "", "return 444;"),
                      NAMELESS % (ports.OTHER_TLS, "", "refused.test", "ssl_reject_handshake on;", ""),
                      NAMELESS % (port, "", r"~^v\d+\.test$", "", ngx.OK),
                      ngx.host("own.test", "", static=static)))
    site = nginx(others + ngx.host("real.test", ""), global_extra="evercert on;")
    code, said = site.test()
    said += site.log()  # nginx shows warnings and worse when it tests, and writes the rest
    assert code == 0 and said.count("leaves this host alone") == 4, said
    for words in ("ssl_reject_handshake on", "its own ssl_certificate", r"~^v\d+\.test$", "write evercert"):
        assert words in said, said
    site.start()
    site.audit.wait("served", "real.test", seen=site.log)
    assert "evercert tests" in tls.leaf_at(port, "own.test").issuer
    assert tls.alert_of(port, "stranger.test") == 112  # unrecognized_name
    assert not site.complaints()


@pytest.mark.parametrize("block,words", [
    (NAMELESS % (ports.TLS, "", "_", "evercert on;", ""), ["no name that a certificate could be for", "evercert_certificate"]),
    (NAMELESS % (ports.TLS, "", r"~^v\d+\.test$", "evercert on;", ""), ["regular expression", "evercert_certificate"]),
    (NAMELESS % (ports.TLS, "", "refused.test", "evercert on; ssl_reject_handshake on;", ""), ["refuses every handshake", "remove"]),
], ids=["no name", "a regular expression", "refused handshakes"])
def test_the_same_written_on_the_host_itself_is_refused_with_a_remedy(nginx, block, words):
    code, said = nginx(block).test()
    assert code != 0 and all(word in said for word in words), said


def test_evercert_for_all_of_apache_leaves_out_hosts_that_cannot_have_a_certificate(apache, authority):
    static = authority.files("own.test")
    nameless = "<VirtualHost 127.0.0.1:%d>\nSSLEngine on\n</VirtualHost>\n" % ports.TLS
    site = apache(httpd.host("real.test", "") + nameless + httpd.host("own.test", "", static=static), global_extra="Evercert on")
    code, said = site.test()
    assert code == 0, said
    site.start()
    site.audit.wait("served", "real.test", seen=site.log)
    assert "evercert tests" in tls.leaf_at(ports.TLS, "own.test").issuer
    wait_for(lambda: site.log().count("leaves this host alone") >= 2, "the notices", seen=site.log)


@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_a_missing_program_is_found_by_the_test_of_the_configuration(request, kind, folder):
    what = ngx.host("program.test") if kind == "nginx" else httpd.host("program.test")
    site = request.getfixturevalue(kind)(what)
    with open(site.configuration) as file:
        text = file.read()
    missing = os.path.join(folder, "missing")
    with open(site.configuration, "w") as file:
        file.write(text.replace(site.install.program, missing))
    code, said = site.test()
    said += site.log()
    assert code != 0 and missing in said and "cannot be executed" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="to give files to others needs root")
@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_a_seal_key_that_a_volume_gave_to_its_group_is_taken_back_and_one_for_all_is_refused(request, kind, evercert):
    what = ngx.host("volume.test") if kind == "nginx" else httpd.host("volume.test")
    site = request.getfixturevalue(kind)(what).start()
    site.audit.wait("served", "volume.test", seen=site.log)
    site.stop()
    key = os.path.join(evercert.state, "seal.key")
    os.chmod(key, 0o660)
    assert site.test()[0] == 0, site.log()
    site.start()
    assert os.stat(key).st_mode & 0o777 == 0o600 and tls.leaf_at(ports.TLS, "volume.test")
    site.stop()
    os.chmod(key, 0o644)
    code, said = site.test()
    assert code != 0 and "chmod 600" in said + site.log(), said


@pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed, so root is")
@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_the_directory_of_another_servers_user_is_refused_with_a_path_of_its_own(request, kind, haproxy, evercert):
    from harness.haproxy import certificate
    first = haproxy([certificate("first.test")]).start()
    first.audit.wait("served", "first.test", seen=first.log)
    first.stop()
    what = ngx.host("second.test") if kind == "nginx" else httpd.host("second.test")
    site = request.getfixturevalue(kind)(what, state=first.state)
    code, said = site.test()
    said += site.log()
    assert code != 0 and "one directory serves one user" in said and "chown" not in said, said
    written = {"nginx": "write evercert_state_path %s-www-data;", "apache": "write EvercertStatePath %s-www-data"}[kind] % first.state
    assert written in said and re.search(re.escape(site.configuration) + r":\d+", said), said


@pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed, so root is")
def test_haproxy_names_the_line_where_a_state_directory_of_its_own_is_written(nginx, haproxy, evercert):
    from harness.haproxy import certificate
    first = nginx(ngx.host("first.test")).start()
    first.audit.wait("served", "first.test", seen=first.log)
    first.stop()
    site = haproxy([certificate("second.test")], state=first.state)
    code, said = site.test()
    said += site.log()
    wish = '"state_path": "%s-haproxy"' % first.state
    assert code != 0 and "one directory serves one user" in said and "write " + wish in said, said
    assert re.search(r"\.json:\d+: ", said), said
