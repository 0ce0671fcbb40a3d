"""What is read of certificates, against what the library that makes them says of it; and bytes that are none."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.base.certificate import Certificate, read_der, read_pem

KEY = ec.generate_private_key(ec.SECP256R1())
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True)
ADDRESSES = st.ip_addresses()
TIMES = st.integers(-599_000_000, 220_000_000_000).map(lambda seconds: EPOCH + timedelta(seconds=seconds))


def made(
    end: datetime, name: str = "", groups: tuple[str, ...] = (), hosts: tuple[object, ...] = (), ca: bool | None = None
) -> x509.Certificate:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
    if name:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(parts))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an issuer")]))
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(end - timedelta(days=1))
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if hosts:
        named = [x509.DNSName(one) if isinstance(one, str) else x509.IPAddress(one) for one in hosts]  # type: ignore[arg-type]
        builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=False)
    return builder.sign(KEY, SHA256())


@settings(max_examples=60, deadline=None)
@given(
    TIMES,
    TEXTS | st.just(""),
    st.lists(TEXTS, max_size=3).map(tuple),
    st.lists(HOSTS | ADDRESSES, max_size=4).map(tuple),
    st.sampled_from([None, True, False]),
)
def test_what_was_written_is_read(
    end: datetime, name: str, groups: tuple[str, ...], hosts: tuple[object, ...], ca: bool | None
) -> None:
    certificate = made(end, name, groups, hosts, ca)
    expected = Certificate(end, name, groups, frozenset(map(str, hosts)), bool(ca), end - timedelta(days=1))
    assert read_der(certificate.public_bytes(Encoding.DER)) == expected
    assert (
        read_pem(b"# a comment\n" + certificate.public_bytes(Encoding.PEM) + b"-----BEGIN EC PRIVATE KEY") == expected
    )


GOOD = made(datetime(2030, 1, 1, tzinfo=UTC), "n", ("g",), ("a.b",), True).public_bytes(Encoding.DER)


def test_no_certificate_is_an_error_that_says_so() -> None:
    for data in (b"", b"x", GOOD + b"\0", GOOD[:-1], GOOD[4:], b"\x30\x00", b"\x30\x80" + GOOD, b"\x1f" + GOOD):
        with pytest.raises(ValueError):
            read_der(data)
    with pytest.raises(ValueError, match="no certificate"):
        read_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
    with pytest.raises(ValueError, match="base64"):
        read_pem(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----")
    wrapped = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(GOOD[:-9]) + b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(ValueError, match="cut short"):
        read_pem(wrapped)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_broken_bytes_raise_nothing_else(place: int, value: int, end: int) -> None:
    broken = (GOOD[:place] + bytes([value]) + GOOD[place + 1 :])[:end]
    with contextlib.suppress(ValueError):
        assert isinstance(read_der(broken), Certificate)
