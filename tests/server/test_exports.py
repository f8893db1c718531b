"""Exports and hooks belong to every server: files for other software, and a command once a new certificate is served."""
import os
import pwd
import re
import stat

import pytest

from harness import apache as httpd
from harness import ports, processes, tls
from harness.authority import serial_of_pem
from harness.evercert import DONE, FAILED
from harness.haproxy import certificate
from harness.nginx import host
from harness.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the agent has a user of its own")
USERS = {"nginx": "www-data", "apache": "www-data", "haproxy": "haproxy"}


def folder_of(user, path, mode=0o750):
    os.makedirs(path)
    os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    os.chmod(path, mode)
    return path


@pytest.fixture(params=USERS)
def server(request, folder):
    """Makes a server of each kind: server("name.test", export_path=..., hook=[...]); its `kind` and the folder that hooks write to."""
    kind = request.param
    make_it = request.getfixturevalue(kind)

    def make(name, **options):
        if kind == "haproxy":
            return make_it([certificate(name)], settings=options)
        words = {key: value if isinstance(value, str) else " ".join('"%s"' % word for word in value) for key, value in options.items()}
        if kind == "nginx":
            return make_it(host(name), global_extra="".join("evercert_%s %s; " % one for one in words.items()))
        return make_it(httpd.host(name), global_extra="".join("Evercert%s %s\n" % ("".join(part.title() for part in key.split("_")), value)
                                                             for key, value in words.items()))
    make.kind, make.user = kind, USERS[kind]
    make.notes = folder_of(make.user, os.path.join(folder, "notes"))
    return make


