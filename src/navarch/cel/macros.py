"""The macros: they bind one or two names to what a list or a map holds, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from navarch.cel.values import NONE, Fault, Optional, OverBudget

if TYPE_CHECKING:
    from navarch.cel.program import Run, Step

Make = Callable[["Step", tuple[str, ...], list["Step"]], "Step"]
_MISSING: Any = object()


def _bound(run: Run, over: Step, names: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Each (key or index, value), bound while it is looked at; every one is paid for."""
    values = over(run)
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(values, dict):
        pairs = iter(list(values.items()))
    elif isinstance(values, list):
        pairs = enumerate(values)
    else:
        raise Fault("no such overload")
    single = len(names) == 1
    keyed = isinstance(values, dict)
    here = run.names
    before = [here.get(name, _MISSING) for name in names]
    try:
        for key, value in pairs:
            run.left -= 2
            if run.left < 0:
                run.pay(0)
            if single:
                here[names[0]] = key if keyed else value
            else:
                here[names[0]], here[names[1]] = key, value
            yield key, value
    finally:
        for name, old in zip(names, before, strict=True):
            if old is _MISSING:
                here.pop(name, None)
            else:
                here[name] = old


def _quantifier(wanted: bool) -> Make:
    """all (False decides) and exists (True decides); a fault counts only where nothing decides."""

    def make(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
        (body,) = bodies

        def step(run: Run) -> bool:
            fault: Fault | None = None
            walk = _bound(run, over, names)
            try:
                for _ in walk:
                    try:
                        found = body(run)
                    except OverBudget:
                        raise
                    except Fault as one:
                        fault = one
                        continue
                    if found is wanted:
                        return bool(found)
                    if not isinstance(found, bool):
                        fault = Fault("no such overload")
            finally:
                walk.close()  # type: ignore[attr-defined]
            if fault is not None:
                raise fault
            return not wanted

        return step

    return make


def _exists_one(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
    (body,) = bodies
    return lambda run: sum(1 for _ in _bound(run, over, names) if _is_true(body(run))) == 1


def _is_true(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Fault("no such overload")
    return value


def _map(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
    *tests, body = bodies
    return lambda run: [body(run) for _ in _bound(run, over, names) if all(_is_true(test(run)) for test in tests)]


def _filter(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
    (test,) = bodies

    def step(run: Run) -> Any:
        return [run.names[names[0]] for _ in _bound(run, over, names) if _is_true(test(run))]

    return step


def _transform_map(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
    *tests, body = bodies
    return lambda run: {
        key: body(run) for key, _ in _bound(run, over, names) if all(_is_true(test(run)) for test in tests)
    }


def _optional_map(flat: bool) -> Make:
    def make(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
        (body,) = bodies

        def step(run: Run) -> Any:
            run.pay(1)
            found = over(run)
            if not isinstance(found, Optional):
                raise Fault("no such overload")
            if not found.present:
                return NONE
            before = run.names.get(names[0], _MISSING)
            run.names[names[0]] = found.value
            try:
                value = body(run)
            finally:
                if before is _MISSING:
                    del run.names[names[0]]
                else:
                    run.names[names[0]] = before
            return value if flat else Optional(value)

        return step

    return make


def _bind(over: Step, names: tuple[str, ...], bodies: list[Step]) -> Step:
    """`cel.bind(name, value, body)`: a name for a value, in the body."""
    (name,), (body,) = names, bodies

    def step(run: Run) -> Any:
        value = over(run)
        before = run.names.get(name, _MISSING)
        run.names[name] = value
        try:
            return body(run)
        finally:
            if before is _MISSING:
                del run.names[name]
            else:
                run.names[name] = before

    return step


MACROS: dict[str, Make] = {
    "bind": _bind,
    "all": _quantifier(False),
    "exists": _quantifier(True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "map": _map,
    "filter": _filter,
    "transformList": _map,
    "transformMap": _transform_map,
    "optMap": _optional_map(False),
    "optFlatMap": _optional_map(True),
}
