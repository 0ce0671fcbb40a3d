"""`/healthz`, `/livez` and `/readyz`: whether the server lives and whether it may be asked things.

Source: https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.base.errors import NotFound
from navarch.wire.message import Request, Response

Check = Callable[[], str]
"""What is wrong, "" when nothing is."""

TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
ENDPOINTS = ("healthz", "livez", "readyz")


def ping() -> str:
    return ""


class Health:
    """live: checks whose failure means that a restart would help. ready: more, that may only take time."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        live = {"ping": ping, **live}
        self._checks = {"healthz": {**live, **ready}, "livez": live, "readyz": {**live, **ready}}

    def answer(self, request: Request) -> Response:
        """Raises: NotFound: no such check."""
        endpoint, _, only = request.path.strip("/").partition("/")
        checks = self._checks[endpoint]
        if only:
            if only not in checks:
                raise NotFound("the server could not find the requested resource")
            wrong = checks[only]()
            return Response(500, TEXT, f"{only} failed: {wrong}\n".encode()) if wrong else Response(200, TEXT, b"ok")
        excluded = set(request.params("exclude"))
        found = {name: check() for name, check in checks.items() if name not in excluded}
        lines = [f"[-]{name} failed: {wrong}" if wrong else f"[+]{name} ok" for name, wrong in found.items()]
        lines[len(lines) :] = [f"[+]{name} excluded: ok" for name in checks if name in excluded]
        if any(found.values()):
            return Response(500, TEXT, "\n".join([*lines, f"{endpoint} check failed", ""]).encode())
        if request.params("verbose"):
            return Response(200, TEXT, "\n".join([*lines, f"{endpoint} check passed", ""]).encode())
        return Response(200, TEXT, b"ok")


def is_health(path: str) -> bool:
    return path.strip("/").partition("/")[0] in ENDPOINTS
