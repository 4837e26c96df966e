"""A server under many calls at once: all are answered, little memory is taken, and a kept answer asks nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import median

import openai
import pytest

from benchmarks.relay.processes import rss_bytes
from wye.testing.fake_provider import FakeProvider
from wye.testing.process import WyeProcess, fake_config
from wye.testing.telling import Pace

ANSWER = "4"
QUESTION = "What is 2+2?"
CALLS = 1_000
GROWTH_MIB = 100
LATENCY_S = 0.2


@pytest.fixture(scope="module")
def slow() -> Iterator[FakeProvider]:
    with FakeProvider(latency_s=LATENCY_S) as provider:
        yield provider


@pytest.fixture(scope="module")
def server(slow: FakeProvider) -> Iterator[WyeProcess]:
    kept = {"deployments": [{"provider": "openai", "model": "kept"}], "cache": {"ttl_s": 60}}
    with WyeProcess({**fake_config(slow), "routes": {"kept": kept}}) as process:
        yield process


async def ask(server: WyeProcess, calls: int, at_once: int) -> list[str | None]:
    turn = asyncio.Semaphore(at_once)
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:

        async def one(number: int) -> str | None:
            message = [{"role": "user", "content": QUESTION}]
            async with turn:
                if number % 2:
                    whole = await client.chat.completions.create(model="openai/m", messages=message)
                    return whole.choices[0].message.content
                stream = await client.chat.completions.create(model="openai/m", messages=message, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

        return await asyncio.gather(*(one(number) for number in range(calls)))


async def test_fifty_at_once_are_all_answered(server: WyeProcess, slow: FakeProvider) -> None:
    before = slow.counters["calls"]
    assert await ask(server, 50, 50) == [ANSWER] * 50
    assert slow.counters["calls"] - before == 50


async def test_memory_grows_little_under_load(server: WyeProcess, slow: FakeProvider) -> None:
    slow.pace = Pace()
    await ask(server, 100, 50)
    before = rss_bytes(server.pid)
    answers = await ask(server, CALLS, 50)
    assert answers == [ANSWER] * CALLS
    assert (rss_bytes(server.pid) - before) >> 20 < GROWTH_MIB


def test_a_kept_answer_asks_nobody_and_waits_for_nobody(server: WyeProcess, slow: FakeProvider) -> None:
    slow.pace = Pace(LATENCY_S)
    before, took_s = slow.counters["model:kept"], list[float]()
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        for _ in range(6):
            begun = time.perf_counter()
            answer = client.chat.completions.create(model="kept", messages=[{"role": "user", "content": QUESTION}])
            took_s.append(time.perf_counter() - begun)
            assert answer.choices[0].message.content == ANSWER
    assert slow.counters["model:kept"] - before == 1
    assert median(took_s[1:]) < took_s[0] / 2
