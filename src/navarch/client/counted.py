"""A client whose requests are counted, under the names that dashboards ask for, wherever its server is.

For organs, whose requests are few beside those that a server answers: counting is an addition, and one more call.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

from navarch.base.clock import Clock
from navarch.base.errors import ApiError
from navarch.base.metrics import Registry
from navarch.client.client import Client, ObjectList, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document

Found = TypeVar("Found")
UNANSWERED = "<error>"
"""Instead of a code, where nobody answered."""


class Counted:
    """Implements `client.Client` by another. host: where the server is."""

    def __init__(self, client: Client, metrics: Registry, clock: Clock, host: str) -> None:
        self._client = client
        self._clock = clock
        self._host = host
        self._requests = metrics.counter(
            "rest_client_requests", "Requests of this process to the API.", ("code", "method", "host")
        )
        self._took = metrics.histogram(
            "rest_client_request_duration_seconds", "How long they took, without watches.", ("verb", "host")
        )

    async def _asked(self, method: str, asking: Awaitable[Found], code: str = "200") -> Found:
        began = self._clock.monotonic()
        try:
            return await asking
        except ApiError as error:
            code = str(error.code)
            raise
        except Exception:
            code = UNANSWERED
            raise
        finally:
            self._requests.add(code, method, self._host)
            self._took.observe(self._clock.monotonic() - began, method, self._host)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        return await self._asked("GET", self._client.get(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", **how: Any) -> ObjectList:
        return await self._asked("GET", self._client.list(kind, namespace, **how))

    async def watch(self, kind: Kind, namespace: str = "", **how: Any) -> AsyncIterator[Sequence[WatchEvent]]:
        code = "200"
        try:
            async for found in self._client.watch(kind, namespace, **how):
                yield found
        except ApiError as error:
            code = str(error.code)
            raise
        finally:
            self._requests.add(code, "GET", self._host)

    async def create(self, kind: Kind, document: Document, **how: Any) -> Object:
        return await self._asked("POST", self._client.create(kind, document, **how), "201")

    async def update(self, kind: Kind, document: Document, **how: Any) -> Object:
        return await self._asked("PUT", self._client.update(kind, document, **how))

    async def patch(self, kind: Kind, namespace: str, name: str, patch: Any, **how: Any) -> Object:
        return await self._asked("PATCH", self._client.patch(kind, namespace, name, patch, **how))

    async def apply(self, kind: Kind, document: Document, **how: Any) -> Object:
        return await self._asked("PATCH", self._client.apply(kind, document, **how))

    async def delete(self, kind: Kind, namespace: str, name: str, **how: Any) -> Object | None:
        return await self._asked("DELETE", self._client.delete(kind, namespace, name, **how))

    async def post(self, kind: Kind, namespace: str, name: str, subresource: str, document: Document) -> Document:
        return await self._asked("POST", self._client.post(kind, namespace, name, subresource, document), "201")

    async def raw(self, method: str, path: str, body: Any = None) -> bytes:
        return await self._asked(method, self._client.raw(method, path, body))
