"""What status, log and commands claim is made from facts: nothing is called served that no handshake has shown."""
import json
import os
import threading
import time
from datetime import datetime

import pytest

from harness import apache as httpd
from harness import ports, tls
from harness.damage import DAMAGES, bundles, change
from harness.evercert import DONE, FAILED
from harness.haproxy import certificate
from harness.nginx import host
from harness.waiting import wait_for

SHADOWED = ports.FREE + 40


def check_claims(page):
    for one in page["certificates"]:
        shown = json.dumps(one)
        if one["state"] == "served":
            assert one["served"] and one["served"]["generation"] == one["generation"], shown
        if one["state"] in ("issued", "issued_not_served", "waiting", "ordering"):
            assert one["served"] is None, shown
        if one["state"] in ("failing", "action_required", "held", "expired", "issued_not_served"):
            assert one["problem"], shown


class Watcher:
    """Reads each status page that appears, as fast as it can."""

    def __init__(self, state):
        self.path = os.path.join(state, "state", "status.json")
        self.pages, self.fault, self.over = [], None, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        seen = None
        while not self.over.wait(0.001):
            try:
                with open(self.path) as file:
                    facts = os.fstat(file.fileno())
                    if (facts.st_ino, facts.st_mtime_ns) == seen:
                        continue
                    seen = (facts.st_ino, facts.st_mtime_ns)
                    page = json.load(file)
            except FileNotFoundError:
                continue
            self.pages.append(page)
            try:
                check_claims(page)
            except AssertionError as fault:
                self.fault = self.fault or fault

    def end(self):
        self.over.set()
        self.thread.join()
        assert self.fault is None, self.fault
        return self.pages


def test_no_page_says_served_before_a_handshake_has_shown_it(nginx, evercert):
    site = nginx(host("claim-a.test") + host("claim-b.test")).start()
    for name in ("claim-a.test", "claim-b.test"):
        site.audit.wait("served", name)
    watcher = Watcher(evercert.state)
    for _ in range(4):
        assert evercert.run("renew", "--all", "--force").returncode == DONE
    site.reload()
    wait_for(lambda: len(watcher.pages) > 8, "pages", seen=lambda: len(watcher.pages))
    pages = watcher.end()
    assert {one["state"] for page in pages for one in page["certificates"]} >= {"served"}


def test_the_first_page_after_a_start_knows_what_is_stored(nginx, evercert):
    names = ["stored%d.test" % number for number in range(20)]
    site = nginx("".join(host(name) for name in names)).start()
    for name in names:
        site.audit.wait("served", name, timeout=40, pause=0.02)
    site.stop()
    for _ in range(3):
        os.unlink(os.path.join(evercert.state, "state", "status.json"))
        watcher = Watcher(evercert.state)
        site.start()
        for name in names:
            evercert.wait_state(name, "served")
        pages = watcher.end()
        assert all(one["generation"] == 1 and one["not_after"] for one in pages[0]["certificates"]), pages[0]
        assert len(pages[0]["certificates"]) == len(names)
        site.stop()


def test_what_nobody_proves_is_issued_and_no_more(nginx, evercert):
    nginx(host("unproved.test", "evercert on; evercert_proof off;")).start()
    tls.wait_leaf(ports.TLS, "unproved.test", timeout=30)
    one = evercert.wait_state("unproved.test", "issued")
    assert one["generation"] == 1 and one["served"] is None and one["problem"] is None
    assert evercert.run("renew", "unproved.test", "--force").returncode == DONE


def shadowing(kind, authority, name):
    """A server whose certificate for another name answers at 127.0.0.1, in front of a block for every address."""
    chain, key = authority.files("shadow.test")
    if kind == "nginx":
        static = "server { listen 127.0.0.1:%d ssl; server_name shadow.test; ssl_certificate %s; ssl_certificate_key %s; }" % (SHADOWED, chain, key)
        return (host(name).replace("listen 127.0.0.1:%d ssl" % ports.TLS, "listen %d ssl" % SHADOWED) + static,), {"port": SHADOWED}
    if kind == "apache":
        static = httpd.host("shadow.test", "", listen=SHADOWED, http=False, static=(chain, key))
        return (httpd.host(name, listen=SHADOWED, address="*") + static,), {"main": "Listen 0.0.0.0:%d https" % SHADOWED}
    both = os.path.join(os.path.dirname(chain), "shadow-both.pem")
    with open(both, "w") as file:
        file.write(open(chain).read() + open(key).read())
    return ([certificate(name)],), {"settings": {"tls_port": SHADOWED}, "both": both}


