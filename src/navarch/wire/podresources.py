"""The pod resources API, v1: what monitors of devices ask a node of who has which device and CPU.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources
"""

from __future__ import annotations

from navarch.wire.rpc import Api

SERVICE = "PodResourcesLister"
API = Api(
    "v1",
    """
AllocatableResourcesRequest
AllocatableResourcesResponse  1 devices ContainerDevices*, 2 cpu_ids int64*
ListPodResourcesRequest
ListPodResourcesResponse      1 pod_resources PodResources*
GetPodResourcesRequest        1 pod_name string, 2 pod_namespace string
GetPodResourcesResponse       1 pod_resources PodResources
PodResources                  1 name string, 2 namespace string, 3 containers ContainerResources*
ContainerResources            1 name string, 2 devices ContainerDevices*, 3 cpu_ids int64*, 5 dynamic_resources DynamicResource*
ContainerDevices              1 resource_name string, 2 device_ids string*, 3 topology TopologyInfo
TopologyInfo                  1 nodes NUMANode*
NUMANode                      1 ID int64
DynamicResource               2 claim_name string, 3 claim_namespace string, 4 claim_resources ClaimResource*
ClaimResource                 1 cdi_devices CDIDevice*, 2 driver_name string, 3 pool_name string, 4 device_name string, 5 share_id string
CDIDevice                     1 name string
""",  # noqa: E501 - a message a line
    f"""
{SERVICE} List ListPodResourcesRequest ListPodResourcesResponse, Get GetPodResourcesRequest GetPodResourcesResponse, GetAllocatableResources AllocatableResourcesRequest AllocatableResourcesResponse
""",  # noqa: E501
)
