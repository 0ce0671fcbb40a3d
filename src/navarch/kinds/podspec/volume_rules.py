"""Rules of a pod's volumes.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/
"""

from __future__ import annotations

from typing import Any

import orjson

from navarch.kinds.podspec.container_rules import field_ref, relative, resource_field_ref
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults, Passed
from navarch.objects import names
from navarch.objects.value import Document

MODE_MAX = 0o777
BAD_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
ONE_TYPE = "may not specify more than 1 volume type"
HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
DOWNWARD_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
TOKEN_MIN_S = 600
TOKEN_MAX_S = 1 << 32


def volumes(faults: Faults, found: list[Document], path: str) -> dict[str, Document]:
    """The volumes by name, whether they are good or not."""
    by_name: dict[str, Document] = {}
    for index, volume in enumerate(found):
        where = f"{path}[{index}]"
        name = volume.get("name", "")
        if not name:
            faults.required(f"{where}.name")
        elif messages := names.dns_label(name):
            faults.checked(f"{where}.name", name, messages)
        elif name in by_name:
            faults.duplicate(f"{where}.name", name)
        types = [type_ for type_ in volume if type_ != "name"]
        if not types:
            faults.required(where, "must specify a volume type")
        for extra in types[1:]:
            faults.forbidden(f"{where}.{extra}", ONE_TYPE)
        if types:
            _source(faults, types[0], volume[types[0]], f"{where}.{types[0]}")
        by_name[name] = volume
    return by_name


def _source(faults: Faults, type_: str, source: Document, path: str) -> None:
    match type_:
        case "emptyDir":
            if "sizeLimit" in source:
                amount(faults, source["sizeLimit"], f"{path}.sizeLimit")
        case "hostPath":
            _host_path(faults, source, path)
        case "configMap":
            _required(faults, source, path, "name")
            _files(faults, source, path)
        case "secret":
            _required(faults, source, path, "secretName")
            _files(faults, source, path)
        case "persistentVolumeClaim":
            _required(faults, source, path, "claimName")
        case "downwardAPI":
            _mode(faults, source.get("defaultMode"), f"{path}.defaultMode")
            _downward(faults, source, path)
        case "projected":
            encoded = orjson.dumps(source)
            if encoded not in _PASSED:
                before = len(faults.causes)
                _projected(faults, source, path)
                if len(faults.causes) == before:
                    _PASSED.add(encoded)
        case "csi":
            _required(faults, source, path, "driver")
        case "ephemeral":
            _required(faults, source, path, "volumeClaimTemplate")
        case "image":
            _required(faults, source, path, "reference")
        case "nfs":
            _required(faults, source, path, "server", "path")


_PASSED = Passed()
"""Projected volumes: nearly every pod has the same one, of its account's token."""


def _required(faults: Faults, source: Document, path: str, *fields: str) -> None:
    for field in fields:
        if not source.get(field):
            faults.required(f"{path}.{field}")


def _host_path(faults: Faults, source: Document, path: str) -> None:
    where = source.get("path", "")
    if not where:
        faults.required(f"{path}.path")
    elif ".." in where.split("/"):
        faults.invalid(f"{path}.path", where, "must not contain '..'")
    if source.get("type", "") not in HOST_PATH_TYPES:
        faults.unsupported(f"{path}.type", source["type"], HOST_PATH_TYPES)


def _mode(faults: Faults, mode: Any, field: str) -> None:
    if mode is not None and not 0 <= mode <= MODE_MAX:
        faults.invalid(field, mode, BAD_MODE)


def local_path(faults: Faults, where: str, field: str) -> None:
    """Of a file in a volume; names that start with two dots are the agent's own."""
    if not where:
        faults.required(field)
        return
    relative(faults, where, field)
    if where.startswith("..") and where != ".." and not where.startswith("../"):
        faults.invalid(field, where, "must not start with '..'")


def _files(faults: Faults, source: Document, path: str) -> None:
    _mode(faults, source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        _required(faults, item, where, "key")
        local_path(faults, item.get("path", ""), f"{where}.path")
        _mode(faults, item.get("mode"), f"{where}.mode")


def _downward(faults: Faults, source: Document, path: str) -> None:
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        local_path(faults, item.get("path", ""), f"{where}.path")
        if "fieldRef" in item:
            field_ref(faults, item["fieldRef"], f"{where}.fieldRef", DOWNWARD_FIELDS)
            if "resourceFieldRef" in item:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                faults.invalid(where, "resource", detail)
        elif "resourceFieldRef" in item:
            _required(faults, item["resourceFieldRef"], f"{where}.resourceFieldRef", "containerName")
            resource_field_ref(faults, item["resourceFieldRef"], f"{where}.resourceFieldRef")
        else:
            faults.required(where, "one of fieldRef and resourceFieldRef is required")
        _mode(faults, item.get("mode"), f"{where}.mode")


def _projected(faults: Faults, source: Document, path: str) -> None:
    _mode(faults, source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        types = list(projection)
        if not types:
            faults.required(where, "must specify a volume type")
        for extra in types[1:]:
            faults.forbidden(f"{where}.{extra}", ONE_TYPE)
        for type_ in types[:1]:
            _projection(faults, type_, projection[type_], f"{where}.{type_}")
            for used in _paths(type_, projection[type_]):
                if used in taken:
                    detail = f"conflicting duplicate paths: {used}"
                    faults.invalid(where, used, detail)
                taken.add(used)


def _paths(type_: str, projection: Document) -> list[str]:
    """The files that a projection surely makes."""
    if type_ == "serviceAccountToken":
        return [projection["path"]] if projection.get("path") else []
    return [item["path"] for item in projection.get("items") or () if item.get("path")]


def _projection(faults: Faults, type_: str, found: Document, path: str) -> None:
    match type_:
        case "secret" | "configMap":
            _required(faults, found, path, "name")
            _files(faults, found, path)
        case "downwardAPI":
            _downward(faults, found, path)
        case "serviceAccountToken":
            expiration_s = found.get("expirationSeconds", TOKEN_MIN_S)
            if expiration_s < TOKEN_MIN_S:
                faults.invalid(path, expiration_s, "may not specify a duration less than 10 minutes")
            if expiration_s > TOKEN_MAX_S:
                faults.invalid(path, expiration_s, "may not specify a duration larger than 2^32 seconds")
            local_path(faults, found.get("path", ""), f"{path}.path")
        case "clusterTrustBundle":
            local_path(faults, found.get("path", ""), f"{path}.path")
