"""What writers of pods and templates of pods are warned of: accepted, but not what was meant, or not for long.

Pods are warned of when they are made, templates when they change: `kinds.warnings` says when. Source: what `kubectl`
shows of a Kubernetes cluster; https://kubernetes.io/docs/reference/labels-annotations-taints/ for what is deprecated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.kinds.ip_warnings import for_address
from navarch.kinds.rules import shown
from navarch.objects.quantity import canonical, milli
from navarch.objects.value import Document, dig

NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
NO_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
MATCHES_NOTHING = "a null labelSelector results in matching no pod"
NEGATIVE_GRACE = "must be >= 0; negative values are invalid and will be treated as 1"
SMALL = (*"num", *"0123456789")
"""Ends of amounts that may have a part of a byte without a point in them: 1e-3 ends in a digit."""
IN_BYTES = ("memory", "ephemeral-storage")
PLACING = frozenset(("nodeSelector", "affinity", "topologySpreadConstraints"))
LISTS = frozenset(("hostAliases", "imagePullSecrets", "overhead"))
FILLED = frozenset(("configMap", "secret", "downwardAPI", "projected"))
TOLD_OF = frozenset((*VOLUMES, "ephemeral"))
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def for_pod(metadata: Document, spec: Document, path: str = "") -> Iterator[str]:
    """path: where the pod stands, with its dot (`spec.template.`); "" for a pod itself."""
    at = f"{path}spec"
    if not PLACING.isdisjoint(spec):
        yield from _placement(spec, at)
    annotations: Document = metadata.get("annotations") or {}
    for key, why in ANNOTATIONS.items() if annotations else ():
        if key in annotations:
            yield f"{path}metadata.annotations[{key}]: {why}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        if not TOLD_OF.isdisjoint(volume):
            yield from _volume(volume, f"{at}.volumes[{index}]")
        if not FILLED.isdisjoint(volume) and not _plainly_apart(volume):
            yield from _overlaps(volume)
    if not LISTS.isdisjoint(spec):
        yield from _lists(spec, at)
        yield from fractions(spec.get("overhead"), f"{at}.overhead", IN_BYTES)
    if SECCOMP_POD in annotations and not dig(spec, "securityContext", "seccompProfile"):
        yield f"{path}metadata.annotations[{SECCOMP_POD}]: {NO_SECCOMP}"
    found = [(f"{at}.{field}[{index}]", one) for field in CONTAINERS for index, one in enumerate(spec.get(field) or ())]
    for where, container in found:
        if annotations:
            yield from _profiles(container, spec, annotations, path)
        yield from _container(container, where)
    if any("ports" in container for _, container in found):
        yield from _ports(found)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{at}.terminationGracePeriodSeconds: {NEGATIVE_GRACE}"
    if "affinity" in spec:
        yield from _affinity(spec["affinity"], f"{at}.affinity")


def _placement(spec: Document, at: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in NODE_LABELS:
            yield f"{at}.nodeSelector[{key}]: {NODE_LABELS[key]}"
    if chosen := dig(spec, "affinity", "nodeAffinity"):
        where = f"{at}.affinity.nodeAffinity"
        for index, term in enumerate(dig(chosen, REQUIRED, "nodeSelectorTerms", default=())):
            yield from for_node_term(term, f"{where}.{REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate(chosen.get(PREFERRED) or ()):
            yield from for_node_term(term.get("preference") or {}, f"{where}.{PREFERRED}[{index}].preference")
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{at}.topologySpreadConstraints[{index}]", spread.get("topologyKey", "")
        if key in NODE_LABELS:
            yield f"{where}.topologyKey: {key} is {NODE_LABELS[key]}"
        if spread.get("labelSelector") is None:
            yield f"{where}.labelSelector: {MATCHES_NOTHING}"


def for_node_term(term: Document, at: str) -> Iterator[str]:
    """Of a term that chooses nodes."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key", "")
        if key in NODE_LABELS:
            yield f"{at}.matchExpressions[{index}].key: {key} is {NODE_LABELS[key]}"


