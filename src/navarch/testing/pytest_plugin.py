"""Fixtures for pytest, found by themselves once navarch is installed: `navarch_cluster`, and its wider siblings.

`@pytest.mark.navarch(nodes=3, frozen=True)` says what cluster a test wants, in the words of `navarch.Cluster`. When a
test that has one fails, what its cluster said last is shown with the failure.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from navarch.testing.cluster import RunningCluster

FIXTURES = ("navarch_cluster", "navarch_cluster_module", "navarch_cluster_session")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "navarch(nodes=1, ...): what cluster the fixture navarch_cluster makes, as navarch.Cluster takes it"
    )


def _cluster(options: dict[str, Any]) -> Iterator[RunningCluster]:
    from navarch.testing.cluster import Cluster

    with Cluster(**options) as cluster:
        yield cluster


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
    yield from _cluster(_options(request))


@pytest.fixture(scope="module")
def navarch_cluster_module(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """One cluster for the module; the marker stands in its `pytestmark`."""
    yield from _cluster(_options(request))


@pytest.fixture(scope="session")
def navarch_cluster_session(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """One cluster for all tests, with one node."""
    yield from _cluster({})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.failed:
        arguments: dict[str, Any] = getattr(item, "funcargs", {})
        for name in FIXTURES:
            if name in arguments:
                lines = arguments[name].events()
                report.sections.append((f"what {name} said last", "\n".join(lines) or "  nothing"))
    return report
