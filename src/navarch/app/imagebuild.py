"""Small images without a registry and without a builder: from a folder, from Debian packages, or from both.

Layers are written with fixed times and in order, so that the same input gives the same image on every machine.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from navarch.agent import imagechecks
from navarch.agent.imagefile import Folder, ImageConfig, Layer, write_archive
from navarch.agent.pulling import names
from navarch.agent.runtime import Image
from navarch.app.debian import build_root
from navarch.app.provision import NotProvisioned

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?(?:=[\w.+~:-]+)?", re.ASCII)
VARIABLE = re.compile(r"[^=\0]+", re.ASCII)
PORT = re.compile(r"[0-9]{1,5}(?:/(?:tcp|udp|sctp))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Recipe:
    """folder: its content becomes the root, above that of the packages. exclude: paths of it that are left out."""

    tags: Sequence[str]
    folder: Path | None = None
    packages: Sequence[str] = ()
    config: ImageConfig = field(default_factory=ImageConfig)
    exclude: Sequence[str] = ()
    keep_owners: bool = False
    compress: bool = False


class BadRecipe(NotProvisioned):
    """What was asked for makes no image; every reason is named."""


def check(recipe: Recipe) -> None:
    """Raises: BadRecipe."""
    faults = [] if recipe.tags else ["an image needs a name: -t NAME:TAG"]
    if recipe.folder is None and not recipe.packages:
        faults.append("an image needs something in it: a FOLDER, --debian PACKAGE,..., or both")
    for tag in recipe.tags:
        try:
            if names.parse(tag).digest:
                faults.append(f"-t {tag}: an image is built under a tag, not a digest")
        except names.InvalidName as error:
            faults.append(f"-t {tag}: {error}")
    faults += [f"--debian {name}: no name of a package" for name in recipe.packages if not PACKAGE.fullmatch(name)]
    faults += [
        f"--env {name}: must be NAME=VALUE" for name in recipe.config.environment if not VARIABLE.fullmatch(name)
    ]
    faults += [
        f"--port {port}: must be a number such as 8080 or 53/udp"
        for port in recipe.config.ports
        if not PORT.fullmatch(port)
    ]
    config = recipe.config
    image = Image("", (), labels=tuple(config.labels), user_text=config.user, working_dir=config.working_dir)
    faults += imagechecks.problems(image)
    if faults:
        raise BadRecipe("\n".join(faults))


def build(recipe: Recipe, archive: Path, cache: Path, say: Callable[[str], None]) -> str:
    """Write the archive; returns the image's id. cache: where packages are kept for the next time.

    Raises:
        BadRecipe; NotProvisioned: a file cannot be read; app.debian.CannotFetch: a package cannot be had.
    """
    check(recipe)
    layers: list[Layer] = []
    if recipe.packages:
        say(f"fetching {', '.join(recipe.packages)}")
        layers.append(Folder(build_root(list(recipe.packages), cache)))
    if recipe.folder is not None:
        layers.append(Folder(recipe.folder, keep_owners=recipe.keep_owners, exclude=recipe.exclude))
    say("writing layers")
    tags = [names.parse(tag).full for tag in recipe.tags]
    try:
        return write_archive(archive, tags, layers, recipe.config, compress=recipe.compress)
    except OSError as error:
        raise NotProvisioned(f"{error.filename or archive} cannot be read or written: {error.strerror}") from error


def in_passing(build_into: Callable[[Path], None]) -> None:
    """Call with the path of an archive that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="navarch-image-", dir="/var/tmp") as folder:
        build_into(Path(folder) / "image.tar")


def pairs(texts: Sequence[str]) -> Mapping[str, str]:
    """`NAME=VALUE` -> {NAME: VALUE}; one without `=` has the empty value."""
    return {name: value for name, _, value in (text.partition("=") for text in texts)}
