"""The server's own certificate authority and the certificate of its front, for TLS.

Sites trust the authority alone, which comes to them with the coordinator's card: a front certificate can
be made anew without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InputError

AUTHORITY_DAYS: Final = 7300
_EARLY: Final = timedelta(days=1)
"""A certificate is valid from a day ago on: clocks differ."""


def make_authority(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """A self-signed certificate (PEM) of an authority that signs fronts and nothing else."""
    subject = _subject(f"fedmotion {name}")
    made = (
        _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def make_front(
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    authority: bytes,
    authority_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> bytes:
    """A server certificate (PEM) for `hosts`, names or IP addresses, signed by the `authority` (PEM)."""
    issuer = x509.load_pem_x509_certificate(authority)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    made = (
        _builder(_subject("fedmotion front"), issuer.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(server, critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
        .sign(authority_key, SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def valid_until(certificate: bytes) -> int:
    """When a certificate (PEM) runs out, in seconds since 1970, UTC; ValueError where it is none."""
    return int(x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp())


def is_certificate(text: str) -> bool:
    """Whether `text` is a certificate, or several (PEM)."""
    try:
        return len(x509.load_pem_x509_certificates(text.encode())) > 0
    except ValueError:
        return False


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise InputError(f"{host!r} is no host name of a certificate: write its ASCII form") from None
