"""What a container finds around it: variables, volumes of all kinds, an identity that works."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from real_cluster import PYTHON, Kubectl, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node


def object_of(kind: str, name: str, **content: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


@pytest.fixture(scope="module", autouse=True)
def sources(kubectl: Kubectl) -> None:
    kubectl.apply(
        object_of("ConfigMap", "config", data={"COLOR": "blue", "file.txt": "from a map\n"}),
        object_of("Secret", "secret", data={"WORD": base64.b64encode(b"sesame").decode()}),
    )


def test_variables_come_from_everywhere(kubectl: Kubectl) -> None:
    env = [
        {"name": "PLAIN", "value": "text"},
        {"name": "JOINED", "value": "$(PLAIN)-$(NOTHING)-$$(PLAIN)"},
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "COLOR"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "WORD"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "NO", "optional": True}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    origins = [{"configMapRef": {"name": "config"}}, {"prefix": "S_", "secretRef": {"name": "secret"}}]
    limits = {"limits": {"memory": "64Mi"}}
    kubectl.apply(pod("env", "exec sleep 1000", env=env, envFrom=origins, resources=limits))
    kubectl.ready("env")
    found = dict(line.split("=", 1) for line in kubectl("exec", "env", "--", "env").splitlines() if "=" in line)
    state = kubectl.get("pod", "env")["status"]
    assert (found["PLAIN"], found["JOINED"]) == ("text", "text-$(NOTHING)-$(PLAIN)")
    assert (found["FROM_MAP"], found["FROM_SECRET"], found["COLOR"]) == ("blue", "sesame", "blue")
    assert (found["S_WORD"], found["NAME"], found["LABEL"], found["MEMORY"]) == ("sesame", "env", "env", "64")
    assert (found["POD_IP"], found["NODE_IP"]) == (state["podIP"], state["hostIP"])
    assert "ABSENT" not in found
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert kubectl("exec", "env", "--", "cat", "/proc/sys/kernel/hostname") == "env\n"


def test_a_missing_source_is_said_and_waited_for(kubectl: Kubectl) -> None:
    env = [{"name": "LATER", "valueFrom": {"secretKeyRef": {"name": "later", "key": "word"}}}]
    kubectl.apply(pod("patient", "exec sleep 1000", env=env))
    until(
        "an error",
        lambda: (
            kubectl.status("patient").get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError"
        ),
    )
    assert 'secret "later" not found' in kubectl.status("patient")["state"]["waiting"]["message"]
    kubectl("create", "secret", "generic", "later", "--from-literal=word=now")
    kubectl.ready("patient")


@spec("[sig-auth] ServiceAccounts should mount projected service account token")
def test_volumes_of_all_kinds_hold_what_they_should(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("of the host\n")
    volumes = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}},
        {
            "name": "map",
            "configMap": {"name": "config", "items": [{"key": "file.txt", "path": "sub/text", "mode": 0o440}]},
        },
        {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o400}},
        {"name": "about", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
        {
            "name": "mixed",
            "projected": {
                "sources": [
                    {"configMap": {"name": "config", "items": [{"key": "COLOR", "path": "color"}]}},
                    {"secret": {"name": "secret", "items": [{"key": "WORD", "path": "word"}]}},
                    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    {"serviceAccountToken": {"path": "token", "audience": "elsewhere", "expirationSeconds": 3600}},
                ]
            },
        },
    ]
    mounts = [{"name": v["name"], "mountPath": f"/v/{v['name']}", "readOnly": v["name"] == "map"} for v in volumes]
    mounts.append({"name": "map", "mountPath": "/etc/one.txt", "subPath": "sub/text"})
    kubectl.apply(pod("volumes", "exec sleep 1000", volumeMounts=mounts, volumes=volumes))
    kubectl.ready("volumes")

    def inside(script: str) -> str:
        return kubectl("exec", "volumes", "--", "sh", "-c", script)

    assert inside("echo kept >/v/scratch/file; cat /v/scratch/file") == "kept\n"
    assert "tmpfs" in inside("df /v/memory")
    assert inside("cat /v/map/sub/text /etc/one.txt") == "from a map\n" * 2
    assert inside("stat -L -c %a /v/map/sub/text /v/secret/WORD") == "440\n400\n"
    assert inside("cat /v/secret/WORD") == "sesame"
    assert 'app="volumes"' in inside("cat /v/about/labels")
    assert inside("cat /v/host/note; echo written >/v/host/back") == "of the host\n"
    assert (tmp_path / "back").read_text() == "written\n"
    assert inside("cat /v/mixed/color /v/mixed/word /v/mixed/name") == "bluesesamevolumes"
    claims = json.loads(base64.urlsafe_b64decode(inside("cat /v/mixed/token").split(".")[1] + "=="))
    assert claims["aud"] == ["elsewhere"]
    assert claims["kubernetes.io"]["pod"]["name"] == "volumes"
    assert "Read-only file system" in kubectl.fails("exec", "volumes", "--", "touch", "/v/map/new")


def test_mounted_objects_follow_their_changes(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "changing", "--from-literal=key=before")
    kubectl("create", "secret", "generic", "changing", "--from-literal=key=before")
    volumes = [
        {"name": "map", "configMap": {"name": "changing"}},
        {"name": "secret", "secret": {"secretName": "changing"}},
        {"name": "late", "configMap": {"name": "to-come", "optional": True}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    kubectl.apply(pod("follower", "exec sleep 1000", volumes=volumes, volumeMounts=mounts))
    kubectl.ready("follower")
    kubectl("patch", "configmap", "changing", "-p", '{"data": {"key": "after", "more": "x"}}')
    kubectl("patch", "secret", "changing", "-p", '{"stringData": {"key": "after"}}')
    kubectl("create", "configmap", "to-come", "--from-literal=key=here")

    def seen() -> bool:
        script = "cat /map/key /map/more /secret/key /late/key"
        return kubectl.run("exec", "follower", "--", "sh", "-c", script).stdout == "afterxafterhere"

    until("the new content", seen, 100)


def test_a_volume_that_cannot_be_mounted_is_said(kubectl: Kubectl) -> None:
    volumes = [
        {"name": "map", "configMap": {"name": "nowhere"}},
        {"name": "host", "hostPath": {"path": "/proc/version", "type": "Directory"}},
    ]
    for number, volume in enumerate(volumes):
        mounts = [{"name": volume["name"], "mountPath": "/v"}]
        kubectl.apply(pod(f"mountless-{number}", "true", volumes=[volume], volumeMounts=mounts))
    until(
        "an event",
        lambda: any(
            r == "FailedMount" and 'configmap "nowhere" not found' in t for r, t in kubectl.events("mountless-0")
        ),
    )
    until(
        "an event",
        lambda: any(r == "FailedMount" and "is not a directory" in t for r, t in kubectl.events("mountless-1")),
    )
    assert "ContainerCreating" in kubectl("get", "pod", "mountless-0")


ASK = """
import json, ssl, sys, urllib.request, urllib.error
here = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=here + "ca.crt")
def ask(path, token=open(here + "token").read()):
    request = urllib.request.Request("https://kubernetes.default.svc" + path)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        return urllib.request.urlopen(request, context=context, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code
space = open(here + "namespace").read()
pods = f"/api/v1/namespaces/{space}/pods"
print(json.dumps([ask("/version"), ask(pods), ask(pods, ""), ask(pods, "nonsense")]))
"""


def test_a_pod_speaks_to_the_api_as_its_service_account(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    kubectl.apply(
        pod("guest", ["sleep", "1000"], image=PYTHON),
        pod("reader", ["sleep", "1000"], image=PYTHON, serviceAccountName="reader"),
        pod("nobody", ["sleep", "1000"], image=PYTHON, automountServiceAccountToken=False),
    )
    kubectl.ready("guest", "reader", "nobody")

    def answers(name: str) -> list[int]:
        found: list[int] = json.loads(kubectl("exec", name, "--", "python3.11", "-c", ASK))
        return found

    assert answers("guest") == [200, 403, 401, 401]
    assert answers("reader") == [200, 403, 401, 401]
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    until("the right", lambda: answers("reader")[1] == 200)
    assert answers("guest")[1] == 403
    kubectl.fails("exec", "nobody", "--", "ls", "/var/run/secrets/kubernetes.io")


def test_users_and_rights_are_as_asked_for(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "limited",
            "exec sleep 1000",
            securityContext={
                "runAsUser": 1000,
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        ),
        pod("rooted", "true", securityContext={"runAsNonRoot": True}),
    )
    kubectl.ready("limited")
    assert kubectl("exec", "limited", "--", "id", "-u") == "1000\n"
    assert "Read-only file system" in kubectl.fails("exec", "limited", "--", "touch", "/tmp/x")
    assert "CapEff:\t0000000000000000" in kubectl("exec", "limited", "--", "cat", "/proc/self/status")
    until(
        "a refusal",
        lambda: (
            "container has runAsNonRoot and image will run as root"
            in kubectl.status("rooted").get("state", {}).get("waiting", {}).get("message", "")
        ),
    )
