"""What network policies say of one packet, for people: which rule lets it through, or what none of them allows. Pure.

The verdicts are the compiled rules'; which rule of a policy it was is found by judging again with that rule alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from navarch.app.nettrace.steps import Step, listed
from navarch.app.nettrace.world import World
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.proxy.isolation import Direction, Verdict, judge
from navarch.proxy.podfacts import facts
from navarch.proxy.policy import Policies
from navarch.proxy.trace import Packet

WAYS: dict[Direction, tuple[str, str]] = {"egress": ("out", "to"), "ingress": ("in", "from")}


def told(world: World, verdict: Verdict, packet: Packet, source: str, here: str) -> Step:
    """packet: as it is forwarded, to the endpoint. source: the sender as the receiver's node sees it."""
    way, preposition = WAYS[verdict.direction]
    who = world.who(verdict.pod)
    port = f"{packet.port}/{packet.protocol}"
    if verdict.passes:
        by = [f"{name}{_rule(world, name, verdict.direction, packet, source)}" for name in verdict.policies]
        return Step(verdict.direction, here, "passes", f"policy {listed(by)} lets it {way}")
    address = packet.address if verdict.direction == "egress" else source
    other, names = world.who(address), listed(verdict.policies)
    what = f"{who} is isolated by {names}, and nothing there allows {port} {preposition} {other}"
    remedy = f"add an {verdict.direction} rule to a NetworkPolicy that selects {who}: {preposition} "
    return Step(verdict.direction, here, "stops", what, f"{remedy}{_peer(world, other, address)}, port {port}")


def unjudged(world: World, direction: Direction, pod: str, here: str) -> Step:
    """pod: the address of one whose traffic no policy was asked about. here: its node."""
    isolation = world.rules(here).isolation
    who = world.who(pod)
    if pod in (isolation.egress if direction == "egress" else isolation.ingress):
        kept = "says to its node or itself" if direction == "egress" else "hears from its node or itself"
        return Step(direction, here, "passes", f"{who} is isolated, but not from what it {kept}")
    return Step(
        direction, here, "passes", f"no policy isolates what {who} {'sends' if direction == 'egress' else 'is sent'}"
    )


def _rule(world: World, name: str, direction: Direction, packet: Packet, source: str) -> str:
    """`, ingress[1]`; "" where it was not found again."""
    namespace, _, called = name.partition("/")
    found = world.policies.get((namespace, called))
    if found is None:
        return ""
    policy: NetworkPolicy = found.view
    rules: Sequence[object] = policy.spec.ingress if direction == "ingress" else policy.spec.egress
    for index, rule in enumerate(rules):
        types = ("Ingress",) if direction == "ingress" else ("Egress",)
        alone = msgspec.structs.replace(policy.spec, policy_types=types, **{direction: (rule,)})
        if _passes(world, namespace, msgspec.structs.replace(policy, spec=alone), direction, packet, source):
            return f", {direction}[{index}]"
    return ""


def _passes(
    world: World, namespace: str, policy: NetworkPolicy, direction: Direction, packet: Packet, source: str
) -> bool:
    ends = [each for address in (source, packet.address) if (each := world.pod_at(address))]
    judged = world.pod_at(source if direction == "egress" else packet.address)
    if judged is None:
        return False
    made = Policies(judged.view.spec.node_name, world.family)
    for space in world.namespaces:
        made.put_namespace(space.name, space.labels)
    for each in ends:
        made.put_pod(*each.key, facts(each))
    made.put_policy(namespace, policy.metadata.name, policy)
    verdicts = judge(made.isolation(), source, packet.address, packet.protocol, packet.port)
    return bool(verdicts) and all(each.passes for each in verdicts if each.direction == direction)


def _peer(world: World, who: str, address: str) -> str:
    """`who` with what a rule could select it by."""
    kind, _, name = who.partition(" ")
    namespace, _, pod = name.partition("/")
    found = world.pods.get((namespace, pod)) if kind == "pod" else None
    if found is None:
        return f"ipBlock {address}/{world.family.bits}" + (f" ({who})" if who != address else "")
    labels = [f"{key}={value}" for key, value in found.labels.items() if not key.endswith("-template-hash")]
    return f"{who} (labels {', '.join(labels) or 'none'}, namespace {namespace})"
