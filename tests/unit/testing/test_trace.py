"""What a simulation is given: nodes, manifests and traces, the good ones and the bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.base.errors import BadRequest
from navarch.testing.fleet import Fleet, add_file, group_of
from navarch.testing.trace import Apply, Cordon, Delete, Patch, Power, Trace, outage, read

POD = "{apiVersion: v1, kind: Pod, metadata: {name: p%s}, spec: {containers: [{name: c, image: i}]}}"


def trace(folder: Path, text: str) -> Trace:
    (folder / "t.yaml").write_text(text)
    return read([str(folder / "t.yaml")])


def told(folder: Path, text: str) -> list[tuple[float, object]]:
    return [(step.at_s, step.action) for step in trace(folder, text).ordered()]


def test_manifests_are_applied_first_what_others_need_first(tmp_path: Path) -> None:
    pod = POD % ", annotations: {navarch.dev/at: 1h30m}"
    namespace = (
        "{apiVersion: v1, kind: Namespace, metadata: {name: n, uid: x, resourceVersion: '3'}, status: {phase: Active}}"
    )
    found = told(tmp_path, f"---\n{POD % ''}\n---\n{namespace}\n---\n{pod}\n")
    assert [(at, action.document["kind"]) for at, action in found if isinstance(action, Apply)] == [
        (0, "Namespace"),
        (0, "Pod"),
        (5400, "Pod"),
    ]
    first = found[0][1]
    assert isinstance(first, Apply)
    assert first.document == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}


def test_entries_of_a_trace(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(POD % "")
    text = """
    - {at: 20, delete: deployment/a, namespace: n}
    - {at: 10s, scale: {deployment/a: 3}, fail: [node-0, node-1]}
    - {at: 1m, heal: node-0, cordon: node-1}
    - {at: 2m, every: 1m, times: 2, apply: more.yaml}
    - {at: 5m, uncordon: node-1, patch: {deployment/a: {spec: {paused: true}}}}
    """
    found = told(tmp_path, text)
    assert [action for _, action in found if not isinstance(action, Apply)] == [
        Patch("deployment/a", "default", {"spec": {"replicas": 3}}),
        Power("node-0", on=False),
        Power("node-1", on=False),
        Delete("deployment/a", "n"),
        Power("node-0", on=True),
        Cordon("node-1", unschedulable=True),
        Patch("deployment/a", "default", {"spec": {"paused": True}}),
        Cordon("node-1", unschedulable=False),
    ]
    assert [at for at, action in found if isinstance(action, Apply)] == [120, 180]


def test_what_a_cluster_makes_itself_is_left_out_of_an_export(tmp_path: Path) -> None:
    text = """
    apiVersion: v1
    kind: List
    items:
    - {apiVersion: v1, kind: Event, metadata: {name: e}}
    - {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, ownerReferences: [{controller: true}]}}
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
    - {apiVersion: v1, kind: Node, metadata: {name: big, labels: {topology.kubernetes.io/zone: z}},
       spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable}, {key: own, effect: NoSchedule}]},
       status: {allocatable: {cpu: 3920m, memory: 7Gi, pods: "58", nvidia.com/gpu: "2"}}}
    """
    found = trace(tmp_path, text)
    assert (len(found.steps), found.left_out, found.fleet.cordoned) == (1, 2, ["big"])
    machine = found.fleet.machines["big"]
    assert (machine.cpu, machine.memory, machine.pods, machine.zone) == ("3920m", "7Gi", 58, "z")
    assert (machine.extra, [taint["key"] for taint in machine.taints]) == ({"nvidia.com/gpu": "2"}, ["own"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "t.yaml is no YAML"),
        ("- 3", "t.yaml, line 1: '3' is neither a manifest nor an entry of a trace"),
        ("- {at: 1m, scale: {deployment/a: 1}}\n- {at: 2m}", "t.yaml, line 2: nothing happens here"),
        ("- {at: soon, fail: n}", "t.yaml, line 1: at: 'soon' is no duration; one looks like 5m"),
        ("- {at: -5, fail: n}", "line 1: at: -5 lies before the beginning"),
        ("- {att: 5, fail: n}", "unknown field `att`; an entry of a trace has at, every"),
        ("- {at: 5, scale: {deployment/a: many}}", "Expected `int`, got `str` - at `$.scale[...]`"),
        ("- {at: 5, delete: web}", "'web' names nothing: write kind/name, such as deployment/web"),
        ("- {at: 5, fail: n, times: 5}", "times: say how often, too: every: 1m"),
        ("- {at: 5, fail: n, times: 0}", "times: must be between 1"),
        ("- {apply: missing.yaml}", "missing.yaml: there is no such file or folder"),
        ("\n{apiVersion: v1}", "line 2: no manifest, it lacks apiVersion or kind"),
        ("{apiVersion: v1, kind: Pod}", "line 1: the Pod has no metadata.name"),
        ("{apiVersion: v1, kind: Pot, metadata: {name: a}}", 'kind "Pot" in version "v1"; did you mean Pod'),
        ("{apiVersion: v1, kind: Deployment, metadata: {name: a}}", "in version \"v1\"; it is in apps/v1"),
        ("{apiVersion: x/v1, kind: Qwxyz, metadata: {name: a}}", "bring its CustomResourceDefinition along"),
        ("{apiVersion: v1, kind: Node, metadata: {name: A_b}}", "line 1: 'A_b' cannot name a node"),
        ("{apiVersion: v1, kind: Node, metadata: {name: a}, status: {capacity: {cpu: x}}}", "'x' is no amount of cpu"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as refused:
        trace(tmp_path, text)
    assert says in str(refused.value)


def test_outages() -> None:
    assert [(step.at_s, step.action) for step in outage("a@1m..90s")] == [
        (60, Power("a", on=False)),
        (90, Power("a", on=True)),
    ]
    assert len(outage("a@1m")) == 1
    for bad, says in (
        ("a", "write NODE@FROM..UNTIL"),
        ("@3m", "write NODE"),
        ("a@..3m", "write NODE"),
        ("a@3m..", "write NODE"),
        ("a@x", "from: 'x' is no duration"),
        ("a@3m..1m", "ends (1m) before it begins (3m)"),
    ):
        with pytest.raises(BadRequest) as refused:
            outage(bad)
        assert says in str(refused.value)


def test_fleets(tmp_path: Path) -> None:
    fleet = Fleet()
    (tmp_path / "nodes.yaml").write_text(
        "- {count: 2, cpu: 4, memory: 16Gi, zones: [a, b], labels: {disk: ssd}}\n"
        "- {name: gpu, resources: {nvidia.com/gpu: 8}, taints: [{key: gpu, effect: NoSchedule}], unschedulable: true}\n"
        "- {name: edge, count: 2, pods: 20}\n"
    )
    add_file(fleet, str(tmp_path / "nodes.yaml"))
    fleet.add_group(group_of("cpu=500m,pods=5,nvidia.com/gpu=1", 1, ()), "--nodes")
    assert list(fleet.machines) == ["node-0", "node-1", "gpu", "edge-0", "edge-1", "node-5"]
    assert [machine.zone for machine in fleet.machines.values()][:2] == ["a", "b"]
    assert (fleet.machines["node-5"].cpu, fleet.machines["node-5"].pods, fleet.cordoned) == ("500m", 5, ["gpu"])
    assert fleet.machines["node-5"].extra == {"nvidia.com/gpu": "1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {cpus: 4}", "nodes.yaml, line 1: nodes: Object contains unknown field `cpus`; fields are name, count, cpu"),
        ("- {cpu: four}", "line 1: 'four' is no amount of cpu; one looks like 8, 500m or 32Gi"),
        ("- {memory: -1Gi}", "'-1Gi' is no amount of memory"),
        ("- {count: -1}", "count: there cannot be -1 nodes"),
        ("- {name: a}\n- {name: a}", "line 2: there is a node a already"),
        ("- {count: 20000}", "at most 16384 nodes"),
        ("- {apiVersion: v1, kind: Pod}", "a Pod is no node; give it as a manifest"),
    ],
)
def test_bad_nodes(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "nodes.yaml").write_text(text)
    with pytest.raises(BadRequest) as refused:
        add_file(Fleet(), str(tmp_path / "nodes.yaml"))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [("cpu", "'cpu' says nothing of a machine"), ("colour=red", "it has cpu, memory"), ("pods=x", "no number of pods")],
)
def test_bad_machines(text: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        group_of(text, 1, ())
    assert says in str(refused.value)
