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
from navarch.objects import names, quantity
from navarch.objects.value import Document

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
RESTART_ACTIONS = ("Restart", "RestartAllContainers")
EXIT_OPERATORS = ("In", "NotIn")
MOST_RESTART_RULES = 20
MOST_EXIT_CODES = 255
RESIZABLE = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")
RECURSIONS = ("Disabled", "Enabled", "IfPossible")
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
HUGE_PAGES_OF = (f"limits.{HUGE_PAGES}", f"requests.{HUGE_PAGES}")
DIVIDED = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}
UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
KNOWN_FIELDS = frozenset(
    (*FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase")
)
"""Fields of a pod that there are at all."""

SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def container(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document], spec: Document) -> None:
    """What holds for every sort of container of a pod's spec, when defaults are filled in."""
    if (name := found.get("name", "")) == "":
        faults.required(f"{path}.name")
    elif messages := names.dns_label(name):
        faults.checked(f"{path}.name", name, messages)
    image(faults, found, path)
    faults.one_of(f"{path}.terminationMessagePolicy", found.get("terminationMessagePolicy"), MESSAGE_POLICIES)
    if "ports" in found:
        ports(faults, found["ports"], f"{path}.ports")
    if "env" in found:
        for index, variable in enumerate(found["env"]):
            _env(faults, variable, f"{path}.env[{index}]")
    for index, source in enumerate(found.get("envFrom") or ()):
        _env_from(faults, source, f"{path}.envFrom", index)
    mounted(faults, found, path, volumes)
    faults.one_of(f"{path}.imagePullPolicy", found.get("imagePullPolicy"), PULL_POLICIES)
    if found.get("resources"):
        resources(faults, found["resources"], f"{path}.resources", spec.get("resourceClaims") or ())
    if "resizePolicy" in found:
        _resize_policy(faults, found["resizePolicy"], f"{path}.resizePolicy", spec.get("restartPolicy"))
    if "securityContext" in found:
        container_security(faults, found["securityContext"], f"{path}.securityContext", spec.get("hostUsers", True))
    if "restartPolicy" in found and found["restartPolicy"] not in RESTART_POLICIES:
        faults.unsupported(f"{path}.restartPolicy", found["restartPolicy"], RESTART_POLICIES)
    if rules := found.get("restartPolicyRules"):
        if "restartPolicy" not in found:
            faults.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
        _restart_rules(faults, rules, f"{path}.restartPolicyRules")


def _restart_rules(faults: Faults, found: list[Document], path: str) -> None:
    if len(found) > MOST_RESTART_RULES:
        faults.too_many(path, len(found), MOST_RESTART_RULES)
    for index, rule in enumerate(found):
        where = f"{path}[{index}]"
        if rule.get("action", "") not in RESTART_ACTIONS:
            faults.unsupported(f"{where}.action", rule.get("action", ""), RESTART_ACTIONS)
        codes = rule.get("exitCodes")
        if codes is None:
            faults.required(f"{where}.exitCodes", "must be specified")
            continue
        if codes.get("operator", "") not in EXIT_OPERATORS:
            faults.unsupported(f"{where}.exitCodes.operator", codes.get("operator", ""), EXIT_OPERATORS)
        if len(codes.get("values") or ()) > MOST_EXIT_CODES:
            faults.too_many(f"{where}.exitCodes.values", len(codes["values"]), MOST_EXIT_CODES)


def image(faults: Faults, found: Document, path: str) -> None:
    if not found.get("image"):
        faults.required(f"{path}.image")


def trimmed_image(faults: Faults, found: Document, path: str) -> None:
    """Of a pod; the templates of older clients may say anything."""
    named = found.get("image", "")
    if named != named.strip():
        faults.invalid(f"{path}.image", named, "must not have leading or trailing whitespace")


def _resize_policy(faults: Faults, found: list[Document], path: str, restart: str | None) -> None:
    """All but repetitions are told of the whole list."""
    seen: set[str] = set()
    for index, policy in enumerate(found):
        name, chosen = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            faults.duplicate(f"{path}[{index}]", name)
        seen.add(name)
        faults.one_of(path, name, RESIZABLE)
        faults.one_of(path, chosen, RESIZE_POLICIES)
        if restart == "Never" and chosen != "NotRequired":
            faults.invalid(path, chosen, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def mounted(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document]) -> None:
    """The part that depends on the pod's volumes."""
    if "volumeMounts" in found:
        mounts(faults, found, f"{path}.volumeMounts", volumes)
    if "volumeDevices" in found:
        _devices(faults, found, f"{path}.volumeDevices", volumes)


