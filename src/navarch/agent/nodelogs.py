"""`/logs/` on the agent's port: the files under /var/log, and the log of a service by its name.

`query=NAME` looks for what a service of that name writes: `NAME`, `NAME.log` or `NAME/NAME.log`; `query=some/file`
names a file; `pattern` is a piece of text that lines have, no expression. There is no journal to ask: a machine that
has one keeps no such files, and the answer says so. Nothing outside the folders can be reached, by no name and no link.

Source: https://kubernetes.io/docs/concepts/cluster-administration/system-logs/#log-query
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from navarch.base.errors import BadRequest, NotFound
from navarch.wire.message import Request, Response

TEXT = [("Content-Type", "text/plain; charset=utf-8")]
HTML = [("Content-Type", "text/html; charset=utf-8")]
MOST_BYTES = 16 << 20
"""Of a file, its end is shown: an answer has to fit into memory."""
OPTIONS = ("query", "tailLines", "pattern", "sinceTime", "untilTime", "boot")
_NAME = re.compile(r"^[A-Za-z0-9_.:@-]{1,256}$")


@dataclass(frozen=True, slots=True)
class NodeLogs:
    """folders: looked into one after the other. aliases: file names that a service is better known by.

    enabled, queries: whether the folders may be read, and whether logs may be asked for by name.
    """

    folders: tuple[Path, ...] = (Path("/var/log"),)
    aliases: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    queries: bool = False

    def page(self, request: Request, parts: Sequence[str]) -> Response:
        """parts: of the path, behind `logs`. Blocks for as long as the disk does. Raises: NotFound, BadRequest."""
        if not self.enabled:
            return Response(405, TEXT, b"logs endpoint is disabled.")
        asked = [name for name in request.params("query") if name]
        if not self.queries or not any(request.param(name) for name in OPTIONS):
            return self._file(parts)
        if not asked:
            raise BadRequest("query: a service or a file must be named, query=kubelet or query=/some.log")
        tail = _number(request)
        pattern = _pattern(request)
        text = b"".join(self._asked(name) for name in asked)
        lines = text.splitlines(keepends=True)
        if pattern is not None:
            lines = [line for line in lines if pattern.search(line.decode("utf-8", "replace"))]
        return Response(200, TEXT, b"".join(lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]))

    def _asked(self, name: str) -> bytes:
        """Raises: NotFound, BadRequest."""
        if "/" in name:
            return _end_of(self._inside(name.lstrip("/")))
        if not _NAME.match(name):
            raise BadRequest(f"query: {name!r} is neither the name of a service nor a file's")
        for candidate in (self.aliases.get(name, name), f"{name}.log", f"{name}/{name}.log"):
            try:
                return _end_of(self._inside(candidate))
            except NotFound:
                continue
        where = ", ".join(map(str, self.folders))
        raise NotFound(f"log not found for {name}: no such file in {where}, and this agent asks no journal")

    def _file(self, parts: Sequence[str]) -> Response:
        found = self._inside("/".join(parts))
        if found.is_dir():
            rows = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in _entries(found))
            return Response(200, HTML, f"<pre>\n{rows}</pre>\n".encode())
        return Response(200, TEXT, _end_of(found))

    def _inside(self, below: str) -> Path:
        """Raises: NotFound."""
        for folder in self.folders:
            root = folder.resolve()
            place = (root / below).resolve()
            if place.is_relative_to(root) and (place.is_file() or place.is_dir()):
                return place
        raise NotFound(f"there is no log {below!r} on this node")


def _entries(folder: Path) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        yield entry.name + ("/" if entry.is_dir() else "")


def _end_of(place: Path) -> bytes:
    """Raises: NotFound."""
    if not place.is_file():
        raise NotFound(f"{place.name} is no file")
    with place.open("rb") as file:
        file.seek(max(0, place.stat().st_size - MOST_BYTES))
        return file.read(MOST_BYTES)


def _number(request: Request) -> int | None:
    text = request.param("tailLines")
    if not text:
        return None
    if not text.isdecimal() or int(text) > 100_000:
        raise BadRequest(f"tailLines: must be a number from 0 to 100000, not {text!r}")
    return int(text)


def _pattern(request: Request) -> re.Pattern[str] | None:
    """Raises: BadRequest."""
    for name in ("sinceTime", "untilTime", "boot"):
        if request.param(name):
            raise BadRequest(f"{name}: files do not say when a line was written; only a journal could be asked for it")
    text = request.param("pattern")
    if len(text) > 256:
        raise BadRequest("pattern: must have at most 256 characters")
    return re.compile(re.escape(text)) if text else None
