"""How many seats a call takes: lists and the beginnings of watches by how many objects they look at. Pure.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seats-occupied-by-a-request
"""

from __future__ import annotations

OBJECTS_A_SEAT = 100
MOST_SEATS = 10
SHARE_OF_LEVEL = 0.15
"""No call takes more of its level's nominal seats than this."""


def seats_of(objects: int, limit: int, selects: bool, nominal: int) -> int:
    """objects: how many of the kind are stored. limit: how many are asked for at once, 0 for all. selects: whether
    selectors let more be looked at than is answered. nominal: the seats of the call's level."""
    looked_at = objects if selects or not limit else min(objects, limit)
    most = max(1, min(MOST_SEATS, int(nominal * SHARE_OF_LEVEL)))
    return max(1, min(most, -(-looked_at // OBJECTS_A_SEAT)))
