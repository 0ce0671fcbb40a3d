"""Answers of pods, services and nodes made to work behind the path that they are proxied at: locations, links, headers.

Only what names the proxied server itself is rewritten: absolute paths, and addresses with its host or with the one that
the client asked for. Pages are rewritten as they come, compressed ones too.

Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls
"""

from __future__ import annotations

import html
import posixpath
import re
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from navarch.wire.message import Response

PATH_SAFE = "/:@$&+,;=~-._"
CORS = frozenset(
    (
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
    )
)
"""Who may read answers of the API server is not for what is proxied to say."""
TAG_BYTES = 65_536
"""A tag longer than this is passed on as it is."""
LINKS: dict[bytes, tuple[bytes, ...]] = {
    b"a": (b"href",),
    b"applet": (b"codebase",),
    b"area": (b"href",),
    b"audio": (b"src",),
    b"base": (b"href",),
    b"blockquote": (b"cite",),
    b"body": (b"background",),
    b"button": (b"formaction",),
    b"command": (b"icon",),
    b"del": (b"cite",),
    b"embed": (b"src",),
    b"form": (b"action",),
    b"frame": (b"longdesc", b"src"),
    b"head": (b"profile",),
    b"html": (b"manifest",),
    b"iframe": (b"longdesc", b"src"),
    b"img": (b"longdesc", b"src", b"usemap"),
    b"input": (b"src", b"usemap", b"formaction"),
    b"ins": (b"cite",),
    b"link": (b"href",),
    b"object": (b"classid", b"codebase", b"data", b"usemap"),
    b"q": (b"cite",),
    b"script": (b"src",),
    b"source": (b"src",),
    b"video": (b"poster", b"src"),
}
"""The attributes of each element that hold an address. Source: HTML 4 and 5, their indexes of attributes."""

