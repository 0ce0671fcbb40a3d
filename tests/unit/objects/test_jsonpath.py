"""Paths of printer columns: where they lead, and which texts are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.objects import jsonpath

DOCUMENT: dict[str, Any] = {
    "metadata": {"labels": {"a.b/c": "dotted", "plain": "p"}, "name": "x"},
    "spec": {"replicas": 3, "zero": 0, "off": False, "list": [1, 2, 3], "empty": []},
    "status": {
        "conditions": [
            {"type": "Available", "status": "False", "weight": 1},
            {"type": "Ready", "status": "True", "weight": 2},
            {"type": "None"},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".spec.replicas", [3]),
        ("spec.replicas", [3]),
        ("$.spec.replicas", [3]),
        ("{.spec.replicas}", [3]),
        (".spec.zero", [0]),
        (".spec.off", [False]),
        (".spec.missing", []),
        (".spec.replicas.deeper", []),
        (".metadata.labels['a.b/c']", ["dotted"]),
        ('.metadata.labels["a.b/c"]', ["dotted"]),
        (r".metadata.labels['a\.b/c']", ["dotted"]),
        (r".metadata.labels.a\.b/c", ["dotted"]),
        (".metadata['labels'].plain", ["p"]),
        (".spec.list[0]", [1]),
        (".spec.list[-1]", [3]),
        (".spec.list[5]", []),
        (".spec.list[1:]", [2, 3]),
        (".spec.list[:-1]", [1, 2]),
        (".spec.list[*]", [1, 2, 3]),
        (".spec.list", [[1, 2, 3]]),
        (".metadata.labels.*", ["dotted", "p"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Ready')].status", ["True"]),
        ('.status.conditions[?(@.type!="Ready")].type', ["Available", "None"]),
        (".status.conditions[?(@.weight>1)].type", ["Ready"]),
        (".status.conditions[?(@.weight<=1)].type", ["Available"]),
        (".status.conditions[?(@.status)].type", ["Available", "Ready"]),
        (".status.conditions[?(@.weight=='1')].type", []),
        (".status.conditions[*].type", ["Available", "Ready", "None"]),
        (".", [DOCUMENT]),
    ],
)
def test_where_paths_lead(path: str, values: list[Any]) -> None:
    assert jsonpath.compile(path).all(DOCUMENT) == values
    assert jsonpath.compile(path)(DOCUMENT) == (values[0] if values else None)


@pytest.mark.parametrize(
    "path", [".a[", ".a[x]", ".a[?(b)]", ".a[?(@.b==)]", ".a[?(@.b", ".a b", ".a..b", ".a]", "{.a", ".a[?(@.b=='x']"]
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(jsonpath.BadPath):
        jsonpath.compile(path)


@given(st.text(".[]'\"*?@()=a1\\ :", max_size=12))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        found = jsonpath.compile(text)
    except jsonpath.BadPath:
        return
    found.all(DOCUMENT)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers(), min_size=1))
def test_any_key_can_be_quoted(document: dict[str, int]) -> None:
    for key, value in document.items():
        escaped = key.replace("\\", "\\\\").replace("'", "\\'")
        assert jsonpath.compile(f"['{escaped}']").all(document) == [value]
