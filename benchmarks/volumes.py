"""A changed ConfigMap on its way to the files of running pods: how long after the write each of them shows it.

On the cluster of `navarch up`, over real containerd: needs root and a machine without a cluster. The files are read
where the agent keeps them, which is what containers have mounted.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import PATIENCE_S, Follower, deployment, kubectl
from machine import LAYOUT, PODS, cluster, navarch, write_image

from navarch.agent.config import Paths
from navarch.app.ask import ask

CONFIG = "/api/v1/namespaces/default/configmaps"


def write(method: str, path: str, document: Mapping[str, Any]) -> None:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    status, said = ask(LAYOUT.server_socket, path, method=method, body=document, content_type=kind)
    if status >= 300:
        raise RuntimeError(f"{method} {path}: {status} {said}")


def updates(follower: Follower, replicas: int, rounds: int) -> dict[str, float]:
    """Milliseconds from the beginning of a write of a ConfigMap until the file in a running pod shows it."""
    name = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shown"}}
    write("POST", CONFIG, name | {"data": {"word": "first"}})
    kubectl("apply", "-f", "-", text=deployment("shown", replicas, "shown"))
    follower.wait_ready(replicas, "shown")
    _, pods = ask(LAYOUT.server_socket, f"{PODS}?labelSelector=app%3Dshown")
    paths = Paths(LAYOUT.agent, LAYOUT.logs / "pods")
    files = [paths.volume(pod["metadata"]["uid"], "config") / "word" for pod in pods["items"]]
    took: list[list[float]] = []
    for number in range(rounds):
        word = f"word {number}"
        began = time.monotonic()
        write("PATCH", f"{CONFIG}/shown", {"data": {"word": word}})
        waiting, found = set(files), []
        while waiting:
            if time.monotonic() - began > PATIENCE_S:
                raise RuntimeError(f"{len(waiting)} of {replicas} files do not change")
            shown = {file for file in waiting if file.read_text() == word}
            found += [time.monotonic() - began] * len(shown)
            waiting -= shown
            time.sleep(0.002)
        took.append(found)
        time.sleep(1)
    kubectl("delete", "deployment", "shown", "--wait=false")
    follower.wait_gone()
    return {
        "volume_update_ms": round(statistics.median(one for each in took for one in each) * 1000, 1),
        f"volume_update_last_of_{replicas}_ms": round(statistics.median(max(each) for each in took) * 1000, 1),
        f"volume_update_worst_of_{replicas * rounds}_ms": round(max(max(each) for each in took) * 1000, 1),
    }


def measure(replicas: int = 20, rounds: int = 20) -> dict[str, Any]:
    with cluster(), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        write_image(archive)
        navarch("image", "import", str(archive))
        return updates(Follower(), replicas, rounds)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
