"""Which endpoints a Service's port has, which of them a packet may be sent to, and why not to the others. Pure.

The choice itself is the compiled rules'; here is only said why it came out so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from navarch.app.nettrace.world import World
from navarch.kinds.endpointslice import Endpoint
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service, ServicePort
from navarch.objects.selector import from_labels
from navarch.proxy.rules import Target


class Standing(NamedTuple):
    """why: what keeps packets from it, "" for one of those to choose from."""

    target: Target
    node: str
    who: str
    why: str


def standings(
    world: World, key: tuple[str, str], port: ServicePort, chosen: Sequence[Target], here: str
) -> list[Standing]:
    """chosen: what the rules of the node `here` pick from. Those come first."""
    found: dict[Target, Standing] = {}
    service = world.services[key].view
    ready = any(
        e.ready for part in world.slices.get(key, ()) if part.address_type == world.family.name for e in part.endpoints
    )
    for part in world.slices.get(key, ()):
        if part.address_type != world.family.name:
            continue
        numbers = [one.port for one in part.ports if one.name == port.name and one.protocol == port.protocol]
        for endpoint in part.endpoints:
            address = world.family.proper(next(iter(endpoint.addresses), ""))
            if not address:
                continue
            for number in numbers:
                target = Target(address, number or 0)
                why = "" if target in chosen else _why(service, endpoint, here, ready, world)
                if target not in found or found[target].why:
                    found[target] = Standing(target, endpoint.node_name, _who(world, endpoint), why)
    extra = [Standing(each, world.node_at(each.address), world.who(each.address), "") for each in chosen]
    found = {each.target: each for each in extra} | found
    return sorted(found.values(), key=lambda each: (bool(each.why), each.target))


def nobody(world: World, key: tuple[str, str], port: ServicePort) -> tuple[str, str]:
    """Why a Service's port has no endpoint at all, and what to do."""
    name, service = "/".join(key), world.services[key].view
    slices = [part for part in world.slices.get(key, ()) if part.address_type == world.family.name]
    if not service.spec.selector:
        return (
            f"service {name} has no selector, and nobody wrote an EndpointSlice for it",
            f"write an EndpointSlice with the label kubernetes.io/service-name: {key[1]}, or give it a selector",
        )
    wants = ", ".join(f"{label}={value}" for label, value in service.spec.selector.items())
    pods = _selected(world, key, service)
    if not pods:
        return f"no pod of namespace {key[0]} has the labels that service {name} selects: {wants}", (
            "compare the selector with the labels of the pods: kubectl get pods --show-labels "
            f"-n {key[0]}; or start some"
        )
    if any(part.endpoints for part in slices):
        return f"the pods of service {name} have no port {port.target_port!r}, which its port {port.port} leads to", (
            "name the port in the containers' ports, or set targetPort to the number that they listen on"
        )
    return f"{len(pods)} pods have the labels that service {name} selects, and none has an address yet", (
        f"see why they do not start: kubectl describe pods -n {key[0]} -l {wants.replace(', ', ',')}"
    )


def unready(pod: Pod) -> str:
    """Why a pod is not ready, in its own words; "" when it is."""
    if pod.ready:
        return ""
    waiting = [
        (each.name, each.state.waiting.reason)
        for each in (*pod.status.init_container_statuses, *pod.status.container_statuses)
        if each.state.waiting and each.state.waiting.reason
    ]
    if waiting:
        return f"container {waiting[0][0]}: {waiting[0][1]}"
    condition = pod.status.condition("Ready")
    return (condition.message or condition.reason if condition else "") or f"phase {pod.status.phase}"


def _selected(world: World, key: tuple[str, str], service: Service) -> list[Pod]:
    selector = from_labels(service.spec.selector)
    return [
        found.view for (space, _), found in world.pods.items() if space == key[0] and selector.matches(found.labels)
    ]


def _who(world: World, endpoint: Endpoint) -> str:
    reference = endpoint.target_ref
    if reference is not None and reference.kind == "Pod":
        return f"pod {reference.namespace}/{reference.name}"
    return world.who(endpoint.addresses[0])


def _why(service: Service, endpoint: Endpoint, here: str, some_ready: bool, world: World) -> str:
    if endpoint.terminating:
        return "it terminates" + (", and others are ready" if some_ready and endpoint.serving else "")
    if not endpoint.ready:
        pod = _pod(world, endpoint)
        because = unready(pod) if pod is not None else ""
        return "not ready" + (f": {because}" if because else "")
    local = [
        name
        for name, policy in (
            ("internalTrafficPolicy", service.spec.internal_traffic_policy),
            ("externalTrafficPolicy", service.spec.external_traffic_policy),
        )
        if policy == "Local"
    ]
    if endpoint.node_name != here and local:
        return f"it is not on {here}, and {local[0]} is Local"
    hints = [hint.name for hint in endpoint.hints.for_nodes] + [hint.name for hint in endpoint.hints.for_zones]
    if hints:
        return f"meant for {', '.join(hints)} (trafficDistribution), and {here} has nearer ones"
    return "the rules do not lead to it"


def _pod(world: World, endpoint: Endpoint) -> Pod | None:
    reference = endpoint.target_ref
    found = world.pods.get((reference.namespace, reference.name)) if reference else None
    return found.view if found else None
