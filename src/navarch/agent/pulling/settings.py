"""How this node pulls images: what the kubelet's configuration and flags say of it, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from navarch.agent.pulling.providers import Provider
from navarch.agent.pulling.queue import PullLimits
from navarch.agent.pulling.records import Verification


@dataclass(frozen=True, slots=True)
class PullSettings:
    """records: the folder of what images were pulled with; None: nothing is remembered, and nothing verified.

    providers: credential plugins; their programs lie in `plugins`.
    """

    limits: PullLimits = field(default_factory=PullLimits)
    verification: Verification = field(default_factory=Verification)
    records: Path | None = None
    providers: tuple[Provider, ...] = ()
    plugins: Path = Path("/usr/libexec/kubernetes/kubelet-plugins/credential-provider/exec")
