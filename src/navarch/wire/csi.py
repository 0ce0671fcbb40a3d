"""The Container Storage Interface, version 1: what agents (and controllers) of a cluster ask of storage drivers.

The services are whole but for snapshots, groups of them and lists, which nobody here asks for.

Source: https://github.com/container-storage-interface/spec/blob/master/spec.md
"""

from __future__ import annotations

from enum import IntEnum

from navarch.wire.rpc import Api


class NodeCan(IntEnum):
    """What a driver's node service says that it can do."""

    STAGE = 1
    GET_STATS = 2
    EXPAND = 3
    TELL_CONDITION = 4
    SINGLE_NODE_MULTI_WRITER = 5
    MOUNT_GROUP = 6


class ControllerCan(IntEnum):
    CREATE = 1
    PUBLISH = 2
    EXPAND = 9


class PluginCan(IntEnum):
    CONTROL = 1
    HAVE_TOPOLOGY = 2


class Access(IntEnum):
    """Who may use a volume, in VolumeCapability."""

    UNKNOWN = 0
    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7


BYTES, INODES = 1, 2
"""VolumeUsage.unit."""
ONLINE, OFFLINE = 1, 2
"""VolumeExpansion.type."""

MESSAGES = """
GetPluginInfoRequest
GetPluginInfoResponse              1 name string, 2 vendor_version string, 3 manifest {string}
GetPluginCapabilitiesRequest
GetPluginCapabilitiesResponse      1 capabilities PluginCapability*
PluginCapability                   1 service Typed, 2 volume_expansion Typed
Typed                              1 type int32
ProbeRequest
ProbeResponse                      1 ready Truth
Truth                              1 value bool
BlockVolume
MountVolume                        1 fs_type string, 2 mount_flags string*, 3 volume_mount_group string
AccessMode                         1 mode int32
VolumeCapability                   1 block BlockVolume, 2 mount MountVolume, 3 access_mode AccessMode
CapacityRange                      1 required_bytes int64, 2 limit_bytes int64
Topology                           1 segments {string}
TopologyRequirement                1 requisite Topology*, 2 preferred Topology*
Volume                             1 capacity_bytes int64, 2 volume_id string, 3 volume_context {string}, 5 accessible_topology Topology*
CreateVolumeRequest                1 name string, 2 capacity_range CapacityRange, 3 volume_capabilities VolumeCapability*, 4 parameters {string}, 5 secrets {string}, 7 accessibility_requirements TopologyRequirement
CreateVolumeResponse               1 volume Volume
DeleteVolumeRequest                1 volume_id string, 2 secrets {string}
DeleteVolumeResponse
ControllerPublishVolumeRequest     1 volume_id string, 2 node_id string, 3 volume_capability VolumeCapability, 4 readonly bool, 5 secrets {string}, 6 volume_context {string}
ControllerPublishVolumeResponse    1 publish_context {string}
ControllerUnpublishVolumeRequest   1 volume_id string, 2 node_id string, 3 secrets {string}
ControllerUnpublishVolumeResponse
ValidateVolumeCapabilitiesRequest  1 volume_id string, 2 volume_context {string}, 3 volume_capabilities VolumeCapability*, 4 parameters {string}, 5 secrets {string}
Confirmed                          1 volume_context {string}, 2 volume_capabilities VolumeCapability*, 3 parameters {string}
ValidateVolumeCapabilitiesResponse 1 confirmed Confirmed, 2 message string
ControllerGetCapabilitiesRequest
ControllerGetCapabilitiesResponse  1 capabilities ServiceCapability*
ControllerExpandVolumeRequest      1 volume_id string, 2 capacity_range CapacityRange, 3 secrets {string}, 4 volume_capability VolumeCapability
ControllerExpandVolumeResponse     1 capacity_bytes int64, 2 node_expansion_required bool
ServiceCapability                  1 rpc Typed
NodeStageVolumeRequest             1 volume_id string, 2 publish_context {string}, 3 staging_target_path string, 4 volume_capability VolumeCapability, 5 secrets {string}, 6 volume_context {string}
NodeStageVolumeResponse
NodeUnstageVolumeRequest           1 volume_id string, 2 staging_target_path string
NodeUnstageVolumeResponse
NodePublishVolumeRequest           1 volume_id string, 2 publish_context {string}, 3 staging_target_path string, 4 target_path string, 5 volume_capability VolumeCapability, 6 readonly bool, 7 secrets {string}, 8 volume_context {string}
NodePublishVolumeResponse
NodeUnpublishVolumeRequest         1 volume_id string, 2 target_path string
NodeUnpublishVolumeResponse
NodeGetVolumeStatsRequest          1 volume_id string, 2 volume_path string, 3 staging_target_path string
NodeGetVolumeStatsResponse         1 usage VolumeUsage*, 2 volume_condition VolumeCondition
VolumeUsage                        1 available int64, 2 total int64, 3 used int64, 4 unit int32
VolumeCondition                    1 abnormal bool, 2 message string
NodeExpandVolumeRequest            1 volume_id string, 2 volume_path string, 3 capacity_range CapacityRange, 4 staging_target_path string, 5 volume_capability VolumeCapability, 6 secrets {string}
NodeExpandVolumeResponse           1 capacity_bytes int64
NodeGetCapabilitiesRequest
NodeGetCapabilitiesResponse        1 capabilities ServiceCapability*
NodeGetInfoRequest
NodeGetInfoResponse                1 node_id string, 2 max_volumes_per_node int64, 3 accessible_topology Topology
"""  # noqa: E501 - one message a line
SERVICES = """
Identity    GetPluginInfo, GetPluginCapabilities, Probe
Controller  CreateVolume, DeleteVolume, ControllerPublishVolume, ControllerUnpublishVolume, ValidateVolumeCapabilities, ControllerGetCapabilities, ControllerExpandVolume
Node        NodeStageVolume, NodeUnstageVolume, NodePublishVolume, NodeUnpublishVolume, NodeGetVolumeStats, NodeExpandVolume, NodeGetCapabilities, NodeGetInfo
"""  # noqa: E501 - one service a line
API = Api("csi.v1", MESSAGES, SERVICES)
