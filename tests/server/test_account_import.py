"""Taking over what exists at a commercial CA: orders in pages, keys that fit, open orders, and what goes wrong in between."""
import json
import os
import re
import shutil
import signal

import pytest
from cryptography.hazmat.primitives import serialization

from harness import csr, ports, processes, tls
from harness.authority import write_private
from harness.buyers import BUYERS
from harness.evercert import DONE, FAILED, HUMAN, UNREACHABLE, status_page
from harness.nginx import host
from harness.waiting import wait_for

KINDS = tuple(BUYERS)
DOWNLOADS = {"certinext-v1": ("GetCertificate", 1), "certinext-v2": ("GET /ssl-certificates/{number}/certificate", 1),
             "sectigo": ("GET /ssl/v1/collect/{number}", 1), "digicert": ("GET /certificate/download/order/{number}/format/{form}", 1),
             "ssl-store": ("order/download", 1)}


class Account:
    """An account at a simulated CA with orders in it, key files as an operator has them, and a server that is to use both."""

    def __init__(self, name, folder, make_nginx):
        self.name, self.make_nginx = name, make_nginx
        self.buyer = BUYERS[name](folder)
        self.ca = self.buyer.simulator
        self.keys = os.path.join(folder, "keys")
        os.makedirs(self.keys)

    def request(self, *names):
        """A request for these names, whose key lies where an operator has it."""
        key = csr.key()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_private(os.path.join(self.keys, names[0] + ".key"), pem)
        return csr.request(*names, signer=key)

    def start(self, *names, order="off", **options):
        block = self.buyer.issuer("bought", order=order, **options)
        site = self.make_nginx(host(list(names)), pebble=None, global_extra=block).start()
        site.audit.wait("agent_leads")
        return site

    def downloads(self):
        name, each = DOWNLOADS[self.name]
        return self.ca.counts().get(name, 0) // each

    def close(self):
        self.buyer.close()


@pytest.fixture
def shop(nginx, folder, dns, request):
    one = Account(getattr(request, "param", "certinext-v1"), folder, nginx)
    yield one
    one.close()


def serial_at_ca(shop, number):
    order = shop.ca.order(number)
    return int(order.get("serial") or order["serials"][-1], 16)


def ledger(evercert):
    path = os.path.join(evercert.state, "state", "imports", "bought.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line for line in file.read().split("\n")[1:] if line]


# CertCentral allows a thousand requests in three minutes, so its import lasts longer than that; Sectigo gets two a second.
@pytest.mark.parametrize("shop", KINDS, indirect=True)
def test_a_thousand_orders_are_read_and_the_one_whose_key_is_here_is_served(shop, evercert):
    count = 200 if shop.name == "sectigo" else 1000
    ended = {"expired": 4, "cancelled": 5} if shop.name == "ssl-store" else {"expired": 4, "revoked": 3, "rejected": 2}
    numbers = shop.ca.seed(count=count, **ended, csrs=[shop.request("bound.test", "www.bound.test")])
    site = shop.start("bound.test", "www.bound.test")
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=280)
    assert done.returncode == DONE, done.stderr[-2000:]
    assert "1 taken over" in done.stdout and "%d without a key here" % (count - 1) in done.stdout, done.stdout
    assert "orders read, " in done.stderr, "progress is told"
    site.audit.wait("served", "bound.test", timeout=20)
    assert tls.leaf_at(ports.TLS, "bound.test").serial == serial_at_ca(shop, numbers[0])
    assert len(shop.ca.orders()) == count + 9, "nothing was ordered"
    # Each certificate once, and the one that fits once more to be published.
    assert shop.downloads() == count + 1
    shop.ca.ask("DELETE", "/counts")
    again = evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=120)
    assert again.returncode == DONE and "0 taken over" in again.stdout and "0 downloads" in again.stdout, again.stdout
    assert shop.downloads() == 0 and evercert.certificate("bound.test")["generation"] == 1


