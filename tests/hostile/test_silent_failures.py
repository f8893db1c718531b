"""A careless operator whose log shows errors only: failures are heard there, and so is their end."""
import json
import os
import re
import shutil

import fault_proxy
import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import ports, tls
from harness.waiting import wait_for

ORDER = "^/order-plz$"


def errors(site, what):
    return [line for line in site.log().splitlines() if re.search(what, line)]


def failing_site(request, server, fault, **more):
    fault.add(ORDER, fault_proxy.status(403, detail="not for you", kind="urn:ietf:params:acme:error:malformed"), times=10000)
    make = request.getfixturevalue(server)
    what = {"nginx": nginx_of.host, "apache": apache_of.host}[server]("heard.test") if server != "haproxy" else [
        haproxy_of.certificate("heard.test")]
    return make(what, directory=fault.uri, **more)


@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_the_third_failure_and_the_success_after_it_are_errors_in_the_log(request, server, fault, evercert):
    site = failing_site(request, server, fault)
    if server == "nginx":
        with open(site.configuration) as file:
            text = file.read()
        with open(site.configuration, "w") as file:
            file.write(text.replace(site.error_log + " info;", site.error_log + " error;"))
    site.start()
    for failures in (1, 2, 3):
        site.audit.wait("renewal_failed", "heard.test", more_than=failures - 1, seen=site.log)
        if failures < 3:
            assert not site.audit.all("failing")
            evercert.run("renew", "heard.test", "--force")
    site.audit.wait("failing", "heard.test", seen=site.log)
    wait_for(lambda: errors(site, "is not renewed, it failed 3 times since .*; there is no certificate yet; last: .*not for you"),
             "the failure in the log", seen=site.log)
    fault.clear()
    evercert.renew("heard.test")
    site.audit.wait("recovered", "heard.test", seen=site.log)
    wait_for(lambda: errors(site, "heard.test is renewed: generation 1"), "the success in the log", seen=site.log)
    assert site.audit.count("failing") == site.audit.count("recovered") == 1


def test_a_metric_says_since_when_something_fails(nginx, evercert, fault):
    fault.add(ORDER, fault_proxy.status(403, detail="no", kind="urn:ietf:params:acme:error:malformed"), times=10000)
    nginx(nginx_of.host("heard.test"), directory=fault.uri).start()
    evercert.wait_problem("heard.test")
    # The problem tells it; what comes next need not.
    assert evercert.certificate("heard.test")["next"]["why"] == "another try"

    def since():
        page = tls.plain_get(ports.STATUS, "localhost", "/evercert/metrics")[1].decode()
        return int(re.search(r'^evercert_certificate_failing_since_timestamp_seconds\{certificate="heard.test"\} (\d+)$', page, re.M).group(1))
    assert wait_for(since, "a time since when it fails") > 1700000000
    fault.clear()
    evercert.renew("heard.test")
    wait_for(lambda: since() == 0, "the metric to be 0 again")


def test_a_program_that_cannot_be_started_fills_no_log(nginx, folder, install):
    missing = os.path.join(folder, "no-interpreter")
    with open(missing, "w") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(missing, 0o755)
    site = nginx(nginx_of.host("heard.test")).use_program(missing).start()
    wait_for(lambda: errors(site, "the agent does not start: cannot execute"), "the error", seen=site.log)
    wait_for(lambda: len(errors(site, "exited with code 127")) > 7, "seven more tries", 30, seen=site.log)
    assert len(errors(site, "agent does not start|gone before it was ready")) == 1, site.log()
    shutil.copy(install.program, missing + ".new")
    os.chmod(missing + ".new", 0o711)
    os.replace(missing + ".new", missing)
    site.audit.wait("served", "heard.test", timeout=90, seen=site.log)


def test_a_state_directory_without_a_server_is_told_in_plain_words(evercert, folder):
    os.makedirs(os.path.join(evercert.state, "state"))
    said = evercert.run("status")
    assert said.returncode == 1 and "no server has been started with the state directory " + evercert.state in said.stderr, said.stderr
    said = evercert.run("status", "www.example.com")
    assert said.returncode == 1 and "no server has been started" in said.stderr, said.stderr
    assert json.loads(evercert.run("status", "--json").stdout)["certificates"] == []


LOG = {"nginx": "its error log %s says why", "apache": "its error log %s says why", "haproxy": "HAProxy's log"}


@pytest.mark.skipif(os.geteuid() != 0, reason="others may not look into the server's processes")
@pytest.mark.parametrize("server", LOG)
def test_an_agent_that_never_comes_up_is_not_told_as_a_server_that_was_never_started(request, evercert, folder, install, server):
    program = os.path.join(folder, "program")
    with open(program, "w") as file:
        file.write('#!/bin/sh\n[ "$1" != run ] || exit 3\nexec %s "$@"\n' % install.program)
    os.chmod(program, 0o755)
    if server == "haproxy":
        site = request.getfixturevalue(server)([haproxy_of.certificate("heard.test")], settings={"program": program}).start()
    else:
        host = {"nginx": nginx_of, "apache": apache_of}[server].host
        site = request.getfixturevalue(server)(host("heard.test")).use_program(program).start()
    site.wait_log("the agent has gone before it was ready|agent's process ended")
    told = LOG[server].replace("%s", site.log_path)
    called = {"nginx": "nginx", "apache": "Apache", "haproxy": "HAProxy"}[server]
    for verb in ("status", "list"):
        said = evercert.run(verb)
        assert said.returncode == 1 and told in said.stderr and "start it" not in said.stderr, said.stderr
        assert re.match(r"%s \(process \d+\) runs with the state directory " % called, said.stderr), said.stderr
    assert evercert.run("status", "--json").returncode == 1
    # One that came up once, and does no more.
    page = os.path.join(evercert.state, "state", "status.json")
    with open(page, "w") as file:
        json.dump({"format": 1, "server": called, "version": "1", "generated_at": "2026-01-01T00:00:00Z",
                   "agent": {"state": "leader", "pid": 1, "since": "2026-01-01T00:00:00Z"}, "certificates": [], "orders": []}, file,
                  separators=(",", ":"))
    os.utime(page, (1, 1))
    owner = os.stat(os.path.dirname(page))
    os.chown(page, owner.st_uid, owner.st_gid)
    said = evercert.run("status")
    assert said.returncode == 1 and "has not come up" in said.stderr and told in said.stderr, said.stderr
