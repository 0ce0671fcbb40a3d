"""Builds the images that an example declares in its `images.yaml`, from Debian packages and files beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

import navarch
from navarch.agent.imagefile import Folder, ImageConfig, write_archive
from navarch.app.debian import build_root


def folder(name: str) -> Path:
    """Where an example lies: in the installed package, or in the checkout that it was installed from.

    Raises:
        FileNotFoundError: there is no such example.
    """
    package = Path(navarch.__file__).parent
    for place in (package / "examples", package.parents[1] / "examples"):
        if (place / name).is_dir():
            return place / name
    raise FileNotFoundError(f"no example {name!r} beside {package}")


def build_images(example: Path, cache: Path, say: Callable[[str], None]) -> list[Path]:
    """Write one archive for each image of the example into `cache`; what did not change is not built again.

    Raises:
        app.debian.CannotFetch: a package cannot be had.
        ValueError: `images.yaml` is not of the form that the examples show.
    """
    listed = yaml.safe_load((example / "images.yaml").read_text())
    try:
        return [_build(example, cache, image, say) for image in listed["images"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{example / 'images.yaml'}: {error!r} is missing or of the wrong type") from error


def _build(example: Path, cache: Path, image: dict[str, Any], say: Callable[[str], None]) -> Path:
    first = image["names"][0]
    say(f"building {first}")
    root = build_root(image["packages"], cache)
    files = example / image["files"] if "files" in image else None
    newest = max(path.stat().st_mtime_ns for path in [example / "images.yaml", *(files.rglob("*") if files else ())])
    target = cache / "images" / f"{first.rpartition('/')[2].replace(':', '-')}-{root.name}-{newest:x}.tar"
    if target.exists():
        return target
    config = ImageConfig(
        entrypoint=image.get("entrypoint", ()),
        command=image.get("command", ()),
        user=image.get("user", ""),
        ports=image.get("ports", ()),
        stop_signal=image.get("stop_signal", ""),
    )
    layers = [Folder(root), *([Folder(files, keep_owners=False)] if files else ())]
    write_archive(target, image["names"], layers, config)
    return target
