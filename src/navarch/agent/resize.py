"""Changing what running containers may use: what differs, whether the node can give it, and what the status says of it.

An instance carries in its annotations what it was started with, so an agent that was restarted knows what to compare.
Pure.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from navarch.agent import resources
from navarch.agent.facts import Amounts, Facts, is_running
from navarch.agent.runtime import Container as Instance
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container, Resources
from navarch.objects import quantity

STARTED_RESOURCES = "navarch.dev/resources"
"""Annotation of an instance: its limits and requests when it was made, as JSON."""
CONDITIONS = ("PodResizePending", "PodResizeInProgress")
RESIZED = ("cpu", "memory")


def wanted(container: Container) -> Amounts:
    return _amounts(container.resources)


def wanted_whole(pod: Pod) -> Amounts:
    """What the pod as a whole asks for, besides what its containers do."""
    return _amounts(pod.spec.resources)


def _amounts(resources: Resources) -> Amounts:
    listed = {"limits": dict(resources.limits), "requests": dict(resources.requests)}
    return {kind: amounts for kind, amounts in listed.items() if amounts}


def given_whole(pod: Pod, given: Amounts | None) -> Amounts | None:
    """What the pod as a whole has; for an agent that was started anew, what the status says. None: nobody knows."""
    if given is None and pod.status.resources is not None:
        return _amounts(pod.status.resources)
    return given


def whole_changed(pod: Pod, facts: Facts) -> bool:
    return facts.given is not None and bool(_differing(facts.given, wanted_whole(pod)))


def noted(container: Container) -> str:
    """The annotation's text."""
    return orjson.dumps(wanted(container)).decode()


def actual(facts: Facts, container: Container, instance: Instance) -> Amounts:
    """What the instance has now; what the spec says, for one that carries no note."""
    if instance.id in facts.resized:
        return facts.resized[instance.id]
    text = instance.annotations.get(STARTED_RESOURCES)
    found: Amounts = orjson.loads(text) if text else wanted(container)
    return found


def changed(facts: Facts, container: Container, instance: Instance) -> set[str]:
    """The resources that the spec gives otherwise than the instance has them."""
    return _differing(actual(facts, container, instance), wanted(container))


def _differing(old: Amounts, new: Amounts) -> set[str]:
    return {
        name
        for kind in ("limits", "requests")
        for name in RESIZED
        if quantity.nano(old.get(kind, {}).get(name, 0)) != quantity.nano(new.get(kind, {}).get(name, 0))
    }


def needs_restart(container: Container, names: set[str]) -> bool:
    policies = {policy.resource_name: policy.restart_policy for policy in container.resize_policy}
    return any(policies.get(name) == "RestartContainer" for name in names)


def lacking(pod: Pod, facts: Facts) -> str:
    """Why this node could never give the pod other amounts; "" when it could."""
    if facts.pinned:
        return "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy"
    for name in RESIZED:
        asked = resources.pod_total(pod, name, limits=False)
        most = quantity.milli(facts.allocatable.get(name, 0))
        if facts.allocatable and asked > most:
            shown, limit = (asked, most) if name == "cpu" else (asked // 1000, most // 1000)
            return f"Node didn't have enough capacity: {name}, requested: {shown}, capacity: {limit}"
    return ""


def possible(pod: Pod, facts: Facts) -> bool:
    """Whether the node can give the pod what it asks for now."""
    return not lacking(pod, facts) and not facts.crowded


def differing(pod: Pod, facts: Facts) -> list[str]:
    """The running containers that have other amounts than the spec gives them; "" among them for the pod as a whole."""
    found = [""] if whole_changed(pod, facts) else []
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        instance = facts.current(container.name)
        if instance is not None and is_running(instance) and changed(facts, container, instance):
            found.append(container.name)
    return found


def condition(pod: Pod, facts: Facts) -> Mapping[str, Any] | None:
    """What the pod's conditions say while a change is not carried out."""
    names = differing(pod, facts)
    if not names:
        return None
    if text := lacking(pod, facts):
        return {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": text}
    if facts.crowded:
        return {"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": facts.crowded}
    failed = next((failure for name in names if (failure := facts.failure("resize", name)) is not None), None)
    found: dict[str, Any] = {"type": "PodResizeInProgress", "status": "True"}
    return {**found, "reason": "Error", "message": failed.message} if failed is not None else found
