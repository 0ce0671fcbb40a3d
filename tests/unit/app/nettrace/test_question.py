"""The two ends of a question as they are written; what is not clear is told."""

from __future__ import annotations

import pytest

from navarch.app.nettrace.question import SOMEBODY, End, question
from navarch.app.nettrace.steps import BadQuestion, listed


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("pod/a", End("pod", "a", "ns")),
        ("shop/a", End("pod", "a", "shop")),
        ("pod/shop/a", End("pod", "a", "shop")),
        ("node/n0", End("node", "n0")),
        ("world", End("world", SOMEBODY)),
        ("world:198.51.100.7", End("world", "198.51.100.7")),
        ("world:2001:db8::7", End("world", "2001:db8::7")),
    ],
)
def test_who_sends(text: str, end: End) -> None:
    assert question(text, "web", namespace="ns").source == end


@pytest.mark.parametrize(
    ("text", "end", "port"),
    [
        ("svc/web:80", End("service", "web", "ns"), "80"),
        ("service/shop/web", End("service", "web", "shop"), ""),
        ("pod/a", End("pod", "a", "ns"), ""),
        ("web.shop", End("name", "web.shop"), ""),
        ("Example.COM.:http", End("name", "example.com."), "http"),
        ("10.0.0.1:53", End("address", "10.0.0.1"), "53"),
        ("2001:DB8::1", End("address", "2001:db8::1"), ""),
        ("[2001:db8::1]:http", End("address", "2001:db8::1"), "http"),
        ("[2001:db8::1]", End("address", "2001:db8::1"), ""),
        ("node/n0", End("node", "n0"), ""),
    ],
)
def test_where_it_goes(text: str, end: End, port: str) -> None:
    found = question("pod/a", text, namespace="ns")
    assert (found.target, found.port) == (end, port)


@pytest.mark.parametrize(
    ("source", "target", "port", "told"),
    [
        ("web", "svc/web", "", "'web' sends nothing: say pod/NAME"),
        ("svc/web", "svc/web", "", "'svc/web' sends nothing"),
        ("world:somewhere", "svc/web", "", "'somewhere' in 'world:somewhere' is no address; say world"),
        ("pod/a", "a//b", "", "'a//b' is no place to go"),
        ("pod/a", "", "", "'' is no place to go"),
        ("pod/a", "http://web/", "", "is no place to go"),
        ("pod/a", "[2001:db8::1]:x:y", "", "is no place to go"),
        ("pod/a", "[web]:80", "", "is no place to go"),
        ("pod/a", "[10.0.0.1", "", "is no place to go"),
        ("pod/a", "web:80", "81", "says port 80, and --port says 81"),
        ("pod/a", "web", "70000", "70000 is no port"),
        ("pod/a", "web:0", "", "0 is no port"),
    ],
)
def test_what_is_not_clear_is_told(source: str, target: str, port: str, told: str) -> None:
    with pytest.raises(BadQuestion) as caught:
        question(source, target, port=port)
    assert told in str(caught.value)


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcde")) == "a, b, c and 2 more"
