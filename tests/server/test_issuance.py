"""Issuance against an ACME server in its stranger moods, and in number."""
import os
import re

import pytest

from harness import ports, tls
from harness.authority import write_private
from harness.nginx import host


def wait_served(site, names, timeout=60):
    for name in names:
        site.audit.wait("served", name, timeout=timeout, pause=0.02)


def many(count, stem="n"):
    return ["%s%d.test" % (stem, i) for i in range(count)]


@pytest.mark.slow
def test_two_hundred_certificates_are_ordered_stored_and_served(nginx, pebble, evercert):
    names = many(200)
    mark = pebble.mark()
    site = nginx("".join(host(name) for name in names)).start()
    wait_served(site, names)
    assert pebble.orders(mark) == pebble.issued(mark) == 200
    # A busy machine makes the CA slower and polls more frequent; the figure itself is tests/bench's.
    assert pebble.request_count(mark) < 200 * 8, pebble.requests(mark)
    serials = {tls.leaf_at(ports.TLS, name).serial for name in names}
    assert len(serials) == 200
    assert all(c["state"] == "served" for c in evercert.status()["certificates"])
    assert not site.complaints()


def test_an_external_account_is_bound_from_a_secret_file(nginx, other_pebble, folder):
    ca = other_pebble(eab=True)
    secret = os.path.join(folder, "hmac.key")
    write_private(secret, (ca.eab[1][:20] + "\n  " + ca.eab[1][20:] + "\n").encode())  # white space is ignored
    site = nginx(host("eab.test"), pebble=ca, issuer_extra="external_account_key %s %s;" % (ca.eab[0], secret)).start()
    wait_served(site, ["eab.test"])


def test_an_external_account_given_in_place_works_as_well(nginx, other_pebble):
    ca = other_pebble(eab=True)
    site = nginx(host("eab2.test"), pebble=ca, issuer_extra="external_account_key %s data:%s;" % ca.eab).start()
    wait_served(site, ["eab2.test"])


def test_a_missing_external_account_is_a_matter_for_a_human(nginx, other_pebble, evercert):
    ca = other_pebble(eab=True)
    nginx(host("noeab.test"), pebble=ca).start()
    certificate = evercert.wait_state("noeab.test", "action_required")
    assert "external" in certificate["problem"]["message"].lower() and certificate["problem"]["remedy"]
    before = ca.request_count()
    assert before < 12, ca.requests()  # no blind retries


def test_changed_contacts_are_told_to_the_ca_once_and_a_refusal_holds_nothing_up(nginx, pebble):
    mark = pebble.mark()
    site = nginx(host("contacts.test")).start()
    wait_served(site, ["contacts.test"])
    assert pebble.requests(mark)["/my-account"] == 0  # they came with the registration
    for round_ in range(2):
        name = "contacts%d.test" % round_
        site.write(http=host("contacts.test") + host(name), issuer_extra="contact second@example.test;")
        site.reload()
        wait_served(site, [name])
    assert pebble.requests(mark)["/my-account"] == 1 and site.audit.count("contacts_changed") == 1
    site.write(http=host("contacts.test") + host("late.test"), issuer_extra="contact tel:+123456;")
    site.reload()
    wait_served(site, ["late.test"])
    assert "correct contact" in site.audit.all("contacts_not_changed")[-1]["sentence"]


def test_terms_that_were_not_accepted_are_a_matter_for_a_human(nginx, pebble, evercert):
    site = nginx(host("terms.test"), terms="")
    code, said = site.test()
    assert code == 0 and "accept_terms_of_service" in said and "warn" in said
    site.start()
    certificate = evercert.wait_state("terms.test", "action_required")
    assert "terms" in certificate["problem"]["message"]


def test_a_strict_server_is_satisfied(nginx, other_pebble):
    site = nginx(host("strict.test") + host(["strict-a.test", "strict-b.test"]), pebble=other_pebble(strict=True)).start()
    wait_served(site, ["strict.test", "strict-a.test"])


