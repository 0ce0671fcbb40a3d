"""What a node's kernel has, as the node's program read it, asked by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from navarch.app.netcheck import foreign

Link = Mapping[str, Any]


class Kernel:
    """found: the answer of a node to `state`; {} of one that gave none."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = found

    @property
    def known(self) -> bool:
        return bool(self._found.get("links"))

    @property
    def links(self) -> Sequence[Link]:
        return self._found.get("links") or ()

    @cached_property
    def tables(self) -> list[foreign.Table]:
        return foreign.tables(self._found.get("rules") or ())

    def link(self, name: str) -> Link | None:
        return next((one for one in self.links if one.get("ifname") == name), None)

    def link_at(self, index: int) -> Link | None:
        return next((one for one in self.links if one.get("ifindex") == index), None)

    def holder(self, address: str) -> Link | None:
        """The link that has an address."""
        return next((one for one in self.links if address in addresses(one)), None)

    def setting(self, key: str) -> str:
        return str((self._found.get("settings") or {}).get(key, ""))

    def forwards_from(self, device: str) -> bool:
        return device not in (self._found.get("unforwarded") or ())

    def route(self, to: str) -> Mapping[str, Any] | None:
        """None where nobody asked."""
        return (self._found.get("routes") or {}).get(to)

    def neighbour(self, address: str, device: str) -> Mapping[str, Any]:
        found = self._found.get("neighbours") or ()
        return next((one for one in found if one.get("dst") == address and one.get("dev") == device), {})

    def forwards(self, device: str) -> Mapping[str, str]:
        """Of a tunnel: where each hardware address is."""
        found = self._found.get("forwards") or ()
        return {one["mac"]: one["dst"] for one in found if one.get("ifname") == device and one.get("dst")}

    def pod_link(self, pod: str) -> Link | None:
        """As the pod itself has it; None where it has none."""
        inside = (self._found.get("pods") or {}).get(pod) or {}
        return next((one for one in inside.get("links") or () if one.get("ifname") == "eth0"), None)

    def pod_routes(self, pod: str) -> Sequence[Mapping[str, Any]]:
        inside = (self._found.get("pods") or {}).get(pod) or {}
        return inside.get("routes") or ()

    def lacks(self, address: str, port: int) -> bool:
        """Whether the rules have nothing for a service's address, if that was asked."""
        return any(front[0] == address and front[2] == port for front in self._found.get("missing") or ())


def addresses(link: Link) -> list[str]:
    return [one["local"] for one in link.get("addr_info", ()) if one.get("local")]


def is_up(link: Link) -> bool:
    return "UP" in link.get("flags", ())
