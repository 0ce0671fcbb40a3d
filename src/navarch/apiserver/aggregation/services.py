"""The APIServices that the server makes for what it answers itself: built-in groups at start, custom ones as they come.

Pure. An APIService without the label was made by somebody else, who then says who answers; ours never overwrites it.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig

MANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START = "onstart"
ALWAYS = "true"
CUSTOM_PRIORITY = (1000, 100)

PRIORITIES: dict[tuple[str, str], tuple[int, int]] = {
    ("", "v1"): (18000, 1),
    ("apps", "v1"): (17800, 15),
    ("events.k8s.io", "v1"): (17750, 15),
    ("authentication.k8s.io", "v1"): (17700, 15),
    ("authorization.k8s.io", "v1"): (17600, 15),
    ("autoscaling", "v2"): (17500, 30),
    ("autoscaling", "v1"): (17500, 15),
    ("batch", "v1"): (17400, 15),
    ("certificates.k8s.io", "v1"): (17300, 15),
    ("certificates.k8s.io", "v1beta1"): (17300, 9),
    ("certificates.k8s.io", "v1alpha1"): (17300, 1),
    ("networking.k8s.io", "v1"): (17200, 15),
    ("networking.k8s.io", "v1beta1"): (17200, 9),
    ("policy", "v1"): (17100, 15),
    ("rbac.authorization.k8s.io", "v1"): (17000, 15),
    ("storage.k8s.io", "v1"): (16800, 15),
    ("storage.k8s.io", "v1beta1"): (16800, 9),
    ("admissionregistration.k8s.io", "v1"): (16700, 15),
    ("admissionregistration.k8s.io", "v1beta1"): (16700, 12),
    ("admissionregistration.k8s.io", "v1alpha1"): (16700, 9),
    ("apiextensions.k8s.io", "v1"): (16700, 15),
    ("scheduling.k8s.io", "v1"): (16600, 15),
    ("scheduling.k8s.io", "v1alpha2"): (16600, 9),
    ("coordination.k8s.io", "v1"): (16500, 15),
    ("coordination.k8s.io", "v1beta1"): (16500, 13),
    ("coordination.k8s.io", "v1alpha2"): (16500, 12),
    ("node.k8s.io", "v1"): (16300, 15),
    ("discovery.k8s.io", "v1"): (16200, 15),
    ("resource.k8s.io", "v1"): (16200, 15),
    ("resource.k8s.io", "v1beta2"): (16200, 13),
    ("resource.k8s.io", "v1beta1"): (16200, 12),
    ("resource.k8s.io", "v1alpha3"): (16200, 9),
    ("flowcontrol.apiserver.k8s.io", "v1"): (16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1"): (16000, 9),
    ("storagemigration.k8s.io", "v1beta1"): (15800, 9),
}
"""(group, version) -> the group's priority and the version's in it. `apiregistration.k8s.io` is not here: it has no
APIService, and discovery tells of it first."""

FIRST_PRIORITY = 20_000


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def priority_of(group: str, version: str) -> tuple[int, int]:
    """Of what the server answers itself."""
    if group == "apiregistration.k8s.io":
        return (FIRST_PRIORITY, 1)
    return PRIORITIES.get((group, version), CUSTOM_PRIORITY)


def local(group: str, version: str, managed: str) -> Document:
    least, rank = priority_of(group, version)
    spec: Document = {"version": version, "groupPriorityMinimum": least, "versionPriority": rank}
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name_of(group, version), "labels": {MANAGED: managed}},
        "spec": spec,
    }


def built_in(kinds: Iterable[Kind]) -> list[Document]:
    """One for each group and version of these kinds that has a priority."""
    served = dict.fromkeys((kind.group, kind.version) for kind in kinds)
    return [local(group, version, ON_START) for group, version in served if (group, version) in PRIORITIES]


def custom(kinds: Iterable[Kind]) -> list[Document]:
    """One for each group and version of custom resources, but of those that are built in."""
    served = dict.fromkeys((kind.group, kind.version) for kind in kinds if kind.custom)
    return [local(group, version, ALWAYS) for group, version in served if (group, version) not in PRIORITIES]


@dataclass(frozen=True, slots=True)
class Changes:
    """What there is to write. delete: (name, uid)."""

    create: tuple[Document, ...] = ()
    update: tuple[Document, ...] = ()
    delete: tuple[tuple[str, str], ...] = ()


def plan(wanted: Iterable[Document], present: Mapping[str, Document]) -> Changes:
    """Keep the APIServices of custom resources as they are wanted. present: all APIServices, by name."""
    named = {document["metadata"]["name"]: document for document in wanted}
    create, update = [], []
    for name, document in named.items():
        found = present.get(name)
        if found is None:
            create.append(document)
        elif managed(found) == ALWAYS and found["spec"] != document["spec"]:
            update.append({**found, "spec": document["spec"]})
    delete = [
        (name, found["metadata"]["uid"])
        for name, found in present.items()
        if name not in named and managed(found) == ALWAYS
    ]
    return Changes(tuple(create), tuple(update), tuple(delete))


def managed(document: Document) -> str:
    return str(dig(document, "metadata", "labels", MANAGED) or "")
