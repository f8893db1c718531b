"""Folders that the web server's user makes beside those of certificates: no server of root's may wait for them when it starts."""
import os
import re
import subprocess

import pytest

from harness import apache as apache_of
from harness import damage
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, tls

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")

NAME = "folders.test"
WEB = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}
HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}

MANY = """
for number in range(20050):
    os.mkdir("x%d.test" % number)
"""
# By their headers bundles of this very state, with nothing but a hole behind: they take no space.
LARGE = """
with open(sys.argv[2], "rb") as file:
    head = file.read(19)
for number in range(40):
    os.mkdir("x%d.test" % number)
    for generation in range(1, 17):
        with open("x%d.test/%d.bundle" % (number, generation), "wb") as file:
            file.write(head + generation.to_bytes(8, "big"))
            file.truncate(512 * 1024)
"""


@pytest.mark.parametrize("kind", sorted(WEB))
@pytest.mark.parametrize("script", [pytest.param(MANY, id="many"), pytest.param(LARGE, id="large")])
def test_a_start_does_not_wait_for_folders_that_nobody_named(request, evercert, kind, script):
    site = request.getfixturevalue(kind)(HOST[kind](NAME)).start()
    site.audit.wait("served", NAME)
    served = tls.leaf_at(ports.TLS, NAME).serial
    site.stop()
    bundle = damage.bundles(evercert.state, NAME)[-1]
    subprocess.run(["/usr/bin/python3", "-c", "import os, sys\nos.chdir(sys.argv[1])\n" + script,
                    os.path.dirname(os.path.dirname(bundle)), bundle], user=WEB[kind], group=WEB[kind], extra_groups=[], check=True)
    site.start()
    assert tls.wait_leaf(ports.TLS, NAME).serial == served
    said = site.wait_log(r"(\d+) of (\d+) folders in state/certificates that are not in the index [^\n]*: see who made them")
    left, all_of_them = int(said.group(1)), int(said.group(2))
    # The certificate's own is among them where the server was stopped before the index was written.
    made = 20050 if script is MANY else 40
    assert 0 < left <= all_of_them and all_of_them - made in (0, 1)
    # Whoever starts, and its agent.
    assert len(re.findall("folders in state/certificates", site.log())) == 1
