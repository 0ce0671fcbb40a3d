"""`navarch net trace` on three hosts beside what really happens: what it says arrives does, where it says it does, and
what it says is stopped is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from crew import PREFIX, Crew, Probe, http, udp
from policy_table import world_of
from real_cluster import Kubectl
from typer.testing import CliRunner

from navarch.app.nettrace.explain import explain
from navarch.app.nettrace.question import question
from navarch.app.nettrace.steps import Explanation
from navarch.app.nettrace.world import World
from navarch.cli.main import app

pytestmark = pytest.mark.node

SPACE = f"{PREFIX}x"
ONLY_C = {"matchLabels": {"pod": "c"}}


class Way(NamedTuple):
    """source, target: as `navarch net trace` takes them. probe: the same, really sent, by whom."""

    who: str
    source: str
    target: str
    probe: Probe


def service(name: str, **spec: Any) -> dict[str, Any]:
    given = {"selector": {"crew": "member"}, "ports": [{"name": "web", "port": 80, "targetPort": 8080}]} | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": given}


@pytest.fixture(scope="module")
def kubectl(crew: Crew) -> Iterator[Kubectl]:
    found = crew.kubectl()
    datagrams = [{"name": "echo", "port": 80, "protocol": "UDP", "targetPort": 8080}]
    found.apply(
        service("traced", type="NodePort"),
        service("traced-udp", ports=datagrams),
        service("traced-b", selector={"crew": "member", "pod": "b"}),
        service("traced-home", internalTrafficPolicy="Local"),
        service("traced-nobody", selector={"crew": "nobody"}),
        service("traced-bare", clusterIP="None", ports=[{"name": "web", "port": 8080}]),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "traced"},
            "spec": {"podSelector": {"matchLabels": {"pod": "b"}}, "ingress": [{"from": [{"podSelector": ONLY_C}]}]},
        },
    )
    yield found
    found("delete", "networkpolicy", "traced")


def told(world: World, way: Way) -> Explanation:
    words, _, port = way.target.rpartition(":")
    protocol = "udp" if way.probe.kind == "udp" else "tcp"
    return explain(world, question(way.source, words, port=port, protocol=protocol, namespace=SPACE))


def reached(found: Explanation) -> set[str]:
    """Members that the verdict says it arrives at."""
    named = re.findall(rf"pod {PREFIX}(\w/\w)", found.verdict.partition(" and not at ")[0])
    return set(named) if found.fate in ("arrives", "partly") else set()


def really(crew: Crew, every: Sequence[Way], said: Sequence[Explanation]) -> list[set[str]]:
    """Who answered, "" for nobody; of several that may answer, enough tries to hear them all. Where some are stopped,
    no try lasts until the kernel sends its first packet again, which may be led to another one."""
    asked: dict[str, list[Probe]] = {way.who: [] for way in every}
    counts = []
    for way, found in zip(every, said, strict=True):
        counts.append(40 if found.fate == "partly" or len(reached(found)) > 1 else 2)
        wait_s = {"arrives": 15.0, "partly": 0.8}.get(found.fate, 1.0)
        asked[way.who] += [way.probe.once._replace(wait_s=wait_s)] * counts[-1]
    answers = {who: iter(heard) for who, heard in crew.ask(asked).items()}
    return [{next(answers[way.who]).name for _ in range(count)} for way, count in zip(every, counts, strict=True)]


def ways(crew: Crew, kubectl: Kubectl) -> list[Way]:
    """From pods of each node and from the nodes themselves, with a policy before the pod of the second."""
    found = []
    gate = kubectl.get("service", "traced")["spec"]["ports"][0]["nodePort"]
    addresses = {
        one["metadata"]["name"]: one["spec"].get("clusterIP", "")
        for one in json.loads(kubectl("get", "services", "-o", "json"))["items"]
    }
    senders = {name: f"pod/{name[-1]}" for name in crew.three} | {
        f"node/{number}": f"node/{node.name}" for number, node in enumerate(crew.nodes, 1)
    }
    for who, source in senders.items():
        for name in (*crew.three, "y/a", "z/a"):
            found.append(Way(who, source, f"pod/{PREFIX}{name}:8080", http(crew.address(name))))
        for name in ("traced", "traced-b", "traced-home", "traced-nobody"):
            found.append(Way(who, source, f"svc/{name}:80", http(addresses[name], 80)))
        found.append(Way(who, source, "svc/traced-udp:80", udp(addresses["traced-udp"], 80)))
        for node in crew.nodes:
            found.append(Way(who, source, f"{node.address}:{gate}", http(node.address, gate)))
        found.append(Way(who, source, f"{addresses['traced']}:81", http(addresses["traced"], 81)))
        if who.startswith("x/"):
            for name, port in (("traced", 80), (f"traced-b.{SPACE}", 80), ("traced-bare", 8080)):
                found.append(Way(who, source, f"{name}:{port}", http(name, port)))
    return found


def test_what_a_trace_says_is_what_happens(crew: Crew, kubectl: Kubectl) -> None:
    every = ways(crew, kubectl)
    crew.each(["x/a"], http(crew.address("x/b"), come=0, wait_s=1.0))  # from here on the policy holds
    world = world_of(crew.kubeconfig)
    said = [told(world, way) for way in every]
    assert {found.fate for found in said} == {"arrives", "partly", "stopped"}
    wrong = []
    for way, found, heard in zip(every, said, really(crew, every, said), strict=True):
        came = heard - {""}
        fate = "arrives" if heard == came else "partly" if came else "stopped"
        # Of several addresses of one name the client takes the first that answers.
        fits = came <= reached(found) if "bare" in way.target else (fate, came) == (found.fate, reached(found))
        if not fits:
            wrong.append(f"{way.who}: {way.source} -> {way.target}: {found.verdict} But these answered: {heard}")
    assert wrong == [], "\n".join(wrong)


def test_a_person_is_told_the_way_to_another_node(crew: Crew, kubectl: Kubectl) -> None:
    def trace(*words: str) -> tuple[int, str]:
        line = ["net", "trace", f"--kubeconfig={crew.kubeconfig}", "-n", SPACE, *words]
        done = CliRunner().invoke(app, line, prog_name="navarch")
        return done.exit_code, done.output

    first, second, third = (node.name for node in crew.nodes)
    code, text = trace("pod/a", "traced-b")
    assert code == 1
    assert re.search(rf"^ingress +{second} +STOPS +pod {SPACE}/b is isolated by {SPACE}/traced", text, re.MULTILINE)
    code, text = trace("pod/c", "traced-b")
    assert (code, text.splitlines()[-1]) == (0, f"It arrives at pod {SPACE}/b.")
    assert re.search(rf"^route +{third} +ok +10.*of {second} .*{crew.nodes[1].address}", text, re.MULTILINE)
    assert re.search(rf"^ingress +{second} +ok +policy {SPACE}/traced, ingress\[0\] lets it in", text, re.MULTILINE)
    code, text = trace(f"node/{first}", "pod/c:8080")
    assert (code, f"It arrives at pod {SPACE}/c." in text) == (0, True)
