"""Navarch: a container orchestrator that speaks the Kubernetes API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from navarch.testing.behaviour import Behaviour, Load
    from navarch.testing.cluster import Cluster, NotReached
    from navarch.testing.machine import Machine

__version__ = "0.1.0"
__all__ = ["Behaviour", "Cluster", "Load", "Machine", "NotReached", "__version__"]

_FROM = {
    "Behaviour": "navarch.testing.behaviour",
    "Cluster": "navarch.testing.cluster",
    "Load": "navarch.testing.behaviour",
    "Machine": "navarch.testing.machine",
    "NotReached": "navarch.testing.cluster",
}


def __getattr__(name: str) -> Any:
    """The library's face, imported when it is asked for: processes that do without it stay small."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FROM[name]), name)
