"""How much a pod may send and take: what its annotations ask for, kept by the CNI plugin `bandwidth`.

containerd reads the annotations, refuses what is no rate, and hands them to the plugin, which puts a bucket on the
pod's interface for what goes in, and an interface of its own (ifb) beside it for what comes out. Here its buckets are
given a size that fits, before the pod's first container starts.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/#support-traffic-shaping
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import orjson

from navarch.app import cni
from navarch.net import shaping

PLUGIN = "bandwidth"
PREFIX, NAME_BYTES = "bwp", 15
"""Of the interfaces that the plugin makes."""


def fit(network: cni.PodNetwork, addresses: Sequence[str], results: Path | None = None) -> None:
    """For the pod of this node that has these addresses; nothing where another network gave them. Raises: Retryable."""
    for address in addresses:
        if sandbox := network.holder(address):
            shaping.fit(_interfaces((results or cni.RESULTS) / f"{network.name}-{sandbox}-eth0"))


def interface(network: str, sandbox: str) -> str:
    """What the plugin calls the one that it makes for what comes out of a sandbox."""
    return (PREFIX + hashlib.sha512(f"{network}{sandbox}".encode()).hexdigest())[:NAME_BYTES]


def _interfaces(result: Path) -> list[str]:
    """Those of the node that plugins told of."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # the sandbox goes already
        return [
            one["name"] for one in orjson.loads(result.read_bytes())["result"]["interfaces"] if not one.get("sandbox")
        ]
    return []
