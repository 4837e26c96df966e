"""A line in the log for a share of the calls, and for every one that failed."""

from __future__ import annotations

import logging
import random

from wye.ports.telemetry import CallRecord

_log = logging.getLogger("wye.calls")
_random = random.Random()  # noqa: S311 - a sample is no secret


class RequestLog:
    """`share` of the calls that went well, 0 to 1. The record's `call` holds the figures for programs."""

    def __init__(self, share: float) -> None:
        self._share = share

    def record(self, call: CallRecord) -> None:
        if call.error is None and _random.random() >= self._share:
            return
        by = call.attempts[-1].deployment if call.attempts else "nobody"
        fields: dict[str, object] = {
            "request_id": call.request_id,
            "operation": call.operation,
            "dialect": call.dialect,
            "model": call.model,
            "principal": call.principal,
            "stream": call.stream,
            "deployment": by,
            "attempts": len(call.attempts),
            "seconds": round(call.seconds, 4),
            "first_s": round(call.first_s, 4) if call.first_s is not None else None,
            "cache": call.cache,
            "error": call.error,
        }
        tokens = ""
        if call.usage is not None:
            fields |= {"input_tokens": call.usage.input_tokens, "output_tokens": call.usage.output_tokens}
            tokens = f", {call.usage.input_tokens}+{call.usage.output_tokens} tokens"
        outcome = f"failed ({call.error})" if call.error else "answered"
        _log.info(
            "%s %s %s by %s in %.3f s%s",
            *(call.request_id, call.model, outcome, by, call.seconds, tokens),
            extra={"call": fields},
        )

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass
