"""What clients may ask of `pods/log`, `exec`, `attach` and `portforward`: their queries, checked, in an agent's words.

Pure. The words of the refusals are those of Kubernetes.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (read log of the specified Pod)
"""

from __future__ import annotations

from navarch.base.clock import parse_rfc3339
from navarch.base.errors import BadRequest, Invalid
from navarch.kinds.rules import Faults
from navarch.wire.message import Request

LOG_STREAMS = ("All", "Stderr", "Stdout")
STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
"""What clients call them, and what a kubelet does."""


def flag(request: Request, name: str) -> bool:
    """Any value but `0` and `false` is yes, that of a parameter without one too."""
    values = request.params(name)
    return bool(values) and values[0] != "0" and values[0].lower() != "false"


def integer(request: Request, name: str) -> int | None:
    """Raises: BadRequest: it is there and no number."""
    text = request.param(name)
    if not text:
        return None
    if not text.removeprefix("-").removeprefix("+").isdecimal() or not text.isascii():
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def log_query(request: Request, pod: str) -> list[tuple[str, str]]:
    """The query for the node's agent.

    Raises:
        BadRequest: a value that cannot be read.
        Invalid: values that cannot be meant.
    """
    tail, limit, since = (integer(request, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    since_time, stream = request.param("sinceTime"), request.param("stream") or "All"
    if since_time:
        _check_time(since_time)
    faults = Faults()
    if tail is not None and tail < 0:
        faults.invalid("tailLines", tail, "must be greater than or equal to 0")
    if limit is not None and limit < 1:
        faults.invalid("limitBytes", limit, "must be greater than 0")
    if since is not None and since_time:
        faults.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif since is not None and since < 1:
        faults.invalid("sinceSeconds", since, "must be greater than 0")
    if stream not in LOG_STREAMS:
        faults.unsupported("stream", stream, LOG_STREAMS)
    if stream != "All" and tail is not None:
        faults.forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now")
    if faults.causes:
        raise _invalid(pod, faults)
    found = [(name, "true") for name in ("follow", "previous", "timestamps") if flag(request, name)]
    for name, value in (("sinceSeconds", since), ("tailLines", tail), ("limitBytes", limit)):
        if value is not None:
            found.append((name, str(value)))
    if since_time:
        found.append(("sinceTime", since_time))
    return [*found, ("stream", stream)]


def _invalid(pod: str, faults: Faults) -> Invalid:
    texts = [f"{cause.field or '<nil>'}: {cause.message}" for cause in faults.causes]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return Invalid(f'PodLogOptions "{pod}" is invalid: {said}', kind="PodLogOptions", name=pod, causes=faults.causes)


def _check_time(text: str) -> None:
    try:
        parse_rfc3339(text)
    except ValueError:
        layout = "2006-01-02T15:04:05Z07:00"
        raise BadRequest(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"') from None


def stream_query(request: Request, subresource: str) -> list[tuple[str, str]]:
    """Of `exec` and `attach`: which streams, and the command. Raises: BadRequest."""
    found = [(theirs, "1") for ours, theirs in STREAMS if flag(request, ours)]
    if ("tty", "1") in found:
        found = [entry for entry in found if entry != ("error", "1")]  # a terminal has one stream for both
    if not any(name != "tty" for name, _ in found):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    if subresource == "exec":
        commands = request.params("command")
        if not commands:
            raise BadRequest("you must specify at least 1 command for the container")
        found += [("command", command) for command in commands]
    return found


def forward_query(request: Request) -> list[tuple[str, str]]:
    """Of `portforward`: the ports that older clients name in the query. Raises: BadRequest."""
    found = []
    for text in request.params("ports"):
        for port in filter(None, text.split(",")):
            if not (port.isascii() and port.isdecimal()):
                raise BadRequest(f'strconv.ParseInt: parsing "{port}": invalid syntax')
            found.append(("port", port))
    return found
