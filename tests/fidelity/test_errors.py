"""Every error in the words of every dialect, whole and within a stream: its status, its type, its message."""

from __future__ import annotations

import pytest

from tests.fidelity.corpus import MODEL, NO_STREAMS, as_sse
from tests.fidelity.errors import MESSAGE, TYPES, every_error, vendor, word
from wye.canon.events import End, Event, Failure, PartStart, Start, TextDelta
from wye.canon.loss import Losses
from wye.canon.parts import Text
from wye.canon.request import ChatRequest
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS
from wye.kernel import json
from wye.kernel.errors import UpstreamRefused, WyeError

BEGUN: list[Event] = [Start("id-1", MODEL), PartStart(0, Text("")), TextDelta(0, "Vines")]
SIZES = (1, 7, 64, 1 << 20)
SAID_FOR_OTHERS = {"ValidationException", "InternalServerException", "ModelStreamErrorException"}
"""By streams of AWS's, which know few types."""
BY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)


def whole(dialect: Dialect, error: WyeError) -> UpstreamRefused:
    """What a client of the dialect reads in an answer that is this error."""
    headers = dict(dialect.error_headers(error)) if dialect.error_headers is not None else {}
    return dialect.decode_error(error.status, headers, json.encode(dialect.encode_error(error, "req-1")))


def understood(status: int, dialect: Dialect) -> int:
    """AWS's status for a model that took too long blames the caller."""
    return 503 if word(status, dialect) == "ModelTimeoutException" else status


def streamed(dialect: Dialect, error: WyeError, size: int) -> list[Event]:
    """What a client of the dialect reads in a stream that this error breaks off."""
    encoder = dialect.stream_encoder(ChatRequest(model=MODEL, messages=[], stream=True), Losses())
    said = b"".join(encoder.encode(event) for event in [*BEGUN, Failure(error)])
    decoder = dialect.stream_decoder()
    events = [event for start in range(0, len(said), size) for event in decoder.feed(said[start : start + size])]
    return [*events, *decoder.close()]


@BY_DIALECT
def test_an_error_has_its_status_its_type_and_its_message(dialect: Dialect) -> None:
    for error in every_error():
        again = whole(dialect, error)
        expected = error.message, understood(error.status, dialect), word(error.status, dialect)
        assert (again.message, again.status, again.kind) == expected
        if vendor(dialect) != "aws":
            assert (again.code, again.param) == (error.code, error.param)


@BY_DIALECT
def test_an_error_breaks_off_a_stream(dialect: Dialect) -> None:
    for i, error in enumerate(every_error() if dialect.name not in NO_STREAMS else ()):
        types = {word(error.status, dialect)} | (SAID_FOR_OTHERS if vendor(dialect) == "aws" else set())
        *before, last = streamed(dialect, error, SIZES[i % len(SIZES)])
        assert isinstance(last, Failure)
        assert isinstance(last.error, UpstreamRefused)
        assert last.error.message == error.message
        assert last.error.kind in types
        assert "".join(event.text for event in before if isinstance(event, TextDelta)) == "Vines"
        assert not any(isinstance(event, End | Failure) for event in before)
        assert isinstance(streamed(as_sse(dialect), error, 64)[-1], Failure)


@pytest.mark.parametrize("other", DIALECTS.values(), ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("one", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_an_upstream_s_error_reaches_the_client_of_another_dialect(one: Dialect, other: Dialect) -> None:
    for status in TYPES:
        refused = whole(one, UpstreamRefused(MESSAGE, status=status, code="some_code"))
        again = whole(other, refused)
        if vendor(one) == vendor(other):
            expected = word(status, one)
        elif vendor(one) == "anthropic" and vendor(other) == "openai":
            # Which has no closed set of types: servers of its format have words of their own.
            expected = word(status, one)
        else:
            expected = word(refused.status, other)
        assert (again.message, again.kind) == (MESSAGE, expected), status
        assert again.status == understood(refused.status, other), status
        if "aws" not in (vendor(one), vendor(other)):
            assert again.code == "some_code"