def test_filters_choose_the_orders(shop, evercert):
    shop.ca.seed(count=20, expired=5, revoked=4, rejected=3, pending=2)
    shop.start("bound.test")

    def read(*options):
        done = evercert.run("import", "issuer", "bought", *options)
        assert done.returncode == DONE, done.stderr
        words = done.stdout.replace(",", "").split()
        return {what: int(words[words.index(what) - 1]) for what in ("without", "left")}
    assert read() == {"without": 22, "left": 12}
    assert read("--open") == {"without": 2, "left": 32}
    assert read("--with", "expired,revoked") == {"without": 31, "left": 3}
    assert read("host00003.seeded.test")["without"] == 1
    assert read("--group", "2160000002")["without"] == 0
    assert read("--until", "2020-01-01")["without"] == 0
    assert read("--since", "2020-01-01")["without"] == 22


@pytest.mark.parametrize("shop", ["certinext-v1", "digicert"], indirect=True)
def test_an_open_order_whose_key_is_here_is_tracked_and_no_second_one_placed(shop, evercert):
    number = shop.ca.seed(pending=1, csrs=[shop.request("open.test")])[0]
    site = shop.start("open.test")
    done = evercert.run("import", "issuer", "bought", "--key", os.path.join(shop.keys, "open.test.key"))
    assert done.returncode == DONE and "1 open ones tracked" in done.stdout, done.stdout + done.stderr
    site.audit.wait("served", "open.test", timeout=30)
    assert [order["id"] for order in shop.ca.orders()] == [number]
    taken = site.audit.wait("order_taken_over", "open.test")
    assert taken["order"] == number


# Nobody can know for which key these orders are.
@pytest.mark.parametrize("shop", ["certinext-v2", "sectigo", "ssl-store"], indirect=True)
def test_an_open_order_whose_request_the_ca_does_not_show_is_left_alone_and_said_so(shop, evercert):
    number = shop.ca.seed(pending=1, csrs=[shop.request("open.test")])[0]
    shop.start("open.test")
    done = evercert.run("import", "issuer", "bought", "--key", os.path.join(shop.keys, "open.test.key"))
    assert done.returncode == DONE and "1 without a key here" in done.stdout, done.stdout + done.stderr
    assert "the open order %s is left alone" % number in done.stderr and "import again once it is issued" in done.stderr
    assert [order["id"] for order in shop.ca.orders()] == [number]


@pytest.mark.parametrize("form", ["pem crlf", "base64", "base64 lines"])
@pytest.mark.parametrize("shop", ["certinext-v1", "digicert"], indirect=True)
def test_a_request_that_the_ca_shows_in_another_form_is_read(shop, evercert, form):
    shop.ca.settings(csr_shown=form)
    number = shop.ca.seed(pending=1, csrs=[shop.request("open.test")])[0]
    site = shop.start("open.test")
    done = evercert.run("import", "issuer", "bought", "--key", os.path.join(shop.keys, "open.test.key"))
    assert done.returncode == DONE and "1 open ones tracked" in done.stdout, done.stdout + done.stderr
    site.audit.wait("served", "open.test", timeout=30)
    assert [order["id"] for order in shop.ca.orders()] == [number]


@pytest.mark.parametrize("shop", KINDS, indirect=True)
def test_nothing_is_ordered_beside_an_open_order_that_had_to_be_left_alone(shop, evercert):
    if shop.name in ("certinext-v1", "digicert"):
        shop.ca.settings(csr_shown="none")
    shop.ca.settings(approval="manual")
    number = shop.ca.seed(pending=1, csrs=[shop.request("open.test")])[0]
    shop.start("open.test")
    done = evercert.run("import", "issuer", "bought", "--key", os.path.join(shop.keys, "open.test.key"))
    assert "the open order %s is left alone" % number in done.stderr, done.stdout + done.stderr
    asked = evercert.run("renew", "open.test", timeout=60)
    assert asked.returncode == HUMAN and "nothing is ordered beside it" in asked.stderr, asked.stdout + asked.stderr
    assert [order["id"] for order in shop.ca.orders()] == [number]
    shop.ca.act(number, "reject")
    shop.ca.settings(approval="auto")
    evercert.renew("open.test", timeout=60)
    assert len(shop.ca.orders()) == 2


