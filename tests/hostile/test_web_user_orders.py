"""Records of orders that the web server's user puts back, to make an agent that has just been killed order, and pay, once more."""
import os
import shutil
import signal
import subprocess

import fault_proxy
import pytest
from harness import ports, tls
from harness.buyers import BUYERS
from harness.buyers import NAME as BOUGHT
from harness.forger import EVER
from harness.nginx import host
from harness.processes import kill
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

NAME = "put-back.test"
NEW_ORDER = "^/order-plz$"


def as_user(*words):
    subprocess.run(words, user="www-data", group="www-data", extra_groups=[], check=True)


class Keeper:
    """Keeps what the record of the only order says now, and puts it back under an agent that is killed at that moment."""

    def __init__(self, site, evercert, folder):
        self.site = site
        self.place = os.path.join(evercert.state, "state", "orders")
        self.kept = os.path.join(folder, "kept")

    def keep(self):
        shutil.copytree(self.place, self.kept)
        os.chmod(self.kept, 0o755)
        for name in os.listdir(self.kept):
            os.chmod(os.path.join(self.kept, name), 0o644)
        assert os.listdir(self.kept)

    def put_back(self):
        def replace():
            for name in os.listdir(self.kept):
                as_user("cp", os.path.join(self.kept, name), os.path.join(self.place, name + ".new"))
                as_user("mv", os.path.join(self.place, name + ".new"), os.path.join(self.place, name))
        self.under_a_stopped_agent(replace)

    def remove(self, folder="orders"):
        self.under_a_stopped_agent(lambda: as_user("find", os.path.join(os.path.dirname(self.place), folder),
                                                  "-type", "f", "-not", "-path", "*/events/*", "-delete"))

    def under_a_stopped_agent(self, change):
        agent = self.site.agent()
        kill(agent, signal.SIGSTOP)
        leads = self.site.audit.count("agent_leads")
        change()
        kill(agent)
        self.site.audit.wait("agent_leads", more_than=leads, timeout=30)


def test_a_record_from_before_an_order_places_no_second_one(nginx, fault, evercert, folder):
    fault.add(NEW_ORDER, fault_proxy.status(429, "8", "later"))
    pending = fault.add("^/my-order/", fault_proxy.rewrite(lambda body: (body.replace(b'"ready"', b'"pending"'), [])), times=EVER)
    site = nginx(host(NAME), directory=fault.uri).start()
    keeper = Keeper(site, evercert, folder)
    site.audit.wait("renewal_failed", NAME)
    keeper.keep()
    site.audit.wait("order_placed", NAME, timeout=30)
    wait_for(lambda: fault.count("^/my-order/"), "the order to be asked for")
    keeper.put_back()
    fault.rules.remove(pending)
    site.audit.wait("served", NAME, timeout=60)
    assert fault.count(NEW_ORDER) == 2, site.audit.sentences()  # the one that was refused, and one
    assert tls.leaf_at(ports.TLS, NAME)


@pytest.mark.parametrize("buyer", BUYERS, indirect=True)
def test_a_record_from_before_a_purchase_buys_nothing_again(shop, buyer, evercert, folder):
    buyer.simulator.settings(issue_seconds=15)
    buyer.simulator.fault("status", match=buyer.place, status=429, headers={"Retry-After": "8"})
    site = shop().start()
    keeper = Keeper(site, evercert, folder)
    site.audit.wait("renewal_failed", BOUGHT, timeout=30)
    assert not buyer.orders()
    keeper.keep()
    site.audit.wait("order_placed", BOUGHT, timeout=40)
    assert len(buyer.orders()) == 1
    keeper.put_back()
    assert not site.audit.count("served")
    site.audit.wait("served", BOUGHT, timeout=60)
    assert buyer.is_served() and len(buyer.orders()) == 1, site.audit.sentences()


@pytest.mark.parametrize("buyer", BUYERS, indirect=True)
def test_a_purchase_whose_record_was_removed_is_made_again_by_nobody_but_a_person(shop, buyer, evercert, folder):
    buyer.simulator.settings(issue_seconds=15)
    site = shop().start()
    keeper = Keeper(site, evercert, folder)
    site.audit.wait("order_placed", BOUGHT, timeout=40)
    keeper.remove()
    problem = evercert.wait_problem(BOUGHT, "action_required", timeout=30)
    assert "costs money" in problem["message"] and "evercert renew %s" % BOUGHT in problem["message"], problem
    site.stop()
    site.start()
    assert "costs money" in evercert.wait_problem(BOUGHT, "action_required", timeout=30)["message"]
    assert len(buyer.orders()) == 1
    buyer.simulator.settings(issue_seconds=0)
    evercert.renew(BOUGHT)
    assert buyer.is_served() and len(buyer.orders()) == 2, site.audit.sentences()


@pytest.mark.parametrize("buyer", ["certinext-v1"], indirect=True)
def test_the_record_of_the_purchase_before_buys_nothing_while_the_next_is_open(shop, buyer, evercert, folder):
    site = shop().start()
    site.audit.wait("served", BOUGHT, timeout=40)
    keeper = Keeper(site, evercert, folder)
    wait_for(lambda: not evercert.status()["orders"], "the order to end")
    keeper.keep()
    buyer.simulator.settings(issue_seconds=15)
    evercert.run("renew", BOUGHT, "--force", "--no-wait")
    site.audit.wait("order_placed", BOUGHT, more_than=1, timeout=40)
    assert len(buyer.orders()) == 2
    keeper.put_back()
    assert "costs money" in evercert.wait_problem(BOUGHT, "action_required", timeout=30)["message"]
    assert len(buyer.orders()) == 2, site.audit.sentences()


@pytest.mark.parametrize("buyer", BUYERS, indirect=True)
def test_what_was_bought_and_removed_is_bought_again_by_nobody_but_a_person(shop, buyer, evercert, folder):
    site = shop().start()
    keeper = Keeper(site, evercert, folder)
    site.audit.wait("served", BOUGHT, timeout=40)
    for _ in range(2):
        keeper.remove("")
        problem = evercert.wait_problem(BOUGHT, "action_required", timeout=30)
        assert "generation 1 of %s cost money" % BOUGHT in problem["message"], problem
    assert len(buyer.orders()) == 1, site.audit.sentences()
    evercert.renew(BOUGHT)
    assert buyer.is_served() and len(buyer.orders()) == 2
    assert evercert.certificate(BOUGHT)["problem"] is None
