"""How the pods of a DaemonSet are replaced by those of a new template, a few nodes at a time.

Pure: from the pods on each node to which of them go and where new ones come. Missing and surplus pods are made good by
`plan`, before anything is replaced.

Source: https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.kinds.object import Object


@dataclass(slots=True)
class Replacement:
    """doomed: old pods to delete. surged: nodes that get a new pod beside their old one."""

    doomed: list[Object] = field(default_factory=list)
    surged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OnNode:
    """The pods of one node that are not on their way out. clear: at most one of each."""

    old: Object | None
    new: Object | None
    clear: bool
    old_available: bool = False
    new_available: bool = False


def replace_in_place(nodes: Mapping[str, OnNode], most_unavailable: int) -> Replacement:
    """Old pods go first; `plan` makes the new one once the node is free of the old. Old pods that are no use anyway go
    at once, the others as long as no more than `most_unavailable` nodes are without."""
    found = Replacement()
    unavailable = 0
    candidates: list[Object] = []
    for here in nodes.values():
        if not here.clear or (here.old is None) == (here.new is None):
            unavailable += 1
        elif here.new is not None:
            unavailable += not here.new_available
        elif here.old is not None and not here.old_available:
            unavailable += 1
            found.doomed.append(here.old)
        elif here.old is not None:
            candidates.append(here.old)
    found.doomed += candidates[: max(0, most_unavailable - unavailable)]
    return found


def replace_by_surge(nodes: Mapping[str, OnNode], most_surged: int) -> Replacement:
    """New pods come first, on at most `most_surged` nodes at once; an old one goes when its new one is available, or
    when it is no use itself."""
    found = Replacement()
    surged = 0
    candidates: list[str] = []
    for name, here in nodes.items():
        if not here.clear:
            surged += 1
        elif here.old is None:
            continue
        elif here.new is None:
            (found.surged if not here.old_available else candidates).append(name)
        elif not here.old_available or here.new_available:
            found.doomed.append(here.old)
        else:
            surged += 1
    found.surged += candidates[: max(0, most_surged - surged)]
    return found
