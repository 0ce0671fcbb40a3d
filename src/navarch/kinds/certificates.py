"""CertificateSigningRequest: asking for a certificate, having that approved, and getting it.

Who asks is written down by the API server (`apiserver.admission.certificates`), as are the times of conditions.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.printing import NONE, human_duration
from navarch.kinds.rules import Faults, repeats
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

GROUP = "certificates.k8s.io"
LEAST_S = 600
SIGNER_MAX = 571
"""Bytes of a signer's name: a domain, a slash, and a path of two such parts."""
DECIDED = ("Approved", "Denied")
DECISIONS = (*DECIDED, "Failed")
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)


def prepare(draft: Draft, old: Document | None) -> None:
    """A request never changes."""
    if old is not None and draft.get("spec") != old.get("spec"):
        draft.set(old.get("spec", {}), "spec")
    elif old is None:
        draft.set({}, "status")


def prepare_status(draft: Draft, old: Document) -> None:
    """Whoever signs neither approves nor denies."""
    kept = [one for one in _conditions(old) if one.get("type") in DECIDED]
    others = [one for one in _conditions(draft.document) if one.get("type") not in DECIDED]
    if kept + others:
        draft.set(kept + others, "status", "conditions")
    else:
        draft.remove("status", "conditions")


def prepare_approval(draft: Draft, old: Document) -> None:
    """Whoever approves writes conditions, and nothing else."""
    status = {**old.get("status", {})}
    status.pop("conditions", None)
    if conditions := _conditions(draft.document):
        status["conditions"] = conditions
    for field in ("spec", "metadata"):
        if field in old and draft.get(field) != old[field]:
            owners = draft.get("metadata", "managedFields")
            draft.set(old[field], field)
            if field == "metadata" and owners is not None:
                draft.set(owners, "metadata", "managedFields")
    draft.set(status, "status")


def _conditions(document: Document) -> list[Document]:
    found: list[Document] = dig(document, "status", "conditions", default=[])
    return found


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if old is not None:
        return ()
    spec: Document = new.get("spec") or {}
    if problem := _no_request(spec.get("request", "")):
        faults.invalid("spec.request", spec.get("request", ""), problem)
    usages = spec.get("usages") or []
    if not usages:
        faults.required("spec.usages")
    twice = repeats(usages)
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            faults.unsupported(f"spec.usages[{index}]", usage, USAGES)
        if index in twice:
            faults.duplicate(f"spec.usages[{index}]", usage)
    check_signer(faults, spec.get("signerName", ""), "spec.signerName")
    lifetime_s = spec.get("expirationSeconds")
    if lifetime_s is not None and lifetime_s < LEAST_S:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        faults.invalid("spec.expirationSeconds", lifetime_s, detail)
    return faults.causes


def _no_request(encoded: str) -> str:
    """What is wrong with a PKCS#10 request in PEM in base64; "" for a good one."""
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        return str(error)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in text:
        return "PEM block type must be CERTIFICATE REQUEST"
    from cryptography import x509  # a heavy import, for a rare kind

    try:
        request = x509.load_pem_x509_csr(text)
    except ValueError as error:
        return f"the request cannot be read: {error}"
    return "" if request.is_signature_valid else "the request is not signed by its own key"


def check_signer(faults: Faults, name: str, field: str) -> None:
    """Of a signer's name: a domain, and a path in it."""
    host, _, rest = name.partition("/")
    if not name:
        faults.required(field)
    elif not rest or "/" in rest:
        faults.invalid(field, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
    elif name == "kubernetes.io/legacy-unknown":
        faults.invalid(field, name, "the legacy signerName is not allowed via this API version")
    else:
        faults.checked(field, host, names.dns_subdomain(host))
        if "." not in host:
            faults.invalid(field, host, "should be a domain with at least two segments separated by dots")
        faults.checked(field, rest, names.dns_subdomain(rest))
        if len(name) > SIGNER_MAX:
            faults.too_long(field, SIGNER_MAX)


def decision_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of what approvers and signers write."""
    faults = Faults()
    conditions, seen = _conditions(new), set[str]()
    for index, condition in enumerate(conditions):
        where, type_ = f"status.conditions[{index}]", condition.get("type", "")
        if not type_:
            faults.required(f"{where}.type")
        if type_ in DECISIONS and condition.get("status") != "True":
            faults.unsupported(f"{where}.status", condition.get("status", ""), ("True",))
        if type_ in seen:
            faults.duplicate(f"{where}.type", type_)
        seen.add(type_)
    if set(DECIDED) <= seen:
        detail = "Approved and Denied conditions are mutually exclusive"
        index = next(i for i, one in reversed(list(enumerate(conditions))) if one.get("type") in DECIDED)
        faults.invalid(f"status.conditions[{index}].type", conditions[index]["type"], detail)
    were = {one.get("type"): one for one in _conditions(old or {})}
    for type_ in DECISIONS:
        if type_ in were and type_ not in seen:
            faults.forbidden("status.conditions", f'updates may not remove a condition of type "{type_}"')
    held, given = dig(old, "status", "certificate"), dig(new, "status", "certificate")
    if held is not None and given != held:
        faults.forbidden("status.certificate", "updates may not change an issued certificate")
    elif given is not None and held is None and (problem := _no_chain(given)):
        faults.invalid("status.certificate", given, problem)
    return faults.causes


def _no_chain(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        return str(error)
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(text)
    except ValueError:
        return "must contain at least one CERTIFICATE PEM block"
    return ""


def _lifetime(found: Document, now: datetime) -> str:
    seconds = dig(found, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


def _condition(found: Document, now: datetime) -> str:
    types = {one.get("type") for one in _conditions(found)}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    if "Failed" in types:
        words.append("Failed")
    if dig(found, "status", "certificate"):
        words.append("Issued")
    return ",".join(words)


CERTIFICATESIGNINGREQUEST = Kind(
    group=GROUP,
    version="v1",
    name="CertificateSigningRequest",
    plural="certificatesigningrequests",
    short=("csr",),
    namespaced=False,
    rules=rules,
    prepare=prepare,
    prepare_status=prepare_status,
    subresources=("approval", "status"),
    subresource_prepare={"approval": prepare_approval},
    subresource_rules={"approval": decision_rules, "status": decision_rules},
    counts_generation=False,
    columns=(
        AGE,
        Column("SignerName", ".spec.signerName", description="Who is to sign it."),
        Column("Requestor", ".spec.username", description="Who asks."),
        Column("RequestedDuration", _lifetime, description="For how long the certificate should hold."),
        Column("Condition", _condition, description="Whether it was approved, denied, issued."),
    ),
    age=False,
    fields={"spec.signerName": ("spec", "signerName")},
)
