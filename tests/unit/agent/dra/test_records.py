"""What is prepared and given back when, whatever pods come and go, share, fail and die in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.dra.asked import Asked, ClaimFailure
from navarch.agent.dra.records import (
    Device,
    Key,
    Record,
    decode,
    devices_of,
    encode,
    held_by,
    preparing,
    ready,
    unpreparing,
)

PODS = ("p1", "p2", "p3")
CLAIMS = ("c1", "c2")
DRIVERS = {"c1": ("a.org",), "c2": ("a.org", "b.org")}
acts = st.tuples(
    st.sampled_from(["prepare", "unprepare"]),
    st.sampled_from(PODS),
    st.lists(st.sampled_from(CLAIMS), min_size=1, unique=True),
    st.sampled_from(["", "a.org", "b.org"]),
    st.booleans(),
)
texts = st.text(max_size=5)
devices = st.builds(
    Device, texts, texts, st.lists(texts, max_size=2).map(tuple), st.lists(texts, max_size=2).map(tuple), texts
)
kept = st.builds(
    Record,
    texts,
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.dictionaries(texts, st.lists(devices, max_size=2).map(tuple), max_size=2),
    st.booleans(),
)


def asked(claim: str, uid: str = "") -> Asked:
    return Asked("ns", claim, uid or f"uid-{claim}", DRIVERS[claim])


@given(st.lists(acts, max_size=25))
def test_nothing_that_a_pod_uses_is_taken_back_and_nothing_is_forgotten(
    history: list[tuple[str, str, list[str], str, bool]],
) -> None:
    """Drivers fail at times, and agents die, with what they wrote down: what is left is what is remembered."""
    known: dict[Key, Record] = {}
    told: Counter[tuple[str, str]] = (
        Counter()
    )  # by driver and claim, how often it was prepared without being taken back
    running: dict[str, set[str]] = {pod: set() for pod in PODS}
    for what, pod, claims, broken, dies in history:
        if what == "prepare":
            made = preparing(known, pod, [asked(claim) for claim in claims])
            known |= made.changed
            done = True
            for driver, batch in made.calls.items():
                assert len({one.key for one in batch}) == len(batch)
                for one in batch:
                    told[driver, one.name] = 1
                if driver == broken:
                    done = False
                    break
            if done and not dies:
                known |= {one.key: replace(one, prepared=True) for one in made.open}
            if ready(known, pod, [("ns", claim) for claim in claims]):
                running[pod] |= set(claims)
        else:
            running[pod].clear()
            made = unpreparing(known, pod)
            alive = {claim for others in running.values() for claim in others}
            stopped = False
            for driver, batch in made.calls.items():
                assert alive.isdisjoint(one.name for one in batch)
                if stopped := driver == broken:
                    break
                for one in batch:
                    told[driver, one.name] = 0
            if not stopped and not dies:
                known |= made.changed
                for one in made.open:
                    del known[one.key]
        known = decode(encode("boot", known), "boot")
        for pod_, claims_ in running.items():
            assert ready(known, pod_, [("ns", claim) for claim in claims_])
        for (driver, claim), times in told.items():
            assert not times or driver in known["ns", claim].drivers, "a driver has what nobody remembers"
    for pod in PODS:
        made = unpreparing(known, pod)
        known |= made.changed
        for one in made.open:
            del known[one.key]
    assert known == {}


def test_claims_that_pods_share_are_prepared_once_and_given_back_once() -> None:
    first = preparing({}, "p1", [asked("c1"), asked("c2")])
    assert {driver: [one.name for one in batch] for driver, batch in first.calls.items()} == {
        "a.org": ["c1", "c2"],
        "b.org": ["c2"],
    }
    known = {one.key: replace(one, prepared=True) for one in first.open}
    second = preparing(known, "p2", [asked("c2")])
    assert second.calls == {}
    known |= second.changed
    assert ready(known, "p2", [("ns", "c2")])
    assert not ready(known, "p2", [("ns", "c1")])
    assert not ready(known, "p2", [("ns", "none")])
    assert [one.name for one in held_by(known, "p2")] == ["c2"]
    gone = unpreparing(known, "p1")
    assert [one.name for one in gone.open] == ["c1"]
    assert gone.changed[("ns", "c2")].pods == ("p2",)
    assert unpreparing({}, "p1").calls == {}


def test_another_claim_of_the_same_name_waits_for_the_old_one() -> None:
    known = preparing({}, "p1", [asked("c1")]).changed
    with pytest.raises(ClaimFailure, match="old ResourceClaim with same name c1 and different UID uid-c1 still exists"):
        preparing(known, "p2", [asked("c1", "uid-new")])


@given(st.lists(kept, max_size=4), st.booleans())
def test_what_is_written_down_is_read_again(records: list[Record], rebooted: bool) -> None:
    known = {one.key: one for one in records}
    found = decode(encode("boot", known), "other" if rebooted else "boot")
    assert found == ({key: replace(one, prepared=False) for key, one in known.items()} if rebooted else known)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"claims": [{"name": 1}]}', b'{"claims": 7}'])
def test_a_file_that_is_none_is_told_of(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(data, "boot")


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ("", ["all", "left", "right/large", "right/small"]),
        ("left", ["all", "left"]),
        ("right", ["all", "right/large", "right/small"]),
        ("right/small", ["all", "right/small"]),
        ("nobody", ["all"]),
    ],
)
def test_devices_belong_to_requests_of_their_claim(request_: str, names: list[str]) -> None:
    listed = (Device("p", "all"), *(Device("p", name, (name,)) for name in ("left", "right/large", "right/small")))
    record = Record("ns", "c", "u", (), {"a.org": listed})
    assert [device.name for _, device in devices_of(record, request_)] == names
