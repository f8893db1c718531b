"""What all simulated CAs have in common: how they are started, their knobs, their faults."""
import email.utils
import json
import socket
import subprocess
import sys
import threading

import pytest
from common.knobs import allowed_values

from harness import ports, processes
from harness.simulator import PROGRAM, Simulator, Wire
from harness.waiting import wait_for

# A call that each of them answers, and how it is counted.
CALLS = {"certinext": ("GET", "/api/certinext/v2/auth/me", "GET /auth/me"), "sectigo": ("GET", "/api/organization/v1", "GET /organization/v1"),
         "ssl_store": ("POST", "/rest/order/status", "order/status"), "digicert": ("GET", "/services/v2/user/me", "GET /user/me")}


@pytest.fixture(scope="module", params=CALLS)
def started(request, common_folder):
    one = Simulator(request.param, common_folder)
    yield one
    one.close()


@pytest.fixture
def ca(started):
    started.clear()
    yield started
    started.clear()


@pytest.fixture
def ask(ca):
    """Makes the call, on a connection of its own."""
    method, path, _ = CALLS[ca.ca]

    def send():
        wire = Wire(ca)
        try:
            return wire.send(method, path, {} if method == "POST" else None)
        finally:
            wire.close()
    return send


@pytest.mark.parametrize("ca", CALLS)
def test_an_operator_starts_one_by_hand_and_is_told_all_he_needs(ca, folder):
    port = ports.SIMULATORS[ca]
    process = subprocess.Popen([sys.executable, PROGRAM, ca, "--port", str(port), "--folder", folder, "--set", "issue_seconds=5"],
                               stdout=subprocess.PIPE, text=True)
    try:
        shown = [process.stdout.readline()]
        while shown[-1] and not shown[-1].startswith("Settings:"):
            shown.append(process.stdout.readline())
        said = {line.split(None, 1)[0]: line.split(None, 1)[1].strip() for line in shown[1:-1]}
        assert said["url"] == "https://127.0.0.1:%d" % port and said["management"] == "http://127.0.0.1:%d" % (port + 1)
        with open(said["tls_ca_file"], encoding="ascii") as file, open(said["issuing_root"], encoding="ascii") as root:
            assert "BEGIN CERTIFICATE" in file.read() and "BEGIN CERTIFICATE" in root.read()
        secret = {"certinext": "access_key", "sectigo": "logins", "ssl_store": "auth_token", "digicert": "keys"}[ca]
        assert len(said[secret]) > 8
    finally:
        processes.stop(process)
        process.stdout.close()


def test_calls_are_counted_by_kind(ca, ask):
    for _ in range(3):
        ask()
    told = ca.ask("GET", "/counts")
    assert told["calls"] == {CALLS[ca.ca][2]: 3} and told["total"] == 3
    assert [row[0] for row in ca.ask("GET", "/requests")["requests"]] == [CALLS[ca.ca][2]] * 3


@pytest.mark.parametrize("fault,options", [("html", {"status": 503}), ("status", {"status": 429, "headers": {"Retry-After": "120"}}), ("truncated", {}), ("oversize", {}),
                                           ("drop", {}), ("drop_after", {}), ("reply", {"body": {"strange": True}})], ids=lambda v: v if isinstance(v, str) else "")
def test_faults_hit_the_calls_they_were_told_to_and_no_others(ca, ask, fault, options):
    usual = ask()
    ca.fault(fault, match="^%s$" % CALLS[ca.ca][2], skip=1, **options)
    assert ask().status == usual.status
    if fault in ("drop", "drop_after"):
        with pytest.raises(OSError):
            ask()
    else:
        answer = ask()
        if fault == "html":
            assert answer.status == 503 and answer.headers["Content-Type"].startswith("text/html") and b"<html>" in answer.body
        elif fault == "status":
            assert answer.status == 429 and answer.headers["Retry-After"] == "120"
        elif fault == "truncated":
            with pytest.raises(json.JSONDecodeError):
                assert answer.json
        elif fault == "oversize":
            assert len(answer.body) > 10 << 20
        else:
            assert answer.json == {"strange": True}
    assert ask().status == usual.status
    assert [f["hits"] for f in ca.ask("GET", "/faults")["faults"]] == [1]


def test_a_fault_waits_for_the_call_it_was_made_for(ca, ask):
    ca.fault("status", match="^a call that nobody makes$", times=5)
    ask()
    assert ca.ask("GET", "/faults")["faults"][0]["hits"] == 0


