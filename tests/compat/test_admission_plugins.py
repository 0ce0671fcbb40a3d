"""Admission plugins in plain Python: the example is installed, found by its entry point, and asked."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import navarch
from navarch.apiserver.admission.extensions import GROUP, BrokenPlugin, Write, installed
from navarch.base.errors import Forbidden, Internal
from navarch.testing.cluster import RunningCluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "admission"


def install(folder: Path, name: str, points: dict[str, str]) -> None:
    """What an installer leaves in a folder of packages."""
    described = folder / f"{name}-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{GROUP}]", *(f"{key} = {value}" for key, value in points.items())]
    (described / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def example(packages: Path) -> Iterator[None]:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(packages, project["name"].replace("-", "_"), project["entry-points"][GROUP])
    shutil.copy(EXAMPLE / "house_rules.py", packages)
    yield
    sys.modules.pop("house_rules", None)


def pod(name: str, image: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def test_the_example_refuses_and_changes(example: None) -> None:
    judges = installed()
    assert list(judges) == ["house-rules"]
    with navarch.Cluster(admission=judges) as cluster:
        (made,) = cluster.apply(pod("good", "registry:5000/web:1.0"))
        assert made.labels["made-by"] == "kubernetes-admin"
        with pytest.raises(Forbidden) as caught:
            cluster.apply(pod("bad", "registry:5000/web"))
        assert caught.value.message == (
            "pods \"bad\" is forbidden: admission plugin house-rules: container c runs 'registry:5000/web': "
            "say which version, as in registry:5000/web:1.2"
        )
        metrics = asked(cluster, "/metrics")
        assert 'navarch_admission_plugin{name="house-rules"} 1.0' in metrics
        assert 'navarch_admission_plugin_refusals_total{name="house-rules"} 1.0' in metrics


def asked(cluster: RunningCluster, path: str) -> str:
    return cluster.client.raw("GET", path).decode()


def test_plugins_are_asked_in_the_order_of_their_names_about_what_they_see() -> None:
    seen: list[tuple[str, str, str, bool, bool]] = []

    def tell(name: str) -> object:
        def judge(write: Write) -> dict[str, object] | None:
            seen.append((name, write.operation, write.kind, write.object is None, write.old is None))
            if write.object is not None:
                write.object.clear()  # its own copy
            return {"data": {name: "was here"}} if write.operation == "CREATE" else None

        judge.kinds = ["ConfigMap"]  # type: ignore[attr-defined]
        return judge

    with navarch.Cluster(nodes=0, admission={"b": tell("b"), "a": tell("a")}) as cluster:  # type: ignore[dict-item]
        seen.clear()  # of what every namespace has
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "told"}}
        (made,) = cluster.apply(document)
        assert made.document()["data"] == {"a": "was here", "b": "was here"}
        cluster.client.delete("configmaps", "default", "told")
    mine = [one for one in seen if one[1] in ("CREATE", "DELETE")]
    assert [one[0] for one in mine[:4]] == ["a", "b", "a", "b"]
    assert ("a", "CREATE", "ConfigMap", False, True) in mine
    assert ("b", "DELETE", "ConfigMap", True, False) in mine


def test_a_plugin_that_fails_refuses() -> None:
    def fails(write: Write) -> None:
        raise LookupError("lost")

    def nonsense(write: Write) -> object:
        return {"data": 3}

    fails.kinds, nonsense.kinds = ("Secret",), ("Lease",)  # type: ignore[attr-defined]
    with navarch.Cluster(nodes=0, admission={"f": fails, "n": nonsense}) as cluster:  # type: ignore[dict-item]
        with pytest.raises(Internal, match="admission plugin f failed: LookupError: lost"):
            cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "x"}}
        (made,) = cluster.apply(lease)
        assert "data" not in made.document(), "fields that no schema names are not stored"


@pytest.mark.parametrize(("value", "why"), [("nowhere:judge", "cannot be loaded"), ("sys:path", "is no function")])
def test_a_plugin_that_cannot_be_loaded_is_named(packages: Path, value: str, why: str) -> None:
    install(packages, "broken", {"broken": value})
    with pytest.raises(BrokenPlugin, match=f"the admission plugin broken .* {why}"):
        installed()
