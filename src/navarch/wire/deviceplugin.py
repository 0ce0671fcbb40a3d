"""The device plugin API, v1beta1: what a node asks of those who offer its devices, and what they tell it.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
"""

from __future__ import annotations

from navarch.wire.rpc import Api

VERSION = "v1beta1"
HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"

API = Api(
    VERSION,
    """
Empty
DevicePluginOptions                   1 pre_start_required bool, 2 get_preferred_allocation_available bool
RegisterRequest                       1 version string, 2 endpoint string, 3 resource_name string, 4 options DevicePluginOptions
ListAndWatchResponse                  1 devices Device*
Device                                1 ID string, 2 health string, 3 topology TopologyInfo
TopologyInfo                          1 nodes NUMANode*
NUMANode                              1 ID int64
PreferredAllocationRequest            1 container_requests ContainerPreferredAllocationRequest*
ContainerPreferredAllocationRequest   1 available_device_ids string*, 2 must_include_device_ids string*, 3 allocation_size int32
PreferredAllocationResponse           1 container_responses ContainerPreferredAllocationResponse*
ContainerPreferredAllocationResponse  1 device_ids string*
AllocateRequest                       1 container_requests ContainerAllocateRequest*
ContainerAllocateRequest              1 devices_ids string*
AllocateResponse                      1 container_responses ContainerAllocateResponse*
ContainerAllocateResponse             1 envs {string}, 2 mounts Mount*, 3 devices DeviceSpec*, 4 annotations {string}, 5 cdi_devices CDIDevice*
Mount                                 1 container_path string, 2 host_path string, 3 read_only bool
DeviceSpec                            1 container_path string, 2 host_path string, 3 permissions string
CDIDevice                             1 name string
PreStartContainerRequest              1 devices_ids string*
PreStartContainerResponse
""",  # noqa: E501 - a message a line
    """
Registration Register RegisterRequest Empty
DevicePlugin GetDevicePluginOptions Empty DevicePluginOptions, ListAndWatch Empty ListAndWatchResponse*, GetPreferredAllocation PreferredAllocationRequest PreferredAllocationResponse, Allocate, PreStartContainer
""",  # noqa: E501
)
