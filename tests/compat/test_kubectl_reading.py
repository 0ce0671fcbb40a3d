"""`kubectl get`: every form of output, the columns that users know, selections, and watching."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from compat_driver import CONFIG, SERVICE, WEB, Kubectl, until

BIG = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
    f"- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{n:02}, labels: {{third: '{n % 3}'}}}}}}\n"
    for n in range(12)
)


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """With the application rolled out."""
    kubectl.apply("---".join((WEB, SERVICE, CONFIG)))
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")
    until(
        lambda: len(kubectl("get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].addresses}").split()) == 2
    )
    return kubectl


COLUMNS = {
    "pods": "NAME READY STATUS RESTARTS AGE | IP NODE NOMINATED NODE READINESS GATES",
    "deployments": "NAME READY UP-TO-DATE AVAILABLE AGE | CONTAINERS IMAGES SELECTOR",
    "replicasets": "NAME DESIRED CURRENT READY AGE | CONTAINERS IMAGES SELECTOR",
    "services": "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE | SELECTOR",
    "endpointslices": "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
    "endpoints": "NAME ENDPOINTS AGE",
    "configmaps": "NAME DATA AGE",
    "serviceaccounts": "NAME SECRETS AGE",
    "events": "LAST SEEN TYPE REASON OBJECT MESSAGE",
    "nodes": "NAME STATUS ROLES AGE VERSION | INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME",
    "namespaces": "NAME STATUS AGE",
    "clusterroles": "NAME CREATED AT",
    "clusterrolebindings": "NAME ROLE AGE | USERS GROUPS SERVICEACCOUNTS",
    "priorityclasses": "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
}


def test_the_columns_that_users_know(web: Kubectl) -> None:
    for resource, columns in COLUMNS.items():
        usual, _, wide = columns.partition(" | ")
        heading = " ".join(web("get", resource).splitlines()[0].split())
        assert heading == usual, resource
        if wide:
            assert " ".join(web("get", resource, "-o", "wide").splitlines()[0].split()) == f"{usual} {wide}", resource


def test_the_cells_of_a_rolled_out_application(web: Kubectl) -> None:
    pods = web.rows("get", "pods", "--no-headers", "-o", "wide")
    assert len(pods) == 2
    for name, ready, status, restarts, age, ip, node, nominated, gates in pods:
        assert re.fullmatch(r"web-[0-9a-z]{6,10}-[0-9a-z]{5}", name)
        assert (ready, status, restarts, nominated, gates) == ("1/1", "Running", "0", "<none>", "<none>")
        assert re.fullmatch(r"\d+s", age)
        assert re.fullmatch(r"[\d.]+", ip)
        assert node.startswith("node-")
    [deployment] = web.rows("get", "deploy", "web", "--no-headers", "-o", "wide")
    assert deployment[:4] + deployment[5:] == ["web", "2/2", "2", "2", "web", "nginx:1.25", "app=web"]
    [service] = web.rows("get", "svc", "web", "--no-headers", "-o", "wide")
    assert (service[1], service[3], service[4], service[6]) == ("ClusterIP", "<none>", "80/TCP", "app=web")
    [slice_] = web.rows("get", "endpointslice", "--no-headers")
    assert slice_[1:3] == ["IPv4", "80"]
    assert set(slice_[3].split(",")) == {pod[5] for pod in pods}
    nodes = web.rows("get", "nodes", "--no-headers")
    assert [row[:3] for row in nodes] == [[f"node-{n}", "Ready", "<none>"] for n in range(3)]


def test_all_is_one_table_a_kind(web: Kubectl) -> None:
    found = web("get", "all")
    kinds = [block.splitlines()[1].split("/")[0] for block in found.strip().split("\n\n")]
    assert kinds == ["pod", "service", "deployment.apps", "replicaset.apps"]
    assert web.namespace in web("get", "deploy", "-A")
    assert web("get", "cm,secrets", "-l", "no=such").strip() == ""


def test_machine_readable_forms(web: Kubectl) -> None:
    as_json = json.loads(web("get", "deploy", "web", "-o", "json"))
    assert yaml.safe_load(web("get", "deploy", "web", "-o", "yaml")) == as_json
    assert "managedFields" not in as_json["metadata"]
    assert json.loads(web("get", "deploy", "web", "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]
    assert as_json["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    items = web.read("pods")
    assert (items["kind"], items["apiVersion"]) == ("List", "v1")
    names = [item["metadata"]["name"] for item in items["items"]]
    assert web("get", "pods", "-o", "name").split() == [f"pod/{name}" for name in names]
    assert web("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split() == names
    each = '{range .items[*]}{.metadata.name}{"\\n"}{end}'
    assert web("get", "pods", "-o", f"jsonpath={each}").splitlines() == names
    template = '{{range .items}}{{.metadata.name}}{{"\\n"}}{{end}}'
    assert web("get", "pods", "-o", f"go-template={template}").splitlines() == names
    file = web.file("columns", "NAME IMAGE\n.metadata.name .spec.containers[0].image\n")
    for form in ("custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image", f"custom-columns-file={file}"):
        assert web.rows("get", "pods", "-o", form) == [["NAME", "IMAGE"], *([name, "nginx:1.25"] for name in names)]


def test_selecting(web: Kubectl) -> None:
    pods = web("get", "pods", "-o", "name").split()
    for labels in (
        "app=web",
        "app in (web,x)",
        "app",
        "!nope",
        "app!=x",
        "app notin (x)",
        "app==web,pod-template-hash",
    ):
        assert web("get", "pods", "-l", labels, "-o", "name").split() == pods, labels
    assert "No resources found" in web.warned("get", "pods", "-l", "app=other")
    node = web("get", pods[0], "-o", "jsonpath={.spec.nodeName}")
    assert pods[0] in web("get", "pods", f"--field-selector=spec.nodeName={node}", "-o", "name").split()
    assert web("get", "pods", "--field-selector=status.phase!=Running", "-o", "name") == ""
    assert web("get", "pods", "--field-selector", f"metadata.name={pods[1][4:]}", "-o", "name").split() == pods[1:]
    refused = web.refused("get", "pods", "-l", "app in (web")
    assert "unable to parse requirement" in refused
    assert "field label not supported: spec.nope" in web.refused("get", "pods", "--field-selector=spec.nope=1")


def test_labels_as_columns(web: Kubectl) -> None:
    assert web.rows("get", "deploy", "-L", "app")[0][-1] == "APP"
    assert web.rows("get", "deploy", "-L", "app")[1][-1] == "web"
    assert web.rows("get", "deploy", "--show-labels")[1][-1] == "app=web"


def test_pages_and_order(kubectl: Kubectl) -> None:
    kubectl.apply(BIG)
    names = [f"configmap/c{n:02}" for n in range(12)]
    listed = [name for name in kubectl("get", "cm", "--chunk-size=5", "-o", "name").split() if "/c" in name]
    assert listed == names
    thirds = kubectl("get", "cm", "-l", "third=1", "--chunk-size=1", "-o", "name").split()
    assert thirds == names[1::3]
    sort = ("--sort-by={.metadata.labels.third}", "-o", "jsonpath={.items[*].metadata.labels.third}")
    ordered = kubectl("get", "cm", "-l", "third", *sort).split()
    assert ordered == sorted(ordered)
    assert len(ordered) == 12
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps?limit=5"
    page = json.loads(kubectl("get", "--raw", path))
    assert len(page["items"]) == 5
    token, left = page["metadata"]["continue"], page["metadata"]["remainingItemCount"]
    kubectl("create", "configmap", "a-late-one")
    rest = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/configmaps?continue={token}"))
    assert len(rest["items"]) == left
    assert rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]


def test_what_is_not_there(kubectl: Kubectl) -> None:
    assert kubectl.refused("get", "pod", "nope") == 'Error from server (NotFound): pods "nope" not found\n'
    assert 'deployments.apps "nope" not found' in kubectl.refused("get", "deploy/nope")
    assert kubectl("get", "pod", "nope", "--ignore-not-found") == ""
    assert kubectl.refused("get", "nosuch") == 'error: the server doesn\'t have a resource type "nosuch"\n'
    assert "No resources found" in kubectl.warned("get", "pods")
    assert "No resources found in elsewhere namespace." in kubectl.warned("get", "pods", "-n", "elsewhere")


def test_watching(kubectl: Kubectl) -> None:
    command = [str(kubectl.program), "get", "cm", "-l", "seen", "--watch", "--output-watch-events", "--no-headers"]
    environment = {"HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        try:
            assert watching.stdout is not None
            kubectl.apply(CONFIG.replace("{name: conf}", '{name: w, labels: {seen: "true"}}'))
            assert watching.stdout.readline().split()[:3] == ["ADDED", "w", "2"]
            kubectl("patch", "cm", "w", "-p", '{"data": {"c": "d"}}')
            assert watching.stdout.readline().split()[:3] == ["MODIFIED", "w", "3"]
            kubectl("label", "cm", "w", "seen-")
            assert watching.stdout.readline().split()[:2] == ["DELETED", "w"]
        finally:
            watching.kill()


def test_watching_in_other_forms(one_kubectl: Kubectl) -> None:
    one_kubectl.apply(CONFIG)
    assert begun(one_kubectl, "configmap", "-o", "name") == "configmap/conf\n"
    assert yaml.safe_load(begun(one_kubectl, "  uid:", "-o", "yaml"))["data"] == {"a": "1", "b": "two"}
    assert begun(one_kubectl, "conf").splitlines()[0].split() == ["NAME", "DATA", "AGE"]


def begun(kubectl: Kubectl, last: str, *args: str) -> str:
    """What a watch of `conf` shows up to the line that begins with `last`."""
    command = [str(kubectl.program), "get", "cm", "conf", "--watch", *args]
    environment = {"HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watching:
        assert watching.stdout is not None
        found = ""
        for line in watching.stdout:
            found += line
            if line.startswith(last):
                break
        watching.kill()
    return found


def test_raw(kubectl: Kubectl) -> None:
    found = json.loads(kubectl("get", "--raw", "/api/v1/nodes?limit=1"))
    assert (found["kind"], len(found["items"])) == ("NodeList", 1)
    assert kubectl("get", "--raw", "/healthz") == "ok"
    assert "readyz check passed" in kubectl("get", "--raw", "/readyz?verbose")
    assert "the server could not find the requested resource" in kubectl.refused("get", "--raw", "/nope")
    assert kubectl("get", "--raw", "/metrics").startswith("# HELP")


def test_whoever_reads_endpoints_is_warned(kubectl: Kubectl) -> None:
    told = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert told in kubectl.warned("get", "endpoints")


def test_events(web: Kubectl) -> None:
    wanted = {"Scheduled", "ScalingReplicaSet", "SuccessfulCreate"}
    until(lambda: wanted <= {row[2] for row in web.rows("events", "--no-headers")})
    of_web = web("events", "--for", "deployment/web")
    assert re.search(r"Normal +ScalingReplicaSet +Deployment/web +Scaled up replica set web-\w+ from 0 to 2", of_web)
    assert "No events found" in web.warned("events", "--types=Warning")
    assert re.search(
        r"ScalingReplicaSet +deployment/web", web("get", "events", "--field-selector=involvedObject.name=web")
    )
