"""How soon a Service has its endpoints, and a volume of a driver within a pod's own spec."""

from __future__ import annotations

import time

from conformance_api import STRATEGIC, Api
from conformance_objects import pod, service
from conformance_specs import spec
from conformance_workloads import CORE, running

SERVICES = 50
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


@spec("[sig-network] Service endpoints latency should not be very high")
def test_services_soon_have_endpoints(api: Api, ns: str) -> None:
    """The spec allows 20 s for the median and 50 s for the slowest."""
    core = CORE.format(ns)
    api.post(f"{core}/pods", pod("backend", {"app": "latency"}))
    address = api.when(f"{core}/pods/backend", running)["status"]["podIP"]
    made = {}
    with api.watch(f"{SLICES.format(ns)}?watch=1") as events:
        for number in range(SERVICES):
            api.post(f"{core}/services", service(f"latency-{number}", {"app": "latency"}))
            made[f"latency-{number}"] = time.monotonic()
        took_s = []
        while made:
            found = events.next(50)[1]
            addresses = [one for endpoint in found["endpoints"] or () for one in endpoint["addresses"]]
            if addresses == [address] and (began := made.pop(found["metadata"]["ownerReferences"][0]["name"], 0.0)):
                took_s.append(time.monotonic() - began)
    assert len(took_s) == SERVICES
    assert sorted(took_s)[SERVICES // 2] < 20
    assert max(took_s) < 50


@spec("[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API")
def test_a_volume_of_a_driver_in_a_pod(api: Api, ns: str) -> None:
    core, driver = CORE.format(ns), f"inline.{ns}.example.com"
    api.post(
        "/apis/storage.k8s.io/v1/csidrivers",
        {"metadata": {"name": driver}, "spec": {"volumeLifecycleModes": ["Ephemeral"]}},
    )
    volume = {"name": "inline", "csi": {"driver": driver, "volumeAttributes": {"size": "1"}}}
    api.post(f"{core}/pods", pod("inline", {"with": "csi"}, volumes=[volume]))
    (listed,) = api.get(f"{core}/pods?labelSelector=with%3Dcsi")["items"]
    assert listed["spec"]["volumes"][0] == volume
    patch = {"metadata": {"labels": {"patched": "true"}}}
    assert api.patch(f"{core}/pods/inline", patch, STRATEGIC)["metadata"]["labels"]["patched"] == "true"
    assert api.get(f"{core}/pods/inline")["spec"]["volumes"][0]["csi"]["driver"] == driver
    api.delete(f"{core}/pods?labelSelector=with%3Dcsi")
    api.gone(f"{core}/pods/inline")
    api.delete(f"/apis/storage.k8s.io/v1/csidrivers/{driver}")
