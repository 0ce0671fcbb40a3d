"""YAML that strangers send: read as JSON, or refused before it does harm."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest
from navarch.wire.yaml_text import DEEPEST, parse


def read(text: bytes) -> Any:
    return parse(text, [])


def test_what_it_is_in_json() -> None:
    assert read(b"a: 2020-01-01\n1: on\ntrue: ~\nlist: [1, 2.5, x]\n") == {
        "a": "2020-01-01",
        "1": True,
        "true": None,
        "list": [1, 2.5, "x"],
    }
    assert read(b"") is None
    assert read(b"base: &b {x: 1}\nmore: {<<: *b, y: 2}\n")["more"] == {"x": 1, "y": 2}


def test_keys_that_stand_twice_are_told() -> None:
    twice: list[str] = []
    assert parse(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", twice) == {"a": 3, "b": {"c": 2}}
    assert sorted(twice) == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{a: " * 100_000, b"- " * 100_000, b"[" * 5_000 + b"]" * 5_000])
def test_deep_nesting_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest, match="stand in each other"):
        read(text)


def test_as_deep_as_allowed() -> None:
    found = read(b"[" * DEEPEST + b"]" * DEEPEST)
    for _ in range(DEEPEST - 1):
        (found,) = found
    assert found == []


def test_few_words_that_stand_for_too_much() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]" for n in range(1, 12)]
    began = time.monotonic()
    with pytest.raises(BadRequest, match="excessive aliasing"):
        read("\n".join(lines).encode())
    assert time.monotonic() - began < 30.0
    with pytest.raises(BadRequest, match="stands in itself"):
        read(b"a: &a [*a]")
    with pytest.raises(BadRequest, match="undefined alias"):
        read(b"a: *b")


@pytest.mark.parametrize(
    "text", [b"a: [", b"\x00", b"\xff\xfe\xff", b"a: !!python/object/apply:os.system [ls]", b"? {a: b}"]
)
def test_what_is_no_yaml_of_ours(text: bytes) -> None:
    with pytest.raises(BadRequest, match="error converting YAML to JSON"):
        read(text)


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(text: bytes) -> None:
    with suppress(BadRequest):
        read(text)
