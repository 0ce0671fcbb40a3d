"""YAML from strangers, read as the JSON that it stands for.

The loader recurses in C, where deep nesting ends the process, and aliases let a small text stand for a document that no
memory holds. So the text is first read as a flat row of events, which says how deep and how large it is.
"""

from __future__ import annotations

from typing import Any

import yaml

from navarch.base.errors import BadRequest

DEEPEST = 200
"""No object of the API is nested so deep, and no JSON that is deeper could be written again."""
MOST_ALIASED = 100_000
"""How many values aliases may stand for, all together."""
MOST_VALUES = 300_000
"""How many values and keys there may be: more make no object that could be stored, and take their time to be read."""

MERGE, TEXT = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc, valid-type]
    """Times stay text, keys are text; `twice` says which keys stand more than once."""

    twice: list[str]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for number, (key, below) in enumerate(node.value):
            if key.tag == MERGE:
                continue
            if isinstance(key, yaml.ScalarNode) and key.tag != TEXT:
                text = _written(self.construct_object(key), key.value)
                key = yaml.ScalarNode(TEXT, text, key.start_mark, key.end_mark)
                node.value[number] = (key, below)
            if key.value in seen:
                self.twice.append(f'line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            if isinstance(key.value, str):
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def _written(value: Any, text: str) -> str:
    """A key that is no text, as JSON has it."""
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else text


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _Loader.yaml_implicit_resolvers.items()
}


def parse(text: bytes, twice: list[str]) -> Any:
    """twice: is told of keys that stand in a map more than once. Raises: BadRequest, with the line."""
    try:
        _check(text)
        loader = _Loader(text)
        loader.twice = twice
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadRequest(f"error converting YAML to JSON: yaml: {where}{error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from error


def _check(text: bytes) -> None:
    """Raises: BadRequest, for a text that is nested too deep, or that stands for too much."""
    open_ones: list[tuple[str, int]] = []  # anchors of the collections that we are in, and where they began
    sizes: dict[str, int] = {}
    values = aliased = 0
    parser = _Parser(text)
    try:
        while parser.check_event():
            event = parser.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                open_ones.append((event.anchor or "", values))
                values += 1
                if len(open_ones) > DEEPEST:
                    raise _refused(event, f"more than {DEEPEST} collections stand in each other")
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, began = open_ones.pop()
                if anchor:
                    sizes[anchor] = values - began
            elif isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in open_ones):
                    raise _refused(event, "a value stands in itself")
                size = sizes.get(event.anchor or "", 1)
                values += size
                aliased += size
                if aliased > MOST_ALIASED:
                    raise _refused(event, "document contains excessive aliasing")
            elif isinstance(event, yaml.ScalarEvent):
                values += 1
            if values - aliased > MOST_VALUES:
                raise _refused(event, f"more than {MOST_VALUES} values")
    finally:
        parser.dispose()


def _refused(event: Any, why: str) -> BadRequest:
    return BadRequest(f"error converting YAML to JSON: yaml: line {event.start_mark.line + 1}: {why}")
