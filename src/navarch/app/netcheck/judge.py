"""From what became of the probes to the hops that do not work. Pure.

Whatever a probe crossed that arrived is cleared. Of what is left, the hop that explains the most failures is named,
then the one that explains the most of the rest. Why a hop does not work is another's to say (`clues`); hops with the
same reason become one finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from navarch.app.netcheck.probes import Clue, Finding, Hop, Probe, Result, told, well

Reason = Callable[[Hop, Sequence[tuple[Probe, Result]]], tuple[Clue, bool]]
"""Why a hop fails these probes, and whether that was seen, or is only what mostly is the reason."""
Failed = tuple[Probe, Result]

SPECIFIC = (
    "asked",
    "endpoint",
    "upstream DNS",
    "policy",
    "masquerade",
    "outside",
    "MTU",
    "MTU of a node",
    "node port",
    "DNS",
    "service",
    "service rules",
    "host ports",
    "agent",
    "API server",
    "pod link",
    "forwarding",
    "route",
    "gateway",
    "bridge",
    "node link",
)
"""Which of two that explain as much is rather named, where nothing else tells them apart."""


def judge(results: Sequence[tuple[Probe, Result]], reason: Reason) -> list[Finding]:
    failed = [(probe, result) for probe, result in results if not well(probe, result)]
    cleared = {hop for probe, result in results if well(probe, result) for hop in clears(probe, result)}
    named: list[tuple[Hop, Clue, list[Failed]]] = []
    while failed:
        hop, explained = _worst(failed, cleared, reason)
        named.append((hop, reason(hop, explained)[0], explained))
        failed = [each for each in failed if hop not in each[0].hops]
    return _joined(named)


def clears(probe: Probe, result: Result) -> Iterator[Hop]:
    """What a probe shows to work. One whose sender was told to send less says nothing of what the way lets through."""
    told_less = result.most_bytes < result.sent_bytes
    return (hop for hop in probe.hops if not (told_less and hop.kind in ("MTU", "MTU of a node")))


def _worst(failed: Sequence[Failed], cleared: set[Hop], reason: Reason) -> tuple[Hop, list[Failed]]:
    by_hop: dict[Hop, list[Failed]] = {}
    for each in failed:
        # One that fails though all that it crosses works elsewhere: whatever there is a reason to suspect.
        for hop in dict.fromkeys([hop for hop in each[0].hops if hop not in cleared] or each[0].hops):
            by_hop.setdefault(hop, []).append(each)

    def weight(hop: Hop) -> tuple[bool, int]:
        return hop not in cleared, len(by_hop[hop])

    most = max(map(weight, by_hop))
    alike = [(hop, explained) for hop, explained in by_hop.items() if weight(hop) == most]
    return max(alike, key=lambda each: (reason(*each)[1], -SPECIFIC.index(each[0].kind)))


def without_doubts(
    results: Sequence[tuple[Probe, Result]], found: Sequence[Finding]
) -> tuple[list[tuple[Probe, Result]], list[Finding], list[str]]:
    """What is left when failures that may be meant so are set aside, and what is to be said of those."""
    doubted = [each for each in found if each.doubt]
    lines = {line for each in doubted for line in each.probes}
    kept = [(p, r) for p, r in results if well(p, r) or f"{p.line}: {told(p, r)}" not in lines]
    notes = [f"{each.text} ({len(each.probes)} of the probes)" for each in doubted]
    return kept, [each for each in found if not each.doubt], notes


def _joined(named: Sequence[tuple[Hop, Clue, list[Failed]]]) -> list[Finding]:
    by_clue: dict[Clue, list[tuple[Hop, list[Failed]]]] = {}
    for hop, clue, explained in named:
        by_clue.setdefault(clue, []).append((hop, explained))
    return [
        Finding(
            tuple(hop for hop, _ in found),
            clue.node,
            clue.text,
            clue.remedy,
            tuple(f"{probe.line}: {told(probe, result)}" for _, failures in found for probe, result in failures),
            clue.doubt,
        )
        for clue, found in by_clue.items()
    ]
