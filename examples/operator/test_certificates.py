"""The operator on the official client: its time is the cluster's."""

import threading
from typing import Any

import certificates
import kubernetes
import pytest

from navarch.testing.cluster import RunningCluster


def secret(name: str, hours: int) -> dict[str, Any]:
    annotations = {certificates.LIVES: str(hours)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "annotations": annotations}}


@pytest.mark.navarch(frozen=True)
def test_secrets_live_as_long_as_they_say(websites: RunningCluster, api: kubernetes.client.ApiClient) -> None:
    c = websites
    c.apply([secret("short", 1), secret("long", 48)])
    assert certificates.sweep(api, c.clock.now()) == []
    c.clock.advance(hours=1)
    assert certificates.sweep(api, c.clock.now()) == ["short"]
    c.clock.advance(hours=47)
    assert certificates.sweep(api, c.clock.now()) == ["long"]


def test_they_are_labelled_when_they_come(websites: RunningCluster, api: kubernetes.client.ApiClient) -> None:
    stop = threading.Event()
    operator = threading.Thread(target=certificates.label, args=(api, stop))
    operator.start()
    try:
        websites.apply(secret("new", 1))
        websites.wait("secret/new", lambda found: found["metadata"].get("labels") == {"short-lived": "yes"})
    finally:
        stop.set()
        operator.join()
