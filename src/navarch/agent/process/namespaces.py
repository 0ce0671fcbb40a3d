"""The namespaces that the containers of a pod share, kept by mounts and not by a process that would have to live.

Source: unshare(1), namespaces(7)
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.process.launch import run
from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes import kernel

NETNS = Path("/run/netns")
SHM_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Shared:
    """Files that namespaces are mounted upon; None for the host's own."""

    folder: Path
    net: Path | None = None
    ipc: bool = True
    uts: bool = True

    @property
    def files(self) -> dict[str, Path]:
        found = {} if self.net is None else {"net": self.net}
        return found | {kind: self.folder / kind for kind in ("ipc", "uts") if getattr(self, kind)}

    @property
    def shm(self) -> Path:
        return self.folder / "shm"


async def make(shared: Shared, hostname: str) -> None:
    """Raises: RuntimeFailure, OSError."""
    await asyncio.to_thread(_prepare, shared)
    if not shared.files:
        return
    flags = [f"--{kind}={path}" for kind, path in shared.files.items()]
    script = 'test -z "$1" || echo "$1" > /proc/sys/kernel/hostname'
    own = hostname if shared.uts else ""
    done = await run(["unshare", *flags, "sh", "-c", script, "sh", own], reason="CreatePodSandboxError")
    if done.exit_code:
        text = done.stderr.decode(errors="replace").strip()
        raise RuntimeFailure(f"the pod's namespaces cannot be made: {text}", reason="CreatePodSandboxError")


def _prepare(shared: Shared) -> None:
    """Raises: OSError."""
    for path in shared.files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if shared.ipc:
        shared.shm.mkdir(exist_ok=True)
        kernel.mount_tmpfs(shared.shm, SHM_BYTES, 0o1777)


def remove(shared: Shared) -> None:
    """What is not there is fine. Blocks. Raises: OSError."""
    for path in (*shared.files.values(), shared.shm):
        kernel.unmount(path)
    for path in shared.files.values():
        path.unlink(missing_ok=True)
    shutil.rmtree(shared.shm, ignore_errors=True)


def there(shared: Shared) -> bool:
    """Whether all of them are still mounted."""
    return all(kernel.mounted_at(path) for path in shared.files.values())
