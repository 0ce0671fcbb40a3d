"""What `navarch net check` prints, and the words that it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from navarch.app.netcheck.probes import Finding, Hop, Probe, Report, Result
from navarch.cli import netcheck, output
from navarch.cli.main import app

PING = "node to its own pods"
DENIED = "what a policy denies"
HOP = Hop("pod link", "n0", "shop/web")


def probe(group: str, to: str, *, dropped: bool = False) -> Probe:
    return Probe(group, "n0", "", to, {"kind": "ping"}, (HOP,), dropped=dropped)


FINE = [(probe(PING, "pod a"), Result()), (probe(DENIED, "pod b", dropped=True), Result("timeout"))]
SOUND = Report(FINE, [], (), 2.5, ["n0"])
CAUSE, REMEDY = "the link of pod shop/web is down: veth7", "ip link set veth7 up"
FINDING = Finding((HOP,), "n0", CAUSE, REMEDY, ("node n0 → pod web: timeout",) * 6)
BROKEN = Report([(probe(PING, "pod web"), Result("timeout"))], [FINDING], ["x"], 7.0, ["n0", "n1"])


def test_a_sound_network_is_a_line_for_each_kind_of_path(capsys: pytest.CaptureFixture[str]) -> None:
    netcheck.show(SOUND, every=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["✓", *PING.split(), "1", "of", "1"],
        ["✓", *DENIED.split(), "1", "of", "1"],
    ]
    assert lines[0].index("1 of 1") == lines[1].index("1 of 1")
    assert lines[-1] == "Every path works: 2 probes between 1 node in 2.5 s."


def test_a_fault_is_named_with_its_cause_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    netcheck.show(BROKEN, every=False)
    out = capsys.readouterr().out
    assert out.startswith(f"✗ {PING}")
    assert "✗ pod link on n0: shop/web\n    Cause:      The link of pod shop/web is down: veth7.\n" in out
    assert "    What to do: ip link set veth7 up\n" in out
    assert out.count("node n0 → pod web: timeout") == netcheck.PATHS_SHOWN
    assert "and 2 more; --all shows them" in out
    assert "Not judged: x" in out
    assert out.endswith("1 fault: 1 probes between 2 nodes in 7.0 s.\n")


@pytest.mark.parametrize(
    ("hop", "node", "others", "said"),
    [
        (Hop("route", "n0", "n1"), "n1", 3, "route from n0 to pods of n1, and 3 more"),
        (Hop("MTU", "n0", "n1"), "", 0, "MTU between n0 and n1"),
        (Hop("policy", "n0", "allows"), "n0", 0, "policy on n0"),
        (Hop("upstream DNS", "", "corp.example by 192.0.2.9"), "", 0, "upstream DNS: corp.example by 192.0.2.9"),
        (Hop("forwarding", "n0"), "n0", 0, "forwarding on n0"),
        (Hop("forwarding", "n0", "", "IPv6"), "n0", 0, "forwarding on n0 (IPv6)"),
    ],
)
def test_a_finding_is_called_by_its_hop(hop: Hop, node: str, others: int, said: str) -> None:
    assert netcheck.titled(hop, node, others) == said


def test_every_probe_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    netcheck.show(BROKEN, every=True)
    out = capsys.readouterr().out
    assert "    ✗ node n0 → pod web: timeout\n" in out
    assert "more; --all" not in out
    assert "\033" not in out


def test_programs_get_the_same_as_facts(capsys: pytest.CaptureFixture[str]) -> None:
    output.facts(BROKEN.document())
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["findings"][0]["hop"] == "pod link"
    assert found["findings"][0]["cause"] == FINDING.text
    assert found["paths"] == [{"group": PING, "from": "node n0", "to": "pod web", "ok": False, "error": "timeout"}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--path", "shop/front"), "names no path: say FROM,TO"),
        (("--path", "svc/web,svc/web"), "sends nothing"),
        (("--outside", "example.com:443"), "is no place outside: say ADDRESS:PORT, or a name alone"),
        (("--outside", "203.0.113.1:0"), "is no place outside"),
        (("--kubeconfig", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    parts = ("contexts:\n- {name: a, context: {cluster: a}}", "clusters:\n- {name: a, cluster: {server: 'http://a'}}")
    config.write_text("\n".join(("current-context: a", *parts)))
    done = CliRunner().invoke(app, ["net", "check", f"--kubeconfig={config}", *words], prog_name="navarch")
    assert done.exit_code == 2
    assert said in done.output.replace("\n         ", " ")


def test_it_is_a_command_of_its_group() -> None:
    group = typer.main.get_command(app).commands["net"]  # type: ignore[attr-defined]
    assert sorted(group.commands) == ["check", "trace"]
