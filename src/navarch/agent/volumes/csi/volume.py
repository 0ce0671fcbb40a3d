"""What a driver is asked for: a pod's volume, the driver's own rules and the pod, turned into requests. Pure.

Source: https://kubernetes-csi.github.io/docs/
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.agent.volumes.maker import Wanted
from navarch.kinds.csi import CSIDriverSpec
from navarch.kinds.pod import Pod
from navarch.objects import quantity
from navarch.objects.value import Document, dig
from navarch.wire.csi import API, Access, NodeCan

PERSISTENT, EPHEMERAL = "Persistent", "Ephemeral"
PREFIX = "csi.storage.k8s.io/"
"""Of the keys by which a driver is told of the pod."""
TOKENS = f"{PREFIX}serviceAccount.tokens"
ONE_POD = "ReadWriteOncePod"
READ_WRITE_ONCE = ("ReadWriteOnce", ONE_POD)

Secret = tuple[str, str]
"""(namespace, name)."""


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """name: of the PersistentVolume or, when it lives as long as its pod, of the pod's volume.

    secrets: by the call that needs them (`stage`, `publish`, `expand`). size: what the PersistentVolume says it holds.
    """

    name: str
    driver: str
    handle: str
    ephemeral: bool = False
    block: bool = False
    read_only: bool = False
    fs_type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    mount_options: Sequence[str] = ()
    access_modes: Sequence[str] = ()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    size: str = "0"

    @property
    def mode(self) -> str:
        return EPHEMERAL if self.ephemeral else PERSISTENT

    @property
    def key(self) -> tuple[str, str]:
        """By which the driver's volumes are told apart on a node."""
        return (self.driver, self.handle)

    @property
    def size_bytes(self) -> int:
        return quantity.whole(self.size)


def csi_volume(wanted: Wanted) -> CsiVolume:
    """Of a volume whose source is of the type `csi`."""
    if wanted.bound is not None:
        claim = wanted.volume.persistent_volume_claim
        return persistent(wanted.bound.volume, wanted.source, read_only=claim is not None and claim.read_only)
    return inline(wanted.pod, wanted.volume.name, wanted.source)


def inline(pod: Pod, name: str, source: Document) -> CsiVolume:
    meta = pod.metadata
    secret = dig(source, "nodePublishSecretRef", "name")
    return CsiVolume(
        name=name,
        driver=source["driver"],
        handle="csi-" + hashlib.sha256(f"{meta.uid}{name}".encode()).hexdigest(),
        ephemeral=True,
        read_only=bool(source.get("readOnly")),
        fs_type=source.get("fsType") or "",
        attributes=source.get("volumeAttributes") or {},
        secrets={"publish": (meta.namespace, secret)} if secret else {},
    )


def persistent(volume: Document, source: Document, *, read_only: bool) -> CsiVolume:
    spec = volume["spec"]
    references = ((call, source.get(f"node{call.capitalize()}SecretRef")) for call in ("stage", "publish", "expand"))
    return CsiVolume(
        name=volume["metadata"]["name"],
        driver=source["driver"],
        handle=source["volumeHandle"],
        block=spec.get("volumeMode") == "Block",
        read_only=read_only,
        fs_type=source.get("fsType") or "",
        attributes=source.get("volumeAttributes") or {},
        mount_options=tuple(spec.get("mountOptions") or ()),
        access_modes=tuple(spec.get("accessModes") or ()),
        secrets={call: (found["namespace"], found["name"]) for call, found in references if found},
        size=dig(spec, "capacity", "storage", default="0"),
    )


def title(volume: CsiVolume) -> str:
    """How a node's status names it among its volumes."""
    return f"kubernetes.io/csi/{volume.driver}^{volume.handle}"


def attachment_name(volume: CsiVolume, node: str) -> str:
    """The name that controllers and attachers know its attachment to the node by."""
    return "csi-" + hashlib.sha256(f"{volume.handle}{volume.driver}{node}".encode()).hexdigest()


def misuse(volume: CsiVolume, rules: CSIDriverSpec | None) -> str:
    """Why the driver has no such volumes; "" when it has. rules: None of a driver that says nothing of itself."""
    if rules is None:
        told = f'volume mode "{EPHEMERAL}" not supported by driver {volume.driver} (no CSIDriver object)'
        return told if volume.ephemeral else ""
    if volume.mode in rules.volume_lifecycle_modes:
        return ""
    modes = " ".join(f'"{mode}"' for mode in rules.volume_lifecycle_modes)
    return f'volume mode "{volume.mode}" not supported by driver {volume.driver} (only supports [{modes}])'


def access(volume: CsiVolume, can: Collection[int]) -> Access:
    """The first of its access modes, which is the one that matters, in the driver's words."""
    mode = volume.access_modes[0] if volume.access_modes else "ReadWriteOnce"
    finer = NodeCan.SINGLE_NODE_MULTI_WRITER in can
    if mode == "ReadOnlyMany":
        return Access.MULTI_NODE_READER_ONLY
    if mode == "ReadWriteMany":
        return Access.MULTI_NODE_MULTI_WRITER
    if mode == ONE_POD:
        return Access.SINGLE_NODE_SINGLE_WRITER if finer else Access.SINGLE_NODE_WRITER
    if mode == "ReadWriteOnce":
        return Access.SINGLE_NODE_MULTI_WRITER if finer else Access.SINGLE_NODE_WRITER
    return Access.UNKNOWN


def capability(volume: CsiVolume, can: Collection[int], fs_group: int | None = None) -> Any:
    """fs_group: handed on only to a driver that mounts with a group."""
    mode = API.make("AccessMode", mode=access(volume, can))
    if volume.block:
        return API.make("VolumeCapability", block=API.make("BlockVolume"), access_mode=mode)
    group = str(fs_group) if fs_group is not None and NodeCan.MOUNT_GROUP in can else ""
    mount = API.make(
        "MountVolume", fs_type=volume.fs_type, mount_flags=list(volume.mount_options), volume_mount_group=group
    )
    return API.make("VolumeCapability", mount=mount, access_mode=mode)


def pod_context(pod: Pod, volume: CsiVolume) -> dict[str, str]:
    """What a driver that asks for it is told of the pod."""
    meta = pod.metadata
    return {
        f"{PREFIX}pod.name": meta.name,
        f"{PREFIX}pod.namespace": meta.namespace,
        f"{PREFIX}pod.uid": meta.uid,
        f"{PREFIX}serviceAccount.name": pod.spec.service_account_name,
        f"{PREFIX}ephemeral": "true" if volume.ephemeral else "false",
    }


def is_given_to_group(volume: CsiVolume, rules: CSIDriverSpec | None, can: Collection[int]) -> bool:
    """Whether the volume's files are given to the pod's `fsGroup` by us."""
    policy = rules.fs_group_policy if rules is not None else CSIDriverSpec().fs_group_policy
    if policy == "None" or volume.read_only or volume.block or NodeCan.MOUNT_GROUP in can:
        return False
    if policy == "File":
        return True
    writes_alone = volume.ephemeral or any(mode in READ_WRITE_ONCE for mode in volume.access_modes)
    return bool(volume.fs_type) and writes_alone
