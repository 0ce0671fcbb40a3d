"""Which images a node holds, who uses them, and what may be removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.runtime import Image, PodOnNode
from navarch.app.imagestore import InUse, NoSuchImage, find, held, removable, short, shown_users, size, unused
from navarch.app.pause import PAUSE_IMAGE
from navarch.app.provision import NotProvisioned
from tests.unit.agent.pods import instance

IDS = {name: f"sha256:{letter * 60}0000" for name, letter in (("web", "a"), ("api", "b"), ("old", "c"), ("pause", "d"))}
IMAGES = [
    Image(IDS["web"], ("r.test/web:1", "r.test/web:stable", "r.test/web@sha256:1"), 2_000_000),
    Image(IDS["api"], ("docker.io/library/api:2",), 1_000_000),
    Image(IDS["old"], ("r.test/web@sha256:9",), 500_000, digests=("r.test/web@sha256:9",)),
    Image(IDS["pause"], (PAUSE_IMAGE,), 1000),
]


def node(*refs: str) -> list[PodOnNode]:
    """One pod for each image reference."""
    from dataclasses import replace

    return [
        PodOnNode(f"u{number}", "default", f"pod-{number}", (), (replace(instance(), image_ref=ref),))
        for number, ref in enumerate(refs)
    ]


def test_images_stand_by_their_names_with_who_uses_them() -> None:
    found = held(IMAGES, node(IDS["api"], "r.test/web@sha256:1", "r.test/web@sha256:1"))
    assert [(one.names[0], one.users) for one in found] == [
        ("docker.io/library/api:2", ("default/pod-0",)),
        (PAUSE_IMAGE, ("every pod's sandbox",)),
        ("r.test/web:1", ("default/pod-1", "default/pod-2")),
        ("r.test/web@sha256:9", ()),
    ]


@pytest.mark.parametrize("name", ["api:2", "docker.io/library/api:2", IDS["api"], "bbbb", f"sha256:{'b' * 8}"])
def test_an_image_is_found_by_any_of_its_names(name: str) -> None:
    assert find(held(IMAGES, []), name).image.id == IDS["api"]


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(NoSuchImage, match="has no image api:3"):
        find(held(IMAGES, []), "api:3")
    twins = [Image(f"sha256:abcd{letter}", (f"x:{letter}",)) for letter in "12"]
    with pytest.raises(NotProvisioned, match="beginning of 2 images"):
        find(held(twins, []), "abcd")


def test_a_name_is_taken_off_before_the_image_goes() -> None:
    images = held(IMAGES, [])
    assert [tag for _, tag in removable(images, ["r.test/web:1"], force=False)] == ["r.test/web:1"]
    assert [tag for _, tag in removable(images, ["r.test/web:1", "r.test/web:stable"], force=False)] == [
        "r.test/web:1",
        "",
    ]
    assert [tag for _, tag in removable(images, [IDS["web"], "api:2"], force=False)] == ["", ""]


def test_what_pods_use_stays_unless_it_is_forced() -> None:
    images = held(IMAGES, node(*[IDS["api"]] * 7))
    with pytest.raises(InUse) as caught:
        removable(images, ["api:2", PAUSE_IMAGE, "r.test/web:1"], force=False)
    text = str(caught.value)
    assert (
        "api:2 is used by default/pod-0, default/pod-1, default/pod-2, default/pod-3, default/pod-4 and 2 more" in text
    )
    assert "every pod's sandbox" in text
    assert len(removable(images, ["api:2", PAUSE_IMAGE], force=True)) == 2


def test_unused_is_what_no_pod_wants_and_nobody_keeps() -> None:
    images = held(IMAGES, node(IDS["api"]))
    assert [one.image.id for one in unused(images, [])] == [IDS["web"], IDS["old"]]
    assert [one.image.id for one in unused(images, ["r.test/web:stable"])] == [IDS["old"]]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_600, "1.00 MB"),
        (5_000_000_000, "5.00 GB"),
    ],
)
def test_sizes_have_three_digits(count: int, text: str) -> None:
    assert size(count) == text


@given(st.integers(0, 10**15))
def test_every_size_is_short(count: int) -> None:
    assert len(size(count)) <= 8


def test_users_are_shown_in_a_line() -> None:
    assert shown_users(()) == "-"
    assert shown_users(("a/x",)) == "a/x"
    assert shown_users(("a/x", "a/y", "b/z")) == "a/x, a/y and 1 more"
    assert short("docker.io/library/nginx:1") == "nginx:1"
    assert short("docker.io/team/app:1") == "team/app:1"
