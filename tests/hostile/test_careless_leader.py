"""What comes of a state_path/leader that a person put in a wrong state: it is told before the start, and takes no site off TLS."""
import os
import pwd

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, tls
from harness.evercert import DONE
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")

HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}


def directory(path):
    os.unlink(path)
    os.mkdir(path, 0o750)


def link(path):
    os.rename(path, path + ".real")
    os.symlink(path + ".real", path)


def pipe(path):
    os.unlink(path)
    os.mkfifo(path, 0o600)


def owner(path):
    os.chown(path, pwd.getpwnam("www-data").pw_uid, -1)


def open_to_all(path):
    os.chmod(path, 0o666)


DAMAGE = {"a directory": directory, "a link": link, "a pipe": pipe, "another owner": owner, "open to all": open_to_all}


def mend(path):
    if os.path.isdir(path):
        os.rmdir(path)
    else:
        os.unlink(path)


@pytest.mark.parametrize("kind, damage", [("nginx", damage) for damage in DAMAGE] + [("apache", "a directory"), ("haproxy", "a directory")])
def test_a_wrong_leader_file_does_not_pass_the_test_and_takes_no_site_off_tls(request, evercert, kind, damage):
    name = "leader-%s.test" % kind
    site = request.getfixturevalue(kind)(HOST[kind](name)).start()
    site.audit.wait("served", name)
    site.stop()
    path = os.path.join(evercert.state, "leader")
    DAMAGE[damage](path)
    code, said = site.test()
    assert path in said and "remove it, and it is made anew" in said, said
    # HAProxy does not tell a module that this is only a test, and a start must not fail for it.
    assert code != 0 or kind == "haproxy", said
    assert sorted(os.listdir(evercert.state)) == sorted({"leader", "seal.key", "state"} | ({"leader.real"} if damage == "a link" else set()))
    site.start()
    assert "Pebble" in tls.wait_leaf(ports.TLS, name).issuer
    site.wait_log(r"leader\S* is refused: .* remove it, and it is made anew")
    mend(path)
    assert site.test()[0] == 0
    if kind != "apache":  # whose parent is root still
        site.reload()
    wait_for(lambda: evercert.run("renew", name, "--force").returncode == DONE, "a renewal", 30, 0.2, seen=lambda: site.log()[-3000:])
