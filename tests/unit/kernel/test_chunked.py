"""One chunk of HTTP/1.1, and how it begins."""

import pytest
from httptools import HttpResponseParser

from wye.kernel.chunked import framed, lines_of_chunks


class Body:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append


@pytest.mark.parametrize("size", [1, 9, 15, 16, 17, 255, 256, 4089, 4095, 4096, 65_535, 65_536, 1 << 20])
def test_a_chunk_is_what_a_parser_takes_it_for(size: int) -> None:
    data, body = b"x" * size, Body()
    parser = HttpResponseParser(body)
    parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(2):  # the second time its line is known
        parser.feed_data(framed(data))
    assert b"".join(body.pieces) == data * 2
    assert framed(data).startswith(lines_of_chunks[len(framed(data))])


def test_how_a_chunk_begins_is_known_by_its_length() -> None:
    lines = {len(framed(b"x" * size)): b"%x\r\n" % size for size in range(1, 600)}
    for length in [*range(600), *range(600)]:
        assert lines_of_chunks[length] == lines.get(length, b"")
