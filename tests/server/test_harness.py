"""The instruments themselves: a test that relies on one of them can fail only if these hold."""
import json
import os
import subprocess
import sys
import threading

import fault_proxy
import pytest

from harness import ports, processes, tls
from harness.install import PROJECT
from harness.load import Load
from harness.nginx import Nginx, host
from harness.waiting import Timeout, wait_for, wait_port

YARDSTICK = os.path.join(os.path.dirname(__file__), "..", "bench.d", "yardstick.py")


@pytest.fixture
def static_site(folder, authority):
    site = Nginx(folder, None, host("static.test", "", static=authority.files("static.test")), modules=False)
    site.start()
    yield site
    site.close()


def obtain(directory, trust, *names):
    done = subprocess.run([sys.executable, YARDSTICK, directory, trust, str(ports.HTTP), *names], capture_output=True, text=True,
                          timeout=60, check=False)
    return json.loads(done.stdout), done.stderr


def test_the_yardstick_needs_seven_requests_a_certificate_and_pebble_counts_them(pebble):
    mark = pebble.mark()
    result, _ = obtain(pebble.uri, pebble.trust, "a.test", "b.test")
    assert result["issued"] == 2 and pebble.issued(mark) == pebble.orders(mark) == 2
    assert pebble.request_count(mark) == result["requests"] <= 2 * 7 + 3 + 3


def test_the_fault_proxy_passes_everything_on_when_it_has_no_rules(pebble, fault):
    result, said = obtain(fault.uri, pebble.trust, "proxied.test")
    assert result["issued"] == 1, said
    assert fault.count("^/order-plz$", "POST") == 1


@pytest.mark.parametrize("break_it,expected", [
    (fault_proxy.cut(), "RemoteDisconnected"), (fault_proxy.cut_body(), "IncompleteRead"),
    (fault_proxy.status(503, 7), "503"), (fault_proxy.garbage(), "Decode"), (fault_proxy.oversize(3000000), "IncompleteRead|Memory|EOF"),
], ids=["closed without an answer", "closed in mid-body", "503", "garbage", "oversized"])
def test_the_fault_proxy_breaks_the_request_it_was_told_to_break(pebble, fault, break_it, expected):
    rule = fault.add("^/order-plz$", break_it)
    result, said = obtain(fault.uri, pebble.trust, "broken.test")
    assert rule.hit == 1 and result["issued"] == 0, said
    fault.clear()
    result, said = obtain(fault.uri, pebble.trust, "broken.test")
    assert result["issued"] == 1, said


def test_the_fault_proxy_holds_an_answer_that_the_server_has_given(pebble, fault):
    gate = threading.Event()
    rule = fault.add("^/order-plz$", fault_proxy.silence(30, gate), after=True)
    mark = pebble.mark()
    client = subprocess.Popen([sys.executable, YARDSTICK, fault.uri, pebble.trust, str(ports.HTTP), "held.test"],
                              stdout=subprocess.PIPE, text=True)
    wait_for(lambda: rule.hit and pebble.orders(mark), "the order to be placed")
    assert client.poll() is None and pebble.issued(mark) == 0
    gate.set()
    assert json.loads(client.communicate(timeout=30)[0])["issued"] == 1


def test_nginx_starts_reloads_and_ends_with_nothing_left(static_site):
    before = static_site.worker_pids()
    assert len(before) == 2
    master = static_site.master
    static_site.reload()
    assert not set(static_site.worker_pids()) & set(before) and static_site.master == master
    known = [master, *static_site.remember()]
    static_site.stop()
    assert not any(processes.alive(pid) for pid in known)
    wait_port(ports.TLS, False)


def test_workers_of_a_killed_master_are_found_and_ended(static_site):
    workers = static_site.worker_pids()
    static_site.crash()
    assert not any(processes.alive(pid) for pid in workers)


def test_the_client_reads_leaf_version_and_alert(static_site):
    leaf = tls.leaf_at(ports.TLS, "static.test")
    assert leaf.names == ["static.test"] and leaf.kind == "ec"
    assert tls.alert_of(ports.TLS, "static.test") is None
    static_site.write(http="  server { listen 127.0.0.1:%d ssl; server_name static.test; ssl_reject_handshake on; }" % ports.TLS)
    static_site.reload()
    assert tls.alert_of(ports.TLS, "static.test", tls.TLS12) == 112
    assert tls.alert_of(ports.TLS, "static.test", tls.TLS13) == 112


def test_load_counts_handshakes_and_notices_a_dead_server(static_site):
    load = Load(ports.TLS, "static.test")
    try:
        load.wait_more(50)
        assert not load.failures and load.held_alive() == 4
        static_site.crash()
        wait_for(lambda: load.failures, "failures to be counted")
        assert load.held_alive() == 0
    finally:
        load.stop()


def test_a_forgotten_account_and_a_failing_name_are_real(pebble, dns):
    dns.fail("lost.test")
    result, _ = obtain(pebble.uri, pebble.trust, "lost.test")
    assert result["issued"] == 0
    dns.heal("lost.test")
    assert obtain(pebble.uri, pebble.trust, "lost.test")[0]["issued"] == 1
    root = pebble.root_pem()
    pebble.restart()
    assert pebble.root_pem() != root


def test_waits_are_bounded_and_say_what_they_saw():
    with pytest.raises(Timeout, match="a miracle(.|\n)*only rain"):
        wait_for(lambda: False, "a miracle", timeout=0.05, seen=lambda: "only rain")


def test_orphans_are_adopted_and_can_be_ended():
    process = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True)
    orphan = int(process.stdout.readline())
    process.stdout.close()
    process.wait()
    wait_for(lambda: processes.parent_of(orphan) == os.getpid(), "the orphan to become ours")
    processes.end_all([orphan])
    assert not processes.alive(orphan)


def test_what_passes_at_the_second_try_only_is_named_by_tests_run(folder):
    flaky, ill, mark, list_of = (os.path.join(folder, name) for name in ("test_flaky.py", "test_ill.py", "mark", "tries"))
    with open(flaky, "w") as file:
        file.write("import os\n\n\ndef test_flaky():\n    there = os.path.exists(%r)\n    open(%r, 'w').close()\n    assert there\n\n\n"
                   "def test_well():\n    pass\n" % (mark, mark))
    with open(ill, "w") as file:
        file.write("def test_ill():\n    assert False\n")
    script = ('second_tries=$0; work=$3; source <(sed -n "/^failed_in()/,/^}/p; /^one_file()/,/^}/p" tests/run)\n'
              'one_file "$1" 1/1 "$$"; echo "first: $?"; one_file "$2" 1/1 "$$"; echo "second: $?"; rm -rf "build/pytest-$$"*')
    done = subprocess.run(["bash", "-c", script, list_of, flaky, ill, folder], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert "first: 0\n" in done.stdout and "second: 1\n" in done.stdout, done.stdout + done.stderr
    with open(list_of) as file:
        assert [line.split("::")[-1] for line in file.read().split()] == ["test_flaky"]
