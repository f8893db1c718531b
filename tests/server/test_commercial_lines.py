"""What an edit of the configuration costs at CAs that want money: nothing, where what was bought has the names already, or is
about to be handed out."""
import pytest

from harness import ports, tls
from harness.buyers import NAME
from harness.nginx import host
from harness.waiting import wait_for

WWW = "www." + NAME
several = pytest.mark.parametrize("buyer, product", [("certinext-v1", "844 dv-ucc"), ("certinext-v2", "844 dv-ucc")], indirect=["buyer"])


@several
def test_an_edit_that_a_bought_certificate_covers_buys_nothing(shop, buyer, product, evercert):
    site = shop([NAME, WWW], product=product).start()
    site.audit.wait("served", NAME, timeout=40)
    for block in (host([WWW, NAME]), host(WWW), host(NAME) + host(WWW)):
        site.write(http=block)
        site.reload()
        assert sorted(tls.leaf_at(ports.TLS, WWW).names) == sorted([NAME, WWW])
        wait_for(lambda: all(c["generation"] and c["next"] and "of its life" in c["next"]["why"] for c in evercert.status()["certificates"]),
                 "everything to be due later", seen=evercert.status)
    buyer.stays_calm()
    assert len(buyer.orders()) == 1


@several
def test_an_order_under_way_is_carried_on_though_its_names_stand_in_another_order_now(shop, buyer, product, evercert):
    buyer.simulator.settings(approval="manual")
    site = shop([NAME, WWW], product=product).start()
    number = wait_for(buyer.orders, "the order")[0]["id"]
    evercert.wait_state(NAME, "action_required", timeout=60)
    site.write(http=host([WWW, NAME]))
    site.reload()
    evercert.wait_state(WWW, "action_required", timeout=60)
    assert len(buyer.orders()) == 1
    buyer.simulator.act(number, "approve")
    leaf = tls.wait_leaf(ports.TLS, WWW, lambda leaf: len(leaf.names) == 2, timeout=90, seen=site.log)
    assert sorted(leaf.names) == sorted([NAME, WWW]) and len(buyer.orders()) == 1
