"""Every fault that upstreams show, by name: `stall`, or with an argument `stall=3`.

A fault is chosen by the fake's configuration, by a rule of its script, by the model's name (`gpt-4o-fault-stall`) or
by a request's header (`x-fake-fault: stall=3`). Faults that end by themselves count for each model's name: one that
only one test uses is in nobody else's way.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from wye.canon.request import ChatRequest
from wye.dialects.dialect import EVENT_STREAM, Dialect
from wye.kernel import eventstream
from wye.kernel.errors import BadRequest, UpstreamRefused, WyeError
from wye.kernel.json import encode
from wye.testing.fake import FakeAnswer
from wye.testing.telling import Told, refuse

_NAME = re.compile(r"([a-z0-9-]+?)(?:=(\d+(?:\.\d+)?))?")
_IN_MODEL = re.compile(r"(?<![a-z])fault-([a-z0-9-]+(?:=\d+(?:\.\d+)?)?)$")
_STATUS = re.compile(r"([45]\d\d)(-once)?")
_MEGABYTE = b"x" * 1024 * 1024
_PAST_ALL_S = 3600.0
_FLUSH_S = 0.05
"""Before a reset, which would take with it what the other side has not read."""


class Case(msgspec.Struct):
    """One request that a fault befalls."""

    dialect: Dialect
    request: ChatRequest | None
    """None for one that asks for vectors."""
    told: Callable[[], Told]
    """What would be answered without the fault."""
    number: int
    """How many requests to this model the fault has befallen, with this one."""
    since_s: float
    """How long ago it befell the first of them."""


class Fault(msgspec.Struct, frozen=True):
    name: str
    summary: str
    apply: Callable[[Case, float | None], FakeAnswer]
    argument: str = ""
    """What a number after `=` means, and which there is without."""


def fault_named(spec: str) -> tuple[Fault, float | None]:
    """The fault and its argument. Raises BadRequest with the names that there are."""
    found = _NAME.fullmatch(spec.strip())
    name, argument = (found[1], float(found[2]) if found[2] else None) if found else ("", None)
    if _STATUS.fullmatch(name):
        return Fault(name, "", lambda case, argument: _status(name, case, argument)), argument
    if name not in FAULTS:
        known = ", ".join(FAULTS)
        raise BadRequest(f"'{spec[:100]}' is no fault; known are a status (503, 503-once) and {known}", param="fault")
    return FAULTS[name], argument


def fault_of_model(model: str) -> str | None:
    """The fault that a model's name asks for."""
    found = _IN_MODEL.search(model)
    return found[1] if found else None


# Instead of an answer.


def _status(name: str, case: Case, argument: float | None) -> FakeAnswer:
    if name.endswith("-once") and case.number > 1:
        return case.told().answer()
    status = int(name[:3])
    words = _WORDS.get(status, "The server had an error while processing your request.")
    return refuse(case.dialect, UpstreamRefused(words, status=status, code=None, retry_after_s=argument))


_WORDS = {
    401: "Incorrect API key provided.",
    403: "You do not have access to this model.",
    404: "The model does not exist.",
    429: "Rate limit reached for requests.",
    503: "The engine is currently overloaded, please try again later.",
    529: "Overloaded",
}


def _down(case: Case, argument: float | None) -> FakeAnswer:
    return case.told().answer() if case.since_s >= (argument or 60) else _status("503", case, None)


def _reset(case: Case, argument: float | None) -> FakeAnswer:
    if argument is None:
        return FakeAnswer([], head=False, end="reset")
    told = case.told()
    at = told.at(0, argument)
    told.pieces.insert(at, _FLUSH_S)
    return _ended(told, at + 1, "reset")


def _silent(case: Case, argument: float | None) -> FakeAnswer:
    return FakeAnswer([], head=False, end="hang")


def _html(case: Case, argument: float | None) -> FakeAnswer:
    page = b"<html><body><h1>502 Bad Gateway</h1></body></html>\n"
    return FakeAnswer([page], 502, {"content-type": "text/html"}, length=len(page))


def _empty(case: Case, argument: float | None) -> FakeAnswer:
    return FakeAnswer([], headers=case.told().headers)


def _gzip(case: Case, argument: float | None) -> FakeAnswer:
    return FakeAnswer([b"\x1f\x8b\x08\x00no gzip at all"], headers={**case.told().headers, "content-encoding": "gzip"})


def _error_in_200(case: Case, argument: float | None) -> FakeAnswer:
    body = encode(case.dialect.encode_error(_overloaded(), ""))
    return FakeAnswer([body], headers={"content-type": "application/json"}, length=len(body))


def _context_length(case: Case, argument: float | None) -> FakeAnswer:
    words = _TOO_LONG.get(case.dialect.name, "Input is too long for requested model.")
    return refuse(case.dialect, BadRequest(words, code="context_length_exceeded", param="messages"))


_TOO_LONG = {
    **dict.fromkeys(
        ("openai_chat", "openai_completions", "openai_responses"),
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 tokens. "
        "Please reduce the length of the messages.",
    ),
    "anthropic_messages": "prompt is too long: 200001 tokens > 200000 maximum",
}


def _content_policy(case: Case, argument: float | None) -> FakeAnswer:
    words = "Your request was rejected as a result of our safety system."
    return refuse(case.dialect, BadRequest(words, code="content_policy_violation", param="messages"))


def _no_prefill(case: Case, argument: float | None) -> FakeAnswer:
    messages = case.request.messages if case.request is not None else []
    if messages and messages[-1].role == "assistant":
        words = "This model does not support assistant message prefill. The conversation must end with a user message."
        return refuse(case.dialect, BadRequest(words, param="messages"))
    return case.told().answer()


