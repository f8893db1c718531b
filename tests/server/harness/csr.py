"""Keys and certificate requests of the tests' own, good ones and such as no CA may sign."""
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


def key(kind="ec", size=256):
    if kind == "rsa":
        return rsa.generate_private_key(65537, size)
    return ec.generate_private_key({256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}[size]())


def request(*names, signer=None):
    """PEM for these names; `signer`: an own key."""
    signer = signer or key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def spoilt(*names):
    """A request whose signature does not verify."""
    body = x509.load_pem_x509_csr(request(*names).encode()).public_bytes(serialization.Encoding.DER)
    other = body[:-1] + bytes([body[-1] ^ 1])
    return x509.load_der_x509_csr(other).public_bytes(serialization.Encoding.PEM).decode()


def issued_by(certificate, authority):
    """Whether `authority` signed `certificate`; both x509."""
    try:
        authority.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(certificate.signature_hash_algorithm))
    except Exception:  # pylint: disable=broad-except
        return False
    return certificate.issuer == authority.subject
