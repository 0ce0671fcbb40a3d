"""When tokens in Secrets were last used: a label with the date on the Secret, and since when such labels are written.

A request only leaves a note; a task writes it, once a day and token at most. What becomes of tokens that nobody uses is
decided by the cleaner (`controllers.tokencleaner`).

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-tracking-controller
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta

from navarch.base.clock import Clock
from navarch.base.errors import AlreadyExists, ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import CONFIGMAP, SECRET
from navarch.kinds.object import Object
from navarch.kinds.secret import TOKEN_LAST_USED, TOKEN_TRACKING
from navarch.objects.value import Document, dig

NAMESPACE = "kube-system"
RETRY_S = 10.0
MOST_NOTES = 1_024

log = Log("apiserver.tokens")


def due(secret: Object, now: datetime) -> str:
    """The date to write on it; "" where today's stands there, or tomorrow's by the clock of another server."""
    today = now.date()
    last = secret.labels.get(TOKEN_LAST_USED)
    return "" if last in (today.isoformat(), (today + timedelta(days=1)).isoformat()) else today.isoformat()


class Notes:
    """Uses of tokens that are yet to be written. Those beyond a thousand are left for the token's next use."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str, str], str] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def used(self, secret: Object, now: datetime) -> None:
        """A token authenticated that this secret holds."""
        day = due(secret, now)
        if day and len(self._due) < MOST_NOTES:
            self._due[secret.namespace, secret.name, secret.uid] = day
            self._news.set()

    async def keep(self, client: Client, clock: Clock) -> None:
        """Write them, until cancelled; sleeps while there are none."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write(client)
            except Retryable as error:
                log.info("the use of a token is not written, will be tried again", error=error)
                await clock.sleep(RETRY_S)
                self._news.set()

    async def _write(self, client: Client) -> None:
        """Raises: Retryable."""
        for key, day in list(self._due.items()):
            namespace, name, uid = key
            try:
                await client.patch(
                    SECRET, namespace, name, {"metadata": {"uid": uid, "labels": {TOKEN_LAST_USED: day}}}
                )
            except ApiError as error:  # gone, or refused: its next use is another occasion
                log.info("the use of a token is not written", namespace=namespace, name=name, error=error)
            del self._due[key]


def since(document: Document | None, now: datetime) -> str:
    """The day to write as the first of those that are watched; "" where the ConfigMap says one that can be."""
    today = now.date()
    said = None if document is None else dig(document, "data", "since")
    try:
        begun = None if said is None else date.fromisoformat(said)
    except ValueError:
        begun = None
    return today.isoformat() if begun is None or begun > today + timedelta(days=1) else ""


async def ensure_tracking(client: Client, now: datetime) -> None:
    """Say since when. Raises: ApiError, Retryable."""
    try:
        found = (await client.get(CONFIGMAP, NAMESPACE, TOKEN_TRACKING)).document()
    except NotFound:
        found = None
    day = since(found, now)
    if not day:
        return
    if found is not None:
        await client.patch(CONFIGMAP, NAMESPACE, TOKEN_TRACKING, {"data": {"since": day}})
        return
    metadata = {"name": TOKEN_TRACKING, "namespace": NAMESPACE}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"since": day}}
    try:
        await client.create(CONFIGMAP, document)
    except AlreadyExists:
        return  # another server was quicker
