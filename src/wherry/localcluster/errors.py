"""Errors as the Kubernetes API shapes them: a `Status` object with a code, a reason and details."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong with an object: the field's path, the machine's reason, the person's message."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class ApiError(Exception):
    """An answer other than 2xx. `retry_after` (seconds) also becomes the Retry-After header."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        details: Json | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "")
        self.details = {**(details or {}), **({"retryAfterSeconds": retry_after} if retry_after is not None else {})}
        self.retry_after = retry_after

    def body(self) -> Json:
        """The `Status` object that is sent."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def success(details: Json) -> Json:
    """The `Status` object that says that all went well."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def not_found(resource: str, name: str) -> ApiError:
    """404: there is no such object."""
    return ApiError(404, f'{resource} "{name}" not found', details={"name": name, "kind": resource})


def already_exists(resource: str, name: str) -> ApiError:
    """409 AlreadyExists: the name is taken."""
    message = f'{resource} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details={"name": name, "kind": resource})


def conflict(resource: str, name: str, why: str) -> ApiError:
    """409 Conflict: a precondition doesn't hold."""
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, message, details={"name": name, "kind": resource})


def forbidden(resource: str, name: str, why: str) -> ApiError:
    """403: understood, and refused."""
    subject = f'{resource} "{name}"' if name else resource
    return ApiError(403, f"{subject} is forbidden: {why}", details={"name": name, "kind": resource})


def invalid(kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: the object breaks the listed rules."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details = {
        "name": name,
        "kind": kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    return ApiError(422, f'{kind} "{name}" is invalid: {listed}', details=details)
