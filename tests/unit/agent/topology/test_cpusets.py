"""Lists of CPUs, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.topology import cpusets


@given(st.frozensets(st.integers(0, 300)))
def test_what_is_written_is_read_again(cpus: frozenset[int]) -> None:
    assert cpusets.parse(cpusets.text(cpus)) == cpus


def test_as_the_kernel_writes_them() -> None:
    assert cpusets.text({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8"
    assert cpusets.parse("0-2, 5,7-8\n") == {0, 1, 2, 5, 7, 8}
    assert (cpusets.text(()), cpusets.parse("")) == ("", frozenset())


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "0-", "0-99999999", "65536", "1 2"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="CPUs"):
        cpusets.parse(text)