def main_container(faults: Faults, found: Document, path: str, grace_s: int | None) -> None:
    """What a container with probes may have. grace_s: how long its pod is given to end."""
    if "lifecycle" in found:
        lifecycle(faults, found["lifecycle"], f"{path}.lifecycle", grace_s)
    probes(faults, found, path)


def init_container(faults: Faults, found: Document, path: str, grace_s: int | None) -> None:
    """Only a sidecar lives long enough for probes and hooks."""
    if found.get("restartPolicy") == "Always":
        main_container(faults, found, path, grace_s)
        return
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if field in found:
            faults.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def ports(faults: Faults, found: list[Document], path: str) -> None:
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
    if "fieldRef" in source:
        field_ref(faults, source["fieldRef"], f"{path}.fieldRef", FIELDS)
    if "resourceFieldRef" in source:
        resource_field_ref(faults, source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for field in ("configMapKeyRef", "secretKeyRef"):
        if field in source:
            _key_ref(faults, source[field], f"{path}.{field}")
    given = [field for field in SOURCES if field in source]
    if not given:
        faults.invalid(
            path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        )
    elif variable.get("value"):
        faults.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        faults.invalid(path, "", "may not have more than one field specified at a time")


def field_ref(faults: Faults, reference: Document, path: str, supported: tuple[str, ...]) -> None:
    """supported: the plain fields; labels and annotations by key always are."""
    field = reference.get("fieldPath", "")
    if not field:
        faults.required(f"{path}.fieldPath")
    elif field not in supported:
        subscript = SUBSCRIPTED.fullmatch(field)
        if subscript is not None:
            key = subscript[2].lower() if subscript[1].endswith("annotations") else subscript[2]
            faults.checked(path, key, names.qualified_name(key))
        elif field in KNOWN_FIELDS:
            faults.unsupported(f"{path}.fieldPath", field, supported)
        else:
            problem = "does not support subscript" if field.endswith("']") else "not supported"
            faults.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: field label {problem}: {field}")


def resource_field_ref(faults: Faults, reference: Document, path: str, volume: bool = False) -> None:
    """volume: whether it makes a file, for which the container must be named."""
    resource = reference.get("resource", "")
    if volume and not reference.get("containerName"):
        faults.required(f"{path}.containerName")
    elif not resource:
        faults.required(f"{path}.resource")
    elif resource not in RESOURCES and not resource.startswith(HUGE_PAGES_OF):
        faults.unsupported(f"{path}.resource", resource, RESOURCES)
    _divisor(faults, resource, reference.get("divisor"), f"{path}.divisor")


def _divisor(faults: Faults, resource: str, divisor: quantity.Quantity | None, field: str) -> None:
    try:
        unit = quantity.canonical(divisor or "0")
    except quantity.BadQuantity as error:
        faults.invalid(field, divisor, str(error))
        return
    what = "hugepages" if resource.startswith(HUGE_PAGES_OF) else DIVIDED.get(resource.partition(".")[2], "")
    allowed = ("1m", "1") if what == "cpu" else UNITS
    if unit != "0" and what and unit not in allowed:
        listed = "1m and 1" if what == "cpu" else ", ".join(UNITS)
        faults.invalid(field, resource, f"only divisor's values {listed} are supported with the {what} resource")


def _key_ref(faults: Faults, reference: Document, path: str) -> None:
    name = reference.get("name", "")
    if messages := names.dns_subdomain(name):
        faults.checked(f"{path}.name", name, messages)
    if not reference.get("key"):
        faults.required(f"{path}.key")
    elif messages := names.config_key(reference["key"]):
        faults.checked(f"{path}.key", reference["key"], messages)


def _env_from(faults: Faults, source: Document, path: str, index: int) -> None:
    """How many sources there are is told of the whole list."""
    where = f"{path}[{index}]"
    if prefix := source.get("prefix"):
        faults.checked(f"{where}.prefix", prefix, names.env_name(prefix))
    given = [field for field in ("configMapRef", "secretRef") if field in source]
    for field in given:
        if not (name := source[field].get("name")):
            faults.required(f"{where}.{field}.name")
        elif messages := names.generated(names.dns_subdomain)(name):
            faults.checked(f"{where}.{field}.name", name, messages)
    if not given:
        faults.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(given) > 1:
        faults.invalid(path, "", "may not have more than one field specified at a time")


def mounts(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document]) -> None:
    """volumes: those of the pod, by name."""
    seen: set[str] = set()
    devices = {device.get("name"): device.get("devicePath") for device in found.get("volumeDevices") or ()}
    for index, mount in enumerate(found["volumeMounts"]):
        name, where = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            faults.required(f"{path}[{index}].name")
        if name not in volumes:
            faults.not_found(f"{path}[{index}].name", name)
        if not where:
            faults.required(f"{path}[{index}].mountPath")
        if where in seen:
            faults.invalid(f"{path}[{index}].mountPath", where, "must be unique")
        seen.add(where)
        if devices and name in devices:
            faults.invalid(f"{path}[{index}].name", name, "must not already exist in volumeDevices")
        if devices and where in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            faults.invalid(f"{path}[{index}].mountPath", where, detail)
        if len(mount) > 2:
            _mount_details(faults, mount, path, index, found)


