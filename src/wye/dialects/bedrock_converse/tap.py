"""What a relay that passes the bytes through must still see of them."""

from __future__ import annotations

import re

import msgspec

from wye.canon.usage import Usage
from wye.dialects.bedrock_converse.response import decode_response
from wye.dialects.dialect import TapRules
from wye.kernel.json import Raw, decode_answer


class _Figures(msgspec.Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class _Answer(msgspec.Struct):
    output: Raw
    usage: _Figures | None = None


_answers = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage | None:
    try:
        seen = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_response(decode_answer(body)).usage
    if seen.usage is None:
        return None
    figures = seen.usage
    read, written = figures.cache_read_input_tokens, figures.cache_write_input_tokens
    fresh = figures.input_tokens
    total = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(total, figures.output_tokens, read, written)


# A string header is its type (7), two bytes of length and its text. JSON holds no such bytes outside of an escape.
TAP = TapRules(markers=re.compile(rb"\x07\x00(?:\x0bmessageStop|\x08metadata)"), usage_of=usage_of)
SSE_TAP = TapRules(markers=re.compile(rb"event: ?(?:messageStop|metadata|[A-Za-z]+Exception)"), usage_of=usage_of)
