"""emSign CERTInext on nginx: orders over both interfaces, against the simulated CA."""
import os

import pytest

from harness import ports, tls
from harness.authority import write_private
from harness.bind import Bind, make_key
from harness.nginx import host
from harness.simulator import Simulator
from harness.waiting import wait_for

SIGNER_PUBLIC = 'signer "Web Team" Chennai 8.8.8.8;'


@pytest.fixture
def ca(folder, dns):
    one = Simulator("certinext", folder)
    yield one
    one.close()


class Customer:
    """Writes issuer blocks for an account at the simulated CA."""

    def __init__(self, ca, folder):
        self.ca, self.folder = ca, folder

    def issuer(self, api="v1", name="test", product="842 dv", secret=None, extra=SIGNER_PUBLIC, requester="ops@example.com"):
        file = os.path.join(self.folder, name + ".secret")
        write_private(file, (secret or (self.ca.access_key if api == "v1" else self.ca.client_secret)).encode() + b"\n")
        uri = self.ca.v1 if api == "v1" else self.ca.url
        return ('evercert_issuer %s { type certinext; api %s; uri %s; account %s; secret %s; product %s; '
                'requester "Web Team" %s +91-8012345678; ssl_trusted_certificate %s; %s }\n'
                % (name, api, uri, self.ca.account_number, file, product, requester, self.ca.tls_ca_file, extra))


@pytest.fixture
def customer(ca, folder):
    return Customer(ca, folder)


@pytest.fixture
def shop(nginx, customer):
    """A site whose certificates are bought."""
    def make(http, options="", **wanted):
        return nginx(http, pebble=None, global_extra=customer.issuer(**wanted) + options)
    return make


def is_trusted(ca, name):
    with open(ca.issuing_root, "rb") as file:
        return tls.chain_is_good(ports.TLS, name, file.read())


def test_a_certificate_is_bought_proved_by_file_and_served(shop, ca):
    site = shop(host("www.bought.test")).start()
    site.audit.wait("served", "www.bought.test", timeout=25)
    assert is_trusted(ca, "www.bought.test")
    assert len(ca.orders()) == 1
    # The fewest requests that the interface allows, beside the list that is read once a week.
    assert ca.counts() == {"GetProductDetails": 1, "GenerateOrderSSL": 1, "GetDcv": 1, "VerifyDcv": 1, "TrackOrder": 1, "GetCertificate": 1}


@pytest.fixture
def named(folder, ca):
    """A name server that takes updates, and that the CA asks."""
    key = make_key(folder, "update")
    server = Bind(folder, {"bought.test": dict(key="update", records=['@ TXT "v=spf1 -all"'])}, [key])
    ca.settings(name_server="127.0.0.1:%d" % ports.BIND)
    server.options = ("evercert_resolver 127.0.0.1:%d; evercert_dns_port %d; evercert_dns_update * 127.0.0.1:%d %s;"
                      % (ports.BIND, ports.BIND, ports.BIND, key))
    yield server
    server.close()


def test_several_names_and_a_www_are_bought_in_one_order(shop, ca):
    site = shop(host(["several.test", "www.several.test", "mail.several.test"]), product="844 dv-ucc").start()
    site.audit.wait("served", "several.test", timeout=25)
    assert set(tls.leaf_at(ports.TLS, "mail.several.test").names) == {"several.test", "www.several.test", "mail.several.test"}


def test_a_renewal_is_a_new_order_with_a_new_key(shop, ca, evercert):
    site = shop(host("renewed.test")).start()
    site.audit.wait("served", "renewed.test", timeout=25)
    first = tls.leaf_at(ports.TLS, "renewed.test")
    evercert.renew("renewed.test", timeout=40)
    second = tls.leaf_at(ports.TLS, "renewed.test")
    assert first.serial != second.serial and len(ca.orders()) == 2
    assert first.x509.public_key().public_numbers() != second.x509.public_key().public_numbers()


def test_a_wildcard_is_proved_by_a_record_beside_spf(shop, ca, named):
    site = shop(host("*.bought.test", http=False), options=named.options, product="843 dv-wildcard",
                extra=SIGNER_PUBLIC + " challenge dns-txt;").start()
    site.audit.wait("served", "*.bought.test", timeout=25)
    assert is_trusted(ca, "any.bought.test")
    wait_for(lambda: named.look_up("bought.test") == ['"v=spf1 -all"'], "our record to be gone",
             seen=lambda: named.look_up("bought.test"))


def test_the_second_interface_orders_with_an_access_token(shop, ca, named):
    site = shop(host("two.bought.test", http=False), options=named.options, api="v2",
                extra=SIGNER_PUBLIC + " challenge dns-txt;").start()
    site.audit.wait("served", "two.bought.test", timeout=25)
    assert is_trusted(ca, "two.bought.test")


def test_the_second_interface_proves_by_file_where_its_name_is_set(shop, ca):
    ca.settings(v2_http_file_name="proof.txt")
    site = shop(host("file.test"), api="v2", extra=SIGNER_PUBLIC + " validation_file proof.txt;").start()
    site.audit.wait("served", "file.test", timeout=25)


def test_without_the_name_of_the_file_a_person_is_told_what_to_ask_for(shop, ca, evercert):
    shop(host("file.test"), api="v2").start()
    certificate = evercert.wait_state("file.test", "action_required", timeout=40)
    assert "validation_file" in certificate["problem"]["message"] and len(ca.orders()) == 1


