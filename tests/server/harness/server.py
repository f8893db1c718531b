"""What every web server under test has: one main process, the processes it starts, a log, a state directory, and an end."""
import os
import re
import signal

from . import processes
from .audit import Audit
from .waiting import port_open, wait_for, wait_port


class Server:
    """`process`: the main one. Subclasses call begin(), set user and log_path, and start it."""

    def begin(self, folder, install, state, port, label):
        self.folder, self.install, self.port, self.label = folder, install, port, label
        self.state = state or os.path.join(folder, "evercert")
        self.process = None
        self.known = set()

    def use_program(self, program):
        """Another program in place of the agent."""
        with open(self.configuration) as file:
            text = file.read()
        with open(self.configuration, "w") as file:
            file.write(text.replace(self.install.program, program))
        return self

    @property
    def audit(self):
        return Audit(self.state)

    def _identity(self):
        if os.geteuid() == 0 and self.user is None:
            uid, gid = processes.bystander()
            return {"user": uid, "group": gid, "extra_groups": []}
        return {}

    def _listens(self):
        return port_open(self.port)

    @property
    def master(self):
        return self.process.pid

    def remember(self):
        found = processes.descendants_of(self.process.pid)
        self.known.update(found)
        return found

    def by_title(self, pattern):
        return [pid for pid in self.remember() if processes.alive(pid) and re.search(pattern, processes.title_of(pid))]

    def agents(self):
        return self.by_title(r"^\S*evercert\S* run\b")

    def agent(self):
        found = self.agents()
        return max(found) if found else None

    def wait_agent(self, other_than=None):
        return wait_for(lambda: (lambda pid: pid if pid and pid != other_than else None)(self.agent()), "an agent", seen=self.tree)

    def tree(self):
        return "\n".join("%d %s" % (pid, processes.title_of(pid)) for pid in [self.process.pid, *self.remember()])

    def stop(self, number=signal.SIGTERM, timeout=40.0):
        if self.process is None:
            return
        self.remember()
        processes.stop(self.process, number, timeout)
        self._close_stderr()
        wait_for(lambda: not any(processes.alive(pid) for pid in self.known), "everything the server started to end", timeout,
                 seen=lambda: [processes.title_of(p) for p in self.known if processes.alive(p)])
        for pid in self.known:
            processes.reap(pid)
        self.known.clear()

    def crash(self):
        """kill -9 of the main process, then of what it leaves behind, as a service manager would do."""
        self.remember()
        self.process.kill()
        self.process.wait()
        self._close_stderr()
        processes.end_all(self.known)
        self.known.clear()
        wait_port(self.port, False)

    def close(self):
        """However the test ended: nothing stays behind."""
        if self.process is None:
            return
        self.remember()
        if self.process.poll() is None:
            processes.stop(self.process, signal.SIGTERM, 5)
        self._close_stderr()
        processes.end_all(self.known)

    def _close_stderr(self):
        if self.process.stderr and not self.process.stderr.closed:
            self.process.stderr.close()

    def log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, timeout=15.0):
        return wait_for(lambda: re.search(pattern, self.log()), "the log line " + pattern, timeout, seen=lambda: self.log()[-3000:])
