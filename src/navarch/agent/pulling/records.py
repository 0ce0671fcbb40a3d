"""Who may use an image that is on the node: what it was pulled with, remembered on disk across restarts.

A pod that wants a private image which another pod has pulled must show credentials of its own: one that was used for a
pull already, or a pull that succeeds. Before a pull its intent is written, so that an image which arrived while the
agent was killed is not taken for one that was there before ("preloaded", free for all under the usual policy).

Files: `pulling/sha256-<hash of the image name>`, `pulled/sha256-<hash of the image id>`, documents of
`kubelet.config.k8s.io`.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/2535-ensure-secret-pulled-images
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from navarch.agent.imagefile import full_name
from navarch.agent.pulling.keyring import Credential, Origin
from navarch.agent.runtime import Image
from navarch.base.clock import Clock, parse_rfc3339, rfc3339
from navarch.base.log import Log
from navarch.base.pki import write_private
from navarch.objects.value import Document

API_VERSION = "kubelet.config.k8s.io/v1beta1"
NEVER, PRELOADED, ALLOWED, ALWAYS = (
    "NeverVerify",
    "NeverVerifyPreloadedImages",
    "NeverVerifyAllowlistedImages",
    "AlwaysVerify",
)
POLICIES = (NEVER, PRELOADED, ALLOWED, ALWAYS)
MOST_CREDENTIALS = 100
"""So many are remembered for one image; further ones are verified by a pull each time."""
RESOLUTION = timedelta(seconds=1)
"""Records say the second in which they were written."""

_log = Log("agent")


@dataclass(frozen=True, slots=True)
class Verification:
    """When the use of an image that is here must be verified. allowed: repositories, `/*` at the end for all below."""

    policy: str = PRELOADED
    allowed: tuple[str, ...] = ()

    def required(self, repository: str, pulled: bool) -> bool:
        """pulled: the agent itself has pulled it, or was about to."""
        match self.policy:
            case "NeverVerify":
                return False
            case "NeverVerifyPreloadedImages":
                return pulled
            case "NeverVerifyAllowlistedImages":
                return pulled or not any(_covers(pattern, repository) for pattern in self.allowed)
        return True


def _covers(pattern: str, repository: str) -> bool:
    if pattern.endswith("/*"):
        return repository.startswith(pattern[:-1])
    return repository == pattern


def permits(record: Document | None, repository: str, shown: Sequence[Credential]) -> bool:
    """Whether what is recorded of an image lets a pod use it that shows these credentials."""
    known = ((record or {}).get("credentialMapping") or {}).get(repository)
    if known is None:
        return False
    if known.get("nodePodsAccessible"):
        return True
    secrets = known.get("kubernetesSecretCoordinates") or ()
    hashes = {entry.get("credentialHash") for entry in secrets}
    places = {_place(entry) for entry in secrets}
    accounts = {_place(entry) for entry in known.get("kubernetesServiceAccountCoordinates") or ()}
    for one in shown:
        if one.secret is not None and (one.hash in hashes or (one.secret.uid and _key(one.secret) in places)):
            return True
        if one.account is not None and _key(one.account) in accounts:
            return True
    return False


def _place(entry: Mapping[str, str]) -> tuple[str, str, str]:
    return (entry.get("uid", ""), entry.get("namespace", ""), entry.get("name", ""))


def _key(origin: Origin) -> tuple[str, str, str]:
    return (origin.uid, origin.namespace, origin.name)


def merged(record: Document | None, image_id: str, repository: str, used: Credential | None, now: str) -> Document:
    """The record after a pull with `used` (None: without credentials, so that everybody may use it)."""
    mapping = dict((record or {}).get("credentialMapping") or {})
    known: Document = dict(mapping.get(repository) or {})
    if used is None or (used.secret is None and used.account is None):
        known = {"nodePodsAccessible": True}
    elif known.get("nodePodsAccessible"):
        known = dict(known)
    elif used.secret is not None:
        entry = {**_coordinates(used.secret), "credentialHash": used.hash}
        known["kubernetesSecretCoordinates"] = _added(
            known.get("kubernetesSecretCoordinates") or (), entry, _key(used.secret)
        )
    elif used.account is not None:
        known["kubernetesServiceAccountCoordinates"] = _added(
            known.get("kubernetesServiceAccountCoordinates") or (), _coordinates(used.account), _key(used.account)
        )
    mapping[repository] = known
    return _record(image_id, mapping, now)


def _record(image_id: str, mapping: Document, now: str) -> Document:
    return {
        "kind": "ImagePulledRecord",
        "apiVersion": API_VERSION,
        "lastUpdatedTime": now,
        "imageRef": image_id,
        "credentialMapping": mapping,
    }


def _coordinates(origin: Origin) -> dict[str, str]:
    return {"uid": origin.uid, "namespace": origin.namespace, "name": origin.name}


def _added(old: Iterable[Mapping[str, str]], entry: dict[str, str], key: tuple[str, str, str]) -> list[Any]:
    """One entry for each place: a Secret that changed replaces what it was."""
    kept = [dict(found) for found in old if _place(found) != key]
    return sorted([*kept[-(MOST_CREDENTIALS - 1) :], entry], key=lambda found: sorted(found.items()))


class PullRecords:
    """The records of one folder, read once. All writing is done off the loop; one that fails is logged, and the image
    is verified by a pull again after the next restart."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._pulling = folder / "pulling"
        self._pulled = folder / "pulled"
        self._clock = clock
        self._intents: Counter[str] = Counter()
        self._records: dict[str, Document] = {}
        self._unsaved: set[str] = set()
        self._loaded = asyncio.Lock()
        self._ready = False

    async def load(self, images: Sequence[Image]) -> None:
        """Once, before anything else. images: what the runtime has: those that an intent names were pulled by us."""
        async with self._loaded:
            if self._ready:
                return
            self._records, left = await asyncio.to_thread(self._read)
            for image in images:
                for name in sorted(left & {full_name(name) for name in image.names}):
                    if image.id not in self._records:
                        await self._save(_record(image.id, {}, rfc3339(self._clock.now())))
                    await asyncio.to_thread(self._file(self._pulling, name).unlink, missing_ok=True)
                    left.discard(name)
            self._intents.update(left)
            self._ready = True

    @property
    def ready(self) -> bool:
        return self._ready

    def _read(self) -> tuple[dict[str, Document], set[str]]:
        for folder in (self._pulling, self._pulled):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        records = {found["imageRef"]: found for found in _documents(self._pulled) if found.get("imageRef")}
        return records, {full_name(found["image"]) for found in _documents(self._pulling) if found.get("image")}

    def of(self, image_id: str) -> Document | None:
        """None also when the record was taken away behind our back: `navarch image remove` removes image and record."""
        found = self._records.get(image_id)
        if found is not None and image_id not in self._unsaved and not self._file(self._pulled, image_id).exists():
            del self._records[image_id]
            return None
        return found

    def is_ours(self, name: str, image_id: str) -> bool:
        return self.of(image_id) is not None or self._intents[full_name(name)] > 0

    async def begin(self, name: str) -> None:
        full = full_name(name)
        self._intents[full] += 1
        if self._intents[full] == 1:
            document = {"kind": "ImagePullIntent", "apiVersion": API_VERSION, "image": full}
            await self._write(self._file(self._pulling, full), document)

    async def end(self, name: str) -> None:
        """The pull failed, or is recorded."""
        full = full_name(name)
        self._intents[full] -= 1
        if self._intents[full] <= 0:
            del self._intents[full]
            await asyncio.to_thread(self._file(self._pulling, full).unlink, missing_ok=True)

    async def pulled(self, image_id: str, repository: str, used: Credential | None) -> None:
        before = self._records.get(image_id)
        after = merged(before, image_id, repository, used, rfc3339(self._clock.now()))
        if before is None or before["credentialMapping"] != after["credentialMapping"]:
            await self._save(after)

    async def _save(self, record: Document) -> None:
        image_id = record["imageRef"]
        self._records[image_id] = record
        self._unsaved.add(image_id)
        if await self._write(self._file(self._pulled, image_id), record):
            self._unsaved.discard(image_id)

    async def prune(self, kept: Iterable[str], listed_at: datetime) -> None:
        """Drop the records of images that are gone. kept: the ids of those that were there at `listed_at`; records that
        were written since say nothing of that."""
        for image_id in self._records.keys() - set(kept):
            if parse_rfc3339(self._records[image_id]["lastUpdatedTime"]) + RESOLUTION <= listed_at:
                del self._records[image_id]
                self._unsaved.discard(image_id)
                await asyncio.to_thread(self._file(self._pulled, image_id).unlink, missing_ok=True)

    def _file(self, folder: Path, what: str) -> Path:
        return folder / _file_name(what)

    async def _write(self, path: Path, document: Document) -> bool:
        """Whether it was written."""
        try:
            await asyncio.to_thread(write_private, path, orjson.dumps(document))
        except OSError as error:
            _log.error("what an image was pulled with is not remembered", file=str(path), error=error)
            return False
        return True


def _file_name(what: str) -> str:
    return f"sha256-{hashlib.sha256(what.encode()).hexdigest()}"


def forget(folder: Path, image_ids: Iterable[str]) -> None:
    """For whoever removes images beside the agent, which looks at the files. Raises: OSError."""
    for image_id in image_ids:
        (folder / "pulled" / _file_name(image_id)).unlink(missing_ok=True)


def _documents(folder: Path) -> list[Document]:
    found = []
    for path in sorted(folder.glob("sha256-*")):
        try:
            document = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            _log.error("a record of pulled images cannot be read", file=str(path), error=error)
            continue
        if isinstance(document, dict):
            found.append(document)
    return found