@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_a_listener_in_front_of_another_is_no_reason_for_an_alarm(request, kind, authority, evercert):
    (what,), options = shadowing(kind, authority, "behind.test")
    both = options.pop("both", None)
    site = request.getfixturevalue(kind)(what, **options)
    if both:
        site.write(binds="bind 0.0.0.0:%d ssl crt %s/\nbind 127.0.0.1:%d ssl crt %s" % (SHADOWED, site.pem_path, SHADOWED, both))
    site.start()
    event = site.audit.wait("served", "behind.test", timeout=30, seen=site.log)
    assert "evercert tests" in tls.leaf_at(SHADOWED, "behind.test").issuer  # what stands in front
    assert event["listener"].endswith(":%d" % SHADOWED) and event["listener"] != "127.0.0.1:%d" % SHADOWED
    assert site.audit.count("not_served") == 0
    evercert.wait_state("behind.test", "served")
    # The second time it is known where to ask.
    evercert.renew("behind.test")
    assert site.audit.count("not_served") == 0


def test_a_revoked_certificate_that_is_served_is_not_called_well(nginx, evercert):
    site = nginx(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test")
    evercert.wait_state("revoked.test", "served")
    before = time.time()
    done = evercert.run("revoke", "revoked.test", "--yes")
    assert done.returncode == DONE
    assert done.stdout.strip().endswith("it is still served; order another: evercert renew revoked.test"), done.stdout
    one = evercert.wait_state("revoked.test", "action_required")
    assert one["problem"]["kind"] == "revoked" and "`evercert renew revoked.test`" in one["problem"]["remedy"] and one["served"]["generation"] == 1
    assert datetime.fromisoformat(one["problem"]["since"].replace("Z", "+00:00")).timestamp() >= int(before)
    site.wait_log(r"\[error\].*revoked\.test: generation 1 is revoked and served all the same")
    # It is known after a restart, too.
    site.stop()
    site.start()
    assert evercert.wait_state("revoked.test", "action_required")["problem"]["kind"] == "revoked"
    site.audit.wait("revoked_served", "revoked.test", more_than=1)
    # The guard against renewing too often protects what is good.
    assert evercert.run("renew", "revoked.test").returncode == DONE
    site.audit.wait("served", "revoked.test", more_than=1)
    assert evercert.wait_state("revoked.test", "served")["problem"] is None
    # Nobody goes back to the one that must not be trusted.
    second = tls.leaf_at(ports.TLS, "revoked.test").serial
    for words, why in (([], "generation 1 is revoked; left and not revoked: 2"), (["--to", "1"], "generation 1 is revoked"),
                       (["--to", "99"], "there never was a generation 99; left and not revoked: 2")):
        refused = evercert.run("rollback", "revoked.test", *words)
        assert refused.returncode == FAILED and why in refused.stderr, refused
    assert tls.leaf_at(ports.TLS, "revoked.test").serial == second


def start_anew(site):
    """What the agent before said of itself still lies there until the next one leads."""
    leads = site.audit.count("agent_leads")
    site.start()
    site.audit.wait("agent_leads", more_than=leads)


def test_a_damaged_generation_is_a_problem_as_long_as_an_older_one_is_used(nginx, evercert):
    site = nginx(host("damaged.test")).start()
    site.audit.wait("served", "damaged.test")
    first = tls.leaf_at(ports.TLS, "damaged.test").serial
    evercert.renew("damaged.test")
    site.stop()
    change(bundles(evercert.state, "damaged.test")[-1], DAMAGES["bit-flipped"])
    for _ in range(2):
        start_anew(site)
        assert "generation 2 was damaged" in evercert.wait_problem("damaged.test", "storage")["message"]
        one = evercert.wait_state("damaged.test", "served")
        assert one["generation"] == one["served"]["generation"] == 1 and tls.leaf_at(ports.TLS, "damaged.test").serial == first
        site.stop()
    start_anew(site)
    evercert.wait_problem("damaged.test", "storage")
    evercert.renew("damaged.test")
    assert evercert.certificate("damaged.test")["problem"] is None
