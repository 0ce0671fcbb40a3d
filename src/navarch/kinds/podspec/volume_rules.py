"""Rules of a pod's volumes.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume/
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from navarch.kinds.podspec.claim_rules import claim_spec
from navarch.kinds.podspec.container_rules import field_ref, relative, resource_field_ref
from navarch.kinds.podspec.resource_rules import amount
from navarch.kinds.rules import Faults, Passed, check_annotations, check_labels
from navarch.objects import names, quantity
from navarch.objects.selector import check_document
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
ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
)
"""In which order Kubernetes looks for a volume's type."""

NEEDED = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "ephemeral": ("volumeClaimTemplate",),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "glusterfs": ("endpoints", "path"),
    "image": ("reference",),
    "iscsi": ("targetPortal", "iqn"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}
"""What types must name that have no other rules here."""

PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")
BYTE_MAX = 255
ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)"),
    "eui": re.compile("eui.[A-Za-z0-9]{16}"),
    "naa": re.compile("naa.[A-Za-z0-9]{32}"),
}
TOKEN_MIN_S = 600
TOKEN_MAX_S = 1 << 32


def volumes(faults: Faults, found: list[Document], path: str) -> dict[str, Document]:
    """The good volumes by name: what is wrong with a volume is told where it stands and where it is mounted."""
    by_name: dict[str, Document] = {}
    for index, volume in enumerate(found):
        where, before = f"{path}[{index}]", len(faults.causes)
        if len(volume) == 2 and "name" in volume:
            type_ = next(field for field in volume if field != "name")
            volume_source(faults, type_, volume[type_], f"{where}.{type_}")
        else:
            _sources(faults, volume, where)
        name = volume.get("name", "")
        if not name:
            faults.required(f"{where}.name")
        elif messages := names.dns_label(name):
            faults.checked(f"{where}.name", name, messages)
        if name in by_name:
            faults.duplicate(f"{where}.name", name)
        if len(faults.causes) == before:
            by_name[name] = volume
    return by_name


def _sources(faults: Faults, volume: Document, path: str) -> None:
    """Of a volume of no type, or of several: the first of them in Kubernetes' order counts."""
    types = sorted((field for field in volume if field != "name"), key=_rank)
    if not types:
        faults.required(path, "must specify a volume type")
    for index, type_ in enumerate(types):
        if index:
            faults.forbidden(f"{path}.{type_}", ONE_TYPE)
        else:
            volume_source(faults, type_, volume[type_], f"{path}.{type_}")


def _rank(type_: str) -> int:
    return ORDER.index(type_) if type_ in ORDER else len(ORDER)


def volume_source(faults: Faults, type_: str, source: Document, path: str) -> None:
    match type_:
        case "emptyDir":
            if "sizeLimit" in source and amount(Faults(), source["sizeLimit"], "") is None:
                amount(faults, source["sizeLimit"], f"{path}.sizeLimit")
            elif "sizeLimit" in source and quantity.nano(source["sizeLimit"]) < 0:
                faults.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case "hostPath":
            _host_path(faults, source, path)
        case "configMap" | "secret":
            _required(faults, source, path, "secretName" if type_ == "secret" else "name")
            _files(faults, source, path)
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
            csi_driver(faults, source.get("driver", ""), f"{path}.driver")
            if "nodePublishSecretRef" in source:
                _required(faults, source["nodePublishSecretRef"], f"{path}.nodePublishSecretRef", "name")
        case "nfs":
            _required(faults, source, path, "server", "path")
            if not source.get("path", "").startswith("/"):
                faults.invalid(f"{path}.path", source.get("path", ""), "must be an absolute path")
        case "gitRepo":
            _required(faults, source, path, "repository")
            relative(faults, source.get("directory", ""), f"{path}.directory")
        case "ephemeral" if "volumeClaimTemplate" in source:
            _claim_template(faults, source["volumeClaimTemplate"], f"{path}.volumeClaimTemplate")
        case "fc":
            _fibre_channel(faults, source, path)
        case _ if type_ in NEEDED:
            _required(faults, source, path, *NEEDED[type_])
            if not 0 <= source.get("partition", 0) <= BYTE_MAX:
                faults.invalid(f"{path}.partition", source["partition"], names.out_of_range(1, BYTE_MAX))
            if type_ == "iscsi":
                _iscsi(faults, source, path)


def _claim_template(faults: Faults, template: Document, path: str) -> None:
    metadata: Document = template.get("metadata") or {}
    check_annotations(faults, metadata.get("annotations"), f"{path}.metadata.annotations")
    check_labels(faults, metadata.get("labels"), f"{path}.metadata.labels")
    claim_spec(faults, template.get("spec") or {}, f"{path}.spec")


def _fibre_channel(faults: Faults, source: Document, path: str) -> None:
    ports, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not ports and not ids:
        faults.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if ports and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        faults.invalid(f"{path}.targetWWNs", ports, detail)
    if ports and lun is None:
        faults.required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif ports and lun is not None and not 0 <= lun <= BYTE_MAX:
        faults.invalid(f"{path}.lun", lun, names.out_of_range(0, BYTE_MAX))


