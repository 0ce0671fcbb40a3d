"""Fixtures for pytest, found by themselves once navarch is installed: `navarch_cluster`, and its wider siblings.

`@pytest.mark.navarch(nodes=3, frozen=True)` says what cluster a test wants, in the words of `navarch.Cluster`. When a
test that has one fails, what is not well in its cluster, and what the cluster said last, is shown with the failure.

Each has a face for tests that are coroutines, `navarch_async_cluster` and so on. It is the same cluster, whose loop is
in a thread of its own: whatever plugin runs the test on whatever asyncio loop, nothing has to be agreed with it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from navarch.testing.cluster import RunningAsyncCluster, RunningCluster

FIXTURES = ("navarch_cluster", "navarch_cluster_module", "navarch_cluster_session")
RUNNING: pytest.StashKey[RunningCluster] = pytest.StashKey()
"""Of a test, a module or the session: its cluster, which other fixtures may have asked for before they failed."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "navarch(nodes=1, ...): what cluster the fixture navarch_cluster makes, as navarch.Cluster takes it"
    )


def _cluster(request: pytest.FixtureRequest, options: dict[str, Any]) -> Iterator[RunningCluster]:
    from navarch.testing.cluster import Cluster

    with Cluster(**options) as cluster:
        request.node.stash[RUNNING] = cluster
        yield cluster
        del request.node.stash[RUNNING]


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("navarch"))):
        if mark.args:
            raise pytest.UsageError("the marker navarch takes keyword arguments only, such as nodes=3")
        found |= mark.kwargs
    return found


@pytest.fixture
def navarch_cluster(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """A cluster of the test's own."""
    yield from _cluster(request, _options(request))


@pytest.fixture(scope="module")
def navarch_cluster_module(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """One cluster for the module; the marker stands in its `pytestmark`."""
    yield from _cluster(request, _options(request))


@pytest.fixture(scope="session")
def navarch_cluster_session(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """One cluster for all tests, with one node."""
    yield from _cluster(request, {})


@pytest.fixture
def navarch_async_cluster(navarch_cluster: RunningCluster) -> RunningAsyncCluster:
    """`navarch_cluster`, to be awaited."""
    return navarch_cluster.awaited


@pytest.fixture(scope="module")
def navarch_async_cluster_module(navarch_cluster_module: RunningCluster) -> RunningAsyncCluster:
    """`navarch_cluster_module`, to be awaited."""
    return navarch_cluster_module.awaited


@pytest.fixture(scope="session")
def navarch_async_cluster_session(navarch_cluster_session: RunningCluster) -> RunningAsyncCluster:
    """`navarch_cluster_session`, to be awaited."""
    return navarch_cluster_session.awaited


def _story(cluster: RunningCluster) -> tuple[list[str], list[str]]:
    """What is not well, and what was said last; the reason why it cannot be told, when the cluster is gone."""
    from navarch.base.errors import Unavailable

    try:
        return cluster.troubles(), cluster.events()
    except Unavailable as gone:
        return [f"  {gone}"], []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when in ("setup", "call") and report.failed:
        used = getattr(item, "fixturenames", ())
        for name, holder in zip(FIXTURES, (item, item.getparent(pytest.Module), item.session), strict=True):
            cluster = holder.stash.get(RUNNING, None) if holder is not None and name in used else None
            if cluster is not None:
                unwell, said = _story(cluster)
                report.sections.append((f"what is not well in {name}", "\n".join(unwell) or "  nothing"))
                report.sections.append((f"what {name} said last", "\n".join(said) or "  nothing"))
    return report
