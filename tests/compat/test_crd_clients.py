"""Custom resources through a Python client: watched, selected, defaulted; statuses of definitions.

The names of the conformance specs that a test shows stand in its docstring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from compat_server import Cluster
from kubernetes import client, config, watch

GROUP = "fields.example.com"


def definition(plural: str, kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
                    **more,
                }
            ],
        },
    }


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as found:
        yield found


def made(api: client.ApiClient, body: dict[str, Any]) -> client.ApiextensionsV1Api:
    extensions = client.ApiextensionsV1Api(api)
    extensions.create_custom_resource_definition(body)
    name = body["metadata"]["name"]
    for event in watch.Watch().stream(
        extensions.list_custom_resource_definition, field_selector=f"metadata.name={name}", timeout_seconds=10
    ):
        conditions = {one.type: one.status for one in event["object"].status.conditions or ()}
        if conditions.get("Established") == "True":
            return extensions
    raise AssertionError("never established")


def test_definitions_are_watched(api: client.ApiClient) -> None:
    """CustomResourceDefinition Watch watch on custom resource definition objects."""
    extensions = made(api, definition("seen", "See", {}))
    custom = client.CustomObjectsApi(api)
    for name in ("a", "b"):
        one = {"apiVersion": f"{GROUP}/v1", "kind": "See", "metadata": {"name": name}}
        custom.create_namespaced_custom_object(GROUP, "v1", "default", "seen", one)
    told = []
    stream = watch.Watch()
    for event in stream.stream(
        custom.list_namespaced_custom_object, GROUP, "v1", "default", "seen", timeout_seconds=10
    ):
        told.append((event["type"], event["object"]["metadata"]["name"]))
        if len(told) == 2:
            custom.delete_namespaced_custom_object(GROUP, "v1", "default", "seen", "a")
        if len(told) == 3:
            stream.stop()
    assert told == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    extensions.delete_custom_resource_definition(f"seen.{GROUP}")


def test_the_status_of_a_definition_is_read_and_written(api: client.ApiClient) -> None:
    """CustomResourceDefinition resources Simple CustomResourceDefinition getting/updating/patching custom resource
    definition status sub-resource works."""
    extensions = made(api, definition("states", "State", {}))
    name = f"states.{GROUP}"
    found = extensions.read_custom_resource_definition_status(name)
    found.status.conditions.append(
        client.V1CustomResourceDefinitionCondition(type="StatusUpdate", status="True", reason="E2E", message="set")
    )
    written = extensions.replace_custom_resource_definition_status(name, found)
    assert "StatusUpdate" in [one.type for one in written.status.conditions]
    patched = extensions.patch_custom_resource_definition_status(name, {"status": {"storedVersions": ["v1"]}})
    assert patched.status.stored_versions == ["v1"]
    extensions.delete_custom_resource_definition(name)


def test_defaults_are_filled_in_for_requests_and_from_storage(api: client.ApiClient) -> None:
    """CustomResourceDefinition resources custom resource defaulting for requests and from storage works."""
    extensions = made(
        api, definition("fills", "Fill", {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}})
    )
    custom, where = client.CustomObjectsApi(api), (GROUP, "v1", "default", "fills")
    one = {"apiVersion": f"{GROUP}/v1", "kind": "Fill", "metadata": {"name": "one"}}
    first = custom.create_namespaced_custom_object(*where, one)
    assert (first["a"], "b" in first) == ("A", False)
    path = "/spec/versions/0/schema/openAPIV3Schema/properties"
    extensions.patch_custom_resource_definition(
        f"fills.{GROUP}",
        [
            {"op": "add", "path": f"{path}/b/default", "value": "B"},
            {"op": "remove", "path": f"{path}/a/default"},
        ],
    )
    found = custom.get_namespaced_custom_object(*where, "one")
    assert (found["a"], found["b"]) == ("A", "B")
    extensions.delete_custom_resource_definition(f"fills.{GROUP}")


def test_fields_select(api: client.ApiClient) -> None:
    """CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector (here without its
    second version, which needs a conversion webhook)."""
    body = definition(
        "shirts",
        "Shirt",
        {"spec": {"type": "object", "properties": {"color": {"type": "string"}, "size": {"type": "integer"}}}},
        selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.size"}],
    )
    extensions = made(api, body)
    custom, where = client.CustomObjectsApi(api), (GROUP, "v1", "default", "shirts")
    for name, color, size in (("a", "blue", 1), ("b", "red", 1), ("c", "blue", 2)):
        one = {"apiVersion": f"{GROUP}/v1", "kind": "Shirt", "metadata": {"name": name}}
        custom.create_namespaced_custom_object(*where, {**one, "spec": {"color": color, "size": size}})

    def names(selector: str) -> list[str]:
        found = custom.list_namespaced_custom_object(*where, field_selector=selector)
        return [one["metadata"]["name"] for one in found["items"]]

    assert names("spec.color=blue") == ["a", "c"]
    assert names("spec.color=blue,spec.size=2") == ["c"]
    assert names("spec.color!=blue") == ["b"]
    with pytest.raises(client.ApiException) as refused:
        names("spec.other=x")
    assert refused.value.status == 400
    stream, told = watch.Watch(), []
    for event in stream.stream(
        custom.list_namespaced_custom_object, *where, field_selector="spec.color=blue", timeout_seconds=10
    ):
        told.append((event["type"], event["object"]["metadata"]["name"]))
        if len(told) == 2:
            custom.patch_namespaced_custom_object(*where, "a", {"spec": {"color": "red"}})
        if len(told) == 3:
            stream.stop()
    assert told == [("ADDED", "a"), ("ADDED", "c"), ("DELETED", "a")]
    extensions.delete_custom_resource_definition(f"shirts.{GROUP}")
