"""exec, attach, cp, run and debug through the real kubectl, on terminals and on pipes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_cluster import IMAGE, PYTHON, Kubectl, Terminal, kubectl_program, pod, until

pytestmark = pytest.mark.node

MEGABYTE = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def shell(kubectl: Kubectl) -> None:
    kubectl.apply(pod("shell", "exec sleep 10000"), pod("python", ["sleep", "10000"], image=PYTHON))
    kubectl.ready("shell", "python")


@pytest.fixture(params=["", "1.32"], ids=["newest", "1.32"])
def client(kubectl: Kubectl, request: pytest.FixtureRequest) -> Kubectl:
    return Kubectl(kubectl.kubeconfig, kubectl.namespace, kubectl_program(request.param))


def test_output_errors_and_exit_code_come_back(client: Kubectl) -> None:
    done = client.run("exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert done.stderr.startswith("err\n")
    assert "command terminated with exit code 7" in done.stderr


def test_input_ends_where_the_file_ends(client: Kubectl) -> None:
    done = client.run("exec", "-i", "shell", "--", "sh", "-c", "cat; echo the end", stdin="one\ntwo\n")
    assert done.stdout == "one\ntwo\nthe end\n"
    assert client.run("exec", "-i", "shell", "--", "cat", stdin="").stdout == ""


@pytest.mark.slow
def test_twenty_megabytes_each_way_come_whole(client: Kubectl) -> None:
    data = os.urandom(20 * MEGABYTE)
    up = client.raw("exec", "-i", "python", "--", "sha256sum", stdin=data)
    assert up.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    both = client.raw("exec", "-i", "python", "--", "cat", stdin=data)
    assert both.returncode == 0, both.stderr
    assert hashlib.sha256(both.stdout).hexdigest() == hashlib.sha256(data).hexdigest()


@dataclass
class SpdyKubectl(Kubectl):
    """As clients are that do not know WebSockets."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}


def test_the_end_of_a_large_output_comes_over_spdy_too(kubectl: Kubectl) -> None:
    """The runtime leaves right behind its last words, while the client still talks."""
    client = SpdyKubectl(kubectl.kubeconfig, kubectl.namespace)
    for _ in range(3):
        done = client.raw("exec", "shell", "--", "head", "-c", "20000000", "/dev/zero")
        assert (done.returncode, len(done.stdout)) == (0, 20_000_000), done.stderr
    failed = client.run("exec", "shell", "--", "sh", "-c", "exit 7")
    assert (failed.returncode, "exit code 7" in failed.stderr) == (7, True)


def test_a_container_that_does_not_run_is_refused_in_kubernetes_words(kubectl: Kubectl) -> None:
    first = {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo first"]}
    never = {"name": "never", "image": "navarch.test/none:1", "imagePullPolicy": "Never"}
    kubectl.apply(pod("half", "exec sleep 1000", more=[never], initContainers=[first]))
    until("a running container", lambda: "running" in kubectl.status("half").get("state", {}))
    begin = "error: Internal error occurred: unable to upgrade connection: "
    assert kubectl.fails("exec", "half", "-c", "never", "--", "true") == f'{begin}container not found ("never")\n'
    told = kubectl.fails("attach", "half", "-c", "first")
    assert told.endswith(f"{begin}container first not found in pod half_{kubectl.namespace}\n")
    spdy = SpdyKubectl(kubectl.kubeconfig, kubectl.namespace)
    told = spdy.fails("exec", "half", "-c", "never", "--", "true")
    assert told == 'error: unable to upgrade connection: container not found ("never")\n'


def test_input_that_is_given_once_ends_with_who_gave_it(kubectl: Kubectl) -> None:
    kubectl.apply(pod("once", "cat; echo the end; exec sleep 1000", stdin=True, stdinOnce=True))
    kubectl.ready("once")
    giving = kubectl.start("attach", "-i", "once", stdin=subprocess.PIPE)
    assert giving.stdin
    assert giving.stdout
    giving.stdin.write("one line\n")
    giving.stdin.close()
    lines = iter(giving.stdout.readline, "")
    assert "one line\n" in lines
    assert "the end\n" in lines
    giving.kill()
    giving.wait()
    assert kubectl("logs", "once") == "one line\nthe end\n"


def test_a_slow_reader_loses_nothing(kubectl: Kubectl) -> None:
    """The reader stops for a while, until every buffer in between is full."""
    process = kubectl.start("exec", "shell", "--", "seq", "1", "1500000")
    assert process.stdout
    first = process.stdout.read(1000)
    time.sleep(3)
    text = first + process.stdout.read()
    assert process.wait() == 0
    assert text == "".join(f"{i}\n" for i in range(1, 1_500_001))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("exec", "shell", "--", "no-such-program"), "executable file not found"),
        (("exec", "nobody", "--", "true"), 'pods "nobody" not found'),
        (("exec", "shell", "-c", "nothing", "--", "true"), "nothing"),
    ],
)
def test_what_cannot_run_says_why(kubectl: Kubectl, words: tuple[str, ...], told: str) -> None:
    assert told in kubectl.fails(*words)


