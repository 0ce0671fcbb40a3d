"""What `navarch simulate` prints, draws, refuses and exits with."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from typer.testing import CliRunner, Result

from navarch.base.errors import BadRequest
from navarch.cli import chart
from navarch.cli.chart import Series, drawn, resampled, told
from navarch.cli.main import app

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {containers: [{name: main, image: web, resources: {requests: {cpu: "%s"}}}]}
"""


def play(*words: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *words], prog_name="navarch")


@pytest.fixture
def pods(tmp_path: Path) -> str:
    (tmp_path / "pods.yaml").write_text("---".join((POD % ("fits", "1"), POD % ("large", "64"))))
    return str(tmp_path / "pods.yaml")


def test_the_table_and_the_plot(pods: str) -> None:
    done = play(pods, "--nodes", "2", "--machine", "cpu=4,memory=1Gi", "--for", "1m")
    lines = done.output.splitlines()
    assert done.exit_code == 0
    assert lines[0] == "2 nodes and 2 pods, 1 pending, after 1m (seed 0)"
    assert "all                      1/220   1/8   12%    0/2Gi    0%" in lines
    assert "Pending: 1 pod" in lines
    row = next(line for line in lines if "default/pod/large" in line)
    assert row.split(None, 3) == [
        "1",
        "default/pod/large",
        "0s",
        "Unschedulable   0/2 nodes are available: 2 Insufficient cpu.",
    ]
    assert "CPU requested, now 12% of 8 cores" in lines
    assert "Pods pending, now 1" in lines
    assert "\033" not in done.output


def test_json_yaml_and_the_picture(pods: str, tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    done = play(pods, "--for", "1m", "-o", "json", "--plot", str(picture), "--fail", "node-1@10s..30s")
    found = json.loads(done.output)
    assert [one["message"] for one in found["pending"]] == ["0/3 nodes are available: 3 Insufficient cpu."]
    assert found["samples"][-1]["atSeconds"] == 60
    assert yaml.safe_load(play(pods, "--for", "1m", "-o", "yaml", "--fail", "node-1@10s..30s").output) == found
    root = ElementTree.parse(picture).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "3 nodes and 2 pods, 1 pending, after 1m"
    assert "pending 1" in texts


def test_check_tells_by_the_exit_code(pods: str) -> None:
    assert play(pods, "--for", "30s", "--check").exit_code == 1
    assert play(pods, "--for", "30s", "--check", "--machine", "cpu=64").exit_code == 0


def test_many_nodes_are_told_by_zone(pods: str) -> None:
    lines = play(pods, "--nodes", "30", "--zones", "a,b,c", "--for", "10s").output.splitlines()
    assert lines[2].startswith("ZONE   READY")
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["a", "10/10"],
        ["b", "10/10"],
        ["c", "10/10"],
        ["all", "30/30"],
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--plot", "out.png"), "pictures are written as SVG"),
        (("--plot", "/no/such/folder/out.svg", "--for", "1s"), "cannot be written: No such file"),
        (("--for", "soon"), "--for: length: 'soon' is no duration"),
        (("--for", "0"), "lasts longer than that"),
        (("--start", "tomorrow"), "write a moment such as 2030-01-01T08:00:00Z"),
        (("--fail", "node-7@1m"), "there is no node node-7; there are node-0, node-1, node-2"),
        (("--behaviours", "/no/such.yaml"), "cannot be read: No such file"),
        (("--machine", "cores=4"), "'cores' is nothing that a machine has"),
        (("--nodes-file", "/no/such.yaml"), "there is no such file"),
    ],
)
def test_bad_words(words: tuple[str, ...], says: str, pods: str) -> None:
    done = play(pods, *words)
    assert isinstance(done.exception, BadRequest), done.output
    assert says in str(done.exception)


def test_charts_lose_no_peak() -> None:
    points = [(0.0, 0.0), (10.0, 8.0), (11.0, 2.0), (90.0, 4.0)]
    assert resampled(points, 100.0, 10) == [0, 8, 2, 2, 2, 2, 2, 2, 2, 4]
    assert resampled([], 100.0, 2) == [0, 0]
    lines = drawn(Series("CPU", points, 8.0), 100.0, 10, plain=False, coloured=False)
    assert lines == ["CPU", "       8 ┤ █", "         │ █", "         │ █       █", "       0 ┤ █████████"]
    plain = drawn(Series("CPU", points, 8.0), 100.0, 10, plain=True, coloured=False)
    assert "".join(plain).isascii()
    assert [told(s) for s in (0, 2.5, 59, 90, 3600, 90061)] == ["0s", "2.5s", "59s", "1m30s", "1h", "1d1h"]
    below = chart.time_axis(100.0, 20, plain=True)
    assert below[1].split() == ["0s", "50s", "1m40s"]
