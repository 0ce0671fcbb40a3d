"""What an add-on is, and what is read from the cluster about one: pure functions on documents.

What it consists of is said in a file of its own (`ingress`); reading and writing is the work of `cluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Key = tuple[str, str]
"""Kind and name: an add-on has all that is namespaced in one namespace."""

OWNER_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "navarch-addons"
"""The value of that label, and the field manager of what is applied."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What differs from cluster to cluster. image: a name with a tag. nodes: those that have it.

    default_class: whether what names no class is the add-on's.
    """

    image: str
    nodes: Sequence[str]
    default_class: bool = True


@dataclass(frozen=True, slots=True)
class Addon:
    """distribution: the package of pip that brings the file `program`. extra: how it is asked of ours.

    user: the numeric `uid:gid` of its containers. deployment, service: names of these objects in `namespace`.
    objects: all of it, in the order of making.
    """

    name: str
    about: str
    distribution: str
    program: str
    extra: str
    repository: str
    user: str
    namespace: str
    deployment: str
    service: str
    objects: Callable[[Choice], tuple[Document, ...]]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Of its objects, which choices do not change."""
        return tuple(key_of(document) for document in self.objects(Choice("", ())))


@dataclass(frozen=True, slots=True)
class State:
    """word: `off`, `incomplete`, `starting` or `ready`. version: of its image. addresses: of its Service."""

    word: str
    version: str = ""
    addresses: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def key_of(document: Document) -> Key:
    return document["kind"], document["metadata"]["name"]


def shown(key: Key) -> str:
    """`deployment/traefik`, as kubectl names it."""
    return f"{key[0].lower()}/{key[1]}"


def ours(document: Document) -> bool:
    return bool((document["metadata"].get("labels") or {}).get(OWNER_LABEL) == MANAGER)


def strangers(found: Mapping[Key, Document]) -> tuple[str, ...]:
    """What has the name of a part of the add-on and was made by somebody else."""
    return tuple(shown(key) for key, document in found.items() if not ours(document))


def other_default(classes: Sequence[Document], own: Sequence[Key]) -> str:
    """The name of a default class that is none of the add-on's, "" when there is none."""
    names = {name for kind, name in own if kind == "IngressClass"}
    for each in classes:
        marked = (each["metadata"].get("annotations") or {}).get("ingressclass.kubernetes.io/is-default-class")
        if marked == "true" and each["metadata"]["name"] not in names:
            return str(each["metadata"]["name"])
    return ""


def judge(addon: Addon, found: Mapping[Key, Document]) -> State:
    """found: those of its objects that are there."""
    present = {key: document for key, document in found.items() if ours(document)}
    if not present:
        return State("off")
    missing = tuple(shown(key) for key in addon.keys if key not in present)
    deployment = present.get(("Deployment", addon.deployment))
    service = present.get(("Service", addon.service))
    version = _version(deployment) if deployment else ""
    addresses = _addresses(service) if service else ()
    if missing:
        return State("incomplete", version, addresses, missing)
    ready = deployment is not None and _available(deployment)
    return State("ready" if ready else "starting", version, addresses)


def _version(deployment: Document) -> str:
    [container, *_] = deployment["spec"]["template"]["spec"]["containers"]
    return str(container["image"]).rpartition(":")[2]


def _addresses(service: Document) -> tuple[str, ...]:
    """Of the load balancer, else the node ports, which every node has."""
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    outside = tuple(each.get("ip") or each.get("hostname", "") for each in given)
    return outside or tuple(
        f"*:{port['nodePort']} ({port['name']})" for port in service["spec"]["ports"] if port.get("nodePort")
    )


def _available(deployment: Document) -> bool:
    """The newest template runs, and as often as it should."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
    counts = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0))
    return seen and counts == (wanted, wanted, wanted)
