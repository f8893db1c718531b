"""What cannot be started is refused by the test of the configuration, in the words of the operator's file, and fills no log."""
import os
import re
import shutil

import pytest

from harness import apache as apache_of
from harness import haproxy as haproxy_of
from harness import nginx as nginx_of
from harness import processes
from harness.waiting import wait_for

HOST = {"nginx": nginx_of.host, "apache": apache_of.host, "haproxy": lambda name: [haproxy_of.certificate(name)]}
LINE = {"nginx": r"evercert_%s.* in \S+nginx\.conf:\d+", "apache": r"Evercert%s.* in \S+apache\.conf:\d+", "haproxy": r"haproxy\.json:\d+: .*%s"}


def make(request, server, **more):
    return request.getfixturevalue(server)(HOST[server]("careless.test"), **more)


def named(server, option):
    return LINE[server] % (option.title().replace("_", "") if server == "apache" else option)


def with_program(request, server, program):
    if server == "haproxy":
        return make(request, server, settings={"program": program})
    return make(request, server).use_program(program)


def without_interpreter(folder):
    """It may be executed, as far as can be seen, and cannot."""
    path = os.path.join(folder, "no-interpreter")
    with open(path, "w") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(path, 0o755)
    return path


def refused(site, *parts):
    code, said = site.test()
    assert code != 0, said
    for part in parts:
        assert re.search(part, said), "%s in\n%s" % (part, said)


@pytest.mark.parametrize("server", HOST)
@pytest.mark.parametrize("damage", ["missing", "a directory", "not executable"])
def test_a_program_that_cannot_be_executed_does_not_pass_the_test(request, folder, server, damage):
    path = os.path.join(folder, "program")
    if damage == "a directory":
        os.mkdir(path)
    elif damage == "not executable":
        with open(path, "w"):
            pass
    refused(with_program(request, server, path), "the agent's program \"%s\" cannot be executed, install it or name another" % path)


@pytest.mark.parametrize("server", HOST)
def test_a_state_path_below_nothing_is_told_with_its_line_and_what_makes_it(request, folder, server):
    above = os.path.join(folder, "no", "such")
    site = make(request, server, state=os.path.join(above, "state"))
    spelt = {"nginx": "evercert_state_path", "apache": "EvercertStatePath", "haproxy": "state_path"}[server]
    refused(site, "run: mkdir -p %s, or name another %s" % (above, spelt), named(server, "state_path"))
    os.makedirs(above)
    assert site.test()[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives its rights up for this")
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("server", HOST)
def test_a_state_path_that_only_root_may_make_is_told_with_its_line(request, folder, server, exists):
    above = os.path.join(folder, "closed")
    os.mkdir(above)
    state = os.path.join(above, "state")
    if exists:
        os.mkdir(state)
    site = make(request, server, state=state, user=None)
    refused(site, "Permission denied; run it as root, or name another", named(server, "state_path"))


def test_apache_tells_once_that_its_agent_does_not_start(apache, folder):
    site = apache(apache_of.host("careless.test")).use_program(without_interpreter(folder)).start()
    relays = set()

    def tries():
        relays.update(pid for pid in site.remember() if processes.name_of(pid) == "evercert-relay")
        return len(relays)
    wait_for(lambda: tries() > 5, "six tries", 60, seen=site.log)
    lines = [line for line in site.log().splitlines() if re.search("agent does not start|agent's process ended", line)]
    assert len([line for line in lines if "does not start: cannot execute" in line]) == 1, lines
    assert len(lines) <= 2 and not any("exit code 0" in line for line in lines), lines


def test_nginx_has_no_child_to_tell_of_where_there_is_no_program(nginx, folder, install):
    missing = os.path.join(folder, "no-such-program")
    site = nginx(nginx_of.host("careless.test")).use_program(missing).start()
    site.wait_log("the agent does not start: cannot execute %s: No such file" % missing)
    shutil.copy(install.program, missing + ".new")
    os.chmod(missing + ".new", 0o711)
    os.replace(missing + ".new", missing)
    site.audit.wait("served", "careless.test", timeout=90, seen=site.log)
    assert "exited with code 127" not in site.log()
