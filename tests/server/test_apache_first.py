"""The first certificate under each of Apache's ways of processing, and its renewal: served by all children, none replaced."""
import pytest

from harness import ports, tls
from harness.apache import MPMS, host


@pytest.mark.parametrize("mpm", MPMS)
def test_the_first_certificate_is_ordered_served_and_renewed_in_all_children(apache, evercert, pebble, mpm):
    mark = pebble.mark()
    site = apache(host("first.test"), mpm=mpm).start()
    site.audit.wait("served", "first.test", seen=site.log)
    first = tls.leaf_at(ports.TLS, "first.test")
    assert first.names == ["first.test"] and pebble.orders(mark) == 1
    assert tls.get(ports.TLS, "first.test") == (200, b"ok\n")
    children = site.worker_pids()
    evercert.renew("first.test")
    assert {tls.leaf_at(ports.TLS, "first.test").serial for _ in range(40)} != {first.serial}
    assert len({tls.leaf_at(ports.TLS, "first.test").serial for _ in range(40)}) == 1
    assert site.worker_pids() == children and not site.complaints()
