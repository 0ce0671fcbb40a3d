"""A container's environment: where values come from, in which order, and what is said of what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.downward import Surroundings, Unanswerable, field_value, resource_value
from navarch.agent.environment import (
    BadEnvironment,
    ServiceAddress,
    ServicePort,
    environment,
    expand,
    service_variables,
)
from navarch.kinds.podspec.container import FieldSelector, ResourceFieldSelector
from tests.unit.agent.pods import pod

AROUND = Surroundings("n1", ("192.0.2.7",), ("10.0.0.9", "fd00::9"), {"cpu": "4", "memory": "8Gi"})
DATA = {
    ("configmaps", "cm"): {"color": b"blue", "a.b": b"dot", "bad=name": b"x"},
    ("secrets", "sec"): {"password": b"s3cret"},
}


def lookup(plural: str, name: str) -> Mapping[str, bytes] | None:
    return DATA.get((plural, name))


def made(env: Any = (), env_from: Any = (), services: Any = ()) -> dict[str, str]:
    found = pod({"name": "main", "image": "app:1", "env": list(env), "envFrom": list(env_from)})
    return dict(environment(found, found.spec.containers[0], lookup, AROUND, services))


def test_later_sources_win_and_literals_win_over_all() -> None:
    services = [ServiceAddress("color", "10.0.0.1", (ServicePort("", 80),))]
    found = made(
        [{"name": "color", "value": "red"}, {"name": "COLOR_SERVICE_HOST", "value": "mine"}],
        [{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "sec"}, "prefix": "S_"}],
        services,
    )
    assert found["color"] == "red"
    assert found["COLOR_SERVICE_HOST"] == "mine"
    assert found["COLOR_SERVICE_PORT"] == "80"
    assert found["S_password"] == "s3cret"
    assert found["a.b"] == "dot"
    assert "bad=name" not in found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "x"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "no", "key": "x"}}, 'secret "no" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "x"}}, "couldn't find key x in ConfigMap default/cm"),
        ({"secretKeyRef": {"name": "sec", "key": "x"}}, "couldn't find key x in Secret default/sec"),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
        ({"resourceFieldRef": {"resource": "limits.cpu", "containerName": "no"}}, "container no not found"),
    ],
)
def test_what_is_missing_is_named(source: Any, message: str) -> None:
    with pytest.raises(BadEnvironment) as caught:
        made([{"name": "X", "valueFrom": source}])
    assert str(caught.value) == message
    assert caught.value.reason == "CreateContainerConfigError"


def test_what_is_optional_may_be_missing() -> None:
    optional = {"secretKeyRef": {"name": "no", "key": "x", "optional": True}}
    key = {"configMapKeyRef": {"name": "cm", "key": "x", "optional": True}}
    source = [{"configMapRef": {"name": "no", "optional": True}}]
    assert made([{"name": "X", "valueFrom": optional}, {"name": "Y", "valueFrom": key}], source) == {}
    with pytest.raises(BadEnvironment, match='configmap "no" not found'):
        made([], [{"configMapRef": {"name": "no"}}])


def test_values_refer_to_what_was_said_before() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)$(password)"}, {"name": "C", "value": "2"}]
    assert made(env, [{"secretRef": {"name": "sec"}}])["B"] == "1$(C)s3cret"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NO)", "$(NO)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("a$", "a$"),
        ("$$", "$"),
        ("$()", "$()"),
        ("", ""),
    ],
)
def test_expansion_follows_the_rules(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}.get) == expanded


@given(st.text(alphabet="ab$()", max_size=20))
def test_expansion_without_variables_only_halves_dollars(text: str) -> None:
    assert expand(text, lambda name: None).replace("$", "") == text.replace("$", "")


def test_services_are_told_in_both_styles() -> None:
    ports = (ServicePort("web-ui", 80), ServicePort("dns", 53, "UDP"))
    found = service_variables([ServiceAddress("my-db", "10.96.0.7", ports), ServiceAddress("none", "10.0.0.1", ())])
    assert found == {
        "MY_DB_SERVICE_HOST": "10.96.0.7",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_WEB_UI": "80",
        "MY_DB_SERVICE_PORT_DNS": "53",
        "MY_DB_PORT": "tcp://10.96.0.7:80",
        "MY_DB_PORT_80_TCP": "tcp://10.96.0.7:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.96.0.7",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.7:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.7",
    }


def field(path: str, **meta: Any) -> str:
    return field_value(pod(meta=meta, serviceAccountName="robot"), FieldSelector(field_path=path), AROUND)


def test_fields_of_the_pod() -> None:
    labels = {"labels": {"b": 'say "x"', "a": "1"}}
    assert field("metadata.labels['a']", **labels) == "1"
    assert field("metadata.labels['zzz']", **labels) == ""
    assert field("metadata.labels", **labels) == 'a="1"\nb="say \\"x\\""'
    assert field("status.podIPs") == "10.0.0.9,fd00::9"
    assert (field("status.podIP"), field("status.hostIP"), field("spec.nodeName")) == ("10.0.0.9", "192.0.2.7", "n1")
    assert (field("spec.serviceAccountName"), field("metadata.name")) == ("robot", "web")


@pytest.mark.parametrize(
    ("resource", "divisor", "text"),
    [
        ("limits.memory", "1Mi", "64"),
        ("limits.memory", "0", "67108864"),
        ("requests.cpu", "1m", "250"),
        ("requests.cpu", "1", "1"),
        ("limits.cpu", "1", "4"),
        ("requests.memory", "1Mi", "64"),
        ("requests.ephemeral-storage", "1", "0"),
    ],
)
def test_resources_are_divided_and_rounded_up(resource: str, divisor: str, text: str) -> None:
    limited = {"limits": {"memory": "64Mi"}, "requests": {"cpu": "250m"}}
    found = pod({"name": "main", "image": "app:1", "resources": limited})
    selector = ResourceFieldSelector(resource=resource, divisor=divisor)
    assert resource_value(found, selector, AROUND, "main") == text
    with pytest.raises(Unanswerable):
        resource_value(found, ResourceFieldSelector(resource="cpu"), AROUND, "main")
