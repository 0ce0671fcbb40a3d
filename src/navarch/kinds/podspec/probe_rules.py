"""Rules of probes and of the hooks at a container's start and end.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
"""

from __future__ import annotations

from typing import Any

from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document

PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
SCHEMES = ("HTTP", "HTTPS")
COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def probes(faults: Faults, container: Document, path: str) -> None:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name not in container:
            continue
        probe, where = container[name], f"{path}.{name}"
        _probe(faults, probe, where)
        if name != "readinessProbe":
            if probe.get("successThreshold", 1) != 1:
                faults.invalid(f"{where}.successThreshold", probe["successThreshold"], "must be 1")
        elif (grace_s := probe.get("terminationGracePeriodSeconds")) is not None:
            detail = "must not be set for readinessProbes"
            faults.invalid(f"{where}.terminationGracePeriodSeconds", grace_s, detail)


def _probe(faults: Faults, probe: Document, path: str) -> None:
    _handler(faults, probe, path, PROBE_HANDLERS, None)
    for field in COUNTS:
        value = probe.get(field)
        if value is not None and value < 0:
            faults.not_negative(f"{path}.{field}", value)
    grace_s = probe.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s <= 0:
        faults.invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0")


def lifecycle(faults: Faults, found: Document, path: str, grace_s: int | None) -> None:
    """grace_s: the pod's own, within which a sleep must end."""
    for hook in ("postStart", "preStop"):
        if hook in found:
            _handler(faults, found[hook], f"{path}.{hook}", HOOK_HANDLERS, grace_s)


def _handler(faults: Faults, found: Document, path: str, allowed: tuple[str, ...], grace_s: int | None) -> None:
    given = [handler for handler in allowed if handler in found]
    for handler in given[:1]:
        action, where = found[handler], f"{path}.{handler}"
        match handler:
            case "exec":
                if not action.get("command"):
                    faults.required(f"{where}.command")
            case "httpGet":
                _http_get(faults, action, where)
            case "tcpSocket":
                port_or_name(faults, action.get("port"), f"{where}.port")
            case "grpc":
                faults.checked(f"{where}.port", action.get("port", 0), names.port(action.get("port", 0)))
            case "sleep":
                _sleep(faults, action.get("seconds", 0), where, grace_s)
    for extra in given[1:]:
        faults.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if not given:
        faults.required(path, "must specify a handler type")


def _sleep(faults: Faults, seconds: int, path: str, grace_s: int | None) -> None:
    if grace_s is not None and not 0 <= seconds <= grace_s:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
        faults.invalid(path, seconds, detail)


def _http_get(faults: Faults, action: Document, path: str) -> None:
    if not action.get("path"):
        faults.required(f"{path}.path")
    port_or_name(faults, action.get("port"), f"{path}.port")
    if action.get("scheme") not in SCHEMES:
        faults.unsupported(f"{path}.scheme", action.get("scheme", ""), SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        faults.checked(f"{path}.httpHeaders", name, names.http_header(name))


def port_or_name(faults: Faults, port: Any, field: str) -> None:
    """A port's number, or the name of one that the container declares."""
    if isinstance(port, str):
        faults.checked(field, port, names.port_name(port))
    else:
        faults.checked(field, port or 0, names.port(port or 0))
