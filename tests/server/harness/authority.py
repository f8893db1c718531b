"""A certificate authority of the tests' own: for the API of the ACME server, static certificates and folders to import."""
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def private_key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def write_private(path, data):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Two levels: root and intermediate, so that served chains have a length."""

    def __init__(self, folder, title="evercert tests"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign(_name(title + " root"), self.root_key.public_key(), _name(title + " root"), self.root_key, authority=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(_name(title + " ca"), self.key.public_key(), self.root.subject, self.root_key, authority=True)
        self.root_path = os.path.join(folder, "root.pem")
        with open(self.root_path, "wb") as file:
            file.write(self.root.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _sign(subject, public_key, issuer, issuer_key, names=(), authority=False, days=(-1, 90)):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False))
        if authority:
            usage = dict(key_cert_sign=True, crl_sign=True, digital_signature=False)
        else:
            usage = dict(key_cert_sign=False, crl_sign=False, digital_signature=True)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        builder = builder.add_extension(x509.KeyUsage(content_commitment=False, key_encipherment=False, data_encipherment=False,
                                                      key_agreement=False, encipher_only=False, decipher_only=False, **usage), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([Authority._general(n) for n in names]), critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    @staticmethod
    def _general(name):
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    def issue(self, *names, kind="ec", days=(-1, 90)):
        """(chain PEM, key PEM) for these names."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        leaf = self._sign(_name(names[0]), key.public_key(), self.certificate.subject, self.key, names, days=days)
        chain = leaf.public_bytes(serialization.Encoding.PEM) + self.certificate.public_bytes(serialization.Encoding.PEM)
        return chain, private_key_pem(key)

    def files(self, *names, kind="ec", days=(-1, 90)):
        """(path of the chain, path of the key)"""
        chain, key = self.issue(*names, kind=kind, days=days)
        base = os.path.join(self.folder, names[0].replace("*", "_wildcard_") + "." + kind)
        with open(base + ".pem", "wb") as file:
            file.write(chain)
        write_private(base + ".key", key)
        return base + ".pem", base + ".key"


def serial_of_pem(path):
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificate(file.read()).serial_number
