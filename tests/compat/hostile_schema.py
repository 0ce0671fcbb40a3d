"""Requests that schemathesis makes up from the project's own OpenAPI, sent to a server of `hostile_server`, or to
one in a process of its own (`tests/robustness/hostile.py`).

Watches and streams are left out: they end when the client likes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

STREAMS = ("/watch/", "/proxy")
ENDS = ("/exec", "/attach", "/portforward", "/log")
QUIET = settings(deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


class Asked(Protocol):
    """base: what paths are put behind. http: a session that reaches it."""

    @property
    def base(self) -> str: ...

    def http(self) -> requests.Session: ...


@dataclass
class Sent:
    """codes: answers by code. faults: requests that were answered by a 5xx or by no Status, with what was said."""

    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    livez_worst_s: float = 0.0
    slowest: tuple[float, str] = (0.0, "")

    @property
    def count(self) -> int:
        return sum(self.codes.values())


def groups(server: Asked) -> list[str]:
    """Of all that is served: the paths of the documents, `api/v1` and `apis/apps/v1`."""
    with server.http() as http:
        index = http.get(f"{server.base}/openapi/v3", timeout=60).json()["paths"]
    return sorted(name for name in index if name.count("/") == (1 if name.startswith("api/") else 2))


def send(server: Asked, names: Sequence[str], examples: int, number: int, *, probe: bool = True) -> Sent:
    """`examples` requests for each operation of each group. number: the seed. probe: ask for `/livez` all the while."""
    sent = Sent()
    with server.http() as http, _Probe(server, sent) if probe else nullcontext():
        for name in names:
            document = http.get(f"{server.base}/openapi/v3/{name}", timeout=60).json()
            for found in schemathesis.openapi.from_dict(document).get_all_operations():
                operation = found.ok()
                if any(part in operation.path for part in STREAMS) or operation.path.endswith(ENDS):
                    continue
                _play(server, http, operation, examples, number, sent)
    return sent


def _play(server: Asked, http: requests.Session, operation: Any, examples: int, number: int, sent: Sent) -> None:
    @seed(number)
    @settings(QUIET, max_examples=examples)
    @given(case=operation.as_strategy())
    def play(case: Any) -> None:
        asked = case.as_transport_kwargs(base_url=server.base)
        if isinstance(asked.get("params"), dict):
            asked["params"].pop("watch", None)
        began = time.monotonic()
        answer = http.request(**asked, timeout=60)
        sent.slowest = max(sent.slowest, (time.monotonic() - began, f"{asked['method']} {answer.url[:300]}"))
        sent.codes[answer.status_code] += 1
        said = answer.headers.get("content-type", "").startswith(("application/json", "application/yaml"))
        if answer.status_code >= 500 or (answer.status_code >= 400 and not said):
            sent.faults.append(f"{asked['method']} {answer.url[:300]}: {answer.status_code} {answer.text[:300]}")

    play()


class _Probe:
    """Asks for `/livez` all the while, and remembers the longest time that it took."""

    def __init__(self, server: Asked, sent: Sent) -> None:
        self._server, self._sent = server, sent
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _ask(self) -> None:
        with self._server.http() as http:
            while not self._over.wait(0.02):
                began = time.monotonic()
                answer = http.get(f"{self._server.base}/livez", timeout=60)
                took_s = time.monotonic() - began
                self._sent.livez_worst_s = max(self._sent.livez_worst_s, took_s)
                if answer.content != b"ok":
                    self._sent.faults.append(f"/livez: {answer.status_code} {answer.text[:300]}")
