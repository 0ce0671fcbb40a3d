"""Three nodes with the pods of a check, as network namespaces with the rules and paths that agents would give them:
where the probes of `navarch net check` meet real kernels, without a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from navarch.agent.netcheck import program, state
from navarch.app.netcheck import stage
from navarch.app.netcheck.clues import Clues
from navarch.app.netcheck.judge import judge
from navarch.app.netcheck.kernel import Kernel
from navarch.app.netcheck.plan import BARRED_PORT, OPEN_PORT, Actor, Cast, Gate, plan
from navarch.app.netcheck.probes import Finding, Probe, Result, result_of, well
from navarch.app.nettrace.world import world_of
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, NODE, POD, SERVICE, SERVICECIDR
from navarch.kinds.object import Object
from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Home, Mode
from navarch.net.plan import TUNNEL
from navarch.net.plan import plan as path_steps
from navarch.net.run import peer_of
from navarch.proxy.addresses import FAMILIES, IPV4
from navarch.proxy.nft import NftDataplane
from navarch.testing.netns import NetworkNamespace

NAMES = ("n0", "n1", "n2")
SPACE = "check"
ROLES = {"first": 5, "second": 6}
KINDS = {k.name: k for k in (CONFIGMAP, ENDPOINTSLICE, NAMESPACE, NETWORKPOLICY, NODE, POD, SERVICE, SERVICECIDR)}
CLUSTER = "10.244.0.0/16,fd00:10:244::/56"
READY = [{"type": "Ready", "status": "True"}]
WITHIN_S, PATIENT_S = 1.0, 5.0
HOST_PORT = 40404


def addresses(at: int) -> tuple[str, str]:
    return f"192.0.2.{10 + at}", f"2001:db8:2::{10 + at}"


def ranges(at: int) -> tuple[str, str]:
    return f"10.244.{at}.0/24", f"fd00:10:244:{at}::/64"


def pod_addresses(at: int, role: str) -> tuple[str, str]:
    return f"10.244.{at}.{ROLES[role]}", f"fd00:10:244:{at}::{ROLES[role]}"


def gate_addresses(at: int) -> tuple[str, str]:
    return f"10.96.0.{10 + at}", f"fd00:10:96::{10 + at}"


def documents(mode: Mode) -> Iterable[dict[str, Any]]:
    def doc(kind: str, name: str, namespace: str = "", **parts: Any) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": {}}, **parts}

    yield doc("Namespace", SPACE)
    yield doc("ServiceCIDR", "kubernetes", spec={"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]})
    data = {"clusterCIDR": CLUSTER, "podNetwork": mode}
    yield doc("ConfigMap", "navarch-config", "kube-system", data=data)
    yield stage.policy(SPACE)
    for at, name in enumerate(NAMES):
        said = [{"type": "InternalIP", "address": each} for each in addresses(at)]
        spec = {"podCIDR": ranges(at)[0], "podCIDRs": list(ranges(at))}
        yield doc("Node", name, spec=spec, status={"addresses": said, "conditions": READY})
        for role in ROLES:
            found = next(
                each for each in stage.pods(SPACE, NAMES) if each["metadata"]["name"] == stage.pod_name(role, at)
            )
            ips = [{"ip": each} for each in pod_addresses(at, role)]
            yield {**found, "status": {"phase": "Running", "podIP": ips[0]["ip"], "podIPs": ips, "conditions": READY}}
        service = next(each for each in stage.services(SPACE, NAMES) if each["metadata"]["name"] == f"node-{at}")
        own = gate_addresses(at)
        ports = [{**each, "nodePort": 30000 + at} for each in service["spec"]["ports"]]
        families = {"ipFamilies": ["IPv4", "IPv6"], "clusterIP": own[0], "clusterIPs": list(own), "ports": ports}
        yield {**service, "spec": {**service["spec"], **families}}
        for family, address in zip(FAMILIES, pod_addresses(at, "first"), strict=True):
            part = doc("EndpointSlice", f"node-{at}-{family.name.lower()}", SPACE, addressType=family.name)
            part["metadata"]["labels"] = {"kubernetes.io/service-name": f"node-{at}"}
            part["ports"] = [{"name": each, "protocol": each.upper(), "port": OPEN_PORT} for each in ("tcp", "udp")]
            part["endpoints"] = [{"addresses": [address], "nodeName": name, "conditions": {"ready": True}}]
            yield part


class Hosts:
    """Needs root. The nodes share a link, whose ports on the switch are called as they are."""

    def __init__(self) -> None:
        self.table = f"navarch-checked-{os.getpid()}"
        self.nodes = {name: NetworkNamespace(name) for name in NAMES}
        self.pods: dict[str, NetworkNamespace] = {}
        self.switch = NetworkNamespace("switch")
        self.switch.ip("link add lan type bridge", "link set lan up")
        for at, name in enumerate(NAMES):
            self._node(at, name)
        self._planes = {
            (name, family): space.call(NftDataplane, self.table, family, alone=False)
            for name, space in self.nodes.items()
            for family in FAMILIES
        }
        self._listening = [self._listen(space, [OPEN_PORT, BARRED_PORT], [OPEN_PORT]) for space in self.pods.values()]
        self._listening += [self._listen(space, [HOST_PORT], []) for space in self.nodes.values()]
        self.join("auto")

    def _node(self, at: int, name: str) -> None:
        space = self.nodes[name]
        self.switch.ip(f"link add {name} type veth peer name eth0 netns {space.path}", f"link set {name} master lan up")
        four, six = addresses(at)
        space.ip(f"addr add {four}/24 dev eth0", f"addr add {six}/64 dev eth0 nodad", "link set eth0 up")
        # With an address of its own it does not take another when a port comes or goes.
        space.ip(f"link add navarch0 address 02:00:00:00:01:0{at} type bridge", "link set navarch0 up")
        gateways = (f"10.244.{at}.1", f"fd00:10:244:{at}::1")
        space.ip(f"addr add {gateways[0]}/24 dev navarch0", f"addr add {gateways[1]}/64 dev navarch0 nodad")
        on = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
        bridged = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")
        space.sysctl([(key, "1") for key in (*on, *bridged)])
        for role in ROLES:
            pod = self.pods[f"{SPACE}/{stage.pod_name(role, at)}"] = NetworkNamespace(f"{role}-{at}")
            space.ip(f"link add veth-{role} type veth peer name eth0 netns {pod.path}")
            space.ip(f"link set veth-{role} mtu 1450 master navarch0 up")
            space.ip(f"link set veth-{role} type bridge_slave hairpin on")
            four, six = pod_addresses(at, role)
            pod.ip("link set eth0 mtu 1450 up", f"addr add {four}/24 dev eth0", f"addr add {six}/64 dev eth0 nodad")
            pod.ip(*(f"route add default via {gateway}" for gateway in gateways))

    def _listen(self, space: NetworkNamespace, tcp: Sequence[int], udp: Sequence[int]) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process: subprocess.Popen[str] = space.call(subprocess.Popen, _program("listen"), text=True, **pipes)
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"tcp": tcp, "udp": udp, "for_s": 600}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["tcp"] == list(tcp)
        return process

    def join(self, mode: Mode) -> None:
        """Give every kernel the rules and paths of a cluster that is joined so."""
        made = [Object(KINDS[each["kind"]], orjson.dumps(each)) for each in documents(mode)]
        self.world = world_of(made)
        peers = [peer for found in self.world.nodes.values() if (peer := peer_of(found))]
        for name, space in self.nodes.items():
            for family in FAMILIES:
                plane = self._planes[name, family]
                space.call(asyncio.run, plane.replace(plane.current(), self.world.of(family).rules(name)))
            own = next(peer for peer in peers if peer.name == name)
            home = Home(name, own.address, ",".join(own.networks), CLUSTER)
            space.call(asyncio.run, self._carry_out(home, [peer for peer in peers if peer.name != name], mode))
        self.casts = {family: cast(at) for at, family in enumerate(FAMILIES)}

    async def _carry_out(self, home: Home, others: Sequence[Any], mode: Mode) -> None:
        kernel = NetlinkKernel(TUNNEL)
        for step in path_steps(home, others, await kernel.observe(), mode):
            await kernel.apply(step)
        kernel.close()

    def check(self, *, patient: bool = False) -> list[Finding]:
        """All probes but those about names, sent once more where they fail, and what follows."""
        probes = [
            probe
            for family, found in self.casts.items()
            for probe in plan(self.world.of(family), found)
            if probe.group != "name to address"
        ]
        results = {probe.key: (probe, Result("not sent")) for probe in probes}
        left = probes
        for number in range(4):
            for probe, result in self._send(left, PATIENT_S if patient else WITHIN_S + number):
                results[probe.key] = (probe, result)
            before, left = len(left), [probe for probe in left if not well(*results[probe.key])]
            if not left or (before == len(left) and not patient):
                break
        if not left:
            return []
        clues = {
            "" if family is IPV4 else family.name: Clues(self.world.of(family), found, self._states(left))
            for family, found in self.casts.items()
        }
        return judge(list(results.values()), lambda hop, failures: clues[hop.family].reason(hop, failures))

    def _send(self, probes: Sequence[Probe], within_s: float) -> Iterable[tuple[Probe, Result]]:
        groups: dict[tuple[str, str], list[Probe]] = {}
        for probe in probes:
            groups.setdefault((probe.node, probe.pod), []).append(probe)
        begun = []
        for (node, pod), some in groups.items():
            space = self.pods[pod] if pod else self.nodes[node]
            asked = [{**each.ask, "within_s": 0.5 if each.dropped else within_s} for each in some]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = space.call(subprocess.Popen, _program("send"), text=True, **pipes)
            process.stdin.write(json.dumps({"probes": asked}) + "\n")
            process.stdin.flush()
            begun.append((some, process))
        for some, process in begun:
            said, _ = process.communicate(timeout=120)
            for line in said.splitlines():
                answer = json.loads(line)
                yield some[answer["number"]], result_of(answer)

    def _states(self, failed: Sequence[Probe]) -> dict[str, Kernel]:
        gates = [gate.address for found in self.casts.values() for gate in found.gates.values()]
        found = {}
        for name, space in self.nodes.items():
            linked = {h.what for probe in failed for h in probe.hops if h.kind == "pod link" and h.node == name}
            firsts = [actor for each in self.casts.values() for actor in each.first.values() if actor.node != name]
            asked = {
                "routes": [actor.address for actor in firsts],
                "fronts": [[address, kind, OPEN_PORT] for address in gates for kind in ("tcp", "udp")],
            }
            inside = {pod: Path(self.pods[pod].path) for pod in linked}
            found[name] = Kernel(space.call(state.observe, self.table, asked, inside))
        return found

    def close(self) -> None:
        for process in self._listening:
            process.kill()
            process.communicate()
        for plane in self._planes.values():
            plane.close()
        for space in (*self.pods.values(), *self.nodes.values(), self.switch):
            space.close()


def cast(at_family: int) -> Cast:
    def actors(role: str) -> dict[str, Actor]:
        return {
            name: Actor(name, f"{SPACE}/{stage.pod_name(role, at)}", pod_addresses(at, role)[at_family])
            for at, name in enumerate(NAMES)
        }

    gates = {name: Gate(f"node-{at}", gate_addresses(at)[at_family], 30000 + at) for at, name in enumerate(NAMES)}
    return Cast(SPACE, actors("first"), actors("second"), gates, dict.fromkeys(NAMES, HOST_PORT))


def _program(what: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(program.__file__)), what]
