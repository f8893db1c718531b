"""What stands between a server and its CA: a link that can be cut, and a proxy that asks for a password or refuses."""
import base64
import select
import socket
import socketserver
import threading


def _pump(one, other):
    """Carries bytes both ways until one side ends."""
    while True:
        readable, _, _ = select.select([one, other], [], [], 60)
        if not readable:
            return
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # an end that somebody else closed


def _serve(port, handle):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            handle(self.request)
    server = _Listener(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class Link:
    """Passes connections to a port on; cut(): nobody listens any more and what is open ends; mend(): all is well again."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.server, self.open, self.lock = None, set(), threading.Lock()
        self.connections = 0
        self.mend()

    def _carry(self, client):
        with self.lock:
            self.connections += 1
        with socket.create_connection(("127.0.0.1", self.target), timeout=5) as upstream:
            with self.lock:
                self.open.update((client, upstream))
            try:
                _pump(client, upstream)
            finally:
                with self.lock:
                    self.open.difference_update((client, upstream))

    def mend(self):
        if self.server is None:
            self.server = _serve(self.port, self._carry)

    def cut(self):
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            for end in self.open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    close = cut


class Proxy:
    """An HTTP proxy (CONNECT). `password`: "user:password" that it asks for; `refusal`: a status that it gives everybody."""

    def __init__(self, port, password=None, refusal=None):
        self.port, self.password, self.refusal = port, password, refusal
        self.asked = []  # the first line of each request, with the status that it got
        self.server = _serve(port, self._handle)

    def _handle(self, client):
        client.settimeout(10)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        lines = head.decode("latin-1").split("\r\n")
        fields = dict((line.split(":", 1)[0].lower(), line.split(":", 1)[1].strip()) for line in lines[1:] if ":" in line)
        status = self.refusal or 200
        if self.password:
            wanted = "Basic " + base64.b64encode(self.password.encode()).decode()
            status = status if fields.get("proxy-authorization") == wanted else 407
        self.asked.append((lines[0], status))
        if status != 200:
            client.sendall(b"HTTP/1.1 %d Refused\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\n"
                           b"Connection: close\r\n\r\n" % status)
            return
        host, _, port = lines[0].split(" ")[1].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            client.settimeout(None)
            _pump(client, upstream)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
