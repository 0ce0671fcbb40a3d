"""The collector is patient while clusters live, and what it was before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from navarch.app.process import COLLECT_AFTER
from navarch.testing.collector import Patience

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_the_last_cluster_sets_it_back() -> None:
    patience = Patience()
    with patience:
        with patience:
            assert gc.get_threshold() == COLLECT_AFTER
        assert gc.get_threshold() == COLLECT_AFTER
    assert gc.get_threshold() == USUAL


@pytest.mark.parametrize("own", [(0, 10, 10), (100_000, 5, 5)])
def test_who_is_more_patient_stays_so(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with Patience():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_was_set_meanwhile_is_kept() -> None:
    with Patience():
        gc.set_threshold(1000, 1, 1)
    assert gc.get_threshold() == (1000, 1, 1)
