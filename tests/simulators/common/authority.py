"""The issuing CA behind an interface: it reads requests, refuses those that no public CA may sign, and signs."""
import datetime
import ipaddress
import math
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


class Unsuitable(Exception):
    """A request or name that is refused; `code` says what for: unreadable, signature, key, weak_key, name."""

    def __init__(self, code, sentence):
        super().__init__(sentence)
        self.code = code


def checked_name(name, wildcard=True):
    plain = name.removeprefix("*.") if wildcard else name
    labels = plain.split(".")
    good = len(plain) <= 253 and len(labels) >= 2 and all(LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    if not good:
        raise Unsuitable("name", "%s is not a fully qualified domain name" % name)
    return name


def _small_factor_product():
    primes = [n for n in range(3, 752, 2) if all(n % d for d in range(3, int(n ** 0.5) + 1, 2))]
    return math.prod(primes), primes


SMALL_PRODUCT, SMALL_PRIMES = _small_factor_product()
ROCA = {p: {pow(65537, k, p) for k in range(p)} for p in [3, 5, 7] + [p for p in SMALL_PRIMES if 7 < p <= 167]}


def _weak(modulus):
    if modulus % 2 == 0 or math.gcd(modulus, SMALL_PRODUCT) != 1:
        return "its modulus has a small factor"
    if all(modulus % p in powers for p, powers in ROCA.items()):
        return "its modulus was made by a generator known to be weak (ROCA)"
    root = math.isqrt(modulus)
    for step in range(1, 101):  # Fermat: the primes are too close
        rest = (root + step) ** 2 - modulus
        if math.isqrt(rest) ** 2 == rest:
            return "its primes are too close to each other"
    return None


def check_key(key, curves=("secp256r1", "secp384r1"), sizes=range(2048, 8193, 8)):
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in sizes:
            raise Unsuitable("key", "an RSA key of %d bits is not allowed" % key.key_size)
        numbers = key.public_numbers()
        if numbers.e < 65537 or numbers.e % 2 == 0:
            raise Unsuitable("weak_key", "the RSA exponent %d is not allowed" % numbers.e)
        why = _weak(numbers.n)
        if why:
            raise Unsuitable("weak_key", "the key is weak: " + why)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in curves:
            raise Unsuitable("key", "the curve %s is not allowed" % key.curve.name)
    else:
        raise Unsuitable("key", "this kind of key is not allowed")


class Request:
    """A PKCS#10 request that was read and checked."""

    def __init__(self, pem, curves=("secp256r1", "secp384r1"), sizes=range(2048, 8193, 8)):
        try:
            if not isinstance(pem, str) or "PRIVATE KEY" in pem:
                raise ValueError
            self.request = x509.load_pem_x509_csr(pem.strip().encode() + b"\n")
            self.key = self.request.public_key()
            self.names = self._names()
        except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
            raise Unsuitable("unreadable", "the certificate request cannot be read") from error
        if not self._signed():
            raise Unsuitable("signature", "the signature of the certificate request does not verify")
        check_key(self.key, curves, sizes)
        self.pem = self.request.public_bytes(serialization.Encoding.PEM).decode()
        self.der = self.request.public_bytes(serialization.Encoding.DER)

    def _signed(self):
        algorithm = self.request.signature_hash_algorithm
        if algorithm is None or isinstance(algorithm, (hashes.MD5, hashes.SHA1)):
            return False
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(self.request.signature, self.request.tbs_certrequest_bytes, padding.PKCS1v15(), algorithm)
            elif isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(self.request.signature, self.request.tbs_certrequest_bytes, ec.ECDSA(algorithm))
        except InvalidSignature:
            return False
        return True

    def _names(self):
        names = [a.value.lower() for a in self.request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        try:
            alternative = self.request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return names
        for general in alternative:
            if not isinstance(general, x509.DNSName):
                raise Unsuitable("name", "the request asks for a name that is no DNS name")
            if general.value.lower() not in names:
                names.append(general.value.lower())
        return names

    def shown(self, form):
        """As a CA shows it back, in one of the forms of the setting csr_shown."""
        lines = self.pem.strip().split("\n")[1:-1]
        return {"pem": self.pem, "pem crlf": self.pem.replace("\n", "\r\n"), "base64": "".join(lines), "base64 lines": "\n".join(lines), "none": ""}[form]

    def key_bytes(self):
        return public_bytes(self.key)


def public_bytes(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der_of(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pkcs7_of(certificates, encoding=serialization.Encoding.PEM):
    return pkcs7.serialize_certificates(certificates, encoding)


def colons(serial):
    text = "%X" % serial
    text = text if len(text) % 2 == 0 else "0" + text
    return ":".join(text[i:i + 2] for i in range(0, len(text), 2))


def hexadecimal(serial):
    return colons(serial).replace(":", "")


class Certificate:
    """One that was issued. The bytes are made when somebody wants them: seeding ten thousand orders signs nothing."""

    def __init__(self, authority, key, names, subject, begin, end):
        self.authority, self.key, self.names, self.subject = authority, key, names, subject
        self.begin, self.end = int(begin), int(end)
        self.serial = x509.random_serial_number()
        self.revoked_at = None
        self._made = None

    def made(self):
        if self._made is None:
            self._made = self.authority.sign(self)
        return self._made


class IssuingAuthority:
    """A root, the intermediate that signs, and one that has nothing to do with it."""

    def __init__(self, brand, now):
        self.brand = brand
        self._root_key, self._key = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
        ten_years = 10 * 365 * 86400
        self.root = self._authority(brand + " Simulated Root", self._root_key, brand + " Simulated Root", self._root_key, now, 2 * ten_years)
        self.intermediate = self._authority(brand + " Simulated TLS CA", self._key, brand + " Simulated Root", self._root_key, now, ten_years)
        stranger = ec.generate_private_key(ec.SECP256R1())
        self.stranger = self._authority(brand + " Simulated Other CA", stranger, brand + " Simulated Root", self._root_key, now, ten_years)

    @staticmethod
    def _time(seconds):
        return datetime.datetime.utcfromtimestamp(int(seconds))

    def _authority(self, subject, key, issuer, issuer_key, now, life):
        def name(title):
            return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.brand),
                              x509.NameAttribute(NameOID.COMMON_NAME, title)])
        last = None if subject == issuer else 0
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(self._time(now - 86400)).not_valid_after(self._time(now + life))
                .add_extension(x509.BasicConstraints(ca=True, path_length=last), critical=True)
                .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
                .sign(issuer_key, hashes.SHA256()))

    def sign(self, wanted):
        """`wanted`: a Certificate. Subject: its common name, and the organisation where the product shows one."""
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, wanted.names[0])] if len(wanted.names[0]) <= 64 else []
        for oid, value in ((NameOID.ORGANIZATION_NAME, wanted.subject.get("organization")), (NameOID.LOCALITY_NAME, wanted.subject.get("locality")),
                           (NameOID.COUNTRY_NAME, wanted.subject.get("country"))):
            if value:
                subject.insert(0, x509.NameAttribute(oid, value))
        usage = isinstance(wanted.key, rsa.RSAPublicKey)
        return (x509.CertificateBuilder().subject_name(x509.Name(subject)).issuer_name(self.intermediate.subject).public_key(wanted.key)
                .serial_number(wanted.serial).not_valid_before(self._time(wanted.begin)).not_valid_after(self._time(wanted.end))
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(True, False, usage, False, False, False, False, False, False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                .add_extension(x509.SubjectAlternativeName([self._general(n) for n in wanted.names]), critical=False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(wanted.key), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
                .sign(self._key, hashes.SHA256()))

    @staticmethod
    def _general(name):
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)
