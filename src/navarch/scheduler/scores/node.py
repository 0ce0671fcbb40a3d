"""Scores that look at the node alone: soft taints, preferred labels, images that are there already."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from navarch.scheduler.facts import NodeFacts
from navarch.scheduler.question import Question, Score
from navarch.scheduler.table import Mask
from navarch.scheduler.terms import node_term_holds, node_term_key, tolerated

SMALL_IMAGE_BYTES = 23 * 1024 * 1024
LARGE_IMAGE_BYTES = 1000 * 1024 * 1024


def _taints(q: Question, able: Mask) -> npt.NDArray[Any] | None:
    """Fewer soft taints are better."""
    tolerations = tuple(t for t in q.pod.spec.tolerations if t.effect in ("", "PreferNoSchedule"))

    def ask(node: NodeFacts) -> int:
        return sum(t.effect == "PreferNoSchedule" and not tolerated(tolerations, t) for t in node.spec.taints)

    counts = q.table.per_node(("soft taints", q.pod.tolerations_key), ask)
    most = int(counts[able].max())
    if not most:
        return None
    found: npt.NDArray[Any] = 100 - 100 * counts // most
    return found


def _affinity(q: Question, able: Mask) -> npt.NDArray[Any] | None:
    affinity = q.pod.spec.affinity.node_affinity
    if affinity is None or not affinity.preferred:
        return None
    preferred = affinity.preferred

    def ask(node: NodeFacts) -> int:
        return sum(p.weight for p in preferred if node_term_holds(p.preference, node.name, node.labels))

    key = tuple((p.weight, node_term_key(p.preference)) for p in preferred)
    weights = q.table.per_node(("preferred", key), ask)
    most = int(weights[able].max())
    if not most:
        return None
    found: npt.NDArray[Any] = 100 * weights // most
    return found


def _size(image: str, node: NodeFacts) -> int:
    return node.images.get(image, 0)


def _images(q: Question, able: Mask) -> npt.NDArray[Any] | None:
    """Bytes that need no pulling; an image that few nodes have weighs less, lest all pods crowd there."""
    total = np.zeros(q.table.width)
    for name in q.pod.images:
        full = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
        sizes = q.table.per_node(("image", full), partial(_size, full))
        holders = int(np.count_nonzero(sizes))
        if holders:
            total += sizes * (holders / q.table.size)
    if not total.any():
        return None
    large = LARGE_IMAGE_BYTES * len(q.pod.images)
    found: npt.NDArray[Any] = 100 * (np.clip(total, SMALL_IMAGE_BYTES, large) - SMALL_IMAGE_BYTES)
    return found / (large - SMALL_IMAGE_BYTES)


TAINT_TOLERATION = Score("TaintToleration", 3, _taints)
NODE_AFFINITY = Score("NodeAffinity", 2, _affinity)
IMAGE_LOCALITY = Score("ImageLocality", 1, _images)
