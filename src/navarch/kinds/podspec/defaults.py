"""What Kubernetes fills into a pod's spec, and into a pod template, where nothing is said.

Every function here takes part of a document and returns it with the absent fields filled in: the same object where
nothing was absent, else a copy that shares what did not change.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (the defaults stated there).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.kinds.podspec.totals import containers_total, written
from navarch.objects import quantity
from navarch.objects.value import Document, Draft

Fill = Callable[[Any], Any]

PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
HTTP_GET = {"path": "/", "scheme": "HTTP"}
SPEC = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
CONTAINER = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
MODE = 0o644
VOLUME_SOURCES: dict[str, Document] = {
    "secret": {"defaultMode": MODE},
    "configMap": {"defaultMode": MODE},
    "downwardAPI": {"defaultMode": MODE},
    "projected": {"defaultMode": MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
"""Plain defaults by the type of volume; `default_volume` knows the rest."""


def fill(document: Document, defaults: Document) -> Document:
    """`document` with those of `defaults` that it does not have."""
    missing = {key: value for key, value in defaults.items() if key not in document}
    return {**document, **missing} if missing else document


def within(document: Document, key: str, change: Fill) -> Document:
    """`document` with `change` made to what stands at `key`, if anything does."""
    found = document.get(key)
    if found is None:
        return document
    changed = change(found)
    return document if changed is found else {**document, key: changed}


def each(change: Fill) -> Fill:
    """`change`, for a list: the same list where no item changed."""

    def all_of(items: list[Any]) -> list[Any]:
        changed = [change(item) for item in items]
        return items if all(map(_same, changed, items)) else changed

    return all_of


def _same(left: object, right: object) -> bool:
    return left is right


def pull_policy(image: str) -> str:
    """Always for an image whose tag is, or is by omission, `latest`; a digest without a tag never moves."""
    name, _, digest = image.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    if not colon:
        tag = "" if digest else "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _port(port: Document) -> Document:
    return port if "protocol" in port else {**port, "protocol": "TCP"}


def _http_get(action: Document) -> Document:
    return fill(action, HTTP_GET)


def _grpc(action: Document) -> Document:
    return action if "service" in action else {**action, "service": ""}


def _probe(probe: Document) -> Document:
    probe = fill(probe, PROBE)
    if "httpGet" in probe:
        return within(probe, "httpGet", _http_get)
    return within(probe, "grpc", _grpc) if "grpc" in probe else probe


def _handler(handler: Document) -> Document:
    return within(handler, "httpGet", _http_get)


def _lifecycle(lifecycle: Document) -> Document:
    return within(within(lifecycle, "postStart", _handler), "preStop", _handler)


def _field_ref(reference: Document) -> Document:
    return reference if "apiVersion" in reference else {**reference, "apiVersion": "v1"}


def _resource_field_ref(reference: Document) -> Document:
    return reference if "divisor" in reference else {**reference, "divisor": "0"}


def _downward(item: Document) -> Document:
    """Of an environment variable's source, or of a file of a downward volume."""
    return within(within(item, "fieldRef", _field_ref), "resourceFieldRef", _resource_field_ref)


def _env(variable: Document) -> Document:
    return within(variable, "valueFrom", _downward) if "valueFrom" in variable else variable


_ports = each(_port)
_envs = each(_env)
_downwards = each(_downward)


def default_container(container: Document) -> Document:
    """One container of any sort, in a pod or a template."""
    filled = fill(container, CONTAINER)
    if "imagePullPolicy" not in filled:
        filled = {**filled, "imagePullPolicy": pull_policy(filled.get("image") or "")}
    if "ports" in filled:
        filled = within(filled, "ports", _ports)
    if "env" in filled:
        filled = within(filled, "env", _envs)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in filled:
            filled = within(filled, probe, _probe)
    return within(filled, "lifecycle", _lifecycle) if "lifecycle" in filled else filled


def _token(projection: Document) -> Document:
    return fill(projection, {"expirationSeconds": 3600})


def _projection(source: Document) -> Document:
    source = within(source, "serviceAccountToken", _token)
    return within(source, "downwardAPI", lambda found: within(found, "items", _downwards))


