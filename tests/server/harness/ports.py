"""Loopback ports: 200 from EVERCERT_TEST_PORTS (default 31000). One test process at a time uses a range; above 32767 Linux
takes ports for outgoing connections."""
import os

BASE = int(os.environ.get("EVERCERT_TEST_PORTS", "31000"))

ACME, ACME_MANAGEMENT, DNS, DNS_CONTROL = (BASE + i for i in range(4))
# A second CA with other settings, beside the shared one.
OTHER_ACME, OTHER_MANAGEMENT = BASE + 4, BASE + 5
FAULT = BASE + 6
# Between a server and its CA.
LINK, PROXY = BASE + 7, BASE + 8
# Where the CA knocks.
HTTP, TLS = BASE + 10, BASE + 11
STATUS = BASE + 12
STREAM = BASE + 13
TLS_STATIC, TLS_CLIENT, TLS_HTTP2, TLS_TWELVE = (BASE + i for i in range(14, 18))
# A second server on the same machine.
OTHER_HTTP, OTHER_TLS = BASE + 20, BASE + 21
# Name servers, each at an address of its own.
BIND = BASE + 22
# Six kinds of server block and whatever a test needs once.
FREE = BASE + 30
# Each simulated commercial CA, with its management port above it.
SIMULATORS = {"certinext": BASE + 180, "sectigo": BASE + 182, "ssl_store": BASE + 184, "digicert": BASE + 186}
