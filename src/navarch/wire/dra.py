"""Dynamic resource allocation: what a node asks of the drivers of devices that claims were given.

A driver says by the names of its services which versions it speaks. The versions say the same in the same fields.

Source: https://github.com/kubernetes/enhancements/blob/master/keps/sig-node/4381-dra-structured-parameters/README.md
Source: https://github.com/kubernetes/enhancements/blob/master/keps/sig-node/4680-add-resource-health-to-pod-status/README.md
"""

from __future__ import annotations

from navarch.wire.rpc import Api

SERVICE = "DRAPlugin"
MESSAGES = """
NodePrepareResourcesRequest    1 claims Claim*
NodePrepareResourcesResponse   1 claims {NodePrepareResourceResponse}
NodePrepareResourceResponse    1 devices Device*, 2 error string
Device                         1 request_names string*, 2 pool_name string, 3 device_name string, 4 cdi_device_ids string*, 5 share_id string
NodeUnprepareResourcesRequest  1 claims Claim*
NodeUnprepareResourcesResponse 1 claims {NodeUnprepareResourceResponse}
NodeUnprepareResourceResponse  1 error string
Claim                          1 namespace string, 2 uid string, 3 name string
"""  # noqa: E501 - one message a line
SERVICES = f"{SERVICE} NodePrepareResources, NodeUnprepareResources"
APIS = {
    f"{version}.{SERVICE}": Api(f"k8s.io.kubelet.pkg.apis.dra.{version}", MESSAGES, SERVICES)
    for version in ("v1", "v1beta1")
}
"""By the name under which drivers offer them, the best first."""

HEALTH_SERVICE = "DRAResourceHealth"
HEALTH_VERSION = f"v1alpha1.{HEALTH_SERVICE}"
HEALTHY, UNHEALTHY = 1, 2
"""DeviceHealth.health; anything else is not known."""
HEALTH = Api(
    "v1alpha1",
    """
NodeWatchResourcesRequest
NodeWatchResourcesResponse  1 devices DeviceHealth*
DeviceHealth                1 device DeviceIdentifier, 2 health int32, 3 last_updated_time int64, 4 health_check_timeout_seconds int64, 5 message string
DeviceIdentifier            1 pool_name string, 2 device_name string
""",  # noqa: E501 - one message a line
    f"{HEALTH_SERVICE} NodeWatchResources NodeWatchResourcesRequest NodeWatchResourcesResponse*",
)