REVOKED = [("certinext-v1", "given"), ("certinext-v1", "refused"), ("certinext-v2", "given"), ("certinext-v2", "refused"),
           ("sectigo", ""), ("digicert", "")]


@pytest.mark.parametrize("shop, download", REVOKED, indirect=["shop"])
def test_a_revoked_certificate_is_never_taken_over(shop, evercert, download):
    if download:
        shop.ca.settings(revoked_download=download)
    shop.ca.seed(revoked=4, csrs=[shop.request("bound.test")])
    shop.start("bound.test")
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys, "--with", "revoked", timeout=60)
    assert done.returncode == DONE and "0 taken over" in done.stdout and "ended early" not in done.stdout, done.stdout + done.stderr
    assert evercert.certificate("bound.test")["generation"] == 0


def test_what_evercert_revoked_is_not_taken_over_from_a_ca_that_does_not_show_it(shop, evercert):
    shop.ca.seed(count=2, csrs=[shop.request("bound.test")])
    site = shop.start("bound.test")
    assert "1 taken over" in evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=60).stdout
    digest = json.loads(evercert.run("show", "bound.test", "--json").stdout)["pairs"][0]["sha256"]
    site.stop()
    state = os.path.join(evercert.state, "state")
    shutil.rmtree(os.path.join(state, "certificates", "bound.test"))
    owner = os.stat(state)
    os.makedirs(os.path.join(state, "revoked"), exist_ok=True)
    noted = os.path.join(state, "revoked", "bound.test")
    with open(noted, "w") as file:
        json.dump({"format": 1, "leaves": [digest.replace(":", "").lower()]}, file)
    for path in (noted, os.path.dirname(noted)):
        os.chown(path, owner.st_uid, owner.st_gid)
    site.start()
    site.audit.wait("agent_leads", more_than=1)
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=60)
    assert "0 taken over" in done.stdout + done.stderr and "1 could not be taken over" in done.stdout + done.stderr, done.stdout + done.stderr
    assert "evercert revoked it" in done.stdout + done.stderr, done.stdout + done.stderr
    assert evercert.certificate("bound.test")["generation"] == 0


@pytest.mark.parametrize("shop", KINDS, indirect=True)
def test_refusals_of_single_orders_end_no_import(shop, evercert):
    download = shop.buyer.collect
    shop.ca.seed(count=8, csrs=[shop.request("bound.test")])
    site = shop.start("bound.test")
    refusal = {"code": -183, "description": "Not collectable", "meta": {"status": "0", "errorCode": "EMS-939", "errorMessage": "no"},
               "errors": [{"code": "invalid_status", "message": "no"}], "title": "no",
               "AuthResponse": {"isError": True, "Message": ["-9999 no"]}}
    shop.ca.fault("status", match=download, status=200 if shop.name in ("certinext-v1", "ssl-store") else 422, body=refusal, skip=1, times=5)
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=60)
    assert "8 orders read" in done.stdout + done.stderr and "5 could not be taken over" in done.stdout + done.stderr, done.stderr
    assert "ended early" not in done.stdout + done.stderr and "1 taken over" in done.stdout + done.stderr
    site.audit.wait("served", "bound.test")


@pytest.mark.parametrize("words", ["empty", "book", "refused"])
@pytest.mark.parametrize("shop", ["ssl-store"], indirect=True)
def test_a_wrong_token_is_no_empty_account(shop, evercert, words):
    shop.ca.settings(query_wrong_token=words)
    shop.ca.seed(count=3)
    shop.start("bound.test", secret="not-the-token")
    done = evercert.run("import", "issuer", "bought", timeout=60)
    assert done.returncode in (FAILED, HUMAN) and "check account" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("shop", ["ssl-store"], indirect=True)
