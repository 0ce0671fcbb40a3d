"""The environment of a container: from literals, ConfigMaps, Secrets, the pod itself and the services of its namespace.

Pure: the objects are handed in. A missing one that is not optional stops the container with the message users know.

Source: https://kubernetes.io/docs/tasks/inject-data-application/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from navarch.agent.downward import Surroundings, Unanswerable, field_value, resource_value
from navarch.agent.runtime import RuntimeFailure
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container, EnvFrom, EnvSource, KeySelector

Lookup = Callable[[str, str], Mapping[str, bytes] | None]
"""(kind in the plural, name) -> the data of that ConfigMap or Secret in the pod's namespace, None: not there."""

_NAME = re.compile(r"^[ -<>-~]+$")
"""Printable ASCII without `=`."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    name: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """A service with a cluster address, as `service_variables` wants it."""

    name: str
    ip: str
    ports: tuple[ServicePort, ...]


class BadEnvironment(RuntimeFailure):
    """The environment cannot be made; the container waits with `CreateContainerConfigError`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="CreateContainerConfigError")


def environment(
    pod: Pod, container: Container, lookup: Lookup, around: Surroundings, services: Iterable[ServiceAddress] = ()
) -> tuple[tuple[str, str], ...]:
    """Names and values, each name once, in the order of their first mention.

    Raises:
        BadEnvironment: something that is not optional is missing.
    """
    found: dict[str, str] = {}
    for source in container.env_from:
        found.update(_everything_of(source, lookup, pod.metadata.namespace))
    links = service_variables(services)
    declared: dict[str, str] = {}
    for variable in container.env:
        if variable.value_from is not None:
            value = _referenced(pod, container, variable.value_from, lookup, around)
            if value is None:
                continue
        else:
            value = expand(variable.value, lambda name: _known(name, declared, found, links))
        declared[variable.name] = value
    return tuple({**links, **found, **declared}.items())


def _known(name: str, *scopes: Mapping[str, str]) -> str | None:
    return next((scope[name] for scope in scopes if name in scope), None)


def _everything_of(source: EnvFrom, lookup: Lookup, namespace: str) -> dict[str, str]:
    reference = source.config_map_ref or source.secret_ref
    if reference is None:
        return {}
    plural, word = ("configmaps", "configmap") if source.config_map_ref is not None else ("secrets", "secret")
    data = lookup(plural, reference.name)
    if data is None:
        if reference.optional:
            return {}
        raise BadEnvironment(f'{word} "{reference.name}" not found')
    named = {source.prefix + key: value for key, value in data.items()}
    return {name: value.decode("utf-8", "replace") for name, value in named.items() if _NAME.match(name)}


def _referenced(pod: Pod, container: Container, source: EnvSource, lookup: Lookup, around: Surroundings) -> str | None:
    """None leaves the variable out."""
    try:
        if source.field_ref is not None:
            return field_value(pod, source.field_ref, around)
        if source.resource_field_ref is not None:
            return resource_value(pod, source.resource_field_ref, around, container.name)
    except Unanswerable as error:
        raise BadEnvironment(str(error)) from error
    if source.config_map_key_ref is not None:
        return _key(source.config_map_key_ref, "configmaps", lookup, pod.metadata.namespace)
    if source.secret_key_ref is not None:
        return _key(source.secret_key_ref, "secrets", lookup, pod.metadata.namespace)
    raise BadEnvironment("the source of an environment variable is of an unsupported type")


def _key(selector: KeySelector, plural: str, lookup: Lookup, namespace: str) -> str | None:
    data = lookup(plural, selector.name)
    if data is None:
        if selector.optional:
            return None
        raise BadEnvironment(f'{plural.removesuffix("s")} "{selector.name}" not found')
    if selector.key not in data:
        if selector.optional:
            return None
        word = "ConfigMap" if plural == "configmaps" else "Secret"
        raise BadEnvironment(f"couldn't find key {selector.key} in {word} {namespace}/{selector.name}")
    return data[selector.key].decode("utf-8", "replace")


def expand(text: str, value_of: Callable[[str], str | None]) -> str:
    """Replace each `$(NAME)` that is known; `$$` stands for one dollar, which keeps `$$(NAME)` from being replaced."""
    out = []
    position = 0
    while position < len(text):
        mark = text.find("$", position)
        if mark < 0 or mark + 1 >= len(text):
            break
        out.append(text[position:mark])
        following = text[mark + 1]
        end = text.find(")", mark) if following == "(" else -1
        if following == "$":
            out.append("$")
            position = mark + 2
        elif end > 0:
            value = value_of(text[mark + 2 : end])
            out.append(text[mark : end + 1] if value is None else value)
            position = end + 1
        else:
            out.append("$")
            position = mark + 1
    return "".join(out) + text[position:]


def service_variables(services: Iterable[ServiceAddress]) -> dict[str, str]:
    """`{NAME}_SERVICE_HOST` and the docker-link style variables of each service.

    Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
    """
    found: dict[str, str] = {}
    for service in services:
        if not service.ports:
            continue
        prefix = service.name.upper().replace("-", "_")
        found[f"{prefix}_SERVICE_HOST"] = service.ip
        found[f"{prefix}_SERVICE_PORT"] = str(service.ports[0].port)
        for port in service.ports:
            if port.name:
                found[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
        host = f"[{service.ip}]" if ":" in service.ip else service.ip
        for position, port in enumerate(service.ports):
            url = f"{port.protocol.lower()}://{host}:{port.port}"
            if position == 0:
                found[f"{prefix}_PORT"] = url
            stem = f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
            found[stem] = url
            found[f"{stem}_PROTO"] = port.protocol.lower()
            found[f"{stem}_PORT"] = str(port.port)
            found[f"{stem}_ADDR"] = service.ip
    return found
