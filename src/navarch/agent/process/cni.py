"""Puts a network namespace on the pods' network by the same plugins, and the same list of them, that containerd uses.

A plugin is a program that reads its configuration from standard input, does what `CNI_COMMAND` says, and answers in
JSON. What they answered is kept where libcni keeps it, since whoever sweeps networks that nobody owns looks there.

Source: https://www.cni.dev/docs/spec/
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from navarch.agent import bandwidth
from navarch.agent.runtime import PortMapping, RuntimeFailure
from navarch.base import programs

Document = dict[str, Any]

RESULTS = Path("/var/lib/cni/results")
INTERFACE = "eth0"
PLUGIN_S = 60.0
_LOOPBACK = {"cniVersion": "0.4.0", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is put on the network. id: of the sandbox. arguments: what plugins are told about the pod."""

    id: str
    netns: str
    arguments: tuple[tuple[str, str], ...] = ()
    ports: tuple[PortMapping, ...] = ()
    limits: bandwidth.Limits = bandwidth.NO_LIMITS


def plugin_config(network: Document, index: int, endpoint: Endpoint, before: Document | None) -> Document:
    """What plugin number `index` of the list reads. before: what those before it answered."""
    plugin = dict(network["plugins"][index])
    wanted = plugin.pop("capabilities", {})
    config: Document = {"cniVersion": network.get("cniVersion", "0.4.0"), "name": network["name"], **plugin}
    told: Document = {}
    if wanted.get("portMappings") and (ports := [_mapping(one) for one in endpoint.ports if one.host_port]):
        told["portMappings"] = ports
    if wanted.get("bandwidth") and endpoint.limits != bandwidth.NO_LIMITS:
        told["bandwidth"] = _bandwidth(endpoint.limits)
    if told:
        config["runtimeConfig"] = told
    if before is not None:
        config["prevResult"] = before
    return config


def _bandwidth(limits: bandwidth.Limits) -> Document:
    """With the largest burst, as other runtimes ask for it: whoever knows the network makes it fit."""
    given: Document = {}
    for side, rate in (("ingress", limits.ingress_bits_s), ("egress", limits.egress_bits_s)):
        if rate is not None:
            given |= {f"{side}Rate": rate, f"{side}Burst": 2**32 - 1}
    return given


def _mapping(port: PortMapping) -> Document:
    return {
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.protocol.lower(),
        "hostIP": port.host_ip,
    }


def environment(command: str, endpoint: Endpoint, interface: str, folder: Path) -> dict[str, str]:
    told = (("IgnoreUnknown", "1"), *endpoint.arguments)
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": endpoint.id,
        "CNI_NETNS": endpoint.netns,
        "CNI_IFNAME": interface,
        "CNI_ARGS": ";".join(f"{name}={value}" for name, value in told),
        "CNI_PATH": str(folder),
    }


def addresses(result: Document) -> tuple[str, ...]:
    """Without the lengths of their prefixes."""
    return tuple(str(one["address"]).partition("/")[0] for one in result.get("ips") or ())


def failure(plugin: str, command: str, code: int, said: bytes, complained: bytes) -> RuntimeFailure:
    """In the plugin's own words, as far as it has any."""
    try:
        answer = orjson.loads(said)
        words = ": ".join(filter(None, (str(answer.get("msg", "")), str(answer.get("details", "")))))
    except (ValueError, AttributeError):
        words = ""
    words = words or complained.decode(errors="replace").strip() or f"it ended with {code}"
    return RuntimeFailure(f"network plugin {plugin!r} failed ({command}): {words}", reason="CreatePodSandboxError")


