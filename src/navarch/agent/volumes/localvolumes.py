"""Makes `local` PersistentVolumes: a directory, a block device with a file system, or the device itself.

A device without a file system gets one; one that holds something else is refused, never overwritten. A file in the
place of a device is shown through a loop device, which goes when the last pod that uses it has gone.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#local
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from navarch.agent.config import Paths
from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes import kernel, programs
from navarch.agent.volumes.maker import Made, Wanted, mount_options
from navarch.agent.volumes.ownership import own_by_group

NOTHING_FOUND = 2
"""How blkid exits when a device holds nothing that it knows."""
UNCORRECTED = 4
"""How fsck exits when errors are left."""


class LocalVolumes:
    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._loops = asyncio.Lock()

    async def make(self, wanted: Wanted) -> Made:
        path = Path(wanted.source["path"])
        try:
            mode = (await asyncio.to_thread(path.stat)).st_mode
        except FileNotFoundError as error:
            name = wanted.bound.name if wanted.bound else wanted.volume.name
            text = f'MountVolume.NewMounter initialization failed for volume "{name}" : path "{path}" does not exist'
            raise RuntimeFailure(text, reason="FailedMount") from error
        if wanted.block:
            return Made(await self._device(wanted, path, mode), wanted.read_only, device=True)
        if stat.S_ISBLK(mode):
            await self._mount(wanted, str(path))
            path = wanted.path
        elif not stat.S_ISDIR(mode):
            raise wanted.failure("only directory and block device are supported")
        if wanted.fs_group is not None and not wanted.read_only:
            policy = wanted.pod.spec.security_context.fs_group_change_policy
            await asyncio.to_thread(own_by_group, path, wanted.fs_group, policy=policy)
        return Made(path, wanted.read_only)

    # file systems

    async def _mount(self, wanted: Wanted, device: str) -> None:
        if await asyncio.to_thread(kernel.mounted_at, wanted.path):
            return
        kind = wanted.source.get("fsType") or "ext4"
        present = await self._filesystem(wanted, device)
        if not present:
            if wanted.read_only:
                raise wanted.failure(
                    f"cannot mount unformatted disk {device} as we are manipulating it in read-only mode"
                )
            await self._format(wanted, device, kind)
        elif not wanted.read_only:
            code, said = await programs.run("fsck", "-a", device)
            if code == UNCORRECTED:
                raise wanted.failure(f"'fsck' found errors on device {device} but could not correct them: {said}")
        options = ["ro" if wanted.read_only else "rw", *mount_options(wanted)]
        await asyncio.to_thread(wanted.path.mkdir, parents=True, exist_ok=True)
        problem = await programs.mount(kind, device, str(wanted.path), options)
        if problem and present and present != kind:
            text = f'failed to mount the volume as "{kind}", it already contains {present}. Mount error: {problem}'
            raise wanted.failure(text)
        if problem:
            raise wanted.failure(problem)

    async def _filesystem(self, wanted: Wanted, device: str) -> str:
        """What the device holds; "" when nothing. Raises: MountFailure, when it holds no file system but partitions."""
        code, said = await programs.run("blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", device)
        if code == NOTHING_FOUND:
            return ""
        if code != 0:
            raise wanted.failure(f"{device} cannot be looked at: blkid: exit status {code}: {said}")
        found = dict(line.partition("=")[::2] for line in said.splitlines())
        if "TYPE" not in found and "PTTYPE" in found:
            raise wanted.failure(f"{device} holds no file system but a partition table: it is not formatted")
        return found.get("TYPE", "")

    async def _format(self, wanted: Wanted, device: str, kind: str) -> None:
        options = ("-F", "-m0") if kind in ("ext3", "ext4") else ("-f",) if kind == "xfs" else ()
        code, said = await programs.run(f"mkfs.{kind}", *options, device, timeout_s=600)
        if code != 0:
            raise wanted.failure(f"format of disk {device} failed: type:({kind!r}): exit status {code}: {said}")

    # devices

    async def _device(self, wanted: Wanted, path: Path, mode: int) -> Path:
        if stat.S_ISBLK(mode):
            return path
        if not stat.S_ISREG(mode):
            raise wanted.failure(f"{path} is neither a block device nor a file")
        async with self._loops:
            device = await _loop_of(path) or await self._new_loop(wanted, path)
            note = self._paths.devices(wanted.pod.metadata.uid) / wanted.volume.name
            await asyncio.to_thread(_note, note, device)
        return Path(device)

    async def _new_loop(self, wanted: Wanted, path: Path) -> str:
        code, said = await programs.run("losetup", "--find", "--show", str(path))
        if code != 0:
            raise wanted.failure(f"no loop device for {path}: losetup: exit status {code}: {said}")
        return said

    async def remove(self, uid: str) -> None:
        """Let go of the loop devices that no other pod uses."""
        folder = self._paths.devices(uid)
        if not folder.exists():
            return
        async with self._loops:
            others = [link for link in self._paths.pods.glob("*/devices/*") if link.parent != folder]
            used = {os.readlink(link) for link in others}
            for link in sorted(folder.iterdir()):
                device = os.readlink(link)
                if device not in used:
                    code, said = await programs.run("losetup", "--detach", device)
                    if code != 0 and "No such device" not in said:
                        raise RuntimeFailure(f"loop device {device} cannot be let go: {said}")
                link.unlink()


async def _loop_of(path: Path) -> str:
    """The loop device that shows the file already; "" when there is none."""
    code, said = await programs.run("losetup", "--associated", str(path), "--noheadings", "--output", "NAME")
    return said.splitlines()[0].strip() if code == 0 and said else ""


def _note(place: Path, device: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(device)
