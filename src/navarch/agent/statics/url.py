"""Static pods from a URL, which is asked again and again: one Pod, or a PodList.

As long as it cannot be asked, or answers what cannot be understood, what it said before holds. An answer without a body
says that there are none.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/#pods-created-via-http
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from navarch.agent.statics.file import BadFile, read_pods
from navarch.agent.statics.source import Pods
from navarch.base.clock import Clock
from navarch.base.log import Log

_log = Log("agent")

ANSWER_S = 10.0
MOST_BYTES = 10 << 20
FAILURES_TOLD = 3
"""So many failures one after the other are logged, and no more until it answers again."""

Headers = Mapping[str, Sequence[str]]
Fetch = Callable[[], Awaitable[bytes]]
"""Raises: NoAnswer."""


class NoAnswer(Exception):
    """The URL did not answer with pods; the message says why."""


async def fetch(url: str, headers: Headers) -> bytes:
    """Raises: NoAnswer."""
    import aiohttp

    every = [(name, value) for name, values in headers.items() for value in values]
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, headers=every) as answer,
        ):
            if answer.status != 200:
                raise NoAnswer(f"{url}: {answer.status} {answer.reason}")
            body = await answer.content.read(MOST_BYTES + 1) if answer.content_length != 0 else b""
            while len(body) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                body += more
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise NoAnswer(f"{url}: {error or 'no answer in time'}") from error
    if len(body) > MOST_BYTES:
        raise NoAnswer(f"{url}: more than {MOST_BYTES >> 20} MiB")
    return body


class Url:
    """ask: brings the body of the answer."""

    def __init__(self, ask: Fetch, node: str, clock: Clock, again_s: float) -> None:
        self._ask = ask
        self._node = node
        self._clock = clock
        self._again_s = again_s
        self._before: bytes | None = None
        self._failures = 0

    async def run(self, found: Callable[[Pods | None], None]) -> None:
        """Until cancelled."""
        while True:
            try:
                body = await self._ask()
                if body != self._before:
                    found(self._understood(body))
                    self._before = body
            except (NoAnswer, BadFile) as error:
                self._failures += 1
                if self._failures <= FAILURES_TOLD:
                    _log.warning("no static pods from the URL, those there are hold", error=error)
                found(None)
            else:
                if self._failures:
                    _log.info("the URL of static pods answers again")
                self._failures = 0
            await self._clock.sleep(self._again_s)

    def _understood(self, body: bytes) -> Pods:
        """Raises: BadFile."""
        if not body.strip():
            return {}
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise BadFile(f"it is no UTF-8: {error}") from error
        pods = read_pods(text, self._node, self._clock.now(), "http")
        return {f"item {number:06}": one for number, one in enumerate(pods)}


def url_source(url: str, headers: Headers, node: str, clock: Clock, again_s: float) -> Url:
    async def ask() -> bytes:
        return await fetch(url, headers)

    return Url(ask, node, clock, again_s)
