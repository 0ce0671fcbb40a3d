"""What the type checker tells of policies, and where it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from navarch.controllers.admissionpolicy import Observed, plan
from navarch.kinds import VALIDATINGADMISSIONPOLICY
from navarch.kinds.object import Object
from navarch.kinds.policy_types import matched, warnings
from navarch.kinds.registry import DEFAULT

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def spec(*texts: str, resources: tuple[str, ...] = ("deployments",), **more: Any) -> dict[str, Any]:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": list(resources)}
    validations = [{"expression": text} for text in texts]
    return {"matchConstraints": {"resourceRules": [rule]}, "validations": validations, **more}


def test_a_field_that_the_kind_has_not_is_shown() -> None:
    ((one),) = warnings(spec("object.spec.replicas > 1", "object.spec.replica > 1"), DEFAULT)
    assert one["fieldRef"] == "spec.validations[1].expression"
    assert one["warning"] == (
        "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'\n"
        " | object.spec.replica > 1\n | ...........^\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "object.spec.template.spec.containers.all(c, c.image.startsWith('a'))",
        "object.metadata.labels['a'] == 'b'",
        "object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')",
        "has(object.spec.strategy.rollingUpdate.maxSurge) && object.spec.strategy.rollingUpdate.maxSurge == 1",
        "oldObject == null || oldObject.spec.replicas == object.spec.replicas",
        "variables.containers.all(c, has(c.name))",
        "params.data['x'] == 'y'",
    ],
)
def test_what_fits_is_not_mentioned(text: str) -> None:
    variables = [{"name": "containers", "expression": "object.spec.template.spec.containers"}]
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert warnings(spec(text, variables=variables, paramKind=kind), DEFAULT) == []


@pytest.mark.parametrize(
    "text",
    [
        "variables.containers.all(c, c.nome == 'x')",
        "params.dota == 'x'",
        "object.spec.replicas == 'one'",
        "object.spec.template.spec.containers.all(c, c.image.startsWith(1))",
    ],
)
def test_what_does_not_fit_is(text: str) -> None:
    variables = [{"name": "containers", "expression": "object.spec.template.spec.containers"}]
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert len(warnings(spec(text, variables=variables, paramKind=kind), DEFAULT)) == 1


def test_each_kind_is_looked_at() -> None:
    several = spec("object.spec.replicas > 1", resources=("deployments", "daemonsets", "ghosts"))
    ((one),) = warnings(several, DEFAULT)
    assert one["warning"].startswith("apps/v1, Kind=DaemonSet: ")
    assert [kind.name for kind in matched(several, DEFAULT)] == ["DaemonSet", "Deployment"]


def test_its_status_says_what_was_looked_at() -> None:
    document = {
        "apiVersion": VALIDATINGADMISSIONPOLICY.api_version,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p", "generation": 2},
        "spec": spec("true"),
        "status": {"observedGeneration": 1},
    }
    found = plan(Observed(Object(VALIDATINGADMISSIONPOLICY, orjson.dumps(document)), DEFAULT), NOW)
    assert found.status is not None
    assert found.status.status == {"observedGeneration": 2, "typeChecking": {}}
    document["status"] = found.status.status
    again = plan(Observed(Object(VALIDATINGADMISSIONPOLICY, orjson.dumps(document)), DEFAULT), NOW)
    assert again.status is None
