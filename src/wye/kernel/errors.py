"""Every error that Wye raises on purpose, and whose fault it is.

    WyeError
    ├── CallerError                the request cannot be served as it is
    │   ├── BadRequest         400   malformed, or a setting that makes no sense
    │   │   └── LossRefused    400   strict mode: the upstream's dialect cannot say this
    │   ├── Unauthenticated    401
    │   ├── Forbidden          403
    │   ├── NotFound           404
    │   ├── Conflict           409
    │   ├── TooLarge           413
    │   ├── UnsupportedMedia   415
    │   ├── Unprocessable      422   well-formed, but a required member is missing or empty
    │   └── LimitExceeded      429   one of Wye's own limits
    ├── CapacityError              Wye cannot serve it now
    │   ├── Overloaded         503
    │   │   └── QueueFull      503   as many wait for a model as may
    │   ├── NoDeployment       503
    │   └── OutOfMemory        507
    ├── UpstreamError              the other side failed
    │   ├── UpstreamRefused    4xx/5xx as it came, with the upstream's reason
    │   ├── ConnectFailed      502
    │   ├── ClockExpired       504   names the clock that ran out
    │   ├── StreamCut          502   ended before the answer was complete
    │   └── BadAnswer          502   cannot be understood
    └── OperatorError              configuration or installation; ends the program with one clear line
        ├── ConfigError
        └── MissingExtra   501   to a caller of what it is needed for

`message` is written for the person who reads it and never holds a secret. `code` is a stable word for programs. Each
dialect says the rest in its own way (`dialects/*/errors.py`).
"""

from __future__ import annotations

from typing import Any


class WyeError(Exception):
    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The member of the request at fault, as a path: `messages[2].content`."""
        self.retry_after_s = retry_after_s
        self.details = details
        """Further members for the error body: figures a program can act on."""
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class CallerError(WyeError):
    status = 400
    code = "invalid_request"


class BadRequest(CallerError):
    pass


class LossRefused(BadRequest):
    code = "lossy_request"


class Unauthenticated(CallerError):
    status = 401
    code = "invalid_api_key"


class Forbidden(CallerError):
    status = 403
    code = "permission_denied"


class NotFound(CallerError):
    status = 404
    code = "not_found"


class Conflict(CallerError):
    status = 409
    code = "conflict"


class TooLarge(CallerError):
    status = 413
    code = "request_too_large"


class UnsupportedMedia(CallerError):
    status = 415
    code = "unsupported_media_type"


class Unprocessable(CallerError):
    status = 422
    code = "unprocessable"


class LimitExceeded(CallerError):
    status = 429
    code = "rate_limit_exceeded"


class CapacityError(WyeError):
    status = 503
    code = "overloaded"


class Overloaded(CapacityError):
    pass


class QueueFull(Overloaded):
    code = "queue_full"


class NoDeployment(CapacityError):
    code = "no_deployment_available"


class OutOfMemory(CapacityError):
    status = 507
    code = "out_of_memory"


class UpstreamError(WyeError):
    status = 502
    code = "upstream_error"
    retryable = True
    """Whether another attempt, here or elsewhere, may succeed with the same request."""


class UpstreamRefused(UpstreamError):
    """The upstream answered with an error of its own; `status` and `message` are the upstream's."""

    def __init__(self, message: str, *, status: int, kind: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, status=status, **kwargs)
        self.kind = kind
        """The upstream's own word for it (`overloaded_error`, `insufficient_quota`, ...)."""
        self.retryable = status in (408, 429) or status >= 500


class ConnectFailed(UpstreamError):
    code = "upstream_unreachable"


class ClockExpired(UpstreamError):
    status = 504
    code = "upstream_timeout"

    def __init__(self, clock: str, seconds: float, **kwargs: Any) -> None:
        super().__init__(f"The upstream ran out of time: {clock} took longer than {seconds:g} s", **kwargs)
        self.clock = clock


class StreamCut(UpstreamError):
    code = "upstream_stream_cut"


class BadAnswer(UpstreamError):
    code = "upstream_bad_answer"


class OperatorError(WyeError):
    code = "configuration_error"


class ConfigError(OperatorError):
    pass


class MissingExtra(OperatorError):
    status = 501
    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part of Wye. Install it with: pip install 'wye[{extra}]'")
