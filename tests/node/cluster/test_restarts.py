"""What dies below the containers is started again, and no container notices."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from real_cluster import Kubectl, kill, navarch, pod, until

pytestmark = pytest.mark.node

PROCESSES = ("supervisor", "server", "agent", "containerd")
SERVE = "date +%s%N >/www/index.html; exec httpd -f -p 8080 -h /www"


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(navarch("status", "-o", "json").stdout)
    return found


def whole() -> dict[str, Any] | None:
    found = status()
    return found if all(found[name]["running"] for name in PROCESSES) else None


@pytest.fixture(scope="module", autouse=True)
def pods(kubectl: Kubectl) -> None:
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    kubectl.apply(
        pod("steady", SERVE, readinessProbe=probe, livenessProbe=probe),
        pod("quiet", "trap 'exit 0' TERM; sleep 100000 & wait"),
    )
    kubectl.ready("steady", "quiet")


def containers(kubectl: Kubectl) -> list[tuple[str, str, int, str]]:
    """Container ids, restart counts, and when each began."""
    found = json.loads(kubectl("get", "pods", "-o", "json"))["items"]
    return sorted(
        (one["metadata"]["name"], state["containerID"], state["restartCount"], state["state"]["running"]["startedAt"])
        for one in found
        for state in one["status"]["containerStatuses"]
    )


@pytest.mark.parametrize(
    "victims",
    [
        ("agent",),
        ("server",),
        ("containerd",),
        ("supervisor",),
        ("server", "agent"),
        ("supervisor", "server", "agent", "containerd"),
    ],
    ids="+".join,
)
def test_a_killed_process_comes_back_and_pods_go_on(kubectl: Kubectl, victims: tuple[str, ...]) -> None:
    before = containers(kubectl)
    earlier = until("what was killed before to run", whole)
    kill(*victims)
    if "supervisor" in victims:
        up = navarch("up", environment={"KUBECONFIG": str(kubectl.kubeconfig)})
        assert up.returncode == 0, up.stdout + up.stderr

    def back() -> bool:
        now = status()
        return all(now[name]["running"] and now[name]["pid"] != earlier[name]["pid"] for name in victims)

    start = time.monotonic()
    until("the processes", back)
    until("a server that answers", lambda: kubectl.run("get", "nodes").returncode == 0)
    kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=100s")
    assert time.monotonic() - start < 90
    assert containers(kubectl) == before
    until("exec", lambda: kubectl.run("exec", "steady", "--", "echo", "here").stdout == "here\n")
    name = f"new-{'-'.join(victims)}"
    kubectl.apply(pod(name, "exec sleep 1000"))
    kubectl.ready(name)
    kubectl("delete", "pod", name, "--timeout=100s")
    now = status()
    assert {name for name in PROCESSES if now[name]["pid"] != earlier[name]["pid"]} == set(victims)


def test_what_dies_while_the_agent_is_away_is_seen_when_it_is_back(kubectl: Kubectl) -> None:
    kubectl.apply(pod("mortal", "exec sleep 100000"))
    kubectl.ready("mortal")
    inside = kubectl.status("mortal")["containerID"].rpartition("/")[2]
    kill("agent")
    for group in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if inside in group.read_text():
                os.kill(int(group.parent.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue
    until("a restart", lambda: kubectl.status("mortal").get("restartCount") == 1)
    kubectl.ready("mortal")


def test_the_status_is_told_in_words_and_in_json(kubectl: Kubectl) -> None:
    text = navarch("status")
    assert text.returncode == 0, text.stdout + text.stderr
    rows = {line.split()[0]: line.split() for line in text.stdout.splitlines() if line}
    found = status()
    for name in PROCESSES:
        assert rows[name][1:3] == ["running", str(found[name]["pid"])]
        assert Path(f"/proc/{found[name]['pid']}").exists()
    [node] = found["nodes"]
    assert node["ready"]
    assert rows[node["name"]][1] == "Ready"
    assert found["addresses"]["api"].startswith("https://127.0.0.1:")


def test_up_where_it_is_up_changes_nothing(kubectl: Kubectl) -> None:
    before, config = status(), kubectl.kubeconfig.read_text()
    again = navarch("up", environment={"KUBECONFIG": str(kubectl.kubeconfig)})
    assert again.returncode == 0, again.stderr
    assert status() == before
    assert kubectl.kubeconfig.read_text() == config
    other = navarch("up", "--api-port", "7443", environment={"KUBECONFIG": str(kubectl.kubeconfig)})
    assert other.returncode == 1
    assert "navarch down" in other.stderr
    assert status() == before


def test_a_file_that_is_no_image_archive_is_refused(kubectl: Kubectl, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    for content in (b"", b"this is no archive", b"\0" * 10240):
        bad.write_bytes(content)
        done = navarch("image", "import", str(bad))
        assert done.returncode == 1
        assert done.stderr.startswith(f"navarch: {bad}")
        assert "Traceback" not in done.stderr
    missing = navarch("image", "import", str(tmp_path / "missing.tar"))
    assert missing.returncode == 2


def test_names_are_found_while_the_agent_starts_again(kubectl: Kubectl) -> None:
    """Its DNS server ends with it; questions wait for the next one, and no pod hears a refusal."""
    ask = "nslookup kubernetes.default.svc.cluster.local >/dev/null 2>&1"
    kubectl.apply(pod("asker", f"while true; do if {ask}; then echo found; else echo refused; fi; sleep 0.05; done"))
    kubectl.ready("asker")

    def found() -> int:
        return kubectl("logs", "asker").count("found")

    until("the first names to be found", found)
    for _ in range(2):
        kill("agent")
        kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=100s")
        before = until("the logs of the pod", lambda: kubectl.run("logs", "asker").stdout.count("found"))
        until("more names to be found", lambda was=before: found() > was + 5)  # type: ignore[misc]
    assert "refused" not in kubectl("logs", "asker")
    kubectl("delete", "pod", "asker", "--now")
