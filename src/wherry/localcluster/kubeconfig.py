"""The server's identity and the kubeconfig that names it: a certificate and a token that live as long as the server."""

import ipaddress
import os
import secrets
import tempfile
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "wherry"


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; only its owner may read it (0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)


def make_token() -> str:
    """A random bearer token."""
    return secrets.token_urlsafe(32)


def make_certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for loopback and its key (PEM): kubectl sends tokens over TLS only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wherry localcluster")])
    now, public = datetime.now(UTC), key.public_key()
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder(
            name, name, public, x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(days=365)
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def kubeconfig(port: int, certificate: bytes, token: str) -> bytes:
    """The kubeconfig's text."""
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": b64encode(certificate).decode()}
    context = {"cluster": NAME, "user": NAME, "namespace": "default"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": cluster}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": context}],
    }
    return yaml.safe_dump(document).encode()
