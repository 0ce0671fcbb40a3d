"""Who may use an image that is on the node (KEP 2535)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.pulling.keyring import Credential, Origin
from navarch.agent.pulling.records import (
    ALLOWED,
    ALWAYS,
    NEVER,
    PRELOADED,
    PullRecords,
    Verification,
    forget,
    merged,
    permits,
)
from navarch.agent.runtime import Image, RegistryAuth
from navarch.base.clock import SystemClock


class HandClock(SystemClock):
    """A moment that the test moves on."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


NOW = "2030-01-01T00:00:00Z"
REPOSITORY = "r.test/app"


def of_secret(name: str = "s", user: str = "u", uid: str = "1") -> Credential:
    return Credential(RegistryAuth(user, "p"), secret=Origin(uid, "default", name))


def of_account(name: str = "sa", user: str = "token") -> Credential:
    return Credential(RegistryAuth(user), account=Origin("2", "default", name))


@pytest.mark.parametrize(
    ("policy", "ours", "preloaded"),
    [(NEVER, False, False), (PRELOADED, True, False), (ALLOWED, True, True), (ALWAYS, True, True)],
)
def test_the_policy_says_when_to_verify(policy: str, ours: bool, preloaded: bool) -> None:
    assert Verification(policy).required(REPOSITORY, pulled=True) is ours
    assert Verification(policy).required(REPOSITORY, pulled=False) is preloaded


@pytest.mark.parametrize(
    ("allowed", "required"),
    [("r.test/app", False), ("r.test/*", False), ("r.test/ap", True), ("r.test", True), ("*", True), ("r.tes/*", True)],
)
def test_an_allowed_image_that_was_there_before_is_free(allowed: str, required: bool) -> None:
    assert Verification(ALLOWED, (allowed,)).required(REPOSITORY, pulled=False) is required
    assert Verification(ALLOWED, (allowed,)).required(REPOSITORY, pulled=True)


def test_who_has_the_credentials_may_use_it() -> None:
    record = merged(None, "sha256:1", REPOSITORY, of_secret(), NOW)
    assert permits(record, REPOSITORY, [of_secret()])
    assert permits(record, REPOSITORY, [of_secret("other name", uid="9")]), "the same credentials elsewhere"
    assert permits(record, REPOSITORY, [of_secret(user="renewed")]), "the same Secret, whose content changed"
    assert not permits(record, REPOSITORY, [of_secret("other", "other", "9")])
    assert not permits(record, REPOSITORY, [])
    assert not permits(record, "r.test/elsewhere", [of_secret()])
    assert not permits(None, REPOSITORY, [of_secret()])


def test_a_secret_of_unknown_uid_is_known_by_its_content_alone() -> None:
    record = merged(None, "sha256:1", REPOSITORY, of_secret(uid=""), NOW)
    assert permits(record, REPOSITORY, [of_secret(uid="")])
    assert not permits(record, REPOSITORY, [of_secret(user="other", uid="")])


def test_accounts_are_known_by_their_name_and_uid() -> None:
    record = merged(None, "sha256:1", REPOSITORY, of_account(), NOW)
    assert permits(record, REPOSITORY, [of_account(user="a new token")])
    assert not permits(record, REPOSITORY, [of_account("other")])


def test_what_was_pulled_without_credentials_is_free_for_ever() -> None:
    record = merged(None, "sha256:1", REPOSITORY, of_secret(), NOW)
    record = merged(record, "sha256:1", REPOSITORY, None, NOW)
    assert record["credentialMapping"][REPOSITORY] == {"nodePodsAccessible": True}
    record = merged(record, "sha256:1", REPOSITORY, of_secret("other"), NOW)
    assert permits(record, REPOSITORY, [])
    assert not permits(record, "r.test/elsewhere", [])
    node_wide = merged(None, "sha256:1", REPOSITORY, Credential(RegistryAuth("node")), NOW)
    assert permits(node_wide, REPOSITORY, [])


credentials = st.one_of(
    st.builds(of_secret, st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("12")),
    st.builds(of_account, st.sampled_from("abc")),
)


@given(st.lists(credentials, max_size=12))
def test_each_that_was_used_may_use_it_and_the_record_does_not_grow_twice(used: list[Credential]) -> None:
    record: dict[str, Any] | None = None
    for credential in used:
        record = merged(record, "sha256:1", REPOSITORY, credential, NOW)
        assert permits(record, REPOSITORY, [credential])
        assert merged(record, "sha256:1", REPOSITORY, credential, NOW) == record
    for credential in used:
        if credential.account is not None or credential.secret == used[-1].secret:
            assert permits(record, REPOSITORY, [credential])
    assert not permits(record, REPOSITORY, [of_secret("d", "w", "3")])


