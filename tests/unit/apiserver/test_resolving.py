"""Where services are, by their documents."""

from __future__ import annotations

import pytest
from fakes import FakeReads

from navarch.apiserver.outgoing import Unreachable
from navarch.apiserver.resolving import Reach, endpoints
from navarch.base.clock import SystemIds
from navarch.kinds import ENDPOINTSLICE, SERVICE
from navarch.objects.value import Document


def reads(*addresses: str, **spec: object) -> FakeReads:
    made = FakeReads()
    ports = [{"name": "https", "port": 443, "targetPort": 8443}]
    made.put(SERVICE, {"metadata": {"name": "hook", "namespace": "space"}, "spec": {"ports": ports, **spec}})
    for namespace, found in (("space", addresses), ("elsewhere", ("10.9.9.9",))):
        metadata = {"name": "hook-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": "hook"}}
        made.put(ENDPOINTSLICE, {"metadata": metadata, **slice_of(*found)})
    return made


def slice_of(*addresses: str, **conditions: bool) -> Document:
    return {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [one], "conditions": conditions} for one in addresses],
        "ports": [{"name": "https", "port": 8443}, {"name": "other", "port": 9}],
    }


def reach(found: FakeReads, *, simulated: bool = False) -> Reach:
    return Reach(found, SystemIds(), simulated)


def service(path: str = "/check", port: int = 443) -> Document:
    return {"service": {"namespace": "space", "name": "hook", "path": path, "port": port}, "caBundle": "QQ=="}


def test_a_service_is_reached_at_a_ready_endpoint_of_its_port_under_its_own_name() -> None:
    found = reach(reads("10.0.0.7")).target(service())
    assert (found.host, found.port, found.name) == ("10.0.0.7", 8443, "hook.space.svc")
    assert (found.url, found.bundle) == ("https://hook.space.svc:443/check", b"A")


def test_a_url_is_reached_as_it_says() -> None:
    found = reach(FakeReads()).target({"url": "https://hooks.example/a/b"})
    assert (found.host, found.port, found.name, found.url) == (
        "hooks.example",
        443,
        "hooks.example",
        "https://hooks.example/a/b",
    )
    found = reach(FakeReads()).target({"url": "https://[::1]:8443"})
    assert (found.host, found.port, found.url) == ("::1", 8443, "https://[::1]:8443/")


def test_an_external_name_is_connected_to() -> None:
    found = reach(reads(type="ExternalName", externalName="far.example")).target(service())
    assert (found.host, found.port, found.name) == ("far.example", 443, "hook.space.svc")


@pytest.mark.parametrize(
    ("made", "client", "message"),
    [
        (FakeReads(), service(), 'service "hook" not found'),
        (reads(), service(), 'no endpoints available for service "hook"'),
        (reads("10.0.0.7"), service(port=8443), 'no service port 8443 found for service "hook"'),
    ],
)
def test_what_is_not_there_is_named(made: FakeReads, client: Document, message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        reach(made).target(client)


def test_simulated_pods_are_never_connected_to() -> None:
    with pytest.raises(Unreachable, match="simulated"):
        reach(reads("10.0.0.7"), simulated=True).target(service())
    assert reach(reads("10.0.0.7", "127.0.0.1"), simulated=True).target(service()).host == "127.0.0.1"


def test_endpoints_that_are_not_ready_are_none() -> None:
    slices = [slice_of("10.0.0.1"), slice_of("10.0.0.2", ready=False), slice_of("10.0.0.1")]
    assert endpoints(slices, "https") == [("10.0.0.1", 8443)]
    assert endpoints([{**slice_of("a.example"), "addressType": "FQDN"}], "https") == []
