#!/usr/bin/python3
"""The yardstick: what the protocol itself costs. The fewest requests that RFC 8555 allows for HTTP-01 with one name, eight
connections, no waiting but for events, nothing checked, nothing stored, nothing served but the answers to challenges.

  yardstick.py DIRECTORY TRUST HTTP_PORT NAME...     prints one line of JSON
"""
import base64
import hashlib
import http.client
import json
import queue
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CONNECTIONS = 8
PERSPECTIVES = 3  # validation requests that pebble sends for each challenge


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Answers(socketserver.StreamRequestHandler):
    open = {}  # token: [answer, hits still expected, event]

    def handle(self):
        token = self.rfile.readline().split(b" ")[1].rsplit(b"/", 1)[-1].decode()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        entry = self.open.get(token)
        body = entry[0].encode() if entry else b""
        self.wfile.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (200 if entry else 404, len(body)) + body)
        if entry:
            entry[1] -= 1
            if entry[1] <= 0:
                entry[2].set()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


class Account:
    def __init__(self, directory, trust):
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.public = {"crv": "P-256", "kty": "EC", "x": text(numbers.x.to_bytes(32, "big")), "y": text(numbers.y.to_bytes(32, "big"))}
        self.thumbprint = text(hashlib.sha256(json.dumps(self.public, sort_keys=True, separators=(",", ":")).encode()).digest())
        self.trust = ssl.create_default_context(cafile=trust)
        self.where = urllib.parse.urlparse(directory)
        self.location = None
        self.requests = 0

    def sign(self, uri, nonce, payload):
        header = {"alg": "ES256", "nonce": nonce, "url": uri}
        header.update({"kid": self.location} if self.location else {"jwk": self.public})
        protected = text(json.dumps(header).encode())
        body = "" if payload is None else text(json.dumps(payload).encode())
        r, s = decode_dss_signature(self.key.sign((protected + "." + body).encode(), ec.ECDSA(hashes.SHA256())))
        return json.dumps({"protected": protected, "payload": body, "signature": text(r.to_bytes(32, "big") + s.to_bytes(32, "big"))})


class Connection:
    def __init__(self, account, directory=None):
        self.account = account
        self.link = http.client.HTTPSConnection(account.where.hostname, account.where.port, context=account.trust)
        self.nonces = []
        self.directory = directory or json.loads(self.ask("GET", account.where.path)[1])

    def ask(self, method, uri, body=None):
        self.account.requests += 1
        headers = {"User-Agent": "evercert-yardstick"}
        if body:
            headers["Content-Type"] = "application/jose+json"
        self.link.request(method, urllib.parse.urlparse(uri).path, body, headers)
        answer = self.link.getresponse()
        data = answer.read()
        if answer.headers.get("Replay-Nonce"):
            self.nonces.append(answer.headers["Replay-Nonce"])
        return answer, data

    def post(self, uri, payload):
        while True:
            if not self.nonces:
                self.ask("HEAD", self.directory["newNonce"])
            answer, data = self.ask("POST", uri, self.account.sign(uri, self.nonces.pop(), payload))
            if answer.status < 400:
                return answer, data
            if b"badNonce" not in data:
                raise RuntimeError("%s: %d %s" % (uri, answer.status, data.decode()))

    def poll(self, uri, while_status):
        pause = 0.004
        while True:
            time.sleep(pause)  # the server needs a moment; asking at once is one request more
            order = json.loads(self.post(uri, None)[1])
            if order["status"] not in while_status:
                return order
            pause = min(pause * 2, 1)

    def obtain(self, name):
        key = ec.generate_private_key(ec.SECP256R1())
        answer, data = self.post(self.directory["newOrder"], {"identifiers": [{"type": "dns", "value": name}]})
        place, order = answer.headers["Location"], json.loads(data)
        authorization = json.loads(self.post(order["authorizations"][0], None)[1])
        challenge = next(c for c in authorization["challenges"] if c["type"] == "http-01")
        entry = [challenge["token"] + "." + self.account.thumbprint, PERSPECTIVES, threading.Event()]
        Answers.open[challenge["token"]] = entry
        self.post(challenge["url"], {})
        entry[2].wait(5)
        order = self.poll(place, ("pending",))
        request = (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False).sign(key, hashes.SHA256()))
        self.post(order["finalize"], {"csr": text(request.public_bytes(serialization.Encoding.DER))})
        order = self.poll(place, ("processing", "ready"))
        return self.post(order["certificate"], None)[1]


def main():
    directory, trust, port, names = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    begin = time.monotonic()
    server = Server(("127.0.0.1", port), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = Account(directory, trust)
    first = Connection(account)
    account.location = first.post(first.directory["newAccount"], {"termsOfServiceAgreed": True})[0].headers["Location"]
    work = queue.Queue()
    for name in names:
        work.put(name)
    issued, failed = [], []

    def run(connection):
        while True:
            try:
                name = work.get_nowait()
            except queue.Empty:
                return
            try:
                connection.obtain(name)
                issued.append(time.monotonic() - begin)
            except (OSError, RuntimeError, http.client.HTTPException) as failure:
                failed.append("%s: %r" % (name, failure))

    others = [Connection(account, first.directory) for _ in range(min(CONNECTIONS, len(names)) - 1)]
    threads = [threading.Thread(target=run, args=(connection,)) for connection in [first, *others]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"issued": len(issued), "failed": failed[:3], "first": min(issued, default=None),
                      "seconds": time.monotonic() - begin, "requests": account.requests, "cpu": time.process_time()}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