@pytest.mark.slow
def test_an_approval_of_three_days_is_a_state_and_no_error(shop, ca, evercert):
    ca.settings(approval="manual", clock_skew_seconds=10 ** 9)
    site = shop(host("approval.test")).start()
    certificate = evercert.wait_state("approval.test", "action_required", timeout=90)
    assert "approval" in certificate["problem"]["message"] and certificate["problem"]["since"]
    ca.advance(3 * 86400)
    site.stop()
    site.start()
    evercert.wait_state("approval.test", "action_required", timeout=60)
    assert len(ca.orders()) == 1 and site.audit.count("renewal_failed") == 0
    ca.settings(clock_skew_seconds=10 ** 9)
    ca.act(ca.orders()[0]["id"], "approve")
    # Asked for at once; what the CA signs is of its own time, three days ahead: it is kept until then.
    evercert.renew("approval.test", timeout=60)
    site.audit.wait("issued_not_valid_yet", "approval.test", seen=site.log)
    assert len(ca.orders()) == 1


def test_a_revocation_reaches_the_ca_with_its_reason(shop, ca, evercert):
    site = shop(host("revoked.test")).start()
    site.audit.wait("served", "revoked.test", timeout=25)
    refused = evercert.run("revoke", "revoked.test", "--yes")
    assert refused.returncode != 0 and "keyCompromise" in refused.stderr + refused.stdout
    done = evercert.run("revoke", "revoked.test", "--reason", "superseded", "--yes")
    assert done.returncode == 0, done.stderr
    assert ca.counts()["RevokeOrder"] == 1


def test_an_order_is_cancelled_at_the_ca_and_not_placed_again(shop, ca, evercert):
    ca.settings(approval="manual")
    site = shop(host("cancelled.test")).start()
    site.audit.wait("challenge_seen", "cancelled.test")
    assert evercert.cancel("cancelled.test")
    site.audit.wait("order_cancelled")
    problem = evercert.wait_problem("cancelled.test", "action_required")
    assert "cancelled" in problem["message"] and [order["state"] for order in ca.orders()] == ["cancelled"]
    assert not evercert.cancel("cancelled.test")


def test_other_names_cancel_the_order_and_place_another(shop, ca, customer):
    ca.settings(approval="manual")
    site = shop(host("grown.test"), product="844 dv-ucc").start()
    site.audit.wait("challenge_seen", "grown.test")
    ca.settings(approval="auto")
    site.write(http=host(["grown.test", "www.grown.test"]))
    site.reload()
    site.audit.wait("served", "grown.test", timeout=40)
    assert sorted(tls.leaf_at(ports.TLS, "grown.test").names) == ["grown.test", "www.grown.test"]
    assert sorted(order["state"] for order in ca.orders()) == ["cancelled", "downloaded"]


@pytest.mark.parametrize("api, who", [("v1", "8412009917"), ("v2", "8412009917")])
def test_a_login_is_tested_without_an_order(shop, ca, evercert, api, who):
    ca.settings(approval="manual")
    site = shop(host("login.test"), api=api, extra=SIGNER_PUBLIC + " validation_file x.txt;").start()
    site.audit.wait("order_placed", "login.test")
    done = evercert.run("test", "issuer", "test")
    assert done.returncode == 0 and who in done.stdout + done.stderr


def test_a_wrong_key_fails_the_test_of_the_login(shop, ca, evercert):
    shop(host("login.test"), secret="wrong").start()
    evercert.wait_problem("login.test")
    done = evercert.run("test", "issuer", "test")
    assert done.returncode != 0 and "secret" in done.stdout + done.stderr

@pytest.mark.parametrize("wanted, said", [
    (dict(secret="wrong-key"), "secret"),
    (dict(product="999"), "product"),
    (dict(requester="stranger@example.com"), "stranger@example.com"),
])
def test_what_is_wrong_with_our_settings_is_said_once_and_costs_nothing(shop, ca, evercert, wanted, said):
    shop(host("wrong.test"), **wanted).start()
    problem = evercert.wait_problem("wrong.test", timeout=40)
    assert said in problem["message"], problem
    assert len(ca.orders()) == 0 and ca.access_key not in problem["message"]


def test_a_burst_that_the_ca_calls_inactive_user_is_waited_for(shop, ca):
    ca.settings(burst_orders=2, burst_seconds=3)
    names = ["burst%d.test" % i for i in range(5)]
    site = shop("".join(host(name) for name in names)).start()
    for name in names:
        site.audit.wait("served", name, timeout=40)
    assert len(ca.orders()) == 5


@pytest.mark.parametrize("before, after, said", [
    ("requester", "#requester", "has no requester"),
    ("product 842 dv;", "", "has no product"),
    ("8.8.8.8", "192.168.1.1", "no public IP address"),
    ("+91-8012345678", "8012345678", "no phone number"),
    ("signer", "contact ops@example.com; signer", "contact is no option of type certinext"),
    ("signer", "customer example; signer", "customer is no option"),
    ("signer", "challenge http-01; signer", "http-01"),
    ("api v1", "api v3", "v3"),
    ("signer", "challenge dns-txt; signer", "dns_update"),
])
def test_what_is_wrong_with_the_options_is_said_with_file_and_line(shop, before, after, said):
    site = shop(host("check.test"))
    with open(site.configuration) as file:
        text = file.read()
    with open(site.configuration, "w") as file:
        file.write(text.replace(before, after.replace("#requester", "comments x; tags"), 1))
    code, answer = site.test()
    assert code != 0 and said in answer and site.configuration + ":" in answer, answer


def test_a_secret_may_come_from_the_environment_or_a_credential(nginx, ca, customer, folder):
    block = customer.issuer().replace(os.path.join(folder, "test.secret"), "credential:certinext")
    site = nginx(host("credential.test"), pebble=None, global_extra=block)
    assert "LoadCredential" in site.test()[1]
    write_private(os.path.join(folder, "certinext"), ca.access_key.encode())
    site.start(prefix=("env", "CREDENTIALS_DIRECTORY=" + folder))
    site.audit.wait("served", "credential.test", timeout=40)
