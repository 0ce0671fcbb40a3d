"""Detached signatures by a shared secret."""

from __future__ import annotations

import base64

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base import jws


@given(st.text(), st.text(max_size=8), st.text(min_size=1))
def test_who_knows_the_secret_can_tell(text: str, key_id: str, secret: str) -> None:
    signature = jws.sign(text, key_id, secret)
    assert jws.verify(signature, text, key_id, secret)
    assert not jws.verify(signature, text + "x", key_id, secret)
    assert not jws.verify(signature, text, key_id + "x", secret)
    assert not jws.verify(signature, text, key_id, secret + "x")


def test_others_can_tell_as_well() -> None:
    """With the content put back, it is an ordinary signed text."""
    secret = "0123456789abcdef" * 2
    header, _, digest = jws.sign("content", "abcdef", secret).split(".")
    content = base64.urlsafe_b64encode(b"content").rstrip(b"=").decode()
    found = jwt.api_jws.PyJWS().decode_complete(f"{header}.{content}.{digest}", secret, ["HS256"])
    assert found["payload"] == b"content"
    assert found["header"] == {"alg": "HS256", "kid": "abcdef"}


@pytest.mark.parametrize("bad", ["", ".", "..", "a.b.c", "!..!", "bm8..bm8", "e30..", "W10..AA", "....", "bnVsbA..AA"])
def test_what_is_no_signature_signs_nothing(bad: str) -> None:
    assert not jws.verify(bad, "text", "abcdef", "secret")
    assert not jws.verify(jws.sign("text", "abcdef", "secret")[:-2], "text", "abcdef", "secret")