def test_the_clock_moves_and_answers_can_tell_another_time(ca, ask):
    def told():
        return email.utils.parsedate_to_datetime(ask().headers["Date"]).timestamp()
    before, shown = ca.ask("GET", "/clock")["now"], told()
    assert abs(shown - before) < 60
    assert ca.advance(3 * 86400) - before >= 3 * 86400 and told() - shown >= 3 * 86400
    ca.skew(-7200)
    assert ca.ask("GET", "/clock")["now"] - told() > 7000


def test_ten_thousand_orders_are_there_for_import(ca):
    before = len(ca.orders())
    numbers = ca.seed(count=9990, expired=10, suffix="many.test")
    assert len(numbers) == len(set(numbers)) == 10000 and len(ca.orders()) == before + 10000
    last = ca.order(numbers[-1])
    assert last["names"] == ["host09999.many.test"] and last["state"].lower() == "expired"


@pytest.mark.parametrize("path,body", [("/settings", {"unheard": 1}), ("/settings", {"balance": "much"}), ("/faults", {"fault": "unheard"}), ("/faults", {"fault": "drop", "match": "("}),
                                       ("/orders/1/approve", {}), ("/seed", {"unheard": 1}), ("/clock", {"advance": "soon"})], ids=str)
def test_wrong_knobs_are_refused(ca, path, body):
    before = ca.settings()
    with pytest.raises(ValueError):
        ca.ask("POST", path, body)
    assert ca.settings() == before


def test_an_action_that_is_unknown_changes_nothing(ca):
    number = ca.seed(count=1, suffix="action.test")[0]
    before = ca.order(number)
    with pytest.raises(ValueError, match="unheard"):
        ca.act(number, "unheard")
    assert ca.order(number) == before


def test_what_is_no_http_harms_nobody(ca, ask):
    with socket.create_connection(("127.0.0.1", ports.SIMULATORS[ca.ca])) as plain:
        plain.sendall(b"neither TLS nor HTTP\r\n\r\n")
    wire = Wire(ca)
    assert wire.send("POST", CALLS[ca.ca][1], b"0\r\n\r\n", {"Transfer-Encoding": "chunked"}).status == 411
    wire.close()
    with pytest.raises(OSError):
        wire.send("POST", CALLS[ca.ca][1], b"x" * (16 << 20), {"Content-Type": "application/json"})
    wire.close()
    assert ask().status in (200, 401)


def test_each_knob_has_the_values_that_the_facts_leave_open_and_takes_no_other(ca):
    settings, allowed = ca.settings(), allowed_values(ca.ca)
    for name, values in allowed.items():
        assert settings[name] in values, name
        for value in values:
            assert ca.settings(**{name: value})[name] == value
        if isinstance(values[0], str):
            with pytest.raises(ValueError, match=name):
                ca.settings(**{name: "unheard"})
    assert set(allowed) <= set(settings)


def test_a_kept_connection_ends_after_a_request_that_changes_something(ca):
    method, path, label = CALLS[ca.ca]
    wire, body = Wire(ca), {} if method == "POST" else None
    ca.fault("drop", match="^%s$" % label, kept=True, times=5)
    assert wire.send(method, path, body).status
    with pytest.raises(OSError):
        wire.send(method, path, body)
    wire.close()
    ca.ask("DELETE", "/faults")
    # Nothing that only reads is taken by a fault for what changes something.
    ca.fault("drop", match="^%s$" % label, changes=True)
    assert wire.send(method, path, body).status
    wire.close()
    rows = ca.ask("GET", "/log")["log"]
    assert [(row["turn"], row["status"] is None, row["changes"]) for row in rows] == [(1, False, False), (2, True, False), (1, False, False)]
    assert rows[0]["connection"] == rows[1]["connection"] != rows[2]["connection"]


def test_an_answer_is_held_until_a_test_lets_go_of_it(ca, ask):
    ca.fault("hold", match=".")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(ask()))
    waiting.start()
    wait_for(lambda: ca.ask("GET", "/faults")["faults"][0]["held"] == 1, "the answer to be held")
    assert not answers and ask().status
    assert ca.ask("POST", "/release", {})["released"] <= 1
    waiting.join(20)
    assert [answer.status for answer in answers] == [ask().status]
    assert [row["status"] is None for row in ca.ask("GET", "/log")["log"]] == [False] * 3


def test_requests_of_an_account_are_counted_within_every_window(ca, ask):
    for _ in range(3):
        ask()
    ca.advance(2)
    ask()
    account = ca.ask("GET", "/log")["log"][0]["account"]
    busiest = ca.ask("GET", "/log")["busiest"][account]
    assert busiest["1"] <= 3 and busiest["5"] == busiest["180"] == 4
