"""Verbs of the command line come to an end, whatever the CA or the agent does, and say what goes on without them."""
import os
import re
import signal

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.evercert import DONE, FAILED, UNREACHABLE, USAGE
from harness.nginx import host, issuer


@pytest.fixture
def site(nginx, fault):
    server = nginx(host("ends.test"), directory=fault.uri).start()
    server.audit.wait("served", "ends.test")
    return server


def test_renew_of_a_fresh_certificate_has_nothing_to_do(site, evercert, pebble):
    mark = pebble.mark()
    done = evercert.run("renew", "ends.test")
    assert done.returncode == DONE and "nothing to do" in done.stdout and "--force" in done.stdout, done
    everything = evercert.run("renew", "--all")
    assert everything.returncode == DONE and "nothing to do" in everything.stdout, everything
    assert pebble.orders(mark) == 0
    assert evercert.run("renew", "unknown.test").returncode == FAILED


def test_who_mistypes_a_name_is_told_what_there_is_and_asked_nothing(site, evercert):
    for words in (["renew"], ["cancel"], ["revoke"], ["revoke", "--yes"], ["rollback"], ["show"]):
        done = evercert.run(*words, "edns.test")
        assert done.returncode == FAILED and 'did you mean "ends.test"?' in done.stderr, (words, done)
        assert "Type its name" not in done.stderr, done
    done = evercert.run("test", "issuer", "tset")
    assert done.returncode == FAILED and 'did you mean "test"?' in done.stderr, done
    assert "Type its name" in evercert.run("revoke", "ends.test").stderr


def test_renew_after_a_failed_try_tries_again_though_the_certificate_is_fresh(site, evercert, fault):
    fault.add("order-plz", fault_proxy.status(403, detail="the CA said no", kind="urn:ietf:params:acme:error:rejectedIdentifier"), times=1)
    done = evercert.run("renew", "ends.test", "--force")
    assert done.returncode != DONE and "the CA said no" in done.stderr, done
    done = evercert.run("renew", "ends.test")
    assert done.returncode == DONE and "nothing to do" not in done.stdout, done
    site.audit.wait("served", "ends.test", more_than=1)
    assert evercert.run("renew", "ends.test").stdout.startswith("nothing to do: ")


def test_cancel_without_an_order_and_sync_without_an_account_have_nothing_to_do(site, evercert):
    for words in (["cancel", "ends.test"], ["sync"], ["sync", "test"]):
        done = evercert.run(*words)
        assert done.returncode == DONE and done.stdout.startswith("nothing to do: "), (words, done)
    for words in (["cancel", "unknown.test"], ["sync", "unknown"]):
        done = evercert.run(*words)
        assert done.returncode == FAILED and "unknown" in done.stderr, (words, done)


def test_renew_against_a_ca_that_does_not_answer_returns_and_the_agent_goes_on(site, evercert, fault):
    fault.add("order-plz", fault_proxy.silence(600), times=1 << 30)
    done = evercert.run("renew", "ends.test", "--force", "--timeout", "3s", timeout=60)
    assert done.returncode == FAILED, done
    assert "not done after 3 s" in done.stderr and "in the background" in done.stderr, done.stderr
    # Without a word of ours about time it ends as well: the help says when.
    assert "five minutes" in evercert.run("renew", "--help", state=False).stdout
    fault.clear()
    fault.close()  # the silent connection ends, and the port is free again
    again = fault_proxy.FaultProxy(ports.FAULT, ports.ACME, site.pebble.chain_path, site.pebble.key_path)
    try:
        site.audit.wait("served", "ends.test", more_than=1, timeout=60)
    finally:
        again.close()


def test_renew_that_does_not_wait_returns_at_once_and_is_done_all_the_same(site, evercert):
    before = tls.leaf_at(ports.TLS, "ends.test").serial
    done = evercert.run("renew", "ends.test", "--force", "--no-wait")
    assert done.returncode == DONE and "in the background" in done.stdout, done
    site.audit.wait("served", "ends.test", more_than=1)
    assert tls.leaf_at(ports.TLS, "ends.test").serial != before


def test_an_agent_that_is_stopped_is_told_from_a_ca_that_is_slow(site, evercert):
    agent = site.agent()
    os.kill(agent, signal.SIGSTOP)
    try:
        for words in (["renew", "ends.test", "--force"], ["cancel", "ends.test"], ["revoke", "ends.test", "--yes"], ["sync"],
                      ["test", "issuer", "test"], ["rollback", "ends.test"], ["import", "issuer", "test"]):
            done = evercert.run(*words, "--timeout", "1s", timeout=30)
            assert done.returncode == UNREACHABLE and "process %d holds the lead" % agent in done.stderr and "does not answer" in done.stderr, (words, done)
    finally:
        # What was asked may still be done; here nobody wants to see it.
        processes.kill(agent)


def test_renew_all_leaves_issuers_alone_that_order_nothing_unasked_and_says_what_it_waits_for(nginx, evercert, pebble, fault):
    off = issuer(fault.uri, pebble.trust, name="asked", extra="order off;")
    blocks = host("one.test", "evercert_certificate test;") + host("two.test", "evercert_certificate test;")
    site = nginx(blocks + host("off.test", "evercert_certificate asked;"), global_extra=off).start()
    for name in ("one.test", "two.test"):
        site.audit.wait("served", name)
    done = evercert.run("renew", "--all", "--force")
    assert done.returncode == DONE, done
    assert re.search(r"waiting +\S+ s +for one\.test, two\.test\n", done.stderr), done.stderr
    assert "off.test: the issuer asked has order off" in done.stderr and "2 of 2 certificates were renewed" in done.stdout, done
    assert fault.count("order-plz") == 0
    evercert.renew("off.test", force=False)
    assert fault.count("order-plz") == 1


@pytest.mark.parametrize("word", ["0", "-1s", "5 minutes", "1d", "999999999999h", ""])
def test_a_time_that_is_none_is_a_usage_error(evercert, word):
    done = evercert.run("renew", "ends.test", "--timeout=" + word)
    assert done.returncode == USAGE and "--timeout" in done.stderr, done