def _mount_details(faults: Faults, mount: Document, path: str, index: int, found: Document) -> None:
    """Most of them are told of the whole list, as Kubernetes tells them."""
    if inner := mount.get("subPath"):
        relative(faults, inner, f"{path}.subPath")
    if inner := mount.get("subPathExpr"):
        if mount.get("subPath"):
            detail = "subPathExpr and subPath are mutually exclusive"
            faults.invalid(f"{path}[{index}].subPathExpr", inner, detail)
        relative(faults, inner, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None and propagation not in PROPAGATIONS:
        faults.unsupported(f"{path}.mountPropagation", propagation, PROPAGATIONS)
    elif propagation == "Bidirectional" and not (found.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        faults.forbidden(f"{path}.mountPropagation", detail)
    recursion, field = mount.get("recursiveReadOnly"), f"{path}.recursiveReadOnly"
    if recursion is None or recursion == "Disabled":
        return
    if recursion not in RECURSIONS:
        faults.unsupported(field, recursion, RECURSIONS)
        return
    if not mount.get("readOnly"):
        faults.forbidden(field, "may only be specified when readOnly is true")
    if propagation not in (None, "None"):
        faults.forbidden(field, "may only be specified when mountPropagation is None or not specified")


def relative(faults: Faults, where: str, field: str) -> None:
    """A path that stays below where it starts."""
    if where.startswith("/"):
        faults.invalid(field, where, "must be a relative path")
    if ".." in where.split("/"):
        faults.invalid(field, where, "must not contain '..'")


def _devices(faults: Faults, found: Document, path: str, volumes: Mapping[str, Document]) -> None:
    taken: set[str] = set()
    seen: set[str] = set()
    mounted_at = {mount.get("name"): mount.get("mountPath") for mount in found.get("volumeMounts") or ()}
    for index, device in enumerate(found["volumeDevices"]):
        name, where = device.get("name", ""), device.get("devicePath", "")
        if not name:
            faults.required(f"{path}[{index}].name")
        if name in taken:
            faults.invalid(f"{path}[{index}].name", name, "must be unique")
        if name not in volumes:
            faults.not_found(f"{path}[{index}].name", name)
        elif not volumes[name].keys() & {"persistentVolumeClaim", "ephemeral"}:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            faults.invalid(f"{path}[{index}].name", name, detail)
        if not where:
            faults.required(f"{path}[{index}].devicePath")
        if where in seen:
            faults.invalid(f"{path}[{index}].devicePath", where, "must be unique")
        if ".." in where.split("/"):
            faults.invalid(f"{path}[{index}].devicePath", where, "can not contain backsteps ('..')")
        else:
            seen.add(where)
        if name in mounted_at:
            faults.invalid(f"{path}[{index}].name", name, "must not already exist in volumeMounts")
        if where in mounted_at.values():
            detail = "must not already exist as a path in volumeMounts"
            faults.invalid(f"{path}[{index}].devicePath", where, detail)
        if name:
            taken.add(name)
