"""Shapes from the published definitions, and the required fields they name."""

import pytest

from navarch.kinds import schema
from navarch.kinds.kind import Kind
from navarch.objects.shape import Shape

POD = Kind(group="", version="v1", name="Pod", plural="pods")
DEPLOYMENT = Kind(group="apps", version="v1", name="Deployment", plural="deployments")


def at(shape: Shape, *path: str) -> Shape:
    for step in path:
        found = shape.item if step == "*" else shape.child(step)
        assert found is not None, step
        shape = found
    return shape


@pytest.mark.parametrize(
    ("path", "form", "go"),
    [
        (("spec",), "object", "v1.PodSpec"),
        (("spec", "containers"), "list", "[]v1.Container"),
        (("spec", "containers", "*", "image"), "string", "string"),
        (("spec", "containers", "*", "resources", "limits"), "map", "v1.ResourceList"),
        (("spec", "containers", "*", "resources", "limits", "cpu"), "quantity", "resource.Quantity"),
        (("spec", "containers", "*", "ports", "*", "containerPort"), "integer", "int32"),
        (("spec", "containers", "*", "livenessProbe", "httpGet", "port"), "int-or-string", "intstr.IntOrString"),
        (("spec", "terminationGracePeriodSeconds"), "integer", "int64"),
        (("spec", "nodeSelector"), "map", "map[string]string"),
        (("spec", "hostNetwork"), "boolean", "bool"),
        (("metadata", "creationTimestamp"), "time", "v1.Time"),
        (("metadata", "managedFields", "*", "fieldsV1"), "any", "v1.FieldsV1"),
        (("status", "conditions", "*", "lastProbeTime"), "time", "v1.Time"),
    ],
)
def test_what_stands_where_in_a_pod(path: tuple[str, ...], form: str, go: str) -> None:
    shape = at(schema.schema_for(POD), *path)
    assert (shape.form, shape.go) == (form, go)


def test_how_lists_and_maps_merge() -> None:
    pod = schema.schema_for(POD)
    ports = at(pod, "spec", "containers", "*", "ports")
    assert (ports.list_type, ports.keys) == ("map", ("containerPort", "protocol"))
    assert (ports.merges, ports.merge_key) == (True, "containerPort")
    assert ports.key_defaults == {"protocol": "TCP"}
    assert at(pod, "metadata", "finalizers").list_type == "set"
    assert at(pod, "spec", "containers", "*", "command").atomic
    assert at(pod, "spec", "nodeSelector").atomic
    assert not at(pod, "metadata", "labels").atomic
    assert at(pod, "spec", "volumes").retains_keys
    strategy = at(schema.schema_for(DEPLOYMENT), "spec", "strategy")
    assert strategy.retains_keys
    assert at(strategy, "rollingUpdate", "maxSurge").form == "int-or-string"
    assert at(schema.schema_for(DEPLOYMENT), "spec", "selector").atomic


def test_shapes_are_shared_between_kinds() -> None:
    assert at(schema.schema_for(POD), "metadata") is at(schema.schema_for(DEPLOYMENT), "metadata")


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("", "io.k8s.api.core.v1.X"),
        ("rbac.authorization.k8s.io", "io.k8s.api.rbac.v1.X"),
        ("apiextensions.k8s.io", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.X"),
    ],
)
def test_names_of_definitions(group: str, name: str) -> None:
    assert schema.definition_name(group, "v1", "X") == name


def test_an_unknown_definition_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match=r"no definition 'io\.k8s\.api\.core\.v1\.Nothing'"):
        schema.schema_for(Kind(group="", version="v1", name="Nothing", plural="nothings"))


def test_required_fields_are_named_with_their_path() -> None:
    found = schema.required(schema.schema_for(POD), {"spec": {"containers": [{"image": "x"}, {"name": "b"}]}})
    assert [(cause.reason, cause.message, cause.field) for cause in found] == [
        ("FieldValueRequired", "Required value", "spec.containers[0].name")
    ]
    missing = schema.required(schema.schema_for(DEPLOYMENT), {"spec": {}})
    assert [cause.field for cause in missing] == ["spec.selector", "spec.template"]


def test_the_schema_of_a_custom_resource() -> None:
    raw = b"""{"type": "object", "properties": {
        "size": {"x-kubernetes-int-or-string": true},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"a": {"type": "string"}}},
        "rules": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["id"]}}}"""
    shape = schema.shape_of(raw, "v1.Thing")
    assert at(shape, "size").form == "int-or-string"
    assert at(shape, "free", "anything").form == "any"
    assert at(shape, "template", "metadata", "labels").form == "map"
    assert at(shape, "rules").keys == ("id",)
