"""A TLS client that says exactly what it saw: leaf, chain, protocol, resumption, or the number of the alert."""
import hashlib
import os
import re
import socket
import ssl
import subprocess
import tempfile
import warnings

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .waiting import wait_for

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def client(version=None, protocols=(), ciphers=None, certificate=None, trust=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if ciphers:
        context.set_ciphers(ciphers)
    if certificate:
        context.load_cert_chain(*certificate)
    if trust:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=trust)
        context.check_hostname = True
    return context


class Leaf:
    def __init__(self, der):
        self.der = der
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.x509 = x509.load_der_x509_certificate(der)

    @property
    def serial(self):
        return self.x509.serial_number

    @property
    def fingerprint(self):
        return hashlib.sha256(self.der).hexdigest()

    @property
    def names(self):
        found = self.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)

    @property
    def issuer(self):
        return self.x509.issuer.rfc4514_string()

    @property
    def kind(self):
        key = self.x509.public_key()
        return "ec" if isinstance(key, ec.EllipticCurvePublicKey) else "rsa" if isinstance(key, rsa.RSAPublicKey) else "other"

    @property
    def bits(self):
        return self.x509.public_key().key_size


def connect(port, name, context=None, session=None, timeout=20.0):
    """An open TLS connection; the handshake is complete, so the server has proved that it holds the leaf's key."""
    plain = socket.create_connection(("127.0.0.1", port), timeout)
    try:
        return (context or client()).wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def raw(port, timeout=20.0):
    """A connection without TLS."""
    return socket.create_connection(("127.0.0.1", port), timeout)


def leaf_at(port, name, **offer):
    with connect(port, name, client(**offer)) as connection:
        return Leaf(connection.getpeercert(binary_form=True))


def leaf_or_none(port, name, **offer):
    try:
        return leaf_at(port, name, **offer)
    except (OSError, ssl.SSLError):
        return None


def wait_leaf(port, name, accept=lambda leaf: True, timeout=15.0, seen=None, pause=0.01, **offer):
    """Waits until the server serves a leaf that `accept` likes."""
    def look():
        leaf = leaf_or_none(port, name, **offer)
        return leaf if leaf is not None and accept(leaf) else None
    return wait_for(look, "a certificate for %s on port %d" % (name, port), timeout, pause, seen)


def alert_of(port, name, version=None, timeout=20.0):
    """The number of the alert that ends the handshake, read from the raw record; None when the handshake succeeds."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    machine = client(version).wrap_bio(inward, outward, server_hostname=name)
    raw = b""
    with socket.create_connection(("127.0.0.1", port), timeout) as plain:
        while True:
            try:
                machine.do_handshake()
                return None
            except ssl.SSLWantReadError:
                plain.sendall(outward.read())
                piece = plain.recv(16384)
                raw += piece
                if not piece:
                    inward.write_eof()
                inward.write(piece)
            except ssl.SSLError:
                break
    while len(raw) >= 5:
        length = int.from_bytes(raw[3:5], "big")
        if raw[0] == 21 and length == 2:
            return raw[6]
        raw = raw[5 + length:]
    return -1  # the connection ended without an alert


def get(port, name, path="/", context=None, connection=None):
    """(status, body) of one HTTP/1.1 request over TLS; with `connection` over an open one that stays open."""
    own = connection is None
    link = connection or connect(port, name, context)
    try:
        link.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n"
                      % (path, name, "close" if own else "keep-alive")).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = link.recv(65536)
            if not piece:
                raise ConnectionError("closed in mid-answer")
            head += piece
        head, body = head.split(b"\r\n\r\n", 1)
        length = re.search(rb"content-length: *(\d+)", head, re.I)
        while length and len(body) < int(length.group(1)):
            body += link.recv(65536)
        return int(head.split(b" ", 2)[1]), body
    finally:
        if own:
            link.close()


def plain_get(port, host, path, method="GET", timeout=20.0):
    """(status, body) over plain HTTP; (0, b"") when the server closes without an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout) as link:
        link.sendall(("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (method, path, host)).encode())
        data = b""
        try:
            while True:
                piece = link.recv(65536)
                if not piece:
                    break
                data += piece
        except ConnectionResetError:
            pass
    if not data:
        return 0, b""
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def s_client(port, name, *arguments):
    """What openssl's own client prints."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-servername", name, *arguments],
                          input=b"", capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def chain_at(port, name):
    """All certificates that the server sends, leaf first."""
    text = s_client(port, name, "-showcerts")
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
    return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def chain_is_good(port, name, root_pem):
    """Whether openssl builds a path from what is served to this root, for this name."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as root:
        root.write(root_pem)
        root.flush()
        text = s_client(port, name, "-CAfile", root.name, "-verify_return_error", "-verify_hostname", name)
    return "Verify return code: 0" in text or "Verification: OK" in text


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "10", *arguments], capture_output=True, text=True, check=False,
                          env=dict(os.environ, no_proxy="*"))
    return done.returncode, done.stdout, done.stderr
