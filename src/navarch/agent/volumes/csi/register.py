"""Takes drivers that register on the node: asks what the node is called by them, and writes it into CSINode and Node.

Source: https://kubernetes-csi.github.io/docs/csi-node-object.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from navarch.agent.pluginwatch import Plugin, Refused
from navarch.agent.volumes.csi.driver import CallFailure, Driver, Drivers
from navarch.base.errors import AlreadyExists, NotFound, Retryable
from navarch.client.client import Client
from navarch.kinds import CSINODE, NODE
from navarch.objects.value import Document, dig

NODE_IDS = "csi.volume.kubernetes.io/nodeid"
"""The annotation of a Node with its names, by driver, as JSON."""
LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a driver says of the node. most_volumes: 0 where it says nothing."""

    driver: str
    node_id: str
    most_volumes: int = 0
    topology: dict[str, str] = field(default_factory=dict)


def unfit(plugin: Plugin) -> str:
    """Why the driver cannot be taken; "" when it can. Versions are those of CSI that it speaks."""
    where = f"validation failed for CSI Driver {plugin.name} at endpoint {plugin.endpoint}: "
    if not plugin.versions:
        told = "Plugin returned an empty list for supported versions"
        return f"{where}ValidatePlugin for CSI driver {json.dumps(plugin.name)} failed. {told}"
    if not any(re.fullmatch(r"v?1(\.\d+)*", version) for version in plugin.versions):
        versions = " ".join(json.dumps(version) for version in plugin.versions)
        told = f"None of the versions specified [{versions}] are supported. err=this agent speaks CSI 1"
        return f"{where}ValidatePlugin for CSI driver {json.dumps(plugin.name)} failed. {told}"
    if not plugin.endpoint.startswith("/"):
        return f"{where}the endpoint is not the absolute path of a socket"
    return ""


def with_driver(drivers: list[dict[str, Any]], info: NodeInfo) -> list[dict[str, Any]]:
    """The drivers of a CSINode with this one in it."""
    made: dict[str, Any] = {"name": info.driver, "nodeID": info.node_id}
    if info.topology:
        made["topologyKeys"] = sorted(info.topology)
    if info.most_volumes > 0:
        made["allocatable"] = {"count": min(info.most_volumes, LARGEST_COUNT)}
    if any(one.get("name") == info.driver and _same(one, made) for one in drivers):
        return drivers
    return [*without_driver(drivers, info.driver), made]


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    keys = sorted(old.get("topologyKeys") or ()) == new.get("topologyKeys", [])
    return keys and all(old.get(field) == new.get(field) for field in ("nodeID", "allocatable"))


def without_driver(drivers: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [one for one in drivers if one.get("name") != name]


def node_patch(node: Document, name: str, info: NodeInfo | None) -> Document | None:
    """What changes in the Node that a driver has come to or, with None, gone from; None when nothing.

    Raises: Refused, when another driver has said something else of where the node is.
    """
    meta = node["metadata"]
    before = _node_ids(meta)
    ids = {key: value for key, value in before.items() if key != name}
    labels: dict[str, str] = {}
    if info is not None:
        ids[name] = info.node_id
        old = meta.get("labels") or {}
        for key, value in info.topology.items():
            if key in old and old[key] != value:
                told = f'driver reported "{key}":"{value}" but existing label is "{key}":"{old[key]}"'
                raise Refused(f"detected topology value collision: {told}")
            if key not in old:
                labels[key] = value
    if ids == before and not labels:
        return None
    patch: Document = {"metadata": {"annotations": {NODE_IDS: _compact(ids) if ids else None}}}
    if labels:
        patch["metadata"]["labels"] = labels
    return patch


def _node_ids(meta: Document) -> dict[str, str]:
    try:
        found = json.loads(dig(meta, "annotations", NODE_IDS) or "{}")
    except ValueError:  # somebody else wrote there
        return {}
    return found if isinstance(found, dict) else {}


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


class CsiRegistry:
    """The handler of drivers for `pluginwatch`. taken: called with the name of each that was taken."""

    def __init__(self, client: Client, node: str, drivers: Drivers, taken: Callable[[str], None]) -> None:
        self._client = client
        self._node = node
        self._drivers = drivers
        self._taken = taken

    async def begin(self) -> None:
        """See to it that the node's CSINode is there. Raises: ApiError, Retryable."""
        await self._csinode()

    async def register(self, plugin: Plugin) -> None:
        if problem := unfit(plugin):
            raise Refused(problem)
        driver = Driver(plugin.name, plugin.endpoint)
        try:
            info = await _ask(driver)
            await self._install(info)
        except BaseException:
            await driver.close()
            raise
        before = self._drivers.add(driver)
        if before is not None:
            await before.close()
        self._taken(plugin.name)

    async def ask_again(self, name: str) -> bool:
        """Write down what the driver says of the node by now: it may take more volumes, or fewer. False: it has gone.

        Raises: Refused, ApiError, Retryable.
        """
        driver = self._drivers.find(name)
        if driver is None:
            return False
        await self._install(await _ask(driver))
        return True

    async def deregister(self, plugin: Plugin) -> None:
        driver = self._drivers.drop(plugin.name)
        if driver is not None:
            await driver.close()
        await self._patch_node(plugin.name, None)
        found = await self._csinode()
        drivers = dig(found, "spec", "drivers", default=[])
        await self._write(found, drivers, without_driver(drivers, plugin.name))

    async def _install(self, info: NodeInfo) -> None:
        """Raises: Refused, ApiError, Retryable."""
        await self._patch_node(info.driver, info)
        found = await self._csinode()
        drivers = dig(found, "spec", "drivers", default=[])
        await self._write(found, drivers, with_driver(drivers, info))

    async def _patch_node(self, driver: str, info: NodeInfo | None) -> None:
        node = (await self._client.get(NODE, "", self._node)).document()
        patch = node_patch(node, driver, info)
        if patch is not None:
            patch["metadata"]["resourceVersion"] = node["metadata"]["resourceVersion"]
            await self._client.patch(NODE, "", self._node, patch, type="merge")

    async def _write(self, found: Document, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
        if new != old:
            await self._client.update(CSINODE, {**found, "spec": {**found.get("spec", {}), "drivers": new}})

    async def _csinode(self) -> Document:
        try:
            return (await self._client.get(CSINODE, "", self._node)).document()
        except NotFound:
            node = await self._client.get(NODE, "", self._node)
        owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}
        made: Document = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": self._node, "ownerReferences": [owner]},
            "spec": {"drivers": []},
        }
        try:
            return (await self._client.create(CSINODE, made)).document()
        except AlreadyExists as error:
            raise Retryable("the node's CSINode was made by somebody else at the same moment") from error


async def _ask(driver: Driver) -> NodeInfo:
    """Raises: Refused, when the driver does not say what the node is called."""
    try:
        found = await driver.call("NodeGetInfo")
    except CallFailure as error:
        raise Refused(str(error)) from error
    if not found.node_id:
        raise Refused("error adding CSI driver node info: driverNodeID must not be empty")
    topology = dict(found.accessible_topology.segments)
    return NodeInfo(driver.name, found.node_id, found.max_volumes_per_node, topology)
