"""What is measured, asked of the three metrics APIs: the edge of the autoscaler that reads.

Whatever goes wrong becomes a `Problem` in Kubernetes' words; nothing is raised for it.

Source: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

import orjson

from navarch.base.clock import parse_rfc3339
from navarch.base.errors import ApiError, NotFound, Retryable
from navarch.client.client import Client
from navarch.controllers.autoscaler.replicas import Sample
from navarch.kinds.metrics_published import GROUP, VERSION
from navarch.kinds.registry import Kinds
from navarch.objects import quantity
from navarch.objects.selector import from_document
from navarch.objects.value import Document, dig

CUSTOM = "custom.metrics.k8s.io"
CUSTOM_VERSIONS = ("v1beta2", "v1beta1")
EXTERNAL = "external.metrics.k8s.io"
EXTERNAL_VERSION = "v1beta1"
NO_SUCH_PATH = "the server could not find the requested resource"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing is known; Kubernetes' words."""

    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one metric: samples of pods by name, or one value in thousandths."""

    samples: dict[str, Sample] | None = None
    milli: int = 0


def window_s(text: str) -> float:
    """`1m30s` in seconds, 0 for what says nothing."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))


async def read(client: Client, kinds: Kinds, namespace: str, metric: Document, selector: str) -> Reading | Problem:
    """metric: one of `spec.metrics`. selector: of the pods, as text."""
    try:
        match metric["type"]:
            case "Resource":
                return await _resource(client, namespace, metric["resource"]["name"], "", selector)
            case "ContainerResource":
                source = metric["containerResource"]
                return await _resource(client, namespace, source["name"], source["container"], selector)
            case "Pods":
                return await _pods(client, namespace, metric["pods"]["metric"], selector)
            case "Object":
                return await _object(client, kinds, namespace, metric["object"])
            case "External":
                return await _external(client, namespace, metric["external"]["metric"])
    except (quantity.BadQuantity, KeyError, ValueError) as error:
        return Problem(f"unable to fetch metrics: the answer cannot be read: {error}")
    return Problem(f'unknown metric source type "{metric["type"]}"')


async def _resource(client: Client, namespace: str, name: str, container: str, selector: str) -> Reading | Problem:
    said = f"unable to get metrics for resource {name}"
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/pods?{urlencode({'labelSelector': selector})}"
    found = await _ask(client, path, f"pods.{GROUP}")
    if isinstance(found, Problem):
        return Problem(f"{said}: unable to fetch metrics from resource metrics API: {found.text}")
    if not found:
        return Problem(f"{said}: no metrics returned from resource metrics API")
    samples: dict[str, Sample] = {}
    for pod in found:
        amounts = [dig(one, "usage", name) for one in pod["containers"] if not container or one["name"] == container]
        known = [one for one in amounts if one is not None]
        if len(known) < len(amounts) or not known:
            continue
        at, window = parse_rfc3339(pod["timestamp"]), window_s(pod.get("window", ""))
        samples[pod["metadata"]["name"]] = Sample(sum(map(quantity.milli, known)), at, window)
    return Reading(samples)


async def _pods(client: Client, namespace: str, metric: Document, selector: str) -> Reading | Problem:
    query = {"labelSelector": selector}
    found = await _custom(client, f"namespaces/{namespace}/pods/*", metric, query)
    if isinstance(found, Problem):
        return Problem(f"unable to get metric {metric['name']}: {found.text}")
    samples = {
        one["describedObject"]["name"]: Sample(quantity.milli(one["value"]), _at(one), float(_window(one)))
        for one in found
    }
    return Reading(samples)


async def _object(client: Client, kinds: Kinds, namespace: str, source: Document) -> Reading | Problem:
    about, metric = source["describedObject"], source["metric"]
    where = f"{about['kind']} {namespace}/{about['name']}"
    kind = kinds.named(about.get("apiVersion") or "v1", about["kind"])
    if kind is None:
        return Problem(f'unable to get metric {metric["name"]}: no matches for kind "{about["kind"]}" on {where}')
    if about["kind"] == "Namespace":
        path = f"namespaces/{about['name']}/metrics"
    else:
        place = f"namespaces/{namespace}/" if kind.namespaced else ""
        path = f"{place}{kind.resource}/{quote(about['name'])}"
    found = await _custom(client, path, metric, {})
    if isinstance(found, Problem):
        return Problem(f"unable to get metric {metric['name']}: {found.text} on {where}")
    return Reading(milli=quantity.milli(found[0]["value"]))


async def _custom(client: Client, path: str, metric: Document, query: dict[str, str]) -> list[Document] | Problem:
    if metric.get("selector"):
        query = {**query, "metricLabelSelector": str(from_document(metric["selector"]))}
    answer: list[Document] | Problem = Problem("")
    for version in CUSTOM_VERSIONS:
        answer = await _ask(client, f"/apis/{CUSTOM}/{version}/{path}/{quote(metric['name'])}?{urlencode(query)}", "")
        if not isinstance(answer, Problem) or answer.text != NO_SUCH_PATH:
            break
    if isinstance(answer, Problem):
        if answer.text == NO_SUCH_PATH:
            answer = Problem(f"no custom metrics API ({CUSTOM}) registered")
        return Problem(f"unable to fetch metrics from custom metrics API: {answer.text}")
    return answer or Problem("no metrics returned from custom metrics API")


async def _external(client: Client, namespace: str, metric: Document) -> Reading | Problem:
    chosen = str(from_document(metric["selector"])) if metric.get("selector") else ""
    query = urlencode({"labelSelector": chosen}) if chosen else ""
    path = f"/apis/{EXTERNAL}/{EXTERNAL_VERSION}/namespaces/{namespace}/{quote(metric['name'])}?{query}"
    found = await _ask(client, path, f"{metric['name']}.{EXTERNAL}")
    said = f"unable to get external metric {namespace}/{metric['name']}/{selector_text(metric.get('selector'))}"
    if isinstance(found, Problem):
        return Problem(f"{said}: unable to fetch metrics from external metrics API: {found.text}")
    if not found:
        return Problem(f"{said}: no metrics returned from external metrics API")
    return Reading(milli=sum(quantity.milli(one["value"]) for one in found))


def _at(one: Document) -> datetime:
    return parse_rfc3339(one["timestamp"])


def _window(one: Document) -> float:
    said = one.get("windowSeconds", one.get("window"))
    return 60.0 if said is None else float(said)


async def _ask(client: Client, path: str, resource: str) -> list[Document] | Problem:
    """The items. resource: for the words that a client of Kubernetes adds where there is no such API."""
    try:
        found: Document = orjson.loads(await client.raw("GET", path))
    except NotFound as error:
        text = str(error)
        return Problem(f"{text} (get {resource})" if resource and text == NO_SUCH_PATH else text)
    except (ApiError, Retryable) as error:
        return Problem(str(error))
    return list(found.get("items") or ())


def selector_text(selector: Document | None) -> str:
    """A label selector as Kubernetes' messages have it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(map(_term, selector.get("matchExpressions") or ()))
    words = f"map[string]string{{{labels}}}"
    return f"&LabelSelector{{MatchLabels:{words},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"


def _term(term: Document) -> str:
    values: Iterable[str] = term.get("values") or ()
    return f"LabelSelectorRequirement{{Key:{term['key']},Operator:{term['operator']},Values:[{' '.join(values)}],}},"
