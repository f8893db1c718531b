"""Traffic while something happens: full handshakes without pause, each with one request, and connections that are held open.
Every failure is kept with its reason; a test wants none."""
import ssl
import threading
from collections import Counter

from . import tls
from .waiting import wait_for


class Load:
    def __init__(self, port, name, threads=4, held=4, version=None):
        self.port, self.name, self.version = port, name, version
        self.failures = []
        self.serials = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.held = []
        for _ in range(held):
            connection = tls.connect(port, name)
            assert tls.get(port, name, connection=connection)[0] == 200
            self.held.append(connection)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        context = tls.client(self.version)
        while not self._stop.is_set():
            try:
                with tls.connect(self.port, self.name, context) as connection:
                    serial = tls.Leaf(connection.getpeercert(binary_form=True)).serial
                    status, _ = tls.get(self.port, self.name, connection=connection)
                with self._lock:
                    self.serials[serial] += 1
                    if status != 200:
                        self.failures.append("status %d" % status)
            except (OSError, ssl.SSLError) as failure:
                with self._lock:
                    self.failures.append(repr(failure))

    @property
    def handshakes(self):
        with self._lock:
            return sum(self.serials.values())

    def wait_serial(self, serial, timeout=10.0):
        wait_for(lambda: self.serials.get(serial), "load to see serial %x" % serial, timeout)

    def wait_more(self, count, timeout=20.0):
        goal = self.handshakes + count
        wait_for(lambda: self.handshakes >= goal, "%d more handshakes" % count, timeout, seen=lambda: self.failures[:5])

    def held_alive(self):
        """How many of the held connections still answer on their old connection."""
        alive = 0
        for connection in self.held:
            try:
                status, body = tls.get(self.port, self.name, connection=connection)
                alive += status == 200
                if status != 200:
                    self.failures.append("status %d, %r on a held connection" % (status, body))
            except (OSError, ssl.SSLError) as failure:
                self.failures.append("%r on a held connection" % failure)
        return alive

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        for connection in self.held:
            connection.close()
        self.held = []

