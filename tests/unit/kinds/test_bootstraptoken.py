"""What Secrets that are bootstrap tokens mean."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.kinds import SECRET, bootstraptoken
from navarch.kinds.bootstraptoken import NODE_GROUP, USAGES, Token
from navarch.kinds.object import Object

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
WHOLE = Token("abcdef", "0123456789abcdef", NOW, USAGES, (NODE_GROUP, "system:bootstrappers:x"), "for a test")


def stored(token: Token, **changes: str | None) -> Object:
    """changes: of the data, by key with dashes as underscores; None takes the key away."""
    document: dict[str, Any] = bootstraptoken.secret_of(token)
    plain = document.pop("stringData")
    plain |= {key.replace("_", "-"): value for key, value in changes.items()}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items() if value is not None}
    return Object.of(SECRET, {**document, "data": data})


def test_a_secret_says_all_of_a_token() -> None:
    assert bootstraptoken.read(stored(WHOLE)) == WHOLE
    least = Token("abcdef", "0123456789abcdef")
    assert bootstraptoken.read(stored(least)) == least
    assert WHOLE.text == "abcdef.0123456789abcdef"


def test_it_ends_at_its_moment_and_may_last() -> None:
    assert WHOLE.over(NOW)
    assert not WHOLE.over(NOW - timedelta(seconds=1))
    assert not Token("abcdef", "0123456789abcdef").over(NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_id": "abcdeg"},
        {"token_id": None},
        {"token_secret": "short"},
        {"token_secret": "0123456789ABCDEF"},
        {"token_secret": None},
        {"expiration": "tomorrow"},
        {"expiration": "2030-01-01T12:00:00"},
        {"auth_extra_groups": "system:masters"},
        {"auth_extra_groups": f"{NODE_GROUP},system:nodes"},
        {"auth_extra_groups": "system:bootstrappers:"},
        {"auth_extra_groups": "system:bootstrappers:X"},
    ],
)
def test_what_has_gone_bad_is_none(changes: dict[str, str | None]) -> None:
    assert bootstraptoken.read(stored(WHOLE, **changes)) is None


@pytest.mark.parametrize("part", ["name", "namespace", "type", "deleted"])
def test_only_one_in_its_place_counts(part: str) -> None:
    document = stored(WHOLE).document()
    if part == "type":
        document["type"] = "Opaque"
    elif part == "deleted":
        document["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    else:
        document["metadata"][part] = "other"
    assert bootstraptoken.read(Object.of(SECRET, document)) is None


@pytest.mark.parametrize(
    "text", ["", "abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef\n", "ABCDEF.0123456789abcdef"]
)
def test_what_does_not_look_like_one(text: str) -> None:
    assert bootstraptoken.split(text) is None
