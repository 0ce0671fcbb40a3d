"""Which requests are recorded, and how much of them: a pure plan by rules from a file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from navarch.apiserver.audit.policy import BadPolicy, Level, Plan, Policy, parse
from navarch.apiserver.call import ANONYMOUS, Call, User
from navarch.wire.message import Request

JANE = User("jane", groups=("devs", "system:authenticated"))


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}
    return parse(yaml.safe_dump(document).encode())


def call(verb: str = "get", resource: str = "pods", subresource: str = "", **more: str) -> Call:
    path = "/somewhere"
    request = Request("GET", path, path, {})
    return Call(request, JANE, verb, path, resource=resource, subresource=subresource, is_resource=True, **more)


def page(path: str, verb: str = "get") -> Call:
    return Call(Request("GET", path, path, {}), JANE, verb, path)


def level(found: Policy, asked: Call, user: User | None = JANE) -> str:
    return found.plan(asked, user).level.text


def test_the_first_rule_that_matches_decides() -> None:
    found = policy(
        {"level": "None", "users": ["system:kube-proxy"], "verbs": ["watch"]},
        {"level": "RequestResponse", "resources": [{"resources": ["pods"]}]},
        {"level": "Metadata"},
    )
    assert level(found, call("watch"), User("system:kube-proxy")) == "None"
    assert level(found, call("watch")) == "RequestResponse"
    assert level(found, call(resource="secrets")) == "Metadata"
    assert level(found, page("/version")) == "Metadata"


def test_what_no_rule_matches_is_not_recorded() -> None:
    found = policy({"level": "Metadata", "verbs": ["create"]}, omitStages=["RequestReceived"])
    assert found.plan(call("get"), JANE) == Plan(Level.NONE, frozenset(("RequestReceived",)))


@pytest.mark.parametrize(
    ("resources", "subresource", "matches"),
    [
        (["pods"], "", True),
        (["pods"], "log", False),
        (["pods/log"], "log", True),
        (["pods/*"], "log", True),
        (["pods/*"], "", True),
        (["*/log"], "log", True),
        (["*/log"], "", False),
        (["*"], "exec", True),
        (["services", "pods/exec"], "exec", True),
        (["services"], "", False),
        ([], "exec", True),
    ],
)
def test_resources_and_their_subresources(resources: list[str], subresource: str, matches: bool) -> None:
    found = policy({"level": "Request", "resources": [{"group": "", "resources": resources}]})
    assert level(found, call(subresource=subresource)) == ("Request" if matches else "None")


def test_groups_names_and_namespaces() -> None:
    leases = {"group": "coordination.k8s.io", "resources": ["leases"], "resourceNames": ["mine"]}
    found = policy({"level": "Metadata", "resources": [leases], "namespaces": ["kube-system"]})
    asked = {"resource": "leases", "group": "coordination.k8s.io", "name": "mine", "namespace": "kube-system"}
    assert level(found, call(**asked)) == "Metadata"
    for field, other in (("name", "other"), ("namespace", "default"), ("group", ""), ("resource", "pods")):
        assert level(found, call(**{**asked, field: other})) == "None", field
    assert level(found, page("/apis")) == "None"
    cluster_wide = policy({"level": "Metadata", "namespaces": [""]})
    assert level(cluster_wide, call(resource="nodes")) == "Metadata"
    assert level(cluster_wide, call(namespace="default")) == "None"


def test_urls_that_are_no_resources() -> None:
    found = policy({"level": "None", "nonResourceURLs": ["/healthz*", "/version"]}, {"level": "Metadata"})
    for path, told in (
        ("/healthz", "None"),
        ("/healthz/ping", "None"),
        ("/version", "None"),
        ("/versions", "Metadata"),
    ):
        assert level(found, page(path)) == told, path
    assert level(found, call()) == "Metadata"
    everything = policy({"level": "Metadata", "nonResourceURLs": ["*"]})
    assert (level(everything, page("/x")), level(everything, call())) == ("Metadata", "None")


def test_users_and_groups() -> None:
    found = policy({"level": "Metadata", "userGroups": ["devs", "ops"], "users": ["jane", "joe"]})
    assert level(found, call()) == "Metadata"
    assert level(found, call(), User("joe", groups=("sales",))) == "None"
    assert level(found, call(), User("jim", groups=("devs",))) == "None"
    assert level(found, call(), ANONYMOUS) == "None"
    assert level(found, call(), None) == "Metadata", "who could not be told may be anybody"


def test_stages_and_owners_are_left_out_by_the_rule_and_by_the_policy() -> None:
    found = policy(
        {"level": "Metadata", "verbs": ["get"], "omitStages": ["ResponseStarted"], "omitManagedFields": False},
        {"level": "Metadata"},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    plan = found.plan(call("get"), JANE)
    assert (plan.omitted, plan.omits_managed_fields) == ({"RequestReceived", "ResponseStarted"}, False)
    plan = found.plan(call("list"), JANE)
    assert (plan.omitted, plan.omits_managed_fields) == ({"RequestReceived"}, True)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"rules": []}, "rules: Required value"),
        ({"rules": [{}]}, "rules[0].level: Required value"),
        ({"rules": [{"level": "All"}]}, 'rules[0].level: Unsupported value: "All"'),
        ({"rules": [{"level": "None", "verb": ["get"]}]}, "rules[0].verb: Unsupported value"),
        ({"rules": [{"level": "None", "verbs": "get"}]}, "rules[0].verbs: Invalid value"),
        ({"rules": [{"level": "None", "omitStages": ["End"]}]}, 'rules[0].omitStages[0]: Unsupported value: "End"'),
        ({"rules": [{"level": "None"}], "omitStages": ["End"]}, 'omitStages[0]: Unsupported value: "End"'),
        ({"rules": [{"level": "None"}], "omitStages": 3}, "omitStages: Invalid value"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["healthz"]}]}, "must begin with a '/' character"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/a*b"]}]}, "must be the final character"),
        (
            {"rules": [{"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["x"]}]},
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        ({"rules": [{"level": "None", "resources": ["pods"]}]}, "rules[0].resources[0]: Invalid value"),
        ({"rules": [{"level": "None", "resources": 1}]}, "rules[0].resources: Invalid value"),
        (
            {"rules": [{"level": "None", "resources": [{"resourceNames": ["a"]}]}]},
            "using resourceNames requires at least one resource",
        ),
        ({"rules": [{"level": "None", "resources": [{"group": "A/b"}]}]}, 'group: Invalid value: "A/b"'),
        ({"kind": "Rules", "rules": [{"level": "None"}]}, "kind: Policy"),
        ({"apiVersion": "audit.k8s.io/v1beta1", "rules": [{"level": "None"}]}, "apiVersion: audit.k8s.io/v1"),
    ],
)
def test_files_that_are_no_policy(document: dict[str, Any], fault: str) -> None:
    whole = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **document}
    with pytest.raises(BadPolicy) as refused:
        parse(yaml.safe_dump(whole).encode())
    assert fault in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"{", b"- a", b"rules: [", b"\xff"])
def test_texts_that_are_nothing(text: bytes) -> None:
    with pytest.raises(BadPolicy):
        parse(text)