def _iscsi(faults: Faults, source: Document, path: str) -> None:
    for field in ("iqn", "initiatorName"):
        name = source.get(field, "")
        if name and name[:3] not in ISCSI_NAMES:
            begun = " starting with iqn, eui, or naa" if field == "iqn" else ""
            faults.invalid(f"{path}.{field.lower()}", name, f"must be valid format{begun}")
        elif name and not ISCSI_NAMES[name[:3]].fullmatch(name):
            faults.invalid(f"{path}.{field.lower()}", name, "must be valid format")
    if not 0 <= source.get("lun", 0) <= BYTE_MAX:
        faults.invalid(f"{path}.lun", source["lun"], names.out_of_range(0, BYTE_MAX))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and "secretRef" not in source:
        faults.required(f"{path}.secretRef")


def csi_driver(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
    if len(name) > names.LABEL_MAX:
        faults.too_long(field, names.LABEL_MAX)
    faults.checked(field, name, names.dns_subdomain(name.lower()))


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
        return
    if ".." in where.split("/"):
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
    if where.startswith("..") and not where.startswith("../"):
        faults.invalid(field, where, "must not start with '..'")


def _files(faults: Faults, source: Document, path: str) -> None:
    _mode(faults, source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        where = f"{path}.items[{index}]"
        _required(faults, item, where, "key")
        local_path(faults, item.get("path", ""), f"{where}.path")
        _mode(faults, item.get("mode"), f"{where}.mode")


def _downward(faults: Faults, source: Document, path: str) -> None:
    """What is wrong with an item is told of the whole source, as Kubernetes tells it."""
    for item in source.get("items") or ():
        local_path(faults, item.get("path", ""), f"{path}.path")
        if "fieldRef" in item:
            field_ref(faults, item["fieldRef"], f"{path}.fieldRef", DOWNWARD_FIELDS)
            if "resourceFieldRef" in item:
                detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
                faults.invalid(path, "resource", detail)
        elif "resourceFieldRef" in item:
            resource_field_ref(faults, item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
        else:
            faults.required(path, "one of fieldRef and resourceFieldRef is required")
        _mode(faults, item.get("mode"), f"{path}.mode")


def _projected(faults: Faults, source: Document, path: str) -> None:
    _mode(faults, source.get("defaultMode"), f"{path}.defaultMode")
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        types = [type_ for type_ in PROJECTIONS if type_ in projection]
        for type_ in types:
            found = projection[type_]
            _projection(faults, type_, found, path, f"{where}.{type_}")
            for used in _paths(type_, found):
                if used in taken:
                    whose = found.get("name", "") if type_ in ("secret", "configMap") else used
                    faults.invalid(path, whose, "conflicting duplicate paths")
                taken.add(used)
        if len(types) > 1:
            faults.forbidden(where, "may not specify more than 1 volume type per source")


def _paths(type_: str, projection: Document) -> list[str]:
    """The files that a projection surely makes, of those that must not make another's."""
    if type_ == "clusterTrustBundle":
        return [projection.get("path", "")]
    return [item["path"] for item in projection.get("items") or () if item.get("path")]


def _projection(faults: Faults, type_: str, found: Document, volume: str, path: str) -> None:
    match type_:
        case "secret" | "configMap":
            _required(faults, found, path, "name")
            _files(faults, found, path)
        case "downwardAPI":
            _downward(faults, found, path)
        case "serviceAccountToken":
            expiration_s, field = found.get("expirationSeconds", TOKEN_MIN_S), f"{path}.expirationSeconds"
            if expiration_s < TOKEN_MIN_S:
                faults.invalid(field, expiration_s, "may not specify a duration less than 10 minutes")
            if expiration_s > TOKEN_MAX_S:
                faults.invalid(field, expiration_s, "may not specify a duration larger than 2^32 seconds")
            local_path(faults, found.get("path", ""), f"{volume}.path")
        case "clusterTrustBundle":
            _trust_bundle(faults, found, path)
            local_path(faults, found.get("path", ""), f"{path}.path")


def _trust_bundle(faults: Faults, found: Document, path: str) -> None:
    match "name" in found, "signerName" in found:
        case True, True:
            faults.invalid(path, found, "only one of name and signerName may be used")
        case False, False:
            faults.required(path, "either name or signerName must be specified")
        case True, False:
            if not found["name"]:
                faults.required(f"{path}.name", "must be a valid object name")
            if "labelSelector" in found:
                detail = "labelSelector must be unset if name is specified"
                faults.invalid(f"{path}.labelSelector", found["labelSelector"], detail)
        case False, True:
            if not found["signerName"]:
                faults.required(f"{path}.signerName", "must be a valid signer name")
            if "labelSelector" in found:
                faults.causes.extend(check_document(found["labelSelector"], f"{path}.labelSelector"))
