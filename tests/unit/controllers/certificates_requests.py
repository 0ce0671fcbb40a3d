"""Certificate requests as agents and people make them. For the tests of their controllers."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from navarch.kinds import CERTIFICATESIGNINGREQUEST
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import Make

KEY = ec.generate_private_key(ec.SECP256R1())
APPROVED = {"type": "Approved", "status": "True", "reason": "Mine", "lastUpdateTime": "2030-01-01T11:30:00Z"}


def pem(
    name: str = "system:node:n1",
    groups: tuple[str, ...] = ("system:nodes",),
    dns: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    emails: tuple[str, ...] = (),
    uris: tuple[str, ...] = (),
) -> bytes:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
    names += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
    names += [x509.RFC822Name(one) for one in emails]
    names += [x509.UniformResourceIdentifier(one) for one in uris]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def request(
    make: Make,
    signer: str = "kubernetes.io/kube-apiserver-client-kubelet",
    text: bytes | None = None,
    usages: tuple[str, ...] = ("client auth", "digital signature"),
    username: str = "system:bootstrap:abc",
    conditions: tuple[dict[str, Any], ...] = (),
    certificate: bytes = b"",
    metadata: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    status: dict[str, Any] = {"conditions": list(conditions)} if conditions else {}
    if certificate:
        status["certificate"] = base64.b64encode(certificate).decode()
    body = {
        "request": base64.b64encode(pem() if text is None else text).decode(),
        "signerName": signer,
        "usages": list(usages),
        "username": username,
        **spec,
    }
    return make.object(CERTIFICATESIGNINGREQUEST, "r", spec=body, status=status, metadata=metadata or {})