def test_a_group_is_refused_where_orders_have_none(shop, evercert):
    shop.ca.seed(count=3)
    shop.start("bound.test")
    done = evercert.run("import", "issuer", "bought", "--group", "7")
    assert done.returncode == FAILED and "remove --group" in done.stderr, done.stdout + done.stderr


def test_with_order_off_nothing_is_bought_until_somebody_asks(shop, evercert):
    site = shop.start("asked.test")
    wait_for(lambda: "order off" in ((evercert.certificate("asked.test") or {}).get("now") or "") or None, "the wait to be told")
    assert shop.ca.orders() == []
    assert evercert.run("renew", "asked.test", timeout=40).returncode == DONE
    assert len(shop.ca.orders()) == 1 and site.audit.count("served", "asked.test") == 1


def test_the_certificate_that_lasts_longest_is_taken_and_others_change_nothing(shop, evercert):
    request = shop.request("twice.test")
    shop.ca.seed(count=140)
    # The later in the list, the older: the simulated CA seeds so.
    numbers = shop.ca.seed(count=3, csrs=[request, request, request])
    site = shop.start("twice.test")
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys)
    assert done.returncode == DONE and "1 taken over" in done.stdout and "2 there already" in done.stdout, done.stdout
    site.audit.wait("served", "twice.test")
    assert int(evercert.certificate("twice.test")["serial"], 16) == serial_at_ca(shop, numbers[0])


def test_a_certificate_that_no_configuration_names_is_told(shop, evercert):
    shop.ca.seed(count=1, csrs=[shop.request("elsewhere.test")])
    shop.start("bound.test")
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys)
    assert done.returncode == DONE and "1 without a configured certificate" in done.stdout
    assert "elsewhere.test" in done.stderr and "no configured certificate" in done.stderr


def agent_of(evercert):
    return evercert.status()["agent"]["pid"]


def test_a_kill_in_the_middle_loses_nothing_and_the_next_run_goes_on(shop, evercert):
    numbers = shop.ca.seed(count=300, csrs=[shop.request("bound.test")])
    site = shop.start("bound.test")
    shop.ca.settings(answer_seconds=0.01)
    running = evercert.start("import", "issuer", "bought", "--key", shop.keys, "--state", evercert.state)
    wait_for(lambda: len(ledger(evercert)) > 60 or None, "some orders to be read")
    agent = agent_of(evercert)
    os.kill(agent, signal.SIGKILL)
    _, said = running.communicate(timeout=30)
    assert running.returncode == UNREACHABLE, said
    known = len(ledger(evercert))
    assert 60 < known < 300
    shop.ca.settings(answer_seconds=0.0)
    wait_for(lambda: agent_of(evercert) != agent or None, "another agent")
    done = evercert.run("import", "issuer", "bought", "--key", shop.keys, timeout=120)
    assert done.returncode == DONE and "1 taken over" in done.stdout, done.stdout + done.stderr[-800:]
    # What was being read when it was killed is read twice at most, and what is published once more.
    assert shop.downloads() <= 302
    site.audit.wait("served", "bound.test")
    assert int(evercert.certificate("bound.test")["serial"], 16) == serial_at_ca(shop, numbers[0])


def test_an_import_ends_with_its_command_and_another_may_follow(shop, evercert):
    shop.ca.seed(count=200)
    shop.start("bound.test")
    shop.ca.settings(answer_seconds=0.02)
    running = evercert.start("import", "issuer", "bought", "--state", evercert.state)
    wait_for(lambda: len(ledger(evercert)) > 10 or None, "some orders to be read")
    refused = evercert.run("import", "issuer", "bought")
    assert refused.returncode == FAILED and "under way" in refused.stderr
    processes.stop(running)
    shop.ca.settings(answer_seconds=0.0)
    done = evercert.run("import", "issuer", "bought", timeout=60)
    assert done.returncode == DONE and "200 without a key here" in done.stdout, done.stdout


