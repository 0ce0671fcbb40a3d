"""How cells of `kubectl get` are worded: durations, lists of containers, selectors.

Source: the output of `kubectl get`, which scripts and eyes rely on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from navarch.objects.value import Document, dig

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S


def human_duration(seconds: float) -> str:
    """A duration in two or three significant digits: `45s`, `2m3s`, `5h`, `3d4h`, `2y40d`."""
    total_s = int(seconds)
    if total_s < -1:
        return "<invalid>"
    if total_s < 0:
        return "0s"
    if total_s < 2 * MINUTE_S:
        return f"{total_s}s"
    minutes = total_s // MINUTE_S
    if minutes < 10:
        return _joined(minutes, "m", total_s % MINUTE_S, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    hours = total_s // HOUR_S
    if hours < 8:
        return _joined(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 8 * 24:
        return _joined(days, "d", hours % 24, "h")
    if hours < 2 * 365 * 24:
        return f"{days}d"
    years = days // 365
    if hours < 8 * 365 * 24:
        return _joined(years, "y", days % 365, "d")
    return f"{years}y"


def _joined(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def moment(text: Any) -> datetime | None:
    """The time that a document names, or None where it names none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def since(text: Any, now: datetime) -> str:
    """How long ago, in words; `<unknown>` where there is no time."""
    then = moment(text)
    return UNKNOWN if then is None else human_duration((now - then).total_seconds())


def age(document: Document, now: datetime) -> str:
    return since(dig(document, "metadata", "creationTimestamp"), now)


def pairs(labels: Mapping[str, str] | None) -> str:
    """`a=1,b=2`, in order of the keys."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as one line, as `-l` would take it; `<none>` for an empty one."""
    if not selector:
        return NONE
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        key, operator, values = term.get("key", ""), term.get("operator"), sorted(term.get("values") or ())
        match operator:
            case "In" | "NotIn":
                terms.append((key, f"{key} {operator.lower()} ({','.join(values)})"))
            case "Exists":
                terms.append((key, key))
            case "DoesNotExist":
                terms.append((key, f"!{key}"))
    return ",".join(text for _, text in sorted(terms, key=lambda term: term[0])) or NONE


def template_containers(document: Document) -> Sequence[Document]:
    """The containers of the pod template in a workload's spec."""
    found: Sequence[Document] = dig(document, "spec", "template", "spec", "containers", default=[])
    return found


def container_names(document: Document, now: datetime) -> str:
    return ",".join(container.get("name", "") for container in template_containers(document))


def container_images(document: Document, now: datetime) -> str:
    return ",".join(container.get("image", "") for container in template_containers(document))


def label_selector_cell(document: Document, now: datetime) -> str:
    return selector_text(dig(document, "spec", "selector"))


ACCESS_MODES = (
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
)


def access_modes(modes: Sequence[str] | None) -> str:
    """`RWO,ROX`: without repetition, in a fixed order."""
    return ",".join(short for mode, short in ACCESS_MODES if mode in (modes or ()))
