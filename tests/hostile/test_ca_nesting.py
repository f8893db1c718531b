"""A CA whose JSON is nested without end: the agent lives on, other CAs' certificates come, and it is said what is wrong."""
import fault_proxy
import pytest

from harness import ports, tls
from harness.nginx import host, issuer
from harness.waiting import wait_for

DEPTH = 300000
PLACES = {"the directory": ("^/dir$", "meta"), "the account": ("^/sign-me-up$", "contact"), "an order": ("^/order-plz$", "identifiers"),
          "the error of an order": ("^/my-order/", "error"), "an authorization": ("^/authZ/", "identifier"),
          "a challenge": ("^/chalZ/", "error"), "the finalized order": ("^/finalize-order/", "error")}


@pytest.mark.parametrize("place", PLACES)
def test_json_of_a_ca_that_is_nested_without_end_ends_no_agent(nginx, pebble, fault, evercert, place):
    pattern, member = PLACES[place]
    fault.add(pattern, fault_proxy.nested(member, DEPTH), times=1000, after=True)
    hostile = issuer(fault.uri, pebble.trust, name="hostile")
    site = nginx(host("good.test", "evercert_certificate test good.test;") + host("bad.test", "evercert_certificate hostile bad.test;"),
                 global_extra=hostile).start()
    agent = site.wait_agent()
    # What an answer says that nobody needs is passed over.
    outcome = wait_for(lambda: (lambda c: c and (c["problem"] or c["served"]))(evercert.certificate("bad.test")), "an outcome", 60, 0.05)
    assert "generation" in outcome or "nested more than 32 deep" in outcome["message"], outcome
    site.audit.wait("served", "good.test")
    evercert.renew("good.test")
    assert tls.leaf_at(ports.TLS, "good.test").names == ["good.test"]
    assert site.agent() == agent
