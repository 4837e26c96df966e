from __future__ import annotations

import struct
from time import process_time
from timeit import timeit
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, EventStreamHeaderParser
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.kernel.errors import BadAnswer, StreamCut
from wye.kernel.eventstream import (
    MAX_MESSAGE_BYTES,
    EventStreamDecoder,
    FrameSplitter,
    HeaderValue,
    Message,
    encode_message,
    exception,
    is_plain,
    message,
    parse,
    split,
)

NAMES = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) <= 255)
VALUES: st.SearchStrategy[HeaderValue] = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=100) | st.text(max_size=100)
)
MESSAGES = st.builds(Message, st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=300))


def raw(headers: bytes, payload: bytes = b"") -> bytes:
    """A message with any bytes for headers, and right checksums."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    said = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return said + struct.pack(">I", crc32(said))


@settings(derandomize=True, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.sampled_from([1, 7, 64, 10_000]))
def test_messages_are_the_same_at_every_chunk_size(messages: list[Message], size: int) -> None:
    stream = b"".join(encode_message(*each) for each in messages)
    decoder = EventStreamDecoder()
    found = [m for i in range(0, len(stream), size) for m in decoder.feed(stream[i : i + size])]
    decoder.close()
    assert found == messages
    assert [encode_message(*each) for each in messages] == split(stream)


@settings(derandomize=True, deadline=None)
@given(MESSAGES)
def test_botocore_reads_what_we_write(sent: Message) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(*sent))
    [found] = list(buffer)
    assert (found.headers, found.payload) == sent


def test_every_type_of_header_is_read_as_botocore_reads_it() -> None:
    values = (
        b"\x00", b"\x01", b"\x02\xff", b"\x03\x80\x00", b"\x04\x7f\xff\xff\xff", b"\x05" + b"\xff" * 8,
        b"\x06\x00\x02\x00\xff", b"\x07\x00\x03\xe2\x82\xac", b"\x08" + b"\x00" * 7 + b"\x09",
        b"\x09" + bytes(range(16)),
    )  # fmt: skip
    block = b"".join(b"\x01" + bytes([ord("a") + i]) + value for i, value in enumerate(values))
    [found] = list(parse(raw(block, b"x")))
    assert found.headers == EventStreamHeaderParser().parse(block)
    assert list(found.headers.values()) == [
        True, False, -1, -32768, 2**31 - 1, -1, b"\x00\xff", "€", 9, bytes(range(16)),
    ]  # fmt: skip
    assert found.payload == b"x"
    assert (found.text("h"), found.text("a"), found.text("absent")) == ("€", "", "")


@pytest.mark.parametrize(
    "block",
    [
        b"\x05abc",  # a name cut short
        b"\x01a",  # no type
        b"\x01a\x0a",  # a type that does not exist
        b"\x01a\x04\x00",  # a number cut short
        b"\x01a\x07\x00",  # a length cut short
        b"\x01a\x07\x00\x05abc",  # a value cut short
        b"\x01a\x09abc",
        b"\x01a\x07\x00\x01\xff",  # no UTF-8
    ],
)
def test_headers_that_cannot_be_read_are_a_bad_answer(block: bytes) -> None:
    with pytest.raises(BadAnswer, match="headers"):
        list(EventStreamDecoder().feed(raw(block)))


def test_numbers_and_bytes_in_headers_are_written_as_botocore_reads_them() -> None:
    sent = Message({"n": -(2**63), "b": b"\x00\xff", "t": True, "f": False, "s": "€"}, b"x")
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(*sent))
    [found] = list(buffer)
    assert (found.headers, found.payload) == sent
    assert split(encode_message(*sent)) == [encode_message(*sent)]


def test_a_message_that_ends_with_its_chunk_is_passed_on_without_a_copy() -> None:
    chunk = message("messageStop", b"{}")
    assert FrameSplitter().feed(chunk) is chunk


def test_the_splitter_gives_whole_messages_back_as_they_came() -> None:
    pieces = [message("a", b"{}"), message("b", b'{"x":1}'), exception("c", b"{}")]
    stream = b"".join(pieces)
    for size in (1, 5, 13, 40, len(stream)):
        splitter = FrameSplitter()
        cut = [splitter.feed(stream[i : i + size]) for i in range(0, len(stream), size)]
        assert [piece for whole in cut for piece in split(whole)] == pieces
        assert splitter.close() == b""


@pytest.mark.parametrize("kept", [1, 11, 12, 30])
def test_an_end_within_a_message_is_a_cut(kept: int) -> None:
    decoder = EventStreamDecoder()
    assert len(list(decoder.feed(message("a", b"{}") + message("b", b"{}")[:kept]))) == 1
    with pytest.raises(StreamCut, match="middle of a message"):
        decoder.close()


def test_what_is_no_prelude_is_refused() -> None:
    with pytest.raises(BadAnswer, match="does not match its checksum"):
        FrameSplitter().feed(b"HTTP/1.1 200 OK\r\n\r\n")
    lengths = struct.pack(">II", 20, 5)
    with pytest.raises(BadAnswer, match="shorter than its own headers"):
        FrameSplitter().feed(lengths + struct.pack(">I", crc32(lengths)))


def test_an_endless_message_is_refused_before_it_is_held() -> None:
    lengths = struct.pack(">II", MAX_MESSAGE_BYTES + 1, 0)
    with pytest.raises(BadAnswer, match="more than"):
        FrameSplitter().feed(lengths + struct.pack(">I", crc32(lengths)))


def test_a_damaged_message_is_refused_after_those_before_it() -> None:
    sent = bytearray(message("a", b'{"text":"x"}'))
    sent[-8] ^= 1
    found = EventStreamDecoder().feed(message("b", b"{}") + bytes(sent))
    assert next(found).text(":event-type") == "b"
    with pytest.raises(BadAnswer, match="does not match its checksum"):
        next(found)
    assert not is_plain(bytes(sent))


def test_what_is_no_message_is_refused_after_those_before_it() -> None:
    good = message("a", b"{}")
    splitter = FrameSplitter()
    assert splitter.feed(good + b"HTTP/1.1 200 OK") == good
    with pytest.raises(BadAnswer, match="checksum"):
        splitter.feed(good)
    with pytest.raises(BadAnswer, match="checksum"):
        splitter.close()


def test_plain_is_what_any_caller_can_parse() -> None:
    good = message("a", b'{"text":"x"}')
    assert is_plain(good + good)
    assert not is_plain(good + message("a", b"[1]"))
    assert not is_plain(good + exception("throttlingException", b'{"message":"Slow"}'))
    assert not is_plain(encode_message({}, b"{}"))


def test_an_event_and_an_exception_say_so_in_their_headers() -> None:
    said = list(parse(message("metadata", b"{}") + exception("validationException", b'{"message":"No"}')))
    assert said == [
        ({":event-type": "metadata", ":content-type": "application/json", ":message-type": "event"}, b"{}"),
        (
            {
                ":exception-type": "validationException",
                ":content-type": "application/json",
                ":message-type": "exception",
            },
            b'{"message":"No"}',
        ),
    ]


@pytest.mark.parametrize("headers", [{"n" * 256: "x"}, {"a": "x" * 65536}, {"a": 2**63}])
def test_a_header_that_does_not_fit_is_refused(headers: dict[str, HeaderValue]) -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_message(headers, b"")


def test_small_chunks_cost_no_more_than_their_bytes() -> None:
    """Feeding a long message byte by byte is linear: the prelude is read once, and nothing is copied until the end."""

    def feed(size: int) -> float:
        sent = message("a", b"x" * size)
        pieces = [sent[i : i + 1] for i in range(len(sent))]

        def run() -> None:
            splitter = FrameSplitter()
            for piece in pieces:
                splitter.feed(piece)

        return min(timeit(run, timer=process_time, number=1) for _ in range(3))

    assert feed(40_000) < 40 * feed(4_000)