@pytest.mark.parametrize("percent", [5, 50])
def test_refused_nonces_cost_requests_but_no_certificate(nginx, other_pebble, percent):
    ca = other_pebble(nonce_reject=percent)
    names = many(20, "nonce%d-" % percent)
    site = nginx("".join(host(name) for name in names), pebble=ca).start()
    wait_served(site, names)
    assert ca.issued() == 20
    # Each request is repeated at once with the nonce of the refusal: a geometric series, no more.
    assert ca.request_count() <= 20 * (8.5 if percent == 5 else 17), ca.requests()
    assert site.audit.count("renewal_failed") == 0


def test_the_preferred_one_of_alternate_chains_is_taken(nginx, other_pebble):
    ca = other_pebble(alternate_roots=2, chain_length=2)
    roots = [ca.root_pem(i) for i in range(3)]
    titles = [re.search(rb"CN ?= ?([^,\n/]+)", subject_of(pem)).group(1).decode().strip() for pem in roots]
    site = nginx(host("chain.test"), pebble=ca, issuer_extra='preferred_chain "%s";' % titles[2]).start()
    wait_served(site, ["chain.test"])
    assert tls.chain_is_good(ports.TLS, "chain.test", roots[2])
    assert not tls.chain_is_good(ports.TLS, "chain.test", roots[0])


def subject_of(pem):
    import subprocess
    return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, check=True).stdout


def test_a_preferred_chain_that_nobody_offers_is_a_warning_not_a_failure(nginx, other_pebble):
    ca = other_pebble(alternate_roots=1)
    site = nginx(host("mistyped.test"), pebble=ca, issuer_extra='preferred_chain "No Such Root";').start()
    wait_served(site, ["mistyped.test"])
    assert tls.chain_is_good(ports.TLS, "mistyped.test", ca.root_pem(0))
    site.wait_log("No Such Root")


def test_a_chain_of_three_is_served_whole_and_without_its_root(nginx, other_pebble):
    ca = other_pebble(chain_length=3)
    site = nginx(host("long.test"), pebble=ca).start()
    wait_served(site, ["long.test"])
    chain = tls.chain_at(ports.TLS, "long.test")
    assert len(chain) == 4 and all(a.issuer == b.subject for a, b in zip(chain, chain[1:]))
    assert chain[-1].issuer != chain[-1].subject
    assert tls.chain_is_good(ports.TLS, "long.test", ca.root_pem())


def test_reused_authorizations_are_taken_without_a_challenge(nginx, other_pebble, evercert):
    ca = other_pebble(authz_reuse=100)
    site = nginx(host("reuse.test"), pebble=ca).start()
    wait_served(site, ["reuse.test"])
    mark = ca.mark()
    evercert.renew("reuse.test")
    assert ca.requests(mark)["/chalZ"] == 0 and ca.issued(mark) == 1


def test_a_validation_that_takes_its_time_is_waited_for(nginx, other_pebble):
    ca = other_pebble(nosleep=False)
    site = nginx(host("slow.test"), pebble=ca).start()
    wait_served(site, ["slow.test"])
    assert ca.orders() == 1 and ca.requests()["/my-order"] < 40


def test_a_name_the_ca_rejects_is_reported_with_its_name_and_not_tried_again_at_once(nginx, other_pebble, evercert):
    ca = other_pebble(blocked=["forbidden.test"])
    site = nginx(host(["good.test", "forbidden.test"]) + host("free.test"), pebble=ca).start()
    wait_served(site, ["free.test"])
    problem = evercert.wait_problem("good.test")
    assert "forbidden.test" in problem["message"] and problem["remedy"]
    assert ca.requests()["/order-plz"] <= 4


def test_a_renewal_makes_a_new_key(nginx, evercert):
    site = nginx(host("rekey.test")).start()
    wait_served(site, ["rekey.test"])
    first = tls.leaf_at(ports.TLS, "rekey.test")
    evercert.renew("rekey.test")
    second = tls.leaf_at(ports.TLS, "rekey.test")
    assert first.x509.public_key().public_numbers() != second.x509.public_key().public_numbers()
    assert site.audit.count("account_created") == 1


def test_short_lived_certificates_renew_by_themselves(nginx, other_pebble):
    ca = other_pebble(validity=20)
    site = nginx(host("brief.test"), pebble=ca).start()
    wait_served(site, ["brief.test"])
    first = tls.leaf_at(ports.TLS, "brief.test").serial
    tls.wait_leaf(ports.TLS, "brief.test", lambda leaf: leaf.serial != first, 25, seen=site.log)
