"""A CA that adds a name (www) to an order: it is proved like ours, and what comes is served."""
import pytest
from harness import ports, tls
from harness.buyers import NAME


@pytest.mark.parametrize("buyer", ["certinext-v1", "certinext-v2", "ssl-store"], indirect=True)
def test_an_order_with_www_does_not_wait_for_ever_for_a_name_that_nobody_proves(shop, buyer, evercert):
    site = shop(www="on").start()
    site.audit.wait("served", NAME, timeout=90, pause=0.02, seen=lambda: evercert.status())
    assert set(tls.leaf_at(ports.TLS, NAME).names) == {NAME, "www." + NAME}
    assert evercert.wait_state(NAME, "served")["problem"] is None
    assert len(buyer.orders()) == 1 and site.audit.count("action_required") == 0, site.audit.sentences()
    site.reload()
    site.audit.wait("agent_leads", more_than=1)
    evercert.wait_state(NAME, "served")
    assert len(buyer.orders()) == 1
