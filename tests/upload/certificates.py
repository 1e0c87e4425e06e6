"""Makes an authority and a certificate of localhost by it: `certificates.py FOLDER` writes ca.pem, store.pem, store.key."""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

FOLDER = pathlib.Path(sys.argv[1])
DAY = datetime.timedelta(days=1)


def made(name, issuer, extensions):
    """A key and its certificate, signed by `issuer`, a key and a name, or by itself."""
    now = datetime.datetime.now(datetime.timezone.utc)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer_key, issuer_name = issuer or (key, subject)
    builder = x509.CertificateBuilder(
        issuer_name, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return key, builder.sign(issuer_key, hashes.SHA256())


ca_key, ca = made("authority", None, [x509.BasicConstraints(True, 0)])
names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
key, certificate = made("store", (ca_key, ca.subject), [x509.BasicConstraints(False, None), names])
(FOLDER / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
(FOLDER / "store.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
(FOLDER / "store.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
