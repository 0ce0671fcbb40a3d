"""Links of pages, in pieces of any size, packed or not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.rewriting import Pages, Rewriter
from navarch.wire.message import Response

PAGE = b"""<!DOCTYPE html><!-- <a href="/no"> --><html manifest="/m"><head><title><a href="/no"></title>
<script src='/js?a=1&amp;b=2'>if (a<b) document.write('<a href="/no">')</script><LINK HREF=/css/>
<style>a{background:url(/no)}</style></head><body><img src="/i" alt="/no" usemap="#m"><a class=x
 href = "/deep/er/" data-href="/no">1 < 2 & 3 > 2</a><form action="next"><input formaction="//h/x">\xff</body>"""
SEEN = b"""<!DOCTYPE html><!-- <a href="/no"> --><html manifest="/p/m"><head><title><a href="/no"></title>
<script src="/p/js?a=1&amp;b=2">if (a<b) document.write('<a href="/no">')</script><LINK HREF="/p/css/">
<style>a{background:url(/no)}</style></head><body><img src="/p/i" alt="/no" usemap="#m"><a class=x
 href = "/p/deep/er/" data-href="/no">1 < 2 & 3 > 2</a><form action="next"><input formaction="//h/x">\xff</body>"""
REWRITER = Rewriter("/p", ("10.0.0.1:80", "api"))


def rewritten(pieces: list[bytes]) -> bytes:
    pages = Pages(REWRITER.url)
    return b"".join([*(pages.feed(piece) for piece in pieces), pages.end()])


def test_only_addresses_in_known_attributes_change() -> None:
    assert rewritten([PAGE]) == SEEN


@given(st.lists(st.integers(0, len(PAGE)), max_size=12))
def test_it_does_not_matter_how_a_page_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(PAGE)]
    assert rewritten([PAGE[a:b] for a, b in pairwise(ends)]) == SEEN


@given(st.binary(max_size=200), st.integers(0, 200))
def test_nothing_of_what_is_no_link_is_lost(data: bytes, cut: int) -> None:
    plain = Pages(lambda text: text)
    assert plain.feed(data[:cut]) + plain.feed(data[cut:]) + plain.end() == data


def test_a_tag_that_never_ends_is_passed_on() -> None:
    data = b'<a href="/' + b"x" * 200_000
    pages = Pages(REWRITER.url)
    assert len(pages.feed(data)) == len(data)


def test_packed_pages() -> None:
    async def body() -> AsyncIterator[bytes]:
        packed = gzip.compress(PAGE)
        for start in range(0, len(packed), 50):
            yield packed[start : start + 50]

    async def play() -> bytes:
        headers = (("content-type", "text/html"), ("content-encoding", "gzip"), ("content-length", "9"))
        answer = REWRITER.answer(Response(200, headers, body()))
        assert dict(answer.headers) == {"content-type": "text/html", "content-encoding": "gzip"}
        assert not isinstance(answer.body, bytes)
        return b"".join([piece async for piece in answer.body])

    assert gzip.decompress(asyncio.run(play())) == SEEN


def test_unknown_packing_stays() -> None:
    answer = REWRITER.answer(Response(200, (("content-type", "text/html"), ("content-encoding", "br")), b"\x00"))
    assert answer.body == b"\x00"