_TAG = re.compile(rb"<([a-zA-Z][^\s/>]*)((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(rb"([^\s=/>\"']+)(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s>\"']+)")
_RAW_TEXT = (b"iframe", b"noembed", b"noframes", b"script", b"style", b"textarea", b"title", b"xmp")


def sub_path(tail: str) -> str:
    """What is asked of the proxied server, "" for nothing: without `.`, `..` and empty parts, and never above its
    root; a slash at the end stays."""
    if not tail.strip("/"):
        return "/" if tail else ""
    clean = posixpath.normpath("/" + tail.lstrip("/"))
    return clean + "/" if tail.endswith("/") and clean != "/" else clean


def escaped(path: str) -> str:
    return quote(path, safe=PATH_SAFE)


@dataclass(frozen=True, slots=True)
class Rewriter:
    """prefix: where the server is proxied at, without a slash at the end. hosts: what it calls itself (`10.1.0.7:80`)
    and what the client called us."""

    prefix: str
    hosts: tuple[str, ...]

    def url(self, text: str) -> str:
        try:
            found = urlsplit(text)
        except ValueError:
            return text
        if (found.netloc and found.netloc not in self.hosts) or not found.path.startswith("/"):
            return text
        scheme, host = ("", "") if found.netloc != self.hosts[-1] else (found.scheme, found.netloc)
        path = found.path
        if not path.startswith(self.prefix):
            path = self.prefix + sub_path(path)
        return urlunsplit((scheme, host, path, found.query, found.fragment))

    def answer(self, response: Response) -> Response:
        """The same answer for a client that sees the server at `prefix`."""
        headers = [(name, value) for name, value in response.headers if name.lower() not in CORS]
        body: bytes | AsyncIterator[bytes] = response.body
        if any(name.lower() == "location" and value for name, value in headers):
            headers = [(name, self.url(value) if name.lower() == "location" else value) for name, value in headers]
        elif _value(headers, "content-type").split(";")[0].strip() == "text/html":
            coding = _value(headers, "content-encoding")
            if coding in CODINGS:
                headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
                body = self._page(body, *CODINGS[coding])
        return Response(response.status, headers, body)

    async def _page(self, body: bytes | AsyncIterator[bytes], unpack_bits: int, pack_bits: int) -> AsyncIterator[bytes]:
        pages = Pages(self.url)
        unpacker = zlib.decompressobj(unpack_bits) if unpack_bits else None
        packer = zlib.compressobj(6, zlib.DEFLATED, pack_bits) if pack_bits else None
        try:
            async for piece in _pieces(body):
                plain = unpacker.decompress(piece) if unpacker else piece
                done = pages.feed(plain)
                yield packer.compress(done) if packer else done
            done = pages.end()
            yield packer.compress(done) + packer.flush() if packer else done
        finally:
            if not isinstance(body, bytes) and hasattr(body, "aclose"):
                await body.aclose()


CODINGS = {"": (0, 0), "gzip": (31, 31), "deflate": (-15, -15)}
"""How pages may be compressed: the window bits of zlib, for reading and writing."""


class Pages:
    """Rewrites the links of a page that comes in pieces. rewrite: from an address to what is to stand there."""

    def __init__(self, rewrite: Callable[[str], str]) -> None:
        self._rewrite = rewrite
        self._held = b""
        self._raw = b""
        """The element whose text is no markup and that we are in: nothing counts until its end tag."""

    def feed(self, data: bytes) -> bytes:
        return self._advance(self._held + data, final=False)

    def end(self) -> bytes:
        return self._advance(self._held, final=True)

    def _advance(self, data: bytes, final: bool) -> bytes:
        done: list[bytes] = []
        at = 0
        while at < len(data):
            start = self._next(data, at)
            if start < 0:
                keep = 0 if final or not self._raw else min(len(data) - at, len(self._raw) + 1)
                done.append(data[at : len(data) - keep])
                at = len(data) - keep
                break
            done.append(data[at:start])
            end = self._token(data, start)
            if end < 0:
                at = start
                if final or len(data) - start > TAG_BYTES:
                    done.append(data[start:])
                    at = len(data)
                break
            done.append(self._told(data[start:end]))
            at = end
        self._held = data[at:]
        return b"".join(done)

    def _next(self, data: bytes, at: int) -> int:
        if not self._raw:
            return data.find(b"<", at)
        found = data.lower().find(b"</" + self._raw, at)
        if found >= 0:
            self._raw = b""
        return found

    def _token(self, data: bytes, start: int) -> int:
        """The end of the tag or comment that begins at `start`, -1 if it is not all there."""
        if data.startswith(b"<!--", start):
            end = data.find(b"-->", start)
            return end + 3 if end >= 0 else -1
        if len(data) - start < 4 and b">" not in data[start:]:
            return -1
        if not data[start + 1 : start + 2].isalpha():
            return start + 1
        found = _TAG.match(data, start, start + TAG_BYTES)
        return found.end() if found else -1

    def _told(self, token: bytes) -> bytes:
        found = _TAG.fullmatch(token)
        if found is None:
            return token
        name = found[1].lower()
        if name in _RAW_TEXT:
            self._raw = name
        wanted = LINKS.get(name)
        if wanted is None:
            return token

        def changed(attribute: re.Match[bytes]) -> bytes:
            key, equals, value = attribute[1], attribute[2], attribute[3]
            if key.lower() not in wanted:
                return attribute[0]
            text = value[1:-1] if value[:1] in (b'"', b"'") else value
            said = html.unescape(text.decode("utf-8", "surrogateescape"))
            new = self._rewrite(said)
            if new == said:
                return attribute[0]
            return key + equals + b'"' + html.escape(new).encode("utf-8", "surrogateescape") + b'"'

        return b"<" + found[1] + _ATTRIBUTE.sub(changed, found[2]) + b">"


async def _pieces(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for piece in body:
        yield piece


def _value(headers: Sequence[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")
