"""The commands of `navarch image`: what they do, and how that is shown."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from navarch.agent.imagefile import ImageConfig, full_name
from navarch.app import imagebuild, imagestore, lan, preload
from navarch.app.debian import CACHE
from navarch.app.imagestore import ImageStore, short, size
from navarch.app.layout import Layout
from navarch.cli import output

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `build` was given, as it was written."""

    tags: Sequence[str]
    folder: Path | None
    packages: Sequence[str]
    entrypoint: str
    command: str
    environment: Sequence[str]
    user: str
    workdir: str
    labels: Sequence[str]
    ports: Sequence[str]
    exclude: Sequence[str]
    keep_owners: bool

    def recipe(self) -> imagebuild.Recipe:
        """Raises: imagebuild.BadRecipe."""
        config = ImageConfig(
            entrypoint=_words("--entrypoint", self.entrypoint),
            command=_words("--cmd", self.command),
            environment=imagebuild.pairs(self.environment),
            working_dir=self.workdir,
            user=self.user,
            ports=[port if "/" in port else f"{port}/tcp" for port in self.ports],
            labels=imagebuild.pairs(self.labels),
        )
        recipe = imagebuild.Recipe(
            self.tags, self.folder, self.packages, config, exclude=self.exclude, keep_owners=self.keep_owners
        )
        imagebuild.check(recipe)
        return recipe


def _words(option: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise imagebuild.BadRecipe(f"{option} {text!r}: {error}") from error


def _with_store(layout: Layout, act: Callable[[ImageStore], Awaitable[Result]]) -> Result:
    """Raises: NotProvisioned, agent.runtime.RuntimeFailure."""

    async def play() -> Result:
        async with imagestore.opened(layout) as (store, _):
            return await act(store)

    return asyncio.run(play())


def import_archive(layout: Layout, archive: Path) -> Sequence[str]:
    """For other commands: without a word. Raises: NotProvisioned, agent.runtime.RuntimeFailure."""
    names = _with_store(layout, lambda store: store.take_in(archive, lambda done: None))
    _take_in_elsewhere(layout, [archive])
    return names


async def _quietly(archive: Path, store: ImageStore) -> None:
    await store.take_in(archive, lambda done: None)


def _take_in_elsewhere(layout: Layout, archives: Sequence[Path]) -> None:
    """On the other nodes that this machine plays."""
    for one in lan.present(layout, None):
        for archive in archives:
            _with_store(one.layout, partial(_quietly, archive))


def take_in(layout: Layout, archives: Sequence[Path], *, as_json: bool) -> None:
    async def play(store: ImageStore) -> list[str]:
        names: list[str] = []
        for archive in archives:
            with output.progress(f"Importing {archive.name}", imagestore.size_of(archive), quiet=as_json) as advance:
                found = await store.take_in(archive, advance)
            names += found
            if not as_json:
                print("\n".join(found), flush=True)
        return names

    names = _with_store(layout, play)
    _take_in_elsewhere(layout, archives)
    if as_json:
        output.facts({"images": names})


def show(layout: Layout, *, as_json: bool) -> None:
    images = _with_store(layout, lambda store: store.list())
    if as_json:
        output.facts({"images": [imagestore.document(one) for one in images]})
        return
    rows = [
        (_shown(name), one.image.id.removeprefix("sha256:")[:12], size(one.image.size_bytes), users)
        for one in images
        for users in [imagestore.shown_users(one.users)]
        for name in one.names
    ]
    output.table(("IMAGE", "ID", "SIZE", "USED BY"), rows)
    whole = sum(one.image.size_bytes for one in images)
    if sys.stdout.isatty():
        output.note(f"{len(images)} images, {size(whole)}")


def _shown(name: str) -> str:
    """A digest's first letters tell it apart."""
    rest, at, digest = short(name).partition("@")
    return rest + at + digest[:19] if at else rest


def give_out(layout: Layout, archive: Path, names: Sequence[str], *, as_json: bool) -> None:
    async def play(store: ImageStore) -> int:
        images = await store.list()
        whole = sum(imagestore.find(images, name).image.size_bytes for name in names)
        with output.progress(f"Exporting to {archive.name}", whole, quiet=as_json) as advance:
            return await store.give_out(images, names, archive, advance)

    written = _with_store(layout, play)
    if as_json:
        output.facts({"file": str(archive), "sizeBytes": written, "images": list(names)})
    else:
        output.done(f"{archive}  {size(written)}")


def remove(layout: Layout, names: Sequence[str], *, force: bool, as_json: bool) -> None:
    async def play(store: ImageStore) -> list[str]:
        chosen = imagestore.removable(await store.list(), names, force=force)
        for one, tag in chosen:
            await store.remove(one, tag)
        return [short(tag) if tag else _shown(one.names[0]) for one, tag in chosen]

    removed = _with_store(layout, play)
    _tell_removed(removed, 0, as_json=as_json)


def prune(layout: Layout, *, dry_run: bool, as_json: bool) -> None:
    async def play(store: ImageStore) -> list[imagestore.Held]:
        chosen = imagestore.unused(await store.list(), preload.names_in(layout.images))
        if not dry_run:
            for one in chosen:
                await store.remove(one, "")
        return chosen

    chosen = _with_store(layout, play)
    freed = sum(one.image.size_bytes for one in chosen)
    names = [short(name) for one in chosen for name in one.names]
    _tell_removed(names, freed, as_json=as_json, dry_run=dry_run)


def _tell_removed(names: Sequence[str], freed: int, *, as_json: bool, dry_run: bool = False) -> None:
    if as_json:
        facts: dict[str, Any] = {"removed": [] if dry_run else list(names)}
        output.facts(
            facts | ({"wouldRemove": list(names)} if dry_run else {}) | ({"freedBytes": freed} if freed else {})
        )
        return
    for name in names:
        print(f"{name} {'would be removed' if dry_run else 'removed'}")
    if not names:
        print("nothing to remove: every image is used by a pod, or lies in the folder of images")
    elif freed:
        output.note(f"{size(freed)} {'would be free' if dry_run else 'freed'}")


def build(layout: Layout, wanted: Wanted, file: Path | None, *, as_json: bool) -> None:
    recipe = wanted.recipe()
    facts: dict[str, Any] = {"names": [full_name(tag) for tag in recipe.tags]}

    def play(archive: Path) -> None:
        with output.spinning(f"Building {recipe.tags[0]}") as say:
            facts["id"] = imagebuild.build(recipe, archive, CACHE, say)
        facts["sizeBytes"] = imagestore.size_of(archive)
        if file is None:
            _with_store(layout, lambda store: _put(store, archive, quiet=as_json))
            _take_in_elsewhere(layout, [archive])

    if file is None:
        imagestore.check_running(layout)
        imagebuild.in_passing(play)
    else:
        play(file)
        facts["file"] = str(file)
    if as_json:
        output.facts(facts)
        return
    where = f"  in {file}" if file is not None else ""
    shown = facts["id"].removeprefix("sha256:")[:12]
    output.done(f"{', '.join(map(short, facts['names']))}  {shown}  {size(facts['sizeBytes'])}{where}")


async def _put(store: ImageStore, archive: Path, *, quiet: bool) -> Sequence[str]:
    with output.progress("Putting it onto the node", imagestore.size_of(archive), quiet=quiet) as advance:
        return await store.take_in(archive, advance)
