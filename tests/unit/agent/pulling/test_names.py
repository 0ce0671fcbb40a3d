"""Image names, as registries and clients read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.imagefile import full_name
from navarch.agent.pulling.names import InvalidName, Reference, is_id, parse, with_tag

HASH = "0123456789abcdef" * 4

labels = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
hosts = st.builds(lambda first, second, port: f"{first}.{second}{port}", labels, labels, st.sampled_from(["", ":5000"]))
components = st.from_regex(r"[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("team/app:1.2", "docker.io/team/app:1.2"),
        ("index.docker.io/app", "docker.io/library/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("r.test/a_b/c--d", "r.test/a_b/c--d:latest"),
        (f"r.test/a@sha256:{HASH}", f"r.test/a@sha256:{HASH}"),
        (f"r.test/a:1@sha256:{HASH}", f"r.test/a:1@sha256:{HASH}"),
    ],
)
def test_a_name_is_completed(text: str, full: str) -> None:
    assert parse(text).full == full == full_name(text.replace("index.docker.io", "docker.io/library"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("UPPER", "repository name (library/UPPER) must be lowercase"),
        ("r.test/Foo:1", "repository name (Foo) must be lowercase"),
        ("a b", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("", "invalid reference format"),
        ("-x", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("https://x/y", "invalid reference format"),
        ("x:" + "t" * 129, "invalid reference format"),
        ("x@sha256:zz", "invalid reference format"),
        ("x@sha256:" + "0" * 40, "invalid checksum digest length"),
        ("x@md5:" + "0" * 32, "unsupported digest algorithm"),
        ("a" * 300, "must not be more than 255 characters"),
        (HASH, "cannot specify 64-byte hexadecimal strings"),
        ("naïve", "invalid reference format"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse(text)
    assert why in str(caught.value)


def test_only_a_name_without_a_tag_gets_one() -> None:
    assert with_tag("nginx") == "nginx:latest"
    assert with_tag("r.test:5000/a") == "r.test:5000/a:latest"
    assert with_tag("nginx:1") == "nginx:1"
    assert with_tag(f"nginx@sha256:{HASH}") == f"nginx@sha256:{HASH}"
    assert with_tag(f"sha256:{HASH}") == f"sha256:{HASH}"
    assert is_id(f"sha256:{HASH}")
    assert not is_id("sha256:1")


@given(hosts, paths, st.one_of(st.just(""), tags), st.booleans())
def test_every_good_name_survives_a_round_trip(host: str, path: str, tag: str, digest: bool) -> None:
    made = Reference(host, path, tag, f"sha256:{HASH}" if digest else "")
    assert parse(made.full) == (made if tag or digest else Reference(host, path, "latest"))
    assert parse(parse(made.full).full) == parse(made.full)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        found = parse(text)
    except InvalidName:
        return
    assert parse(found.full).repository == found.repository
