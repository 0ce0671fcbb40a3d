"""Older versions of kinds that are stored in their stable one: clients that were written for them go on working.

Where the fields are the same, the version is all that differs; devices were nested otherwise in `v1beta1`.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from navarch.kinds.addresses import IPADDRESS, SERVICECIDR
from navarch.kinds.csi import VOLUMEATTRIBUTESCLASS
from navarch.kinds.device import DEVICECLASS, RESOURCECLAIM, RESOURCECLAIMTEMPLATE, RESOURCESLICE
from navarch.kinds.kind import Convert, Kind
from navarch.kinds.webhook import MUTATINGADMISSIONPOLICY, MUTATINGADMISSIONPOLICYBINDING
from navarch.objects.value import Document, dig


def _same(document: Document) -> Document:
    return document


def older(kind: Kind, version: str, ends: tuple[str, str] | None, to: Convert = _same, back: Convert = _same) -> Kind:
    """The face of `kind` in another version.

    ends: the releases since which it is deprecated and is gone; None while it is neither. to, back: the document as
    `kind` has it, and as this version has it.
    """
    stored, own = kind.api_version, f"{kind.group}/{version}"
    deprecated = f"{own} {kind.name} is deprecated in {ends[0]}+, unavailable in {ends[1]}+" if ends else ""
    return replace(
        kind,
        version=version,
        deprecated=deprecated,
        stored_as=kind,
        to_stored=lambda document: {**to(document), "apiVersion": stored},
        from_stored=lambda document: {**back(document), "apiVersion": own},
    )


NESTED = ("adminAccess", "allocationMode", "capacity", "count", "deviceClassName", "selectors", "tolerations")
"""What a request for exactly such devices says, which `v1beta1` said beside its name."""


def _newer_request(request: Document) -> Document:
    inner = {field: request[field] for field in NESTED if field in request}
    found = {field: value for field, value in request.items() if field not in NESTED}
    return {**found, "exactly": inner} if inner else found


def _older_request(request: Document) -> Document:
    found = {field: value for field, value in request.items() if field != "exactly"}
    return {**found, **(request.get("exactly") or {})}


def _newer_device(device: Document) -> Document:
    found = {field: value for field, value in device.items() if field != "basic"}
    return {**found, **(device.get("basic") or {})}


def _older_device(device: Document) -> Document:
    return {"name": device.get("name", ""), "basic": {k: v for k, v in device.items() if k != "name"}}


def _each(change: Callable[[Document], Document], *path: str) -> Convert:
    """Change every entry of the list at `path`, in a copy."""

    def convert(document: Document) -> Document:
        entries = dig(document, *path)
        if not isinstance(entries, list):
            return document
        found = {**document}
        holder = found
        for field in path[:-1]:
            holder[field] = {**holder[field]}
            holder = holder[field]
        holder[path[-1]] = [change(entry) for entry in entries]
        return found

    return convert


CLAIM, TEMPLATE = ("spec", "devices", "requests"), ("spec", "spec", "devices", "requests")
DEVICES = ("spec", "devices")
BETA_1, BETA_2 = ("v1.35", "v1.38"), ("v1.36", "v1.39")

RESOURCECLAIM_V1BETA1 = older(
    RESOURCECLAIM, "v1beta1", BETA_1, _each(_newer_request, *CLAIM), _each(_older_request, *CLAIM)
)
RESOURCECLAIMTEMPLATE_V1BETA1 = older(
    RESOURCECLAIMTEMPLATE, "v1beta1", BETA_1, _each(_newer_request, *TEMPLATE), _each(_older_request, *TEMPLATE)
)
RESOURCESLICE_V1BETA1 = older(
    RESOURCESLICE, "v1beta1", BETA_1, _each(_newer_device, *DEVICES), _each(_older_device, *DEVICES)
)
DEVICECLASS_V1BETA1 = older(DEVICECLASS, "v1beta1", BETA_1)

RESOURCECLAIM_V1BETA2 = older(RESOURCECLAIM, "v1beta2", BETA_2)
RESOURCECLAIMTEMPLATE_V1BETA2 = older(RESOURCECLAIMTEMPLATE, "v1beta2", BETA_2)
RESOURCESLICE_V1BETA2 = older(RESOURCESLICE, "v1beta2", BETA_2)
DEVICECLASS_V1BETA2 = older(DEVICECLASS, "v1beta2", BETA_2)

IPADDRESS_V1BETA1 = older(IPADDRESS, "v1beta1", ("v1.34", "v1.37"))
SERVICECIDR_V1BETA1 = older(SERVICECIDR, "v1beta1", ("v1.34", "v1.37"))
VOLUMEATTRIBUTESCLASS_V1BETA1 = older(VOLUMEATTRIBUTESCLASS, "v1beta1", ("v1.34", "v1.37"))
MUTATINGADMISSIONPOLICY_V1BETA1 = older(MUTATINGADMISSIONPOLICY, "v1beta1", None)
MUTATINGADMISSIONPOLICYBINDING_V1BETA1 = older(MUTATINGADMISSIONPOLICYBINDING, "v1beta1", None)
