"""Which images go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.eviction.thresholds import Observation
from navarch.agent.garbage.images import Past, noted, plan, unused
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import Image

START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = KubeletConfig()
FULL = Observation(100, 1000)
"""90 % used, of which 10 % are to be freed."""
EMPTY = Observation(500, 1000)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def image(name: str, size: int = 60) -> Image:
    return Image(f"sha256:{name}", (f"docker.io/library/{name}:latest",), size, digests=(f"x@sha256:d{name}",))


def names(found: tuple[Image, ...]) -> list[str]:
    return [one.id.removeprefix("sha256:") for one in found]


A, B, C = image("a"), image("b"), image("c")
OLD = {"sha256:a": Past(at(0), at(500)), "sha256:b": Past(at(0), at(100)), "sha256:c": Past(at(0), at(300))}


def test_nothing_goes_while_there_is_room() -> None:
    assert plan([A, B, C], (), OLD, EMPTY, at(1000), CONFIG, at(0)).remove == ()


def test_longest_unused_go_first_and_no_more_than_needed() -> None:
    found = plan([A, B, C], (), OLD, FULL, at(1000), CONFIG, at(0))
    assert names(found.remove) == ["b", "c"]
    assert found.lacking is None


def test_those_in_use_stay_however_they_are_named() -> None:
    for used in ("b", "b:latest", "sha256:b", "x@sha256:db", "docker.io/library/b:latest"):
        assert "b" not in names(plan([A, B, C], {used}, OLD, FULL, at(1000), CONFIG, at(0)).remove)


def test_young_ones_stay() -> None:
    known = {**OLD, "sha256:b": Past(at(950))}
    assert names(plan([A, B, C], (), known, FULL, at(1000), CONFIG, at(0)).remove) == ["c", "a"]


def test_too_little_to_free_is_said() -> None:
    found = plan([A, B, C], {"a", "b"}, OLD, FULL, at(1000), CONFIG, at(0))
    assert names(found.remove) == ["c"]
    assert found.lacking == (100, 60)


def test_those_unused_for_long_go_though_there_is_room_once_that_can_be_known() -> None:
    config = KubeletConfig(image_maximum_gc_age_s=600.0)
    assert names(plan([A, B, C], (), OLD, EMPTY, at(800), config, at(0)).remove) == ["b"]
    assert plan([A, B, C], (), OLD, EMPTY, at(800), config, at(700)).remove == ()


def test_a_disk_of_which_nothing_is_known_asks_for_nothing() -> None:
    assert plan([A], (), OLD, Observation(0, 0), at(1000), CONFIG, at(0)).remove == ()


def test_uses_are_noted_and_what_is_gone_is_forgotten() -> None:
    known = noted([A, B], {"a"}, {"sha256:gone": Past(at(0)), "sha256:b": Past(at(1))}, at(5))
    assert known == {"sha256:a": Past(at(5), at(5)), "sha256:b": Past(at(1))}
    assert noted([A], (), known, at(9)) == {"sha256:a": Past(at(5), at(5))}


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 400), st.booleans()), max_size=10),
    st.integers(0, 1000),
    st.integers(1, 99),
)
def test_no_used_or_young_one_ever_goes_and_no_more_than_needed(
    given: list[tuple[int, int, bool]], available: int, high: int
) -> None:
    images = [image(f"i{number}", size) for number, (_, size, _) in enumerate(given)]
    used = {one.id for one, (_, _, is_used) in zip(images, given, strict=True) if is_used}
    known = {one.id: Past(at(seen)) for one, (seen, _, _) in zip(images, given, strict=True)}
    config = KubeletConfig(image_gc_high_threshold_percent=high, image_gc_low_threshold_percent=high - 1)
    disk = Observation(available, 1000)
    found = plan(images, used, known, disk, at(1000), config, at(0))
    assert all(one.id not in used and (at(1000) - known[one.id].seen_at).total_seconds() >= 120 for one in found.remove)
    if found.remove:
        assert sum(one.size_bytes for one in found.remove[:-1]) < 1000 * (100 - high + 1) // 100 - available
    assert set(found.remove) <= set(unused(images, used, known, at(1000), config))
