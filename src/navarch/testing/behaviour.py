"""How simulated containers behave: what is pulled how long, what starts, crashes, exits or never gets ready.

A `Behaviour` is chosen for each container by its image and its pod's labels, the first that matches. It is written in
Python, or in YAML as a list of objects with the same fields: `readySeconds` for `ready_s`, `imageError`, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec
import yaml

from navarch.base.errors import BadRequest


def _yaml_name(field: str) -> str:
    words = (field.removesuffix("_s") + "_seconds" if field.endswith("_s") else field).split("_")
    return words[0] + "".join(word.capitalize() for word in words[1:])


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_yaml_name):
    """All times in seconds.

    image: a glob over the container's image; labels: that the pod must have, among others.
    pull_s: until the image is there; start_s: from then until the container runs; ready_s: from then until it is ready
        (None: the initial delay of its readiness probe, if it has one).
    image_error: the image never comes, for this reason (`ErrImagePull`, `InvalidImageName`, …).
    runs_s: how long it runs before it exits with `exit_code`; None for ever. times: how many runs end so, after which
        one runs for ever (an init container: succeeds); None for all.
    unready: spans of a run, from its start, in which readiness fails. never_ready: that it always does.
    stop_s: how long it takes to stop, cut short by the pod's grace period.
    """

    image: str = "*"
    labels: Mapping[str, str] = {}
    pull_s: float = 0.0
    start_s: float = 0.0
    ready_s: float | None = None
    image_error: str = ""
    runs_s: float | None = None
    exit_code: int = 0
    times: int | None = None
    unready: tuple[tuple[float, float], ...] = ()
    never_ready: bool = False
    stop_s: float = 0.0

    def concerns(self, image: str, labels: Mapping[str, str]) -> bool:
        if not fnmatchcase(image, self.image):
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
