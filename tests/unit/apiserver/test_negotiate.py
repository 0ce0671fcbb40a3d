"""Which form is chosen for an Accept header, of what kinds and for which requests."""

from __future__ import annotations

import pytest

from navarch.apiserver.negotiate import JSON, PROTOBUF, YAML, Form, form_of, form_of_error
from navarch.base.errors import NotAcceptable
from navarch.wire.message import Request

BETA = "meta.k8s.io/v1beta1"
KUBECTL = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


def asking(accept: str, query: tuple[tuple[str, str], ...] = (), agent: str = "tests/1") -> Request:
    return Request("GET", "/", "/", {"accept": accept, "user-agent": agent}, query)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/*", Form()),
        ("application/json; charset=utf-8", Form()),
        ("application/yaml", Form(YAML)),
        (f"{PROTOBUF},application/json", Form(PROTOBUF)),
        (f"application/json,{PROTOBUF}", Form()),
        (f"{PROTOBUF};q=0.5,application/json;q=0.9", Form()),
        ("application/xml,application/yaml;q=0.1", Form(YAML)),
        ("*/*, application/yaml", Form(YAML)),
        ("*/*;q=1, application/yaml;q=0.9", Form()),
        ("application/cbor, application/json;q=0.9", Form()),
        (KUBECTL, Form(as_="Table")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form(as_="Table", meta=BETA)),
        ("application/yaml;as=Table;v=v1;g=meta.k8s.io", Form(YAML, "Table")),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json", Form()),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/yaml", Form(YAML)),
        ("application/json;as=Table;g=meta.k8s.io,application/yaml", Form(YAML)),
        ("application/json;as=Chair;v=v1;g=meta.k8s.io,application/yaml", Form(YAML)),
        ("application/json;v=v1,application/yaml", Form(YAML)),
        (f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Form(PROTOBUF, "PartialObjectMetadata")),
        (f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1,{YAML}", Form(YAML)),
        ("*/*;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form(as_="PartialObjectMetadataList")),
        ("application/json;stream=watch", Form()),
        ("application/json;stream=other,application/yaml", Form(YAML)),
        ("application/json;pretty=1", Form(pretty=True)),
        ("application/json;q=oops,application/yaml;q=0.1", Form(YAML)),
    ],
)
def test_the_first_that_there_is_an_answer_in(accept: str, chosen: Form) -> None:
    assert form_of(asking(accept)) == chosen


@pytest.mark.parametrize(
    "accept", ["application/cbor", "text/html", "application/json;as=Table;v=v3;g=meta.k8s.io", "image/*"]
)
def test_what_cannot_be_made_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable) as refused:
        form_of(asking(accept))
    assert refused.value.message == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )
    assert form_of_error(asking(accept)) == Form()


def test_custom_resources_are_never_protobuf_but_their_metadata_is() -> None:
    assert form_of(asking(f"{PROTOBUF},application/json"), packs=False) == Form()
    with pytest.raises(NotAcceptable):
        form_of(asking(PROTOBUF), packs=False)
    metadata = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert form_of(asking(metadata), packs=False) == Form(PROTOBUF, "PartialObjectMetadata")


def test_watches_are_streams() -> None:
    assert form_of(asking(f"{PROTOBUF};stream=watch"), watch=True) == Form(PROTOBUF)
    assert form_of(asking("application/json;stream=watch,application/json"), watch=True) == Form()
    with pytest.raises(NotAcceptable) as refused:
        form_of(asking("application/yaml,application/json"), watch=True)
    assert refused.value.message == (
        "only the following media types are accepted: "
        "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    )


def test_a_status_is_written_as_plainly_as_the_client_takes_it() -> None:
    assert form_of_error(asking(f"{PROTOBUF},application/json")) == Form(PROTOBUF)
    assert form_of_error(asking(KUBECTL)) == Form()
    assert form_of_error(asking(f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")) == Form()


@pytest.mark.parametrize(
    ("query", "agent", "pretty"),
    [
        ((), "tests/1", False),
        ((), "curl/8", True),
        ((), "Mozilla/5.0 (X11)", True),
        ((("pretty", "false"),), "curl/8", False),
        ((("pretty", "true"),), "tests/1", True),
        ((("pretty", "1"),), "tests/1", True),
        ((("pretty", "maybe"),), "tests/1", False),
    ],
)
def test_people_get_line_breaks(query: tuple[tuple[str, str], ...], agent: str, pretty: bool) -> None:
    assert form_of(asking("application/json", query, agent)).pretty is pretty
    assert form_of_error(asking("", query, agent)) == Form(JSON, pretty=pretty)
