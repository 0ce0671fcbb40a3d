"""`kubectl delete` with its cascades, finalizers and graces, and waiting for what goes."""

from __future__ import annotations

import subprocess

import pytest
from compat_driver import CONFIG, SERVICE, WEB, Kubectl, until


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """With the application rolled out."""
    kubectl.apply(WEB)
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")
    return kubectl


def gone(kubectl: Kubectl, *what: str) -> bool:
    return kubectl("get", *what, "-o", "name", "--ignore-not-found") == ""


def test_background(web: Kubectl) -> None:
    assert web("delete", "deploy", "web").startswith('deployment.apps "web" deleted')
    assert gone(web, "deploy")
    until(lambda: gone(web, "rs,pods"))


def test_foreground(web: Kubectl) -> None:
    web("delete", "deploy", "web", "--cascade=foreground")
    assert gone(web, "deploy,rs,pods")


def test_foreground_waits_for_what_is_below(web: Kubectl) -> None:
    pod = web("get", "pods", "-o", "name").split()[0]
    web("patch", pod, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/wait"]}}')
    web("delete", "deploy", "web", "--cascade=foreground", "--wait=false")
    until(lambda: web("get", "pods", "-o", "name").split() == [pod])
    found = web.read("deploy", "web")["metadata"]
    assert found["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in found
    until(lambda: web.rows("get", pod, "--no-headers")[0][2] in ("Terminating", "Completed"))
    web("patch", pod, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert web("wait", "--for=delete", "deploy/web", "--timeout=100s") in ("deployment.apps/web condition met\n", "")
    assert gone(web, "deploy,rs,pods")


def test_orphan(web: Kubectl) -> None:
    web("delete", "deploy", "web", "--cascade=orphan")
    [replica_set] = until(lambda: [s for s in web.read("rs")["items"] if "ownerReferences" not in s["metadata"]])
    assert len(web("get", "pods", "-o", "name").split()) == 2
    web.apply(WEB)
    web("rollout", "status", "deploy/web", "--timeout=100s")
    [adopted] = web.read("rs")["items"]
    assert adopted["metadata"]["uid"] == replica_set["metadata"]["uid"]
    assert adopted["metadata"]["ownerReferences"][0]["name"] == "web"


def test_by_file_label_and_all(kubectl: Kubectl) -> None:
    path = kubectl.file("all.yaml", "---".join((CONFIG, SERVICE)))
    kubectl("create", "-f", path)
    told = kubectl("delete", "-f", path).splitlines()
    assert [line.split(" deleted")[0] for line in told] == ['configmap "conf"', 'service "web"']
    assert "NotFound" in kubectl.refused("delete", "-f", path)
    assert kubectl("delete", "-f", path, "--ignore-not-found") == ""
    for name in ("a", "b", "c"):
        kubectl("create", "configmap", name)
    kubectl("label", "cm", "a", "b", "x=y")
    kubectl("delete", "cm", "-l", "x=y")
    assert "configmap/c" in kubectl("get", "cm", "-o", "name").split()
    assert "configmap/a" not in kubectl("get", "cm", "-o", "name").split()
    assert "No resources found" in kubectl("delete", "cm", "-l", "x=y")


def test_finalizers_hold_what_is_deleted(kubectl: Kubectl) -> None:
    kubectl.apply(CONFIG.replace("{name: conf}", "{name: conf, finalizers: [example.com/hold]}"))
    kubectl("delete", "cm", "conf", "--wait=false")
    assert "deletionTimestamp" in kubectl.read("cm", "conf")["metadata"]
    assert "timed out" in kubectl.refused("delete", "cm", "conf", "--timeout=2s")
    command = [str(kubectl.program), "wait", "--for=delete", "cm/conf", "--timeout=100s"]
    environment = {"HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as waiting:
        kubectl("patch", "cm", "conf", "--type=json", "-p", '[{"op": "remove", "path": "/metadata/finalizers"}]')
        assert waiting.wait(100) == 0
    assert gone(kubectl, "cm", "conf")


def test_pods_go_with_and_without_grace(kubectl: Kubectl) -> None:
    for name in ("slow", "now", "forced"):
        kubectl("run", name, "--image=nginx")
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=100s")
    assert kubectl("delete", "pod", "slow").startswith('pod "slow" deleted')
    assert kubectl("delete", "pod", "now", "--now").startswith('pod "now" deleted')
    forced = kubectl.run("delete", "pod", "forced", "--force", "--grace-period=0")
    assert forced.stdout.startswith('pod "forced" force deleted')
    assert "Immediate deletion does not wait for confirmation" in forced.stderr
    assert gone(kubectl, "pods")


def test_a_namespace_with_all_that_is_in_it(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-short"
    kubectl("create", "namespace", name)
    inside = kubectl.within(name)
    until(lambda: inside.run("get", "serviceaccount", "default").returncode == 0)
    inside.apply("---".join((WEB, SERVICE, CONFIG)))
    inside("rollout", "status", "deploy/web", "--timeout=100s")
    assert kubectl("delete", "namespace", name, "--timeout=100s") == f'namespace "{name}" deleted\n'
    assert "NotFound" in kubectl.refused("get", "namespace", name)
    assert inside("get", "all,cm,secrets,serviceaccounts", "-o", "name") == ""


def test_what_cannot_be_deleted(kubectl: Kubectl) -> None:
    assert 'pods "nope" not found' in kubectl.refused("delete", "pod", "nope")
    told = kubectl.refused("delete", "namespace", "default")
    assert 'namespaces "default" is forbidden: this namespace may not be deleted' in told
    assert "kube-system" in kubectl("get", "namespaces")


def test_the_service_of_the_api_server_comes_back(one_kubectl: Kubectl) -> None:
    default = one_kubectl.within("default")
    default("delete", "service,endpointslices", "--all")
    until(lambda: default.run("get", "service,endpointslice", "kubernetes").returncode == 0)
    assert default.rows("get", "service", "kubernetes", "--no-headers")[0][1:5] == [
        "ClusterIP",
        "10.96.0.1",
        "<none>",
        "443/TCP",
    ]
