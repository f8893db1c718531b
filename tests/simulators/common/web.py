"""HTTP and HTTPS listeners, and the faults that happen between a CA and its customer. A listener knows no CA: it hands each
Call to a function and sends the Reply that comes back, unless a fault says otherwise."""
import http.server
import itertools
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
import urllib.parse

LONGEST_BODY = 4 << 20
LONGEST_HOLD = 600  # seconds


class Reply:
    def __init__(self, status=200, body=b"", headers=(), kind="application/json"):
        self.status, self.headers = status, list(headers)
        self.body = body.encode() if isinstance(body, str) else body
        if self.body and kind:
            self.headers.append(("Content-Type", kind))


def json_reply(value, status=200, headers=(), kind="application/json"):
    return Reply(status, json.dumps(value), headers, kind)


class Refusal(Exception):
    """Ends the handling of a call: the reply that the CA gives instead."""

    def __init__(self, reply):
        super().__init__(reply.status)
        self.reply = reply


class Call:
    def __init__(self, method, target, headers, body, certificate=None, connection=0, turn=1):
        self.method, self.headers, self.body = method, headers, body
        self.certificate = certificate  # of the client, DER
        self.connection, self.turn = connection, turn  # which connection, and the how manieth request on it
        self.account = ""  # who asks, once somebody knows; never a secret
        self.changes = method not in ("GET", "HEAD")
        parts = urllib.parse.urlsplit(target)
        self.path = urllib.parse.unquote(parts.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.label = None  # the kind of call, once somebody knows it

    def header(self, name):
        return self.headers.get(name)

    def media_type(self):
        return (self.header("Content-Type") or "").split(";")[0].strip().lower()


FAULTS = ("status", "html", "truncated", "oversize", "drop", "drop_after", "silence", "reply", "hold")


class Fault:
    """Takes `times` of the calls whose label or path matches, after `skip` of them. `after`: the CA does its work first. `kept`: only
    calls on a connection that has carried one before; `changes`: only calls that change something."""

    def __init__(self, fault, match=".", times=1, skip=0, after=None, status=503, headers=None, body=None, bytes=10 << 20, seconds=30, kept=False, changes=False):
        if fault not in FAULTS:
            raise ValueError("fault is one of " + ", ".join(FAULTS))
        self.fault, self.match, self.times, self.skip = fault, re.compile(match), int(times), int(skip)
        self.after = fault in ("drop_after", "truncated", "hold") if after is None else bool(after)
        self.kept, self.changes = bool(kept), bool(changes)
        self.held, self.released = 0, threading.Event()
        self.status, self.headers, self.body, self.bytes, self.seconds = status, dict(headers or {}), body, bytes, seconds
        self.hits = 0

    def takes(self, call):
        if self.times <= 0 or not any(text and self.match.search(text) for text in (call.label, call.method + " " + call.path)):
            return False
        if self.kept and call.turn < 2 or self.changes and not call.changes:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        self.hits += 1
        return True

    def described(self):
        return {"fault": self.fault, "match": self.match.pattern, "times": self.times, "skip": self.skip, "after": self.after,
                "kept": self.kept, "changes": self.changes, "hits": self.hits, "held": self.held}

    def reply(self, answer):
        """What is sent; None: the connection ends without an answer."""
        headers = list(self.headers.items())
        if self.fault == "html":
            page = self.body or "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>\n"
            return Reply(self.status, page, headers, "text/html; charset=UTF-8")
        if self.fault in ("status", "reply"):
            body = self.body if isinstance(self.body, (str, type(None))) else json.dumps(self.body)
            return Reply(self.status if self.fault == "status" else 200, body or "", headers)
        if self.fault == "truncated" and answer is not None and len(answer.body) > 1:
            return Reply(answer.status, answer.body[:len(answer.body) // 2], [h for h in answer.headers if h[0] != "Content-Type"])
        if self.fault == "oversize":
            return Reply(200, b'{"meta":"' + b"x" * self.bytes + b'"}', headers)
        if self.fault == "hold":  # an answer that is slow for as long as a test wants
            self.held += 1
            self.released.wait(LONGEST_HOLD)
            self.held -= 1
            return answer
        if self.fault == "silence":
            threading.Event().wait(self.seconds)
        return None


class Listener:
    """Serves `answer(call) -> Reply or None` on a loopback port, over TLS when a context is given."""

    def __init__(self, port, answer, context=None, date=time.time):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version, sys_version = "simulator", ""
            timeout = 120

            def setup(self):
                self.number, self.turn = next(outer.numbers), 0
                self.request.settimeout(10)
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if context is not None:
                    self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def log_message(self, *_):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string(date() if timestamp is None else timestamp)

            def _exchange(self):
                body = b""
                if self.headers.get("Transfer-Encoding"):
                    self.close_connection = True
                    return self._send(Reply(411, "a Content-Length is needed", kind="text/plain"))
                length = int(self.headers.get("Content-Length") or 0)
                if length > LONGEST_BODY:
                    self.close_connection = True
                    return self._send(Reply(413, "too long", kind="text/plain"))
                if length:
                    body = self.rfile.read(length)
                certificate = self.connection.getpeercert(True) if context is not None else None
                self.turn += 1
                reply = answer(Call(self.command, self.path, self.headers, body, certificate, self.number, self.turn))
                if reply is None:
                    self.close_connection = True
                    return None
                return self._send(reply)

            def _send(self, reply):
                self.send_response(reply.status)
                for name, value in reply.headers:
                    self.send_header(name, value)
                if reply.status != 204 and not any(n.lower() == "content-length" for n, _ in reply.headers):
                    self.send_header("Content-Length", str(len(reply.body)))
                if self.close_connection:
                    self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD" and reply.status != 204:
                    self.wfile.write(reply.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _exchange

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                if isinstance(sys.exc_info()[1], OSError):
                    outer.broken += 1  # the client went away, or spoke no TLS
                else:
                    traceback.print_exc()

        self.broken, self.numbers = 0, itertools.count(1)
        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def server_context(chain_path, key_path, client_authorities=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain_path, key_path)
    if client_authorities:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_authorities)
    return context
