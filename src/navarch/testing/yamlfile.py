"""YAML files taken apart into the things that they list, each with the place that messages about it name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from navarch.base.errors import BadRequest

SUFFIXES = (".yaml", ".yml", ".json")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Item:
    """value: what stands there. where: `web.yaml, line 12`. folder: what its relative paths start from."""

    value: Any
    where: str
    folder: Path


def items_of(source: str, folder: Path | None = None) -> Iterator[Item]:
    """Of a file, of each manifest in a folder (by name, none further down), or of standard input (`-`).

    What is a list, or a Kubernetes `List`, comes apart. Raises: BadRequest.
    """
    path = Path(source)
    if folder is not None and not path.is_absolute():
        path = folder / path
    if source == "-":
        yield from _parsed(sys.stdin.read(), "standard input", Path.cwd())
    elif path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        if not files:
            raise BadRequest(f"{source}: there are no manifests in this folder (*.yaml, *.yml, *.json)")
        for file in files:
            yield from _parsed(_text(file), str(file), file.parent)
    else:
        yield from _parsed(_text(path), source, path.parent)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise BadRequest(f"{path}: there is no such file or folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path}: cannot be read: {error}") from None


def _parsed(text: str, name: str, folder: Path) -> Iterator[Item]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            for node in _apart(loader.get_node()):
                value = loader.construct_document(node)
                if value is not None:
                    yield Item(value, f"{name}, line {node.start_mark.line + 1}", folder)
    except yaml.YAMLError as error:
        raise BadRequest(f"{name} is no YAML: {error}") from None
    finally:
        loader.dispose()


def _apart(node: yaml.Node) -> Iterator[yaml.Node]:
    """A list's elements, a `List`'s items, or the node itself."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _apart(one)
        return
    if isinstance(node, yaml.MappingNode):
        fields = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
        kind, items = fields.get("kind"), fields.get("items")
        if kind is not None and str(kind.value).endswith("List") and isinstance(items, yaml.SequenceNode):
            yield from _apart(items)
            return
    yield node
