"""Custom resources through the real kubectl: defined, explained, applied, shown, scaled, refused and removed.

The names of the conformance specs that a test shows stand in its docstring.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from compat_server import Cluster

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: PLURAL, singular: SINGULAR, kind: KIND, shortNames: [SHORT], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        description: A KIND runs things now and then.
        type: object
        properties:
          spec:
            description: What is wanted.
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: When to run it., pattern: '^[0-9* /]+$'}
              image: {type: string, default: busybox, enum: [busybox, nginx]}
              replicas: {type: integer, minimum: 1, default: 1}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status:
            type: object
            properties: {replicas: {type: integer}, selector: {type: string}}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    selectableFields: [{jsonPath: .spec.image}]
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.selector
"""


def crd(plural: str, kind: str, group: str, short: str) -> str:
    found = CRD.replace("PLURAL", plural).replace("SINGULAR", kind.lower())
    return found.replace("KIND", kind).replace("GROUP", group).replace("SHORT", short)


TAB = """
apiVersion: tabs.example.com/v1
kind: CronTab
metadata: {name: mine, namespace: default}
spec: {cronSpec: "* * * * */5", replicas: 2}
"""


@pytest.fixture
def tabs(cluster: Cluster) -> Iterator[Cluster]:
    cluster.kubectl("apply", "-f", "-", stdin=crd("crontabs", "CronTab", "tabs.example.com", "ct"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/crontabs.tabs.example.com", "--timeout=100s")
    yield cluster
    cluster.kubectl("delete", "crd", "crontabs.tabs.example.com", "--ignore-not-found")


def test_a_definition_is_made_listed_and_deleted(cluster: Cluster) -> None:
    """CustomResourceDefinition resources Simple CustomResourceDefinition creating/deleting custom resource definition
    objects works; ... listing custom resource definition objects works."""
    cluster.kubectl("create", "-f", "-", stdin=crd("noxus", "Noxu", "simple.example.com", "nx"))
    shown = cluster.kubectl("get", "crd").stdout
    assert shown.splitlines()[0].split() == ["NAME", "CREATED", "AT"]
    assert "noxus.simple.example.com" in shown
    cluster.kubectl("delete", "crd", "noxus.simple.example.com")
    assert "noxus" not in cluster.kubectl("get", "crd").stdout


def test_discovery_knows_the_kind(tabs: Cluster) -> None:
    """CustomResourceDefinition resources should include custom resource definition resources in discovery
    documents."""
    groups = json.loads(tabs.kubectl("get", "--raw", "/apis").stdout)["groups"]
    names = [group["name"] for group in groups]
    assert {"apiextensions.k8s.io", "tabs.example.com"} <= set(names)
    resources = json.loads(tabs.kubectl("get", "--raw", "/apis/apiextensions.k8s.io/v1").stdout)["resources"]
    assert [one["name"] for one in resources] == ["customresourcedefinitions", "customresourcedefinitions/status"]
    line = next(line for line in tabs.kubectl("api-resources").stdout.splitlines() if "tabs.example.com" in line)
    assert line.split() == ["crontabs", "ct", "tabs.example.com/v1", "true", "CronTab"]


def test_objects_are_applied_shown_scaled_and_patched(tabs: Cluster) -> None:
    tabs.kubectl("apply", "-f", "-", stdin=TAB)
    assert "unchanged" in tabs.kubectl("apply", "-f", "-", stdin=TAB).stdout
    lines = tabs.kubectl("get", "ct").stdout.splitlines()
    assert lines[0].split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
    assert lines[1].startswith("mine   * * * * */5   2")
    assert "mine" in tabs.kubectl("get", "ct", "--field-selector", "spec.image=busybox").stdout
    assert "mine" not in tabs.kubectl("get", "ct", "--field-selector", "spec.image=nginx").stdout
    assert "Cron Spec:" in tabs.kubectl("describe", "ct", "mine").stdout
    tabs.kubectl("scale", "ct", "mine", "--replicas=5")
    tabs.kubectl("patch", "ct", "mine", "--type=merge", "-p", '{"spec":{"free":{"x":1}}}')
    found = json.loads(tabs.kubectl("get", "ct", "mine", "-o", "json").stdout)
    assert found["spec"] == {"cronSpec": "* * * * */5", "image": "busybox", "replicas": 5, "free": {"x": 1}}
    assert found["metadata"]["generation"] == 3
    refused = tabs.kubectl("patch", "ct", "mine", "-p", '{"spec":{"free":null}}', check=False)
    assert "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml" in refused.stderr
    tabs.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=TAB)
    tabs.kubectl("label", "ct", "mine", "a=b")
    assert "crontab.tabs.example.com/mine" in tabs.kubectl("get", "all").stdout
    tabs.kubectl("delete", "ct", "mine")


def test_explain_and_validation_know_the_schema(tabs: Cluster) -> None:
    """CustomResourcePublishOpenAPI works for CRD with validation schema."""
    told = tabs.kubectl("explain", "crontabs.spec").stdout
    assert "When to run it." in told
    assert "-required-" in told
    assert "A CronTab runs things now and then." in tabs.kubectl("explain", "ct").stdout
    assert "cronSpec" in tabs.kubectl("explain", "ct", "--recursive").stdout
    refused = tabs.kubectl("create", "-f", "-", stdin=TAB.replace("replicas: 2", "replica: 2"), check=False)
    assert 'strict decoding error: unknown field "spec.replica"' in refused.stderr
    refused = tabs.kubectl("create", "-f", "-", stdin=TAB.replace("replicas: 2", "replicas: 0, image: x"), check=False)
    assert 'The CronTab "mine" is invalid:' in refused.stderr
    assert '* spec.image: Unsupported value: "x": supported values: "busybox", "nginx"' in refused.stderr
    assert "spec.replicas in body should be greater than or equal to 1" in refused.stderr


def test_the_older_kubectl_works_too(tabs: Cluster, older: Cluster) -> None:
    older.kubectl("apply", "-f", "-", stdin=TAB)
    assert "mine" in older.kubectl("get", "crontabs").stdout
    assert "When to run it." in older.kubectl("explain", "crontabs.spec.cronSpec").stdout


def openapi(cluster: Cluster) -> dict[str, object]:
    found: dict[str, object] = json.loads(cluster.kubectl("get", "--raw", "/openapi/v2").stdout)["definitions"]
    return found


def test_openapi_follows_the_definitions(cluster: Cluster) -> None:
    """CustomResourcePublishOpenAPI works for multiple CRDs of different groups; ... of same group and version but
    different kinds; ... of same group but different versions; removes definition from spec when one version gets
    changed to not be served; updates the published spec when one version gets renamed."""
    for plural, kind, group in (
        ("ones", "One", "a.example.com"),
        ("twos", "Two", "a.example.com"),
        ("ones", "One", "b.example.com"),
    ):
        cluster.kubectl("create", "-f", "-", stdin=crd(plural, kind, group, f"{plural}x"))
    names = openapi(cluster)
    assert {"com.example.a.v1.One", "com.example.a.v1.Two", "com.example.b.v1.One"} <= names.keys()
    body = json.loads(cluster.kubectl("get", "crd", "ones.a.example.com", "-o", "json").stdout)
    (first,) = body["spec"]["versions"]
    body["spec"]["versions"] = [first, {**first, "name": "v2", "storage": False}]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(body))
    assert {"com.example.a.v1.One", "com.example.a.v2.One"} <= openapi(cluster).keys()
    body["metadata"].pop("resourceVersion")
    body["spec"]["versions"][1]["served"] = False
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(body))
    assert "com.example.a.v2.One" not in openapi(cluster)
    body["spec"]["versions"][1] |= {"served": True, "name": "v3"}
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(body))
    assert "com.example.a.v3.One" in openapi(cluster)
    cluster.kubectl("delete", "crd", "ones.a.example.com", "twos.a.example.com", "ones.b.example.com")
    assert not [name for name in openapi(cluster) if name.startswith("com.example.a.")]