@pytest.mark.parametrize("shop", ["certinext-v1", "sectigo"], indirect=True)
def test_a_page_that_fails_is_asked_for_again(shop, evercert):
    shop.ca.seed(count=30)
    shop.start("bound.test")
    listing = "GetOrderReport" if shop.name == "certinext-v1" else r"^GET /ssl/v1$"
    shop.ca.fault("status", match=listing, times=2)
    done = evercert.run("import", "issuer", "bought")
    assert done.returncode == DONE and "30 orders read" in done.stdout and "import_waits" in done.stderr, done.stderr


def test_a_ca_that_stays_away_ends_the_import_with_a_sentence_and_the_next_run_goes_on(shop, evercert):
    shop.ca.seed(count=30)
    shop.start("bound.test")
    shop.ca.fault("html", match="GetCertificate", skip=10, times=1000)
    done = evercert.run("import", "issuer", "bought", timeout=120)
    assert done.returncode == FAILED and "it ended early" in done.stderr and "Maintenance" in done.stderr, done.stderr
    known = len(ledger(evercert))
    assert known == 10
    shop.ca.clear()
    done = evercert.run("import", "issuer", "bought")
    assert done.returncode == DONE and "20 downloads" in done.stdout, done.stdout


def test_a_limit_is_waited_for(shop, evercert):
    shop.ca.seed(count=3)
    shop.start("bound.test")
    shop.ca.fault("status", match="GetCertificate", status=429, headers={"Retry-After": "2"})
    done = evercert.run("import", "issuer", "bought")
    assert done.returncode == DONE and "3 downloads" in done.stdout and "too many requests" in done.stderr, done.stderr


def test_an_issuer_without_an_account_says_so(nginx, evercert):
    nginx(host("plain.test")).start().audit.wait("served", "plain.test")
    done = evercert.run("import", "issuer", "default")
    assert done.returncode == FAILED and ("does not list" in done.stderr or "no certificate is configured" in done.stderr)


# --- what the CA offers ---

@pytest.mark.parametrize("shop", KINDS, indirect=True)
def test_sync_reads_what_the_ca_offers(shop, evercert):
    shop.start("bound.test")
    done = evercert.run("sync")
    assert done.returncode == DONE and "products" in done.stdout, done.stdout + done.stderr
    if shop.name in ("certinext-v2", "ssl-store"):
        assert "balance 1000000.00" in done.stdout
    tested = evercert.run("test", "issuer", "bought")
    assert tested.returncode == DONE and "products" in tested.stdout, tested.stderr


@pytest.mark.parametrize("shop", KINDS, indirect=True)
def test_a_product_that_does_not_exist_is_told_with_those_that_do_and_nothing_is_sent(shop, evercert):
    wrong = {"sectigo": "999", "digicert": "ssl_nothing", "ssl-store": "nothing"}.get(shop.name, "999 dv")
    known = {"sectigo": "501", "digicert": "ssl_dv_geotrust", "ssl-store": "positivessl"}.get(shop.name, "842 (DV SSL)")
    shop.start("wrong.test", order="on", product=wrong)
    problem = evercert.wait_problem("wrong.test", "action_required", timeout=40)
    assert known in problem["message"] and "correct the option product" in problem["message"], problem
    assert shop.ca.orders() == []
    tested = evercert.run("test", "issuer", "bought")
    assert tested.returncode == HUMAN and "the login works, but" in tested.stderr and known in tested.stderr


@pytest.mark.parametrize("shop", ["sectigo"], indirect=True)
def test_a_term_or_organization_that_does_not_exist_is_told(shop, evercert):
    shop.start("wrong.test", order="on", term="77")
    assert "no term 77" in evercert.wait_problem("wrong.test", "action_required", timeout=40)["message"]
    assert shop.ca.orders() == []


