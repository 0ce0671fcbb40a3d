"""The images of this machine's node: listed with who uses them, taken in, given out, removed.

CRI names, sizes and removes images; archives go through `ctr`, containerd's own client, for which CRI has no verb.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import lzma
import os
import tarfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from navarch.agent.imagefile import architecture, archive_names, damaged, full_name
from navarch.agent.pulling.names import HUB, LIBRARY
from navarch.agent.pulling.records import forget
from navarch.agent.runtime import Image, PodOnNode, Runtime
from navarch.app import machine
from navarch.app.layout import Layout
from navarch.app.pause import PAUSE_IMAGE
from navarch.app.provision import NotProvisioned
from navarch.app.pulling import RECORDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from navarch.agent.cri import CriRuntime

COPY_BYTES = 1 << 20
LOOK_S = 0.1
SANDBOXES = "every pod's sandbox"

Advance = Callable[[int], None]
"""Told how many bytes are done, counted from the start."""


@dataclass(frozen=True, slots=True)
class Held:
    """An image on the node. tags: full names, in order. users: `namespace/pod`, in order."""

    image: Image
    tags: tuple[str, ...]
    users: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.tags or self.image.digests[:1] or (self.image.id,)


class NoSuchImage(NotProvisioned):
    """Nothing on the node has that name."""


class InUse(NotProvisioned):
    """A pod would lose its image."""


def held(images: Iterable[Image], pods: Iterable[PodOnNode]) -> list[Held]:
    """By name, with who uses them: pods with a container made of the image, running or not."""
    wanted: dict[str, set[str]] = {}
    for pod in pods:
        for container in pod.containers:
            wanted.setdefault(container.image_ref, set()).add(f"{pod.namespace}/{pod.name}")
    found = []
    for image in images:
        tags = tuple(sorted(name for name in image.names if "@" not in name))
        users = {user for name in (image.id, *image.names) for user in wanted.get(name, ())}
        own = (SANDBOXES,) if full_name(PAUSE_IMAGE) in tags else ()
        found.append(Held(image, tags, (*own, *sorted(users))))
    return sorted(found, key=lambda one: one.names)


def find(images: Sequence[Held], name: str) -> Held:
    """By a name as pods write it, by id, or by the beginning of an id.

    Raises:
        NoSuchImage, or NotProvisioned when several fit.
    """
    full = full_name(name)
    for one in images:
        if full in one.image.names or name == one.image.id:
            return one
    plain = name.removeprefix("sha256:")
    fitting = (
        [one for one in images if one.image.id.removeprefix("sha256:").startswith(plain)] if len(plain) > 3 else []
    )
    if len(fitting) > 1:
        raise NotProvisioned(f"{name} is the beginning of {len(fitting)} images' ids: write more of it")
    if not fitting:
        raise NoSuchImage(f"the node has no image {short(full)}; `navarch image list` shows those it has")
    return fitting[0]


def removable(images: Sequence[Held], names: Sequence[str], *, force: bool) -> list[tuple[Held, str]]:
    """What to remove: each image with the tag to take off, "" for the whole image.

    Raises:
        NoSuchImage; InUse, naming every image that is: unless `force`, which takes those of pods too.
    """
    chosen: list[tuple[Held, str]] = []
    refusals = []
    for name in dict.fromkeys(names):
        one = find(images, name)
        full = full_name(name)
        taken = {tag for other, tag in chosen if other is one}
        tag = full if full in one.tags and len(set(one.tags) - taken) > 1 else ""
        if not tag and one.users and not force:
            refusals.append(f"{short(name)} is used by {shown_users(one.users, most=5)}")
        chosen.append((one, tag))
    if refusals:
        raise InUse("\n".join([*refusals, "nothing was removed; --force removes what pods use as well"]))
    return chosen


def unused(images: Sequence[Held], kept: Iterable[str]) -> list[Held]:
    """Those that no pod uses, without those that bear a name in `kept` (full ones)."""
    keep = set(kept)
    return [one for one in images if not one.users and not keep.intersection(one.tags)]


def shown_users(users: Sequence[str], most: int = 2) -> str:
    """`a/x, a/y and 3 more`."""
    if not users:
        return "-"
    more = f" and {len(users) - most} more" if len(users) > most else ""
    return ", ".join(users[:most]) + more


def short(name: str) -> str:
    """As people write it: without the parts that go without saying."""
    return name.removeprefix(f"{HUB}/{LIBRARY}").removeprefix(f"{HUB}/")


def size(count: int) -> str:
    """`1.2 MB`: three digits, in units of a thousand, as other tools show images."""
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    digits = 0 if units[0] == "B" or amount >= 100 else 1 if amount >= 10 else 2
    return f"{amount:.{digits}f} {units[0]}"


def size_of(path: Path) -> int:
    """In bytes. Raises: OSError."""
    return path.stat().st_size


class ImageStore:
    """records: the folder of what images were pulled with, if such a one is kept."""

    def __init__(
        self, runtime: Runtime, socket: Path, snapshotter: str = "overlayfs", records: Path | None = None
    ) -> None:
        self._runtime = runtime
        self._records = records
        self._ctr = ("ctr", "--address", str(socket), "--namespace", "k8s.io")
        self._snapshotter = snapshotter

    async def list(self) -> Sequence[Held]:
        images, pods = await asyncio.gather(self._runtime.images(), self._runtime.observe())
        return held(images, pods.values())

    async def take_in(self, archive: Path, advance: Advance) -> Sequence[str]:
        """Returns the full names that pods can use from now on.

        Raises:
            NotProvisioned: it is no image archive, or containerd does not take it.
        """
        try:
            names = await asyncio.to_thread(archive_names, archive)
        except ValueError as error:
            raise NotProvisioned(str(error)) from error
        except OSError as error:
            raise NotProvisioned(f"{archive} cannot be read: {error.strerror or error}") from error
        words = ("images", "import", "--snapshotter", self._snapshotter, "-")
        process = await self._start(*words, stdin=asyncio.subprocess.PIPE)
        output = await _said(process, _feed(archive, process, advance))
        if process.returncode:
            raise NotProvisioned(f"{archive} was not imported: {await asyncio.to_thread(_why, archive, output)}")
        for name in names:
            await self._appears(name)
        return names

    async def _appears(self, name: str) -> None:
        """CRI hears of an image that came in behind its back by an event."""
        async with asyncio.timeout(30):
            while await self._runtime.image(name) is None:  # noqa: ASYNC110 - CRI tells nobody
                await asyncio.sleep(0.02)

    async def give_out(self, images: Sequence[Held], names: Sequence[str], archive: Path, advance: Advance) -> int:
        """Write an archive that `ctr`, `docker load` and this command read; returns its size in bytes.

        Raises:
            NoSuchImage; NotProvisioned: containerd lacks a part of an image, or the file cannot be written.
        """
        wanted = [_archived_as(find(images, name), full_name(name)) for name in names]
        fresh = archive.with_name(f".{archive.name}.{os.getpid()}")
        words = ("images", "export", "--platform", f"linux/{architecture()}", str(fresh), *dict.fromkeys(wanted))
        try:
            process = await self._start(*words)
            output = await _said(process, _watch_growth(fresh, advance))
            if process.returncode:
                raise NotProvisioned(f"{', '.join(map(short, wanted))} cannot be exported: {_last(output)}")
            fresh.replace(archive)
        finally:
            fresh.unlink(missing_ok=True)
        return size_of(archive)

    async def remove(self, one: Held, tag: str) -> None:
        """tag: take off only this name, which is not the last."""
        if not tag:
            await self._runtime.remove_image(one.image.id)
            if self._records is not None:
                await asyncio.to_thread(forget, self._records, [one.image.id])
            return
        process = await self._start("images", "rm", tag)
        output, _ = await process.communicate()
        if process.returncode:
            raise NotProvisioned(f"{short(tag)} was not removed: {_last(output)}")

    async def _start(self, *words: str, **streams: Any) -> asyncio.subprocess.Process:
        streams = {"stdin": asyncio.subprocess.DEVNULL} | streams
        return await asyncio.create_subprocess_exec(
            *self._ctr, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **streams
        )


async def _said(process: asyncio.subprocess.Process, beside: Coroutine[Any, Any, None]) -> bytes:
    """What the process writes until it ends; `beside` runs meanwhile, and no longer."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(beside)
        output = await process.stdout.read() if process.stdout is not None else b""
        await process.wait()
        task.cancel()
    return output


