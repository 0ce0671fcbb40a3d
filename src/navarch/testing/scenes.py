"""The scenes that a simulation can play, by name, and the controllers that each is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from navarch.base.clock import Ids
from navarch.testing import scenes_apps, scenes_attach, scenes_cluster, scenes_issuer, scenes_upkeep
from navarch.testing.user import User

ROLLOUTS = "rollouts"
"""The one that is as long as the simulation's `steps`."""

ANY = "any"
"""Two of the others, by chance."""

TOGETHER = 2
VICTIMS = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """about: the controllers that have most to do in it, and are worth being struck."""

    play: Callable[[User], Awaitable[None]]
    about: tuple[str, ...]


SCENES: Mapping[str, Scene] = {
    "deployment": Scene(scenes_apps.deployment, ("deployment", "replicaset", "garbagecollector")),
    "replicas": Scene(scenes_apps.replicas, ("replicaset", "replication", "garbagecollector")),
    "statefulset": Scene(
        scenes_apps.statefulset,
        ("statefulset", "statefulset", "persistentvolume-binder", "local-path-provisioner", "garbagecollector"),
    ),
    "daemonset": Scene(scenes_apps.daemonset, ("daemonset", "daemonset", "node-lifecycle")),
    "job": Scene(scenes_apps.job, ("job", "job", "job", "job-orphans", "ttl-after-finished")),
    "cronjob": Scene(scenes_apps.cronjob, ("cronjob", "cronjob", "job", "garbagecollector")),
    "autoscaler": Scene(scenes_apps.autoscaler, ("horizontalpodautoscaling", "deployment")),
    "budget": Scene(scenes_apps.budget, ("disruption", "disruption", "replicaset")),
    "service": Scene(scenes_cluster.service, ("endpointslice", "endpoints", "endpointslicemirroring", "endpointslice")),
    "namespace": Scene(scenes_cluster.namespace, ("namespace", "namespace", "service-account", "root-ca")),
    "owners": Scene(scenes_cluster.owners, ("garbagecollector",)),
    "quota": Scene(scenes_cluster.quota, ("resourcequota", "replicaset")),
    "volumes": Scene(
        scenes_cluster.volumes,
        (
            "persistentvolume-binder",
            "persistentvolume-reclaimer",
            "local-path-provisioner",
            "volume-expand",
            "pvc-protection",
            "pv-protection",
        ),
    ),
    "ephemeral": Scene(
        scenes_cluster.ephemeral, ("ephemeral-volume", "resource-claim", "pvc-protection", "garbagecollector")
    ),
    "roles": Scene(
        scenes_cluster.roles, ("clusterrole-aggregation", "validatingadmissionpolicy-status", "service-cidr")
    ),
    "accounts": Scene(
        scenes_cluster.accounts,
        ("service-account-token", "certificate-approving", "certificate-signing", "certificate-cleaning"),
    ),
    "nodes": Scene(scenes_cluster.nodes, ("taint-eviction", "node-lifecycle", "podgc")),
    "ranges": Scene(scenes_upkeep.ranges, ("node-ipam",)),
    "attachment": Scene(scenes_attach.attachment, ("attachdetach",)),
    "migration": Scene(scenes_upkeep.migration, ("storage-version-migrator",)),
    "credentials": Scene(scenes_upkeep.credentials, ("legacy-service-account-token-cleaner", "trust-bundle")),
    "balanced": Scene(scenes_upkeep.balanced, ("service-load-balancer",)),
    "issued": Scene(scenes_issuer.issued, ("issuer-certificates", "issuer-authority", "issuer-requests")),
    "disrupted": Scene(scenes_upkeep.disrupted, ("stale-disruption",)),
}


def chosen(ids: Ids, asked: Sequence[str]) -> tuple[str, ...]:
    """The scenes that are asked for, `ANY` turned into some. Raises: ValueError."""
    found: list[str] = []
    for name in asked:
        if name == ANY:
            names = list(SCENES)
            found += [names.pop(int(ids.fraction() * len(names))) for _ in range(TOGETHER)]
        elif name == ROLLOUTS or name in SCENES:
            found.append(name)
        else:
            raise ValueError(f"there is no scene {name!r}: use {ANY}, {ROLLOUTS} or one of {', '.join(SCENES)}")
    return tuple(dict.fromkeys(found))


def victims(ids: Ids, scenes: Sequence[str]) -> tuple[str, ...]:
    """Controllers that run as organs of their own: some of those that the scenes are about."""
    about = [name for scene in scenes if scene in SCENES for name in SCENES[scene].about]
    if not about:
        return ()
    return tuple(dict.fromkeys(about[int(ids.fraction() * len(about))] for _ in range(VICTIMS)))


async def run(name: str, user: User) -> None:
    await SCENES[name].play(user)
