"""Images on real containerd: pulled with credentials, through a mirror, by digest; archives in and out."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.agent.images import Images
from navarch.agent.pulling.settings import PullSettings
from navarch.agent.runtime import Image, RuntimeFailure
from navarch.app import containerd, imagebuild
from navarch.app.debian import CACHE
from navarch.app.imagestore import ImageStore, InUse, NoSuchImage, find, removable, unused
from navarch.app.pause import PAUSE_IMAGE
from navarch.app.provision import NotProvisioned
from tests.node import containerd_fixture as fixture
from tests.node.registry_fixture import Registry, serving
from tests.unit.agent.pods import pod

pytestmark = pytest.mark.node

MIRRORED = "images.example"


@dataclass
class Scene:
    machine: Any
    registry: Registry
    store: ImageStore
    folder: Path

    def archive(self, name: str, content: bytes = b"x", **config: Any) -> Path:
        """Of a tiny image."""
        path = self.folder / f"{name.replace('/', '-').replace(':', '-')}.tar"
        write_archive(path, [name], [{"data": File(content)}], ImageConfig(command=["/data"], **config))
        return path


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]]:
    assert fixture.missing() == ""
    folder = tmp_path_factory.mktemp("images")
    registry = Registry({"alice": "a", "bob": "b"})
    with asyncio.Runner() as runner, serving(registry, fixture.REGISTRY):
        way = fixture.machine()
        machine = runner.run(way.__aenter__())
        place = machine.settings.registries / MIRRORED
        place.mkdir()
        (place / "hosts.toml").write_text(containerd.hosts_file(f"http://{fixture.REGISTRY}", insecure=True))
        store = ImageStore(machine.runtime, machine.settings.socket)
        made = Scene(machine, registry, store, folder)
        try:
            yield lambda scenario: runner.run(scenario(made))
        finally:
            runner.run(way.__aexit__(None, None, None))


async def wanted(images: Images, name: str, *users: str, policy: str = "IfNotPresent") -> Image | str:
    """The image for a pod with pull secrets of these users, or why it does not get it."""
    secrets = [{"name": user} for user in users]
    found = pod({"name": "main", "image": name, "imagePullPolicy": policy}, imagePullSecrets=secrets)

    def lookup(plural: str, secret: str) -> dict[str, bytes]:
        auths = {host: {"username": secret, "password": secret[0]} for host in (fixture.REGISTRY, MIRRORED)}
        return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}

    try:
        return await images.ensure(found, found.spec.containers[0], lookup, lambda type, reason, text: None)
    except RuntimeFailure as failure:
        return f"{failure.reason}: {failure}"


def test_a_registry_is_asked_with_the_pods_credentials(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        digest = at.registry.push(at.archive("r.test/team/app:1"), "team/app", "1")
        name = f"{fixture.REGISTRY}/team/app:1"
        images = Images(at.machine.runtime, at.machine.clock, PullSettings(records=at.folder / "records"))
        refused = await wanted(images, name)
        assert isinstance(refused, str)
        assert refused.startswith(f'ErrImagePull: failed to pull image "{name}": ')
        assert "401" in refused or "authorization failed" in refused
        pulled = await wanted(images, name, "mallory", "alice")
        assert isinstance(pulled, Image)
        assert f"{fixture.REGISTRY}/team/app@{digest}" in pulled.digests
        # it is here now: for who has pulled it, and for who can
        asked = len(at.registry.pulls)
        assert isinstance(await wanted(images, name, "alice"), Image)
        assert len(at.registry.pulls) == asked
        assert str(await wanted(images, name, "mallory")).startswith("ErrImagePull")
        assert str(await wanted(images, name, "mallory", policy="Never")).startswith("ErrImageNeverPull")
        assert isinstance(await wanted(images, name, "bob"), Image)
        # an agent that starts anew remembers it
        images = Images(at.machine.runtime, at.machine.clock, PullSettings(records=at.folder / "records"))
        asked = len(at.registry.pulls)
        assert isinstance(await wanted(images, name, "bob", policy="Never"), Image)
        assert str(await wanted(images, name)).startswith("ErrImagePull")
        assert len([user for user, _ in at.registry.pulls[asked:] if user]) == 0
        # by digest, and by the name of a mirror
        by_digest = await wanted(images, f"{fixture.REGISTRY}/team/app@{digest}", "alice")
        mirrored = await wanted(images, f"{MIRRORED}/team/app:1", "alice")
        assert isinstance(by_digest, Image)
        assert isinstance(mirrored, Image)
        assert by_digest.id == mirrored.id == pulled.id
        missing = await wanted(images, f"{fixture.REGISTRY}/team/app:2", "alice")
        assert "not found" in str(missing)
        # removed by a person and brought back from an archive, it was there before the agent: free for all
        removing = ImageStore(at.machine.runtime, at.machine.settings.socket, records=at.folder / "records")
        await removing.remove(find(await removing.list(), pulled.id), "")
        assert not list((at.folder / "records" / "pulled").iterdir())
        await at.machine.runtime.import_image(at.archive("r.test/team/app:1"))
        assert isinstance(await wanted(images, "r.test/team/app:1"), Image)
        await at.machine.runtime.remove_image(pulled.id)

    scene(scenario)


def test_what_an_image_says_of_itself_is_known(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        labels = {"containerd.io/restart.status": "running", "version": "1"}
        archive = at.archive("r.test/odd:1", labels=labels, user="4294967296", working_dir="/proc/self/fd/7")
        await at.machine.runtime.import_image(archive)
        found = await at.machine.runtime.image("r.test/odd:1")
        assert (set(found.labels), found.user_text, found.working_dir) == (set(labels), "4294967296", "/proc/self/fd/7")
        await at.machine.runtime.remove_image(found.id)

    scene(scenario)


def test_archives_go_in_and_out(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        seen: list[int] = []
        plain = at.archive("r.test/box:1", b"z" * 3_000_000)
        packed = at.folder / "box.tar.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
        assert await at.store.take_in(packed, seen.append) == ["r.test/box:1"]
        assert seen[-1] == packed.stat().st_size
        listed = await at.store.list()
        box = find(listed, "r.test/box:1")
        assert box.users == ()
        assert find(listed, PAUSE_IMAGE).users == ("every pod's sandbox",)
        out = at.folder / "out.tar"
        written = await at.store.give_out(listed, ["r.test/box:1", fixture.BUSYBOX], out, seen.append)
        assert written == out.stat().st_size > 3_000_000
        await at.store.remove(box, "")
        with pytest.raises(NoSuchImage):
            find(await at.store.list(), "r.test/box:1")
        assert set(await at.store.take_in(out, seen.append)) == {"r.test/box:1", fixture.BUSYBOX}
        assert find(await at.store.list(), "r.test/box:1").image.id == box.image.id
        with pytest.raises(NotProvisioned, match="cannot be read: No such file"):
            await at.store.take_in(at.folder / "none.tar", seen.append)

    scene(scenario)


def test_one_name_of_several_is_taken_off(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        archive = at.folder / "two.tar"
        write_archive(archive, ["r.test/two:1", "r.test/two:2"], [{"a": File(b"two")}], ImageConfig())
        await at.store.take_in(archive, lambda done: None)
        [(one, tag)] = removable(await at.store.list(), ["r.test/two:1"], force=False)
        assert tag == "r.test/two:1"
        await at.store.remove(one, tag)
        async with asyncio.timeout(20):
            while find(listed := await at.store.list(), "r.test/two:2").tags != ("r.test/two:2",):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with pytest.raises(InUse):
            removable(listed, [PAUSE_IMAGE], force=False)
        [(one, tag)] = removable(listed, ["r.test/two:2"], force=False)
        await at.store.remove(one, tag)
        assert "r.test/two:2" not in str(await at.store.list())
        assert find(listed, PAUSE_IMAGE) not in unused(listed, [])

    scene(scenario)


def test_an_image_that_was_built_runs(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        root = at.folder / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy(str(shutil.which("busybox")), root / "bin" / "busybox")
        config = ImageConfig(entrypoint=["/bin/busybox", "echo", "built"], working_dir="/bin", user="1000:1000")
        image_id = await asyncio.to_thread(
            imagebuild.build, imagebuild.Recipe(["built:1"], root, config=config), at.folder / "b.tar", at.folder, print
        )
        await at.store.take_in(at.folder / "b.tar", lambda done: None)
        assert find(await at.store.list(), "built:1").image.id == image_id
        assert (await output(at, "docker.io/library/built:1")).endswith("built\n")

    scene(scenario)


def test_an_image_of_packages_runs_and_one_that_others_packed_is_read(scene: Callable[..., None]) -> None:
    async def scenario(at: Scene) -> None:
        config = ImageConfig(command=["/bin/sh", "-c", "echo '{\"a\": [7]}' | jq -c .a"])
        recipe = imagebuild.Recipe(["packed:1"], packages=["jq"], config=config)
        archive = at.folder / "p.tar"
        await asyncio.to_thread(imagebuild.build, recipe, archive, CACHE, print)
        elsewhere = at.folder / "elsewhere.tar"
        await asyncio.to_thread(as_others_write_it, archive, elsewhere, "r.test/elsewhere:2")
        assert await at.store.take_in(elsewhere, lambda done: None) == ["r.test/elsewhere:2"]
        assert (await output(at, "r.test/elsewhere:2")).endswith("[7]\n")
        broken = at.folder / "broken.tar"
        broken.write_bytes(archive.read_bytes()[:300_000])
        with pytest.raises(NotProvisioned, match=r"broken.tar is no image archive: unexpected end"):
            await at.store.take_in(broken, lambda done: None)
        own = at.archive("r.test/spoilt:1", b"to be spoilt" * 1000)
        broken.write_bytes(own.read_bytes().replace(b"spoiltto be", b"spoiltTO BE", 1))
        with pytest.raises(NotProvisioned, match=r"it is damaged, the content of blobs/sha256/\w+ is not what"):
            await at.store.take_in(broken, lambda done: None)

    scene(scenario)


def as_others_write_it(archive: Path, target: Path, name: str) -> None:
    """An OCI layout alone, for several platforms, named by its reference."""
    with tarfile.open(archive) as source, tarfile.open(target, "w") as tar:
        for member in source:
            content = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == "index.json":
                [manifest, *_] = json.loads(content)["manifests"]
                manifest.pop("annotations")
                kind = "application/vnd.oci.image.index.v1+json"
                inner = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [manifest]}).encode()
                digest = hashlib.sha256(inner).hexdigest()
                add(tar, f"blobs/sha256/{digest}", inner)
                outer = {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(inner)}
                outer["annotations"] = {"org.opencontainers.image.ref.name": name}
                content = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [outer]}).encode()
            if member.name != "manifest.json":
                add(tar, member.name, content)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


async def output(at: Scene, image: str) -> str:
    """What a container of the image writes, run by containerd's own client."""
    address = ("--address", str(at.machine.settings.socket), "--namespace", "k8s.io")
    words: Sequence[str] = ("ctr", *address, "run", "--rm", image, "navarch-test-built")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return said.decode()
