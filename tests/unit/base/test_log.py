from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from navarch.base import log as logs
from navarch.base.log import Log, configure, quoted


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_is_one_line_with_facts() -> None:
    out = io.StringIO()
    configure("info", "text", out)
    log = Log("apiserver")
    log.debug("not shown")
    log.info("listening\nhere", port=6443, what="two words", nothing="")
    (line,) = out.getvalue().splitlines()
    assert line.endswith('INFO apiserver: listening\\nhere port=6443 what="two words" nothing=""')


def test_json_holds_facts_and_traceback() -> None:
    out = io.StringIO()
    configure("debug", "json", out)
    try:
        raise KeyError("x")
    except KeyError:
        Log("a").exception("a bug", where="b")
    found = orjson.loads(out.getvalue())
    assert (found["level"], found["room"], found["where"]) == ("error", "a", "b")
    assert "KeyError" in found["traceback"]


def test_quoting() -> None:
    assert quoted("plain-1") == "plain-1"
    assert quoted('a"b') == '"a\\"b"'
    assert quoted(None) == "None"


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        configure("loud")
    with pytest.raises(ValueError, match="xml"):
        configure("info", "xml")  # type: ignore[arg-type]
    assert "info" in logs.LEVELS
