"""`kubectl apply` in all its ways, and its relatives `diff`, `create`, `replace` and `edit`."""

from __future__ import annotations

from compat_driver import CONFIG, SERVICE, WEB, Kubectl

TWO = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: "nginx:1", ports: [{containerPort: 80}]}
      - {name: b, image: busybox}
"""


def containers(kubectl: Kubectl) -> list[tuple[str, str]]:
    found = kubectl.read("deploy", "web")["spec"]["template"]["spec"]["containers"]
    return [(container["name"], container["image"]) for container in found]


def test_apply_creates_leaves_alone_and_configures(kubectl: Kubectl) -> None:
    assert kubectl.apply(TWO) == "deployment.apps/web created\n"
    generation = kubectl.read("deploy", "web")["metadata"]["generation"]
    assert kubectl.apply(TWO) == "deployment.apps/web unchanged\n"
    assert kubectl.read("deploy", "web")["metadata"]["generation"] == generation
    changed = TWO.replace("nginx:1", "nginx:2").replace("      - {name: b, image: busybox}\n", "")
    assert kubectl.apply(changed) == "deployment.apps/web configured\n"
    assert containers(kubectl) == [("a", "nginx:2")]
    assert "image: nginx:2" in kubectl("apply", "view-last-applied", "deploy/web")


def test_apply_keeps_what_others_set(kubectl: Kubectl) -> None:
    kubectl.apply(TWO)
    kubectl("label", "deploy", "web", "team=blue")
    kubectl("set", "env", "deploy/web", "-c", "a", "X=Y")
    kubectl.apply(TWO.replace("nginx:1", "nginx:3"))
    found = kubectl.read("deploy", "web")
    assert found["metadata"]["labels"] == {"app": "web", "team": "blue"}
    assert found["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "X", "value": "Y"}]


def test_several_objects_of_a_directory(kubectl: Kubectl) -> None:
    kubectl.file("app/web.yaml", WEB)
    kubectl.file("app/service.yaml", SERVICE)
    kubectl.file("app/deep/conf.yaml", CONFIG)
    where = str(kubectl.directory / "app")
    assert set(kubectl("apply", "-f", where).splitlines()) == {"deployment.apps/web created", "service/web created"}
    assert "configmap/conf created" in kubectl("apply", "-R", "-f", where)
    assert kubectl("get", "-R", "-f", where, "-o", "name").split() == [
        "configmap/conf",
        "service/web",
        "deployment.apps/web",
    ]


def test_kustomize(kubectl: Kubectl) -> None:
    kubectl.file("kust/conf.yaml", CONFIG)
    kubectl.file("kust/kustomization.yaml", "resources: [conf.yaml]\nnamePrefix: my-\n")
    assert kubectl("apply", "-k", str(kubectl.directory / "kust")) == "configmap/my-conf created\n"


def test_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    assert kubectl.apply(TWO, "--dry-run=server") == "deployment.apps/web created (server dry run)\n"
    assert "NotFound" in kubectl.refused("get", "deploy", "web")
    kubectl.apply(TWO)
    before = kubectl.read("deploy", "web")["metadata"]["generation"]
    other = TWO.replace("replicas: 2", "replicas: 7")
    assert kubectl.apply(other, "--dry-run=server") == "deployment.apps/web configured (server dry run)\n"
    shown = kubectl.apply(other, "--dry-run=server", "-o", "jsonpath={.spec.replicas}")
    assert shown == "7"
    assert kubectl("delete", "deploy", "web", "--dry-run=server").startswith('deployment.apps "web" deleted')
    found = kubectl.read("deploy", "web")
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (2, before)


def test_diff(kubectl: Kubectl) -> None:
    kubectl.apply(TWO)
    assert kubectl("diff", "-f", "-", stdin=TWO) == ""
    found = kubectl.run("diff", "-f", "-", stdin=TWO.replace("replicas: 2", "replicas: 3"))
    assert found.returncode == 1
    assert "-  replicas: 2\n+  replicas: 3\n" in found.stdout
    assert kubectl.run("diff", "-f", "-", stdin=CONFIG).returncode == 1
    assert "NotFound" in kubectl.refused("get", "cm", "conf")


def test_server_side_apply(kubectl: Kubectl) -> None:
    server_side = ("apply", "--server-side", "-f", "-")
    assert kubectl(*server_side, stdin=TWO) == "deployment.apps/web serverside-applied\n"
    assert kubectl(*server_side, stdin=TWO) == "deployment.apps/web serverside-applied\n"
    other = TWO.replace("replicas: 2", "replicas: 6")
    refused = kubectl.refused(*server_side, "--field-manager=other", stdin=other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused
    assert "--force-conflicts" in refused
    assert kubectl.read("deploy", "web")["spec"]["replicas"] == 2
    kubectl(*server_side, "--field-manager=other", "--force-conflicts", stdin=other)
    found = kubectl.read("deploy", "web", "--show-managed-fields")
    assert found["spec"]["replicas"] == 6
    owners = {
        entry["manager"]
        for entry in found["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners == {"other"}
    kubectl("scale", "deploy", "web", "--replicas=4")
    refused = kubectl.refused(*server_side, "--field-manager=other", stdin=other)
    assert ".spec.replicas" in refused
    both = kubectl.refused(*server_side, "--field-manager=third", stdin=other.replace("nginx:1", "nginx:9"))
    assert "Apply failed with 3 conflicts" in both  # the image has two owners
    assert '.spec.template.spec.containers[name="a"].image' in both


def test_fields_given_up_are_removed(kubectl: Kubectl) -> None:
    server_side = ("apply", "--server-side", "--field-manager=owner", "-f", "-")
    kubectl(*server_side, stdin=CONFIG)
    kubectl(*server_side, stdin=CONFIG.replace('a: "1", ', ""))
    assert kubectl.read("cm", "conf")["data"] == {"b": "two"}


def test_moving_to_server_side_apply(kubectl: Kubectl) -> None:
    kubectl.apply(TWO)
    five = TWO.replace("replicas: 2", "replicas: 5")
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=five)
    found = kubectl.read("deploy", "web", "--show-managed-fields")
    assert found["spec"]["replicas"] == 5
    owners = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    assert {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")} <= owners
    assert ("kubectl-client-side-apply", "Update") not in owners
    kubectl("apply", "--server-side", "-f", "-", stdin=five.replace("      - {name: b, image: busybox}\n", ""))
    assert len(containers(kubectl)) == 1


def test_prune(kubectl: Kubectl) -> None:
    labelled = CONFIG.replace("{name: conf}", "{name: conf, labels: {set: one}}")
    second = labelled.replace("conf", "other")
    prune = ("--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap")
    kubectl.apply(f"{labelled}---{second}", *prune)
    kubectl.apply(CONFIG.replace("conf", "stranger"))
    assert "configmap/other pruned" in kubectl.apply(labelled, *prune)
    left = kubectl("get", "cm", "-o", "name").split()
    assert "configmap/conf" in left
    assert "configmap/stranger" in left
    assert "configmap/other" not in left


def test_apply_sets(kubectl: Kubectl) -> None:
    second = CONFIG.replace("conf", "other")
    prune = ("apply", "-n", kubectl.namespace, "--prune", "--applyset=configmaps/set", "-f", "-")
    kubectl(*prune, stdin=f"{CONFIG}---{second}", KUBECTL_APPLYSET="true")
    assert "configmap/other pruned" in kubectl(*prune, stdin=CONFIG, KUBECTL_APPLYSET="true")
    assert "other" not in kubectl("get", "cm")


def test_last_applied(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=CONFIG)
    assert "missing the kubectl.kubernetes.io/last-applied-configuration" in kubectl.warned(
        "apply", "-f", "-", stdin=CONFIG
    )
    path = kubectl.file("conf.yaml", CONFIG.replace("two", "three"))
    assert "configmap/conf configured" in kubectl("apply", "set-last-applied", "-f", path)
    assert "b: three" in kubectl("apply", "view-last-applied", "cm/conf")
    assert kubectl.read("cm", "conf")["data"]["b"] == "two"
    edited = kubectl("apply", "edit-last-applied", "cm/conf", EDITOR=kubectl.editor("s/three/four/"))
    assert "configmap/conf edited" in edited
    assert "b: four" in kubectl("apply", "view-last-applied", "cm/conf")


def test_replace(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=CONFIG)
    before = kubectl.read("cm", "conf")["metadata"]
    other = CONFIG.replace('a: "1", ', "")
    assert kubectl("replace", "-f", "-", stdin=other) == "configmap/conf replaced\n"
    after = kubectl.read("cm", "conf")
    assert after["data"] == {"b": "two"}
    assert after["metadata"]["uid"] == before["uid"]
    stale = CONFIG.replace("{name: conf}", f"{{name: conf, resourceVersion: '{before['resourceVersion']}'}}")
    refused = kubectl.refused("replace", "-f", "-", stdin=stale)
    assert 'Operation cannot be fulfilled on configmaps "conf": the object has been modified' in refused
    path = kubectl.file("conf.yaml", CONFIG)
    assert "configmap/conf replaced" in kubectl("replace", "--force", "-f", path)
    forced = kubectl.read("cm", "conf")
    assert forced["data"] == {"a": "1", "b": "two"}
    assert forced["metadata"]["uid"] != before["uid"]
    assert "NotFound" in kubectl.refused("replace", "-f", "-", stdin=CONFIG.replace("conf", "nope"))


def test_edit(kubectl: Kubectl) -> None:
    kubectl.apply(CONFIG)
    assert kubectl("edit", "cm", "conf", EDITOR=kubectl.editor("s/two/three/")) == "configmap/conf edited\n"
    assert kubectl.read("cm", "conf")["data"]["b"] == "three"
    assert kubectl.run("edit", "cm", "conf", EDITOR="true").stderr == "Edit cancelled, no changes made.\n"
    kubectl.apply(TWO)
    wrong = kubectl.editor("s/^  replicas: 2$/  replicas: -4/")
    refused = kubectl.refused("edit", "deploy", "web", EDITOR=wrong)
    assert 'deployments.apps "web" is invalid' in refused
    assert kubectl.read("deploy", "web")["spec"]["replicas"] == 2
