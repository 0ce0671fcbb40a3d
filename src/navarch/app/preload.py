"""A folder of image archives that the node takes in when it starts: for machines without a network.

What was taken in is remembered by the file's size and time, so that a start reads no archive twice; an image that is
gone from the node meanwhile is taken in again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from navarch.agent.imagefile import archive_names
from navarch.agent.runtime import Runtime
from navarch.app.layout import write_atomically
from navarch.app.provision import NotProvisioned
from navarch.base.errors import Retryable
from navarch.base.log import Log

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

Remembered = Mapping[str, Mapping[str, object]]
"""By file name: `size`, `mtime` (ns) and `names`."""

_log = Log("node")


def archives_in(folder: Path) -> Sequence[Path]:
    """In the order of their names."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(ENDINGS) and path.is_file())


def all_but_archives(data: Path, folder: Path) -> Sequence[Path]:
    """What to remove so that `data` is gone, all but archives in its `folder`: people put them there."""
    if not archives_in(folder):
        return [data]
    return sorted(path for path in data.iterdir() if path != folder)


def names_in(folder: Path) -> set[str]:
    """The full names of the images in all archives of the folder; of one that cannot be read, none."""
    found: set[str] = set()
    for archive in archives_in(folder):
        try:
            found.update(archive_names(archive))
        except (ValueError, OSError) as error:
            _log.warning("an archive of images cannot be read", file=str(archive), error=error)
    return found


def known_names(archive: Path, remembered: Remembered) -> Sequence[str]:
    """What the archive held when it was taken in; () if it was not, or is another one now."""
    entry = remembered.get(archive.name)
    stat = archive.stat()
    if entry is None or (entry.get("size"), entry.get("mtime")) != (stat.st_size, stat.st_mtime_ns):
        return ()
    names = entry.get("names")
    return [str(name) for name in names] if isinstance(names, list) else ()


async def take_in(
    folder: Path, memory: Path, runtime: Runtime, put: Callable[[Path], Awaitable[Sequence[str]]]
) -> Sequence[str]:
    """Put what the node does not have yet onto it; returns the names. One bad archive does not keep out the others.

    memory: the file that remembers. put: takes one archive in.
    """
    taken: list[str] = []
    remembered: dict[str, Mapping[str, object]] = {}
    before = _read(memory)
    for archive in archives_in(folder):
        names = known_names(archive, before)
        present = [await runtime.image(name) is not None for name in names]
        if not names or not all(present):
            try:
                names = await put(archive)
            except (NotProvisioned, Retryable) as error:
                _log.error("the images of an archive were not taken in", file=str(archive), error=error)
                continue
            _log.info("images taken in", file=archive.name, images=" ".join(names))
            taken += names
        stat = archive.stat()
        remembered[archive.name] = {"size": stat.st_size, "mtime": stat.st_mtime_ns, "names": list(names)}
    if remembered != before:
        write_atomically(memory, json.dumps(remembered, indent=2) + "\n")
    return taken


def _read(memory: Path) -> Remembered:
    try:
        found = json.loads(memory.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
