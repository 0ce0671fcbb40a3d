"""What an add-on is, and what is read from the cluster about one: pure functions on documents.

What it consists of is said in a file of its own (`gateway`, `ingress`); reading and writing is the work of `cluster`.
Add-ons of one program run it once: what runs it is the same objects for all of them, made for those that are enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
Key = tuple[str, str]
"""Kind and name: an add-on has all that is namespaced in one namespace."""

OWNER_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "navarch-addons"
"""The value of that label, and the field manager of what is applied."""
DEFINITION = "CustomResourceDefinition"
"""A kind of its own: it may be others', who then keep it, and stays while there are objects that it defines."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What differs from cluster to cluster. image: a name with a tag. nodes: those that have it.

    fronts: names of the add-ons of its program that are enabled. default_class: whether what names no class is its own.
    """

    image: str
    nodes: Sequence[str]
    fronts: Iterable[str] = ()
    default_class: bool = True


NO_CHOICE = Choice("", ())


@dataclass(frozen=True, slots=True)
class Addon:
    """distribution: the package of pip that brings the file `program`. extra: how it is asked of ours.

    user: the numeric `uid:gid` of its containers. deployment, service: names of these objects in `namespace`.
    own: what no other add-on has, in the order of making. base: what runs it, the same for all of its program.
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
    own: Callable[[Choice], tuple[Document, ...]]
    base: Callable[[Choice], tuple[Document, ...]]

    def objects(self, choice: Choice) -> tuple[Document, ...]:
        """All of it, in the order of making."""
        return (*self.own(choice), *self.base(choice))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Of its objects, which choices do not change."""
        return tuple(key_of(document) for document in self.objects(NO_CHOICE))

    @property
    def marks(self) -> frozenset[Key]:
        """Whether one of these is there tells whether it is enabled."""
        return frozenset(key for key in map(key_of, self.own(NO_CHOICE)) if key[0] != DEFINITION)


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
    return tuple(shown(key) for key, document in found.items() if key[0] != DEFINITION and not ours(document))


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
    present = {key: document for key, document in found.items() if key[0] == DEFINITION or ours(document)}
    if not addon.marks & set(present):
        return State("off")
    missing = tuple(shown(key) for key in addon.keys if key not in present)
    deployment = present.get(("Deployment", addon.deployment))
    service = present.get(("Service", addon.service))
    version = _version(deployment) if deployment else ""
    addresses = _addresses(service) if service else ()
    if missing:
        return State("incomplete", version, addresses, missing)
    ready = deployment is not None and available(deployment)
    return State("ready" if ready else "starting", version, addresses)


def applied_choice(deployment: Document, fronts: Iterable[str]) -> Choice:
    """That which a Deployment was made by, with other fronts."""
    pod = deployment["spec"]["template"]["spec"]
    affinity = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = affinity["nodeSelectorTerms"]
    return Choice(pod["containers"][0]["image"], term["matchExpressions"][0]["values"], tuple(fronts))


def nodes_with(image: str, nodes: Sequence[Document]) -> list[str]:
    """Names of the nodes that say that they have an image. image: its full name."""
    return [
        node["metadata"]["name"]
        for node in nodes
        if any(image in one.get("names", ()) for one in node.get("status", {}).get("images", ()))
    ]


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


def available(deployment: Document) -> bool:
    """The newest template runs, and as often as it should."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
    counts = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0))
    return seen and counts == (wanted, wanted, wanted)
