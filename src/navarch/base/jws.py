"""Signatures of a text by a shared secret, kept apart from the text: who knows the secret can tell that the text is
from somebody else who does. What is signed, and with whose secret, is others' business.

Source: RFC 7515, appendix F (detached content); RFC 7518, section 3.2 (HS256)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json


def sign(text: str, key_id: str, secret: str) -> str:
    """`header..signature`, in base64url without padding. The same for the same arguments."""
    header = _encode(json.dumps({"alg": "HS256", "kid": key_id}, separators=(",", ":")).encode())
    return f"{header}..{_encode(_digest(header, text, secret))}"


def verify(signature: str, text: str, key_id: str, secret: str) -> bool:
    """Whether `signature` is of this text, by this secret, under this name."""
    parts = signature.split(".")
    if len(parts) != 3:
        return False
    header, middle, digest = parts
    try:
        said = json.loads(_decode(header))
        found = _decode(digest)
    except ValueError:
        return False
    if middle or not isinstance(said, dict) or said.get("alg") != "HS256" or said.get("kid") != key_id:
        return False
    return hmac.compare_digest(found, _digest(header, text, secret))


def _digest(header: str, text: str, secret: str) -> bytes:
    return hmac.new(secret.encode(), f"{header}.{_encode(text.encode())}".encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Raises: ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64url: {error}") from error
