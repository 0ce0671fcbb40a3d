"""What may be handed to `apply`: a path, YAML or JSON text, documents; and kinds by the names that users type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from navarch.base.errors import BadRequest
from navarch.kinds.kind import Kind
from navarch.kinds.registry import Kinds
from navarch.objects.value import Document

Source = str | PathLike[str] | Mapping[str, Any] | Iterable[Mapping[str, Any]]
SUFFIXES = (".yaml", ".yml", ".json")


def documents(source: Source) -> list[Document]:
    """In order; the items of a `List` one by one. A directory: its manifests by name, without those further down.

    Raises: BadRequest, saying which file and what is wrong with it.
    """
    if isinstance(source, Mapping):
        found: list[Any] = [dict(source)]
    elif isinstance(source, str | PathLike):
        found = _from_text_or_path(source)
    else:
        found = [dict(document) for document in source]
    return [item for document in found for item in _items(document)]


def _from_text_or_path(source: str | PathLike[str]) -> list[Any]:
    if isinstance(source, str) and ("\n" in source or (":" in source and not Path(source).exists())):
        return _parsed(source, "the text")
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    elif path.exists():
        files = [path]
    else:
        raise BadRequest(f"{str(source)!r} is neither a file nor a manifest")
    return [document for file in files for document in _parsed(file.read_text(), str(file))]


def _parsed(text: str, where: str) -> list[Any]:
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise BadRequest(f"{where} is no YAML: {error}") from error


def _items(document: Any) -> Iterator[Document]:
    if not isinstance(document, dict) or "kind" not in document or "apiVersion" not in document:
        raise BadRequest(f"no manifest, it lacks apiVersion or kind: {str(document)[:120]}")
    if document["kind"] == "List":
        for item in document.get("items") or ():
            yield from _items(item)
    else:
        yield document


def kind_of(kinds: Kinds, document: Document) -> Kind:
    """Raises: BadRequest, when there is no such kind."""
    found = kinds.named(document["apiVersion"], document["kind"])
    if found is None:
        raise BadRequest(f'no matches for kind "{document["kind"]}" in version "{document["apiVersion"]}"')
    return found


def kind_named(kinds: Iterable[Kind], name: str) -> Kind:
    """By plural, singular, short name or kind, with or without the group (`deploy`, `deployments.apps`).

    Raises: BadRequest, when there is none.
    """
    wanted = name.lower()
    for kind in kinds:
        if wanted in (kind.plural, kind.one, kind.name.lower(), kind.resource, *kind.short):
            return kind
    raise BadRequest(f'the server doesn\'t have a resource type "{name}"')
