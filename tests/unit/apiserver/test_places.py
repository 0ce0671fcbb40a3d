"""Verbs where they do not belong: every path has its own few, and what is refused changes nothing."""

from __future__ import annotations

import pytest
from api_driver import Api, Refused, config, run

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("DELETE", "/api/v1/configmaps", 405),
        ("POST", "/api/v1/configmaps", 405),
        ("POST", f"{CONFIGMAPS}/one", 405),
        ("PUT", CONFIGMAPS, 405),
        ("PATCH", CONFIGMAPS, 405),
        ("GET", "/api/v1/configmaps/one", 404),
        ("DELETE", "/api/v1/configmaps/one", 404),
        ("GET", f"{CONFIGMAPS}/one/status/more", 404),
        ("DELETE", f"{CONFIGMAPS}/one/more", 404),
    ],
)
def test_verbs_have_their_places(method: str, path: str, code: int) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("one"))
        before = api.store.revision
        with pytest.raises(Refused) as refused:
            await api.ask(method, path, config("one") if method in ("POST", "PUT", "PATCH") else None)
        assert refused.value.code == code
        assert api.store.revision == before

    run(test)


def test_lists_take_no_options_of_watches_and_no_negative_limit() -> None:
    async def test(api: Api) -> None:
        for name in ("one", "two"):
            await api.post(CONFIGMAPS, config(name))
        with pytest.raises(Refused, match="sendInitialEvents") as refused:
            await api.get(f"{CONFIGMAPS}?sendInitialEvents=true")
        assert refused.value.code == 422
        assert len((await api.get(f"{CONFIGMAPS}?limit=-1"))["items"]) == 2

    run(test)


def test_metadata_of_a_list_is_not_that_of_an_object() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("one"))
        form = "application/json;as={};v=v1;g=meta.k8s.io"
        one, many = form.format("PartialObjectMetadata"), form.format("PartialObjectMetadataList")
        assert (await api.get(CONFIGMAPS, accept=many))["kind"] == "PartialObjectMetadataList"
        assert (await api.get(f"{CONFIGMAPS}/one", accept=one))["kind"] == "PartialObjectMetadata"
        for path, accept in ((CONFIGMAPS, one), (f"{CONFIGMAPS}/one", many)):
            with pytest.raises(Refused) as refused:
                await api.get(path, accept=accept)
            assert refused.value.code == 406
        answer = await api.send("GET", CONFIGMAPS, accept="application/json;q=0.5, application/yaml")
        assert ("content-type", "application/yaml") in answer.headers

    run(test)


def test_patches_cannot_change_what_the_object_is() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("one"))
        before = api.store.revision
        for patch in ({"kind": "Secret"}, {"apiVersion": "v2"}):
            with pytest.raises(Refused) as refused:
                await api.merge(f"{CONFIGMAPS}/one", patch)
            assert refused.value.code == 400
        for wanted in ({}, {"apiVersion": "v1"}, {"kind": "ConfigMap", "apiVersion": "v2"}):
            with pytest.raises(Refused) as refused:
                await api.apply(f"{CONFIGMAPS}/one", {"metadata": {"name": "one"}, **wanted})
            assert refused.value.code == 400
        assert api.store.revision == before

    run(test)


def test_doubled_and_unknown_fields_of_a_patch_are_told() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("one"))
        one = f"{CONFIGMAPS}/one"
        double = b'{"data": {"a": "1", "a": "2"}}'
        with pytest.raises(Refused, match=r'strict decoding error: duplicate field "data\.a"'):
            await api.ask("PATCH", f"{one}?fieldValidation=Strict", double, MERGE)
        answer = await api.send("PATCH", one, double, MERGE)
        assert [text for name, text in answer.headers if name == "warning"] == ['299 - "duplicate field \\"data.a\\""']
        answer = await api.send("PATCH", f"{one}?fieldValidation=Ignore", double, MERGE)
        assert not [text for name, text in answer.headers if name == "warning"]
        strange = b'[{"op": "add", "path": "/data/b", "value": "3", "more": 1}]'
        with pytest.raises(Refused, match=r'json patch unknown field "\[0\]\.more"'):
            await api.ask("PATCH", f"{one}?fieldValidation=Strict", strange, JSON_PATCH)
        assert (await api.get(one))["data"]["a"] == "2"
        applied = b'{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "5",\n"a": "6"}}'
        with pytest.raises(Refused, match='line 2: key "a" already set in map'):
            await api.ask(
                "PATCH", f"{one}?fieldManager=x&fieldValidation=Strict", applied, "application/apply-patch+yaml"
            )

    run(test)


@pytest.mark.parametrize("depth", [300, 1000, 5000])
@pytest.mark.parametrize(
    "type_", [MERGE, JSON_PATCH, "application/apply-patch+yaml", "application/strategic-merge-patch+json"]
)
def test_patches_that_are_too_deep(type_: str, depth: int) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("one"))
        deep = b'{"data": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
        if type_ == JSON_PATCH:
            deep = b'[{"op": "add", "path": "/data", "value": ' + deep + b"}]"
        with pytest.raises(Refused) as refused:
            await api.ask("PATCH", f"{CONFIGMAPS}/one?fieldManager=x", deep, type_)
        assert refused.value.code == 400

    run(test)