def _affinity(affinity: Document, at: str) -> Iterator[str]:
    for side in ("podAffinity", "podAntiAffinity"):
        found: Document = affinity.get(side) or {}
        for index, term in enumerate(found.get(REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{at}.{side}.{REQUIRED}[{index}].labelSelector: {MATCHES_NOTHING}"
        for index, term in enumerate(found.get(PREFERRED) or ()):
            if dig(term, "podAffinityTerm", "labelSelector") is None:
                yield f"{at}.{side}.{PREFERRED}[{index}].podAffinityTerm.labelSelector: {MATCHES_NOTHING}"


def _volume(volume: Document, at: str) -> Iterator[str]:
    for type_ in volume.keys() & VOLUMES.keys():
        yield f"{at}.{'storageOS' if type_ == 'storageos' else type_}: {VOLUMES[type_]}"
    if template := dig(volume, "ephemeral", "volumeClaimTemplate", "spec"):
        yield from for_claim_spec(template, f"{at}.ephemeral.volumeClaimTemplate.spec")


def for_claim_spec(spec: Document, at: str) -> Iterator[str]:
    """Of the spec of a PersistentVolumeClaim."""
    for side in ("requests", "limits"):
        yield from fractions(dig(spec, "resources", side), f"{at}.resources.{side}", ("storage",))


def fractions(amounts: Document | None, at: str, names: Iterable[str]) -> Iterator[str]:
    """Parts of bytes."""
    for name in names if amounts else ():
        value = (amounts or {}).get(name)
        text = str(value or "")
        if value and ("." in text or text[-1] in SMALL) and milli(value) % 1000:
            yield f"{at}[{name}]: fractional byte value {shown(canonical(value))} is invalid, must be an integer"


def _lists(spec: Document, at: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        ip = alias.get("ip", "")
        if ip in seen:
            yield f"{at}.hostAliases[{index}].ip: duplicate ip {shown(ip)}"
        seen.add(ip)
        yield from for_address(ip, f"{at}.hostAliases[{index}].ip")
    known: set[str] = set()
    empty = []
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        name, where = secret.get("name", ""), f"{at}.imagePullSecrets[{index}].name"
        if name in known:
            yield f"{where}: duplicate name {shown(name)}"
        known.add(name)
        if not name:
            empty.append(f'{where}: invalid empty name ""')
    yield from empty


def _profiles(container: Document, spec: Document, annotations: Document, path: str) -> Iterator[str]:
    """Annotations of a container that fields took the place of."""
    name, own = container.get("name", ""), container.get("securityContext") or {}
    if (key := SECCOMP_CONTAINER + name) in annotations and not own.get("seccompProfile"):
        yield f"{path}metadata.annotations[{key}]: {NO_SECCOMP}"
    replaced = own.get("appArmorProfile") or dig(spec, "securityContext", "appArmorProfile")
    if (key := APPARMOR + name) in annotations and not replaced:
        yield f"{path}metadata.annotations[{key}]: {NO_APPARMOR}"


def _container(container: Document, at: str) -> Iterator[str]:
    if resources := container.get("resources"):
        for name in IN_BYTES:
            for side in ("limits", "requests"):
                yield from fractions(resources.get(side), f"{at}.resources.{side}", (name,))
    variables = container.get("env") or ()
    if len(variables) > 1:
        seen: set[str] = set()
        for index, variable in enumerate(variables):
            name = variable.get("name", "")
            if name in seen and _hides(variable, f"$({name})"):
                told = "hides previous definition of"
                yield f"{at}.env[{index}]: {told} {shown(name)}, which may be dropped when using apply"
            seen.add(name)


def _hides(variable: Document, reference: str) -> bool:
    """A second value of a name may be made from the first; otherwise the first is lost."""
    value = variable.get("value", "")
    return "valueFrom" in variable or value == reference or reference not in value


def _ports(containers: Iterable[tuple[str, Document]]) -> Iterator[str]:
    """Of ports of all containers together, which share their pod's address."""
    taken: dict[tuple[object, object], list[tuple[str, Document]]] = {}
    names: dict[str, str] = {}
    for at, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            where = f"{at}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{where}: hostIP set without hostPort: {_as_struct(port)}"
            others = taken.setdefault((port.get("containerPort"), port.get("protocol", "TCP")), [])
            for other, found in others:
                if how := _clash(port, found):
                    yield f"{where}: {how} port definition with {other}"
            others.append((where, port))
            if name := port.get("name"):
                if name in names:
                    first = names[name]
                    yield (
                        f"{where}: duplicate port name {shown(name)} with {first}, services and probes that select "
                        f"ports by name will use {first}"
                    )
                names.setdefault(name, where)


def _clash(port: Document, other: Document) -> str:
    ip, number = port.get("hostIP", ""), port.get("hostPort", 0)
    other_ip, other_number = other.get("hostIP", ""), other.get("hostPort", 0)
    if (ip, number) == (other_ip, other_number):
        return "duplicate"
    if not number or not other_number:
        return "overlapping"
    return "dangerously ambiguous" if number == other_number and bool(ip) != bool(other_ip) else ""


def _as_struct(port: Document) -> str:
    fields = (("Name", "name", ""), ("HostPort", "hostPort", 0), ("ContainerPort", "containerPort", 0))
    more = (("Protocol", "protocol", "TCP"), ("HostIP", "hostIP", ""))
    return "{" + " ".join(f"{name}:{port.get(key, zero)}" for name, key, zero in (*fields, *more)) + "}"


def _lies_in(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _plainly_apart(volume: Document) -> bool:
    """Whether it is a projected volume of files that lie side by side, as nearly every pod has one."""
    paths = []
    for source in dig(volume, "projected", "sources", default=()):
        for found in source.values():
            paths += [item.get("path", "") for item in found.get("items") or (found,)]
        if not source:
            return False
    return bool(paths) and len(set(paths)) == len(paths) and "/" not in "".join(paths)


def _overlaps(volume: Document) -> Iterator[str]:
    """Files of one volume that would lie in each other's place."""
    name = shown(volume.get("name", ""))
    for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if items := dig(volume, field, "items"):
            whose = f"volume {name} ({kind} {shown(volume[field].get(key, ''))}): overlapping paths"
            yield from _overlapping([item.get("path", "") for item in items], whose)
    if items := dig(volume, "downwardAPI", "items"):
        whose = f"volume {name} (DownwardAPI): overlapping paths"
        yield from _overlapping([item.get("path", "") for item in items], whose)
    if "projected" in volume:
        yield from _projected(volume["projected"], name)


def _projected(projected: Document, name: str) -> Iterator[str]:
    known: set[str] = set()
    for source in projected.get("sources") or ():
        if not source:
            yield f"volume {name} (Projected) has no sources provided"
            continue
        type_, found = next(iter(source.items()))
        paths = [item.get("path", "") for item in found.get("items") or ()] or [found.get("path", "")]
        if paths == [""]:
            continue
        whose = f"volume {name} (Projected {_source_name(type_, found)}): overlapping paths"
        yield from _overlapping(paths, whose)
        if known:
            yield from _overlapping(sorted([*set(paths), *known]), whose)
        known.update(paths)


def _source_name(type_: str, found: Document) -> str:
    kind = type_[0].upper() + type_[1:]
    if type_ in ("configMap", "secret"):
        return f"{kind} {shown(found.get('name', ''))}"
    if type_ == "clusterTrustBundle":
        return f"{kind} {shown(found.get('name') or found.get('signerName', ''))}"
    return kind


def _overlapping(paths: Iterable[str], whose: str) -> Iterator[str]:
    seen: dict[str, None] = {}
    for path in (path.rstrip("/") for path in paths):
        if path:
            other = next((one for one in seen if _lies_in(one, path) or _lies_in(path, one)), "")
            if other:
                yield f"{whose}: {shown(path)} with {shown(other)}"
        seen[path] = None