def test_a_terminal_has_its_size_and_follows_it(kubectl: Kubectl) -> None:
    terminal = Terminal(kubectl.command("exec", "-it", "python", "--", "sh"), kubectl.environment, 33, 111)
    terminal.expect("$ ")
    size = "python3.11 -c 'import os; print(\"size\", os.get_terminal_size())'\n"
    terminal.type(size)
    assert "columns=111, lines=33" in terminal.expect(")\r\n")
    terminal.resize(20, 77)
    os.kill(terminal.process.pid, 28)  # SIGWINCH
    until_resized(terminal, size, "columns=77, lines=20")
    terminal.type("exit 5\n")
    assert terminal.end() == 5


def until_resized(terminal: Terminal, ask: str, wanted: str) -> None:
    def resized() -> bool:
        terminal.expect("$ ")
        terminal.type(ask)
        return wanted in terminal.expect(")\r\n")

    until(wanted, resized)


def test_keys_reach_the_program_on_the_terminal(kubectl: Kubectl) -> None:
    terminal = Terminal(kubectl.command("exec", "-it", "shell", "--", "sh"), kubectl.environment)
    terminal.expect("# ")
    terminal.type("sleep 1000\n")
    terminal.expect("sleep 1000")
    until("its start", lambda: "sleep 1000" in kubectl("exec", "shell", "--", "ps").replace("sleep 10000", ""))
    terminal.type("\x03")
    terminal.expect("# ")
    terminal.type("echo code $?\n")
    terminal.expect("code 130")
    terminal.expect("# ")  # sooner it would reach no shell that reads, and be forgotten when one begins to
    terminal.type("\x04")
    terminal.end()


def test_attach_shows_what_the_container_writes_and_gives_it_input(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod("parrot", "while read word; do echo heard $word; done; echo bye", stdin=True, restartPolicy="Never")
    )
    kubectl.ready("parrot")
    attached = kubectl.start("attach", "-i", "parrot", stdin=subprocess.PIPE)
    assert attached.stdin
    assert attached.stdout
    attached.stdin.write("hello\n")
    attached.stdin.flush()
    for line in attached.stdout:
        if line == "heard hello\n":
            break
    else:
        raise AssertionError("nothing was heard")
    attached.kill()
    attached.communicate()
    assert kubectl.status("parrot")["state"].keys() == {"running"}


def test_run_with_a_terminal_and_remove(kubectl: Kubectl) -> None:
    terminal = Terminal(
        kubectl.command("run", "-it", "--rm", "--restart=Never", "visit", "--image=navarch.test/busybox:1", "--", "sh"),
        kubectl.environment,
    )
    terminal.type("\n")
    terminal.expect("# ")
    terminal.type("echo $((6 * 7))\n")
    terminal.expect("42\r\n")
    terminal.type("exit 3\n")
    terminal.expect('pod "visit" deleted')
    terminal.end()
    assert "not found" in kubectl.fails("get", "pod", "visit")


def test_run_gives_back_the_exit_code(client: Kubectl) -> None:
    name = f"code-{'new' if client.program == kubectl_program() else 'old'}"
    words = ("run", "-i", "--rm", "--restart=Never", name, "--image=navarch.test/busybox:1", "--")
    done = client.run(*words, "sh", "-c", "cat; exit 9", stdin="from outside\n")
    assert "from outside" in done.stdout
    assert done.returncode == 9, done.stderr


@pytest.mark.parametrize("size", [0, 1, 5 * MEGABYTE + 17])
def test_files_are_copied_both_ways_bit_by_bit(client: Kubectl, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "here").write_bytes(data)
    client("cp", str(tmp_path / "here"), "shell:/tmp/there", "--retries=0")
    client("cp", "shell:/tmp/there", str(tmp_path / "back"), "--retries=0")
    assert (tmp_path / "back").read_bytes() == data


def test_folders_are_copied_with_what_is_in_them(kubectl: Kubectl, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    for number in range(50):
        (source / "deep" / f"file {number}").write_text(f"content {number}")
    (source / "deep" / "er" / "program").write_text("#!/bin/sh\n")
    (source / "deep" / "er" / "program").chmod(0o755)
    kubectl("cp", str(source), "shell:/tmp/copied")
    kubectl("cp", "shell:/tmp/copied", str(tmp_path / "back"))
    for file in source.rglob("*"):
        if file.is_file():
            twin = tmp_path / "back" / file.relative_to(source)
            assert twin.read_bytes() == file.read_bytes()
    assert kubectl("exec", "shell", "--", "stat", "-c", "%a", "/tmp/copied/deep/er/program") == "755\n"
    kubectl.run("cp", "shell:/tmp/nothing", str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_debugging_container_sees_the_pods_processes(kubectl: Kubectl) -> None:
    kubectl.apply(pod("victim", "exec sleep 12345"))
    kubectl.ready("victim")
    words = ("debug", "-i", "victim", "--image=navarch.test/busybox:1", "--target=main", "--container=look")
    # an input that ends would end the attachment, as containerd has it; a line of it says that one is attached
    with kubectl.start(*words, "--", "sh", "-c", "read go; ps", stdin=subprocess.PIPE) as looking:
        assert looking.stdin
        assert looking.stdout
        looking.stdin.write("go\n")
        looking.stdin.flush()
        assert "sleep 12345" in looking.stdout.read()
    assert kubectl.get("pod", "victim")["spec"]["ephemeralContainers"][0]["name"] == "look"
    ended = until("its end", lambda: kubectl.status("victim", "look").get("state", {}).get("terminated"))
    assert ended["exitCode"] == 0
    assert kubectl.status("victim")["restartCount"] == 0
