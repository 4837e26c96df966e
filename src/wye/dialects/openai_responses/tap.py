"""What a relay that passes the bytes through must still see of them."""

from __future__ import annotations

import re

import msgspec

from wye.canon.usage import Usage
from wye.dialects.dialect import TapRules
from wye.dialects.openai_responses.encoder import DONE
from wye.dialects.openai_responses.response import decode_response
from wye.kernel.json import Raw, decode_answer

# Usage and the end come in one frame, in which no text of the model stands outside a string. The pattern begins with a
# single literal: it is searched for in every chunk.
_MARKERS = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error|keepalive)"')


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Figures(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Answer(msgspec.Struct):
    output: Raw
    usage: _Figures | None = None
    error: Raw = Raw(b"null")


_answers = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage | None:
    try:
        seen = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        seen = None
    if seen is None or bytes(seen.error) != b"null" or not bytes(seen.output).startswith(b"["):
        return decode_response(decode_answer(body)).usage
    usage = seen.usage
    if usage is None:
        return None
    asked, answered = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        None if asked is None else asked.cached_tokens,
        reasoning_tokens=None if answered is None else answered.reasoning_tokens,
    )


TAP = TapRules(markers=_MARKERS, usage_of=usage_of, terminator=DONE)