def script(folder, text):
    path = os.path.join(folder, "hook")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def lines(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def test_files_are_written_and_the_hook_runs_once_the_certificate_is_served(server, folder, evercert):
    exports, told = folder_of(server.user, os.path.join(folder, "exports")), os.path.join(server.notes, "told")
    events = os.path.join(folder, "evercert", "state", "events")
    hook = script(folder, 'echo "$1|$EVERCERT_CERTIFICATES|$EVERCERT_NAMES|$EVERCERT_EXPORT_PATH|'
                          '$(cat %s/*.jsonl | grep -c \'"name":"served"\')|$(ls /proc/self/fd | tr "\\n" " ")" >>%s' % (events, told))
    site = server("out.test", export_path=exports, hook=[hook, "two words"])
    site.start()
    site.audit.wait("served", "out.test", timeout=30, seen=site.log)
    wait_for(lambda: lines(told), "the hook", seen=site.log)
    # Nothing of the agent's is open in it but what ls itself has opened.
    assert lines(told) == ["two words|out.test|out.test|%s|1|0 1 2 3 " % exports]
    path = os.path.join(exports, "out.test.pem")
    assert serial_of_pem(path) == tls.leaf_at(ports.TLS, "out.test").serial
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    evercert.renew("out.test")
    wait_for(lambda: len(lines(told)) == 2, "the hook again", seen=lambda: lines(told))
    assert serial_of_pem(path) == tls.leaf_at(ports.TLS, "out.test").serial
    # A reload brings another agent, which knows what was told.
    site.reload()
    wait_for(lambda: evercert.run("renew", "out.test", "--force").returncode == DONE, "the next agent to renew", 30, 0.1, seen=site.log)
    wait_for(lambda: len(lines(told)) == 3, "the hook once more", seen=lambda: lines(told))
    assert lines(told)[2].endswith("|0 1 2 3 ") and not evercert.certificate("out.test")["problem"]


def test_an_export_that_fails_is_a_problem_and_renew_does_not_end_with_success(server, folder, evercert):
    exports = os.path.join(folder, "exports")
    site = server("lost.test", export_path=exports)
    code, said = site.test()
    assert code == 0 and "install -d" in said + site.log() and exports in said + site.log(), said
    site.start()
    site.audit.wait("served", "lost.test", timeout=30, seen=site.log)
    problem = evercert.wait_problem("lost.test", "export")
    assert exports in problem["message"] and re.search("(?i)export_?path", problem["remedy"])
    # It is served all the same, and that is what the word says.
    certificate = evercert.wait_state("lost.test", "served")
    assert certificate["problem"]["kind"] == "export" and certificate["served"]["generation"] == certificate["generation"]
    failed = evercert.run("renew", "lost.test", "--force")
    assert failed.returncode == FAILED and exports in failed.stderr, failed
    folder_of(server.user, exports)
    evercert.renew("lost.test")
    assert not evercert.certificate("lost.test")["problem"]
    assert serial_of_pem(os.path.join(exports, "lost.test.pem")) == tls.leaf_at(ports.TLS, "lost.test").serial
    # The same with a directory that is there and belongs to somebody else.
    os.chown(exports, 0, 0)
    assert evercert.run("renew", "lost.test", "--force").returncode == FAILED
    assert "ermission denied" in evercert.wait_problem("lost.test", "export")["message"]


def test_a_file_of_somebody_else_is_not_replaced_until_it_is_moved_away(server, folder, evercert, authority):
    exports = folder_of(server.user, os.path.join(folder, "exports"))
    path = os.path.join(exports, "theirs.test.pem")
    with open(path, "wb") as file:
        file.write(b"".join(authority.issue("theirs.test")))
    os.chmod(path, 0o644)
    serial = serial_of_pem(path)
    site = server("theirs.test", export_path=exports).start()
    site.audit.wait("served", "theirs.test", timeout=30, seen=site.log)
    problem = evercert.wait_problem("theirs.test", "export")
    written = {"nginx": "evercert_export_path", "apache": "EvercertExportPath", "haproxy": "export_path"}[server.kind]
    assert re.search(r"%s was not written by evercert and stays as it is \(%s\); move it away" % (path, written), problem["message"]), problem["message"]
    failed = evercert.run("renew", "theirs.test", "--force")
    assert failed.returncode == FAILED and path in failed.stderr and serial_of_pem(path) == serial, failed
    os.rename(path, os.path.join(folder, "before"))
    evercert.renew("theirs.test")
    assert serial_of_pem(path) == tls.leaf_at(ports.TLS, "theirs.test").serial
    assert not evercert.certificate("theirs.test")["problem"]
    # Ours from now on.
    evercert.renew("theirs.test")
    assert serial_of_pem(path) == tls.leaf_at(ports.TLS, "theirs.test").serial


def test_a_hook_that_fails_is_a_problem_until_it_succeeds_and_holds_up_no_renewal(server, folder, evercert):
    good = os.path.join(server.notes, "good")
    site = server("fails.test", hook=[script(folder, "test -e " + good)])
    site.start()
    site.audit.wait("served", "fails.test", timeout=30, seen=site.log)
    problem = evercert.wait_problem("fails.test", "hook")
    assert "ended with exit code 1" in problem["message"] and "agent's user" in problem["remedy"]
    assert evercert.certificate("fails.test")["state"] == "served"
    site.wait_log("hook.* ended with exit code 1; run again in 60 s")
    evercert.renew("fails.test")
    open(good, "w").close()
    evercert.renew("fails.test")
    wait_for(lambda: not evercert.certificate("fails.test")["problem"], "the problem to end", seen=evercert.status)


def let_go(gate):
    """Ends whatever waits at the pipe; opened for both, so that nobody is waited for here."""
    descriptor = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"\n")
    return descriptor


def test_a_hook_that_hangs_holds_up_no_renewal_and_no_end(server, folder, evercert):
    gate, told = os.path.join(server.notes, "gate"), os.path.join(server.notes, "told")
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    site = server("hangs.test", hook=[script(folder, "echo begun >>%s; read line <%s; echo ended >>%s" % (told, gate, told))])
    site.start()
    site.audit.wait("served", "hangs.test", timeout=30, seen=site.log)
    wait_for(lambda: lines(told) == ["begun"], "the hook to begin", seen=site.log)
    for _ in range(2):
        evercert.renew("hangs.test")
    agent = site.agent()
    os.kill(site.master, 15)
    wait_for(lambda: not processes.alive(agent), "the agent to end", 30, seen=site.tree)
    held = let_go(gate)
    wait_for(lambda: lines(told) == ["begun", "ended"], "the hook to end by itself", seen=lambda: lines(told))
    os.close(held)
    site.stop()
    # Nobody saw it end: the next agent runs it again.
    site.start()
    wait_for(lambda: lines(told)[2:] == ["begun"], "the hook to run again", 30, seen=lambda: lines(told))
    let_go(gate)


