"""The specs of network objects that no packet shows: the tests that a cluster of simulated nodes passes, on one of
three nodes, whose controllers, proxies and name servers see these objects come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import pytest
import test_networking as networking
import test_operations as operations
from conformance_api import Api
from crew import Crew, http

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def api(crew: Crew) -> Api:
    return Api(crew.kubeconfig)


@pytest.fixture
def ns(api: Api, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"objects-{request.node.callspec.id.replace('_', '-')}"
    api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    api.when(f"/api/v1/namespaces/{name}/serviceaccounts/default", lambda _: True)
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


BODIES: tuple[Callable[..., None], ...] = (
    networking.test_endpointslices,
    networking.test_life_of_endpoints,
    networking.test_listing_services_everywhere,
    networking.test_status_of_a_service,
    networking.test_a_collection_of_services,
    operations.test_ingresses,
    operations.test_ingress_classes,
    operations.test_ip_addresses,
    operations.test_service_cidrs,
)


@spec("[sig-network] EndpointSlice should support creating EndpointSlice API operations")
@spec("[sig-network] Endpoints should test the lifecycle of an Endpoint")
@spec("[sig-network] Services should find a service from listing all namespaces")
@spec("[sig-network] Services should complete a service status lifecycle")
@spec("[sig-network] Services should delete a collection of services")
@spec("[sig-network] Ingress API should support creating Ingress API operations")
@spec("[sig-network] IngressClass API should support creating IngressClass API operations")
@spec("[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations")
@spec("[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations")
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__.removeprefix("test_"))
def test_as_on_simulated_nodes(api: Api, ns: str, body: Callable[..., None]) -> None:
    given: dict[str, Any] = {"api": api, "ns": ns}
    body(**{name: given[name] for name in signature(body).parameters})


def test_a_collection_of_services_is_gone_from_all_nodes(api: Api, crew: Crew) -> None:
    at = f"/api/v1/namespaces/{crew.kubectl().namespace}/services"
    addresses = []
    for number in range(3):
        spec = {"selector": {"crew": "member"}, "ports": [{"port": 80, "targetPort": 8080}]}
        metadata = {"name": f"together-{number}", "labels": {"together": "yes"}}
        addresses.append(api.post(at, {"metadata": metadata, "spec": spec})["spec"]["clusterIP"])
    reached = crew.each(crew.everywhere, *[http(address, 80) for address in addresses])
    assert all(said.name for answers in reached.values() for said in answers)
    api.delete(f"{at}?labelSelector=together%3Dyes")
    gone = crew.each(crew.everywhere, *[http(address, 80, come=0, wait_s=1.0) for address in addresses])
    assert not any(said.name for answers in gone.values() for said in answers)
