"""Certificates for keys that others hold: what a PKCS #10 request asks for, and an authority's answer to it.

Whether the answer should be given is decided elsewhere (`controllers.certificates`). `cryptography` is imported when a
request has to be read.

Source: RFC 2986, RFC 5280; https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from navarch.base.clock import Clock, Ids
from navarch.base.pki import Pair, load_key

if TYPE_CHECKING:
    from cryptography import x509

BACKDATED = timedelta(minutes=5)
SHORT = timedelta(hours=8)
"""Below it, what a certificate is backdated by counts as part of its life."""
BITS = {
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "cert sign",
    "crl sign",
}
"""Those that the key usage has a bit for; where none is asked for it is left out, since an empty one is not valid."""
PURPOSES = {
    "any": "ANY_EXTENDED_KEY_USAGE",
    "server auth": "SERVER_AUTH",
    "client auth": "CLIENT_AUTH",
    "code signing": "CODE_SIGNING",
    "email protection": "EMAIL_PROTECTION",
    "s/mime": "EMAIL_PROTECTION",
    "timestamping": "TIME_STAMPING",
    "ocsp signing": "OCSP_SIGNING",
}
RARE_PURPOSES = {
    "ipsec end system": "1.3.6.1.5.5.7.3.5",
    "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec user": "1.3.6.1.5.5.7.3.7",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
    "netscape sgc": "2.16.840.1.113730.4.1",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants a certificate to say. dns, emails, addresses, uris: its alternative names."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def read_request(pem: bytes) -> Request:
    """Raises: ValueError: it is no certificate request."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = x509.load_pem_x509_csr(pem)
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    names = _alternatives(found)

    def of(type_: Any) -> tuple[str, ...]:
        return () if names is None else tuple(str(value) for value in names.get_values_for_type(type_))

    return Request(
        str(common[-1].value) if common else "",
        tuple(str(entry.value) for entry in organizations),
        of(x509.DNSName),
        of(x509.RFC822Name),
        of(x509.IPAddress),
        of(x509.UniformResourceIdentifier),
    )


def _alternatives(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    from cryptography import x509

    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


class Signer:
    """Answers requests with the key of an authority."""

    def __init__(self, authority: Pair, clock: Clock, ids: Ids) -> None:
        """clock: of the world that the certificates are checked in."""
        self._authority = authority
        self._clock = clock
        self._ids = ids

    def __call__(self, pem: bytes, usages: Collection[str], life: timedelta) -> bytes:
        """A certificate (PEM) for the key and the names that the request `pem` holds, and nothing else of it.

        Raises: ValueError: the request cannot be read, or its key is of a sort that no certificate can hold.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import Encoding

        request = x509.load_pem_x509_csr(pem)
        issuer = x509.load_pem_x509_certificate(self._authority.certificate)
        key = load_key(self._authority.key)
        start = self._clock.now() - BACKDATED
        end = start + life if life < SHORT else start + BACKDATED + life
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer.subject)
            .public_key(request.public_key())
            .serial_number(int.from_bytes(self._ids.secret(16), "big") >> 1 | 1)
            .not_valid_before(start)
            .not_valid_after(min(end, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        if BITS & set(usages):
            builder = builder.add_extension(_key_usage(usages), critical=True)
        purposes = _purposes(usages)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        names = _alternatives(request)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.PEM)


def _key_usage(usages: Collection[str]) -> x509.KeyUsage:
    from cryptography import x509

    agrees = "key agreement" in usages
    return x509.KeyUsage(
        digital_signature="digital signature" in usages or "signing" in usages,
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement=agrees,
        key_cert_sign="cert sign" in usages,
        crl_sign="crl sign" in usages,
        encipher_only=agrees and "encipher only" in usages,  # they mean nothing without the other
        decipher_only=agrees and "decipher only" in usages,
    )


def _purposes(usages: Collection[str]) -> list[x509.ObjectIdentifier]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    known = [getattr(ExtendedKeyUsageOID, PURPOSES[usage]) for usage in usages if usage in PURPOSES]
    rare = [x509.ObjectIdentifier(RARE_PURPOSES[usage]) for usage in usages if usage in RARE_PURPOSES]
    return list(dict.fromkeys([*known, *rare]))
