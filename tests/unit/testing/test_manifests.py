"""What `apply` takes, and how kinds are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.base.errors import BadRequest
from navarch.kinds.registry import DEFAULT
from navarch.testing.manifests import documents, kind_named, kind_of

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
TWO = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n"


def names(found: list[dict[str, dict[str, str]]]) -> list[str]:
    return [document["metadata"]["name"] for document in found]


def test_text_files_directories_documents_and_lists(tmp_path: Path) -> None:
    assert names(documents(ONE + "---\n" + TWO + "---\n")) == ["one", "two"]
    (tmp_path / "b.yaml").write_text(ONE)
    (tmp_path / "a.yml").write_text(TWO)
    (tmp_path / "README").write_text("nothing")
    assert names(documents(tmp_path / "b.yaml")) == ["one"]
    assert names(documents(str(tmp_path))) == ["two", "one"]
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert names(documents(one)) == ["x"]
    assert names(documents([one, one])) == ["x", "x"]
    assert names(documents({"apiVersion": "v1", "kind": "List", "items": [one]})) == ["x"]
    assert names(documents("{kind: ConfigMap, apiVersion: v1, metadata: {name: y}}")) == ["y"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.yaml", "neither a file nor a manifest"),
        ("a: [1", "no YAML"),
        ("kind: Pod\n", "lacks apiVersion or kind"),
        ("- 1\n", "lacks apiVersion or kind"),
    ],
)
def test_bad_sources_are_named(source: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        documents(source)


def test_kinds_by_the_names_users_type() -> None:
    for name in ("deploy", "deployment", "Deployment", "deployments", "deployments.apps"):
        assert kind_named(DEFAULT, name).name == "Deployment"
    assert kind_named(DEFAULT, "po").name == "Pod"
    with pytest.raises(BadRequest, match='resource type "nothing"'):
        kind_named(DEFAULT, "nothing")
    with pytest.raises(BadRequest, match='no matches for kind "Nothing" in version "v9"'):
        kind_of(DEFAULT, {"apiVersion": "v9", "kind": "Nothing"})
