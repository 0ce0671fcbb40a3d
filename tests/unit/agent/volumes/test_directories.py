"""How large a volume in memory may grow, and of which pages it is made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.volumes.directories import memory_limit_bytes, page_bytes
from tests.unit.agent.pods import pod

SIZES = st.none() | st.integers(1, 1 << 40)


def box(name: str, limit: int | None, **more: Any) -> Any:
    limits = {} if limit is None else {"memory": str(limit)}
    return {"name": name, "image": "app:1", "resources": {"limits": limits}, **more}


@given(st.lists(SIZES, min_size=1, max_size=3), SIZES, SIZES, SIZES, st.none() | st.integers(1, 1 << 40))
def test_a_volume_in_memory_is_bounded_by_the_pod_and_by_the_node(
    mains: list[int | None], first: int | None, beside: int | None, level: int | None, node: int | None
) -> None:
    inits = [box("first", first), box("beside", beside, restartPolicy="Always")]
    spec: Any = {"initContainers": inits}
    if level is not None:
        spec["resources"] = {"limits": {"memory": str(level)}}
    made = pod(*[box(f"m{number}", size) for number, size in enumerate(mains)], **spec)
    found = memory_limit_bytes(made, {} if node is None else {"memory": str(node)})
    own = level if level is not None else (beside or 0) + max(first or 0, sum(size or 0 for size in mains))
    assert found == min([size for size in (own, node) if size], default=0)


def test_pages_are_of_the_size_that_the_medium_or_the_containers_name() -> None:
    def asking(*names: str) -> Any:
        return pod({"name": "m", "image": "a", "resources": {"limits": dict.fromkeys(names, "4Mi")}})

    assert page_bytes(pod(), "HugePages-1Gi") == 1 << 30
    assert page_bytes(asking("hugepages-2Mi", "memory"), "HugePages") == 2 << 20
    with pytest.raises(ValueError, match="huge pages of one size"):
        page_bytes(asking("hugepages-2Mi", "hugepages-1Gi"), "HugePages")
    with pytest.raises(ValueError, match="needs containers that ask for huge pages"):
        page_bytes(asking("memory"), "HugePages")
