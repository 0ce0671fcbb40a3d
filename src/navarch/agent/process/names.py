"""What host processes are known by: the handler of their RuntimeClass, and the image that they name for want of one."""

from __future__ import annotations

from navarch.agent.runtime import Image
from navarch.kinds.runtimeclass import HOST_PROCESS_HANDLER

HANDLERS = (HOST_PROCESS_HANDLER,)
IMAGE = "host"
"""What pods say as the image, which the API wants there to be: the host's own file system."""
SPELLINGS = frozenset((IMAGE, f"{IMAGE}:latest", f"docker.io/library/{IMAGE}:latest"))


def host_image() -> Image:
    """Nobody pulls it, and its processes are root's unless the pod says otherwise."""
    return Image(id=IMAGE, names=(IMAGE,), uid=0, fixed=True)
