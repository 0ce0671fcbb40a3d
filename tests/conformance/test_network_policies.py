"""The matrix of network policies, and services with policies as Hypothesis makes them: model and kernel agree.

The model plays every case; the kernel a part of them with real connections here, and all of them in `.ci/soak policies`
and `.ci/soak packets`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from agreement import scenes
from fields import KernelField, ModelField, play_matrix, play_scene, scene_field
from netpol_cases import CASES

from navarch.proxy.addresses import FAMILIES, IPV4, IPV6, Family

WITH_CONNECTIONS = (
    "default deny of all",
    "pods or namespaces",
    "many pods and many namespaces",
    "stacked: selectors that overlap",
    "from a namespace on one named port",
    "in and out together",
    "both ends have a say",
    "to a network with an exception",
    "out to a range of ports",
    "a label of a namespace that came",
    "after they are deleted",
)


@pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
def test_the_matrix_in_the_model(family: Family) -> None:
    assert play_matrix(ModelField(family)) == []


@pytest.fixture(scope="module", params=FAMILIES, ids=["IPv4", "IPv6"])
def kernel(request: pytest.FixtureRequest) -> Iterator[KernelField]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    field = KernelField(families=(request.param,))
    yield field
    field.close()


def test_the_matrix_with_real_connections(kernel: KernelField) -> None:
    chosen = [case for case in CASES if case.name in WITH_CONNECTIONS]
    assert len(chosen) == len(WITH_CONNECTIONS)
    assert play_matrix(kernel, chosen) == []


@pytest.fixture(scope="module")
def fields() -> Iterator[Callable[[tuple[Family, ...]], KernelField]]:
    """One for each set of families, made when it is first asked for."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    made: dict[tuple[Family, ...], KernelField] = {}
    yield lambda families: made.get(families) or made.setdefault(families, scene_field(families))
    for field in made.values():
        field.close()


QUICK = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("families", [(IPV4,), (IPV6,), (IPV4, IPV6)], ids=["IPv4", "IPv6", "both"])
@QUICK
@given(data=st.data())
def test_the_model_and_the_kernel_agree_on_every_packet(
    fields: Callable[[tuple[Family, ...]], KernelField], families: tuple[Family, ...], data: st.DataObject
) -> None:
    assert play_scene(fields(families), data.draw(scenes(families))) == []
