"""CertificateSigningRequest: asking for a certificate, having that approved, and getting it.

Who asks is written down by the API server (`apiserver.admission.certificates`), as are the times of conditions.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.printing import NONE, human_duration
from navarch.kinds.rules import Faults, repeats, shown
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

GROUP = "certificates.k8s.io"
BEGIN = "-----BEGIN "
LEAST_S = 600
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
STATUSES = ("False", "True", "Unknown")
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
    """Whoever signs leaves what approvers wrote as it is; more of it or less is against the rules."""
    kept = {type_: _of_type(_conditions(old), type_) for type_ in DECIDED}
    now = _conditions(draft.document)
    same = [type_ for type_, found in kept.items() if found and len(_of_type(now, type_)) == len(found)]
    left = {type_: iter(kept[type_]) for type_ in same}
    made = [next(left[one["type"]]) if one.get("type") in left else one for one in now]
    if made != now:
        draft.set(made, "status", "conditions")


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
    if spec.get("signerName") == LEGACY_SIGNER:
        faults.invalid("spec.signerName", LEGACY_SIGNER, "the legacy signerName is not allowed via this API version")
    else:
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
    host, *rest = name.split("/")
    if not name:
        faults.required(field)
        return
    if len(rest) != 1:
        faults.invalid(field, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        return
    if len(host) > names.SUBDOMAIN_MAX:
        faults.too_long(field, names.SUBDOMAIN_MAX)
    _labels(faults, field, host, names.dns_label)
    if "." not in host:
        faults.invalid(field, host, "should be a domain with at least two segments separated by dots")
    _labels(faults, field, rest[0], names.dns_subdomain)
    if len(name) > SIGNER_MAX:
        faults.too_long(field, SIGNER_MAX)


def _labels(faults: Faults, field: str, text: str, check: names.Validator) -> None:
    """Tells what is wrong with the first part between dots that is none."""
    for label in text.split("."):
        if messages := check(label):
            faults.checked(field, text, [f"validating label {shown(label)}: {message}" for message in messages])
            return


def decision_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of what approvers and signers write."""
    faults = Faults()
    held, given = dig(old, "status", "certificate"), dig(new, "status", "certificate")
    before, now = _conditions(old or {}), _conditions(new)
    if now != before:
        _check_conditions(faults, now, before)
    if given != held and given and (problem := _no_chain(given)):
        faults.invalid("status.certificate", "<certificate data>", problem)
    for type_ in DECISIONS:
        if len(_of_type(now, type_)) < len(_of_type(before, type_)):
            faults.forbidden("status.conditions", f'updates may not remove a condition of type "{type_}"')
    if held and given != held:
        faults.forbidden("status.certificate", "updates may not modify existing certificate content")
    return faults.causes


def signer_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of what signers write, who decide nothing."""
    yield from decision_rules(new, old)
    before, now = _conditions(old or {}), _conditions(new)
    faults = Faults()
    for type_ in DECIDED:
        if len(_of_type(now, type_)) > len(_of_type(before, type_)):
            faults.forbidden("status.conditions", f'updates may not add a condition of type "{type_}"')
    yield from faults.causes


def _of_type(conditions: list[Document], type_: str) -> list[Document]:
    return [one for one in conditions if one.get("type", "") == type_]


def _check_conditions(faults: Faults, conditions: list[Document], before: list[Document]) -> None:
    """What was wrong before may stay."""
    seen: set[str] = set()
    types = [one.get("type", "") for one in before]
    for index, condition in enumerate(conditions):
        where, type_, status = f"status.conditions[{index}]", condition.get("type", ""), condition.get("status", "")
        if not type_ and "" not in types:
            faults.required(f"{where}.type")
        supported = ("True",) if type_ in DECISIONS else STATUSES
        if not status:
            faults.required(f"{where}.status")
        elif status not in supported:
            faults.unsupported(f"{where}.status", status, supported)
        if type_ in DECIDED and set(DECIDED) - {type_} <= seen and not set(DECIDED) <= set(types):
            faults.invalid("status.conditions", type_, "Approved and Denied conditions are mutually exclusive")
        if type_ in seen and len(set(types)) == len(types):
            faults.duplicate(f"{where}.type", type_)
        seen.add(type_)


def pem_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Type and body of each block in PEM, up to one that does not end."""
    text, end = text.replace("\r\n", "\n"), 0
    while (begin := text.find(BEGIN, end)) >= 0:
        name_at = begin + len(BEGIN)
        body_at = text.find("-----\n", name_at)
        type_ = text[name_at:body_at]
        stop = text.find(f"-----END {type_}-----", body_at) if body_at >= 0 else -1
        if stop < 0:
            return
        yield type_, text[body_at + len("-----\n") : stop]
        end = stop + len(f"-----END {type_}-----")


def _no_chain(encoded: str) -> str:
    """What is wrong with certificates in PEM in base64; "" for good ones."""
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        return str(error)
    from cryptography import x509

    blocks = list(pem_blocks(text.decode(errors="replace")))
    for type_, body in blocks:
        if type_ != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {shown(type_)}"
        if ":" in body:
            return "no PEM block headers are permitted"
        try:
            x509.load_der_x509_certificate(base64.b64decode(body))
        except ValueError as error:
            return f"the certificate cannot be read: {error}"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


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
    subresource_rules={"approval": decision_rules, "status": signer_rules},
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
