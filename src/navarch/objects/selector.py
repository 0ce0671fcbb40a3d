"""Label selectors and field selectors: parsed from text or from a `LabelSelector`, matched, written back.

A selector knows which labels it needs to be exactly what (`exact`), so that a caller with an index can narrow its
search before it matches one by one.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

from navarch.base.errors import BadRequest, Cause
from navarch.objects.names import Messages, label_key, label_value
from navarch.objects.value import Document, dig

Operator = Literal["=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt"]

_IN_WORDS: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """values: sorted, without doubles; () for `exists` and `!`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        if not _is_integer(value):
            return False
        limit = int(self.values[0])
        return int(value) > limit if self.operator == "gt" else int(value) < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                texts = ",".join(self.values) or ","  # `()` would be no value at all, `(,)` is the empty one
                return f"{self.key} {self.operator} ({texts})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True)
class Selector:
    """Requirements that must all hold, sorted by key; none of them: everything matches.

    nothing: matches no labels at all (an absent `LabelSelector`).
    """

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @cached_property
    def exact(self) -> Mapping[str, str]:
        """Labels that must be there with exactly this value: what an index can be asked for."""
        return {r.key: r.values[0] for r in self.requirements if r.operator in _EXACT and len(r.values) == 1}

    @cached_property
    def _others(self) -> tuple[Requirement, ...]:
        exact = self.exact
        return tuple(r for r in self.requirements if r.operator not in _EXACT or exact.get(r.key) not in r.values)

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        for key, value in self.exact.items():
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._others)

    @property
    def everything(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


_EXACT = frozenset(("=", "==", "in"))
EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


class _Expression(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def values(self) -> Sequence[str]: ...


class LabelSelectorLike(Protocol):
    """What `kinds.view.LabelSelector` is."""

    @property
    def match_labels(self) -> Mapping[str, str]: ...
    @property
    def match_expressions(self) -> Sequence[_Expression]: ...


def from_labels(labels: Mapping[str, str]) -> Selector:
    """Every one of these labels (what a Service or a ReplicationController selects by)."""
    return Selector(tuple(Requirement(key, "=", (labels[key],)) for key in sorted(labels)))


def from_view(selector: LabelSelectorLike | None) -> Selector:
    """None matches nothing, an empty one everything.

    Raises:
        BadRequest: an operator that does not exist.
    """
    if selector is None:
        return NOTHING
    expressions = ((e.key, e.operator, tuple(e.values)) for e in selector.match_expressions)
    return _from_parts(selector.match_labels, expressions)


def from_document(selector: Document | None) -> Selector:
    """The same for a `LabelSelector` as it stands in a document. Raises: BadRequest."""
    if selector is None:
        return NOTHING
    expressions = (
        (e.get("key", ""), e.get("operator", ""), tuple(e.get("values") or ()))
        for e in selector.get("matchExpressions") or ()
    )
    return _from_parts(selector.get("matchLabels") or {}, expressions)


def _from_parts(labels: Mapping[str, str], expressions: Iterable[tuple[str, str, tuple[str, ...]]]) -> Selector:
    found = [Requirement(key, "=", (value,)) for key, value in labels.items()]
    for key, word, values in expressions:
        operator = _IN_WORDS.get(word)
        if operator is None:
            raise BadRequest(f'"{word}" is not a valid label selector operator')
        found.append(_requirement(key, operator, values))
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,19}", text, re.ASCII) is not None


def _invalid(path: str, shown: str, messages: Messages) -> BadRequest:
    return BadRequest(f"{path}: Invalid value: {shown}: {'; '.join(messages)}")


def _requirement(key: str, operator: Operator, values: Iterable[str]) -> Requirement:
    """Raises: BadRequest, in the words of Kubernetes (which shows the path of a bad key as `<nil>`)."""
    texts = tuple(sorted(frozenset(values)))
    if messages := label_key(key):
        raise _invalid("key", f'"{key}"', messages)
    if operator in ("in", "notin") and not texts:
        raise _invalid("values", "[]", ("for 'in', 'notin' operators, values set can't be empty",))
    if operator in ("exists", "!") and texts:
        shown = "[" + " ".join(texts) + "]"
        raise _invalid("values", shown, ("values set must be empty for exists and does not exist",))
    if operator in ("gt", "lt") and not all(map(_is_integer, texts)):
        raise _invalid("values[0]", f'"{texts[0]}"', ("for 'Gt', 'Lt' operators, the value must be an integer",))
    for i, text in enumerate(texts):
        if messages := label_value(text):
            raise _invalid(f"values[{i}][{key}]", f'"{text}"', messages)
    return Requirement(key, operator, texts)


_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
_SYMBOLS: dict[str, Operator] = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}
_PUNCTUATION = frozenset(("=", "==", "!=", "!", "<", ">", "(", ")", ",", ""))


