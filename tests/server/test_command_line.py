"""The command line: verbs, exit codes, import, rollback, and the agent without a server."""
import json
import os
import stat

import pytest

from harness import ports, tls
from harness.authority import serial_of_pem, write_private
from harness.evercert import DONE, FAILED, HUMAN, REFUSED, UNREACHABLE, USAGE, end
from harness.nginx import host
from harness.waiting import wait_for


@pytest.fixture
def site(nginx):
    server = nginx(host("cli.test")).start()
    server.audit.wait("served", "cli.test")
    return server


def test_status_list_and_show_tell_people_and_programs(site, evercert):
    evercert.wait_state("cli.test", "served")
    table = evercert.run("status")
    assert table.returncode == DONE and "cli.test" in table.stdout and "served" in table.stdout
    assert evercert.run("list").stdout == "cli.test\n"
    shown = json.loads(evercert.run("show", "cli.test", "--json").stdout)
    assert shown["format"] == 1 and shown["certificate"]["name"] == "cli.test"
    assert [event["name"] for event in shown["events"]].index("order_placed") < [e["name"] for e in shown["events"]].index("served")
    assert evercert.run("show", "cli.test").returncode == DONE
    version = json.loads(evercert.run("version", "--json", state=False).stdout)
    assert version["format"] == 1 and version["version"]


def test_results_go_to_stdout_and_progress_to_stderr(site, evercert):
    done = evercert.run("renew", "cli.test", "--force")
    assert done.returncode == DONE and "served" in done.stderr and "order" in done.stderr
    assert len(done.stdout.splitlines()) == 1 and "cli.test" in done.stdout
    answer = json.loads(evercert.run("renew", "cli.test", "--force", "--json").stdout)
    assert answer["exit"] == 0 and any(event["name"] == "served" for event in answer["events"])