def test_a_product_that_vanished_since_the_lists_were_read_is_looked_up_once_more(shop, evercert):
    shop.start("first.test", order="on")
    evercert.wait_state("first.test", "served", timeout=30)
    shop.ca.settings(withdrawn_products=["842"])
    shop.ca.ask("DELETE", "/counts")
    done = evercert.run("renew", "first.test", "--force", timeout=40)
    assert done.returncode == HUMAN, done.stderr
    message = evercert.wait_problem("first.test", "action_required")["message"]
    assert "EMS-1162" in message and "no product 842" in message and "843" in message
    assert shop.ca.counts().get("GetProductDetails") == 1 and len(shop.ca.orders()) == 1


# --- money ---

@pytest.mark.parametrize("shop", ["certinext-v2", "ssl-store"], indirect=True)
def test_a_balance_that_will_not_do_for_the_next_order_is_told_ahead(shop, evercert):
    shop.ca.settings(balance=25.0)
    site = shop.start("rich.test", low_balance="30")
    assert evercert.run("sync", "bought").returncode == DONE
    event = site.audit.wait("balance_low")
    assert event["issuer"] == "bought" and event["balance"] == "25.00" and "fill up" in event["sentence"]
    account = wait_for(lambda: next((a for a in evercert.status()["accounts"] if a["low"]), None), "the status to tell")
    assert account["issuer"] == "bought" and account["balance"] == "25.00"
    assert account["currency"] == ("USD" if shop.name == "certinext-v2" else "")
    said = r"the account at issuer bought is low: 25\.00"
    assert re.search(said, evercert.run("status").stdout) and re.search(said, status_page(ports.STATUS, "/text")[1].decode())
    # Told once, not with each look.
    assert evercert.run("sync").returncode == DONE
    assert site.audit.count("balance_low") == 1
    shop.ca.settings(balance=500.0)
    assert evercert.run("sync").returncode == DONE
    site.audit.wait("balance_restored")
    wait_for(lambda: [a["low"] for a in evercert.status()["accounts"]] == [False] or None, "the status to tell")


@pytest.mark.parametrize("said,told", [("You have used up the licences of your contract", "used up"),
                                       ("Insufficient funds in wallet", "fill up the account"),
                                       ("Rate limit: slow down", "")])
def test_refusals_about_money_quotas_and_limits_are_told_apart(shop, evercert, said, told):
    shop.ca.settings(order_refusal={"code": "EMS-2000", "message": said})
    shop.start("poor.test", order="on")
    kind = "action_required" if told else "rate_limited"
    problem = evercert.wait_problem("poor.test", kind, timeout=30)
    assert told in problem["message"] and said in problem["message"], problem
    # Not hammered: the next try is an hour away at least.
    orders = shop.ca.counts().get("GenerateOrderSSL")
    assert orders == 1 and json.dumps(evercert.certificate("poor.test")["next"]) != "null"


def test_an_account_that_only_a_server_had_that_has_gone_is_forgotten(nginx, shop, evercert):
    shop.start("stays.test")
    gone = nginx("  server { listen 127.0.0.1:%d ssl; server_name goes.test; evercert on; return 200; }\n" % ports.OTHER_TLS, pebble=None,
                 global_extra=shop.buyer.issuer("other", order="off"), port=ports.OTHER_TLS, status_port=ports.STATUS + 20).start()
    wait_for(lambda: evercert.certificate("goes.test"), "the second server to follow")
    assert evercert.run("sync").returncode == DONE

    def accounts():
        return sorted(account["issuer"] for account in evercert.status()["accounts"])
    wait_for(lambda: accounts() == ["bought", "other"], "both accounts", seen=accounts)
    gone.stop()
    # A follower that is gone may come back within ten seconds.
    wait_for(lambda: accounts() == ["bought"], "the account to be forgotten", 40, seen=accounts)
    assert evercert.run("test", "issuer", "other").returncode == FAILED
