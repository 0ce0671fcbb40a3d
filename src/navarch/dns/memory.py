"""Answers that were given before, as bytes under the bytes of the question: a known question costs one look-up.

Our own are kept until what they are about changes; those of others until their time is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from navarch.dns import wire

LIMIT = 20_000
"""Answers kept; beyond it everything is forgotten, which costs no more than asking again."""
LONGEST_QUESTION_BYTES = 300
LONGEST_S = 30.0
"""For answers of others, as upstream's own default has it."""

Key = bytes
"""A question without its id: flags, name and type, what the asker says of EDNS."""


About = tuple[str, int]
"""The type that is asked for, and the code of the answer."""
NOTHING: About = ("", 0)


class Own:
    """One of our own answers, in several orders of its records, given in turn so that load spreads."""

    __slots__ = ("_next", "_variants", "about", "given")

    def __init__(self, variants: Sequence[bytes], about: About) -> None:
        self.about = about
        self.given = 0
        self._variants = variants
        self._next = 0

    def body(self, now: float) -> bytes | None:
        self.given += 1
        variants = self._variants
        self._next = at = (self._next + 1) % len(variants)
        return variants[at]


class Foreign:
    """Somebody else's answer. body: without the id, None when its time is over."""

    __slots__ = ("_born_s", "_dies_s", "_message", "_places", "about", "given")

    def __init__(self, message: bytes, places: Sequence[wire.Section], now: float, life_s: float, about: About) -> None:
        self.about = about
        self.given = 0
        self._message = message
        self._places = places
        self._born_s = now
        self._dies_s = now + life_s

    def body(self, now: float) -> bytes | None:
        if now >= self._dies_s:
            return None
        self.given += 1
        return wire.aged(self._message, self._places, int(now - self._born_s))[2:]


class Memory:
    def __init__(self) -> None:
        self._found: dict[Key, Own | Foreign] = {}
        self._subjects: dict[str, set[Key]] = {}
        self._gone: Counter[About] = Counter()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Key, now: float) -> bytes | None:
        """An answer without its id."""
        found = self._found.get(key)
        if found is None:
            return None
        body = found.body(now)
        if body is None:
            self._drop(key)
        return body

    def given(self) -> Mapping[About, int]:
        """How often was answered from memory, by what."""
        found = Counter(self._gone)
        for each in self._found.values():
            if each.given:
                found[each.about] += each.given
        return found

    def keep(self, key: Key, subject: str, messages: Sequence[bytes], about: About = NOTHING) -> None:
        """Our own answer to a question about `subject`."""
        if self._room(key):
            self._drop(key)
            self._found[key] = Own([message[2:] for message in messages], about)
            self._subjects.setdefault(subject, set()).add(key)

    def keep_foreign(self, key: Key, message: bytes, now: float, kind: str = "") -> None:
        life_s, places = lifetime(message)
        if life_s > 0 and self._room(key):
            self._drop(key)
            about = (kind, wire.code_of(message))
            self._found[key] = Foreign(message, places, now, min(life_s, LONGEST_S), about)

    def forget(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            for key in self._subjects.pop(subject, ()):
                self._drop(key)

    def forget_foreign(self) -> None:
        """When others are asked from now on."""
        for key in [key for key, found in self._found.items() if isinstance(found, Foreign)]:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        found = self._found.pop(key, None)
        if found is not None and found.given:
            self._gone[found.about] += found.given

    def _room(self, key: Key) -> bool:
        if len(key) > LONGEST_QUESTION_BYTES:
            return False
        if len(self._found) >= LIMIT:
            self._gone = Counter(self.given())
            self._found.clear()
            self._subjects.clear()
        return True


def lifetime(message: bytes) -> tuple[float, list[wire.Section]]:
    """How long somebody else's answer may be repeated (0: not at all), and where its times to live stand.

    Source: RFC 2308, section 5
    """
    if wire.truncated(message) or wire.code_of(message) not in (wire.CODES["NOERROR"], wire.CODES["NXDOMAIN"]):
        return 0.0, []
    try:
        answers, rest = wire.sections(message)
    except wire.Malformed:
        return 0.0, []
    if answers and wire.code_of(message) == wire.CODES["NOERROR"]:
        return float(min(each.ttl_s for each in answers)), answers + rest
    negative = [
        min(each.ttl_s, int.from_bytes(message[each.end - 4 : each.end], "big"))
        for each in rest
        if each.kind == wire.TYPES["SOA"]
    ]
    return (float(min(negative)), answers + rest) if negative else (0.0, [])
