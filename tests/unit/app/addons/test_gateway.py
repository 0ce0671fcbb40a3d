"""The add-on `gateway` as a plan: what it may do, what it has in common with `ingress`, and that a cluster takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import navarch
from navarch.app.addons import GATEWAY, INGRESS, addon
from navarch.app.addons.addon import Choice, State
from navarch.app.addons.cluster import path

CHOICE = Choice("navarch.dev/traefik:3.7.15", ["node-0"], ("gateway",))
KINDS = ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes", "referencegrants", "backendtlspolicies")


def made(kind: str, choice: Choice = CHOICE) -> Any:
    [found] = [document for document in GATEWAY.objects(choice) if document["kind"] == kind]
    return found


def arguments(*fronts: str) -> list[str]:
    found = made("Deployment", replace(CHOICE, fronts=fronts))
    return list(found["spec"]["template"]["spec"]["containers"][0]["args"])


def test_it_may_do_just_this() -> None:
    rights = {
        (f"{group}/{resource}".lstrip("/"), verb)
        for rule in made("ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    names = [f"gateway.networking.k8s.io/{kind}" for kind in KINDS]
    others = ("namespaces", "services", "secrets", "configmaps", "discovery.k8s.io/endpointslices")
    read = {(resource, verb) for resource in (*others, *names) for verb in ("get", "list", "watch")}
    told = {(f"{name}/status", "update") for name in names if "referencegrants" not in name}
    assert rights == read | told


def test_one_program_serves_all_that_is_enabled() -> None:
    gateway, ingress = "--providers.kubernetesgateway=true", "--providers.kubernetesingress=true"
    assert {gateway, ingress} & set(arguments("gateway")) == {gateway}
    assert {gateway, ingress} & set(arguments("ingress")) == {ingress}
    assert {gateway, ingress} <= set(arguments("ingress", "gateway"))
    assert arguments("ingress", "gateway") == arguments("gateway", "ingress")
    assert GATEWAY.base(CHOICE) == INGRESS.base(CHOICE)
    common = {addon.key_of(document) for document in GATEWAY.base(CHOICE)}
    assert set(GATEWAY.keys) & set(INGRESS.keys) == common


def test_each_is_off_while_only_the_other_is_on() -> None:
    there = {addon.key_of(document): document for document in INGRESS.objects(CHOICE)}
    assert addon.judge(GATEWAY, {key: there[key] for key in GATEWAY.keys if key in there}) == State("off")


def test_definitions_of_others_are_taken_for_its_own() -> None:
    there = {addon.key_of(document): dict(document) for document in GATEWAY.objects(CHOICE)}
    name = "httproutes.gateway.networking.k8s.io"
    there[addon.DEFINITION, name] = {**there[addon.DEFINITION, name], "metadata": {"name": name}}
    assert addon.strangers(there) == ()
    assert addon.judge(GATEWAY, there).missing == ()
    del there[addon.DEFINITION, name]
    assert addon.judge(GATEWAY, there).missing == (f"customresourcedefinition/{name}",)


def test_definitions_alone_do_not_make_it_enabled() -> None:
    found = {addon.key_of(document): document for document in GATEWAY.own(CHOICE)}
    left = {key: document for key, document in found.items() if key[0] == addon.DEFINITION}
    assert addon.judge(GATEWAY, left) == State("off")


def test_what_was_chosen_can_be_read_again() -> None:
    deployment = made("Deployment", replace(CHOICE, nodes=["a", "b"]))
    read = addon.applied_choice(deployment, ["ingress"])
    assert (read.image, read.nodes, read.fronts) == (CHOICE.image, ["a", "b"], ("ingress",))


@pytest.mark.parametrize(
    ("images", "has"),
    [
        ([{"names": ["docker.io/library/x:1", "navarch.dev/traefik:3"]}], True),
        ([{"names": ["navarch.dev/traefik:2"]}], False),
        ([{}], False),
    ],
)
def test_nodes_that_have_the_image_are_found(images: list[dict[str, Any]], has: bool) -> None:
    nodes = [{"metadata": {"name": "a"}, "status": {"images": images}}, {"metadata": {"name": "b"}}]
    assert addon.nodes_with("navarch.dev/traefik:3", nodes) == (["a"] if has else [])


def test_a_cluster_takes_it() -> None:
    with navarch.Cluster(nodes=1, frozen=True) as c:
        [node] = c.client.list("node").items
        choice = replace(CHOICE, nodes=[node.name], fronts=("gateway", "ingress"))
        for document in (*GATEWAY.own(choice), *INGRESS.objects(choice)):
            c.apply(dict(document))
            c.clock.advance(seconds=1)
        c.clock.advance(seconds=30)
        found = c.client.get("deployment", "navarch-ingress", "traefik").document()
        assert found["status"]["availableReplicas"] == 1
        assert c.client.get("gatewayclass", None, "traefik").document()["spec"]["controllerName"].startswith("traefik")


def test_its_objects_have_paths_of_the_api() -> None:
    assert path(made("GatewayClass")) == "/apis/gateway.networking.k8s.io/v1/gatewayclasses/traefik"
    definition = next(one for one in GATEWAY.own(CHOICE) if one["metadata"]["name"].startswith("gateways."))
    name = "gateways.gateway.networking.k8s.io"
    assert path(definition) == f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