_projections = each(_projection)


def _claim_template(source: Document) -> Document:
    def template(found: Document) -> Document:
        return within(found, "spec", lambda spec: fill(spec, {"volumeMode": "Filesystem"}))

    return within(source, "volumeClaimTemplate", template)


def _image_volume(source: Document) -> Document:
    if "pullPolicy" in source:
        return source
    return {**source, "pullPolicy": pull_policy(source.get("reference") or "")}


_SOURCE_FILLS: dict[str, Fill] = {
    "downwardAPI": lambda found: within(found, "items", _downwards),
    "projected": lambda found: within(found, "sources", _projections),
    "ephemeral": _claim_template,
    "image": _image_volume,
}


def default_volume(volume: Document) -> Document:
    """A volume of no type is an emptyDir."""
    if len(volume) == 1 and "name" in volume:
        return {**volume, "emptyDir": {}}
    for type_, source in volume.items():
        filled = source
        if type_ in VOLUME_SOURCES:
            filled = fill(filled, VOLUME_SOURCES[type_])
        if type_ in _SOURCE_FILLS:
            filled = _SOURCE_FILLS[type_](filled)
        if filled is not source:
            return {**volume, type_: filled}
    return volume


_containers = each(default_container)
_volumes = each(default_volume)


def default_spec(spec: Document) -> Document:
    """What pods and templates have in common."""
    spec = fill(spec, SPEC)
    if "serviceAccountName" in spec or "serviceAccount" in spec:
        account = spec.get("serviceAccountName") or spec.get("serviceAccount")
        spec = fill(spec, {"serviceAccountName": account, "serviceAccount": account})
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if field in spec:
            spec = within(spec, field, _containers)
    return within(spec, "volumes", _volumes) if "volumes" in spec else spec


def default_template(draft: Draft, *path: str) -> None:
    """The pod template at `path` of the draft's document."""
    spec = draft.get(*path, "spec")
    if spec is not None and (filled := default_spec(spec)) is not spec:
        draft.set(filled, *path, "spec")


def _requests(container: Document) -> Document:
    """What is limited but not requested is requested up to its limit."""
    resources: Document = container.get("resources") or {}
    limits = resources.get("limits")
    if not limits:
        return container
    requests: Document = resources.get("requests") or {}
    filled = fill(requests, limits)
    return container if filled is requests else {**container, "resources": {**resources, "requests": filled}}


def _host_ports(container: Document) -> Document:
    def same_port(port: Document) -> Document:
        return {**port, "hostPort": port["containerPort"]} if not port.get("hostPort") else port

    return within(container, "ports", each(same_port))


def default_pod(draft: Draft) -> None:
    """A pod itself, which gets more than a template does: requests from limits, host ports, service links."""
    spec = draft.get("spec")
    if spec is None:
        return
    filled = default_spec(spec)
    for field in ("containers", "initContainers"):
        if field in filled:
            filled = within(filled, field, _all_requests)
            if filled.get("hostNetwork"):
                filled = within(filled, field, each(_host_ports))
    if filled.get("resources"):
        filled = _whole_requests(filled)
    if "enableServiceLinks" not in filled:
        filled = {**filled, "enableServiceLinks": True}
    if filled is not spec:
        draft.set(filled, "spec")


def _whole_requests(spec: Document) -> Document:
    """A pod that is limited as a whole requests what its containers do, or else what it is limited to."""
    resources: Document = spec["resources"]
    requests: Document = {**(resources.get("requests") or {})}
    try:
        total = containers_total(spec, "requests")
    except quantity.BadQuantity:
        return spec  # which the rules tell
    if not requests and not resources.get("limits"):
        return spec
    for name, amount_nano in total.items():
        if name in ("cpu", "memory"):
            requests.setdefault(name, written(amount_nano, spec, "requests", name))
    for name, value in (resources.get("limits") or {}).items():
        if name in ("cpu", "memory") or name.startswith("hugepages-"):
            requests.setdefault(name, value)
    if requests == (resources.get("requests") or {}):
        return spec
    return {**spec, "resources": {**resources, "requests": requests}}


_all_requests = each(_requests)