class _Parser:
    """Recursive descent over the tokens; the messages name what was found and what should have stood there."""

    def __init__(self, text: str) -> None:
        self._tokens = [match[1] for match in _TOKEN.finditer(text)]
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        if self._peek() == "":
            return found
        while True:
            if self._peek() != "!" and not self._identifier(self._peek()):
                raise _expected(self._peek(), "!, identifier, or 'end of string'")
            found.append(self._one())
            token = self._take()
            if token == "":
                return found
            if token != ",":
                raise _expected(token, "',' or 'end of string'")
            if self._peek() != "!" and not self._identifier(self._peek()):
                raise _expected(self._peek(), "identifier after ','")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _identifier(self, token: str) -> bool:
        return token not in _PUNCTUATION

    def _one(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._take()
        key = self._take()
        if not self._identifier(key):
            raise _expected(key, "identifier")
        if messages := label_key(key):
            raise _invalid("<nil>", f'"{key}"', messages)
        if negated:
            return Requirement(key, "!")
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        symbol = self._take()
        operator = _SYMBOLS.get(symbol)
        if operator is None:
            raise _expected(symbol, "in, notin, =, ==, !=, gt, lt")
        values = self._set() if operator in ("in", "notin") else [self._exact()]
        return _requirement(key, operator, values)

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._take()
        if not self._identifier(token):
            raise _expected(token, "identifier")
        return token

    def _set(self) -> list[str]:
        token = self._take()
        if token != "(":
            raise BadRequest(f"found '{token}' expected: '('")
        found: list[str] = []
        if self._peek() == ")":
            self._take()
            return found
        while True:
            token = self._peek()
            if self._identifier(token):
                found.append(self._take())
            elif token in (",", ")"):
                found.append("")
            else:
                raise _expected(token, "',', or identifier")
            token = self._take()
            if token == ")":
                return found
            if token != ",":
                raise _expected(token, "',' or ')'")


def _expected(found: str, what: str) -> BadRequest:
    return BadRequest(f"found '{found}', expected: {what}")


@lru_cache(maxsize=4096)
def parse(text: str) -> Selector:
    """`app=web,tier!=db,zone in (a,b),!legacy`; "" selects everything.

    Raises:
        BadRequest: with the message that Kubernetes gives.
    """
    try:
        found = _Parser(text).requirements()
    except BadRequest as error:
        raise BadRequest(f"unable to parse requirement: {error.message}") from None
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def check_document(selector: Document, path: str) -> Iterable[Cause]:
    """Every broken rule of a `LabelSelector` that stands at `path` (`spec.selector`)."""
    for key, value in (selector.get("matchLabels") or {}).items():
        for message in label_key(key):
            yield Cause("FieldValueInvalid", f'Invalid value: "{key}": {message}', f"{path}.matchLabels")
        for message in label_value(value):
            yield Cause("FieldValueInvalid", f'Invalid value: "{value}": {message}', f"{path}.matchLabels")
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _check_expression(expression, f"{path}.matchExpressions[{i}]")


def _check_expression(expression: Document, path: str) -> Iterable[Cause]:
    key, operator, values = (expression.get(name) for name in ("key", "operator", "values"))
    if operator in ("In", "NotIn"):
        if not values:
            message = "Required value: must be specified when `operator` is 'In' or 'NotIn'"
            yield Cause("FieldValueRequired", message, f"{path}.values")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            message = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield Cause("FieldValueForbidden", message, f"{path}.values")
    else:
        message = f'Invalid value: "{operator or ""}": not a valid selector operator'
        yield Cause("FieldValueInvalid", message, f"{path}.operator")
    for message in label_key(key or ""):
        yield Cause("FieldValueInvalid", f'Invalid value: "{key or ""}": {message}', f"{path}.key")
    for i, value in enumerate(values or ()):
        for message in label_value(value):
            yield Cause("FieldValueInvalid", f'Invalid value: "{value}": {message}', f"{path}.values[{i}]")


@dataclass(frozen=True, slots=True)
class FieldTerm:
    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True)
class FieldSelector:
    """Terms that must all hold, in the order of the text."""

    terms: tuple[FieldTerm, ...] = ()

    @cached_property
    def exact(self) -> Mapping[str, str]:
        """Fields that must have exactly this value."""
        return {term.field: term.value for term in self.terms if not term.negated}

    @property
    def everything(self) -> bool:
        return not self.terms

    def matches(self, read: Callable[[str], str]) -> bool:
        """read: the text of a field, "" where the object has none."""
        return all((read(term.field) == term.value) != term.negated for term in self.terms)

    def matches_document(self, document: Document, fields: Mapping[str, tuple[str, ...]]) -> bool:
        """fields: where each selectable field stands; `metadata.name` and `metadata.namespace` need no entry."""

        def read(field: str) -> str:
            value: Any = dig(document, *fields.get(field, tuple(field.split("."))), default="")
            return ("true" if value else "false") if isinstance(value, bool) else str(value)

        return self.matches(read)

    def __str__(self) -> str:
        return ",".join(f"{t.field}{'!=' if t.negated else '='}{_escape(t.value)}" for t in self.terms)


def _escape(text: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", text)


_TERM = re.compile(r"((?:[^\\,]|\\.?)*)(?:,|$)", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)", re.DOTALL)


@lru_cache(maxsize=4096)
def fields(text: str) -> FieldSelector:
    r"""`metadata.name=web,spec.nodeName!=`; a backslash escapes `,`, `=` and itself.

    Raises:
        BadRequest: no operator in a term, or a bad escape.
    """
    found: list[FieldTerm] = []
    for term in (match[1] for match in _TERM.finditer(text)):
        if not term:
            continue
        parts = _FIELD_OPERATOR.fullmatch(term)
        if not parts:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        found.append(FieldTerm(parts[1], _unescape(parts[3]), parts[2] == "!="))
    return FieldSelector(tuple(found))


def _unescape(text: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*(?:\\(?![\\,=])|=)", text):
        raise BadRequest(f"invalid field selector: invalid escape sequence in value: {text}")
    return re.sub(r"\\([\\,=])", r"\1", text)


def check_fields(selector: FieldSelector, supported: Iterable[str]) -> None:
    """Raises: BadRequest, naming the first field that the kind does not select by."""
    known = {"metadata.name", "metadata.namespace", *supported}
    for term in selector.terms:
        if term.field not in known:
            raise BadRequest(f"field label not supported: {term.field}")
