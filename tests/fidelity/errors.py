"""Every error that Wye or an upstream can end a call with, and what it is called in the words of each vendor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from wye.dialects.dialect import Dialect
from wye.kernel.errors import ClockExpired, OperatorError, UpstreamRefused, WyeError

MESSAGE = "Nothing grows here: \u00fc \u2028 \"quoted\" \\ 'single', {}"
Vendor = Literal["openai", "anthropic", "aws"]


class Types(NamedTuple):
    openai: str
    anthropic: str
    aws: str


TYPES = {
    400: Types("invalid_request_error", "invalid_request_error", "ValidationException"),
    401: Types("authentication_error", "authentication_error", "AccessDeniedException"),
    402: Types("invalid_request_error", "billing_error", "ValidationException"),
    403: Types("permission_error", "permission_error", "AccessDeniedException"),
    404: Types("not_found_error", "not_found_error", "ResourceNotFoundException"),
    408: Types("timeout_error", "timeout_error", "ModelTimeoutException"),
    409: Types("conflict_error", "conflict_error", "ValidationException"),
    413: Types("invalid_request_error", "request_too_large", "ValidationException"),
    415: Types("invalid_request_error", "invalid_request_error", "ValidationException"),
    422: Types("invalid_request_error", "invalid_request_error", "ValidationException"),
    424: Types("invalid_request_error", "invalid_request_error", "ModelErrorException"),
    429: Types("rate_limit_error", "rate_limit_error", "ThrottlingException"),
    500: Types("server_error", "api_error", "InternalServerException"),
    502: Types("server_error", "api_error", "InternalServerException"),
    503: Types("overloaded_error", "overloaded_error", "ServiceUnavailableException"),
    504: Types("timeout_error", "timeout_error", "ModelTimeoutException"),
    507: Types("server_error", "api_error", "InternalServerException"),
    529: Types("overloaded_error", "overloaded_error", "ServiceUnavailableException"),
}


def vendor(dialect: Dialect) -> Vendor:
    """Whose errors a dialect has: all of Bedrock's are AWS's."""
    name = dialect.name.partition("_")[0]
    return "openai" if name == "openai" else "anthropic" if name == "anthropic" else "aws"


def word(status: int, dialect: Dialect) -> str:
    return getattr(TYPES[status], vendor(dialect))


def every_error() -> list[WyeError]:
    """One of each class, and what upstreams answer with by its status alone."""
    errors: list[WyeError] = [UpstreamRefused(MESSAGE, status=status) for status in TYPES]
    for kind in _below(WyeError):
        if kind is ClockExpired:
            errors.append(ClockExpired("first token", 3))
        elif kind is not UpstreamRefused and not issubclass(kind, OperatorError):
            errors.append(kind(MESSAGE, param="messages[1].content"))
    return errors


def _below(kind: type[WyeError]) -> Iterator[type[WyeError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _below(below)