class Plugins:
    """config: the folder of lists, of which the first counts, as with containerd. folder: of the programs."""

    def __init__(self, config: Path, folder: Path, results: Path = RESULTS) -> None:
        self._config = config
        self._folder = folder
        self._results = results

    def network(self) -> Document:
        """Raises: RuntimeFailure."""
        lists = sorted(self._config.glob("*.conflist")) if self._config.is_dir() else []
        if not lists:
            raise RuntimeFailure(f"there is no network for pods: no *.conflist in {self._config}")
        try:
            found = orjson.loads(lists[0].read_bytes())
            return {"name": found["name"], "plugins": list(found["plugins"]), **found}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RuntimeFailure(f"{lists[0]} is no list of network plugins: {error}") from error

    async def add(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The addresses that it got, primary first. Raises: RuntimeFailure; what was done until then is undone."""
        network = await asyncio.to_thread(self.network)
        await self._run(_LOOPBACK, "ADD", endpoint, "lo")
        try:
            result = await self._run(network, "ADD", endpoint, INTERFACE)
            await asyncio.to_thread(self._keep, network, endpoint, result)
        except (RuntimeFailure, OSError) as error:
            with contextlib.suppress(RuntimeFailure):  # what is told is why it failed in the first place
                await self._undo(network, endpoint, None)
            if isinstance(error, OSError):
                raise RuntimeFailure(f"the pod's network was not written down: {error}") from error
            raise
        return addresses(result)

    async def remove(self, endpoint: Endpoint) -> None:
        """Give its addresses back. Raises: RuntimeFailure."""
        path = self._results / f"{(await asyncio.to_thread(self.network))['name']}-{endpoint.id}-{INTERFACE}"
        kept = await asyncio.to_thread(_kept, path)
        network = kept[0] if kept is not None else await asyncio.to_thread(self.network)
        await self._undo(network, endpoint, kept[1] if kept is not None else None)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _undo(self, network: Document, endpoint: Endpoint, result: Document | None) -> None:
        """All plugins are asked, whatever others say. Raises: RuntimeFailure."""
        failures = []
        for index in reversed(range(len(network["plugins"]))):
            try:
                await self._call(network, index, "DEL", endpoint, INTERFACE, result)
            except RuntimeFailure as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _run(self, network: Document, command: str, endpoint: Endpoint, interface: str) -> Document:
        result: Document | None = None
        for index in range(len(network["plugins"])):
            result = await self._call(network, index, command, endpoint, interface, result)
        return result or {}

    async def _call(
        self, network: Document, index: int, command: str, endpoint: Endpoint, interface: str, before: Document | None
    ) -> Document:
        """Raises: RuntimeFailure."""
        config = plugin_config(network, index, endpoint, before)
        program = self._folder / str(config["type"])
        try:
            ended = await programs.run(
                str(program),
                timeout_s=PLUGIN_S,
                given=orjson.dumps(config),
                environment=environment(command, endpoint, interface, self._folder),
            )
        except TimeoutError as error:
            raise RuntimeFailure(f"network plugin {program} took over {PLUGIN_S:g} s") from error
        except OSError as error:
            raise RuntimeFailure(f"network plugin {program} cannot be run: {error.strerror}") from error
        if ended.code:
            raise failure(str(config["type"]), command, ended.code, ended.output, ended.complaints)
        try:
            return dict(orjson.loads(ended.output)) if ended.output.strip() else {}
        except (ValueError, TypeError) as error:
            raise RuntimeFailure(f"network plugin {program} answered no JSON object: {error}") from error

    def _keep(self, network: Mapping[str, Any], endpoint: Endpoint, result: Document) -> None:
        """Raises: OSError."""
        self._results.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {
            "kind": "cniCacheV1",
            "containerId": endpoint.id,
            "config": base64.b64encode(orjson.dumps(network)).decode(),
            "ifName": INTERFACE,
            "networkName": network["name"],
            "cniArgs": [list(pair) for pair in endpoint.arguments],
            "result": result,
        }
        path = self._results / f"{network['name']}-{endpoint.id}-{INTERFACE}"
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(orjson.dumps(document))
        fresh.replace(path)


def _kept(path: Path) -> tuple[Document, Document] | None:
    """The list of plugins that was used, and what they answered."""
    try:
        found = orjson.loads(path.read_bytes())
        return dict(orjson.loads(base64.b64decode(found["config"]))), dict(found["result"])
    except (OSError, ValueError, KeyError, TypeError):  # it was never finished: what is there now is undone
        return None


def arguments(namespace: str, name: str, uid: str, sandbox_id: str) -> Sequence[tuple[str, str]]:
    """What plugins are told about a pod, in the words that they know."""
    return (
        ("K8S_POD_NAMESPACE", namespace),
        ("K8S_POD_NAME", name),
        ("K8S_POD_INFRA_CONTAINER_ID", sandbox_id),
        ("K8S_POD_UID", uid),
    )
