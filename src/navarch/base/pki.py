"""The cluster's own certificate authority and keys: made once, kept in a directory, renewed before they expire.

ECDSA on P-256 throughout. `cryptography` is imported when something has to be made; `certificate` looks into what is
there without. What a certificate entitles its holder to is the business of `apiserver.authn`; here CN and O are only
text.

Source: https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from navarch.base.certificate import read_pem
from navarch.base.clock import Clock, Ids

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=60)
BACKDATED = timedelta(minutes=10)
"""Certificates start in the past, for clocks that are a little late."""
KEY_BYTES = 32
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: private keys are the numbers below it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file in one step, readable only by its owner at every moment, durable on return."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def new_key(ids: Ids | None = None) -> bytes:
    """A fresh private key (PKCS 8, PEM). ids: where its randomness comes from, the operating system when None.

    Source: FIPS 186-5, A.2.1: 64 bits more than it takes leave no key likelier than another
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if ids is None:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        number = int.from_bytes(ids.secret(KEY_BYTES + 8), "big") % (ORDER - 1) + 1
        key = ec.derive_private_key(number, ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_request(key: bytes, common_name: str, organizations: Sequence[str] = (), hosts: Sequence[str] = ()) -> bytes:
    """A request (PKCS #10, PEM) for a certificate of this key. hosts: DNS names and addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, organizations))
    if hosts:
        names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(load_key(key), SHA256()).public_bytes(Encoding.PEM)


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises: ValueError: `pem` is no unencrypted elliptic-curve key."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    return key


def public_key(private: bytes) -> bytes:
    """The public half of a private key, PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return load_key(private).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def expires(certificate: bytes) -> datetime:
    """When a PEM certificate stops being valid. Raises: ValueError: it is none."""
    return read_pem(certificate).not_after


def matches(pair: Pair) -> bool:
    """Whether certificate and key belong together (a crash between writing the two leaves a pair that does not)."""
    try:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pair)
    except ssl.SSLError:
        return False
    return True


def hosts_of(certificate: bytes) -> frozenset[str]:
    """The DNS names and addresses that a PEM certificate is for."""
    return read_pem(certificate).hosts


def subject_of(certificate: bytes) -> tuple[str, tuple[str, ...]]:
    """Common name and organizations of a PEM certificate."""
    found = read_pem(certificate)
    return found.common_name, found.organizations


