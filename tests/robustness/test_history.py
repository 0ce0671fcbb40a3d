"""What the API promises of concurrent writers and of watches, judged on recorded histories of a real server.

No update is lost; a watch from N delivers every later change once and in order, or says 410; replaying a watch gives
what a list gives; and all of it over kill -9. Each twin has a weakness planted that the judgement must find.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from history import Recorded, record
from masters import masters
from serverprocess import REAL, serving, weak

ANEW = "the watch caches are loaded anew"


def raced(found: Recorded) -> bool:
    return found.writes > 200 and found.conflicts > 20 and found.events > 3 * 100


def caught(found: Recorded) -> bool:
    return bool(found.wrong) or found.writes > 300


def test_histories_keep_their_promises_over_kills(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        found = record(server, seed=1, seconds=5, kill=2, enough=raced)
    assert found.wrong == []
    assert found.writes > 200
    assert found.conflicts > 20, "the clients did not race"
    assert found.events > 3 * 100
    assert found.expired > 0, "no watcher was told that it must list again"


@pytest.mark.parametrize(
    ("weakness", "says"),
    [("overwrites", "lost update"), ("skips", "was delivered as None"), ("repeats", "was delivered after")],
)
def test_histories_find_planted_weaknesses(tmp_path: Path, weakness: str, says: str) -> None:
    with serving(tmp_path, weak(weakness)) as server:
        found = record(
            server, seed=1, seconds=1.5, kill=0, enough=lambda found: bool(found.wrong) or found.writes > 300
        )
    assert any(says in text for text in found.wrong)


def test_histories_keep_their_promises_while_the_past_is_compacted_away(tmp_path: Path) -> None:
    """Before the caches have read it, too: then they read everything anew, and watchers are told to list again."""
    with serving(tmp_path, weak("compacts")) as server:
        found = record(
            server,
            seed=2,
            seconds=2,
            kill=0,
            enough=lambda found: found.writes > 100 and ANEW in server.log.read_text(),
        )
    assert found.wrong == []
    assert found.writes > 100
    assert ANEW in server.log.read_text()


def test_histories_of_two_servers_on_one_etcd_keep_their_promises(tmp_path: Path) -> None:
    """Over kills of a server, of etcd, compaction, and all at once."""
    with masters(tmp_path, seed=1) as pair:
        found = record(pair, seed=1, seconds=3, kill=4, enough=raced)
    assert found.wrong == []
    assert found.writes > 150
    assert found.conflicts > 10, "the clients did not race"
    assert found.events > 3 * 100
    assert found.expired > 0, "no watcher was told that it must list again"


@pytest.mark.parametrize(
    ("weakness", "says"),
    [("stale", "stale read"), ("misses", "stale read"), ("overwrites-etcd", "lost update")],
)
def test_histories_of_two_servers_find_planted_weaknesses(tmp_path: Path, weakness: str, says: str) -> None:
    """One of the two has it."""
    with masters(tmp_path, (REAL, weak(weakness))) as pair:
        found = record(pair, seed=1, seconds=1.5, kill=0, enough=caught)
    assert any(says in text for text in found.wrong)
