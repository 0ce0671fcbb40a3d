"""Rules of what the scheduler and drivers write about claims: which devices were chosen, for whom, how they are.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_interface

from navarch.base.errors import Cause
from navarch.kinds.condition_rules import conditions
from navarch.kinds.device_rules import (
    CONDITIONS_MAX,
    LIST_MAX,
    Requests,
    bounded,
    configuration,
    distinct,
    pool_name,
    raw_object,
    reference,
    references,
    requests_of,
    tolerations,
)
from navarch.kinds.podspec.placement_rules import node_selector
from navarch.kinds.podspec.volume_rules import csi_driver
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

RESERVED_MAX = 256
BINDING_CONDITIONS_MAX = 4
INTERFACE_MAX_BYTES = 256
HARDWARE_MAX_BYTES = 128
ADDRESSES_MAX = 16
SOURCES = ("FromClaim", "FromClass")
_UID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UID_FORM = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
    "characters"
)


def device_id(found: Document, shared: bool = True) -> str:
    """Which device, and which share of it."""
    parts = [found.get(field, "") for field in ("driver", "pool", "device")]
    return "/".join([*parts, found["shareID"]] if shared and found.get("shareID") else parts)


def drop_deallocated(draft: Draft, old: Document) -> None:
    """What is told of devices that the claim has no longer goes with them."""
    told: list[Document] = draft.get("status", "devices") or []
    if not told:
        return
    had, has = (
        {device_id(one, False) for one in dig(found, "status", "allocation", "devices", "results", default=())}
        for found in (old, draft.document)
    )
    kept = [one for one in told if device_id(one, False) not in had - has]
    if not kept:
        draft.remove("status", "devices")
    elif len(kept) < len(told):
        draft.set(kept, "status", "devices")


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    status: Document = new.get("status") or {}
    was: Document = (old or {}).get("status") or {}
    allocation, reserved = status.get("allocation"), status.get("reservedFor") or []
    for where, user in bounded(faults, reserved, "status.reservedFor", RESERVED_MAX):
        for field in ("resource", "name", "uid"):
            if not user.get(field):
                faults.required(f"{where}.{field}")
    distinct(faults, [user.get("uid", "") for user in reserved], "status.reservedFor", RESERVED_MAX)
    allocated = {device_id(one) for one in dig(allocation, "devices", "results", default=())}
    told: list[Document] = status.get("devices") or []
    for index, device in enumerate(told):
        _told(faults, device, f"status.devices[{index}]", allocated)
    distinct(faults, [device_id(one) for one in told], "status.devices", len(told))
    if reserved and allocation is None:
        faults.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif reserved and dig(new, "metadata", "deletionTimestamp") is not None:
        known = {user.get("uid") for user in was.get("reservedFor") or ()}
        if any(user.get("uid") not in known for user in reserved):
            detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            faults.forbidden("status.reservedFor", detail)
    if allocation is not None and was.get("allocation") is not None:
        faults.immutable("status.allocation", allocation, was["allocation"])
    elif allocation is not None:
        _allocation(faults, allocation, "status.allocation", requests_of(new.get("spec") or {}))
    return faults.causes


def _allocation(faults: Faults, found: Document, path: str, known: Requests) -> None:
    devices: Document = found.get("devices") or {}
    for where, result in bounded(faults, devices.get("results") or [], f"{path}.devices.results"):
        _result(faults, result, where, known)
    for where, config in bounded(faults, devices.get("config") or [], f"{path}.devices.config", 2 * LIST_MAX):
        faults.one_of(f"{where}.source", config.get("source", ""), SOURCES)
        references(faults, config.get("requests") or [], f"{where}.requests", known)
        configuration(faults, config, where)
    if "nodeSelector" in found:
        node_selector(faults, found["nodeSelector"], f"{path}.nodeSelector")


def _result(faults: Faults, result: Document, path: str, known: Requests) -> None:
    reference(faults, result.get("request", ""), f"{path}.request", known)
    _device(faults, result, path)
    binding_conditions(faults, result, path)
    tolerations(faults, result.get("tolerations") or [], f"{path}.tolerations")
    _share(faults, result, path)


def _device(faults: Faults, found: Document, path: str) -> None:
    csi_driver(faults, found.get("driver", ""), f"{path}.driver")
    pool_name(faults, found.get("pool", ""), f"{path}.pool")
    faults.checked(f"{path}.device", found.get("device", ""), names.dns_label(found.get("device", "")))


def _share(faults: Faults, found: Document, path: str) -> None:
    share = found.get("shareID")
    if share is None or _UID.fullmatch(share):
        return
    if _UID.fullmatch(share.lower()) or _UID.fullmatch(share.lower().strip("{}").removeprefix("urn:uuid:")):
        faults.invalid(f"{path}.shareID", share, UID_FORM)
    else:
        faults.invalid(f"{path}.shareID", share, "error validating uid: invalid UUID format")


def binding_conditions(faults: Faults, found: Document, path: str) -> None:
    """What has to come true, and what may go wrong, before pods are bound: both or neither."""
    good, bad = found.get("bindingConditions") or [], found.get("bindingFailureConditions") or []
    for field, listed in (("bindingConditions", good), ("bindingFailureConditions", bad)):
        for where, type_ in bounded(faults, listed, f"{path}.{field}", BINDING_CONDITIONS_MAX):
            faults.checked(where, type_, names.label_key(type_))
    distinct(faults, good, f"{path}.bindingConditions")
    distinct(faults, bad, f"{path}.bindingFailureConditions")
    for index, type_ in enumerate(bad[:LIST_MAX]):
        if type_ in good[:LIST_MAX]:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            faults.invalid(f"{path}.bindingFailureConditions[{index}]", type_, detail)
    if bad and not good:
        detail = "bindingConditions are required to use bindingFailureConditions"
        faults.invalid(f"{path}.bindingConditions", None, detail)
    if good and not bad:
        detail = "bindingFailureConditions are required to use bindingConditions"
        faults.invalid(f"{path}.bindingFailureConditions", None, detail)


def _told(faults: Faults, device: Document, path: str, allocated: set[str]) -> None:
    _device(faults, device, path)
    _share(faults, device, path)
    if (name := device_id(device)) not in allocated:
        faults.invalid_unshown(path, f"{name}: must be an allocated device in the claim")
    found: list[Document] = device.get("conditions") or []
    if len(found) > CONDITIONS_MAX:
        faults.too_many(f"{path}.conditions", len(found), CONDITIONS_MAX)
    conditions(faults, found, f"{path}.conditions")
    if "data" in device:
        raw_object(faults, device["data"], f"{path}.data")
    network: Document = device.get("networkData") or {}
    for field, limit_bytes in (("interfaceName", INTERFACE_MAX_BYTES), ("hardwareAddress", HARDWARE_MAX_BYTES)):
        if len(network.get(field, "").encode()) > limit_bytes:
            faults.too_long(f"{path}.networkData.{field}", limit_bytes)
    addresses: list[str] = network.get("ips") or []
    for where, address in bounded(faults, addresses, f"{path}.networkData.ips", ADDRESSES_MAX):
        _interface_address(faults, address, where)
    distinct(faults, addresses, f"{path}.networkData.ips", ADDRESSES_MAX)


def _interface_address(faults: Faults, text: str, field: str) -> None:
    try:
        found = ip_interface(text) if "/" in text else None
    except ValueError:
        found = None
    if found is None:
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        faults.invalid(field, text, detail)
    elif text != str(found.with_prefixlen):
        faults.invalid(field, text, f'must be in canonical form ("{found.with_prefixlen}")')
