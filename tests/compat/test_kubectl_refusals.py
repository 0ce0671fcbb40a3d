"""Bad input: a clear error, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from compat_driver import CONFIG, SERVICE, WEB, Kubectl

LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
DECODING = 'Deployment in version "v1" cannot be handled as a Deployment'


@pytest.fixture
def empty(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that has to be empty in the end, too."""
    kept = ("get", "deploy,svc,cm,secrets,pods,sa", "-o", "name")
    before = kubectl(*kept)
    yield kubectl
    assert kubectl(*kept) == before


@pytest.fixture
def web(kubectl: Kubectl) -> Iterator[Kubectl]:
    """With objects whose specs must stay as they are."""
    kubectl.apply("---".join((WEB, SERVICE, CONFIG)))
    kept = ("get", "deploy/web", "svc/web", "cm/conf", "-o", "jsonpath={.items[*]['spec', 'data', 'metadata.labels']}")
    before = kubectl(*kept)
    yield kubectl
    assert kubectl(*kept) == before


def both(kubectl: Kubectl, text: str) -> Iterator[str]:
    """What is said when it is created, and when it is applied in both ways."""
    yield kubectl.refused("create", "-f", "-", stdin=text)
    yield kubectl.refused("apply", "-f", "-", stdin=text)
    yield kubectl.refused("apply", "--server-side", "-f", "-", stdin=text)


def test_malformed_files(empty: Kubectl) -> None:
    yaml = empty.file("bad.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n")
    assert f"error: error parsing {yaml}: error converting YAML to JSON: yaml: line" in empty.refused(
        "create", "-f", yaml
    )
    json = empty.file("bad.json", '{"kind": "ConfigMap", ')
    assert f"error parsing {json}: unexpected EOF" in empty.refused("apply", "-f", json)
    assert "the path" in empty.refused("apply", "-f", str(empty.directory / "none.yaml"))


def test_malformed_bodies(one_kubectl: Kubectl) -> None:
    path = f"/api/v1/namespaces/{one_kubectl.namespace}/configmaps"
    for body in ('{"kind": "ConfigMap", ', "nonsense", "[]", '"text"', '{"a": 1} {"b": 2}'):
        refused = one_kubectl.refused("create", "--raw", path, "-f", one_kubectl.file("body", body))
        assert "Error from server (BadRequest)" in refused, body


def test_what_kind_it_is_must_be_said(empty: Kubectl) -> None:
    for said in both(empty, "kind: ConfigMap\nmetadata: {name: x}\n"):
        assert "apiVersion not set" in said
    for said in both(empty, "apiVersion: v1\nmetadata: {name: x}\n"):
        assert "kind not set" in said or "Object 'Kind' is missing" in said
    for said in both(empty, "apiVersion: v1\nkind: Confmap\nmetadata: {name: x}\n"):
        assert 'no matches for kind "Confmap" in version "v1"' in said
        assert "ensure CRDs are installed first" in said
    for said in both(empty, "apiVersion: apps/v9\nkind: Deployment\nmetadata: {name: x}\n"):
        assert 'no matches for kind "Deployment" in version "apps/v9"' in said


def test_unknown_fields(kubectl: Kubectl) -> None:
    wrong = WEB.replace("replicas: 2", "replica: 2").replace("image: nginx", "imag: nginx")
    wrong = wrong.replace("{name: web, labels", "{name: web, lables: {a: b}, labels")
    fields = ("metadata.lables", "spec.replica", "spec.template.spec.containers[0].imag")
    for said in both(kubectl, wrong):
        assert f"{DECODING}: strict decoding error: " in said
        assert all(f'unknown field "{field}"' in said for field in fields)
    assert kubectl("get", "deploy", "-o", "name") == ""
    tolerable = WEB.replace("replicas: 2", "replica: 2")
    warned = kubectl.warned("create", "--validate=warn", "-f", "-", stdin=tolerable)
    assert warned == 'Warning: unknown field "spec.replica"; did you mean "replicas"?\n'
    found = kubectl.read("deploy", "web")["spec"]
    assert (found["replicas"], "replica" in found) == (1, False)
    kubectl("delete", "deploy", "web")
    assert kubectl.warned("create", "--validate=ignore", "-f", "-", stdin=tolerable) == ""
    assert "replica" not in kubectl.read("deploy", "web")["spec"]
    patched = kubectl.run("patch", "deploy", "web", "-p", '{"spec": {"repliicas": 3}}')
    assert (patched.returncode, patched.stderr) == (
        0,
        'Warning: unknown field "spec.repliicas"; did you mean "replicas"?\n',
    )


