"""What a relay that passes the bytes of a chat or a text completion through must still see of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.dialect import TapRules
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, JsonObject, Raw, decode_answer, encode, split_object

DONE = b"data: [DONE]\n\n"

# Inside a JSON string every quote is escaped, so a name in quotes before a colon is a member. The pattern begins with a
# single literal: it is searched for in every chunk, and an alternative at its front would make that ten times slower.
_MARKERS = re.compile(rb'"(?:finish_reason"\s*:\s*"|usage"\s*:\s*\{|error"\s*:\s*[\{"])')
_USAGE_ONLY = re.compile(rb'\A(?=.*"choices"\s*:\s*\[\s*\])(?=.*"usage"\s*:\s*\{)', re.DOTALL)


def ask_usage(members: dict[str, Raw]) -> bool:
    """Make a streamed request ask for usage. Whether it did not do so itself. Raises BadRequest."""
    asked = members.get("stream_options")
    try:
        options = split_object(bytes(asked)) if asked is not None and bytes(asked) != b"null" else {}
    except JsonError:
        raise BadRequest("stream_options must be an object", param="stream_options") from None
    if bytes(options.get("include_usage", b"false")) == b"true":
        return False
    options["include_usage"] = Raw(b"true")
    members["stream_options"] = Raw(encode(options))
    return True


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Figures(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


_NO_ERROR = Raw(b"null")


class _Answer(msgspec.Struct, gc=False):
    choices: Raw
    usage: _Figures | None = None
    error: Raw = _NO_ERROR


_answers = msgspec.json.Decoder(_Answer)


def tap_of(decode_response: Callable[[JsonObject], ChatResponse]) -> TapRules:
    """The rules of a dialect whose answers are `choices` and `usage`; the decoder is for what is not plainly that."""

    def usage_of(body: bytes) -> Usage | None:
        try:
            seen = _answers.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = None
        if seen is None or (seen.error is not _NO_ERROR and bytes(seen.error) != b"null"):
            return decode_response(decode_answer(body)).usage
        if seen.usage is None:
            return None
        figures, details = seen.usage, seen.usage.prompt_tokens_details
        read = details.cached_tokens if details is not None else None
        return Usage(figures.prompt_tokens, figures.completion_tokens, read)

    return TapRules(
        markers=_MARKERS, usage_of=usage_of, unasked_usage=_USAGE_ONLY, terminator=DONE, ask_usage=ask_usage
    )
