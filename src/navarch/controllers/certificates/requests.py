"""What each of Kubernetes' signers signs: whose names, and for which uses.

Pure: a request that was read goes in, what is wrong with it comes out, in the words that its Failed condition has.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence

from navarch.base.signing import Request, read_request
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
CLIENT_USAGES = {"client auth", "digital signature", "key encipherment"}
SERVING_USAGES = {"digital signature", "key encipherment", "server auth"}
OPTIONAL = "key encipherment"
"""Of use with RSA keys alone."""


def pem_of(found: Object) -> bytes:
    """The request itself, b"" where it is none."""
    try:
        return base64.b64decode(dig(found.document(), "spec", "request", default=""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def asked(found: Object) -> Request | None:
    """What is asked for; None where it cannot be read."""
    try:
        return read_request(pem_of(found))
    except ValueError:
        return None


def usages_of(found: Object) -> list[str]:
    return list(dig(found.document(), "spec", "usages", default=()))


def signer_of(found: Object) -> str:
    return str(dig(found.document(), "spec", "signerName", default=""))


def conditions_of(found: Object) -> list[Document]:
    return list(dig(found.document(), "status", "conditions", default=()))


def has(found: Object, *types: str) -> bool:
    return any(one.get("type") in types and one.get("status") == "True" for one in conditions_of(found))


def issued(found: Object) -> bool:
    return bool(dig(found.document(), "status", "certificate"))


def fault_of(signer: str, request: Request, usages: Sequence[str]) -> str:
    """Why `signer` does not sign that; "" where it does."""
    if signer == CLIENT:
        return _client_fault(usages)
    if signer == KUBELET_CLIENT:
        return kubelet_client_fault(request, usages)
    if signer == KUBELET_SERVING:
        return _kubelet_serving_fault(request, usages)
    return ""


def _client_fault(usages: Sequence[str]) -> str:
    for usage in usages:
        if usage not in CLIENT_USAGES:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def kubelet_client_fault(request: Request, usages: Collection[str]) -> str:
    if request.organizations != (NODES,):
        return "subject organization is not system:nodes"
    for name, present in (
        ("DNS", request.dns),
        ("Email", request.emails),
        ("IP", request.addresses),
        ("URI", request.uris),
    ):
        if present:
            return f"{name} subjectAltNames are not allowed"
    if not request.common_name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return _usages_fault(usages, CLIENT_USAGES)


def _kubelet_serving_fault(request: Request, usages: Collection[str]) -> str:
    if request.organizations != (NODES,):
        return "subject organization is not system:nodes"
    if not request.dns and not request.addresses:
        return "DNS or IP subjectAltName is required"
    if request.emails:
        return "Email subjectAltNames are not allowed"
    if request.uris:
        return "URI subjectAltNames are not allowed"
    if fault := _usages_fault(usages, SERVING_USAGES):
        return fault
    if not request.common_name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    return ""


def _usages_fault(usages: Collection[str], wanted: set[str]) -> str:
    if set(usages) in (wanted, wanted - {OPTIONAL}):
        return ""
    return f"usages did not match [{' '.join(sorted(wanted))}]"
