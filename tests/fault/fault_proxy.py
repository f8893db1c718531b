#!/usr/bin/python3
"""A proxy in front of an ACME server that breaks chosen answers: it ends TLS, keeps the Host header (so the signed `url` of each
request still holds) and passes everything else on unchanged. Used by tests as a class; run by hand it serves until interrupted:

  fault_proxy.py LISTEN UPSTREAM CERTIFICATE KEY [PATTERN FAULT [ARGUMENT]]
      FAULT: silence SECONDS | cut | cut_body | status CODE | retry SECONDS-OR-DATE | garbage | oversize BYTES
"""
import http.client
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time

UNAVAILABLE = {429: "urn:ietf:params:acme:error:rateLimited"}


class Rule:
    """Applies to requests `first`..`first + times - 1` of those whose path (and method) match."""

    def __init__(self, pattern, fault, method=None, first=1, times=1, after=False):
        self.pattern, self.method = re.compile(pattern), method
        self.fault, self.first, self.times = fault, first, times
        self.after = after  # the upstream server sees the request all the same
        self.matched = self.hit = 0

    def takes(self, method, path):
        if (self.method and self.method != method) or not self.pattern.search(path):
            return False
        self.matched += 1
        if self.first <= self.matched < self.first + self.times:
            self.hit += 1
            return True
        return False


# --- faults: called with (link, answer); answer is (status, headers, body) of the upstream server, or None when it was not asked ---

def _send(link, status, headers, body):
    lines = ["HTTP/1.1 %d %s" % (status, http.client.responses.get(status, "Status"))]
    lines += ["%s: %s" % header for header in headers]
    link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)


def silence(seconds, released=None):
    """No answer at all, then the connection ends. `released`: an event that ends the silence early and lets the answer through."""
    def act(link, answer):
        gate = released or threading.Event()
        if gate.wait(seconds) and answer:
            _send(link, *answer)
            return True
        return False
    return act


def cut():
    return lambda link, answer: False


def cut_body():
    def act(link, answer):
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{\"status\":")
        return False
    return act


def status(code, retry_after=None, detail="out of order, as a test wants it", kind=None):
    def act(link, answer):
        body = json.dumps({"type": kind or UNAVAILABLE.get(code, "urn:ietf:params:acme:error:serverInternal"),
                           "detail": detail, "status": code}).encode()
        headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
        if retry_after is not None:
            headers.append(("Retry-After", str(retry_after() if callable(retry_after) else retry_after)))
        headers += [(n, v) for n, v in (answer[1] if answer else []) if n.lower() == "replay-nonce"]
        _send(link, code, headers, body)
        return True
    return act


def garbage():
    def act(link, answer):
        body = b"<html>\x00\xff{]not json at all" * 20
        _send(link, 200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)
        return True
    return act


def oversize(length):
    def act(link, answer):
        link.sendall(("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"a\":\"" % length).encode())
        piece = b"x" * 65536
        sent = 0
        while sent < length - 10:
            link.sendall(piece)
            sent += len(piece)
        return False
    return act


def nested(member, depth):
    """The answer with a member that holds lists in lists; for a rule with `after`. As text: Python's own writer would overflow."""
    def act(link, answer):
        code, headers, body = answer
        rest = body.strip()[1:] if body.strip().startswith(b"{") else b'"status":"pending"}'
        body = b'{"' + member.encode() + b'":' + b"[" * depth + b"]" * depth + b"," + rest
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "transfer-encoding")]
        _send(link, code, kept + [("Content-Length", str(len(body)))], body)
        return True
    return act


def rewrite(change):
    """The CA's own answer with another body: change(body) returns the new one, and what else it wants in the head."""
    def act(link, answer):
        code, headers, body = answer
        body, more = change(body)
        kept = [(n, v) for n, v in headers if n.lower() not in {"content-length"} | {name.lower() for name, _ in more}]
        _send(link, code, kept + more + [("Content-Length", str(len(body)))], body)
        return True
    act.needs_answer = True
    return act


