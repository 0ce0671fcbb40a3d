"""ReplicaSet: keeps a number of pods of one template.

How is in `replicas`; added here are its selector and the revisions that it shares an application with.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.controllers import replicas
from navarch.controllers.controller import Cache, Controller
from navarch.controllers.options import Setup
from navarch.kinds import POD, REPLICASET
from navarch.kinds.object import Object
from navarch.objects.selector import Selector, from_view


def selector_of(found: Object) -> Selector:
    return from_view(found.view.spec.selector)


def related_pods(cache: Cache, found: Object) -> Sequence[Object]:
    """Active pods of all ReplicaSets of the same owner (a Deployment's revisions)."""
    reference = found.view.metadata.controller
    if reference is None:
        return ()
    siblings = cache[REPLICASET].owned_by(reference.uid)
    return [pod for sibling in siblings for pod in cache[POD].owned_by(sibling.uid) if pod.view.live]


def controller(setup: Setup) -> Controller[replicas.Observed]:
    return replicas.controller("replicaset", REPLICASET, selector_of, related_pods)
