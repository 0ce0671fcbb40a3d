"""`label`, `annotate`, `patch`, `set`, `scale`: small changes to what is there."""

from __future__ import annotations

import json

import pytest
from compat_driver import CONFIG, SERVICE, WEB, Kubectl, until


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    kubectl.apply("---".join((WEB, SERVICE, CONFIG)))
    return kubectl


def test_label(web: Kubectl) -> None:
    assert web("label", "deploy", "web", "tier=front") == "deployment.apps/web labeled\n"
    assert "'tier' already has a value (front), and --overwrite is false" in web.refused(
        "label", "deploy/web", "tier=x"
    )
    web("label", "deploy", "web", "tier=back", "--overwrite")
    assert web.read("deploy", "web")["metadata"]["labels"] == {"app": "web", "tier": "back"}
    assert web("label", "deploy", "web", "tier-") == "deployment.apps/web unlabeled\n"
    assert "labeled" in web("label", "cm,svc", "--all", "x=y")
    labelled = web("get", "cm,svc", "-l", "x=y", "-o", "name").split()
    assert {"configmap/conf", "service/web"} <= set(labelled)
    assert "tier=back" not in web("label", "deploy", "web", "--list")


def test_annotate(web: Kubectl) -> None:
    assert web("annotate", "cm", "conf", "note=some words") == "configmap/conf annotated\n"
    assert web.read("cm", "conf")["metadata"]["annotations"]["note"] == "some words"
    assert "--overwrite is false" in web.refused("annotate", "cm", "conf", "note=other")
    web("annotate", "cm", "conf", "note-")
    assert "note" not in web.read("cm", "conf")["metadata"]["annotations"]


def test_strategic_patch(web: Kubectl) -> None:
    added = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "busybox"}]}}}}
    assert web("patch", "deploy", "web", "-p", json.dumps(added)) == "deployment.apps/web patched\n"
    found = web.read("deploy", "web")["spec"]["template"]["spec"]["containers"]
    assert {container["name"] for container in found} == {"web", "side"}
    removed = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    web("patch", "deploy", "web", "-p", json.dumps(removed))
    found = web.read("deploy", "web")["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in found] == ["web"]
    assert found[0]["resources"]["limits"] == {"memory": "64Mi"}


def test_merge_patch(web: Kubectl) -> None:
    patch = '{"data": {"a": null, "c": "3"}}'
    assert web("patch", "cm", "conf", "--type=merge", "-p", patch) == "configmap/conf patched\n"
    assert web("patch", "cm", "conf", "--type=merge", "-p", patch) == "configmap/conf patched (no change)\n"
    assert web.read("cm", "conf")["data"] == {"b": "two", "c": "3"}
    file = web.file("patch.yaml", "data: {c: '4'}")
    web("patch", "cm", "conf", "--type=merge", "--patch-file", file)
    assert web.read("cm", "conf")["data"]["c"] == "4"


def test_json_patch(web: Kubectl) -> None:
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "move", "from": "/data/b", "path": "/data/d"},
        {"op": "remove", "path": "/data/a"},
    ]
    assert web("patch", "cm", "conf", "--type=json", "-p", json.dumps(steps)) == "configmap/conf patched\n"
    assert web.read("cm", "conf")["data"] == {"c": "3", "d": "two"}
    failing = '[{"op": "add", "path": "/data/e", "value": "5"}, {"op": "test", "path": "/data/c", "value": "9"}]'
    assert "testing value /data/c failed" in web.refused("patch", "cm", "conf", "--type=json", "-p", failing)
    missing = '[{"op": "replace", "path": "/data/none", "value": "x"}]'
    assert "missing" in web.refused("patch", "cm", "conf", "--type=json", "-p", missing)
    assert web.read("cm", "conf")["data"] == {"c": "3", "d": "two"}


def test_patching_subresources(web: Kubectl) -> None:
    scaled = web("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec": {"replicas": 4}}')
    assert scaled == "scale.autoscaling/web patched\n"
    assert web.read("deploy", "web")["spec"]["replicas"] == 4
    table = web.rows("get", "deploy", "web", "--subresource=scale")
    assert table[0] == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert table[1][:2] == ["web", "4"]
    assert web.read("deploy", "web", "--subresource=status")["kind"] == "Deployment"
    condition = {"type": "Own", "status": "True", "reason": "Test", "message": ""}
    patch = json.dumps({"status": {"conditions": [condition]}, "spec": {"replicas": 9}})
    web("patch", "deploy", "web", "--subresource=status", "-p", patch)
    assert web.read("deploy", "web")["spec"]["replicas"] == 4


def test_scale(web: Kubectl) -> None:
    assert web("scale", "deploy/web", "--replicas=5") == "deployment.apps/web scaled\n"
    until(lambda: web("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}") == "5")
    assert "Expected replicas to be 3, was 5" in web.refused(
        "scale", "deploy/web", "--current-replicas=3", "--replicas=1"
    )
    assert web.read("deploy", "web")["spec"]["replicas"] == 5
    web("scale", "deploy/web", "--current-replicas=5", "--replicas=0")
    until(lambda: web("get", "pods", "-o", "name") == "")
    assert web.rows("get", "deploy", "web", "--no-headers")[0][:4] == ["web", "0/0", "0", "0"]
    assert 'deployments.apps "nope" not found' in web.refused("scale", "deploy/nope", "--replicas=1")


def test_set(web: Kubectl) -> None:
    assert web("set", "image", "deploy/web", "web=nginx:9") == "deployment.apps/web image updated\n"
    assert "unable to find container named" in web.refused("set", "image", "deploy/web", "nope=nginx:9")
    web("set", "env", "deploy/web", "A=B", "C-")
    web("set", "env", "deploy/web", "--from=configmap/conf", "--prefix=CONF_")
    web("set", "resources", "deploy/web", "--limits=cpu=1", "--requests=cpu=20m")
    web("create", "serviceaccount", "robot")
    web("set", "serviceaccount", "deploy/web", "robot")
    web("set", "selector", "svc", "web", "app=web,tier=front")
    spec = web.read("deploy", "web")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["image"] == "nginx:9"
    assert {entry["name"] for entry in container["env"]} == {"A", "CONF_A", "CONF_B"}
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}
    assert spec["serviceAccountName"] == "robot"
    assert web.read("svc", "web")["spec"]["selector"] == {"app": "web", "tier": "front"}
    assert "A=B" in web("set", "env", "deploy/web", "--list")
