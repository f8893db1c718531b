"""Bounded waits for conditions."""
import socket
import time

# A wait ends with its condition, so that a generous bound costs nothing where all is well; what callers give is meant for a
# machine with nothing else to do.
PATIENCE = 4


class Timeout(AssertionError):
    pass


def wait_for(condition, what, timeout=15.0, pause=0.005, seen=None):
    """Returns the first true value of condition(); fails after `timeout` with `what` and, if given, what seen() says."""
    timeout *= PATIENCE
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            detail = ""
            if seen is not None:
                detail = "\nseen instead:\n%s" % (seen(),)
            raise Timeout("waited %.0f s in vain for %s%s" % (timeout, what, detail))
        time.sleep(pause)


def port_open(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def wait_port(port, is_open=True, timeout=10.0, seen=None):
    wait_for(lambda: port_open(port) == is_open, "port %d %s" % (port, "open" if is_open else "closed"), timeout, seen=seen)