# An answer that goes wrong on its way.


def _ended(told: Told, at: int, end: str) -> FakeAnswer:
    told.pieces = told.pieces[:at]
    return msgspec.structs.replace(told.answer("cut"), end=end)


def _cut(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    return _ended(told, told.at(2 / 3, argument), "cut")


def _truncated(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    return _ended(told, told.at(2 / 3, argument), "clean")


def _stall(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    told.pieces.insert(told.at(1 / 3, argument), _PAST_ALL_S)
    return told.answer()


def _slow_start(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    told.pieces.insert(told.at(0), 20.0 if argument is None else argument)
    return told.answer()


def _broken_frame(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    _change(told, case.dialect, lambda data: data.rstrip()[:-4] + (b"\n\n" if told.stream else b""))
    return told.answer()


def _invalid_utf8(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    _change(told, case.dialect, lambda data: data[: data.rfind(b'"')] + b"\xff\xfe" + data[data.rfind(b'"') :])
    return told.answer()


def _change(told: Told, dialect: Dialect, change: Callable[[bytes], bytes]) -> None:
    """Change one piece of content in the middle; in AWS's framing what a message holds."""
    at = told.at(1 / 2)
    piece = told.pieces[at]
    assert isinstance(piece, bytes)
    if told.stream and dialect.framing is EVENT_STREAM:
        changed = [
            eventstream.encode_message(found.headers, change(found.payload)) for found in eventstream.parse(piece)
        ]
        told.pieces[at] = b"".join(changed)
    else:
        told.pieces[at] = change(piece)


def _error_first(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    if not told.stream:
        return _error_in_200(case, argument)
    told.pieces = [case.dialect.encode_stream_error(_overloaded(), "")]
    return told.answer()


def _error_within(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    if not told.stream:
        return _error_in_200(case, argument)
    at = told.at(1 / 2, argument)
    told.pieces[at:] = [case.dialect.encode_stream_error(_overloaded(), "")]
    return told.answer()


def _no_terminator(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    terminator = case.dialect.tap.terminator
    last = told.pieces[-1] if told.pieces else b""
    if told.stream and terminator and isinstance(last, bytes):
        told.pieces[-1] = last.removesuffix(terminator)
    return told.answer()


def _drip(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    size = max(1, int(argument or 1))
    whole = b"".join(piece for piece in told.pieces if isinstance(piece, bytes))
    told.pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    return told.answer()


def _gigantic(case: Case, argument: float | None) -> FakeAnswer:
    """A frame that ends, and is one that its dialect's clients know nothing of."""
    told = case.told()
    count = int(argument or 40)
    if told.stream and case.dialect.framing is EVENT_STREAM:
        whole = eventstream.message("padding", b'{"p":"' + _MEGABYTE * count + b'"}')
        frame: list[bytes | float] = [whole[i : i + len(_MEGABYTE)] for i in range(0, len(whole), len(_MEGABYTE))]
    else:
        frame = [b'data: {"type":"padding","p":"', *[_MEGABYTE] * count, b'"}\n\n']
    at = told.at(1 / 2)
    told.pieces[at:at] = frame
    return told.answer()


def _endless(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    at = told.at(1 / 2)
    begin = b"\x00\xff\xff\xff" if told.stream and case.dialect.framing is EVENT_STREAM else b"data: "
    told.pieces = [*told.pieces[:at], begin, *[_MEGABYTE] * int(argument or 1024)]
    return told.answer("cut")


def _wrong_length(case: Case, argument: float | None) -> FakeAnswer:
    told = case.told()
    return msgspec.structs.replace(told.answer("cut"), length=told.size + int(argument or 100))


def _overloaded() -> WyeError:
    return UpstreamRefused(_WORDS[529], status=529, kind="overloaded_error")


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("down", "503 from the first call on, and well again after a time", _down, "seconds, 60"),
        Fault("reset", "the connection is reset before the headers, or in the answer", _reset, "after so many tokens"),
        Fault("silent", "the request is taken and never answered", _silent),
        Fault("slow-start", "the headers at once, the first token late", _slow_start, "seconds, 20"),
        Fault("cut", "the connection closes within the answer", _cut, "after so many tokens, two thirds of them"),
        Fault("truncated", "a clean end within the answer", _truncated, "after so many tokens, two thirds of them"),
        Fault("stall", "silence within the answer", _stall, "after so many tokens, a third of them"),
        Fault("broken-frame", "one frame is broken JSON", _broken_frame),
        Fault("invalid-utf8", "one frame is no UTF-8", _invalid_utf8),
        Fault("no-terminator", "a whole stream without its last frame ([DONE], message_stop)", _no_terminator),
        Fault("context-length", "400: the input is too long for the model", _context_length),
        Fault("content-policy", "400: the input breaks the vendor's policy", _content_policy),
        Fault("no-prefill", "400 when the last message is the assistant's", _no_prefill),
        Fault("error-in-200", "an error as the body of a 200", _error_in_200),
        Fault("error-first", "a stream that begins with an error", _error_first),
        Fault("error-within", "a stream that ends in an error", _error_within, "after so many tokens, half of them"),
        Fault("drip", "a byte at a time", _drip, "bytes, 1"),
        Fault("gigantic-frame", "one frame of many megabytes", _gigantic, "megabytes, 40"),
        Fault("endless", "a frame that never ends", _endless, "megabytes, 1024"),
        Fault("wrong-length", "a content-length beyond the body's", _wrong_length, "bytes too many, 100"),
        Fault("gzip-garbage", "said to be gzip, and is not", _gzip),
        Fault("html", "502 with a page for people", _html),
        Fault("empty", "200 and nothing", _empty),
    )
}
