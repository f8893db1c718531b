"""Numbers that a script of the web server's user, or a careless person, leaves: nothing may end for good because of one."""
import os

import pytest
from harness import ports, tls
from harness.evercert import USAGE
from harness.nginx import host

NAME = "numbers.test"
TOO_HIGH = ("18446744073709551615", "18446744073709551616", "281474976710656", "9223372036854775807")


@pytest.mark.parametrize("folder_of_them", ["certificates", "quarantine"])
def test_the_name_of_a_file_does_not_end_renewals(nginx, evercert, folder_of_them):
    site = nginx(host(NAME)).start()
    site.audit.wait("served", NAME)
    first = tls.leaf_at(ports.TLS, NAME).serial
    state = os.path.join(site.state, "state")
    for number in TOO_HIGH:
        place = ("certificates/%s/%s.bundle" % (NAME, number) if folder_of_them == "certificates"
                 else "quarantine/certificates_%s_%s.bundle.1" % (NAME, number))
        path = os.path.join(state, place)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"nothing of ours")
        os.chown(os.path.dirname(path), os.stat(state).st_uid, os.stat(state).st_gid)
        os.chown(path, os.stat(state).st_uid, os.stat(state).st_gid)
    evercert.renew(NAME)
    assert tls.leaf_at(ports.TLS, NAME).serial != first
    assert evercert.certificate(NAME)["generation"] == 2
    site.stop()
    site.start()
    site.audit.wait("agent_leads", more_than=1)
    evercert.renew(NAME)
    assert evercert.certificate(NAME)["generation"] == 3
    if folder_of_them == "certificates":
        assert "18446744073709551615" in site.audit.all("foreign_file", NAME)[0]["sentence"] + site.audit.all("foreign_file", NAME)[1]["sentence"]


@pytest.mark.parametrize("number", ["-1", "0", "1.5", "x", "18446744073709551615", "281474976710657"])
def test_no_other_generation_is_taken_for_one_that_cannot_be(nginx, evercert, number):
    site = nginx(host(NAME)).start()
    site.audit.wait("served", NAME)
    evercert.renew(NAME)
    second = tls.leaf_at(ports.TLS, NAME).serial
    done = evercert.run("rollback", NAME, "--to", number)
    assert done.returncode == USAGE and number in done.stdout + done.stderr, done
    assert tls.leaf_at(ports.TLS, NAME).serial == second and evercert.certificate(NAME)["generation"] == 2
