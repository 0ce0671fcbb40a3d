"""What is read from the cluster about an add-on: how it is, whose objects those are, which class is the default."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.app.addons import INGRESS, addon
from navarch.app.addons.addon import Choice, Key, State

CHOICE = Choice("navarch.dev/traefik:3.7.15", ["node-0"], ("ingress",))
AVAILABLE = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def there(status: Any = AVAILABLE, given: Any = ()) -> dict[Key, Any]:
    """As the server has it."""
    found = {addon.key_of(document): dict(document) for document in INGRESS.objects(CHOICE)}
    deployment, service = found["Deployment", "traefik"], found["Service", "traefik"]
    deployment["metadata"] = {**deployment["metadata"], "generation": 2}
    deployment["spec"] = {**deployment["spec"], "replicas": 1}
    deployment["status"] = status
    ports = [{**port, "nodePort": 30000 + port["port"]} for port in service["spec"]["ports"]]
    service["spec"] = {**service["spec"], "ports": ports}
    service["status"] = {"loadBalancer": {"ingress": list(given)} if given else {}}
    return found


def test_nothing_of_it_is_off() -> None:
    assert addon.judge(INGRESS, {}) == State("off")


def test_all_of_it_is_ready_and_has_the_addresses_that_are_given() -> None:
    state = addon.judge(INGRESS, there(given=[{"ip": "192.0.2.7"}, {"hostname": "lb.test"}]))
    assert state == State("ready", "3.7.15", ("192.0.2.7", "lb.test"))


def test_without_a_pool_there_are_the_node_ports() -> None:
    assert addon.judge(INGRESS, there()).addresses == ("*:30080 (web)", "*:30443 (websecure)")


@pytest.mark.parametrize(
    "change",
    [
        {"observedGeneration": 1},
        {"updatedReplicas": 0},
        {"availableReplicas": 0},
        {"replicas": 2},
    ],
    ids=str,
)
def test_it_is_starting_until_the_newest_template_runs_alone(change: dict[str, int]) -> None:
    assert addon.judge(INGRESS, there({**AVAILABLE, **change})).word == "starting"
    assert addon.judge(INGRESS, there({})).word == "starting"


def test_what_is_missing_is_named() -> None:
    found = there()
    del found["ClusterRole", "navarch-ingress"]
    state = addon.judge(INGRESS, found)
    assert (state.word, state.missing) == ("incomplete", ("clusterrole/navarch-ingress",))


def test_what_somebody_else_made_is_not_ours() -> None:
    found = there()
    theirs = found["IngressClass", "traefik"]
    theirs["metadata"] = {"name": "traefik", "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    assert addon.strangers(found) == ("ingressclass/traefik",)
    assert addon.strangers(there()) == ()
    assert addon.judge(INGRESS, {("IngressClass", "traefik"): theirs}) == State("off")


def test_another_default_class_is_found() -> None:
    def named(name: str, default: str) -> dict[str, Any]:
        annotations = {"ingressclass.kubernetes.io/is-default-class": default}
        return {"metadata": {"name": name, "annotations": annotations}}

    own = named("traefik", "true")
    assert addon.other_default([own, named("a", "false"), {"metadata": {"name": "b"}}], INGRESS.keys) == ""
    assert addon.other_default([own, named("c", "true")], INGRESS.keys) == "c"
