"""The folder of images that a node takes in when it starts."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

from navarch.agent.fake import FakeRuntime
from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.app import preload
from navarch.app.provision import NotProvisioned
from navarch.base.clock import SeededIds, SystemClock


def play(folder: Path, runtime: FakeRuntime) -> list[str]:
    """What a start takes in."""

    async def put(archive: Path) -> list[str]:
        try:
            return list(await runtime.import_image(archive))
        except ValueError as error:
            raise NotProvisioned(str(error)) from error

    return list(asyncio.run(preload.take_in(folder / "images", folder / "memory.json", runtime, put)))


def archive(folder: Path, name: str, image: str, content: bytes = b"x") -> Path:
    (folder / "images").mkdir(exist_ok=True)
    path = folder / "images" / name
    write_archive(path, [image], [{"a": File(content)}], ImageConfig())
    return path


def imports(runtime: FakeRuntime) -> list[str]:
    return [Path(subject).name for verb, subject in runtime.calls if verb == "import"]


def test_archives_are_taken_in_once(tmp_path: Path) -> None:
    runtime = FakeRuntime(SystemClock(), SeededIds(1))
    assert play(tmp_path, runtime) == []
    archive(tmp_path, "b.tar", "r.test/b:1")
    plain = archive(tmp_path, "a.tar", "r.test/a:1")
    (tmp_path / "images" / "a.tar.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    (tmp_path / "images" / "notes.txt").write_text("not an archive")
    assert play(tmp_path, runtime) == ["r.test/a:1", "r.test/b:1"]
    assert play(tmp_path, runtime) == []
    assert imports(runtime) == ["a.tar.gz", "b.tar"]
    assert preload.names_in(tmp_path / "images") == {"r.test/a:1", "r.test/b:1"}


def test_what_changed_or_is_gone_is_taken_in_again(tmp_path: Path) -> None:
    runtime = FakeRuntime(SystemClock(), SeededIds(1))
    archive(tmp_path, "a.tar", "r.test/a:1")
    archive(tmp_path, "b.tar", "r.test/b:1")
    play(tmp_path, runtime)
    archive(tmp_path, "a.tar", "r.test/a:2", b"another content")
    asyncio.run(runtime.remove_image("r.test/b:1"))
    assert play(tmp_path, runtime) == ["r.test/a:2", "r.test/b:1"]
    (tmp_path / "images" / "a.tar").unlink()
    play(tmp_path, runtime)
    assert list(json.loads((tmp_path / "memory.json").read_text())) == ["b.tar"]


def test_archives_outlive_the_cluster(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    assert preload.all_but_archives(tmp_path, tmp_path / "images") == [tmp_path]
    (tmp_path / "images").mkdir()
    assert preload.all_but_archives(tmp_path, tmp_path / "images") == [tmp_path]
    archive(tmp_path, "a.tar", "r.test/a:1")
    assert preload.all_but_archives(tmp_path, tmp_path / "images") == [tmp_path / "pki"]


def test_a_bad_archive_keeps_no_other_out(tmp_path: Path) -> None:
    runtime = FakeRuntime(SystemClock(), SeededIds(1))
    archive(tmp_path, "z.tar", "r.test/z:1")
    (tmp_path / "images" / "a.tar").write_bytes(b"no archive")
    (tmp_path / "memory.json").write_text("no memory")
    assert play(tmp_path, runtime) == ["r.test/z:1"]
    assert preload.names_in(tmp_path / "images") == {"r.test/z:1"}
