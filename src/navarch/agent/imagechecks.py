"""What of an image's own configuration is not passed on to the runtime: it has led out of containers before. Pure.

An image is somebody else's. Its labels become labels of the container, where some address the runtime itself; a user
beyond 31 bits has turned into root; a working directory that goes through a file descriptor has led to the host.

Source: https://github.com/containerd/containerd/security/advisories/GHSA-265r-hfxg-fhmg (users)
Source: https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv (working directories)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from navarch.agent.runtime import Image, RuntimeFailure

LARGEST_ID = 2**31 - 1
RUNTIME_LABELS = ("containerd.io/", "io.containerd.", "io.cri-containerd.")
_DESCRIPTORS = re.compile(r"/(proc/(self|thread-self|\d+)(/task/\d+)?/fd|dev/fd)")


def problems(image: Image, working_dir: str = "") -> list[str]:
    """All that speaks against running it; see `check_image`."""
    return list(_problems(image, working_dir))


def check_image(image: Image, working_dir: str) -> None:
    """working_dir: the container's own, which goes before the image's; "" for none. Raises: RuntimeFailure."""
    for problem in _problems(image, working_dir):
        raise RuntimeFailure(f"image is refused: {problem}", reason="CreateContainerConfigError")


def _problems(image: Image, working_dir: str) -> Iterator[str]:
    for label in _addressed(image.labels):
        yield f"its label {label!r} addresses the container runtime"
    ids = [image.user_text] if image.uid is None else [str(image.uid), image.user_text]
    for part in (part for text in ids for part in text.split(":")):
        if part.isdecimal() and int(part) > LARGEST_ID:
            yield f"its user {part} is beyond {LARGEST_ID}"
    chosen = working_dir or image.working_dir
    if leads_through_descriptor(chosen):
        yield f"the working directory {chosen!r} goes through a file descriptor"


def leads_through_descriptor(path: str) -> bool:
    """Whether the way along the path, from the root, comes by the open files of a process.

    Each step counts: `/proc/self/fd/7/../..` goes up from where the descriptor leads, not from where it stands.
    """
    place: list[str] = []
    for step in path.split("/"):
        if step == "..":
            del place[-1:]
        elif step not in ("", "."):
            place.append(step)
        if _DESCRIPTORS.fullmatch("/" + "/".join(place)):
            return True
    return False


def _addressed(labels: Iterable[str]) -> Iterator[str]:
    return (label for label in sorted(labels) if label.startswith(RUNTIME_LABELS))
