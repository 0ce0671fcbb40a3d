"""Custom resources on a core: from the definition to objects, and back to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from api_driver import ADMIN, Api, Refused, run

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"

SPEC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
        "image": {"type": "string", "default": "busybox"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
            },
        },
    },
}
STATUS_SCHEMA = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
}


def version(name: str = "v1", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC_SCHEMA, "status": STATUS_SCHEMA}}},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [{"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"}],
        "selectableFields": [{"jsonPath": ".spec.image"}],
        **more,
    }


def definition(*versions: dict[str, Any], plural: str = "crontabs", kind: str = "CronTab") -> dict[str, Any]:
    group = "stable.example.com"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "shortNames": [f"s{plural[:3]}"]},
            "versions": list(versions) or [version()],
        },
    }


def tab(name: str = "mine", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stable.example.com/v1",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


async def define(api: Api, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
    made = await api.post(CRDS, wanted or definition())
    for _ in range(50):
        found: dict[str, Any] = await api.get(f"{CRDS}/{made['metadata']['name']}")
        if any(one["type"] == "Established" for one in found["status"]["conditions"]):
            return found
        await asyncio.sleep(0)
    raise AssertionError(f"not established: {found['status']}")


def test_a_definition_is_established_and_served_at_once() -> None:
    async def scene(api: Api) -> None:
        found = await define(api)
        assert found["status"]["acceptedNames"] == {
            "plural": "crontabs",
            "singular": "crontab",
            "kind": "CronTab",
            "listKind": "CronTabList",
            "shortNames": ["scro"],
        }
        assert found["status"]["storedVersions"] == ["v1"]
        made = await api.post(TABS, tab())
        assert made["spec"] == {"cronSpec": "* * * * */5", "image": "busybox", "replicas": 1}
        assert made["metadata"]["generation"] == 1
        listed = await api.get(TABS)
        assert (listed["kind"], len(listed["items"])) == ("CronTabList", 1)

    run(scene)


def test_unknown_fields_are_pruned_and_told() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        wrong = tab(nope=1, free={"a": {"b": None}}, note=None, image=None)
        with pytest.raises(Refused) as refused:
            await api.post(f"{TABS}?fieldValidation=Strict", wrong)
        assert refused.value.message == (
            'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.nope"'
            '; did you mean "note"?'
        )
        made = await api.post(f"{TABS}?fieldValidation=Ignore", wrong)
        assert made["spec"] == {
            "cronSpec": "* * * * */5",
            "free": {"a": {"b": None}},
            "note": None,
            "image": "busybox",
            "replicas": 1,
        }

    run(scene)


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"replicas": 11},
            "spec.replicas",
            "Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ),
        (
            {"replicas": "two"},
            "spec.replicas",
            'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        (
            {"port": True},
            "spec.port",
            'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        ),
        ({"ports": [{"port": 1}]}, "spec.ports[0].name", "Required value"),
        (
            {"ports": [{"name": "a"}, {"name": "a"}]},
            "spec.ports[1]",
            'Duplicate value: {"name":"a"}',
        ),
    ],
)
def test_values_that_the_schema_forbids_are_refused(spec: dict[str, Any], field: str, message: str) -> None:
    async def scene(api: Api) -> None:
        await define(api)
        with pytest.raises(Refused) as refused:
            await api.post(TABS, tab(**spec))
        assert refused.value.code == 422
        assert [(cause["field"], cause["message"]) for cause in refused.value.causes] == [(field, message)]
        assert (await api.get(TABS))["items"] == []

    run(scene)


def test_generation_status_and_scale() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        made = await api.post(TABS, {**tab(), "status": {"replicas": 9}})
        assert "status" not in made
        status = {**made, "spec": {"cronSpec": "no"}, "status": {"replicas": 2, "selector": "app=a"}}
        after = await api.put(f"{TABS}/mine/status", status)
        assert (after["metadata"]["generation"], after["status"]["replicas"]) == (1, 2)
        assert after["spec"] == made["spec"]
        scale = await api.get(f"{TABS}/mine/scale")
        assert scale["status"] == {"replicas": 2, "selector": "app=a"}
        scale["spec"]["replicas"] = 4
        assert (await api.put(f"{TABS}/mine/scale", scale))["spec"]["replicas"] == 4
        assert (await api.get(f"{TABS}/mine"))["metadata"]["generation"] == 2
        scale["spec"]["replicas"] = 40
        with pytest.raises(Refused):
            await api.put(f"{TABS}/mine/scale", {**scale, "metadata": {"name": "mine"}})

    run(scene)


def test_versions_show_the_same_object() -> None:
    async def scene(api: Api) -> None:
        await define(api, definition(version("v1", storage=False), version("v2")))
        await api.post(TABS, tab())
        second = TABS.replace("/v1/", "/v2/")
        assert (await api.get(f"{second}/mine"))["apiVersion"] == "stable.example.com/v2"
        assert (await api.get(f"{TABS}/mine"))["apiVersion"] == "stable.example.com/v1"
        crd = await api.get(f"{CRDS}/crontabs.stable.example.com")
        crd["spec"]["versions"] = [version("v1"), version("v2", storage=False, served=False)]
        crd = await api.put(f"{CRDS}/crontabs.stable.example.com", crd)
        assert crd["status"]["storedVersions"] == ["v2", "v1"]
        assert (await api.get(f"{TABS}/mine"))["apiVersion"] == "stable.example.com/v1"
        with pytest.raises(Refused) as refused:
            await api.get(second)
        assert refused.value.code == 404

    run(scene)


def test_a_stored_object_gets_new_defaults_when_it_is_read() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        made = await api.post(TABS, tab())
        assert "zone" not in made["spec"]
        crd = await api.get(f"{CRDS}/crontabs.stable.example.com")
        fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        fields["zone"] = {"type": "string", "default": "utc"}
        del fields["image"]
        crd["spec"]["versions"][0]["selectableFields"] = None
        await api.put(f"{CRDS}/crontabs.stable.example.com", crd)
        found = await api.get(f"{TABS}/mine")
        assert found["spec"] == {"cronSpec": "* * * * */5", "replicas": 1, "zone": "utc"}
        assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    run(scene)


def test_a_definition_takes_its_objects_along() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        await api.post(TABS, tab())
        await api.delete(f"{CRDS}/crontabs.stable.example.com")
        for _ in range(50):
            await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await api.get(f"{CRDS}/crontabs.stable.example.com")
        assert refused.value.code == 404
        with pytest.raises(Refused) as refused:
            await api.get(TABS)
        assert refused.value.code == 404
        assert not [row for row in (await api.store.list("/")).rows if "crontab" in row.key]

    run(scene)


def test_names_that_are_taken_are_not_accepted() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        second = await define(api, definition(plural="others"))
        conditions = {one["type"]: one for one in second["status"]["conditions"]}
        assert conditions["NamesAccepted"]["status"] == "False"
        assert conditions["Established"]["reason"] == "NotAccepted"
        assert '"CronTab" is already in use' in conditions["NamesAccepted"]["message"]
        await api.delete(f"{CRDS}/crontabs.stable.example.com")
        for _ in range(100):
            await asyncio.sleep(0)
        found = await api.get(f"{CRDS}/others.stable.example.com")
        assert {one["type"]: one["status"] for one in found["status"]["conditions"]}["Established"] == "True"

    run(scene)


def test_selectable_fields_and_strategic_patches() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        await api.post(TABS, tab("a", image="x"))
        await api.post(TABS, tab("b"))
        found = await api.get(f"{TABS}?fieldSelector=spec.image%3Dx")
        assert [one["metadata"]["name"] for one in found["items"]] == ["a"]
        with pytest.raises(Refused) as refused:
            await api.strategic(f"{TABS}/a", {"spec": {}})
        assert refused.value.code == 415

    run(scene)


def test_apply_merges_lists_by_the_schemas_keys() -> None:
    async def scene(api: Api) -> None:
        await define(api)
        await api.apply(f"{TABS}/mine", tab(ports=[{"name": "a", "port": 1}]), "one")
        body = {**tab(), "spec": {"ports": [{"name": "b", "port": 2}]}}
        found = await api.apply(f"{TABS}/mine", body, "two")
        assert found["spec"]["ports"] == [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
        body["spec"]["ports"] = [{"name": "a", "port": 3}]
        with pytest.raises(Refused) as refused:
            await api.apply(f"{TABS}/mine", body, "two")
        assert refused.value.code == 409

    run(scene)


def test_who_holds_a_kind_from_before_its_definition_changed_writes_as_it_is_now() -> None:
    """Controllers in the server's process look a kind up and use it for a while."""

    async def scene(api: Api) -> None:
        await define(api, definition(version(), version("v2", storage=False)))
        held = api.core.kinds.resource("stable.example.com", "v1", "crontabs")
        assert held is not None
        moved = definition(version(storage=False), version("v2"))
        await api.ask(
            "PATCH",
            f"{CRDS}/crontabs.stable.example.com",
            {"spec": {"versions": moved["spec"]["versions"]}},
            "application/merge-patch+json",
        )
        for _ in range(50):
            await asyncio.sleep(0)
        made = await api.core.local(ADMIN, "tests").create(
            held, tab() | {"metadata": {"name": "t", "namespace": "default"}}
        )
        assert made.document()["apiVersion"] == "stable.example.com/v1"
        rows = (await api.store.list("/stable.example.com/")).rows or (await api.store.list("")).rows
        kept = [orjson.loads(row.value) for row in rows if b'"CronTab"' in row.value and b"cronSpec" in row.value]
        assert [one["apiVersion"] for one in kept if one["kind"] == "CronTab"] == ["stable.example.com/v2"]
        found = await api.core.local(ADMIN, "tests").get(held, "default", "t")
        assert found.document()["apiVersion"] == "stable.example.com/v1"

    run(scene)
