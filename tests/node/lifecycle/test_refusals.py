"""Machines and words that `navarch` cannot work with: each is told so, and nothing is changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cluster import ROOT, navarch

pytestmark = pytest.mark.node


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may enter: pytest closes its own to others whenever another run begins."""
    with tempfile.TemporaryDirectory(prefix="navarch-readable-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_without_root_it_says_so(readable: Path) -> None:
    """As a user who can read the program, but nothing of root's."""
    source, python = readable_copy(readable)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *python, "-m", "navarch", "up"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": source, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 1
    assert "root is needed to run containers" in done.stderr
    assert "Traceback" not in done.stderr
    for words in (("status",), ("down",), ("kubeconfig",)):
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *python, "-m", "navarch", *words],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": source, "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert "Traceback" not in done.stderr, done.stderr


def readable_copy(folder: Path) -> tuple[str, list[str]]:
    """Somewhere that everybody may read: the package and its dependencies."""
    shutil.copytree(ROOT / "src" / "navarch", folder / "navarch", ignore=shutil.ignore_patterns("__pycache__"))
    packages = [path for path in sys.path if path.endswith("site-packages")]
    for package in packages:
        for parent in (Path(package), *Path(package).parents):
            if not parent.stat().st_mode & 0o001:
                shutil.copytree(
                    package, folder / "packages", symlinks=True, ignore=shutil.ignore_patterns("aws_cdk", "kubernetes*")
                )
                packages = [str(folder / "packages")]
                break
    base = os.path.realpath(sys.executable)
    return os.pathsep.join([str(folder), *packages]), [base]


def test_without_cgroups_it_says_so() -> None:
    script = f"mount -t tmpfs none /sys/fs/cgroup && exec {sys.executable} -m navarch up"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no cgroup controllers are mounted below /sys/fs/cgroup" in done.stderr
    assert not Path("/var/lib/navarch/settings.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("up", "--no-such-option"),
        ("up", "--api-port", "many"),
        ("up", "--api-port", "70000"),
        ("up", "--node-name", "Not A Name"),
        ("up", "--node-ip", "300.1.1.1"),
        ("status", "-o", "xml"),
        ("image", "import"),
        ("image", "import", "/no/such/file.tar"),
        ("no-such-command",),
    ],
    ids=" ".join,
)
def test_wrong_words_are_told_and_end_with_2(words: tuple[str, ...]) -> None:
    done = navarch(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert not Path("/var/lib/navarch/settings.json").exists()


HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("a: [\n", "is no YAML"),
        ("- a\n", "must be one document with apiVersion: kubelet.config.k8s.io/v1beta1 and kind: KubeletConfiguration"),
        ("apiVersion: v1\nkind: Pod\n", "kind: must be KubeletConfiguration"),
        (HEAD + "maxPod: 3\n", "maxPod: this agent has no such field; did you mean maxPods?"),
        (HEAD + "maxPods: many\npodPidsLimit: -7\n", "podPidsLimit: "),
        (HEAD + "evictionHard: {disk: 1Gi}\n", "evictionHard: disk: not known; there are memory.available"),
        (HEAD + "evictionHard: {memory.available: 120%}\n", "must lie between 0% and 100%"),
        (HEAD + "imageGCHighThresholdPercent: 50\n", "imageGCLowThresholdPercent: must be below"),
        (HEAD + "staticPodPath: here\n", "staticPodPath: "),
    ],
    ids=["none", "yaml", "list", "kind", "unknown", "values", "signal", "percent", "between", "relative"],
)
def test_a_file_of_the_nodes_settings_is_refused_before_anything_is_made(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "node.yaml"
    if text is not None:
        path.write_text(text)
    done = navarch("up", "--kubelet-config", str(path))
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert f"{path}: " in done.stderr
    assert said in done.stderr
    assert not Path("/var/lib/navarch/settings.json").exists()


@pytest.mark.parametrize("words", [("demo",), ("kubeconfig",), ("image", "import", __file__)], ids=" ".join)
def test_what_needs_a_cluster_says_how_to_get_one(words: tuple[str, ...]) -> None:
    done = navarch(*words)
    assert done.returncode == 1
    assert "`navarch up` makes one" in done.stderr


def test_status_without_a_cluster() -> None:
    done = navarch("status")
    assert (done.returncode, done.stdout) == (1, "There is no cluster on this machine. `navarch up` makes one.\n")


@pytest.mark.parametrize(
    "words",
    [(), ("up",), ("down",), ("status",), ("kubeconfig",), ("image",), ("image", "import"), ("demo",), ("version",)],
    ids=" ".join,
)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    done = navarch(*words, "--help")
    assert done.returncode == 0
    assert "Usage: navarch" in done.stdout


def test_the_version_is_told_at_once() -> None:
    done = navarch("version")
    assert done.stdout.startswith("navarch ")
    assert "v1.36" in done.stdout