def _name(common_name: str, organizations: Iterable[str] = ()) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, entry) for entry in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """Signs certificates. `pair.certificate` is what its clients and servers trust."""

    def __init__(self, pair: Pair, clock: Clock, ids: Ids) -> None:
        self.pair = pair
        self._clock = clock
        self._ids = ids

    @classmethod
    def create(cls, common_name: str, clock: Clock, ids: Ids) -> Authority:
        """clock: of the world that the certificates are checked in: the machine's, even where the cluster's time is
        turned by hand."""
        from cryptography import x509

        key = new_key(ids)
        name = _name(common_name)
        builder = _builder(name, name, key, clock.now(), AUTHORITY_LIFE, ids)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        return cls(Pair(_signed(builder, key), key), clock, ids)

    def server(self, common_name: str, hosts: Sequence[str], life: timedelta = LEAF_LIFE) -> Pair:
        """For a server that is reached as `hosts` (DNS names and addresses)."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        names = x509.SubjectAlternativeName([_alternative(host) for host in dict.fromkeys(hosts)])
        return self._issue(_name(common_name), (ExtendedKeyUsageOID.SERVER_AUTH,), names, life)

    def client(self, common_name: str, organizations: Sequence[str] = ()) -> Pair:
        """For a client that is known as user `common_name` in the groups `organizations`."""
        from cryptography.x509.oid import ExtendedKeyUsageOID

        return self._issue(_name(common_name, organizations), (ExtendedKeyUsageOID.CLIENT_AUTH,), None)

    def _issue(
        self,
        subject: x509.Name,
        purposes: Sequence[Any],
        names: x509.SubjectAlternativeName | None,
        life: timedelta = LEAF_LIFE,
    ) -> Pair:
        """It ends with the authority at the latest."""
        from cryptography import x509

        key, now = new_key(self._ids), self._clock.now()
        issuer = x509.load_pem_x509_certificate(self.pair.certificate)
        builder = _builder(subject, issuer.subject, key, now, min(life, issuer.not_valid_after_utc - now), self._ids)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(load_key(self.pair.key).public_key())
        builder = builder.add_extension(identifier, critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return Pair(_signed(builder, self.pair.key), key)


def _usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: bytes, now: datetime, life: timedelta, ids: Ids
) -> x509.CertificateBuilder:
    from cryptography import x509

    public = load_key(key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(ids.secret(16), "big") >> 1 | 1)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, issuer_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    signed = builder.sign(load_key(issuer_key), SHA256(), ecdsa_deterministic=True)  # the ids are all that is random
    return signed.public_bytes(Encoding.PEM)


class Pki:
    """The keys of one cluster, in one directory: `ca`, the leaf pairs by name, and the service accounts' signing key.

    Everything is made when it is first asked for, and a leaf again when it nears its end or its hosts changed.
    renew_before: how near; longer than a leaf lives, and every leaf that is asked for is made anew.
    """

    def __init__(self, directory: Path, clock: Clock, ids: Ids, *, renew_before: timedelta = RENEW_BEFORE) -> None:
        self._renew_before = renew_before
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._authorities: dict[str, Authority] = {}

    @property
    def authority(self) -> Authority:
        return self._made("ca", "navarch-ca")

    def front_proxy(self, common_name: str) -> tuple[bytes, Pair]:
        """What the API server shows to those that it hands requests on to, who believe it what user asks: the CA
        (PEM) of nothing but that, and the pair."""
        authority, name = self._made("front-proxy-ca", "navarch-front-proxy-ca"), common_name
        pair = self._stored(name)
        if pair is None or self._stale(pair):
            pair = authority.client(common_name)
            self._store(name, pair)
        return authority.pair.certificate, pair

    def _made(self, name: str, common_name: str) -> Authority:
        found = self._authorities.get(name)
        if found is None:
            pair = self._stored(name)
            if pair is None:
                pair = Authority.create(common_name, self._clock, self._ids).pair
                self._store(name, pair)
            found = self._authorities[name] = Authority(pair, self._clock, self._ids)
        return found

    def server(self, name: str, common_name: str, hosts: Sequence[str]) -> Pair:
        pair = self._stored(name)
        if pair is None or self._stale(pair) or not set(hosts) <= hosts_of(pair.certificate):
            pair = self.authority.server(common_name, hosts)
            self._store(name, pair)
        return pair

    def client(self, name: str, common_name: str, organizations: Sequence[str] = ()) -> Pair:
        pair = self._stored(name)
        if pair is None or self._stale(pair) or subject_of(pair.certificate) != (common_name, tuple(organizations)):
            pair = self.authority.client(common_name, organizations)
            self._store(name, pair)
        return pair

    def signing_key(self, name: str = "service-accounts") -> bytes:
        """The private key (PEM) that service account tokens are signed with."""
        path = self._directory / f"{name}.key"
        if not path.exists():
            write_private(path, new_key())
        return path.read_bytes()

    def path(self, name: str) -> tuple[Path, Path]:
        """Where the certificate and the key of `name` lie."""
        return self._directory / f"{name}.crt", self._directory / f"{name}.key"

    def _stale(self, pair: Pair) -> bool:
        return not matches(pair) or expires(pair.certificate) - self._clock.now() < self._renew_before

    def _stored(self, name: str) -> Pair | None:
        certificate, key = self.path(name)
        if not certificate.exists() or not key.exists():
            return None
        return Pair(certificate.read_bytes(), key.read_bytes())

    def _store(self, name: str, pair: Pair) -> None:
        certificate, key = self.path(name)
        write_private(key, pair.key)
        write_private(certificate, pair.certificate, 0o644)


def server_context(pair: Pair, client_authority: bytes | None = None) -> ssl.SSLContext:
    """What a server wraps its connections with. client_authority: PEM of the CA whose client certificates are
    accepted; a client without one is let in (and is nobody), one with a foreign certificate is not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # clients of an API server do not resume; each ticket would be one more write
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, pair)
    if client_authority is not None:
        context.load_verify_locations(cadata=client_authority.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(authority: bytes, pair: Pair | None = None) -> ssl.SSLContext:
    """What a client wraps its connections with: trusts `authority` (PEM) alone and shows `pair`."""
    context = ssl.create_default_context(cadata=authority.decode())
    if pair is not None:
        _load_pair(context, pair)
    return context


def unverified_context(pair: Pair | None = None) -> ssl.SSLContext:
    """The same for a client that said it wants to speak with whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        _load_pair(context, pair)
    return context


def _load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """`ssl` reads key pairs from files only: give it a memory file that has no name on any disk."""
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(pair.certificate + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
