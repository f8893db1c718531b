"""The command line, its exit codes and the status it reports."""
import json
import os
import subprocess
import time

from . import processes, tls
from .waiting import wait_for

DONE, FAILED, USAGE, REFUSED, HUMAN, UNREACHABLE = range(6)


class Evercert:
    def __init__(self, install, state):
        self.program, self.state = install.program, state

    def run(self, *arguments, user=None, state=True, timeout=60, environment=None):
        """Exit code, stdout and stderr; `user`: "www-data" or "nobody"."""
        command = [self.program, *arguments]
        if state:
            command += ["--state", self.state]
        identity = {"user": user, "group": "www-data" if user == "www-data" else "nogroup", "extra_groups": []} if user else {}
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment,
                              stdin=subprocess.DEVNULL, **identity)

    def start(self, *arguments):
        return subprocess.Popen([self.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL)

    def named(self):
        """What a configuration names, of the list."""
        return json.loads(self.run("list", "--json").stdout)["certificates"]

    def renew(self, name, force=True, timeout=60):
        done = self.run("renew", name, *(["--force"] if force else []), timeout=timeout)
        assert done.returncode == DONE, "renew %s: exit %d\n%s%s" % (name, done.returncode, done.stdout, done.stderr)
        return done

    def cancel(self, name):
        """Whether there was an open order, which is given up now."""
        done = self.run("cancel", name)
        assert done.returncode == DONE, "cancel %s: exit %d\n%s%s" % (name, done.returncode, done.stdout, done.stderr)
        return not done.stdout.startswith("nothing to do")

    def status(self):
        """Also while no agent runs, or the one of a server that has just been started is still to come: a failure says so."""
        done = self.run("status", "--json")
        status = json.loads(done.stdout) if done.stdout else {}
        to_come = done.returncode in (FAILED, UNREACHABLE) and "certificates" in status and (
            "generated_at" not in status or status["agent"]["state"] == "silent")
        assert done.returncode == DONE or to_come, "status: exit %d\n%s" % (done.returncode, done.stderr)
        return status

    def certificate(self, name):
        return next((c for c in self.status()["certificates"] if c["name"] == name), None)

    def wait_certificate(self, name, look, what, timeout):
        """look() at the certificate whenever the agent has rendered the status anew, and twice a second."""
        page = os.path.join(self.state, "state", "status.json")
        seen, asked = None, 0.0

        def changed():
            nonlocal seen, asked
            try:
                facts = os.stat(page)
                now = facts.st_ino, facts.st_mtime_ns
            except FileNotFoundError:
                now = None
            if now == seen and time.monotonic() - asked < 0.5:
                return None
            seen, asked = now, time.monotonic()
            return look(self.certificate(name))
        return wait_for(changed, what, timeout, seen=lambda: json.dumps(self.status(), indent=1))

    def wait_state(self, name, state, timeout=20.0):
        wanted = (state,) if isinstance(state, str) else state
        return self.wait_certificate(name, lambda c: c if c and c["state"] in wanted else None,
                                     "%s to be %s" % (name, " or ".join(wanted)), timeout)

    def wait_problem(self, name, kind=None, timeout=20.0):
        def look(certificate):
            problem = certificate and certificate.get("problem")
            return problem if problem and (kind is None or problem["kind"] == kind) else None
        return self.wait_certificate(name, look, "a problem of %s" % name, timeout)


def status_page(port, rest=""):
    return tls.plain_get(port, "localhost", "/evercert" + rest)


def end(process, timeout=10):
    processes.stop(process, timeout=timeout)
    return process.communicate()
