"""Rules of containers: names, images, ports, environment, mounts.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from navarch.kinds.podspec.probe_rules import lifecycle, probes
from navarch.kinds.podspec.resource_rules import HUGE_PAGES, resources
from navarch.kinds.podspec.security_rules import container_security
from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
"""What an environment variable may say of its pod, beside labels and annotations."""

SUBSCRIPTED = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def container(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document], host_network: bool) -> None:
    """What holds for every sort of container, when defaults are filled in."""
    if (name := found.get("name", "")) == "":
        faults.required(f"{path}.name")
    elif messages := names.dns_label(name):
        faults.checked(f"{path}.name", name, messages)
    image(faults, found, path)
    faults.one_of(f"{path}.terminationMessagePolicy", found.get("terminationMessagePolicy"), MESSAGE_POLICIES)
    faults.one_of(f"{path}.imagePullPolicy", found.get("imagePullPolicy"), PULL_POLICIES)
    if "ports" in found:
        ports(faults, found["ports"], f"{path}.ports", host_network)
    if "env" in found:
        for index, variable in enumerate(found["env"]):
            _env(faults, variable, f"{path}.env[{index}]")
    if "envFrom" in found:
        for index, source in enumerate(found["envFrom"]):
            _env_from(faults, source, f"{path}.envFrom[{index}]")
    mounted(faults, found, path, volumes)
    if found.get("resources"):
        resources(faults, found["resources"], f"{path}.resources")
    if "securityContext" in found:
        container_security(faults, found["securityContext"], f"{path}.securityContext")
    if "restartPolicy" in found and found["restartPolicy"] not in RESTART_POLICIES:
        faults.unsupported(f"{path}.restartPolicy", found["restartPolicy"], RESTART_POLICIES)


def image(faults: Faults, found: Document, path: str) -> None:
    named = found.get("image", "")
    if named == "":
        faults.required(f"{path}.image")
    elif named != named.strip():
        faults.invalid(f"{path}.image", named, "must not have leading or trailing whitespace")


def mounted(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document]) -> None:
    """The part that depends on the pod's volumes."""
    if "volumeMounts" in found:
        mounts(faults, found, f"{path}.volumeMounts", volumes)
    if "volumeDevices" in found:
        _devices(faults, found["volumeDevices"], f"{path}.volumeDevices", volumes)


def main_container(faults: Faults, found: Document, path: str) -> None:
    """What a container with probes may have."""
    probes(faults, found, path)
    if "lifecycle" in found:
        lifecycle(faults, found["lifecycle"], f"{path}.lifecycle")


def init_container(faults: Faults, found: Document, path: str) -> None:
    """Only a sidecar lives long enough for probes and hooks."""
    if found.get("restartPolicy") == "Always":
        main_container(faults, found, path)
        return
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if field in found:
            faults.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def ports(faults: Faults, found: list[Document], path: str, host_network: bool) -> None:
    seen: set[str] = set()
    for index, port in enumerate(found):
        name = port.get("name")
        if name:
            if messages := names.port_name(name):
                faults.checked(f"{path}[{index}].name", name, messages)
            elif name in seen:
                faults.duplicate(f"{path}[{index}].name", name)
            seen.add(name)
        inside, outside = port.get("containerPort", 0), port.get("hostPort", 0)
        if inside == 0:
            faults.required(f"{path}[{index}].containerPort")
        elif messages := names.port(inside):
            faults.checked(f"{path}[{index}].containerPort", inside, messages)
        if outside and (messages := names.port(outside)):
            faults.checked(f"{path}[{index}].hostPort", outside, messages)
        if host_network and outside != inside:
            faults.invalid(f"{path}[{index}].containerPort", inside, "must match `hostPort` when `hostNetwork` is true")
        faults.one_of(f"{path}[{index}].protocol", port.get("protocol"), PROTOCOLS)


