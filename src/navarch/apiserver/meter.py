"""The seam through which the API server learns what nodes and their pods use.

Simulated nodes implement it in the library; elsewhere the agents do, asked by the seam `NodeDialer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Amount:
    """cpu_nano: billionths of a core, on average over the window."""

    cpu_nano: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """pods: by uid, then by container; those that run."""

    at: datetime
    window_s: float
    total: Amount
    pods: Mapping[str, Mapping[str, Amount]]


class Meter(Protocol):
    """Who measures."""

    async def measure(self, node: str) -> NodeUsage:
        """Raises: Unavailable, when the node does not answer."""
        ...
