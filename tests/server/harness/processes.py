"""Processes by id: this process adopts orphans of what it started, so that nothing started here can get lost."""
import ctypes
import os
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rsplit(")", 1)[1].split()


def parent_of(pid):
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def alive(pid):
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def state_of(pid):
    """The letter that proc(5) gives it; None once it has gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def children_of(pid):
    found = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread)) as file:
                found += [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants_of(pid):
    found = []
    pending = [pid]
    while pending:
        for child in children_of(pending.pop()):
            found.append(child)
            pending.append(child)
    return found


def title_of(pid):
    """The argument vector as text; servers rewrite theirs to say what they are."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def name_of(pid):
    """What the kernel calls it: the program's file name, or what the process calls itself."""
    try:
        with open("/proc/%d/comm" % pid) as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def user_of(pid):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith("Uid:"):
                return int(line.split()[2])
    return None


def descriptors_of(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def cpu_seconds(pid):
    """User and system time, to the nanosecond where the scheduler accounts it, summed over threads that still live."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, thread)) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def cpu_ticks(pid):
    """User and system time in clock ticks, with threads that have ended."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def reap(pid):
    """Takes the exit state of an adopted orphan; one that is not our child is nobody's business here."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, ProcessLookupError):
        pass


def end_all(pids, timeout=40.0):
    """Kills these processes and waits until they are gone."""
    for pid in pids:
        kill(pid)
    end = time.monotonic() + timeout
    for pid in pids:
        while alive(pid) and time.monotonic() < end:
            time.sleep(0.005)
        reap(pid)


def stop(process, number=signal.SIGTERM, timeout=40.0):
    """Ends a subprocess.Popen, gently first."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Adopted:
    """A process that became a daemon and so our child again; what tests use of subprocess.Popen."""
    stderr = None

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=40.0):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("process %d" % self.pid, timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        kill(self.pid, number)

    def kill(self):
        kill(self.pid)


def bystander():
    """uid and gid of an unprivileged user that is neither the web server's nor the agent's."""
    import pwd
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid
