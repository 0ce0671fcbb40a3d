"""Where an object lives: store keys, places within a kind, and the tokens that pages continue from.

A place is a key without its kind's prefix: `namespace/name`, or `name` for cluster-scoped kinds. Lists are in the order
of places, which is the order of the store's keys.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import NamedTuple

import orjson

from navarch.base.errors import BadRequest
from navarch.kinds.kind import Kind


@lru_cache(maxsize=1024)
def prefix(kind: Kind) -> str:
    """What the store keys of all objects of a kind start with. The version is not part of it: one object, one key."""
    return f"/{kind.group or 'core'}/{kind.plural}/"


def place(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def split(key: str) -> tuple[str, str]:
    """A store key as (its kind's prefix, the place)."""
    end = key.index("/", key.index("/", 1) + 1) + 1
    return key[:end], key[end:]


class Continue(NamedTuple):
    """After which place the next page starts, and of which moment. revision: 0 for the newest."""

    revision: int
    after: str

    def token(self) -> str:
        text = orjson.dumps({"v": "navarch/v1", "rv": self.revision, "start": self.after})
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def parse_continue(token: str) -> Continue:
    """Raises: BadRequest."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, after = found["rv"], found["start"]
        if not (isinstance(revision, int) and isinstance(after, str)) or revision < 0:
            raise ValueError("wrong types")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BadRequest(f"continue key is not valid: {error}") from error
    return Continue(revision, after)
