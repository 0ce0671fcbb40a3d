"""An operator on the official client, without a framework: Secrets that say how long they live are removed in time."""

import threading
from datetime import datetime, timedelta

from kubernetes import client, watch

LIVES = "example.com/lives-hours"


def expired(secret: client.V1Secret, now: datetime) -> bool:
    hours = (secret.metadata.annotations or {}).get(LIVES)
    return hours is not None and now >= secret.metadata.creation_timestamp + timedelta(hours=float(hours))


def sweep(api: client.ApiClient, now: datetime) -> list[str]:
    """Remove what is too old; their names."""
    core = client.CoreV1Api(api)
    gone = [secret for secret in core.list_secret_for_all_namespaces().items if expired(secret, now)]
    for secret in gone:
        core.delete_namespaced_secret(secret.metadata.name, secret.metadata.namespace)
    return [secret.metadata.name for secret in gone]


def label(api: client.ApiClient, stop: threading.Event) -> None:
    """Until `stop`: every Secret with a life gets a label, as soon as it is there."""
    core, seen = client.CoreV1Api(api), watch.Watch()
    while not stop.is_set():
        for event in seen.stream(core.list_secret_for_all_namespaces, timeout_seconds=1):
            found = event["object"]
            if LIVES in (found.metadata.annotations or {}) and "short-lived" not in (found.metadata.labels or {}):
                patch = {"metadata": {"labels": {"short-lived": "yes"}}}
                core.patch_namespaced_secret(found.metadata.name, found.metadata.namespace, patch)
