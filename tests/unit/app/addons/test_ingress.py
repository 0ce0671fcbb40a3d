"""The add-on `ingress` as a plan: what it may do, what it asks for, and that a cluster takes it."""

from __future__ import annotations

from typing import Any

import navarch
from navarch.app.addons import ALL, INGRESS, addon
from navarch.app.addons.addon import Choice
from navarch.app.addons.cluster import path
from navarch.app.addons.traefik import ARGUMENTS, FRONTS

CHOICE = Choice("navarch.dev/traefik:3.7.15", ["node-0"], ("ingress",))


def made(kind: str, choice: Choice = CHOICE) -> Any:
    [found] = [document for document in INGRESS.objects(choice) if document["kind"] == kind]
    return found


def container() -> Any:
    return made("Deployment")["spec"]["template"]["spec"]["containers"][0]


def test_it_may_do_just_this() -> None:
    rights = {
        (f"{group}/{resource}".lstrip("/"), verb)
        for rule in made("ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    read = {
        (resource, verb)
        for resource in (
            "services",
            "secrets",
            "nodes",
            "discovery.k8s.io/endpointslices",
            "networking.k8s.io/ingresses",
            "networking.k8s.io/ingressclasses",
        )
        for verb in ("get", "list", "watch")
    }
    assert rights == read | {("networking.k8s.io/ingresses/status", "update")}
    [subject] = made("ClusterRoleBinding")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "traefik", "namespace": "navarch-ingress"}
    assert (
        made("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
        == made("ServiceAccount")["metadata"]["name"]
    )


def test_ports_lead_from_the_service_to_what_listens() -> None:
    listening = {port["name"]: port["containerPort"] for port in container()["ports"]}
    for name, port in listening.items():
        assert f"--entrypoints.{name}.address=:{port}/tcp" in ARGUMENTS
    [sysctl] = made("Deployment")["spec"]["template"]["spec"]["securityContext"]["sysctls"]
    assert sysctl == {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}, "its user has no right to low ones"
    assert (listening["web"], listening["websecure"]) == (80, 443), "the ports that listeners of Gateways name"
    spec = made("Service")["spec"]
    assert {port["port"]: port["targetPort"] for port in spec["ports"]} == {80: "web", 443: "websecure"}
    assert spec["selector"].items() <= made("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert container()["readinessProbe"]["httpGet"]["port"] in listening


def test_it_calls_nobody_and_keeps_to_the_letter_of_prefixes() -> None:
    assert (
        {
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--providers.kubernetesingress.strictprefixmatching=true",
            "--providers.kubernetesingress.allowemptyservices=true",
            "--providers.kubernetesingress.ingressendpoint.publishedservice=navarch-ingress/traefik",
        }
        <= {*ARGUMENTS, *FRONTS["ingress"]}
        == set(container()["args"])
    )


def test_it_runs_where_its_image_is() -> None:
    [term] = made("Deployment")["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["node-0"]
    assert (container()["image"], container()["imagePullPolicy"]) == (CHOICE.image, "Never")


def test_its_class_is_the_default_where_there_is_no_other() -> None:
    default = {"ingressclass.kubernetes.io/is-default-class": "true"}
    assert made("IngressClass")["metadata"]["annotations"] == default
    assert (
        "annotations" not in made("IngressClass", Choice("a:1", ["n"], ("ingress",), default_class=False))["metadata"]
    )


def test_every_object_says_whose_it_is_and_has_a_path_of_the_api() -> None:
    for each in ALL:
        documents = each.objects(CHOICE)
        assert all(addon.ours(document) for document in documents)
        assert len(set(each.keys)) == len(documents)
        assert len({path(document) for document in documents}) == len(documents)
    assert path(made("Deployment")) == "/apis/apps/v1/namespaces/navarch-ingress/deployments/traefik"
    assert path(made("Namespace")) == "/api/v1/namespaces/navarch-ingress"
    assert path(made("IngressClass")) == "/apis/networking.k8s.io/v1/ingressclasses/traefik"


def test_a_cluster_takes_it_and_its_pod_keeps_to_the_restricted_level() -> None:
    """The namespace asks for it: a pod that did not would not be made."""
    rule = {"host": "a.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
    with navarch.Cluster(nodes=1, frozen=True) as c:
        [node] = c.client.list("node").items
        for document in INGRESS.objects(Choice(CHOICE.image, [node.name], ("ingress",))):
            c.apply(dict(document))
        c.clock.advance(seconds=30)
        found = c.client.get("deployment", "navarch-ingress", "traefik").document()
        assert found["status"]["availableReplicas"] == 1
        assert found["spec"]["replicas"] == 1
        c.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"rules": [rule]},
            }
        )
        assert c.client.get("ingress", "default", "web").document()["spec"]["ingressClassName"] == "traefik"


BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
