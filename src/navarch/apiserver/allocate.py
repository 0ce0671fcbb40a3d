"""Numbers handed out once: cluster addresses and node ports of Services.

A pool is a bitmap with a memory of who holds what. What is stored is the truth: pools are filled from it at start and
follow every change; between a write's preparation and its commit a number is only reserved.

Source: https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import chain

from navarch.base.clock import Ids

ADDRESSES = "10.96.0.0/16"
NODE_PORTS = (30000, 32767)


class Full(Exception):
    """Every number of the pool is taken."""


class Taken(Exception):
    """Somebody else has the number."""


class Pool:
    """Numbers 0..size-1, each with at most one holder. Automatic picks come from the upper part, `static` and above,
    while there is room, so that the lower part stays free for numbers that people choose."""

    def __init__(self, size: int, static: int, ids: Ids) -> None:
        self._size = size
        self._static = static
        self._ids = ids
        self._holders: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def holder(self, number: int) -> str | None:
        return self._holders.get(number)

    def take(self, number: int, holder: str) -> bool:
        """Hold one number; whether it is newly held. Raises: Taken."""
        present = self._holders.get(number)
        if present is not None and present != holder:
            raise Taken(number)
        self._holders[number] = holder
        return present is None

    def give_to(self, number: int, holder: str) -> None:
        """What is stored counts more than what is reserved."""
        self._holders[number] = holder

    def pick(self, holder: str) -> int:
        """Hold any free number. Raises: Full."""
        for low, high in ((self._static, self._size), (0, self._static)):
            if high > low:
                start = low + int(self._ids.fraction() * (high - low))
                for number in chain(range(start, high), range(low, start)):
                    if number not in self._holders:
                        self._holders[number] = holder
                        return number
        raise Full

    def give_back(self, number: int, holder: str) -> None:
        """No harm where `holder` does not hold it."""
        if self._holders.get(number) == holder:
            del self._holders[number]

    def reset(self, held: Iterable[tuple[int, str]]) -> None:
        """Start over from what is stored; of two who hold the same the first keeps it."""
        self._holders = {}
        for number, holder in held:
            self._holders.setdefault(number, holder)


class Addresses:
    """The pool of a network's addresses, without the first (the network) and, of IPv4, the last (broadcast)."""

    def __init__(self, network: str, ids: Ids) -> None:
        self.network = ipaddress.ip_network(network)
        usable = self._usable = self.network.num_addresses - (2 if self.network.version == 4 else 1)
        self._first = int(self.network.network_address) + 1
        self.pool = Pool(usable, min(max(16, usable // 16), 256) if usable > 32 else 0, ids)

    def number(self, address: str) -> int | None:
        """Where in the pool the address is; None when it is no usable address of the network."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return None
        number = int(found) - self._first
        return number if found.version == self.network.version and 0 <= number < self._usable else None

    def address(self, number: int) -> str:
        return str(self.network.network_address + 1 + number)

    @property
    def family(self) -> str:
        return f"IPv{self.network.version}"


class Ports:
    """The pool of node ports, both ends included. A port is held for all protocols by one service."""

    def __init__(self, low: int, high: int, ids: Ids) -> None:
        self.low = low
        self.high = high
        size = high - low + 1
        self.pool = Pool(size, min(max(16, size // 32), 128), ids)

    def number(self, port: int) -> int | None:
        return port - self.low if self.low <= port <= self.high else None

    def port(self, number: int) -> int:
        return self.low + number
