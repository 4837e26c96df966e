"""A file of the largest size is taken, one that is larger is not, and the server's memory stays where it was."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import wire
from tests.integration.cli.conftest import Serve, Started

MiB = 1024 * 1024
LIMIT = 50 * MiB
PIECE = b"The Wye flows from Plynlimon to Chepstow and the Severn.        " * (MiB // 64)


def memory_of(server: Started) -> int:
    """Bytes of it that are in memory."""
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(server.process.pid)], capture_output=True, check=True, text=True
    )
    return int(told.stdout) * 1024


class Sending:
    """A form with a file of so many bytes, made as it is sent, and the most memory that the server took meanwhile."""

    def __init__(self, server: Started, size: int) -> None:
        self.most = 0
        self.size = size
        empty = wire.form("large.txt", b"\0")
        self.head, self.tail = empty.body.split(b"\0")
        self._server = server

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        for sent in range(0, self.size, MiB):
            yield PIECE[: self.size - sent]
            self.most = max(self.most, memory_of(self._server))
        yield self.tail


def upload(server: Started, size: int, *, told: bool) -> tuple[int, Any, int]:
    """`told` says the length before; else nobody knows it before it is there."""
    parts = urlsplit(server.url)
    sending = Sending(server, size)
    length = len(sending.head) + size + len(sending.tail)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"content-type": "multipart/form-data; boundary=border"}
    if told:
        headers["content-length"] = str(length)
    with suppress(ConnectionError):  # what is refused is not read to its end
        connection.request("POST", "/api/v1/upload", iter(sending), headers, encode_chunked=not told)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said, sending.most


@pytest.mark.parametrize("told", [True, False], ids=["length-told", "in-chunks"])
def test_what_is_too_large_is_refused_and_never_held(told: bool, serve: Serve) -> None:
    Path("wye.yaml").write_text("local: {enabled: false}\ndocuments: {readers: 0}\n")
    server = serve()
    assert upload(server, 1000, told=True)[0] == 200  # what is imported at first use is there
    before = memory_of(server)
    status, said, most = upload(server, 60 * 1000 * 1000, told=told)
    assert (status, "File too large" in said["error"]["message"]) == (413, True), said
    assert "52428800 bytes" in said["error"]["message"]
    assert most - before < 20 * MiB
    status, said, most = upload(server, LIMIT, told=told)
    assert (status, said["bytes"]) == (200, LIMIT)
    assert most - before < 20 * MiB
    assert upload(server, LIMIT + 1, told=told)[0] == 413
