"""The schemas of NodeMetrics and PodMetrics.

They are no part of the definitions that Kubernetes publishes: each metrics server brings its own, and so do we.

Source: https://github.com/kubernetes/metrics, `pkg/apis/metrics/v1beta1`
"""

from __future__ import annotations

from navarch.objects.value import Document

GROUP = "metrics.k8s.io"
VERSION = "v1beta1"
PREFIX = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
API_VERSION = "APIVersion and kind say together which schema the object follows: its group and version."
KIND = "Kind names the type of the object, in CamelCase."


def definition_of(name: str) -> str:
    return PREFIX + name


def _reference(name: str, description: str = "") -> Document:
    found: Document = {"$ref": f"#/$defs/{name}"}
    return {**found, "description": description} if description else found


def _kind(name: str, description: str, required: list[str], properties: Document) -> dict[str, Document]:
    """The definition by its name."""
    return {
        definition_of(name): {
            "description": description,
            "type": "object",
            "required": required,
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                **properties,
            },
            "x-kubernetes-group-version-kind": [{"group": GROUP, "version": VERSION, "kind": name}],
        }
    }


def _list(name: str) -> dict[str, Document]:
    properties: Document = {
        "metadata": _reference(f"{META}ListMeta", "Standard list metadata."),
        "items": {
            "type": "array",
            "description": f"The {name} of those that were asked for.",
            "items": _reference(definition_of(name)),
        },
    }
    return _kind(f"{name}List", f"{name}List is a list of {name}.", ["items"], properties)


_METADATA = _reference(f"{META}ObjectMeta", "Standard object's metadata.")
_USAGE: Document = {
    "type": "object",
    "description": "What is used, by resource; of memory the working set.",
    "additionalProperties": _reference(QUANTITY),
}
_MEASURED: Document = {
    "metadata": _METADATA,
    "timestamp": _reference(f"{META}Time", "The end of the time over which it was measured."),
    "window": _reference(f"{META}Duration", "How long that time is."),
}

DEFINITIONS: dict[str, Document] = {
    **_kind(
        "NodeMetrics",
        "NodeMetrics says what a node uses.",
        ["timestamp", "window", "usage"],
        {**_MEASURED, "usage": _USAGE},
    ),
    **_list("NodeMetrics"),
    **_kind(
        "PodMetrics",
        "PodMetrics says what the containers of a pod use.",
        ["timestamp", "window", "containers"],
        {
            **_MEASURED,
            "containers": {
                "type": "array",
                "description": "All containers, measured over the same time.",
                "items": _reference(definition_of("ContainerMetrics")),
                "x-kubernetes-list-type": "atomic",
            },
        },
    ),
    **_list("PodMetrics"),
    f"{META}Duration": {"description": "Duration is a time as text, such as `1m30s`.", "type": "string"},
    definition_of("ContainerMetrics"): {
        "description": "ContainerMetrics says what a container uses.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": {"type": "string", "description": "The container's name."}, "usage": _USAGE},
    },
}