class FaultProxy:
    def __init__(self, listen, upstream, certificate, key):
        self.upstream = upstream
        self.rules = []
        self.seen = []  # (monotonic time, method, path, status or None)
        self.bodies = {}  # of the last request to each path
        self._lock = threading.Lock()
        self._links = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                proxy._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", listen), Handler)
        self.uri = "https://127.0.0.1:%d/dir" % listen
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def add(self, pattern, fault, **options):
        rule = Rule(pattern, fault, **options)
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        with self._lock:
            self.rules = []

    def count(self, pattern, method=None):
        with self._lock:
            return sum(1 for _, m, path, _ in self.seen if re.search(pattern, path) and (method is None or m == method))

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            links = list(self._links)
        for link in links:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # --- one connection ---
    def _serve(self, plain):
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            link = self._context.wrap_socket(plain, server_side=True)
        except (OSError, ssl.SSLError):
            return
        onward = http.client.HTTPSConnection("127.0.0.1", self.upstream, timeout=60, context=ssl._create_unverified_context())
        with self._lock:
            self._links.add(link)
        try:
            stream = link.makefile("rb")
            while self._exchange(stream, link, onward):
                pass
        except (OSError, ssl.SSLError, http.client.HTTPException, ValueError):
            pass  # either side went away: so does the other
        finally:
            with self._lock:
                self._links.discard(link)
            onward.close()
            link.close()

    def _exchange(self, stream, link, onward):
        first = stream.readline().split()
        if len(first) != 3:
            return False
        method, path = first[0].decode(), first[1].decode()
        headers = []
        while True:
            line = stream.readline().rstrip(b"\r\n")
            if not line:
                break
            name, _, value = line.partition(b":")
            headers.append((name.decode(), value.strip().decode()))
        if any(n.lower() == "transfer-encoding" for n, _ in headers):
            # A client that does not say how much it sends: the CA is told, for there are some that insist.
            body = self._chunks(stream)
            headers = [(n, v) for n, v in headers if n.lower() != "transfer-encoding"] + [("Content-Length", str(len(body)))]
        else:
            length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
            body = stream.read(length) if length else b""
        with self._lock:
            rule = next((r for r in self.rules if r.takes(method, path)), None)
            entry = [time.monotonic(), method, path, None]
            self.seen.append(entry)
            self.bodies[path] = body
        answer = None
        if rule is None or rule.after or getattr(rule.fault, "needs_answer", False):
            answer = self._ask(onward, method, path, headers, body)
            entry[3] = answer[0]
        if rule is not None:
            return rule.fault(link, answer)
        _send(link, *answer)
        return True

    @staticmethod
    def _chunks(stream):
        body = b""
        while True:
            size = int(stream.readline().split(b";")[0], 16)
            body += stream.read(size)
            stream.readline()
            if size == 0:
                return body

    @staticmethod
    def _ask(onward, method, path, headers, body):
        for last in (False, True):
            try:
                onward.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    onward.putheader(name, value)
                onward.endheaders(body)
                reply = onward.getresponse()
                break
            except (OSError, http.client.HTTPException):
                onward.close()  # an idle connection that the server had closed
                if last:
                    raise
        data = reply.read()
        kept = [(n, v) for n, v in reply.getheaders() if n.lower() not in ("content-length", "transfer-encoding", "connection")]
        if method == "HEAD":
            return reply.status, kept, b""
        return reply.status, kept + [("Content-Length", str(len(data)))], data


def main():
    listen, upstream, certificate, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    proxy = FaultProxy(listen, upstream, certificate, key)
    if len(sys.argv) > 6:
        argument = sys.argv[7] if len(sys.argv) > 7 else ""
        faults = {"silence": lambda: silence(float(argument)), "cut": cut, "cut_body": cut_body, "garbage": garbage,
                  "status": lambda: status(int(argument)), "retry": lambda: status(429, argument),
                  "oversize": lambda: oversize(int(argument))}
        proxy.add(sys.argv[5], faults[sys.argv[6]](), times=1 << 30)
    print("directory: %s" % proxy.uri, flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        proxy.close()


if __name__ == "__main__":
    main()