def test_a_kill_between_publication_and_hook_does_not_make_it_forgotten(server, folder, evercert):
    gate, told = os.path.join(server.notes, "gate"), os.path.join(server.notes, "told")
    os.mkfifo(gate)
    os.chmod(gate, 0o666)
    site = server("killed.test", hook=[script(folder, "echo begun >>%s; read line <%s" % (told, gate))])
    site.start()
    wait_for(lambda: lines(told) == ["begun"], "the hook to begin", 30, seen=site.log)
    processes.kill(site.agent())
    wait_for(lambda: lines(told) == ["begun", "begun"], "the next agent to run it", 30, seen=site.log)
    let_go(gate)
    let_go(gate)


@pytest.mark.parametrize("option,value", [("pem_path", "/run/evercert/x"), ("http_listen", "127.0.0.1:8402")])
def test_options_that_mean_nothing_on_a_server_are_refused_with_the_reason(server, evercert, option, value):
    # HAProxy has a place for its files in any case, which its bind names.
    site = server("refused.test") if (server.kind, option) == ("haproxy", "pem_path") else server("refused.test", **{option: value})
    code, said = site.test()
    said += site.log()
    if server.kind != "haproxy":
        assert code != 0 and "has no effect here" in said and "remove it" in said, said
        assert ("only HAProxy reads" if option == "pem_path" else "the server answers challenges itself") in said
    elif option == "http_listen":
        # Its file may be shared with an agent that has no server.
        assert code == 0 and "http_listen has no effect here" in said, said
    else:
        assert code == 0 and "has no effect" not in said, said


def test_without_a_server_the_hook_runs_after_the_export_and_is_told_what_changed(folder, install, pebble, evercert):
    """`evercert run`, where other software serves the files: the proof is off, nothing else says that it is done."""
    import json
    exports, told = folder_of("www-data", os.path.join(folder, "exports")), os.path.join(folder, "notes-told")
    notes = folder_of("www-data", os.path.join(folder, "notes"))
    told = os.path.join(notes, "told")
    hook = script(folder, 'echo "$EVERCERT_CERTIFICATES $(ls %s)" >>%s' % (exports, told))
    config = os.path.join(folder, "alone.json")
    document = {"state_path": evercert.state, "http_port": ports.HTTP, "export_path": exports, "hook": [hook],
                "issuers": {"test": {"uri": pebble.uri, "accept_terms_of_service": True, "ssl_trusted_certificate": pebble.trust}},
                "certificates": [{"identifiers": ["alone.test"]}]}
    with open(config, "w") as file:
        json.dump(document, file)
    agent = evercert.start("run", "--config", config)
    try:
        wait_for(lambda: lines(told) == ["alone.test alone.test.pem"], "the hook", 30, seen=lambda: lines(told))
        # Nobody looks whether it is served, so nobody says so.
        certificate = evercert.wait_state("alone.test", "issued")
        assert certificate["generation"] == 1 and certificate["served"] is None
        assert evercert.run("renew", "alone.test", "--force").returncode == DONE
        wait_for(lambda: len(lines(told)) == 2, "the hook again", seen=lambda: lines(told))
        os.rename(exports, exports + ".away")
        failed = evercert.run("renew", "alone.test", "--force")
        assert failed.returncode == FAILED and exports in failed.stderr, failed
        assert evercert.wait_state("alone.test", "issued_not_served")["problem"]["kind"] == "export"
        os.rename(exports + ".away", exports)
    finally:
        processes.stop(agent)
