"""What the tests of specs ask a cluster with: raw HTTP, exact in path, headers and body, and waiting for what comes."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit

import yaml

PATIENCE_S = 60.0
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """headers: lower-case names; `warnings` are the values of each Warning header."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, reason) of each cause."""
        found = self.json.get("details", {}).get("causes", [])
        return [(cause.get("field", ""), cause.get("reason", "")) for cause in found]


class Refused(AssertionError):
    """An answer that was to be a success and is none."""

    def __init__(self, asked: str, answer: Answer) -> None:
        super().__init__(f"{asked}: {answer.status} {answer.body[:600]!r}")
        self.answer = answer


class Api:
    """One client of a cluster. token: speaks with it instead of the kubeconfig's certificate."""

    def __init__(self, kubeconfig: Path, *, token: str = "", anonymous: bool = False) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        parts = urlsplit(cluster["server"])
        assert parts.hostname
        assert parts.port
        self.host, self.port, self.kubeconfig = parts.hostname, parts.port, kubeconfig
        self.context = ssl.create_default_context(cadata=_pem(cluster["certificate-authority-data"]))
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        if not token and not anonymous:
            with NamedTemporaryFile("w", dir=kubeconfig.parent) as pair:
                pair.write(_pem(user["client-certificate-data"]) + _pem(user["client-key-data"]))
                pair.flush()
                self.context.load_cert_chain(pair.name)
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=90)

    def with_token(self, token: str) -> Api:
        return Api(self.kubeconfig, token=token)

    def send(self, method: str, path: str, body: Any = None, /, **headers: str) -> Answer:
        """body: bytes as they are, anything else as JSON. Header names are written with `_` for `-`."""
        sent = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("content-type", JSON)
        for last in (False, True):
            try:
                self._connection.request(method, path, content, sent)
                answer = self._connection.getresponse()
                found = answer.read()
                break
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = self._connect()
                if last:
                    raise
        lower = {name.lower(): value for name, value in answer.getheaders()}
        warnings = tuple(value for name, value in answer.getheaders() if name.lower() == "warning")
        return Answer(answer.status, lower, found, warnings)

    def ask(self, method: str, path: str, body: Any = None, /, **headers: str) -> Any:
        """The document answered; refusals fail the test."""
        answer = self.send(method, path, body, **headers)
        if answer.status >= 300:
            raise Refused(f"{method} {path}", answer)
        return answer.json

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.ask("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self.ask("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, type_: str = MERGE, **headers: str) -> Any:
        return self.ask("PATCH", path, body, content_type=type_, **headers)

    def apply(self, path: str, body: Any, manager: str = "tests", force: bool = False) -> Answer:
        forced = "&force=true" if force else ""
        return self.send("PATCH", f"{path}?fieldManager={manager}{forced}", body, content_type=APPLY)

    def delete(self, path: str, options: Any = None) -> Any:
        return self.ask("DELETE", path, options)

    def gone(self, path: str) -> None:
        """Waits until there is nothing any more."""
        self.until(lambda: self.send("GET", path).status == 404, f"{path} to be gone")

    def until(self, holds: Callable[[], Any], what: str = "", patience_s: float = PATIENCE_S) -> Any:
        """The first true value of `holds`."""
        deadline = time.monotonic() + patience_s
        while True:
            if found := holds():
                return found
            assert time.monotonic() < deadline, f"waited {patience_s} s for {what or holds}"
            time.sleep(0.02)

    def when(self, path: str, holds: Callable[[Any], Any], patience_s: float = PATIENCE_S) -> Any:
        """The document at `path` once it `holds`."""
        deadline = time.monotonic() + patience_s
        while True:
            answer = self.send("GET", path)
            if answer.status == 200 and holds(answer.json):
                return answer.json
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {patience_s} s for {path}; it is {answer.status} {answer.body[:3000]!r}")
            time.sleep(0.02)

    @contextmanager
    def watch(self, path: str, **headers: str) -> Iterator[Events]:
        """path: with `watch=1` and the rest of the query. The events as they come."""
        connection = self._connect()
        try:
            connection.request("GET", path, None, {**self._headers, **headers})
            answer = connection.getresponse()
            if answer.status != 200:
                raise Refused(f"GET {path}", Answer(answer.status, {}, answer.read()))
            yield Events(connection, answer)
        finally:
            connection.close()


class Events:
    """The events of one watch."""

    def __init__(self, connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse) -> None:
        self._connection, self._answer = connection, answer
        self.headers = {name.lower(): value for name, value in answer.getheaders()}

    def next(self, patience_s: float = PATIENCE_S) -> tuple[str, Any]:
        """(type, object). Raises: TimeoutError, and EOFError at the end."""
        self._socket().settimeout(patience_s)
        line = self._answer.readline()
        if not line:
            raise EOFError
        event = json.loads(line)
        return event["type"], event["object"]

    def _socket(self) -> Any:
        return self._connection.sock or self._answer.fp.raw._sock  # type: ignore[attr-defined]

    def take(self, count: int) -> list[tuple[str, Any]]:
        return [self.next() for _ in range(count)]

    def until(self, type_: str, name: str = "", holds: Callable[[Any], Any] = lambda _: True) -> Any:
        """The object of the first event that fits."""
        while True:
            found, document = self.next()
            if found == type_ and (not name or document["metadata"]["name"] == name) and holds(document):
                return document

    def silent(self, for_s: float = 0.3) -> bool:
        """Whether nothing comes. The watch is of no use afterwards."""
        try:
            self.next(for_s)
        except TimeoutError:
            return True
        return False

    def rest(self) -> list[tuple[str, Any]]:
        """Everything until the server ends the watch."""
        found = []
        while True:
            try:
                found.append(self.next())
            except EOFError:
                return found


def _pem(data: str) -> str:
    import base64

    return base64.b64decode(data).decode()


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]
