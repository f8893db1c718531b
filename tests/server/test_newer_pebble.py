"""The same server against a newer Pebble, which speaks of profiles and says when to ask again. It is unpacked beside the system's
where the network allows it (tests/newer-pebble); PEBBLE_BIN names another one."""
import os
import re
import subprocess
from datetime import datetime

import pytest

from harness import ports, tls
from harness.install import PROJECT
from harness.nginx import host
from harness.pebble import Pebble
from harness.waiting import Timeout

PROFILES = {"classic": {"description": "as ever", "validityPeriod": 7776000},
            "shortlived": {"description": "six days", "validityPeriod": 518400}}


@pytest.fixture(scope="session")
def newer():
    if os.environ.get("PEBBLE_BIN"):
        return os.environ["PEBBLE_BIN"]
    try:
        done = subprocess.run([os.path.join(PROJECT, "tests", "newer-pebble")], capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("no newer pebble: the package mirror did not answer")
    if done.returncode != 0:
        pytest.skip("no newer pebble: " + (done.stderr.strip().splitlines() or ["it could not be unpacked"])[-1])
    return os.path.join(done.stdout.strip(), "pebble")


@pytest.fixture
def new_pebble(newer, folder, authority, dns):
    made = []

    def make(**knobs):
        server = Pebble(os.path.join(folder, "newer"), authority, ports.OTHER_ACME, ports.OTHER_MANAGEMENT, program=newer, **knobs)
        made.append(server)
        return server
    yield make
    for server in made:
        server.close()


def test_the_first_certificate_comes_from_a_newer_pebble_as_well(nginx, new_pebble, evercert):
    ca = new_pebble(extra={"profiles": PROFILES})
    site = nginx(host(["new.test", "www.new.test"]), pebble=ca).start()
    site.audit.wait("served", "new.test")
    assert tls.chain_is_good(ports.TLS, "www.new.test", ca.root_pem())
    evercert.renew("new.test")


def test_the_profile_asked_for_is_the_profile_issued(nginx, new_pebble):
    ca = new_pebble(extra={"profiles": PROFILES})
    site = nginx(host("profile.test"), pebble=ca, issuer_extra="profile shortlived require;").start()
    site.audit.wait("served", "profile.test")
    leaf = tls.leaf_at(ports.TLS, "profile.test").x509
    assert 5 <= (leaf.not_valid_after - leaf.not_valid_before).days <= 6


def test_a_required_profile_that_the_ca_lacks_is_not_ordered(nginx, new_pebble, evercert):
    ca = new_pebble(extra={"profiles": PROFILES})
    nginx(host("lacking.test"), pebble=ca, issuer_extra="profile golden require;").start()
    problem = evercert.wait_problem("lacking.test")
    assert "golden" in problem["message"] and ca.orders() == 0


def moment_of(clock):
    return datetime.strptime(clock, "%H:%M:%S")


def test_retry_after_on_an_order_that_the_ca_works_on_is_obeyed(nginx, new_pebble):
    ca = new_pebble(extra={"profiles": PROFILES, "retryAfter": {"authz": 1, "order": 1}}, nosleep=False)
    site = nginx(host("wish.test"), pebble=ca).start()
    try:
        site.audit.wait("served", "wish.test", timeout=60)
    except Timeout as failure:
        raise Timeout("%s\n%s" % (failure, ca.text()[-2000:])) from None
    assert ca.orders() == 1
    asked = re.findall(r"(\d\d:\d\d:\d\d) POST /(my-order|finalize-order)/", ca.text())
    finalized = [place for place, (_, what) in enumerate(asked) if what == "finalize-order"]
    assert len(finalized) == 1, asked
    # It gives orders that it works on a Retry-After of one second: no two requests in the same second of its log, however long
    # that takes.
    obeyed = [at for at, _ in asked[finalized[0]:]]
    assert len(obeyed) >= 2 and len(set(obeyed)) == len(obeyed), asked
    # Before, it says nothing of waiting: each of its validations is seen and asked after at most five times, else once a second.
    free = [at for at, _ in asked[:finalized[0]]]
    seconds = int((moment_of(free[-1]) - moment_of(free[0])).total_seconds()) % 86400
    assert len(free) <= 5 * ca.text().count("Attempting to validate") + 4 + seconds, asked


def test_refused_nonces_of_a_newer_pebble_cost_no_certificate(nginx, new_pebble):
    ca = new_pebble(extra={"profiles": PROFILES}, nonce_reject=50)
    names = ["nonces%d.test" % i for i in range(10)]
    site = nginx("".join(host(name) for name in names), pebble=ca).start()
    for name in names:
        site.audit.wait("served", name, timeout=40, pause=0.02)
