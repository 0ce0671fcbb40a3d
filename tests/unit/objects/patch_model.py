"""What the patches come to, written down as slowly and plainly as it can be: copies of everything, searches by eye.

`test_patch_model` holds the code that users get against this.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from navarch.objects.shape import ANY, Shape

ORDER, DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


class Refused(Exception):
    """No object comes of the patch."""


def merge(old: Any, patch: Any) -> Any:
    """The pseudo-code of RFC 7386."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def operate(document: Any, operations: list[Any]) -> Any:
    """RFC 6902, one copy of the whole document for each operation; negative places count from the end."""
    for operation in operations:
        steps = pointer(operation["path"])
        match operation["op"]:
            case "add":
                document = put(document, steps, operation["value"], insert=True)
            case "replace":
                look(document, steps)
                document = put(document, steps, operation["value"], insert=False)
            case "remove":
                document = without(document, steps)
            case "copy":
                document = put(document, steps, look(document, pointer(operation["from"])), insert=True)
            case "move":
                source = pointer(operation["from"])
                if steps != source and steps[: len(source)] == source:
                    raise Refused("into itself")
                value = look(document, source)
                document = put(without(document, source), steps, value, insert=True)
            case "test":
                try:
                    found = look(document, steps)
                except Refused:
                    found = None
                if exact(found) != exact(operation.get("value")):
                    raise Refused("not so")
    if not isinstance(document, dict):
        raise Refused("no object")
    return document


def pointer(text: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]


def place(step: str, length: int) -> int:
    try:
        number = int(step)
    except ValueError:
        raise Refused(step) from None
    if not -length <= number < length:
        raise Refused(step)
    return number % length


def look(document: Any, steps: list[str]) -> Any:
    if not steps:
        return deepcopy(document)
    first, *rest = steps
    if isinstance(document, dict):
        if first not in document:
            raise Refused(first)
        return look(document[first], rest)
    if isinstance(document, list):
        return look(document[place(first, len(document))], rest)
    raise Refused(first)


def put(document: Any, steps: list[str], value: Any, *, insert: bool) -> Any:
    if not steps:
        return deepcopy(value)
    first, *rest = steps
    result = deepcopy(document)
    if isinstance(result, list) and not rest and insert:
        where = len(result) if first == "-" else place(first, len(result) + 1)
        result.insert(where, deepcopy(value))
    elif isinstance(result, list):
        where = place(first, len(result))
        result[where] = put(result[where], rest, value, insert=insert)
    elif isinstance(result, dict):
        if rest and first not in result:
            raise Refused(first)
        result[first] = put(result.get(first), rest, value, insert=insert)
    else:
        raise Refused(first)
    return result


def without(document: Any, steps: list[str]) -> Any:
    if not steps:
        raise Refused("everything")
    look(document, steps)
    first, *rest = steps
    result = deepcopy(document)
    where: Any = place(first, len(result)) if isinstance(result, list) else first
    if rest:
        result[where] = without(result[where], rest)
    else:
        del result[where]
    return result


def exact(value: Any) -> Any:
    """True is not 1."""
    if isinstance(value, dict):
        return {key: exact(below) for key, below in value.items()}
    if isinstance(value, list):
        return [exact(below) for below in value]
    return (isinstance(value, bool), value)


def strategic(old: dict[str, Any], patch: dict[str, Any], shape: Shape) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        return dict(plain(patch))
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise Refused(directive)
    fields = {key: value for key, value in patch.items() if not key.startswith("$")}
    result = deepcopy(old)
    if "$retainKeys" in patch:
        if any(value is not None and key not in patch["$retainKeys"] for key, value in fields.items()):
            raise Refused("says what it does not retain")
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    before = deepcopy(result)
    for key, value in fields.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = field(result.get(key), value, shape.child(key) or ANY)
    for key, order in patch.items():
        name = key.removeprefix(ORDER)
        if key.startswith(ORDER) and name in result and fields.get(name, "") is not None:
            below = shape.child(name) or ANY
            wanted = [name_of(item, below) for item in order]
            said = [name_of(item, below) for item in fields.get(name, []) if not special(item)]
            if wanted and not comes_in(said, wanted):
                raise Refused("the order is another")
            result[name] = ordered(result[name], wanted, before.get(name, []), below)
    for key, doomed in patch.items():
        name = key.removeprefix(DELETE)
        if key.startswith(DELETE) and name in result:
            result[name] = [item for item in result[name] if item not in doomed]
    return result


def comes_in(said: list[Any], wanted: list[Any]) -> bool:
    """Whether `wanted` with some left out is `said`."""
    if not said or not wanted:
        return not said
    return comes_in(said[said[0] == wanted[0] :], wanted[1:])


def field(old: Any, new: Any, shape: Shape) -> Any:
    if isinstance(old, dict) and isinstance(new, dict) and not shape.replaces:
        return strategic(old, new, shape)
    if isinstance(old, list) and isinstance(new, list) and shape.merges:
        return items(old, new, shape)
    return plain(new)


def items(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    said = [item for item in new if not special(item)]
    if any(special(item) not in ("", "replace", "delete") for item in new):
        raise Refused("a directive that is none")
    if any(special(item) == "replace" for item in new):
        return [plain(item) for item in said]
    gone = [name_of(item, shape) for item in new if special(item) == "delete"]
    left = [deepcopy(item) for item in old if name_of(item, shape) not in gone]
    result = deepcopy(left)
    for item in said:
        names = [name_of(one, shape) for one in result]
        if name_of(item, shape) not in names:
            result.append(plain(item))
        elif isinstance(item, dict):
            first = names.index(name_of(item, shape))
            result[first] = strategic(result[first], item, shape.item or ANY)
    return ordered(result, [name_of(item, shape) for item in said], left, shape)


def ordered(found: list[Any], wanted: list[Any], before: list[Any], shape: Shape) -> list[Any]:
    """Those that are wanted in a certain order in it, the others as they were, and both woven together."""
    past = [name_of(item, shape) for item in before]
    all_names = [*past, *(name_of(item, shape) for item in found)]
    mine = [item for name in unique(wanted) for item in found if name_of(item, shape) == name]
    theirs = [
        item for name in unique(all_names) for item in found if name_of(item, shape) == name and name not in wanted
    ]
    return woven(mine, theirs, past, shape)


def woven(mine: list[Any], theirs: list[Any], past: list[Any], shape: Shape) -> list[Any]:
    if not mine or not theirs:
        return mine + theirs
    one, other = name_of(mine[0], shape), name_of(theirs[0], shape)
    if one in past and other in past and past.index(other) < past.index(one):
        return [theirs[0], *woven(mine, theirs[1:], past, shape)]
    return [mine[0], *woven(mine[1:], theirs, past, shape)]


def unique(names: list[Any]) -> list[Any]:
    return [name for place, name in enumerate(names) if name not in names[:place]]


def name_of(item: Any, shape: Shape) -> Any:
    if not shape.merge_key:
        return item
    if item.get(shape.merge_key) is None:
        raise Refused("an item without its key")
    return item[shape.merge_key]


def special(item: Any) -> str:
    return item.get("$patch", "") if isinstance(item, dict) and item.get("$patch") != "merge" else ""


def plain(value: Any) -> Any:
    """Without directives and nulls."""
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items() if below is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [plain(item) for item in value if special(item) not in ("delete", "replace")]
    return deepcopy(value)
