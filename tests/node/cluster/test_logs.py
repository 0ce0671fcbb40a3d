"""`kubectl logs` in all its forms, on containers that write for real."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from real_cluster import Kubectl, kubectl_program, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

RETRIEVED = "[sig-cli] Kubectl logs logs should be able to retrieve and filter logs"

TALK = "for i in 1 2 3 4 5; do echo line $i; echo problem $i >&2; done; exec sleep 1000"


@pytest.fixture(scope="module", autouse=True)
def talker(kubectl: Kubectl) -> None:
    other = {"name": "other", "image": "navarch.test/busybox:1", "command": ["sh", "-c", "echo from other; sleep 1000"]}
    kubectl.apply(pod("talker", TALK, more=[other]))
    kubectl.ready("talker")


@pytest.mark.parametrize("version", ["", "1.32"])
@spec("[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs [NodeConformance]")
def test_all_lines_of_both_streams_come_in_order(kubectl: Kubectl, version: str) -> None:
    client = Kubectl(kubectl.kubeconfig, kubectl.namespace, kubectl_program(version))
    lines = client("logs", "talker", "-c", "main").splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {i}" for i in range(1, 6)]
    assert [line for line in lines if line.startswith("problem")] == [f"problem {i}" for i in range(1, 6)]


@spec(RETRIEVED)
def test_the_tail_and_the_number_of_bytes_are_limited(kubectl: Kubectl) -> None:
    assert kubectl("logs", "talker", "--tail=2").splitlines()[-1] in ("line 5", "problem 5")
    assert kubectl("logs", "talker", "--tail=0") == ""
    assert kubectl("logs", "talker", "--limit-bytes=4") in ("line", "prob")  # two streams: either may be first


@spec(RETRIEVED)
def test_timestamps_are_in_front_of_every_line(kubectl: Kubectl) -> None:
    for line in kubectl("logs", "talker", "--timestamps").splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (line|problem) \d$", line), line


@spec(RETRIEVED)
def test_only_what_was_written_since_is_shown(kubectl: Kubectl) -> None:
    kubectl.apply(pod("clock", "echo early; sleep 8; while true; do echo late; sleep 1; done"))
    kubectl.ready("clock")
    until("the late line", lambda: "late" in kubectl("logs", "clock"))
    assert set(kubectl("logs", "clock", "--since=6s").splitlines()) == {"late"}
    stamp = kubectl("logs", "clock", "--tail=1", "--timestamps").split()[0]
    assert set(kubectl("logs", "clock", f"--since-time={stamp[:19]}Z").splitlines()) == {"late"}
    assert kubectl("logs", "clock", "--since=1h").startswith("early\nlate\n")


def test_every_container_of_every_chosen_pod_is_read(kubectl: Kubectl) -> None:
    text = kubectl("logs", "talker", "--all-containers", "--prefix")
    assert "[pod/talker/main] line 1" in text
    assert "[pod/talker/other] from other" in text
    assert "from other" in kubectl("logs", "-l", "app=talker", "--all-containers")
    assert kubectl("logs", "talker", "-c", "other") == "from other\n"


def test_a_log_is_followed_until_the_container_ends(kubectl: Kubectl) -> None:
    kubectl.apply(pod("counter", "for i in 1 2 3 4; do echo $i; sleep 0.5; done", restartPolicy="Never"))
    until("a first line", lambda: kubectl.run("logs", "counter").stdout)
    assert kubectl("logs", "-f", "counter") == "1\n2\n3\n4\n", "its end ends the log, and kubectl with it"


def test_following_shows_lines_as_they_are_written(kubectl: Kubectl) -> None:
    kubectl.apply(pod("slow", "while true; do date +%s; sleep 0.5; done"))
    kubectl.ready("slow")
    follower = kubectl.start("logs", "-f", "--tail=1", "slow")
    try:
        assert follower.stdout
        late = [0.0]
        while len(late) < 4 or max(late[-3:]) > 2.5:  # a busy machine may be late for some of them
            late.append(time.time() - float(follower.stdout.readline()))
            assert len(late) < 100, f"lines came {late} s after they were written"
    finally:
        follower.kill()
        follower.wait()


def test_following_ends_when_the_pod_is_deleted(kubectl: Kubectl) -> None:
    kubectl.apply(pod("brief", "echo here; exec sleep 1000"))
    kubectl.ready("brief")
    follower = kubectl.start("logs", "-f", "brief")
    assert follower.stdout
    assert follower.stdout.readline() == "here\n"
    kubectl("delete", "pod", "brief", "--wait=false")
    follower.communicate(timeout=100)


def test_the_log_of_the_container_before_is_kept(kubectl: Kubectl) -> None:
    kubectl.apply(pod("again", 'echo "my process started at $(date +%s%N)"; sleep 2; exit 3'))
    until("a restart", lambda: kubectl.status("again").get("restartCount", 0) >= 1)
    until("a running container", lambda: "running" in kubectl.status("again").get("state", {}))
    before, now = kubectl("logs", "again", "--previous"), kubectl("logs", "again")
    assert before.startswith("my process")
    assert before != now


def test_wrong_questions_get_answers_that_help(kubectl: Kubectl) -> None:
    assert 'previous terminated container "main" in pod "talker" not found' in kubectl.fails(
        "logs", "talker", "--previous"
    )
    assert "container nothing is not valid for pod talker" in kubectl.fails("logs", "talker", "-c", "nothing")
    assert 'pods "nobody" not found' in kubectl.fails("logs", "nobody")
    kubectl.apply(pod("imageless", image="navarch.test/none:1", pull="Never"))
    until("a waiting container", lambda: "waiting" in kubectl.status("imageless").get("state", {}))
    assert 'container "main" in pod "imageless" is waiting to start' in kubectl.fails("logs", "imageless")


def test_a_line_of_a_megabyte_and_bytes_that_are_no_text_come_whole(kubectl: Kubectl) -> None:
    kubectl.apply(pod("wide", "head -c 1000000 /dev/zero | tr '\\0' x; echo; printf 'a\\377b\\n'; exec sleep 1000"))
    kubectl.ready("wide")
    found = until("the whole line", lambda: (text := kubectl.raw("logs", "wide").stdout).endswith(b"b\n") and text)
    assert found == b"x" * 1_000_000 + b"\na\xffb\n"


def test_a_log_that_was_rotated_is_read_on(kubectl: Kubectl) -> None:
    """12 MB against a limit of 10 MiB a file: whoever follows loses nothing."""
    kubectl.apply(pod("flood", "sleep 3; seq 1 850000; sleep 14; seq 850001 1700000; echo the end; exec sleep 1000"))
    kubectl.ready("flood")
    follower = kubectl.start("logs", "-f", "flood")
    try:
        assert follower.stdout
        expected = 1
        for line in follower.stdout:
            if line == "the end\n":
                break
            assert line == f"{expected}\n"
            expected += 1
    finally:
        follower.kill()
        follower.wait()
    assert expected == 1_700_001
    [folder] = Path("/var/lib/navarch/log/pods").glob("test-logs_flood_*/main")
    until("a rotated file", lambda: len(list(folder.iterdir())) > 1)
