"""What drivers are told of volumes and pods."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.pluginwatch import Plugin, Refused
from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.csi.attached import WaitFailure, attached
from navarch.agent.volumes.csi.context import Contexts
from navarch.agent.volumes.csi.expand import grown, lacks
from navarch.agent.volumes.csi.register import NodeInfo, node_patch, unfit, with_driver, without_driver
from navarch.agent.volumes.csi.volume import (
    CsiVolume,
    access,
    attachment_name,
    capability,
    inline,
    is_given_to_group,
    misuse,
    persistent,
)
from navarch.agent.volumes.tokens import PodTokens
from navarch.base.clock import SystemClock, rfc3339
from navarch.kinds import CSIDRIVER, SECRET
from navarch.kinds.csi import CSIDriverSpec, DriverToken
from navarch.objects.patch import merge_patch as merge
from navarch.wire.csi import Access, NodeCan
from tests.unit.agent.pods import UID, pod
from tests.unit.conftest import FakeClient

DISK = CsiVolume("pv", "d", "h", fs_type="ext4", access_modes=("ReadWriteOnce",))
FILE, NONE = CSIDriverSpec(fs_group_policy="File"), CSIDriverSpec(fs_group_policy="None")
FINER = {NodeCan.SINGLE_NODE_MULTI_WRITER}


def test_a_persistent_volume_says_all_that_a_driver_needs() -> None:
    source = {
        "driver": "d",
        "volumeHandle": "h",
        "fsType": "xfs",
        "volumeAttributes": {"a": "b"},
        "nodeStageSecretRef": {"namespace": "n", "name": "s1"},
        "nodePublishSecretRef": {"namespace": "n", "name": "s2"},
        "nodeExpandSecretRef": {"namespace": "n", "name": "s3"},
    }
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"], "mountOptions": ["ro"], "csi": source}
    found = persistent({"metadata": {"name": "pv"}, "spec": spec}, source, read_only=True)
    assert (found.name, found.mode, found.fs_type, found.read_only, found.block) == (
        "pv",
        "Persistent",
        "xfs",
        True,
        False,
    )
    assert found.secrets == {"stage": ("n", "s1"), "publish": ("n", "s2"), "expand": ("n", "s3")}
    assert (found.size_bytes, found.mount_options, found.attributes) == (1 << 30, ("ro",), {"a": "b"})
    bare = persistent({"metadata": {"name": "pv"}, "spec": {"volumeMode": "Block"}}, source, read_only=False)
    assert bare.block
    assert bare.size_bytes == 0


def test_an_inline_volume_has_a_handle_of_its_own() -> None:
    found = inline(pod(), "v", {"driver": "d", "nodePublishSecretRef": {"name": "s"}})
    assert found.handle == "csi-" + hashlib.sha256(f"{UID}v".encode()).hexdigest()
    assert found.mode == "Ephemeral"
    assert found.secrets == {"publish": ("default", "s")}
    assert inline(pod(), "w", {"driver": "d"}).handle != found.handle


@pytest.mark.parametrize(
    ("mode", "plain", "finer"),
    [
        ("ReadWriteOnce", Access.SINGLE_NODE_WRITER, Access.SINGLE_NODE_MULTI_WRITER),
        ("ReadWriteOncePod", Access.SINGLE_NODE_WRITER, Access.SINGLE_NODE_SINGLE_WRITER),
        ("ReadOnlyMany", Access.MULTI_NODE_READER_ONLY, Access.MULTI_NODE_READER_ONLY),
        ("ReadWriteMany", Access.MULTI_NODE_MULTI_WRITER, Access.MULTI_NODE_MULTI_WRITER),
        ("Odd", Access.UNKNOWN, Access.UNKNOWN),
    ],
)
def test_access_modes_in_the_drivers_words(mode: str, plain: Access, finer: Access) -> None:
    volume = CsiVolume("pv", "d", "h", access_modes=(mode, "ReadWriteMany"))
    assert access(volume, ()) is plain
    assert access(volume, FINER) is finer


def test_only_a_driver_that_mounts_with_a_group_is_given_one() -> None:
    assert capability(DISK, {NodeCan.MOUNT_GROUP}, 7).mount.volume_mount_group == "7"
    assert capability(DISK, {NodeCan.STAGE}, 7).mount.volume_mount_group == ""
    assert capability(DISK, {NodeCan.MOUNT_GROUP}).mount.volume_mount_group == ""
    block = capability(CsiVolume("pv", "d", "h", block=True), (), 7)
    assert block.HasField("block")
    assert not block.HasField("mount")


def test_whose_files_are_given_to_the_group() -> None:
    def volume(**more: Any) -> CsiVolume:
        return CsiVolume("pv", "d", "h", **{"fs_type": "ext4", "access_modes": ("ReadWriteOnce",), **more})

    assert is_given_to_group(volume(), None, ())
    assert not is_given_to_group(volume(fs_type=""), None, ())
    assert not is_given_to_group(volume(access_modes=("ReadWriteMany",)), None, ())
    assert is_given_to_group(volume(access_modes=("ReadWriteMany",), fs_type=""), FILE, ())
    assert not is_given_to_group(volume(), NONE, ())
    assert not is_given_to_group(volume(read_only=True), FILE, ())
    assert not is_given_to_group(volume(), FILE, {NodeCan.MOUNT_GROUP})
    assert not is_given_to_group(volume(block=True), FILE, ())
    assert is_given_to_group(volume(ephemeral=True, access_modes=()), None, ())


def test_a_driver_has_the_modes_that_it_says() -> None:
    fleeting = CsiVolume("v", "d", "h", ephemeral=True)
    assert misuse(DISK, None) == ""
    assert "no CSIDriver object" in misuse(fleeting, None)
    assert misuse(fleeting, CSIDriverSpec(volume_lifecycle_modes=("Persistent", "Ephemeral"))) == ""
    assert misuse(DISK, CSIDriverSpec(volume_lifecycle_modes=("Ephemeral",))).endswith('(only supports ["Ephemeral"])')


# attachments


def test_an_attachment_is_waited_for_until_it_is_there_or_cannot_be() -> None:
    assert attachment_name(DISK, "n1") == "csi-" + hashlib.sha256(b"hdn1").hexdigest()
    assert attached(DISK, {"metadata": {}}) is None
    assert attached(DISK, {"metadata": {}, "status": {"attached": False}}) is None
    assert attached(DISK, {"metadata": {}, "status": {"attached": True}}) == {}
    metadata = {"attached": True, "attachmentMetadata": {"a": "b"}}
    assert attached(DISK, {"metadata": {}, "status": metadata}) == {"a": "b"}
    with pytest.raises(WaitFailure, match='WaitForAttach failed for volume "pv" : no room'):
        attached(DISK, {"metadata": {}, "status": {"attached": False, "attachError": {"message": "no room"}}})
    with pytest.raises(WaitFailure, match="being deleted"):
        attached(DISK, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"attached": True}})


# growth

conditions = st.sampled_from(["FileSystemResizePending", "Resizing", "NodeResizeError", "VolumeModifyingVolume"])


@given(st.lists(conditions, unique=True), st.booleans())
def test_a_claim_that_has_grown_says_so_and_keeps_what_is_not_about_that(types: list[str], staged: bool) -> None:
    status: Any = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    status["conditions"] = [{"type": one, "status": "True"} for one in types]
    if staged:
        status["allocatedResourceStatuses"] = {"storage": "NodeResizePending"}
    claim = {"status": status}
    assert lacks(claim, "2Gi")
    after = merge(claim, grown(claim, "2Gi"))
    assert not lacks(after, "2Gi")
    assert not (after["status"].get("allocatedResourceStatuses") or {}).get("storage")
    assert [one["type"] for one in after["status"].get("conditions") or ()] == [
        one for one in types if one == "VolumeModifyingVolume"
    ]


def test_a_claim_lacks_nothing_of_a_volume_that_is_no_larger() -> None:
    assert not lacks({"status": {"capacity": {"storage": "1024Mi"}}}, "1Gi")
    assert not lacks({"status": {}}, "1Gi")


# registration


def plugin(*versions: str, endpoint: str = "/x.sock") -> Plugin:
    return Plugin(Path("/reg.sock"), "CSIPlugin", "d", endpoint, versions)


def test_drivers_of_csi_1_are_taken() -> None:
    assert unfit(plugin("1.0.0")) == ""
    assert unfit(plugin("0.3.0", "v1.9")) == ""
    assert "empty list for supported versions" in unfit(plugin())
    assert 'None of the versions specified ["0.3.0" "2.0"]' in unfit(plugin("0.3.0", "2.0"))
    assert "not the absolute path" in unfit(plugin("1.0.0", endpoint="tcp://1.2.3.4:5"))


infos = st.builds(
    NodeInfo,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from([0, 3, 2**40]),
    st.dictionaries(st.sampled_from(["x/y", "x/z"]), st.just("v")),
)


@given(st.lists(infos))
def test_a_csinode_has_each_driver_once_and_as_it_said_last(told: list[NodeInfo]) -> None:
    drivers: list[dict[str, Any]] = []
    for info in told:
        drivers = with_driver(drivers, info)
        assert with_driver(drivers, info) is drivers
        [mine] = [one for one in drivers if one["name"] == info.driver]
        assert mine["nodeID"] == info.node_id
        assert mine.get("topologyKeys", []) == sorted(info.topology)
        assert mine.get("allocatable", {"count": 0})["count"] == min(info.most_volumes, 2**31 - 1)
    assert {one["name"] for one in drivers} == {info.driver for info in told}
    assert without_driver(without_driver(drivers, "a"), "b") == []


@given(infos, infos)
def test_a_node_is_told_once_and_forgets_the_driver(one: NodeInfo, other: NodeInfo) -> None:
    node: Any = {"metadata": {"name": "n", "labels": {"kept": "yes"}}}
    for info in (one, other):
        patch = node_patch(node, info.driver, info)
        node = merge(node, patch) if patch is not None else node
        assert node_patch(node, info.driver, info) is None
    for info in (one, other):
        patch = node_patch(node, info.driver, None)
        node = merge(node, patch) if patch is not None else node
    assert not node["metadata"].get("annotations")
    assert node["metadata"]["labels"] == {"kept": "yes", **one.topology, **other.topology}


def test_a_driver_that_puts_the_node_elsewhere_is_refused() -> None:
    node = {"metadata": {"labels": {"x/y": "here"}, "annotations": {"csi.volume.kubernetes.io/nodeid": "no json"}}}
    with pytest.raises(Refused, match='reported "x/y":"there" but existing label is "x/y":"here"'):
        node_patch(node, "d", NodeInfo("d", "1", 0, {"x/y": "there"}))


# what is read for a driver


class Issuer(FakeClient):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Any) -> Any:
        self.asked.append((namespace, name, subresource, document["spec"]["audiences"]))
        expires = SystemClock().now() + timedelta(seconds=document["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{len(self.asked)}", "expirationTimestamp": rfc3339(expires)}}


def test_a_driver_gets_the_pods_tokens_where_it_wants_them() -> None:
    client, key = Issuer(), "csi.storage.k8s.io/serviceAccount.tokens"
    contexts = Contexts(client, PodTokens(client, SystemClock()))  # type: ignore[arg-type]
    requests = (DriverToken(audience="vault"), DriverToken(expiration_seconds=600))
    open_ = CSIDriverSpec(token_requests=requests)
    volume = CsiVolume("pv", "d", "h", attributes={"a": "b"})
    attributes, secret = asyncio.run(contexts.of_pod(pod(), volume, open_))
    found = json.loads(attributes[key])
    assert {audience: token["token"] for audience, token in found.items()} == {"vault": "t1", "": "t2"}
    assert (attributes["a"], secret) == ("b", {})
    assert [audiences for *_, audiences in client.asked] == [["vault"], []]
    sealed = CSIDriverSpec(token_requests=requests, service_account_token_in_secrets=True)
    attributes, secret = asyncio.run(contexts.of_pod(pod(), volume, sealed))
    assert attributes == {"a": "b"}
    assert json.loads(secret[key]) == found
    assert asyncio.run(contexts.of_pod(pod(), volume, None)) == ({"a": "b"}, {})
    contexts.forget(UID)
    asyncio.run(contexts.of_pod(pod(), volume, open_))
    assert len(client.asked) == 4


def test_secrets_are_read_and_missed_by_name() -> None:
    client = FakeClient()
    contexts = Contexts(client, PodTokens(client, SystemClock()))  # type: ignore[arg-type]
    volume = CsiVolume("pv", "d", "h", secrets={"stage": ("n", "s")})
    with pytest.raises(RuntimeFailure, match='NodeStageSecretRef n/s failed: secrets "s" not found'):
        asyncio.run(contexts.secrets(volume, "stage"))
    data = {"key": base64.b64encode(b"word").decode()}
    client.put(SECRET, {"kind": "Secret", "metadata": {"namespace": "n", "name": "s"}, "data": data})
    assert asyncio.run(contexts.secrets(volume, "stage")) == {"key": "word"}
    assert asyncio.run(contexts.secrets(volume, "publish")) == {}
    assert asyncio.run(contexts.rules("d")) is None
    client.put(CSIDRIVER, {"kind": "CSIDriver", "metadata": {"name": "d"}, "spec": {"requiresRepublish": True}})
    rules = asyncio.run(contexts.rules("d"))
    assert rules is not None
    assert rules.requires_republish
