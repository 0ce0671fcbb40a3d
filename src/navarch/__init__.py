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
    """The library's face, imported when it is asked for: processes that do without it stay small.

    What is loaded stays for as long as the process, so it is put where no garbage collection looks: a sixth of the time
    until the first cluster is ready went into looking through it.
    """
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import gc
    from importlib import import_module

    collects = gc.isenabled()
    gc.disable()
    try:
        found = globals()[name] = getattr(import_module(_FROM[name]), name)
    finally:
        if collects:
            gc.enable()
    gc.freeze()
    return found
