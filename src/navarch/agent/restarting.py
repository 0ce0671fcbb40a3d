"""A container's end that starts the whole pod anew, in its sandbox and on its volumes: the action RestartAllContainers.

Everything else is stopped and forgotten first, and the instance that asked for it last: as long as it is there, the
restart is under way, which an agent that was itself restarted can see. Then init containers run again. Pure.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-all-containers
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.agent.facts import Facts, has_exited, matching_rule, ordered
from navarch.agent.runtime import Container as Instance
from navarch.agent.steps import RemoveContainer, Step, StopContainer
from navarch.kinds.pod import Pod

ACTION = "RestartAllContainers"
CONDITION = "AllContainersRestarting"
WAITING = "RestartingAllContainers"
"""The reason of a container that is to run again."""
GRACE_S = 2.0
"""Hooks are not run, and what does not stop at once is killed."""


def may_restart(pod: Pod) -> bool:
    """Whether a container of the pod can ask for it."""
    return any(rule.action == ACTION for container in ordered(pod) for rule in container.restart_policy_rules)


def sources(pod: Pod, facts: Facts) -> Sequence[Instance]:
    """The instances whose end asked for it, and that are still there."""
    if not may_restart(pod):
        return ()
    found = []
    for container in ordered(pod):
        instance = facts.current(container.name)
        if instance is not None and has_exited(instance):
            rule = matching_rule(container, instance.exit_code)
            if rule is not None and rule.action == ACTION:
                found.append(instance)
    return found


def steps(pod: Pod, facts: Facts, asking: Sequence[Instance]) -> Iterator[Step]:
    """asking: what `sources` says, not empty."""
    names = {container.name for container in ordered(pod)}
    if alive := facts.alive():
        for item in alive:
            message = f"Container {item.name} will be restarted with all containers of the pod"
            yield StopContainer(item.name, item.id, GRACE_S, message, hook=False)
        return
    last = {item.id for item in asking}
    others = [item for item in facts.runtime.containers if item.name in names and item.id not in last]
    yield from (RemoveContainer(item.id) for item in (others or asking))
