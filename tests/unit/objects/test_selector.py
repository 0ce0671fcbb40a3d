"""Selectors: what they match, how they are written, what is refused and in which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest
from navarch.objects import selector
from navarch.objects.selector import Requirement, Selector

keys = st.sampled_from(["app", "tier", "zone", "a.b/c"])
values = st.sampled_from(["", "web", "db", "1", "20"])
labels_of = st.dictionaries(keys, values, max_size=4)
requirements = st.one_of(
    st.builds(lambda k, v: Requirement(k, "=", (v,)), keys, values),
    st.builds(lambda k, v: Requirement(k, "!=", (v,)), keys, values),
    st.builds(lambda k, v: Requirement(k, "in", tuple(sorted(v))), keys, st.sets(values, min_size=1)),
    st.builds(lambda k, v: Requirement(k, "notin", tuple(sorted(v))), keys, st.sets(values, min_size=1)),
    st.builds(lambda k: Requirement(k, "exists"), keys),
    st.builds(lambda k: Requirement(k, "!"), keys),
)
selectors = st.lists(requirements, max_size=4).map(lambda found: Selector(tuple(sorted(found, key=lambda r: r.key))))

LABELS = {"app": "web", "tier": "front", "size": "10"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=db", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("missing notin (db)", True),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("missing", False),
        ("app=", False),
        ("size>9", True),
        ("size<10", False),
        ("app>1", False),
        ("app in (,web)", True),
        ("app=web,app=db", False),
        ("app=web,app in (web,db)", True),
        ("in in (in)", False),
    ],
)
def test_matching(text: str, matches: bool) -> None:
    assert selector.parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a b", "found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "found 'b' expected: '('"),
        ("a in (b", "found '', expected: ',' or ')'"),
        ("a in ()", "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"),
        ("a==(", "found '(', expected: identifier"),
        ("a>x", "values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("-a=b", '<nil>: Invalid value: "-a": name part must consist of alphanumeric characters'),
        ("a=b/c", 'values[0][a]: Invalid value: "b/c": a valid label must be an empty string or consist of'),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        selector.parse(text)
    assert refused.value.message.startswith(f"unable to parse requirement: {message}")


@given(selectors, labels_of)
def test_text_and_back_matches_the_same(found: Selector, labels: dict[str, str]) -> None:
    again = selector.parse(str(found))
    assert again.matches(labels) == found.matches(labels)
    assert str(again) == str(found)


@given(selectors, labels_of)
def test_a_selector_matches_when_every_requirement_does(found: Selector, labels: dict[str, str]) -> None:
    assert found.matches(labels) == all(requirement.matches(labels) for requirement in found.requirements)


@given(selectors, labels_of)
def test_what_matches_has_the_exact_labels(found: Selector, labels: dict[str, str]) -> None:
    if found.matches(labels):
        assert found.exact.items() <= labels.items()


@given(labels_of)
def test_labels_select_themselves(labels: dict[str, str]) -> None:
    assert selector.from_labels(labels).matches(labels)
    assert selector.from_labels(labels).exact == labels


def test_selectors_of_documents() -> None:
    document = {
        "matchLabels": {"tier": "front"},
        "matchExpressions": [
            {"key": "app", "operator": "In", "values": ["web", "db"]},
            {"key": "gone", "operator": "DoesNotExist"},
        ],
    }
    found = selector.from_document(document)
    assert found.matches(LABELS)
    assert str(found) == "app in (db,web),!gone,tier=front"
    assert not selector.from_document(None).matches(LABELS)
    assert selector.from_document({}).matches(LABELS)
    with pytest.raises(BadRequest, match='"Near" is not a valid label selector operator'):
        selector.from_document({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_every_broken_rule_of_a_selector_document_is_named() -> None:
    document = {
        "matchLabels": {"-": "ok", "b": "?"},
        "matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "a", "operator": "Near"},
            {"key": "", "operator": "In", "values": ["?"]},
        ],
    }
    fields = [cause.field for cause in selector.check_document(document, "spec.selector")]
    assert fields == [
        "spec.selector.matchLabels",
        "spec.selector.matchLabels",
        "spec.selector.matchExpressions[0].values",
        "spec.selector.matchExpressions[1].values",
        "spec.selector.matchExpressions[2].operator",
        "spec.selector.matchExpressions[3].key",
        "spec.selector.matchExpressions[3].key",
        "spec.selector.matchExpressions[3].values[0]",
    ]


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "web", "namespace": "x"}, "spec": {"nodeName": "n,1", "hostNetwork": True}}
    where = {"spec.nodeName": ("spec", "nodeName"), "spec.hostNetwork": ("spec", "hostNetwork")}

    def matches(text: str) -> bool:
        return selector.fields(text).matches_document(pod, where)

    assert matches("")
    assert matches("metadata.name=web")
    assert matches("metadata.name==web,metadata.namespace!=y")
    assert not matches("metadata.name!=web")
    assert matches(r"spec.nodeName=n\,1")
    assert matches("spec.hostNetwork=true")
    assert matches("status.phase=")
    assert str(selector.fields(r"spec.nodeName=n\,1,a!=b")) == r"spec.nodeName=n\,1,a!=b"
    assert selector.fields("a=1,b!=2").exact == {"a": "1"}


def test_field_selectors_that_are_refused() -> None:
    with pytest.raises(BadRequest, match="invalid selector: 'nonsense'; can't understand 'nonsense'"):
        selector.fields("nonsense")
    with pytest.raises(BadRequest, match="invalid escape"):
        selector.fields(r"a=\x")
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.color"):
        selector.check_fields(selector.fields("spec.color=red"), ["spec.nodeName"])
