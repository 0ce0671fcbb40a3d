"""How simulated containers behave: what is pulled how long, what starts, crashes, exits or never gets ready.

A `Behaviour` is chosen for each container by its image and its pod's labels, the first that matches. It is written in
Python, or in YAML as a list of objects with the same fields: `readySeconds` for `ready_s`, `imageError`, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import yaml

from navarch.base.errors import BadRequest
from navarch.objects import quantity


def _yaml_name(field: str) -> str:
    words = (field.removesuffix("_s") + "_seconds" if field.endswith("_s") else field).split("_")
    return words[0] + "".join(word.capitalize() for word in words[1:])


@dataclass(frozen=True, slots=True)
class Load:
    """What a container's usage may depend on.

    age_s: since its pod came to its node. replicas: containers of this behaviour that run in its namespace, itself
    among them: who is given a load to share carries it divided by that.
    """

    now: datetime
    age_s: float
    replicas: int
    pod: str
    container: str


Usage = quantity.Quantity | Callable[[Load], quantity.Quantity] | None
"""A quantity (`250m`, 0.5, `64Mi`), or a function that gives one."""


def _check_usage(value: Any) -> None:
    """Raises: ValueError."""
    if value is not None and not callable(value) and quantity.nano(value) < 0:
        raise ValueError(f"nothing can use {value!r}: an amount is not negative")


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_yaml_name):
    """All times in seconds.

    image, container: globs over the container's image and name; labels: that the pod must have, among others.
    pull_s: until the image is there; start_s: from then until the container runs; ready_s: from then until it is ready
        (None: the initial delay of its readiness probe, if it has one).
    image_error: the image never comes, for this reason (`ErrImagePull`, `InvalidImageName`, …).
    runs_s: how long it runs before it exits with `exit_code`; None for ever. times: how many runs end so, after which
        one runs for ever (an init container: succeeds); None for all.
    exit_codes: of the first run, the second, …; the last goes for all that follow. In place of `exit_code`.
    exit_reason: in the status, such as `OOMKilled` (else `Completed` or `Error`). exit_message: what it leaves behind
        in its termination message.
    unready: spans of a run, from its start, in which readiness fails. never_ready: that it always does.
    flaps: (up, down): once ready it is so for that long, then unready for that long, and again.
    stop_s: how long it takes to stop, cut short by the pod's grace period.
    cpu, memory: what it uses while it runs (in cores and bytes), as `metrics.k8s.io` tells: a quantity, or in Python a
        function of a `Load`; nothing when None.
    """

    image: str = "*"
    container: str = "*"
    labels: Mapping[str, str] = {}
    pull_s: float = 0.0
    start_s: float = 0.0
    ready_s: float | None = None
    image_error: str = ""
    runs_s: float | None = None
    exit_code: int = 0
    exit_codes: tuple[int, ...] = ()
    exit_reason: str = ""
    exit_message: str = ""
    times: int | None = None
    unready: tuple[tuple[float, float], ...] = ()
    flaps: tuple[float, float] | None = None
    never_ready: bool = False
    stop_s: float = 0.0
    cpu: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        _check_usage(self.cpu)
        _check_usage(self.memory)
        if self.flaps is not None and min(self.flaps) <= 0:
            raise ValueError(f"flaps: {self.flaps} must both be more than nothing")
        if self.runs_s is not None and self.runs_s < 0:
            raise ValueError(f"runs_s: a container cannot run for {self.runs_s:g} s")

    def code(self, run: int) -> int:
        """What a run ends with, counted from 0."""
        return self.exit_codes[min(run, len(self.exit_codes) - 1)] if self.exit_codes else self.exit_code

    @property
    def never_succeeds(self) -> bool:
        return self.times is None and all(self.exit_codes or (self.exit_code,))

    def concerns(self, image: str, labels: Mapping[str, str], container: str = "") -> bool:
        if not fnmatchcase(image, self.image) or (self.container != "*" and not fnmatchcase(container, self.container)):
            return False
        return all(labels.get(key) == value for key, value in self.labels.items())


WELL = Behaviour()
"""Runs at once and for ever."""

DONE = Behaviour(runs_s=0.0)
"""Succeeds at once: what init containers do that are not described."""

JOB = Behaviour(runs_s=1.0)
"""What pods of a Job do that are not described."""


def behaviours_from_yaml(text: str) -> tuple[Behaviour, ...]:
    """Raises: BadRequest, with the path of what is wrong."""
    try:
        return msgspec.convert(yaml.safe_load(text) or [], tuple[Behaviour, ...])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadRequest(f"behaviours of simulated containers: {error}") from error
