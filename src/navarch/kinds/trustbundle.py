"""ClusterTrustBundle: certificates of authorities that everybody in the cluster may read and trust.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#cluster-trust-bundles
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable
from datetime import datetime

from navarch.base.certificate import read_der
from navarch.base.errors import Cause
from navarch.kinds.certificates import GROUP, check_signer, pem_blocks
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, dig

BUNDLE_MAX_BYTES = 1024 * 1024
OMITTED = "<value omitted>"


def _name_faults(faults: Faults, name: str, signer: str) -> None:
    """A bundle of a signer is named below it; one of nobody in particular has no colon in its name."""
    if not signer:
        if ":" in name:
            faults.invalid(
                "metadata.name", name, 'ClusterTrustBundle without signer name must not have ":" in its name'
            )
        else:
            faults.checked("metadata.name", name, names.dns_subdomain(name))
        return
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        detail = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
        faults.invalid("metadata.name", name, detail)
    else:
        faults.checked("metadata.name", name, names.dns_subdomain(name.removeprefix(prefix)))


def any_name(name: str) -> names.Messages:
    """What a name may be depends on the signer: see `rules`."""
    return ()


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    signer, bundle = dig(new, "spec", "signerName", default=""), dig(new, "spec", "trustBundle", default="")
    _name_faults(faults, dig(new, "metadata", "name", default=""), signer)
    if signer:
        check_signer(faults, signer, "spec.signerName")
    if old is None or bundle != dig(old, "spec", "trustBundle"):
        _bundle(faults, bundle)
    if old is not None:
        faults.immutable("spec.signerName", signer, dig(old, "spec", "signerName", default=""))
    return faults.causes


def _bundle(faults: Faults, text: str) -> None:
    field = "spec.trustBundle"
    if len(text) > BUNDLE_MAX_BYTES:
        faults.too_long(field, BUNDLE_MAX_BYTES)
        return
    seen: dict[bytes, list[int]] = {}
    wrong = False
    for number, (type_, body) in enumerate(pem_blocks(text)):
        data, problem = _certificate(type_, body)
        if problem:
            faults.invalid(field, OMITTED, f"entry {number} {problem}")
            wrong = True
        else:
            seen.setdefault(data, []).append(number)
    if wrong:
        return
    if not seen:
        faults.invalid(field, OMITTED, "at least one trust anchor must be provided")
    for numbers in seen.values():
        if len(numbers) > 1:
            listed = " ".join(map(str, numbers))
            faults.invalid(field, OMITTED, f"duplicate trust anchor (indices [{listed}])")


def _certificate(type_: str, body: str) -> tuple[bytes, str]:
    """A block's bytes, and what is wrong with it: "" for the certificate of an authority."""
    if type_ != "CERTIFICATE":
        return b"", f"has bad block type: {type_}"
    if ":" in body:
        return b"", "has PEM block headers"
    try:
        data = base64.b64decode("".join(body.split()), validate=True)
        found = read_der(data)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data)
    except (ValueError, ssl.SSLError):
        return b"", "does not parse as X.509"
    return data, "" if found.authority else "does not have the CA bit set"


def _signer(found: Document, now: datetime) -> str:
    return dig(found, "spec", "signerName") or NONE


CLUSTERTRUSTBUNDLE = Kind(
    group=GROUP,
    version="v1beta1",
    name="ClusterTrustBundle",
    plural="clustertrustbundles",
    namespaced=False,
    rules=rules,
    name_rule=any_name,
    counts_generation=False,
    columns=(Column("SignerName", _signer, description="Whose certificates it is about."),),
    age=False,
    fields={"spec.signerName": ("spec", "signerName")},
)
