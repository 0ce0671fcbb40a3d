"""The errors that cross rooms: what the API refuses, and what the world was not ready for.

`ApiError` becomes a Kubernetes Status object where a reply is written; whoever acts by itself (a runner, the agent)
tries again later. `Retryable` means "try again later". Anything else is a bug and keeps its traceback.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MOST_CAUSES = 1_000
"""How many causes a Status tells: whoever made more faults will not read on."""
LONGEST_MESSAGE = 1 << 18
"""Characters of a message that are told."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a request was refused.

    field: the path in the document (`spec.containers[0].image`), or "" for the whole of it.
    reason: a Kubernetes cause type, such as `FieldValueInvalid` or `FieldValueRequired`; "" for none.
    """

    reason: str
    message: str
    field: str = ""

    def document(self) -> dict[str, str]:
        found = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in found.items() if value or key == "message"}


class ApiError(Exception):
    """A request that the API refuses; `status()` is what the client is told."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Sequence[Cause] = (),
        retry_after_s: int = 0,
    ) -> None:
        """kind: the resource's plural (`pods`); where validation failed, the kind's name (`Pod`), as upstream does."""
        super().__init__(message)
        self.message = message
        self.group = group
        self.kind = kind
        self.name = name
        self.uid = uid
        self.causes = tuple(causes)
        self.retry_after_s = retry_after_s

    def status(self) -> dict[str, Any]:
        """The `meta/v1.Status` document for this error."""
        details: dict[str, Any] = {}
        for key in ("name", "group", "kind", "uid"):
            if value := getattr(self, key):
                details[key] = value
        if self.causes:
            details["causes"] = [cause.document() for cause in self.causes[:MOST_CAUSES]]
        if self.retry_after_s:
            details["retryAfterSeconds"] = self.retry_after_s
        message = self.message if len(self.message) <= LONGEST_MESSAGE else self.message[:LONGEST_MESSAGE] + "…"
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
        }
        if self.reason:
            found["reason"] = self.reason
        if details:
            found["details"] = details
        return {**found, "code": self.code}


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """Someone else wrote first (a stale resourceVersion), or field ownership is disputed."""

    code, reason = 409, "Conflict"


class Expired(ApiError):
    """The revision asked for is no longer known: list again."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The document breaks rules; `causes` names every one of them."""

    code, reason = 422, "Invalid"


class TooMany(ApiError):
    code, reason = 429, "TooManyRequests"


class Internal(ApiError):
    code, reason = 500, "InternalError"


class Unavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class GatewayTimeout(ApiError):
    code, reason = 504, "Timeout"


class StorageFull(ApiError):
    """Writes are refused until there is room on the disk again; reads go on."""

    code, reason = 507, "InsufficientStorage"


BY_CODE_AND_REASON: dict[tuple[int, str], type[ApiError]] = {
    (error.code, error.reason): error
    for error in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        AlreadyExists,
        Conflict,
        Expired,
        TooLarge,
        UnsupportedMediaType,
        Invalid,
        TooMany,
        Internal,
        Unavailable,
        GatewayTimeout,
        StorageFull,
    )
}


class Retryable(Exception):
    """The world was not ready (a peer is away, an object is not there yet); the same step may succeed later."""

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Shortage(Retryable):
    """A limit of the machine was met: no file descriptors, no disk, no memory."""
