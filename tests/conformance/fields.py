"""Where the matrix and the made-up scenes are played: the model, and a kernel with pods in network namespaces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from agreement import NODES, PODS, PORTS, Scene, answers
from netpol_cases import ADDRESSES, CASES, Ask, Case, asks
from netpol_cases import PORTS as MATRIX_PORTS

from navarch.proxy.addresses import IPV4, Family
from navarch.proxy.isolation import Isolation
from navarch.proxy.nft import NftDataplane
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Rules
from navarch.proxy.trace import Packet, trace
from navarch.testing.lan import Answer, Lan, twin
from navarch.testing.probing import Probe, probe


def address_of(name: str, family: Family) -> str:
    return ADDRESSES[name] if family is IPV4 else twin(ADDRESSES[name])


class ModelField:
    """Rules that packets are traced through."""

    def __init__(self, family: Family = IPV4) -> None:
        self.family = family
        self._rules = Rules(NODES[family])

    def put(self, isolation: Isolation) -> None:
        self._rules = Rules(NODES[self.family], isolation=isolation)

    def reached(self, every: Sequence[Ask], expected: Sequence[bool]) -> list[bool]:
        return [
            trace(
                self._rules,
                Packet(
                    address_of(each.source, self.family),
                    address_of(each.target, self.family),
                    each.protocol,
                    each.port,
                ),
            ).fate
            == "arrives"
            for each in every
        ]

    def close(self) -> None:
        """Nothing is held."""


class KernelField:
    """A node with these pods, and our data plane in it, for each family. Needs root."""

    def __init__(
        self,
        pods: Mapping[str, str] = ADDRESSES,
        ports: tuple[int, ...] = MATRIX_PORTS,
        families: tuple[Family, ...] = (IPV4,),
    ) -> None:
        self.family = families[0]
        self.lan = Lan(pods, ports, ipv6=families != (IPV4,))
        table, alone = f"navarch-field-{os.getpid()}", len(families) == 1
        self._planes = {each: self.lan.node.call(NftDataplane, table, each, alone=alone) for each in families}

    def replace(self, rules: Rules) -> None:
        plane = self._planes[rules.node.family]
        self.lan.node.call(asyncio.run, plane.replace(plane.current(), rules))

    def put(self, isolation: Isolation) -> None:
        self.replace(Rules(NODES[self.family], isolation=isolation))

    def reached(self, every: Sequence[Ask], expected: Sequence[bool]) -> list[bool]:
        probes = [
            Probe(each.source, address_of(each.target, self.family), each.port, each.protocol, come)
            for each, come in zip(every, expected, strict=True)
        ]
        found = probe(self.lan, probes)
        return [answer == (each.target, False) for each, answer in zip(every, found, strict=True)]

    def close(self) -> None:
        for plane in self._planes.values():
            plane.close()
        self.lan.close()


def play_matrix(field: ModelField | KernelField, cases: Sequence[Case] = CASES) -> list[str]:
    """One after the other, each replacing the last; what went otherwise than it should."""
    known = Policies("n1", field.family)
    every = list(asks())
    wrong: list[str] = []
    before = None
    for case in cases:
        case.put_into(known, before, field.family)
        before = case
        field.put(known.isolation())
        expected = [case.expects(each) for each in every]
        for ask, come, got in zip(every, expected, field.reached(every, expected), strict=True):
            if come != got:
                wrong.append(f"{case.name}: {ask} {'does not pass' if come else 'passes'}")
    return wrong


def scene_field(families: tuple[Family, ...] = (IPV4,)) -> KernelField:
    return KernelField(PODS, PORTS, families)


def play_scene(field: KernelField, scene: Scene) -> list[str]:
    """Where the kernel and the model disagree."""
    for rules in scene.rules:
        field.replace(rules)
    possible: list[set[Answer]] = [answers(scene, host, packet) for host, packet in scene.packets]
    probes = [
        Probe(host, packet.address, packet.port, packet.protocol, "drop" not in come)
        for (host, packet), come in zip(scene.packets, possible, strict=True)
    ]
    found = probe(field.lan, probes)
    return [
        f"{each}: {answer}, and not one of {sorted(map(str, come))}"
        for each, answer, come in zip(probes, found, possible, strict=True)
        if answer not in come
    ]
