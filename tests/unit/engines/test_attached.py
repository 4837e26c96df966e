"""Models of servers elsewhere: what is seen of a server that is there, another, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wye.drivers.http import HttpTransport
from wye.engines import attached as module
from wye.engines.attached import Attached, AttachedEngine
from wye.kernel.errors import Conflict, NoDeployment, NotFound
from wye.ports.engine import Address
from wye.ports.transport import Origin
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


def engine_of(fake: FakeUpstream, transport: HttpTransport, **members: Any) -> AttachedEngine:
    address = Address(Origin("http", "127.0.0.1", fake.port), b"/llm", b"authorization: Bearer k\r\n", "org/m")
    return AttachedEngine({"m": Attached(address, fake.url, 3, roles=("fast",), **members)}, transport)


LISTS: dict[str, tuple[Any, int]] = {
    "Wye": ({"data": [{"id": "other"}, {"id": "org/m", "context_length": 2048}]}, 2048),
    "vLLM": ({"data": [{"id": "org/m", "max_model_len": 40_960}]}, 40_960),
    "llama-server, which has one model of any name": ({"data": [{"id": "x.gguf", "meta": {"n_ctx_train": 512}}]}, 512),
    "another model": ({"data": [{"id": "x", "context_length": 1}, {"id": "y", "context_length": 2}]}, 8192),
    "nothing of it": ({"data": [{"id": "org/m"}]}, 8192),
    "nonsense": ({"data": [{"id": "org/m", "max_model_len": "much", "meta": []}]}, 8192),
    "no list": ([], 8192),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_server_that_is_there_tells_the_context(name: str, transport: HttpTransport) -> None:
    told, context = LISTS[name]
    with FakeUpstream(lambda _: json_body(told)) as fake:
        engine = engine_of(fake, transport)
        assert engine.models()[0].status == "available", "nobody has looked yet"
        loaded = await engine.load("m")
    assert (loaded.status, loaded.context_length, loaded.slots, loaded.roles) == ("loaded", context, 3, ["fast"])
    assert (fake.requests[0].path, fake.requests[0].headers["authorization"]) == ("/llm/v1/models", "Bearer k")


async def test_a_configured_context_goes_before_what_is_told(transport: HttpTransport) -> None:
    with FakeUpstream(lambda _: json_body(LISTS["vLLM"][0])) as fake:
        assert (await engine_of(fake, transport, context_length=100).load("m")).context_length == 100


@pytest.mark.parametrize(
    ("answer", "words"),
    [(json_body({}, 401), "it answered 401 when it was asked for its models"), (FakeAnswer([], end="reset"), "")],
)
async def test_a_server_that_does_not_answer_is_told_and_seen(
    transport: HttpTransport, answer: FakeAnswer, words: str
) -> None:
    with FakeUpstream(lambda _: answer) as fake:
        engine = engine_of(fake, transport)
        with pytest.raises(
            NoDeployment, match=f"'m' cannot be asked: the server at {fake.url} does not answer: {words}"
        ):
            await engine.load("m")
    [seen] = engine.models()
    assert seen.status == "failed"
    assert words in (seen.error or "")


async def test_an_answer_that_is_no_json_is_still_an_answer(transport: HttpTransport) -> None:
    with FakeUpstream(lambda _: FakeAnswer([b"<html>"])) as fake:
        assert (await engine_of(fake, transport).load("m")).status == "loaded"


async def test_it_keeps_looking(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    with FakeUpstream(lambda _: json_body({}, 503)) as fake:
        engine = engine_of(fake, transport)
        await engine.start()
        try:
            for wanted in ("failed", "loaded"):
                async with asyncio.timeout(60):
                    while engine.models()[0].status != wanted:  # noqa: ASYNC110 - there is nobody to tell
                        await asyncio.sleep(0.01)
                fake.script = lambda _: json_body({})
        finally:
            await engine.close()


async def test_it_is_not_wyes_to_unload(transport: HttpTransport) -> None:
    with FakeUpstream() as fake:
        engine = engine_of(fake, transport)
        with pytest.raises(Conflict, match=f"'m' belongs to the server at {fake.url}: unload it there"):
            await engine.unload("m")
        assert (await engine.address("m")).model == "org/m"
    for verb in (engine.load, engine.unload, engine.address):
        with pytest.raises(NotFound):
            await verb("x")
    await engine.close()
