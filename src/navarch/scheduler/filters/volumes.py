"""The filter that looks at a pod's claims: bound ones tie it to a place, others must be able to get a volume there.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#node-affinity
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from navarch.kinds.storage_match import is_bound
from navarch.scheduler.disks import NO_ROOM, NOTHING, reaches, settle, terms_key, terms_of
from navarch.scheduler.question import Filter, News, Question, Rejection


def _volumes(q: Question) -> Iterator[Rejection]:
    if not q.pod.claims:
        return
    disks, table = q.table.disks, q.table
    if said := disks.trouble(q.pod):
        yield Rejection(said, np.ones(table.width, np.bool_)[q.at], final=True, of_pod=True)
        return
    found = disks.of(q.pod)
    for claim in (claim for claim in found if is_bound(claim)):
        volume = disks.volumes.get(claim.view.spec.volume_name)
        if volume is None:
            reason = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            yield Rejection(reason, np.ones(table.width, np.bool_)[q.at], final=True)
        elif (terms := terms_of(volume)) is not None:
            mask = table.per_node(("reaches", terms_key(terms)), partial(reaches, volume=volume), np.bool_)
            yield Rejection("node(s) didn't match PersistentVolume's node affinity", ~mask[q.at], final=True)
    if not all(is_bound(claim) for claim in found):
        answers = [NOTHING if node is None else settle(disks, q.pod, node) for node in table.nodes[q.at]]
        nothing = np.array([answer == NOTHING for answer in answers], np.bool_)
        yield Rejection("node(s) didn't find available persistent volumes to bind", nothing, final=True)
        full = np.array([answer == NO_ROOM for answer in answers], np.bool_)
        yield Rejection("node(s) did not have enough free storage", full, final=True)


VOLUME_BINDING = Filter("VolumeBinding", _volumes, frozenset({News.CLAIM, News.NODE_ADDED, News.NODE_LABELS}))
