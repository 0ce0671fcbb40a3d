"""An add-on's image: the one program of a package that pip installed, put onto this machine's nodes and taken off them.

Only the package's own record says where the program is: what else is called so on the machine does not matter.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from navarch.agent.imagefile import ImageConfig, full_name
from navarch.app import imagebuild, imagestore
from navarch.app.addons.addon import Addon
from navarch.app.layout import Layout
from navarch.app.provision import NotProvisioned

GONE_S = 10.0
"""How long the node may take to forget the containers of pods that are deleted."""


def find(
    addon: Addon, distribution: Callable[[str], metadata.Distribution] = metadata.distribution
) -> tuple[str, Path]:
    """The version of the package, and where its program is. Raises: NotProvisioned."""
    hint = f"pip install '{addon.extra}'"
    try:
        found = distribution(addon.distribution)
    except metadata.PackageNotFoundError:
        raise NotProvisioned(
            f"the add-on {addon.name} needs the package {addon.distribution}, which is not installed: {hint}"
        ) from None
    paths = [Path(str(found.locate_file(file))) for file in found.files or () if file.name == addon.program]
    for path in paths:
        if path.is_file():
            return found.version, path.resolve()
    raise NotProvisioned(f"the package {addon.distribution} is installed without {addon.program}: {hint} anew")


def build(addon: Addon, tag: str, program: Path, archive: Path, say: Callable[[str], None]) -> str:
    """Write the archive; returns the image's id. Raises: NotProvisioned."""
    root = archive.with_name("root")
    root.mkdir()
    target = root / addon.program
    try:
        os.link(program, target)
    except OSError:  # on another file system
        shutil.copyfile(program, target)
        target.chmod(0o755)
    config = ImageConfig(entrypoint=[f"/{addon.program}"], user=addon.user)
    return imagebuild.build(imagebuild.Recipe([tag], root, config=config), archive, root, say)


async def lacking(layouts: Sequence[Layout], tag: str) -> list[Layout]:
    """Those of this machine's nodes that do not have it. Raises: NotProvisioned: one does not run."""
    found = []
    for layout in layouts:
        async with imagestore.opened(layout) as (_, runtime):
            if await runtime.image(full_name(tag)) is None:
                found.append(layout)
    return found


async def put(layouts: Sequence[Layout], archive: Path) -> None:
    """Raises: NotProvisioned."""
    for layout in layouts:
        async with imagestore.opened(layout) as (store, _):
            await store.take_in(archive, lambda done: None)


async def drop(layouts: Sequence[Layout], repository: str) -> None:
    """Take every version off the nodes; one that a pod still uses after a while stays. Raises: NotProvisioned."""
    for layout in layouts:
        async with imagestore.opened(layout) as (store, _):
            deadline = asyncio.get_running_loop().time() + GONE_S
            while left := [one for one in await store.list() if _is_of(one, repository)]:
                for one in left:
                    if not one.users:
                        await store.remove(one, "")
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(0.2)


def _is_of(one: imagestore.Held, repository: str) -> bool:
    return any(tag.rpartition(":")[0] == repository for tag in one.tags)
