"""What is told of an exchange that is over."""

from __future__ import annotations

import asyncio
import sys

from wye.canon.usage import Usage
from wye.gateway.exchange import Exchange
from wye.kernel import clock
from wye.kernel.errors import StreamCut, WyeError
from wye.ports.telemetry import Attempt, CallRecord


def call_record(exchange: Exchange, usage: Usage | None, failed: bool) -> CallRecord:
    """To be called while the exception that ended the exchange, if one did, is on its way."""
    now_s = clock.monotonic_s()
    error = _why(failed)
    attempts = attempts_of(exchange, error)
    return CallRecord(
        exchange.request_id,
        exchange.operation,
        exchange.dialect.name,
        exchange.model,
        exchange.principal,
        bool(exchange.stream),
        exchange.started_s,
        now_s,
        exchange.first_s,
        attempts,
        usage,
        error,
        exchange.cache,
        exchange.headers.get(b"traceparent"),
    )


def attempts_of(exchange: Exchange, error: str | None) -> list[Attempt]:
    """Whom an exchange that is over has asked; `error` is why the last of them, who answered, broke off."""
    attempts = list(exchange.failures or ())
    serving = exchange.serving
    if exchange.cache in ("miss", "bypass"):
        serving = exchange.deployment  # the call that is made for a cache serves nobody but it
    if serving is not None:
        now_s = clock.monotonic_s()
        attempts.append(Attempt(serving.id, serving.provider.name, serving.model, exchange.asked_s, now_s, error))
    return attempts


def _why(failed: bool) -> str | None:
    match sys.exception():
        case asyncio.CancelledError():
            return "caller_left"
        case WyeError() as error if failed:
            return error.code
        case None if failed:
            return StreamCut.code  # it broke off after it had begun, and the stream itself told why
        case None:
            return None
        case _:
            return WyeError.code if failed else None