# on disk


def test_records_survive_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        first = PullRecords(tmp_path, SystemClock())
        await first.load([])
        await first.begin("r.test/app:1")
        assert first.is_ours("r.test/app:1", "sha256:1")
        assert len(list((tmp_path / "pulling").iterdir())) == 1
        await first.pulled("sha256:1", REPOSITORY, of_secret())
        await first.end("r.test/app:1")
        assert not list((tmp_path / "pulling").iterdir())
        again = PullRecords(tmp_path, SystemClock())
        await again.load([])
        assert again.is_ours("any name", "sha256:1")
        assert permits(again.of("sha256:1"), REPOSITORY, [of_secret()])
        [path] = (tmp_path / "pulled").iterdir()
        document = json.loads(path.read_text())
        assert (document["kind"], document["imageRef"]) == ("ImagePulledRecord", "sha256:1")
        [entry] = document["credentialMapping"][REPOSITORY]["kubernetesSecretCoordinates"]
        assert (entry["uid"], entry["namespace"], entry["name"]) == ("1", "default", "s")
        assert '"p"' not in path.read_text()
        await again.prune(["sha256:2"], SystemClock().now() + timedelta(seconds=2))
        assert not list((tmp_path / "pulled").iterdir())

    asyncio.run(run())


def test_what_arrived_while_the_agent_was_away_is_not_free(tmp_path: Path) -> None:
    async def run() -> None:
        killed = PullRecords(tmp_path, SystemClock())
        await killed.load([])
        await killed.begin("r.test/app:1")
        await killed.begin("r.test/never:1")
        again = PullRecords(tmp_path, SystemClock())
        await again.load([Image("sha256:1", ("r.test/app:1",)), Image("sha256:2", ("r.test/preloaded:1",))])
        assert again.is_ours("r.test/app:1", "sha256:1")
        assert not permits(again.of("sha256:1"), REPOSITORY, [of_secret()])
        assert not again.is_ours("r.test/preloaded:1", "sha256:2")
        assert again.is_ours("r.test/never:1", "sha256:3"), "it may still come"

    asyncio.run(run())


def test_a_file_that_is_broken_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pulled").mkdir()
    (tmp_path / "pulled" / "sha256-1").write_text("{")
    (tmp_path / "pulled" / "sha256-2").write_text("[]")

    async def run() -> None:
        records = PullRecords(tmp_path, SystemClock())
        await records.load([])
        assert records.of("sha256:1") is None

    asyncio.run(run())


def kept(tmp_path: Path) -> list[str]:
    return sorted(json.loads(path.read_bytes())["imageRef"] for path in (tmp_path / "pulled").iterdir())


def test_records_of_images_that_are_gone_go_and_younger_ones_stay(tmp_path: Path) -> None:
    clock = HandClock()

    async def play() -> None:
        records = PullRecords(tmp_path, clock)
        await records.load([])
        for name in ("here", "gone"):
            await records.pulled(f"sha256:{name}", REPOSITORY, of_secret())
        clock.advance(10)
        listed_at = clock.now()
        clock.advance(0.5)
        await records.pulled("sha256:young", REPOSITORY, of_secret())
        await records.prune(["sha256:here"], listed_at)
        assert kept(tmp_path) == ["sha256:here", "sha256:young"]
        assert records.of("sha256:gone") is None
        assert not records.is_ours("r.test/app", "sha256:gone"), "brought back from a file, it was there before"
        clock.advance(10)
        await records.prune([], clock.now())
        assert kept(tmp_path) == []

    asyncio.run(play())


def test_a_record_that_was_taken_away_with_its_image_counts_no_more(tmp_path: Path) -> None:
    async def play() -> None:
        records = PullRecords(tmp_path, HandClock())
        await records.load([])
        await records.pulled("sha256:1", REPOSITORY, of_secret())
        assert records.is_ours("r.test/app", "sha256:1")
        forget(tmp_path, ["sha256:1", "sha256:never"])
        assert records.of("sha256:1") is None
        assert not records.is_ours("r.test/app", "sha256:1")

    asyncio.run(play())


def test_a_record_that_could_not_be_written_still_counts(tmp_path: Path) -> None:
    async def play() -> None:
        records = PullRecords(tmp_path, HandClock())
        await records.load([])
        (tmp_path / "pulled").rmdir()
        (tmp_path / "pulled").write_text("in the way")
        await records.pulled("sha256:1", REPOSITORY, of_secret())
        assert records.is_ours("r.test/app", "sha256:1")

    asyncio.run(play())
