"""What a pod's resolver asks for, in which order, and what the cluster's zone answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trace_scenery import doc, service, world

from navarch.app.nettrace.naming import Resolver, candidates, resolve, resolver_of
from navarch.kinds.pod.view import Pod

OWN = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
RESOLVER = Resolver(True, OWN, 5)


def resolver(**spec: Any) -> Resolver:
    found = msgspec.convert({"metadata": {"name": "a", "namespace": "shop"}, "spec": spec}, Pod)
    return resolver_of(found, "cluster.local", "10.96.0.10")


def test_what_the_pods_dns_policy_makes_of_it() -> None:
    assert resolver() == RESOLVER
    assert resolver(hostNetwork=True) == Resolver(False)
    assert resolver(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet") == RESOLVER
    assert resolver(dnsPolicy="Default") == Resolver(False)
    config = {"searches": ["corp.example"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    assert resolver(dnsConfig=config) == Resolver(True, (*OWN, "corp.example"), 2)
    own = {"nameservers": ["10.96.0.10"], "searches": ["x"]}
    assert resolver(dnsPolicy="None", dnsConfig=own) == Resolver(True, ("x",), 1)
    assert not resolver(dnsPolicy="None", dnsConfig={"nameservers": ["192.0.2.1"]}).asks_cluster


def test_the_search_path_comes_first_below_ndots() -> None:
    assert candidates(RESOLVER, "web") == (*(f"web.{each}" for each in OWN), "web")
    assert candidates(Resolver(True, ("x",), 1), "a.b") == ("a.b", "a.b.x")
    assert candidates(RESOLVER, "web.shop.") == ("web.shop",)


@pytest.mark.parametrize("name", ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local."])
def test_names_of_services_are_found_by_every_length(name: str) -> None:
    found = resolve(world(), RESOLVER, name)
    assert (found.name, found.addresses) == ("web.shop.svc.cluster.local", ["10.96.0.7"])


def test_what_is_not_ours_is_left_to_others() -> None:
    assert resolve(world(), RESOLVER, "example.com").elsewhere == "example.com"
    found = resolve(world(), RESOLVER, "nobody.shop.svc.cluster.local.")
    assert (found.addresses, found.tried, found.elsewhere) == ((), ["nobody.shop.svc.cluster.local"], "")


def test_other_names_of_services_are_followed() -> None:
    alias = service("alias", type="ExternalName", externalName="web.shop.svc.cluster.local", clusterIP="")
    assert resolve(world(alias), RESOLVER, "alias").addresses == ["10.96.0.7"]
    away = service("alias", type="ExternalName", externalName="db.example.com", clusterIP="")
    assert resolve(world(away), RESOLVER, "alias").elsewhere == "db.example.com"
    ring = service("alias", type="ExternalName", externalName="alias.shop.svc.cluster.local", clusterIP="")
    assert resolve(world(ring), RESOLVER, "alias.shop.svc.cluster.local.").addresses == ()


def test_the_domain_may_be_another() -> None:
    settings = doc("ConfigMap", "navarch-config", "kube-system", data={"clusterDomain": "corp"})
    made = world(settings)
    assert resolve(made, Resolver(True, ("svc.corp",), 5), "web.shop").addresses == ["10.96.0.7"]
    assert made.cluster_cidr == "10.244.0.0/23", "the least that both nodes' ranges are in"
