"""The cluster of this folder: brought up for its first test, taken down after its last."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import node_settings
from containerd_fixture import missing
from real_cluster import CACHE, IMAGE, ROOT, Kubectl, navarch, one_cluster

from navarch.agent.imagefile import File, Folder, ImageConfig, write_archive
from navarch.app.debian import build_root
from navarch.app.sample import build_images

APPLETS = ("httpd", "pidof", "timeout")


def write_shell_image(target: Path) -> None:
    """A shell with the usual commands, a web server, and the C library that resolves names."""
    more = {f"bin/{name}": File(link="/bin/busybox") for name in APPLETS}
    more["www/index.html"] = File(b"hello\n")
    write_archive(target, [IMAGE], [Folder(build_root(["libc6"], CACHE)), more], ImageConfig(command=["sh"]))


@pytest.fixture(scope="package")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the administrator of a running cluster that has the tests' images."""
    assert not missing(), missing()
    directory = tmp_path_factory.mktemp("cluster")
    path = directory / "kubeconfig"
    busybox = directory / "busybox.tar"
    write_shell_image(busybox)
    archives = [
        archive
        for archive in build_images(ROOT / "examples" / "voyage", CACHE, print)
        if archive.name.startswith("api-")
    ]
    with one_cluster():
        try:
            words = ("up", "--kubelet-config", str(node_settings.write(directory)))
            up = navarch(*words, environment={"KUBECONFIG": str(path)})
            assert up.returncode == 0, up.stdout + up.stderr
            for archive in (busybox, *archives):
                done = navarch("image", "import", str(archive))
                assert done.returncode == 0, done.stderr
            yield path
        finally:
            down = navarch("down", environment={"KUBECONFIG": str(path)})
        assert down.returncode == 0, down.stdout + down.stderr


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """In a namespace of the module's own, which is deleted after its last test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.module.__name__.rpartition(".")[2].lower()).strip("-")
    found = Kubectl(kubeconfig, name)
    found("create", "namespace", name)
    found("wait", "--for=create", "serviceaccount/default", "--timeout=100s")
    yield found
    found("delete", "namespace", name, "--wait=false")
