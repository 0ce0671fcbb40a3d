"""Writes image archives: OCI layout and docker's `manifest.json` in one tar, which every runtime can import.

For images that are built here and not pulled: the sandbox's pause, examples made from distribution packages, tests.
The same input gives the same bytes (names sorted, times fixed), so an image that did not change keeps its digest.
Filling a root file system and choosing a configuration is the caller's business.

Source: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import platform
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

EPOCH = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64", "ppc64le": "ppc64le"}
COPY_BYTES = 1 << 20


def architecture() -> str:
    """This machine's, as images name it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """ports: such as `80/tcp`. user: `uid`, `uid:gid` or a name of the image's own /etc/passwd."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    ports: Sequence[str] = ()
    volumes: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""

    def document(self) -> dict[str, Any]:
        environment = dict(self.environment)
        environment.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        found: dict[str, Any] = {"Env": [f"{name}={value}" for name, value in environment.items()]}
        for key, value in (("Entrypoint", list(self.entrypoint)), ("Cmd", list(self.command))):
            if value:
                found[key] = value
        for key, text in (("WorkingDir", self.working_dir), ("User", self.user), ("StopSignal", self.stop_signal)):
            if text:
                found[key] = text
        if self.ports:
            found["ExposedPorts"] = {port: {} for port in self.ports}
        if self.volumes:
            found["Volumes"] = {path: {} for path in self.volumes}
        if self.labels:
            found["Labels"] = dict(self.labels)
        return found


@dataclass(frozen=True, slots=True)
class File:
    """A file of a layer that is made from memory. link: it is a symbolic link to there."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Folder:
    """A layer with everything below `root`. keep_owners: else all belongs to 0:0.

    exclude: paths relative to `root` (`usr/share/doc`), left out with all below them.
    """

    root: Path
    keep_owners: bool = True
    exclude: Sequence[str] = ()


Layer = Mapping[str, File] | Folder


@dataclass(frozen=True, slots=True)
class _Blob:
    digest: str
    size_bytes: int
    path: Path | None = None
    content: bytes = b""

    @property
    def name(self) -> str:
        return f"blobs/sha256/{self.digest}"

    def descriptor(self, media_type: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size_bytes}


def write_archive(
    target: Path,
    names: Sequence[str],
    layers: Sequence[Layer],
    config: ImageConfig,
    *,
    arch: str = "",
    compress: bool = False,
) -> str:
    """Write an image with `layers`, lowest first, to `target` (replaced in one step); returns the image's id.

    names: full ones with a tag (`navarch.dev/pause:1`). Memory use does not grow with the layers.

    Raises:
        ValueError: a name is not full.
        OSError: a folder cannot be read or `target` not written.
    """
    for name in names:
        if ":" not in name.rpartition("/")[2]:
            raise ValueError(f"image name {name!r} has no tag: write it as {name}:1")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".image-") as scratch:
        packed = [_pack(layer, Path(scratch) / str(number), compress) for number, layer in enumerate(layers)]
        settings = _config_blob(config, [diff for _, diff in packed], arch or architecture())
        blobs = [blob for blob, _ in packed]
        manifest = _manifest_blob(settings, blobs, compress)
        draft = Path(scratch) / "archive"
        with tarfile.open(draft, "w", format=tarfile.GNU_FORMAT) as tar:
            _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(tar, "index.json", orjson.dumps(_index(manifest, names, arch or architecture())))
            _add(tar, "manifest.json", orjson.dumps(_docker_manifest(settings, blobs, names)))
            for blob in {blob.digest: blob for blob in (manifest, settings, *blobs)}.values():
                _add_blob(tar, blob)
        os.replace(draft, target)
    return f"sha256:{settings.digest}"


def _config_blob(config: ImageConfig, diffs: Sequence[str], arch: str) -> _Blob:
    document = {
        "architecture": arch,
        "os": "linux",
        "created": EPOCH,
        "config": config.document(),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}" for diff in diffs]},
        "history": [{"created": EPOCH, "created_by": "navarch"} for _ in diffs],
    }
    return _memory_blob(orjson.dumps(document))


def _manifest_blob(settings: _Blob, layers: Sequence[_Blob], compress: bool) -> _Blob:
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": settings.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor(kind) for layer in layers],
    }
    return _memory_blob(orjson.dumps(document))


def _index(manifest: _Blob, names: Sequence[str], arch: str) -> dict[str, Any]:
    descriptor = manifest.descriptor("application/vnd.oci.image.manifest.v1+json")
    descriptor["platform"] = {"architecture": arch, "os": "linux"}
    entries = [
        {
            **descriptor,
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            },
        }
        for name in names
    ]
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}


def _docker_manifest(settings: _Blob, layers: Sequence[_Blob], names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"Config": settings.name, "RepoTags": list(names), "Layers": [layer.name for layer in layers]}]


def _memory_blob(content: bytes) -> _Blob:
    return _Blob(hashlib.sha256(content).hexdigest(), len(content), content=content)


class _Hashing(io.RawIOBase):
    """A writer that passes everything on and knows the digest of what went through."""

    def __init__(self, below: IO[bytes]) -> None:
        self._below = below
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._below.write(data)


def _pack(layer: Layer, path: Path, compress: bool) -> tuple[_Blob, str]:
    """The layer as a blob on disk, and the digest of its uncompressed form."""
    with path.open("wb") as file:
        outer = _Hashing(file)
        zipped = gzip.GzipFile(filename="", mode="wb", fileobj=outer, mtime=0, compresslevel=6) if compress else None
        inner = _Hashing(zipped if zipped is not None else outer)  # type: ignore[arg-type]
        with tarfile.open(fileobj=inner, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            if isinstance(layer, Folder):
                _fill_from_folder(tar, layer)
            else:
                _fill_from_memory(tar, layer)
        if zipped is not None:
            zipped.close()
    return _Blob(outer.sha256.hexdigest(), path.stat().st_size, path=path), inner.sha256.hexdigest()


def _fill_from_memory(tar: tarfile.TarFile, files: Mapping[str, File]) -> None:
    made: set[str] = set()
    for name in sorted(files):
        file = files[name]
        parts = name.strip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in made and parent not in files:
                made.add(parent)
                entry = tarfile.TarInfo(parent)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
        entry = tarfile.TarInfo("/".join(parts))
        entry.mode, entry.uid, entry.gid = file.mode, file.uid, file.gid
        if name.endswith("/"):
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        elif file.link:
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, file.link, 0o777
            tar.addfile(entry)
        else:
            entry.size = len(file.content)
            tar.addfile(entry, io.BytesIO(file.content))


def _fill_from_folder(tar: tarfile.TarFile, folder: Folder) -> None:
    excluded = {path.strip("/") for path in folder.exclude}
    for directory, directories, files in os.walk(folder.root):
        directories.sort()
        below = os.path.relpath(directory, folder.root)
        prefix = "" if below == "." else f"{below}/"
        directories[:] = [name for name in directories if prefix + name not in excluded]
        for name in sorted([*directories, *files]):
            if prefix + name not in excluded:
                _add_path(tar, folder, prefix + name)


def _add_path(tar: tarfile.TarFile, folder: Folder, name: str) -> None:
    path = folder.root / name
    entry = tar.gettarinfo(str(path), name)
    if entry is None:  # a socket: images cannot hold one
        return
    entry.mtime = 0
    entry.uname = entry.gname = ""
    if not folder.keep_owners:
        entry.uid = entry.gid = 0
    if entry.isreg():
        with path.open("rb") as source:
            tar.addfile(entry, source)
    else:
        tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(content))


def _add_blob(tar: tarfile.TarFile, blob: _Blob) -> None:
    if blob.path is None:
        _add(tar, blob.name, blob.content)
        return
    entry = tarfile.TarInfo(blob.name)
    entry.size, entry.mode = blob.size_bytes, 0o644
    with blob.path.open("rb") as source:
        tar.addfile(entry, source)


def archive_names(archive: Path) -> list[str]:
    """The full names of the images in an OCI or docker archive.

    Raises:
        ValueError: it is no image archive, or names no image.
        OSError: it cannot be read.
    """
    try:
        with tarfile.open(archive) as tar:
            members = {name.removeprefix("./"): name for name in tar.getnames()}
            names = _docker_names(tar, members) + _layout_names(tar, members)
    except tarfile.TarError as error:
        raise ValueError(f"{archive} is no image archive: {str(error).splitlines()[0].rstrip(':')}") from error
    if not names:
        raise ValueError(f"{archive} names no image: it has neither manifest.json nor a named index.json")
    return list(dict.fromkeys(names))


def damaged(archive: Path) -> str:
    """The first part of an archive whose content is not what its name says; "" when there is none. Reads all of it.

    Raises: OSError, tarfile.TarError.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            _, found, digest = member.name.partition("blobs/sha256/")
            content = tar.extractfile(member) if found and member.isreg() else None
            if content is not None:
                hashed = hashlib.sha256()
                while piece := content.read(COPY_BYTES):
                    hashed.update(piece)
                if hashed.hexdigest() != digest:
                    return member.name
    return ""


