"""A closed loop of callers: each of C keep-alive connections asks again as soon as it has its answer.

Every answer is checked; a wrong one counts as an error. Reads a `Load` as JSON from its argument, prints a `Result`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import httptools
import uvloop

from benchmarks.relay import wire


@dataclass(frozen=True)
class Load:
    port: int
    model: str
    requests: int
    connections: int
    stream: bool = False
    large: bool = False


@dataclass(frozen=True)
class Result:
    answered: int
    errors: int
    first_error: str | None
    seconds: float


class Caller(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, run: Run) -> None:
        self.run = run

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        if not self.run.take():
            self.transport.close()
            return
        self.body: list[bytes] = []
        self.parser = httptools.HttpResponseParser(self)
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.run.note(f"not HTTP: {error}")
            self.transport.close()

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        body = b"".join(self.body)
        self.run.note(self.run.wrong(body) if status == 200 else f"status {status}: {body[:300]!r}")
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(exc)


class Run:
    """What the callers of one run share."""

    def __init__(self, load: Load) -> None:
        prompt = wire.LARGE_PROMPT if load.large else wire.SMALL_PROMPT
        self.request = wire.request(load.model, prompt, load.stream)
        self.wrong: Callable[[bytes], str | None] = wire.wrong_stream if load.stream else wire.wrong_whole
        self.load = load
        self.left = load.requests
        self.open = load.connections
        self.answered = 0
        self.errors = 0
        self.first_error: str | None = None
        self.over = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def note(self, wrong: str | None) -> None:
        self.answered += 1
        if wrong is not None:
            self.errors += 1
            self.first_error = self.first_error or wrong

    def lost(self, error: Exception | None) -> None:
        self.open -= 1
        if not self.open:
            self.over.set_result(None)
        if self.left > 0 and self.first_error is None:
            self.first_error = f"the gateway closed a connection ({error})"

    async def result(self) -> Result:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(self.load.connections):
            await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.load.port)
        await self.over
        missing = self.load.requests - self.answered
        return Result(self.answered, self.errors + missing, self.first_error, loop.time() - begun)


async def main() -> None:
    result = await Run(Load(**json.loads(sys.argv[1]))).result()
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    uvloop.run(main())
