"""What `--registry` takes, and what it refuses."""

from __future__ import annotations

import pytest

from navarch.app.registries import BadRegistry, parse


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("mirror.lan:5000=http://192.0.2.7:5000", "mirror.lan:5000", "http://192.0.2.7:5000"),
        ("docker.io=https://mirror.lan/", "docker.io", "https://mirror.lan"),
        ("registry.lan:5000", "registry.lan:5000", "http://registry.lan:5000"),
        ("localhost:5000=http://[::1]:5000", "localhost:5000", "http://[::1]:5000"),
    ],
)
def test_a_registry_has_a_name_and_a_place(text: str, name: str, url: str) -> None:
    assert parse([text]) == {name: url}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=http://x",
        "Upper:5000",
        "a/b=http://x",
        "a=ftp://x",
        "a=http://",
        "a=http://x:port",
        "a=x:5000",
        "-=http://x",
    ],
)
def test_what_names_no_registry_or_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadRegistry, match="is no"):
        parse([text])


def test_the_last_of_two_holds() -> None:
    assert parse(["a=http://one", "a=http://two"]) == {"a": "http://two"}
