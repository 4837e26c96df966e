"""What a relay that passes the bytes through must still see of them."""

from __future__ import annotations

import re

import msgspec

from wye.canon.usage import Usage
from wye.dialects.anthropic_messages.encoder import STOP
from wye.dialects.anthropic_messages.response import decode_response
from wye.dialects.dialect import TapRules
from wye.kernel.json import Raw, decode_answer


class _Figures(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Answer(msgspec.Struct):
    content: Raw
    usage: _Figures | None = None
    error: Raw = Raw(b"null")


_answers = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage | None:
    try:
        seen = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        seen = None
    if seen is None or bytes(seen.error) != b"null":
        return decode_response(decode_answer(body)).usage
    if seen.usage is None:
        return None
    figures = seen.usage
    read, written = figures.cache_read_input_tokens or 0, figures.cache_creation_input_tokens or 0
    return Usage((figures.input_tokens or 0) + read + written, figures.output_tokens, read, written)


# A quotation mark inside a JSON string is escaped, so text cannot look like this. The pattern begins with a single
# literal: it is searched for in every chunk, and an alternative at its front would make that six times slower.
TAP = TapRules(
    markers=re.compile(
        rb'"(?:type"\s*:\s*"(?:message_(?:start|delta|stop)|error|ping)"'
        rb'|(?<=data: \{")error"\s*:)'  # servers in between that send an error without its type
    ),
    usage_of=usage_of,
    terminator=STOP,
)