def _docker_names(tar: tarfile.TarFile, members: Mapping[str, str]) -> list[str]:
    entries = _member_json(tar, members, "manifest.json")
    return [full_name(tag) for entry in entries or () for tag in entry.get("RepoTags") or ()]


def _layout_names(tar: tarfile.TarFile, members: Mapping[str, str]) -> list[str]:
    index = _member_json(tar, members, "index.json") or {}
    annotations = [entry.get("annotations") or {} for entry in index.get("manifests") or ()]
    return [name for name in map(_annotated_name, annotations) if name]


def _annotated_name(annotations: Mapping[str, str]) -> str:
    """Most tools say a tag as the reference's name, some the whole name: that one is used as it is."""
    if own := annotations.get("io.containerd.image.name"):
        return full_name(own)
    said = annotations.get("org.opencontainers.image.ref.name", "")
    return said if full_name(said) == said else ""


def _member_json(tar: tarfile.TarFile, members: Mapping[str, str], name: str) -> Any:
    file = tar.extractfile(members[name]) if name in members else None
    if file is None:
        return None
    try:
        return orjson.loads(file.read())
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{name} of the archive is no JSON: {error}") from error


def full_name(name: str) -> str:
    """An image's name as runtimes know it: `nginx` is `docker.io/library/nginx:latest`."""
    rest, at, digest = name.partition("@")
    first, slash, _ = rest.partition("/")
    if not slash:
        rest = f"docker.io/library/{rest}"
    elif not ("." in first or ":" in first or first == "localhost"):
        rest = f"docker.io/{rest}"
    if not at and ":" not in rest.rpartition("/")[2]:
        rest += ":latest"
    return rest + at + digest