async def _feed(archive: Path, process: asyncio.subprocess.Process, advance: Advance) -> None:
    if process.stdin is None:
        return
    with archive.open("rb") as file, _unpacked(file) as content, suppress(BrokenPipeError, ConnectionResetError):
        while piece := await asyncio.to_thread(content.read, COPY_BYTES):
            process.stdin.write(piece)
            await process.stdin.drain()
            advance(file.tell())
        process.stdin.close()


def _unpacked(file: BinaryIO) -> IO[bytes] | gzip.GzipFile:
    """What the file holds, told by its beginning: `ctr` takes plain archives only."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    return lzma.LZMAFile(file) if start == b"\xfd7zXZ\0" else file


async def _watch_growth(path: Path, advance: Advance) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        with suppress(FileNotFoundError):
            advance(size_of(path))


def _archived_as(one: Held, full: str) -> str:
    return full if full in one.image.names else one.names[0]


def _why(archive: Path, output: bytes) -> str:
    """containerd says of a damaged part that it is not there."""
    with suppress(OSError, tarfile.TarError):
        if part := damaged(archive):
            return f"it is damaged, the content of {part} is not what its name says; fetch it again"
    return _last(output)


def _last(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("ctr: ") if lines else "ctr says nothing"


def check_running(layout: Layout) -> None:
    """Raises: NotProvisioned."""
    if not machine.containerd_settings(layout).socket.exists():
        raise NotProvisioned("there is no cluster on this machine; `navarch up` makes one")


@asynccontextmanager
async def opened(layout: Layout) -> AsyncIterator[tuple[ImageStore, CriRuntime]]:
    """The images of this machine's node. Raises: NotProvisioned, when there is none."""
    from navarch.agent.cri import CriRuntime
    from navarch.base.clock import SystemClock

    check_running(layout)
    settings = machine.containerd_settings(layout)
    runtime = CriRuntime(settings.socket, SystemClock())
    try:
        yield ImageStore(runtime, settings.socket, settings.snapshotter, layout.agent / RECORDS), runtime
    finally:
        await runtime.close()


def document(one: Held) -> Mapping[str, Any]:
    """`-o json`."""
    return {
        "id": one.image.id,
        "names": list(one.tags),
        "digests": list(one.image.digests),
        "sizeBytes": one.image.size_bytes,
        "usedBy": list(one.users),
    }
