"""Network policies between pods of three hosts: a slice of the table, which `.ci/soak matrix` plays whole."""

from __future__ import annotations

import pytest
from crew import Crew
from netpol_cases import CASES
from policy_table import Table

pytestmark = pytest.mark.node

SLICE = (
    "default deny of all",
    "many pods and many namespaces",
    "from a namespace on one named port",
    "both ends have a say",
    "to a network with an exception",
    "a range of ports",
    "a label of a namespace that came",
    "after they are deleted",
)


def test_whom_policies_let_through_is_let_through_and_nobody_else(crew: Crew) -> None:
    """And the trace says the same of all of them."""
    table = Table(crew)
    cases = {case.name: case for case in CASES}
    found = table.play([cases[name] for name in SLICE])
    assert found.wrong == []
    assert (found.cases, found.connections, found.traced) == (8, 8 * 648, 8 * 324)
