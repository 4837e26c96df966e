"""Where HTTP ends: reading a body within its limit, and saying an error properly."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from math import ceil

from wye.api.caller import Caller
from wye.canon.loss import Loss, Losses
from wye.dialects.dialect import Dialect
from wye.kernel.errors import TooLarge, UnsupportedMedia, WyeError
from wye.kernel.ids import new_id
from wye.kernel.json import encode, split_object
from wye.ports.transport import HeaderMap, Headers

log = logging.getLogger("wye")

JSON_LINE = b"content-type: application/json\r\n"
_USABLE_ID = re.compile(rb"[\x21-\x7e]{1,128}\Z")


class CallerLeft(Exception):
    """The caller closed the connection before its request was complete: there is nobody to answer."""


def request_id_of(headers: HeaderMap) -> str:
    """The id that the caller gave its request, if it can be repeated in a header; else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _USABLE_ID.match(given):
        return given.decode()
    return new_id("req_")


def wants_strict(headers: HeaderMap) -> bool:
    """Whether a translation that loses something must be refused."""
    asked = headers.get(b"x-wye-strict")
    return asked is not None and asked.lower() in (b"1", b"true")


def wants_trace(headers: HeaderMap) -> bool:
    """Whether the caller wants to know how its answer came about."""
    asked = headers.get(b"x-wye-trace")
    return asked is not None and asked.lower() in (b"1", b"true")


def wants_losses_in_body(headers: HeaderMap) -> bool:
    """Whether an answer is to tell its losses itself, beside the header that names their fields."""
    return headers.get(b"x-wye-loss", b"").lower() == b"body"


def with_losses(body: bytes, losses: Losses) -> bytes:
    """An answer with its losses as the member `wye`; all others stay the bytes that they are."""
    return encode({**split_object(body), "wye": {"losses": losses}})


def late_losses(losses: list[Loss], headers: HeaderMap) -> bytes:
    """What was lost after the header was sent, as a comment of server-sent events: what may change the answer, and the
    rest for those who asked for all."""
    told = Losses(loss for loss in losses if loss.severity == "warning" or wants_losses_in_body(headers))
    return b": wye-loss %b\n\n" % told.header().encode() if told else b""


def asks_for_plain_text(headers: HeaderMap) -> bool:
    """Some clients accept plain text by default, after what they want; they do not ask for it."""
    accept = headers.get(b"accept", b"")
    return b"text/plain" in accept and b"json" not in accept and b"event-stream" not in accept


def body_at_once(caller: Caller, limit: int) -> bytes | None:
    """The request's body where all of it has come; None asks for `read_body`."""
    return None if b"content-encoding" in caller.headers else caller.read_at_once(limit)


async def read_body(caller: Caller, limit: int) -> bytes:
    """The request's body. Raises TooLarge, UnsupportedMedia, CallerLeft."""
    headers = caller.headers
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding not in (b"", b"identity"):
        raise UnsupportedMedia(f"Content-Encoding {encoding.decode('latin-1')!r} is not supported: send the body plain")
    length = headers.get(b"content-length", b"")
    # Twenty digits are beyond any limit; int() itself refuses some thousands of them.
    promised = int(length[:20]) if length.isdigit() else 0
    if promised > limit:
        raise _too_large(limit)
    body = await caller.read()
    if body is not None and len(body) == promised:
        return body
    pieces: list[bytes] = []
    size = 0
    while body:
        size += len(body)
        if size > limit:
            raise _too_large(limit)
        pieces.append(body)
        body = await caller.read()
    if body is None:
        raise CallerLeft
    return b"".join(pieces)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes (server.body_limit_mb sets this limit)")


def as_wye_error(error: Exception, request_id: str) -> WyeError:
    """An error that a caller may see. Any other is Wye's own fault: logged whole, told as nothing but its id."""
    if isinstance(error, WyeError):
        if error.status >= 500:
            log.warning("%s: %d %s: %s", request_id, error.status, error.code, error.message)
        return error
    log.error("%s: unexpected error", request_id, exc_info=error)
    return WyeError(f"Wye failed to handle this request; its log has the details under {request_id}")


async def send_error(
    caller: Caller, error: WyeError, dialect: Dialect, request_id: str, lines: Iterable[bytes] = ()
) -> None:
    """`lines` are headers to add, ready or in pieces."""
    body = encode(dialect.encode_error(error, request_id))
    own = dialect.error_headers(error) if dialect.error_headers is not None else []
    about = [JSON_LINE, *id_lines(request_id, dialect), header_lines(error_headers(error) + own), *lines]
    await caller.answer(error.status, b"".join(about), body)


def error_headers(error: WyeError) -> Headers:
    """What HTTP says about an error beside its body. https://www.rfc-editor.org/rfc/rfc9110"""
    headers: Headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after_s))))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def id_headers(request_id: str, dialect: Dialect) -> Headers:
    """The request's id, also under the name that the dialect's own clients read."""
    value = request_id.encode()
    headers = [(b"x-request-id", value)]
    if dialect.request_id_header is not None:
        headers.append((dialect.request_id_header, value))
    return headers


def id_lines(request_id: str, dialect: Dialect) -> list[bytes]:
    """The same as header lines, in pieces to be joined."""
    value = request_id.encode()
    own = dialect.request_id_header
    if own is None:
        return [b"x-request-id: ", value, b"\r\n"]
    return [b"x-request-id: ", value, b"\r\n", own, b": ", value, b"\r\n"]


def header_lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
