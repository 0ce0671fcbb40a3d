"""`/healthz`, `/livez` and `/readyz`: whether the server lives and whether it may be asked things.

Why a check fails is logged, and told only to who asks for that check alone: anybody may ask for them all.

Source: https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.base.errors import NotFound
from navarch.base.log import Log
from navarch.wire.message import Request, Response

log = Log("apiserver.health")

Check = Callable[[], str]
"""What is wrong, "" when nothing is."""

TEXT = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Cache-Control", "no-cache, private"),
    ("X-Content-Type-Options", "nosniff"),
)
ENDPOINTS = ("healthz", "livez", "readyz")


def ping() -> str:
    return ""


class Health:
    """live: checks whose failure means that a restart would help. started: that the server has begun its work, which
    all endpoints ask. ready: more, that may only take time."""

    def __init__(self, live: Mapping[str, Check], started: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        live = {"ping": ping, "log": ping, **live}
        self._checks = {
            "healthz": {**live, **started},
            "livez": {**live, **started},
            "readyz": {**live, **ready, **started},
        }
        self._failing: set[tuple[str, str]] = set()
        self.outcomes: dict[tuple[str, ...], float] = {}
        """(name, endpoint) -> 1 if it was well when it was last asked, else 0."""
        self.asked: dict[tuple[str, ...], float] = {}
        """(name, endpoint, success | error) -> how often."""

    def answer(self, request: Request) -> Response:
        """Raises: NotFound: no such check."""
        endpoint, _, only = request.path.strip("/").partition("/")
        checks = self._checks[endpoint]
        if only:
            if only not in checks:
                raise NotFound("the server could not find the requested resource")
            wrong = self._ask(endpoint, only, checks[only])
            text = f"internal server error: {wrong}\n"
            return Response(500, TEXT, text.encode()) if wrong else Response(200, TEXT, b"ok")
        excluded = set(request.params("exclude"))
        lines = []
        failed = False
        for name, check in checks.items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
            elif self._ask(endpoint, name, check):
                failed = True
                lines.append(f"[-]{name} failed: reason withheld")
            else:
                lines.append(f"[+]{name} ok")
        if unknown := sorted(excluded - checks.keys()):
            named = ", ".join(f'"{name}"' for name in unknown)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {named}")
        if failed:
            return Response(500, TEXT, "\n".join([*lines, f"{endpoint} check failed", ""]).encode())
        if request.params("verbose"):
            return Response(200, TEXT, "\n".join([*lines, f"{endpoint} check passed", ""]).encode())
        return Response(200, TEXT, b"ok")

    def _ask(self, endpoint: str, name: str, check: Check) -> str:
        wrong, where = check(), (name, endpoint)
        self.outcomes[where] = 0.0 if wrong else 1.0
        key = (*where, "error" if wrong else "success")
        self.asked[key] = self.asked.get(key, 0.0) + 1.0
        if wrong and where not in self._failing:
            self._failing.add(where)
            log.warning("a health check fails", endpoint=endpoint, check=name, why=wrong)
        elif not wrong and where in self._failing:
            self._failing.discard(where)
            log.info("a health check is well again", endpoint=endpoint, check=name)
        return wrong


def is_health(path: str) -> bool:
    return path.strip("/").partition("/")[0] in ENDPOINTS