def _env(faults: Faults, variable: Document, path: str) -> None:
    name = variable.get("name", "")
    if name == "":
        faults.required(f"{path}.name")
    elif messages := names.env_name(name):
        faults.checked(f"{path}.name", name, messages)
    source = variable.get("valueFrom")
    if source is None:
        return
    path = f"{path}.valueFrom"
    if variable.get("value"):
        faults.invalid(path, "", "may not be specified when `value` is not empty")
    given = [field for field in SOURCES if field in source]
    if not given:
        faults.invalid(
            path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        )
    if len(given) > 1:
        faults.invalid(path, "", "may not have more than one field specified at a time")
    if "fieldRef" in source:
        field_ref(faults, source["fieldRef"], f"{path}.fieldRef", FIELDS)
    if "resourceFieldRef" in source:
        resource_field_ref(faults, source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for field in ("configMapKeyRef", "secretKeyRef"):
        if field in source:
            _key_ref(faults, source[field], f"{path}.{field}")


def field_ref(faults: Faults, reference: Document, path: str, supported: tuple[str, ...]) -> None:
    """supported: the plain fields; labels and annotations by key always are."""
    field = reference.get("fieldPath", "")
    if not field:
        faults.required(f"{path}.fieldPath")
    elif field not in supported:
        subscript = SUBSCRIPTED.fullmatch(field)
        if subscript is None:
            faults.unsupported(f"{path}.fieldPath", field, supported)
        else:
            key = subscript[2].lower() if subscript[1].endswith("annotations") else subscript[2]
            faults.checked(path, subscript[2], names.qualified_name(key))


def resource_field_ref(faults: Faults, reference: Document, path: str) -> None:
    resource = reference.get("resource", "")
    if not resource:
        faults.required(f"{path}.resource")
    elif resource not in RESOURCES and not resource.partition(".")[2].startswith(HUGE_PAGES):
        faults.unsupported(f"{path}.resource", resource, RESOURCES)


def _key_ref(faults: Faults, reference: Document, path: str) -> None:
    if not reference.get("name"):
        faults.required(f"{path}.name")
    if not reference.get("key"):
        faults.required(f"{path}.key")
    else:
        faults.checked(f"{path}.key", reference["key"], names.config_key(reference["key"]))


def _env_from(faults: Faults, source: Document, path: str) -> None:
    if prefix := source.get("prefix"):
        faults.checked(f"{path}.prefix", prefix, names.env_name(prefix))
    given = [field for field in ("configMapRef", "secretRef") if field in source]
    if not given:
        faults.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    if len(given) > 1:
        faults.invalid(path, "", "may not have more than one field specified at a time")
    for field in given:
        if not source[field].get("name"):
            faults.required(f"{path}.{field}.name")


def mounts(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document]) -> None:
    """volumes: those of the pod, by name."""
    seen: set[str] = set()
    devices = {device.get("name") for device in found.get("volumeDevices") or ()}
    for index, mount in enumerate(found["volumeMounts"]):
        name, where = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            faults.required(f"{path}[{index}].name")
        elif name not in volumes:
            faults.not_found(f"{path}[{index}].name", name)
        elif name in devices:
            faults.invalid(f"{path}[{index}].name", name, "name must not already exist in volumeDevices")
        if not where:
            faults.required(f"{path}[{index}].mountPath")
        elif where in seen:
            faults.invalid(f"{path}[{index}].mountPath", where, "must be unique")
        seen.add(where)
        if len(mount) > 2:
            _mount_details(faults, mount, f"{path}[{index}]", found)


def _mount_details(faults: Faults, mount: Document, path: str, found: Document) -> None:
    if mount.get("subPath") and mount.get("subPathExpr"):
        faults.invalid(f"{path}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
    for field in ("subPath", "subPathExpr"):
        if inner := mount.get(field):
            relative(faults, inner, f"{path}.{field}")
    propagation = mount.get("mountPropagation")
    if propagation is None:
        return
    if propagation not in PROPAGATIONS:
        faults.unsupported(f"{path}.mountPropagation", propagation, PROPAGATIONS)
    elif propagation == "Bidirectional" and not (found.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        faults.forbidden(f"{path}.mountPropagation", detail)


def relative(faults: Faults, where: str, field: str) -> None:
    """A path that stays below where it starts."""
    if where.startswith("/"):
        faults.invalid(field, where, "must be a relative path")
    if ".." in where.split("/"):
        faults.invalid(field, where, "must not contain '..'")


def _devices(faults: Faults, found: list[Document], path: str, volumes: Mapping[str, Document]) -> None:
    seen: set[str] = set()
    for index, device in enumerate(found):
        name, where = device.get("name", ""), device.get("devicePath", "")
        if not name:
            faults.required(f"{path}[{index}].name")
        elif name not in volumes:
            faults.not_found(f"{path}[{index}].name", name)
        elif not volumes[name].keys() & {"persistentVolumeClaim", "ephemeral"}:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            faults.invalid(f"{path}[{index}].name", name, detail)
        if not where:
            faults.required(f"{path}[{index}].devicePath")
        elif where in seen:
            faults.invalid(f"{path}[{index}].devicePath", where, "must be unique")
        seen.add(where)
