"""Strict decoding: what is accepted, what is dropped, and every message in the words of Kubernetes."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import BadRequest
from navarch.kinds import schema, schema_check, schema_fast
from navarch.kinds.kind import Kind
from navarch.kinds.schema_duplicates import duplicates

GOLDEN = Path("/work/shared/reference/golden-objects.tar.gz")
POD = schema.schema_for(Kind(group="", version="v1", name="Pod", plural="pods"))
DEPLOYMENT = schema.schema_for(Kind(group="apps", version="v1", name="Deployment", plural="deployments"))
SECRET = schema.schema_for(Kind(group="", version="v1", name="Secret", plural="secrets"))
LEASE = schema.schema_for(Kind(group="coordination.k8s.io", version="v1", name="Lease", plural="leases"))


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


CONTAINER = {"name": "a", "image": "i", "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}}}


def test_a_good_document_is_shared_whole() -> None:
    document = pod(containers=[CONTAINER])
    assert schema_check.check(POD, document) == (document, [])
    assert schema_check.check(POD, document)[0] is document
    assert schema_fast.accepts(POD, json.dumps(document).encode())


def test_empty_lists_and_maps_are_left_out_as_by_go() -> None:
    wanted = pod(
        containers=[CONTAINER | {"securityContext": {}}], securityContext={}, volumes=[{"name": "v", "emptyDir": {}}]
    )
    full = pod(
        containers=[CONTAINER | {"env": [], "securityContext": {}}],
        securityContext={},
        nodeSelector={},
        volumes=[{"name": "v", "emptyDir": {}}],
        tolerations=[],
    )
    wanted["metadata"], full["metadata"] = {"name": "p"}, {"name": "p", "labels": {}, "finalizers": []}
    assert schema_check.check(POD, full) == (wanted, [])
    assert schema_check.decode(POD, json.dumps(full).encode()) == (wanted, [])
    assert schema_fast.accepts(POD, json.dumps(wanted).encode())
    for kept in (pod(containers=[]), pod(containers=[CONTAINER | {"env": [{"name": "E", "value": ""}]}])):
        assert schema_check.check(POD, kept) == (kept, [])
    slice_kind = Kind(group="discovery.k8s.io", version="v1", name="EndpointSlice", plural="endpointslices")
    empty = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "endpoints": [], "ports": []}
    assert schema_check.check(schema.schema_for(slice_kind), empty) == (empty, [])
    custom = schema.shape_of(b'{"type": "object", "properties": {"m": {"type": "array", "items": {"type": "string"}}}}')
    assert schema_check.check(custom, {"m": []}) == ({"m": []}, [])


def test_every_golden_object_passes() -> None:
    if not GOLDEN.exists():
        pytest.skip(f"the reference objects are not here: {GOLDEN}")
    passed = 0
    with tarfile.open(GOLDEN) as archive:
        for member in archive:
            if not member.name.endswith(".json"):
                continue
            raw = archive.extractfile(member).read()  # type: ignore[union-attr]
            document = json.loads(raw)
            group, _, version = document.get("apiVersion", "").rpartition("/")
            try:
                shape = schema.definition(schema.definition_name(group, version, document.get("kind", "")))
            except LookupError:
                continue
            if not version or version.startswith("apidiscovery"):
                continue
            document.get("status", {}).pop("disruptedPods", None)  # holds a null time
            checked, warnings = schema_check.decode(shape, raw)
            checked.get("status", {}).pop("disruptedPods", None)
            assert (checked, warnings) == (document, []), member.name
            passed += 1
    assert passed > 80


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            deployment(replicas="3"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(replicas=1.5),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(replicas=2**31),
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(paused="yes"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool",
        ),
        (
            deployment(template=[]),
            "json: cannot unmarshal array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec",
        ),
        (
            deployment(template={"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": 1}]}]}}),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value "
            "of type string",
        ),
        (
            deployment(template={"spec": {"containers": "a"}}),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.template.spec.containers "
            "of type []v1.Container",
        ),
        (
            deployment(template={"metadata": {"labels": {"a": True}}}),
            "json: cannot unmarshal bool into Go struct field ObjectMeta.spec.template.metadata.labels of type string",
        ),
        (
            deployment(strategy={"rollingUpdate": {"maxSurge": {}}}),
            "json: cannot unmarshal object into Go struct field "
            "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
        ),
        (
            deployment(template={"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            deployment(template={"metadata": {"creationTimestamp": "yesterday"}}),
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
    ],
)
def test_a_wrong_type_is_named_as_go_names_it(document: dict[str, Any], message: str) -> None:
    for mode in ("strict", "warn", "ignore"):
        with pytest.raises(BadRequest) as refused:
            schema_check.decode(DEPLOYMENT, json.dumps(document).encode(), mode)  # type: ignore[arg-type]
        assert refused.value.message == (f'Deployment in version "v1" cannot be handled as a Deployment: {message}')


def test_only_the_first_wrong_type_is_told() -> None:
    with pytest.raises(BadRequest, match="of type bool") as refused:
        schema_check.check(DEPLOYMENT, deployment(paused=1, replicas="x", nonsense=1))
    assert "int32" not in refused.value.message


UNKNOWN = pod(containers=[{**CONTAINER, "imag": "x"}], colour="red", nodeSelector={"any": "key"}) | {"specs": {}}
UNKNOWN_RAW = json.dumps(UNKNOWN).encode().replace(b'"name": "p"', b'"name": "p", "name": "q"')


def test_all_unknown_and_duplicate_fields_are_refused_at_once() -> None:
    with pytest.raises(BadRequest) as refused:
        schema_check.decode(POD, UNKNOWN_RAW)
    assert refused.value.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field '
        '"spec.containers[0].imag"; did you mean "image"?, unknown field "spec.colour", '
        'unknown field "specs"; did you mean "spec"?, duplicate field "metadata.name"'
    )


def test_warnings_name_the_same_fields_and_the_fields_are_dropped() -> None:
    document, warnings = schema_check.decode(POD, UNKNOWN_RAW, "warn")
    assert warnings == [
        'unknown field "spec.containers[0].imag"; did you mean "image"?',
        'unknown field "spec.colour"',
        'unknown field "specs"; did you mean "spec"?',
        'duplicate field "metadata.name"',
    ]
    assert document == pod(containers=[CONTAINER], nodeSelector={"any": "key"}) | {"metadata": {"name": "q"}}
    assert schema_check.decode(POD, UNKNOWN_RAW, "ignore") == (document, [])


def test_a_duplicate_in_an_otherwise_good_document_is_found() -> None:
    raw = json.dumps(pod(containers=[CONTAINER]), separators=(",", ":")).encode()
    doubled = raw.replace(b'"image":"i"', b'"image":"i","image":"i"')
    assert schema_fast.accepts(POD, doubled)
    with pytest.raises(BadRequest, match=r'duplicate field "spec\.containers\[0\]\.image"'):
        schema_check.decode(POD, doubled)
    assert schema_check.decode(POD, raw) == (pod(containers=[CONTAINER]), [])


def test_nulls_are_dropped_or_become_what_go_reads_them_as() -> None:
    document = pod(containers=[None], nodeSelector={"a": None}, nodeName=None) | {
        "metadata": {"name": "p", "creationTimestamp": None, "labels": None}
    }
    checked, _ = schema_check.check(POD, document)
    assert checked == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{}], "nodeSelector": {"a": ""}},
    }
    assert document["spec"]["nodeName"] is None


def test_quantities_times_and_bytes_get_their_canonical_form() -> None:
    limits = {"cpu": 1, "memory": "1024Mi", "x/y": "0.5"}
    checked, _ = schema_check.check(POD, pod(containers=[{"name": "a", "resources": {"limits": limits}}]))
    assert checked["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi", "x/y": "500m"}
    started = {"status": {"startTime": "2026-01-01T02:00:00.5+02:00"}}
    assert schema_check.check(POD, started)[0] == {"status": {"startTime": "2026-01-01T00:00:00Z"}}
    lease = {"spec": {"renewTime": "2026-01-01T00:00:00.5Z"}}
    assert schema_check.check(LEASE, lease)[0] == {"spec": {"renewTime": "2026-01-01T00:00:00.500000Z"}}
    assert schema_check.check(SECRET, {"data": {"a": "aGVs\nbG8="}})[0] == {"data": {"a": "aGVsbG8="}}


@pytest.mark.parametrize(
    "document",
    [
        pod(containers=[{"name": "a", "resources": {"limits": {"cpu": "1000m"}}}]),
        pod(containers=[{"name": "a", "resources": {"limits": {"memory": "1024Mi"}}}]),
        pod(containers=None),
        pod(terminationGracePeriodSeconds=2**63),
        {"status": {"startTime": "2026-01-01T00:00:00+01:00"}},
        {"status": {"startTime": "2026-13-01T00:00:00Z\n"}},
    ],
)
def test_the_fast_answer_never_says_yes_to_what_the_walk_would_change(document: dict[str, Any]) -> None:
    assert not schema_fast.accepts(POD, json.dumps(document).encode())


def test_bytes_that_are_no_base64() -> None:
    with pytest.raises(BadRequest, match="illegal base64 data at input byte 3"):
        schema_check.check(SECRET, {"kind": "Secret", "data": {"a": "abc!"}})


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"null", b"{'a': 1}", b"\xff"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="json parse error"):
        schema_check.decode(POD, raw)


@pytest.mark.parametrize("depth", [300, 900, 2000])
def test_what_is_nested_too_deeply_is_refused(depth: int) -> None:
    raw = b'{"kind":"ControllerRevision","data":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    shape = schema.definition("io.k8s.api.apps.v1.ControllerRevision")
    with pytest.raises(BadRequest):
        schema_check.decode(shape, raw)
    nested: Any = 1
    for _ in range(depth):
        nested = {"a": nested}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        schema_check.check(shape, {"kind": "ControllerRevision", "data": nested})


@pytest.mark.parametrize("number", [2**64, 10**30])
def test_a_number_that_no_one_can_hold_is_refused(number: int) -> None:
    with pytest.raises(BadRequest):
        schema_check.check(DEPLOYMENT, deployment(replicas=number))


def test_duplicates_are_named_once_with_their_path() -> None:
    raw = b'{"a": 1, "b": [{"c": {"d": 1, "d": 2, "d": 3}}], "a": 2}'
    assert duplicates(raw) == ["b[0].c.d", "a"]
    assert duplicates(b'{"a": {"b": 1}, "c": {"b": 1}}') == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
specs = st.dictionaries(
    st.sampled_from(["containers", "nodeName", "hostNetwork", "nodeSelector", "tolerations", "overhead", "wrong"]),
    json_values | st.lists(st.dictionaries(st.sampled_from(["name", "image", "args", "nope"]), json_values)),
    max_size=4,
)


@given(specs)
def test_the_fast_answer_and_the_walk_agree(spec: dict[str, Any]) -> None:
    document = pod(**spec)
    fast = schema_fast.accepts(POD, json.dumps(document).encode())
    try:
        checked, _ = schema_check.check(POD, document)
    except BadRequest:
        assert not fast
        return
    assert checked == document or not fast
    assert schema_check.check(POD, checked)[0] is checked
