"""What is told of a packet's way: values that the command line prints as a list or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Hop = Literal["sender", "name", "service", "endpoint", "egress", "masquerade", "route", "ingress", "receiver"]
Outcome = Literal["passes", "stops", "unsure", "unused"]
"""unused: an endpoint that is none of those to choose from."""
Fate = Literal["arrives", "partly", "stopped", "unknown"]
"""partly: of the endpoints to choose from some are reached and others are not."""


class BadQuestion(ValueError):
    """What was asked for is not there, or is not clear; the message says which and what to ask instead."""


class Step(NamedTuple):
    """node: where it happens, "" for nowhere. remedy: what to do about it, for a step that stops."""

    hop: Hop
    node: str
    outcome: Outcome
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """verdict, remedy: a sentence each; remedy "" where nothing is to be done."""

    steps: Sequence[Step]
    fate: Fate
    verdict: str
    remedy: str = ""

    def document(self) -> Mapping[str, Any]:
        steps = [{"hop": s.hop, "node": s.node, "outcome": s.outcome, "text": s.text} for s in self.steps]
        return {"fate": self.fate, "verdict": self.verdict, "remedy": self.remedy, "steps": steps}


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
