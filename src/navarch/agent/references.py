"""The ConfigMaps and Secrets that the node's pods use: each watched by name for as long as a pod refers to it.

A pod that starts reads what is there; one that runs hears of changes, so that nothing is asked for twice and nothing is
polled. What the objects are used for is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping

from navarch.agent.environment import Lookup
from navarch.agent.volumes import bundles
from navarch.agent.volumes.payload import references
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.kinds import CLUSTERTRUSTBUNDLE, CONFIGMAP, SECRET
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod

Key = tuple[str, str, str]
"""(kind in the plural, namespace, name); of trust bundles the key that says which are meant."""

SYNC_S = 10.0
_KINDS = {"configmaps": CONFIGMAP, "secrets": SECRET, bundles.PLURAL: CLUSTERTRUSTBUNDLE}


def referred_by(pod: Pod) -> set[Key]:
    """All ConfigMaps, Secrets and trust bundles that the pod names, optional ones too."""
    namespace = pod.metadata.namespace
    found = {
        (plural, "" if plural == bundles.PLURAL else namespace, name)
        for volume in pod.spec.volumes
        for plural, name in references(volume)
    }
    found |= {("secrets", namespace, reference.name) for reference in pod.spec.image_pull_secrets}
    for container in (*pod.spec.init_containers, *pod.spec.containers, *pod.spec.ephemeral_containers):
        for source in container.env_from:
            if source.config_map_ref is not None:
                found.add(("configmaps", namespace, source.config_map_ref.name))
            if source.secret_ref is not None:
                found.add(("secrets", namespace, source.secret_ref.name))
        for variable in container.env:
            value = variable.value_from
            if value is not None and value.config_map_key_ref is not None:
                found.add(("configmaps", namespace, value.config_map_key_ref.name))
            if value is not None and value.secret_key_ref is not None:
                found.add(("secrets", namespace, value.secret_key_ref.name))
    return {key for key in found if key[2]}


def data_of(found: Object) -> Mapping[str, bytes]:
    """A ConfigMap's or Secret's keys with their bytes."""
    document = found.document()
    if found.kind is SECRET:
        return {key: base64.b64decode(value) for key, value in (document.get("data") or {}).items()}
    texts = {key: value.encode() for key, value in (document.get("data") or {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in (document.get("binaryData") or {}).items()}


class References:
    """changed: called with the uids of the pods that use an object which has changed."""

    def __init__(self, client: Client, clock: Clock, changed: Callable[[Iterable[str]], None]) -> None:
        self._client = client
        self._clock = clock
        self._changed = changed
        self._group: asyncio.TaskGroup | None = None
        self._watches: dict[Key, tuple[Informer, asyncio.Task[None]]] = {}
        self._users: dict[Key, set[str]] = {}

    async def run(self) -> None:
        """Until cancelled; watches live as long as this does."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                self._watches.clear()

    async def of(self, pod: Pod) -> Lookup:
        """What the pod refers to, as it is now; from now on its changes are told.

        Raises:
            Retryable: the API server did not show them in time.
        """
        wanted = referred_by(pod)
        informers = {key: self._watch(key, pod.metadata.uid) for key in sorted(wanted)}
        for (plural, namespace, name), informer in informers.items():
            try:
                async with asyncio.timeout(SYNC_S):
                    await informer.synced.wait()
            except TimeoutError as error:
                raise Retryable(
                    f"failed to read {plural} {namespace}/{name}: the API server does not answer"
                ) from error
        namespace = pod.metadata.namespace

        def lookup(plural: str, name: str) -> Mapping[str, bytes] | None:
            if plural == bundles.PLURAL:
                return bundles.chosen(name, informers[plural, "", name].list())
            informer = informers.get((plural, namespace, name))
            found = informer.get(namespace, name) if informer is not None else None
            return data_of(found) if found is not None else None

        return lookup

    def uid(self, plural: str, namespace: str, name: str) -> str:
        """Of an object that some pod refers to; "" when it is not there."""
        watch = self._watches.get((plural, namespace, name))
        found = watch[0].get(namespace, name) if watch is not None else None
        return found.uid if found is not None else ""

    def _watch(self, key: Key, uid: str) -> Informer:
        self._users.setdefault(key, set()).add(uid)
        if key in self._watches:
            return self._watches[key][0]
        if self._group is None:
            raise Retryable("the agent is stopping")
        plural, namespace, name = key
        fields = bundles.fields_of(name) if plural == bundles.PLURAL else f"metadata.name={name}"
        informer = Informer(self._client, self._clock, _KINDS[plural], namespace, fields)
        self._watches[key] = (informer, self._group.create_task(informer.run()))
        informer.subscribe(lambda old, new: self._tell(key, informer))
        return informer

    def _tell(self, key: Key, informer: Informer) -> None:
        if informer.synced.is_set():
            self._changed(sorted(self._users.get(key, ())))

    def forget(self, uid: str) -> None:
        """The pod is gone: end the watches that only it needed."""
        for key in [key for key, users in self._users.items() if uid in users]:
            self._users[key].discard(uid)
            if not self._users[key]:
                del self._users[key]
                watch = self._watches.pop(key, None)
                if watch is not None:
                    watch[1].cancel()
