"""Where a pod's claims let it run, and what they need there."""

from __future__ import annotations

from typing import Any

import numpy as np

from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from navarch.kinds.object import Object
from navarch.scheduler import cycle
from navarch.scheduler.cycle import Refusal
from navarch.scheduler.disks import needs
from navarch.scheduler.facts import PodFacts
from navarch.scheduler.table import Table
from tests.unit.scheduler.conftest import Make

DONE = {"pv.kubernetes.io/bind-completed": "yes"}


def pinned(name: str, node: str, kept_for: str = "", size: str = "1Gi") -> Object:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec: dict[str, Any] = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "late",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    if kept_for:
        spec["claimRef"] = {"namespace": "default", "name": kept_for}
    document = {"metadata": {"name": name, "uid": name}, "spec": spec, "status": {"phase": "Available"}}
    return Object.of(PERSISTENTVOLUME, document)


def claim(name: str, volume: str = "", storage_class: str = "late", **annotations: str) -> Object:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class}
    spec["resources"] = {"requests": {"storage": "1Gi"}}
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": name}
    if volume:
        spec["volumeName"] = volume
        metadata["annotations"] = DONE
    if node := annotations.get("node"):
        metadata["annotations"] = {"volume.kubernetes.io/selected-node": node}
    return Object.of(PERSISTENTVOLUMECLAIM, {"metadata": metadata, "spec": spec})


def late(provisioner: str = "kubernetes.io/no-provisioner", *nodes: str) -> Object:
    """nodes: where its volumes may be made, everywhere if none is named."""
    document: dict[str, Any] = {
        "metadata": {"name": "late"},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    if nodes:
        wanted = {"key": "kubernetes.io/hostname", "values": list(nodes)}
        document["allowedTopologies"] = [{"matchLabelExpressions": [wanted]}]
    return Object.of(STORAGECLASS, document)


def table(make: Make, *found: Object) -> Table:
    made = Table()
    for name in ("n1", "n2"):
        made.set_node(make.node(name))
    for one in found:
        made.disks.add(one)
    return made


def pod(make: Make, *claims: str) -> PodFacts:
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return make.pod("p", volumes=[*volumes, {"name": "other", "emptyDir": {}}])


def able(made: Table, facts: PodFacts) -> list[str]:
    found = cycle.feasible(made, facts)
    assert not isinstance(found, Refusal), found
    return [made.names[int(index)] for index in np.flatnonzero(found)]


def refused(made: Table, facts: PodFacts) -> str:
    found = cycle.feasible(made, facts)
    assert isinstance(found, Refusal)
    assert not found.helpable
    return found.message()


def test_a_bound_claim_keeps_its_pods_where_the_volume_is(make: Make) -> None:
    made = table(make, claim("a", "v"), pinned("v", "n2", "a"))
    assert able(made, pod(make, "a")) == ["n2"]
    assert needs(made, pod(make, "a"), "n2") is None
    away = table(make, claim("a", "v"), pinned("v", "n9", "a"))
    reason = "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity."
    assert refused(away, pod(make, "a")) == reason
    assert "non-existent pv(s)" in refused(table(make, claim("a", "v")), pod(make, "a"))


def test_a_claim_that_waits_is_given_a_volume_of_the_chosen_node(make: Make) -> None:
    made = table(make, late(), claim("a"), pinned("v1", "n2", size="3Gi"), pinned("v2", "n2", size="2Gi"))
    assert able(made, pod(make, "a")) == ["n2"]
    found = needs(made, pod(make, "a"), "n2")
    assert found is not None
    assert [(volume.name, taker.name) for volume, taker in found.given] == [("v2", "a")]
    none = table(make, late(), claim("a"))
    assert "2 node(s) didn't find available persistent volumes to bind" in refused(none, pod(make, "a"))


def test_two_claims_of_one_pod_get_two_volumes(make: Make) -> None:
    one = table(make, late(), claim("a"), claim("b"), pinned("v1", "n1"))
    assert "didn't find available persistent volumes" in refused(one, pod(make, "a", "b"))
    two = table(make, late(), claim("a"), claim("b"), pinned("v1", "n1"), pinned("v2", "n1"), pinned("v3", "n2"))
    found = needs(two, pod(make, "a", "b"), "n1")
    assert able(two, pod(make, "a", "b")) == ["n1"]
    assert found is not None
    assert {volume.name for volume, _ in found.given} == {"v1", "v2"}


def test_what_can_be_made_is_asked_for_and_the_choice_stands(make: Make) -> None:
    made = table(make, late("x.io/y"), claim("a"))
    assert able(made, pod(make, "a")) == ["n1", "n2"]
    found = needs(made, pod(make, "a"), "n1")
    assert found is not None
    assert [one.name for one in found.asked] == ["a"]
    chosen = table(make, late("x.io/y"), claim("a", node="n2"))
    assert able(chosen, pod(make, "a")) == ["n2"]
    waits = needs(chosen, pod(make, "a"), "n2")
    assert waits is not None
    assert (waits.given, waits.asked) == ((), ())


def test_volumes_are_made_where_their_class_allows_it(make: Make) -> None:
    assert able(table(make, late("x.io/y", "n2", "n9"), claim("a")), pod(make, "a")) == ["n2"]
    nowhere = table(make, late("x.io/y", "n9"), claim("a"))
    assert "2 node(s) didn't find available persistent volumes to bind" in refused(nowhere, pod(make, "a"))


def test_claims_that_stop_the_pod_everywhere_are_told_without_a_count(make: Make) -> None:
    assert refused(table(make), pod(make, "a")) == ('0/2 nodes are available: persistentvolumeclaim "a" not found.')
    unbound = table(make, claim("a", storage_class="soon"))
    assert refused(unbound, pod(make, "a")) == (
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    )
    assert able(table(make), pod(make)) == ["n1", "n2"]