@pytest.mark.parametrize("arguments,code,said", [
    ([], USAGE, ""), (["--nonsense"], USAGE, ""), (["stauts"], USAGE, "status"), (["renew"], USAGE, "--all"),
    (["show"], USAGE, ""), (["rollback"], USAGE, ""), (["import", "nowhere", "/"], USAGE, ""), (["run"], USAGE, "--config"),
    (["status", "--state", "/nonexistent"], FAILED, "/nonexistent"), (["renew", "x", "--state", "/nonexistent"], UNREACHABLE, "/nonexistent"),
    (["status", "--config", "/nonexistent.json"], USAGE, "/nonexistent.json"),
    (["run", "--config", "/nonexistent.json"], USAGE, "/nonexistent.json"), (["--help"], DONE, ""), (["renew", "--help"], DONE, ""),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_exit_codes_tell_what_kind_of_trouble_it_is(evercert, arguments, code, said):
    done = evercert.run(*arguments, state=False)
    assert done.returncode == code, done
    assert said in done.stderr
    assert (done.stderr or done.stdout) and (code == DONE or not done.stdout)


def test_an_unknown_name_is_refused_with_the_nearest_known(site, evercert):
    done = evercert.run("show", "cil.test")
    assert done.returncode == FAILED and "cli.test" in done.stderr
    assert evercert.run("renew", "unknown.test", "--force").returncode != DONE


def test_without_a_server_reading_works_and_says_that_the_agent_is_gone(site, evercert):
    site.stop()
    done = evercert.run("status")
    assert done.returncode == UNREACHABLE and "cli.test" in done.stdout
    assert evercert.run("renew", "cli.test", "--force").returncode == UNREACHABLE


def test_revocation_reaches_the_ca(site, evercert, pebble):
    mark = pebble.mark()
    refused = evercert.run("revoke", "cli.test")
    assert refused.returncode == FAILED and pebble.requests(mark)["/revoke-cert"] == 0  # nobody typed the name
    done = evercert.run("revoke", "cli.test", "--reason", "superseded", "--comment", "moved elsewhere", "--yes")
    assert done.returncode == DONE and "the comment was not sent: the CA has no place for one" in done.stdout, done.stdout + done.stderr
    assert pebble.requests(mark)["/revoke-cert"] >= 1
    site.audit.wait("revoked", "cli.test")


def test_renew_all_renews_everything(nginx, evercert, pebble):
    site = nginx(host("all-a.test") + host("all-b.test")).start()
    for name in ("all-a.test", "all-b.test"):
        site.audit.wait("served", name)
    mark = pebble.mark()
    assert evercert.run("renew", "--all", "--force").returncode == DONE
    assert pebble.issued(mark) == 2


# --- import ---

def certbot_folder(folder, authority, *names, kind="ec", days=(-1, 90)):
    """A lineage as certbot lays it out: numbered files in archive, links to the newest in live."""
    lineage = names[0]
    archive, live = (os.path.join(folder, "letsencrypt", part, lineage) for part in ("archive", "live"))
    os.makedirs(archive)
    os.makedirs(live)
    chain, key = authority.issue(*names, kind=kind, days=days)
    end_of_leaf = chain.index(b"-----END CERTIFICATE-----\n") + len(b"-----END CERTIFICATE-----\n")
    for name, data in (("cert", chain[:end_of_leaf]), ("chain", chain[end_of_leaf:]), ("fullchain", chain), ("privkey", key)):
        write_private(os.path.join(archive, name + "1.pem"), data)
        os.symlink("../../archive/%s/%s1.pem" % (lineage, name), os.path.join(live, name + ".pem"))
    return os.path.join(folder, "letsencrypt"), os.path.join(archive, "cert1.pem")


def test_certbots_certificates_are_adopted_before_the_first_start_and_nothing_is_ordered(nginx, evercert, folder, authority, pebble):
    place, leaf = certbot_folder(folder, authority, "moved.test", "www.moved.test")
    done = evercert.run("import", "certbot", place, "--user", "www-data")
    assert done.returncode == DONE, done.stderr
    mark = pebble.mark()
    site = nginx(host(["moved.test", "www.moved.test"])).start()
    assert tls.leaf_at(ports.TLS, "www.moved.test").serial == serial_of_pem(leaf)
    evercert.wait_state("moved.test", "served")
    assert pebble.orders(mark) == 0
    assert stat.S_IMODE(os.stat(os.path.join(evercert.state, "seal.key")).st_mode) == 0o600
    evercert.renew("moved.test")
    assert "Pebble" in tls.leaf_at(ports.TLS, "moved.test").issuer and site.audit.count("imported", "moved.test")


def test_certbots_certificates_are_adopted_by_a_running_server_live(site, evercert, folder, authority):
    # Only what is valid for longer than what is served is taken.
    place, leaf = certbot_folder(folder, authority, "cli.test", days=(-1, 4000))
    done = evercert.run("import", "certbot", place)
    assert done.returncode == DONE, done.stderr
    tls.wait_leaf(ports.TLS, "cli.test", lambda seen: seen.serial == serial_of_pem(leaf), 10)
    assert os.path.exists(leaf)  # nothing of certbot's is changed


def test_nginxs_own_acme_state_is_adopted(nginx, evercert, folder, authority, pebble):
    place = os.path.join(folder, "acme_example")
    os.makedirs(place)
    chain, key = authority.issue("native.test")
    write_private(os.path.join(place, "native.test-0123456789abcdef.crt"), chain)
    write_private(os.path.join(place, "native.test-0123456789abcdef.key"), key)
    done = evercert.run("import", "nginx-acme", place, "--user", "www-data")
    assert done.returncode == DONE, done.stderr
    mark = pebble.mark()
    nginx(host("native.test")).start()
    assert tls.leaf_at(ports.TLS, "native.test").names == ["native.test"] and pebble.orders(mark) == 0


@pytest.mark.parametrize("fault,said", [("mismatch", "match"), ("expired", "expired"), ("nothing", "")])
def test_a_certificate_that_is_no_good_is_not_adopted_and_the_reason_is_told(evercert, folder, authority, fault, said):
    place, leaf = certbot_folder(folder, authority, "bad.test")
    archive = os.path.dirname(leaf)
    if fault == "mismatch":
        write_private(os.path.join(archive, "privkey1.pem"), authority.issue("else.test")[1])
    elif fault == "expired":
        chain, key = authority.issue("bad.test", days=(-90, -1))
        write_private(os.path.join(archive, "fullchain1.pem"), chain)
        write_private(os.path.join(archive, "privkey1.pem"), key)
    else:
        place = os.path.join(folder, "authority-none")
        os.makedirs(place)
    done = evercert.run("import", "certbot", place, "--user", "www-data")
    assert (done.returncode != DONE or "skipped" in done.stdout) and said in done.stdout + done.stderr, done
    assert not os.path.exists(os.path.join(evercert.state, "state", "certificates", "bad.test"))


# --- rollback ---

def test_rollback_goes_to_the_generation_named_and_refuses_one_that_is_not_there(site, evercert):
    first = tls.leaf_at(ports.TLS, "cli.test").serial
    evercert.renew("cli.test")
    refused = evercert.run("rollback", "cli.test", "--to", "77")
    assert refused.returncode in (FAILED, HUMAN) and "77" in refused.stderr
    assert evercert.run("rollback", "cli.test", "--to", "1").returncode == DONE
    tls.wait_leaf(ports.TLS, "cli.test", lambda leaf: leaf.serial == first, 5)


def test_rollback_works_without_an_agent_and_is_served_after_the_next_start(site, evercert, pebble):
    first = tls.leaf_at(ports.TLS, "cli.test").serial
    evercert.renew("cli.test")
    site.stop()
    done = evercert.run("rollback", "cli.test")
    assert done.returncode == DONE, done.stderr
    mark = pebble.mark()
    site.start()
    assert tls.leaf_at(ports.TLS, "cli.test").serial == first and pebble.orders(mark) == 0


def test_nothing_to_roll_back_to_is_said(site, evercert):
    done = evercert.run("rollback", "cli.test")
    assert done.returncode in (FAILED, HUMAN) and done.stderr


# --- the agent alone ---

def settings(pebble, state, name):
    return {"state_path": state, "http_port": ports.HTTP, "http_listen": "127.0.0.1:%d" % (ports.FREE + 3),
            "issuers": {"test": {"uri": pebble.uri, "contact": ["ops@example.test"], "accept_terms_of_service": True,
                                 "ssl_trusted_certificate": pebble.trust}},
            "certificates": [{"name": name, "issuer": ["test"], "identifiers": [name], "key": ["ecdsa:256"], "proof": False}]}


def test_the_agent_runs_without_a_server_and_keeps_its_state_for_one(evercert, pebble, folder, nginx):
    """An nginx beside it, on the same state, answers the challenges and serves."""
    config = os.path.join(folder, "evercert.json")
    with open(config, "w") as file:
        json.dump(settings(pebble, evercert.state, "alone.test"), file)
    site = nginx(host("beside.test")).start()
    site.audit.wait("served", "beside.test")
    agent = evercert.start("run", "--config", config)
    try:
        wait_for(lambda: "alone.test" in evercert.run("list").stdout.split(), "the leader to take over the plan", 20, 0.05,
                 seen=lambda: site.log()[-2000:])
        site.audit.wait("issued", "alone.test", timeout=30)
    finally:
        out, said = end(agent)
    assert agent.returncode == 0, said
    assert "beside.test" in evercert.run("list").stdout


def test_a_refused_configuration_ends_the_agent_with_its_own_code_and_place(evercert, folder):
    config = os.path.join(folder, "evercert.json")
    with open(config, "w") as file:
        file.write('{\n  "state_path": "%s",\n  "issuers": { "test": { "uri": "nonsense" } }\n}\n' % evercert.state)
    done = evercert.run("run", "--config", config, state=False, timeout=20)
    assert done.returncode == REFUSED and config + ":3" in done.stderr and "uri" in done.stderr, done
