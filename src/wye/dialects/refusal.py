"""Understanding any upstream's refusal: a vendor's shape, that of a server in front of it, HTML, nothing at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from wye.kernel import clock
from wye.kernel.errors import UpstreamRefused
from wye.kernel.json import JsonError, as_object, decode, encode_text

MAX_MESSAGE = 2000
"""Characters of an upstream's message that are passed on."""

CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
"""The code of an input that is too long for the model, OpenAI's word for what others only put into a sentence."""

_TOO_LONG = re.compile(
    r"context (?:length|window|size|limit)"  # OpenAI and most of its kind, llama.cpp, Claude with its answer's limit
    r"|(?:prompt|input) is too long"  # Claude; Bedrock of most models
    r"|maximum (?:prompt|input|model) length"  # xAI
    r"|input tokens? (?:count [^.]*)?exceed"  # Gemini; Nova
    r"|tokens \+ `?max_new_tokens`? must be",  # text-generation-inference
    re.IGNORECASE,
)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def decode_refusal(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamRefused:
    """An answer of status >= 400, whatever its body. Header names are in lower case."""
    try:
        value = decode(body)
    except JsonError:
        value = None
    return refusal_of(status, value, _unreadable(status, body), _retry_after_s(headers))


def refusal_of(status: int, value: Any, otherwise: str, retry_after_s: float | None = None) -> UpstreamRefused:
    """The error in a decoded body; `otherwise` are the words for one that gives no reason."""
    body = as_object(value) or {"message": value}
    inner = body.get("error")
    error = as_object(inner) or {**body, "message": inner or body.get("message")}
    details = {**(as_object(error.get("details")) or {})}
    code = details.pop("error_code", None) or error.get("code")
    param = details.pop("param", None) or error.get("param")
    said = error.get("message") or body.get("detail") or body.get("Message") or otherwise
    message = (said if isinstance(said, str) else encode_text(said))[:MAX_MESSAGE]
    if status in (400, 413, 422) and _TOO_LONG.search(message):
        code = CONTEXT_LENGTH_EXCEEDED
    kind = error.get("type")
    return UpstreamRefused(
        message,
        status=status,
        kind=kind if isinstance(kind, str) else None,
        code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
        details=details or None,
        retry_after_s=retry_after_s,
    )


def _unreadable(status: int, body: bytes) -> str:
    """Words for a body that is no JSON: the title of a page, or the beginning of a text."""
    title = _TITLE.search(body)
    text = title.group(1) if title else b"" if body.lstrip().startswith(b"<") else body[:MAX_MESSAGE]
    words = " ".join(text.decode("utf-8", "replace").split())
    return f"The upstream answered {status}: {words}" if words else f"The upstream answered {status} without a reason"


def _retry_after_s(headers: Mapping[bytes, bytes]) -> float | None:
    seconds = _number(headers.get(b"retry-after-ms"), 0.001)
    given = headers.get(b"retry-after")
    if seconds is None:
        seconds = _number(given, 1)
    if seconds is None and given is not None:
        try:
            seconds = parsedate_to_datetime(given.decode("latin-1")).timestamp() - clock.wall_s()
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(text: bytes | None, unit: float) -> float | None:
    try:
        number = float(text or b"")
    except ValueError:
        return None
    return number * unit if math.isfinite(number) else None
