"""CustomResourceDefinition: what makes the server serve a kind that nobody built in.

Here is the kind itself; its rules stand in `customresourcedefinition_rules`, and what is made of it in `custom`. Its
conditions are the API server's to write.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navarch.kinds.customresourcedefinition_rules import rules, status_rules
from navarch.kinds.kind import CREATED_AT, Kind
from navarch.objects.value import Document, Draft, dig

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
HTTPS_PORT = 443


def default(draft: Draft) -> None:
    name = draft.get("spec", "names", "kind", default="")
    if name and not draft.get("spec", "names", "singular"):
        draft.set(name.lower(), "spec", "names", "singular")
    if name and not draft.get("spec", "names", "listKind"):
        draft.set(f"{name}List", "spec", "names", "listKind")
    draft.default({"strategy": "None"}, "spec", "conversion")
    if draft.has("spec", "conversion", "webhook", "clientConfig", "service"):
        draft.default(HTTPS_PORT, "spec", "conversion", "webhook", "clientConfig", "service", "port")


def prepare(draft: Draft, old: Document | None) -> None:
    """A new one begins with an empty status; the version that is stored is remembered, and so is what must be done
    before one may go."""
    if old is None:
        draft.set({"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}, "status")
        finalizers = draft.get("metadata", "finalizers", default=[])
        if FINALIZER not in finalizers:
            draft.set([*finalizers, FINALIZER], "metadata", "finalizers")
    storage = storage_version(draft.document)
    stored = draft.get("status", "storedVersions", default=[])
    if storage and storage not in stored:
        draft.set([*stored, storage], "status", "storedVersions")


def versions(document: Document) -> Sequence[Document]:
    found: Any = dig(document, "spec", "versions")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else ()


def storage_version(document: Document) -> str:
    """The name of the version that is stored, "" where none or several are."""
    found = [one.get("name", "") for one in versions(document) if one.get("storage")]
    return found[0] if len(found) == 1 else ""


def condition(document: Document, type_: str) -> str:
    """`True`, `False` or "" of a condition."""
    for one in dig(document, "status", "conditions", default=()):
        if one.get("type") == type_:
            return str(one.get("status", ""))
    return ""


def established(document: Document) -> bool:
    return condition(document, "Established") == "True"


CUSTOMRESOURCEDEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    name="CustomResourceDefinition",
    plural="customresourcedefinitions",
    short=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    default=default,
    prepare=prepare,
    rules=rules,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(CREATED_AT,),
    age=False,
)
