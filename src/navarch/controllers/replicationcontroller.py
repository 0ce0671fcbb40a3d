"""ReplicationController: keeps a number of pods of one template.

How is in `replicas`; its selector is a plain mapping, and an empty one selects nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.controllers import replicas
from navarch.controllers.controller import Cache, Controller
from navarch.controllers.options import Setup
from navarch.kinds import REPLICATIONCONTROLLER
from navarch.kinds.object import Object
from navarch.objects.selector import NOTHING, Selector, from_labels


def selector_of(found: Object) -> Selector:
    labels = found.view.spec.selector
    return from_labels(labels) if labels else NOTHING


def no_relatives(cache: Cache, found: Object) -> Sequence[Object]:
    return ()


def controller(setup: Setup) -> Controller[replicas.Observed]:
    return replicas.controller("replication", REPLICATIONCONTROLLER, selector_of, no_relatives)
