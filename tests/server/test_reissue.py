"""Orders that run for longer than their certificates, and certificates whose names change: a reissue costs no second order."""
import pytest

from harness import ports, processes, tls
from harness.evercert import end
from harness.nginx import host
from harness.shop import Shop
from harness.waiting import wait_for

# A product for several names, and the call that reissues.
SEVERAL = {"certinext-v2": {"product": "844 dv-ucc"}, "sectigo": {"product": "502"}, "ssl_store": {"product": "positivemdcssl"},
           "digicert": {"product": "cloud_dv_geotrust"}}
CALLS = {"certinext-v2": "reissue", "sectigo": "replace", "ssl_store": "order/reissue", "digicert": "reissue"}
# CERTInext changes names or key, not both at once; Sectigo's orders end with their certificates.
BY_NAMES = ["sectigo", "ssl_store", "digicert"]
BY_TIME = ["certinext-v2", "ssl_store", "digicert"]


@pytest.fixture
def shop(request, folder, dns):
    settings = {"v2_http_file_name": "proof.txt"} if request.param == "certinext-v2" else {}
    one = Shop(request.param, folder, **settings)
    one.extra = "validation_file proof.txt;" if settings else ""
    yield one
    one.close()


@pytest.fixture
def begun():
    """Commands that are not waited for."""
    processes_begun = []
    yield processes_begun
    for process in processes_begun:
        end(process)


def site_of(nginx, shop, http):
    return nginx(http, pebble=None, global_extra=shop.issuer(extra=shop.extra, **SEVERAL[shop.ca.ca if not shop.api else "certinext-v2"]))


def key_of(leaf):
    return leaf.x509.public_key().public_numbers()


def bought(shop):
    """Orders that were paid for: CERTInext numbers each reissue."""
    return [order for order in shop.ca.orders() if "R0" not in str(order["id"])]


def reissues(shop):
    return sum(count for call, count in shop.ca.counts().items() if call.endswith("/reissue") or "replace" in call)


@pytest.mark.parametrize("shop", BY_NAMES, indirect=True)
def test_a_new_name_is_reissued_in_the_running_order(nginx, shop):
    site = site_of(nginx, shop, host(["grown.test", "www.grown.test"])).start()
    site.audit.wait("served", "grown.test", timeout=60)
    first = tls.leaf_at(ports.TLS, "grown.test")
    site.write(http=host(["grown.test", "www.grown.test", "mail.grown.test"]))
    site.reload()
    wait_for(lambda: "mail.grown.test" in tls.leaf_at(ports.TLS, "grown.test").names, "the new name to be served", timeout=60)
    second = tls.leaf_at(ports.TLS, "grown.test")
    assert set(second.names) == {"grown.test", "www.grown.test", "mail.grown.test"} and key_of(first) != key_of(second)
    assert len(shop.ca.orders()) == 1 and reissues(shop) == 1
    site.write(http=host(["grown.test", "mail.grown.test"]))
    site.reload()
    wait_for(lambda: "www.grown.test" not in tls.leaf_at(ports.TLS, "grown.test").names, "the old name to be gone", timeout=60)
    assert len(shop.ca.orders()) == 1 and reissues(shop) == 2


@pytest.mark.parametrize("shop", BY_TIME, indirect=True)
def test_a_renewal_within_the_term_is_a_reissue_with_a_new_key(nginx, shop, evercert):
    site = site_of(nginx, shop, host(["running.test", "www.running.test"])).start()
    site.audit.wait("served", "running.test", timeout=60)
    first = tls.leaf_at(ports.TLS, "running.test")
    # What an order may still bring survives a restart.
    site.stop()
    site.start()
    evercert.renew("running.test", timeout=60)
    second = tls.leaf_at(ports.TLS, "running.test")
    assert first.serial != second.serial and key_of(first) != key_of(second)
    assert len(bought(shop)) == 1 and reissues(shop) == 1


@pytest.mark.parametrize("shop", ["sectigo"], indirect=True)
def test_an_order_that_ends_with_its_certificate_is_followed_by_another(nginx, shop, evercert):
    site = site_of(nginx, shop, host(["ended.test", "www.ended.test"])).start()
    site.audit.wait("served", "ended.test", timeout=60)
    evercert.renew("ended.test", timeout=60)
    assert len(shop.ca.orders()) == 2 and reissues(shop) == 0


@pytest.mark.parametrize("shop", sorted(CALLS), indirect=True)
def test_a_kill_between_reissue_and_record_makes_no_second_one(nginx, shop, evercert, begun):
    names = ["killed.test", "www.killed.test"]
    site = site_of(nginx, shop, host(names)).start()
    site.audit.wait("served", "killed.test", timeout=60)
    shop.ca.settings(answer_seconds=3)  # time to die while the CA answers
    if shop.kind == "sectigo":
        names.append("mail.killed.test")
        site.write(http=host(names))
        site.reload()
    else:
        begun.append(evercert.start("renew", "killed.test", "--force", "--state", evercert.state))
    wait_for(lambda: reissues(shop) == 1, "the reissue to arrive")
    processes.kill(site.agent())
    shop.ca.settings(answer_seconds=0)
    wait_for(lambda: site.audit.count("served") == 2, "the reissued certificate to be served", timeout=90)
    assert reissues(shop) == 1 and len(bought(shop)) == 1


@pytest.mark.parametrize("shop", ["digicert", "ssl_store"], indirect=True)
def test_a_reissue_whose_answer_was_lost_is_found(nginx, shop, evercert):
    site = site_of(nginx, shop, host(["lost.test", "www.lost.test"])).start()
    site.audit.wait("served", "lost.test", timeout=60)
    shop.ca.fault("drop_after", match=CALLS[shop.kind])
    evercert.renew("lost.test", timeout=60)
    assert reissues(shop) == 1 and len(shop.ca.orders()) == 1


@pytest.mark.parametrize("shop", ["digicert"], indirect=True)
def test_an_order_that_the_ca_ended_is_followed_by_a_new_one_and_the_log_says_why(nginx, shop, evercert):
    site = site_of(nginx, shop, host(["over.test", "www.over.test"])).start()
    site.audit.wait("served", "over.test", timeout=60)
    shop.ca.act(shop.ca.orders()[0]["id"], "status", status="revoked")
    evercert.renew("over.test", timeout=60)
    said = site.audit.all("reissue_refused")
    assert len(said) == 1 and "a new order is placed" in said[0]["sentence"] and len(shop.ca.orders()) == 2


@pytest.mark.parametrize("shop", ["digicert"], indirect=True)
def test_giving_up_a_reissue_leaves_the_order_alone(nginx, shop, evercert, begun):
    site = site_of(nginx, shop, host(["kept.test", "www.kept.test"])).start()
    site.audit.wait("served", "kept.test", timeout=60)
    shop.ca.settings(approval="manual")
    begun.append(evercert.start("renew", "kept.test", "--force", "--state", evercert.state))
    wait_for(lambda: reissues(shop) == 1, "the reissue to arrive")
    wait_for(lambda: evercert.run("cancel", "kept.test").returncode == 0, "the order to be open")
    evercert.wait_problem("kept.test", "action_required")
    assert [order["state"] if "state" in order else order["status"] for order in shop.ca.orders()] not in (["canceled"], [])
