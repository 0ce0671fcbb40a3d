"""What clients are told of fields that nobody knows: upstream's text, the line of the YAML, and what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from server_driver import Served, served

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
TYPO = b"""\
metadata: {name: web}
spec:
  replica: 2
  selector: &labels
    matchLabels: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web
        imagePullpolicy: Always
        nothingLikeIt: 1
"""
FOUND = (
    'unknown field "spec.replica" (line 3); did you mean "replicas"?, '
    'unknown field "spec.template.spec.containers[0].imagePullpolicy" (line 12); did you mean "imagePullPolicy"?, '
    'unknown field "spec.template.spec.containers[0].nothingLikeIt" (line 13)'
)
YAML = "application/yaml"


def warnings(headers: Any) -> list[str]:
    return [value for name, value in headers if name == "warning"]


def test_a_typo_is_named_with_its_line_and_what_was_meant() -> None:
    async def scenario(server: Served) -> None:
        strict = await server.ask("POST", f"{DEPLOYMENTS}?fieldValidation=Strict", body=TYPO, content_type=YAML)
        assert strict[0] == 400
        assert strict[1]["reason"] == "BadRequest"
        head = 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        assert strict[1]["message"] == head + FOUND
        told = await server.send("POST", f"{DEPLOYMENTS}?fieldValidation=Warn", body=TYPO, content_type=YAML)
        assert told.status == 201
        assert [text.replace('\\"', '"') for text in warnings(told.headers)] == [
            f'299 - "{text}"' for text in FOUND.split(", ")
        ]
        quiet = await server.send("POST", f"{DEPLOYMENTS}?fieldValidation=Ignore", body=TYPO, content_type=YAML)
        assert warnings(quiet.headers) == []

    served(scenario)


@pytest.mark.parametrize("type_", ["application/json", "application/apply-patch+yaml"])
def test_json_has_no_lines(type_: str) -> None:
    async def scenario(server: Served) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "lables": {}}, "data": {"a": "b"}}
        path = "/api/v1/namespaces/default/configmaps"
        asked = ("POST", path) if type_ == "application/json" else ("PATCH", f"{path}/x")
        status, found = await server.ask(
            *asked[:1], f"{asked[1]}?fieldValidation=Strict&fieldManager=m", body=body, content_type=type_
        )
        assert status == 400
        where = "" if type_ == "application/json" else " (line 1)"
        assert f'unknown field "metadata.lables"{where}; did you mean "labels"?' in found["message"]

    served(scenario)
