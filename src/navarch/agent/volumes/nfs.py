"""Makes volumes that lie on an NFS server, where the kernel can: it is asked before anything is tried.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#nfs
"""

from __future__ import annotations

import asyncio

from navarch.agent.volumes import kernel, programs
from navarch.agent.volumes.maker import Made, Wanted, mount_options


class NfsVolumes:
    async def make(self, wanted: Wanted) -> Made:
        server, path = wanted.source["server"], wanted.source["path"]
        place = f"[{server}]:{path}" if ":" in server else f"{server}:{path}"
        if not await asyncio.to_thread(kernel.known, "nfs"):
            raise wanted.failure(f'cannot mount {place}: this node\'s kernel has no NFS ("nfs" in /proc/filesystems)')
        if not await asyncio.to_thread(kernel.mounted_at, wanted.path):
            await asyncio.to_thread(wanted.path.mkdir, parents=True, exist_ok=True)
            options = [*(["ro"] if wanted.read_only else []), *mount_options(wanted)]
            if problem := await programs.mount("nfs", place, str(wanted.path), options):
                raise wanted.failure(problem)
        return Made(wanted.path, wanted.read_only)

    async def remove(self, uid: str) -> None:
        return None
