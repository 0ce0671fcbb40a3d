"""Certificates: what is in them, when they are made anew, and that files are private."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from navarch.base.clock import SystemIds
from navarch.base.pki import (
    LEAF_LIFE,
    RENEW_BEFORE,
    Pair,
    Pki,
    client_context,
    expires,
    hosts_of,
    load_key,
    matches,
    public_key,
    server_context,
    subject_of,
    write_private,
)


class HandClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return None


def test_pairs_say_who_and_where(tmp_path: Path) -> None:
    pki = Pki(tmp_path, HandClock(), SystemIds())
    client = pki.client("admin", "jane", ["devs", "ops"])
    assert subject_of(client.certificate) == ("jane", ("devs", "ops"))
    server = pki.server("apiserver", "kube-apiserver", ["10.96.0.1", "kubernetes.default.svc", "::1"])
    assert hosts_of(server.certificate) == {"10.96.0.1", "kubernetes.default.svc", "::1"}
    assert hosts_of(client.certificate) == set()
    assert matches(server)
    assert not matches(Pair(server.certificate, client.key))
    assert server_context(server, pki.authority.pair.certificate).verify_mode == ssl.CERT_OPTIONAL
    assert client_context(pki.authority.pair.certificate, client).verify_mode == ssl.CERT_REQUIRED


def test_everything_is_kept(tmp_path: Path) -> None:
    first, second = (Pki(tmp_path / "pki", HandClock(), SystemIds()) for _ in range(2))
    assert first.authority.pair == second.authority.pair
    assert first.client("a", "a") == second.client("a", "a")
    assert first.signing_key() == second.signing_key()
    assert b"PUBLIC" in public_key(first.signing_key())
    for path in (tmp_path / "pki").iterdir():
        assert path.stat().st_mode & 0o777 == (0o600 if path.suffix == ".key" else 0o644), path


def test_renewed_before_the_end_and_when_hosts_change(tmp_path: Path) -> None:
    clock = HandClock()
    pki = Pki(tmp_path, clock, SystemIds())
    first = pki.server("s", "s", ["a"])
    assert pki.server("s", "s", ["a"]) == first
    other = pki.server("s", "s", ["a", "b"])
    assert other != first
    assert pki.server("s", "s", ["b"]) == other
    clock.moment += LEAF_LIFE - RENEW_BEFORE + timedelta(hours=1)
    renewed = pki.server("s", "s", ["a", "b"])
    assert expires(renewed.certificate) > expires(other.certificate)
    assert pki.client("c", "c", ["g"]) != pki.client("c", "c", ["h"])


def test_a_pair_torn_by_a_crash_is_made_anew(tmp_path: Path) -> None:
    pki = Pki(tmp_path, HandClock(), SystemIds())
    pki.client("a", "a")
    write_private(tmp_path / "a.key", pki.client("b", "b").key)
    assert matches(pki.client("a", "a"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_private(path, b"old")
    with pytest.raises(TypeError):
        write_private(path, 5)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_no_key_is_an_error() -> None:
    with pytest.raises(ValueError):
        load_key(b"not a key")