@pytest.mark.parametrize(
    ("plural", "schema", "told"),
    [
        ("roots", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "DESCRIPTION"),
        (
            "embeds",
            {
                "type": "object",
                "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            },
            "spec",
        ),
        ("nones", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "DESCRIPTION"),
    ],
)
def test_fields_that_no_schema_names_are_let_through(
    cluster: Cluster, plural: str, schema: dict[str, object], told: str
) -> None:
    """CustomResourcePublishOpenAPI works for CRD preserving unknown fields at the schema root; ... in an embedded
    object; ... works for CRD without validation schema."""
    kind = plural[:-1].capitalize()
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.free.example.com"},
        "spec": {
            "group": "free.example.com",
            "scope": "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{plural}.free.example.com", "--timeout=100s")
    one = {
        "apiVersion": "free.example.com/v1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {"x": {"y": [1, None]}},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(one))
    found = json.loads(cluster.kubectl("get", plural, "a", "-o", "json").stdout)
    assert found["spec"] == one["spec"]
    assert told in cluster.kubectl("explain", plural).stdout
    cluster.kubectl("delete", "crd", f"{plural}.free.example.com")


def test_deleting_the_definition_deletes_the_objects(cluster: Cluster) -> None:
    cluster.kubectl("create", "-f", "-", stdin=crd("goners", "Goner", "gone.example.com", "gn"))
    cluster.kubectl("wait", "--for=condition=Established", "crd/goners.gone.example.com", "--timeout=100s")
    one = TAB.replace("tabs.example.com", "gone.example.com").replace("CronTab", "Goner")
    cluster.kubectl("create", "-f", "-", stdin=one)
    cluster.kubectl("delete", "crd", "goners.gone.example.com", "--timeout=100s")
    refused = cluster.kubectl("get", "goners", check=False)
    assert "the server could not find the requested resource" in refused.stderr  # kubectl remembers what there was
    assert "goners" not in cluster.kubectl("api-resources").stdout


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("type: string, jsonPath", "type: text, jsonPath", "spec.additionalPrinterColumns[0].type: Invalid value"),
        ("storage: true", "storage: false", "must have exactly one version marked as storage version"),
        ("{name: bads.bad.example.com}", "{name: bads.other.example.com}", 'must be spec.names.plural+"."+spec.group'),
        ("{type: integer, minimum: 1, default: 1}", "{type: integer, default: x}", "must be of type integer"),
        ("replicas: {type: integer, minimum", "replicas: {minimum", "must not be empty for specified object fields"),
        ("pattern: '^[0-9* /]+$'", "pattern: '(?=a)'", "must be a valid regular expression"),
        ("scope: Namespaced", "scope: Everywhere", 'supported values: "Cluster", "Namespaced"'),
        ("specReplicasPath: .spec.replicas", "specReplicasPath: .status.x", "should be a json path under .spec"),
    ],
)
def test_bad_definitions_are_refused(cluster: Cluster, old: str, new: str, told: str) -> None:
    text = crd("bads", "Bad", "bad.example.com", "bd")
    assert old in text
    refused = cluster.kubectl("create", "-f", "-", stdin=text.replace(old, new, 1), check=False)
    assert refused.returncode != 0
    assert told in refused.stderr
    assert "bads" not in cluster.kubectl("get", "crd").stdout
