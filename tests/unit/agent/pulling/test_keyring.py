"""Whose credentials open which registry."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.pulling.keyring import Credential, Origin, choose, entries, matches, plain, unique
from navarch.agent.runtime import RegistryAuth

label = st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True)
host = st.lists(label, min_size=2, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("pattern", "repository", "fits"),
    [
        ("r.test", "r.test/a", True),
        ("r.test", "r.test:5000/a", False),
        ("r.test:5000", "r.test:5000/a", True),
        ("r.test:5000", "r.test:5001/a", False),
        ("*.r.test", "eu.r.test/a", True),
        ("*.r.test", "r.test/a", False),
        ("*.r.test", "a.eu.r.test/a", False),
        ("*.*.test", "eu.r.test/a", True),
        ("eu-*.r.test", "eu-1.r.test/a", True),
        ("r?.test", "r1.test/a", True),
        ("r?.test", "r.test/a", False),
        ("r.test/team", "r.test/team/a", True),
        ("r.test/team", "r.test/other/a", False),
        ("rxtest", "r.test/a", False),
        ("r.test", "rxtest/a", False),
    ],
)
def test_a_pattern_stands_for_labels_ports_and_beginnings(pattern: str, repository: str, fits: bool) -> None:
    assert matches(pattern, repository) is fits


@pytest.mark.parametrize(
    ("key", "as_read"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("http://r.test:5000/v2/", "r.test:5000"),
        ("r.test/v2/team", "r.test/team"),
        ("r.test/v2beta", "r.test/v2beta"),
        ("r.test/", "r.test"),
    ],
)
def test_keys_are_read_as_docker_writes_them(key: str, as_read: str) -> None:
    assert plain(key) == as_read


def test_both_forms_of_a_secret_are_read() -> None:
    packed = base64.b64encode(b"bob:pass:word").decode()
    new = {".dockerconfigjson": json.dumps({"auths": {"r.test": {"auth": packed}}}).encode()}
    old = {".dockercfg": json.dumps({"r.test": {"username": "bob", "password": "pass:word"}}).encode()}
    assert entries(new) == entries(old) == {"r.test": RegistryAuth("bob", "pass:word")}
    tokens = {
        ".dockerconfigjson": json.dumps({"auths": {"r.test": {"identitytoken": "i", "registrytoken": "t"}}}).encode()
    }
    assert entries(tokens) == {"r.test": RegistryAuth(identity_token="i", registry_token="t")}


@pytest.mark.parametrize(
    "data",
    [b"no json", b"[]", b'{"auths": [1]}', b'{"auths": {"r": 1}}', b'{"auths": {"r": {"auth": "!"}}}', b'"x"', b"\xff"],
)
def test_a_malformed_secret_counts_as_empty(data: bytes) -> None:
    assert entries({".dockerconfigjson": data}) == {}


def test_the_most_specific_entry_comes_first() -> None:
    found = {name: RegistryAuth(name) for name in ("r.test", "*.test", "r.test/team", "r.test/team/app", "x.test")}
    assert [auth.username for auth in choose("r.test/team/app", found)] == [
        "r.test/team/app",
        "r.test/team",
        "r.test",
        "*.test",
    ]


def test_a_hash_tells_credentials_apart_and_gives_nothing_away() -> None:
    one = Credential(RegistryAuth("bob", "secret"), secret=Origin("1", "a", "b"))
    same = Credential(RegistryAuth("bob", "secret"), secret=Origin("2", "c", "d"))
    other = Credential(RegistryAuth("bobs", "ecret"))
    assert one.hash == same.hash != other.hash
    assert "secret" not in one.hash
    assert unique([one, same, one, other]) == [one, same, other]


@given(host, st.lists(label, min_size=1, max_size=3).map("/".join), st.data())
def test_a_star_in_place_of_any_label_still_fits(name: str, path: str, data: Any) -> None:
    words = name.split(".")
    index = data.draw(st.integers(0, len(words) - 1))
    words[index] = "*"
    assert matches(".".join(words), f"{name}/{path}")
    assert not matches(".".join(words), f"more.{name}/{path}")
    assert not matches(".".join(words[1:]), f"{name}/{path}")


@given(st.text(max_size=20), st.text(max_size=30))
def test_any_pattern_has_an_answer(pattern: str, repository: str) -> None:
    assert matches(pattern, repository) in (True, False)
