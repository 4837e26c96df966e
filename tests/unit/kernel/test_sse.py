import pytest

from wye.kernel.errors import BadAnswer
from wye.kernel.sse import MAX_FRAME_BYTES, Frame, FrameSplitter, SseDecoder, frame, is_plain, parse, split

STREAMS = {
    "data only": (b"data: 1\n\ndata: 2\n\n", [Frame(b"1"), Frame(b"2")]),
    "with event names": (b"event: a\ndata: {}\n\nevent: b\ndata: x\n\n", [Frame(b"{}", "a"), Frame(b"x", "b")]),
    "CRLF": (b"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [Frame(b"1", "a"), Frame(b"2")]),
    "CR": (b"data: 1\r\rdata: 2\r\r", [Frame(b"1"), Frame(b"2")]),
    "mixed line ends": (b"data: 1\r\rdata: 2\r\n\ndata: 3\n\r\ndata: 4\n\n", [Frame(b"%d" % i) for i in (1, 2, 3, 4)]),
    "several data lines": (b"data: a\ndata: b\n\n", [Frame(b"a\nb")]),
    "no space after the colon": (b"data:a\n\n", [Frame(b"a")]),
    "a space of its own": (b"data:  a\n\n", [Frame(b" a")]),
    "no data": (b"data:\n\n", [Frame(b"")]),
    "comments, ids and retry times": (b": hi\n\nid: 7\nretry: 5\ndata: x\n\n", [Frame(b"x")]),
    "a field without a colon": (b"data\ndata: x\n\n", [Frame(b"\nx")]),
    "byte-order mark": (b"\xef\xbb\xbfdata: x\n\n", [Frame(b"x")]),
    "UTF-8 across chunks": ("data: héé€😀\n\n".encode(), [Frame("héé€😀".encode())]),
    "a name after the data": (b"data: x\nevent: a\n\n", [Frame(b"x", "a")]),
    "a name without data": (b"event: a\n\ndata: x\n\n", [Frame(b"x")]),
    "blank lines between": (b"\n\n\ndata: x\n\n\n\n", [Frame(b"x")]),
}


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("name", STREAMS)
def test_frames_are_the_same_at_every_chunk_size(name: str, size: int) -> None:
    stream, expected = STREAMS[name]
    decoder = SseDecoder()
    frames = [f for i in range(0, len(stream), size) for f in decoder.feed(stream[i : i + size])]
    assert frames + decoder.close() == expected


def test_a_last_frame_without_its_blank_line_comes_with_close() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: 1\n\ndata: 2\n") == [Frame(b"1")]
    assert decoder.close() == [Frame(b"2")]
    assert decoder.close() == []


def test_the_splitter_gives_the_bytes_back_as_they_came_and_ends_a_last_frame() -> None:
    stream = b"event: a\r\ndata: 1\r\n\r\n: c\n\ndata: 2\n\ndata: 3"
    splitter = FrameSplitter()
    whole = b"".join(splitter.feed(stream[i : i + 3]) for i in range(0, len(stream), 3))
    assert whole + splitter.close() == stream + b"\n\n"
    assert splitter.close() == b""


def test_a_whole_frame_is_passed_on_without_a_copy() -> None:
    chunk = b"data: 1\n\n"
    assert FrameSplitter().feed(chunk) is chunk


def test_an_endless_frame_is_refused() -> None:
    splitter = FrameSplitter()
    piece = b"x" * (1024 * 1024)
    for _ in range(MAX_FRAME_BYTES // len(piece)):
        assert splitter.feed(piece) == b""
    with pytest.raises(BadAnswer, match="more than"):
        splitter.feed(piece)


def test_each_byte_is_searched_once_however_small_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    import wye.kernel.sse as sse

    searched = 0
    real = sse._BLANK_LINE

    class Counting:
        def finditer(self, held: bytearray, start: int) -> object:
            nonlocal searched
            searched += len(held) - start
            return real.finditer(held, start)

    monkeypatch.setattr(sse, "_BLANK_LINE", Counting())
    splitter = FrameSplitter()
    for _ in range(5000):
        splitter.feed(b"x")
    assert searched < 5000 * 5


def test_a_frame_is_written_with_and_without_a_name() -> None:
    assert frame(b"{}") == b"data: {}\n\n"
    assert frame(b"{}", "ping") == b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS.values()], ids=STREAMS.keys())
def test_frames_that_are_split_are_the_same_frames(stream: bytes) -> None:
    pieces = split(stream)
    assert b"".join(pieces) == stream
    assert [found for piece in pieces for found in SseDecoder().feed(piece)] == SseDecoder().feed(stream)
    assert all(len(parse(piece)) <= 1 for piece in pieces)


@pytest.mark.parametrize(
    ("whole", "plain"),
    [
        (b'data: {"a":1}\n\n', True),
        (b"data: {}\n\ndata: {}\n\n", True),
        (b"event: a\ndata: {}\n\n", True),
        (b"data: {}\r\n\r\n", True),
        (b": a comment\n\n", False),
        (b"event: error\ndata: {}\n\n", False),
        (b"data: {}\n\ndata: [DONE]\n\n", False),
        (b"data: {\n\n", False),
        (b"data: {]\n\n", False),
        (b"data: [1]\n\n", False),
        (b"data: x\n\n", False),
    ],
)
def test_plain_frames_are_objects_and_no_errors(whole: bytes, plain: bool) -> None:
    assert is_plain(whole) is plain