def test_wrong_types(empty: Kubectl) -> None:
    for old, new, said_of_it in (
        ("replicas: 2", "replicas: two", "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("replicas: 2", "replicas: 2.5", "number 2.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("containerPort: 80", "containerPort: '80'", "containerPort of type int32"),
        ("{app: web}}\n    spec", "[app]}\n    spec", "labels of type map[string]string"),
        ("image: nginx:1.25", "image: 7", "image of type string"),
    ):
        for said in both(empty, WEB.replace(old, new)):
            assert f"{DECODING}: json: cannot unmarshal" in said, said
            assert said_of_it in said
    for said in both(empty, CONFIG.replace('a: "1"', "a: 1")):
        assert "cannot unmarshal number into Go struct field ConfigMap.data of type string" in said
    for said in both(empty, WEB.replace("cpu: 10m", "cpu: lots")):
        assert "quantities must match the regular expression" in said


def test_wrong_values_are_all_told_at_once(empty: Kubectl) -> None:
    wrong = WEB.replace("replicas: 2", "replicas: -1").replace(
        "labels: {app: web}}\n    spec", "labels: {app: x}}\n    spec"
    )
    wrong = wrong.replace("- name: web", "- name: Web_").replace("containerPort: 80", "containerPort: 99999")
    wrong = wrong.replace("image: nginx:1.25", "imagePullPolicy: Sometimes").replace(
        "{name: web, labels", "{name: We_b, labels"
    )
    for said in both(empty, wrong):
        assert 'The Deployment "We_b" is invalid' in said
        assert f'* metadata.name: Invalid value: "We_b": {SUBDOMAIN}' in said
        assert "* spec.replicas: Invalid value: -1: must be greater than or equal to 0" in said
        assert "`selector` does not match template `labels`" in said
        assert f'* spec.template.spec.containers[0].name: Invalid value: "Web_": {LABEL}' in said
        assert "* spec.template.spec.containers[0].image: Required value" in said
        assert (
            'imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"'
            in said
        )
        assert "ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive" in said


def test_names(empty: Kubectl) -> None:
    assert f'The Namespace "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": {LABEL}' in empty.refused(
        "create", "namespace", "Bad_Name"
    )
    assert f'metadata.name: Invalid value: "a b": {SUBDOMAIN}' in empty.refused("create", "serviceaccount", "a b")
    long = "a" * 254
    assert "must be no more than 253" in empty.refused("create", "configmap", long)
    assert "must be no more than 63" in empty.refused("create", "service", "clusterip", "a" * 64, "--tcp=80")
    assert "metadata.name: Required value: name or generateName is required" in empty.refused(
        "create", "-f", "-", stdin=CONFIG.replace("{name: conf}", "{}")
    )
    assert "name part must consist of alphanumeric characters" in empty.refused(
        "create", "-f", "-", stdin=CONFIG.replace("{name: conf}", "{name: conf, labels: {'a b': c}}")
    )
    assert 'namespaces "elsewhere" not found' in empty.refused("create", "configmap", "x", "-n", "elsewhere")


def test_immutable_fields(web: Kubectl) -> None:
    def refused(what: str, patch: str) -> str:
        return web.refused("patch", *what.split("/"), "-p", patch)

    said = refused("deploy/web", '{"spec": {"selector": {"matchLabels": {"app": "x"}}}}')
    assert 'spec.selector: Invalid value: {"matchLabels":{"app":"x"}}: field is immutable' in said
    assert "spec.clusterIPs[0]" in refused("svc/web", '{"spec": {"clusterIP": "10.96.9.9"}}')
    assert "may not change once set" in refused("svc/web", '{"spec": {"clusterIP": "10.96.9.9"}}')
    assert "does not match the name on the URL" in refused("cm/conf", '{"metadata": {"name": "other"}}')
    assert "Precondition failed: UID in precondition: other" in refused("cm/conf", '{"metadata": {"uid": "other"}}')
    web("create", "configmap", "fixed", "--from-literal=a=b")
    web("patch", "cm", "fixed", "-p", '{"immutable": true}')
    assert "data: Forbidden: field is immutable when `immutable` is set" in refused("cm/fixed", '{"data": {"a": "c"}}')
    assert "immutable: Forbidden" in refused("cm/fixed", '{"immutable": false}')
    pod = web("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    said = refused(f"pod/{pod}", '{"spec": {"nodeName": "elsewhere"}}')
    assert "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`" in said
    web("create", "rolebinding", "rb", "--clusterrole=view", "--user=x")
    said = refused("rolebinding/rb", '{"roleRef": {"name": "edit"}}')
    assert "roleRef: Invalid value:" in said
    assert "cannot change roleRef" in said
    assert web("get", "rolebinding", "rb", "-o", "jsonpath={.roleRef.name}") == "view"
    assert web("get", "cm", "fixed", "-o", "jsonpath={.data.a}") == "b"


def test_bad_patches(web: Kubectl) -> None:
    assert "The request is invalid: patch: Invalid value" in web.refused(
        "patch", "deploy", "web", "-p", '{"spec": {"replicas": "x"}}'
    )
    assert "spec.replicas" in web.refused("patch", "deploy", "web", "-p", '{"spec": {"replicas": "x"}}')
    assert "spec.replicas" in web.refused("patch", "deploy", "web", "-p", '{"spec": {"replicas": -1}}')
    assert web.run("patch", "deploy", "web", "-p", "{bad").returncode == 1
    assert "nope" in web.refused(
        "patch", "deploy", "web", "--type=json", "-p", '[{"op": "replace", "path": "/spec/nope/x", "value": 1}]'
    )
    assert web.run("patch", "deploy", "web", "--type=json", "-p", '[{"op": "fly", "path": "/spec"}]').returncode == 1
    assert web.run("patch", "deploy", "web", "--type=json", "-p", '{"op": "add"}').returncode == 1
    assert 'deployments.apps "nope" not found' in web.refused("patch", "deploy", "nope", "-p", "{}")


def test_too_much(empty: Kubectl) -> None:
    huge = CONFIG.replace("two", "x" * (3 << 20))
    for said in (empty.refused("create", "-f", "-", stdin=huge), empty.refused("apply", "-f", "-", stdin=huge)):
        assert "Error from server (RequestEntityTooLarge)" in said
        assert "Request entity too large: limit is 3145728" in said
    big = CONFIG.replace("two", "x" * (1 << 20))
    assert empty.refused("create", "-f", "-", stdin=big) == (
        'The ConfigMap "conf" is invalid: []: Too long: may not be more than 1048576 bytes\n'
    )
    assert "metadata.annotations: Too long: may not be more than 262144 bytes" in empty.refused(
        "apply", "-f", "-", stdin=big
    )


def test_stale_writes(web: Kubectl) -> None:
    document = web("get", "svc", "web", "-o", "yaml")
    web("label", "svc", "web", "x=y")
    refused = web.refused("replace", "-f", "-", stdin=document)
    assert "Error from server (Conflict)" in refused
    assert 'Operation cannot be fulfilled on services "web": the object has been modified' in refused
    other = document.replace("uid: ", "uid: 0").replace("resourceVersion: ", "unknown: ")
    assert web.refused("replace", "--validate=false", "-f", "-", stdin=other)
    web("label", "svc", "web", "x-")


def test_services(empty: Kubectl) -> None:
    for old, new, said in (
        ("port: 80", "port: 0", "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ("port: 80", "port: 80, protocol: IP", 'spec.ports[0].protocol: Unsupported value: "IP"'),
        ("selector:", "type: Some\n  selector:", 'spec.type: Unsupported value: "Some"'),
        ("selector:", "clusterIP: 192.0.2.1\n  selector:", "the provided IP (192.0.2.1) is not in the valid range"),
    ):
        assert said in empty.refused("create", "-f", "-", stdin=SERVICE.replace(old, new)), said
    assert "spec.ports: Required value" in empty.refused(
        "create", "-f", "-", stdin="apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {selector: {a: b}}\n"
    )
