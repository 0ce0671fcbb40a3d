"""The algebra of field sets: the laws of sets, and the text of paths."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.objects import apply_sets as sets

elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])
paths = st.lists(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=6)


def tree_of(found: list[tuple[str, ...]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for path in found:
        tree: dict[str, Any] = {}
        for element in reversed(path):
            tree = {element: tree}
        result = sets.union(result, tree)
    return result


def paths_of(tree: dict[str, Any], before: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for key, node in tree.items():
        if key != ".":
            if sets.is_member(node):
                found.add((*before, key))
            found |= paths_of(node, (*before, key))
    return found


trees = paths.map(tree_of)


@given(paths)
def test_a_tree_holds_the_paths_it_was_made_of(found: list[tuple[str, ...]]) -> None:
    assert paths_of(tree_of(found)) == set(found)
    assert sets.is_well_formed(tree_of(found))


@given(trees, trees)
def test_operations_are_those_of_sets(left: dict[str, Any], right: dict[str, Any]) -> None:
    a, b = paths_of(left), paths_of(right)
    assert paths_of(sets.union(left, right)) == a | b
    assert paths_of(sets.difference(left, right)) == a - b
    assert paths_of(sets.intersection(left, right)) == a & b
    below = {path for path in a if any(path[: len(root)] == root for root in b)}
    assert paths_of(sets.excluding(left, right)) == a - below


@given(paths, st.randoms(use_true_random=False))
def test_equal_sets_have_equal_trees(found: list[tuple[str, ...]], shuffle: Any) -> None:
    other = list(found)
    shuffle.shuffle(other)
    assert list(map(str, [tree_of(found)])) == list(map(str, [tree_of(other)]))


@given(trees)
def test_nothing_is_left_of_a_set_without_itself(tree: dict[str, Any]) -> None:
    assert sets.difference(tree, tree) == {}
    assert sets.union(tree, tree) is tree


def test_paths_are_written_as_kubernetes_does() -> None:
    tree = {
        "f:spec": {
            "f:containers": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:image": {}}},
            "f:finalizers": {'v:"a/b"': {}, "i:3": {}},
        }
    }
    assert list(sets.members(tree)) == [
        '.spec.containers[containerPort=80,protocol="TCP"]',
        '.spec.containers[containerPort=80,protocol="TCP"].image',
        '.spec.finalizers[="a/b"]',
        ".spec.finalizers[3]",
    ]


@pytest.mark.parametrize(
    "tree", [[], {"x": {}}, {"f:a": 1}, {".": {"f:a": {}}}, {"k:x": {}}, {'k:"x"': {}}, {"v:": {}}]
)
def test_malformed_trees_are_found(tree: Any) -> None:
    assert not sets.is_well_formed(tree)
