"""What a script of the web server's user may leave below the state directory, and what must not come of it."""
import os

from harness import ports, tls
from harness.nginx import host


def test_a_pipe_in_place_of_the_status_does_not_hold_a_worker(nginx):
    site = nginx(host("www.example.com")).start()
    site.audit.wait("served", "www.example.com")
    status = os.path.join(site.state, "state", "status.json")
    os.unlink(status)
    os.mkfifo(status)
    code, _, said = tls.curl("--max-time", "5", "http://127.0.0.1:%d/evercert/json" % ports.STATUS)
    assert code == 0, said


def test_a_pipe_in_place_of_the_audit_trail_does_not_hold_the_agent(nginx, evercert):
    site = nginx(host("trail.test")).start()
    site.audit.wait("served", "trail.test")
    agent = site.agent()
    events = os.path.join(site.state, "state", "events")
    owner = (os.stat(events).st_uid, os.stat(events).st_gid)
    for name in os.listdir(events):
        os.unlink(os.path.join(events, name))
        os.mkfifo(os.path.join(events, name))
        os.chown(os.path.join(events, name), *owner)
    for _ in range(3):
        assert evercert.run("renew", "trail.test", "--force").returncode == 0
    assert site.agent() == agent
    site.wait_log("events/.* is not a regular file")
