"""Certificates for keys of others: they say what was asked for, and no more."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from navarch.base.clock import SystemIds
from navarch.base.pki import AUTHORITY_LIFE, Authority, subject_of
from navarch.base.signing import BACKDATED, Request, Signer, read_request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USAGES = ("client auth", "digital signature")


class HandClock:
    moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


AUTHORITY = Authority.create("ca", HandClock(), SystemIds()).pair
SIGN = Signer(AUTHORITY, HandClock(), SystemIds())
NAMES = x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.IPAddress(ipaddress.ip_address("::1"))])


def wanted(key: object, *extensions: x509.ExtensionType) -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "devs"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ops"),
            x509.NameAttribute(NameOID.COMMON_NAME, "jane"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


EC = ec.generate_private_key(ec.SECP384R1())


def test_what_is_read() -> None:
    assert read_request(wanted(EC, NAMES)) == Request("jane", ("devs", "ops"), ("a.example",), (), ("::1",), ())
    assert read_request(wanted(EC)) == Request("jane", ("devs", "ops"))
    with pytest.raises(ValueError):
        read_request(b"nonsense")


@pytest.mark.parametrize(
    "key", [EC, ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)], ids=["ec", "ed", "rsa"]
)
def test_keys_of_every_sort_are_signed(key: ec.EllipticCurvePrivateKey) -> None:
    made = x509.load_pem_x509_certificate(SIGN(wanted(key), USAGES, timedelta(hours=1)))
    assert made.public_key() == key.public_key()
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.certificate))
    assert subject_of(made.public_bytes(serialization.Encoding.PEM)) == ("jane", ("devs", "ops"))


def test_nobody_becomes_an_authority_by_asking() -> None:
    made = x509.load_pem_x509_certificate(
        SIGN(wanted(EC, NAMES, x509.BasicConstraints(ca=True, path_length=None)), USAGES, timedelta(hours=1))
    )
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == NAMES
    use = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert use.digital_signature
    assert not use.key_cert_sign
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_rare_uses() -> None:
    usages = ("s/mime", "email protection", "netscape sgc", "encipher only", "content commitment")
    made = x509.load_pem_x509_certificate(SIGN(wanted(EC), usages, timedelta(hours=1)))
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in purposes] == ["1.3.6.1.5.5.7.3.4", "2.16.840.1.113730.4.1"]
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.content_commitment
    bare = x509.load_pem_x509_certificate(SIGN(wanted(EC), ("client auth",), timedelta(hours=1)))
    with pytest.raises(x509.ExtensionNotFound):
        bare.extensions.get_extension_for_class(x509.KeyUsage)
    plain = x509.load_pem_x509_certificate(SIGN(wanted(EC), ("signing",), timedelta(hours=1)))
    with pytest.raises(x509.ExtensionNotFound):
        plain.extensions.get_extension_for_class(x509.ExtendedKeyUsage)


@pytest.mark.parametrize(
    ("life", "end"),
    [
        (timedelta(minutes=10), NOW - BACKDATED + timedelta(minutes=10)),
        (timedelta(hours=8), NOW + timedelta(hours=8)),
        (timedelta(days=99_999), NOW + AUTHORITY_LIFE),
    ],
)
def test_it_never_outlives_its_authority(life: timedelta, end: datetime) -> None:
    made = x509.load_pem_x509_certificate(SIGN(wanted(EC), USAGES, life))
    assert made.not_valid_before_utc == NOW - BACKDATED
    assert made.not_valid_after_utc == end
