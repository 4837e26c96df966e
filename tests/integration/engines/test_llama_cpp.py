"""The engine with the real model in the box and a real child process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wye.catalog.local_models import CARDS
from wye.drivers.http import HttpTransport
from wye.engines.llama_cpp.engine import LlamaCppEngine
from wye.engines.weights import LocalWeights, card_of_file
from wye.kernel.errors import Overloaded, UpstreamError
from wye.ports.transport import Clocks

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("engine")]

MODEL = "smollm2-135m-instruct"
HEADERS = b"content-type: application/json\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    await transport.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine(CARDS, LocalWeights(tmp_path / "models"), slots=2, context_length=512)
    yield engine
    await engine.close()


def pid_of(engine: LlamaCppEngine) -> int:
    pid = engine._models[MODEL].supervisor.pid
    assert pid is not None
    return pid


def children() -> list[int]:
    """The engine processes of this one."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            if parent == os.getpid() and "llama_cpp.child" in (stat.parent / "cmdline").read_text():
                found.append(int(stat.parent.name))
    return found


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def ask(engine: LlamaCppEngine, transport: HttpTransport, question: str, **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": 12, "temperature": 0, **more}
    origin = (await engine.address(MODEL)).origin
    data = json.dumps(body).encode()
    return await transport.send(origin, b"POST", b"/v1/chat/completions", HEADERS, data, Clocks())


async def answer(engine: LlamaCppEngine, transport: HttpTransport, question: str) -> str:
    reply = await ask(engine, transport, question)
    body = json.loads(await reply.read_all(1_000_000, 60))
    reply.close()
    assert reply.status == 200, body
    return body["choices"][0]["message"]["content"]


async def test_a_loaded_model_answers_on_its_socket(engine: LlamaCppEngine, transport: HttpTransport) -> None:
    described = await engine.load(MODEL)
    assert (described.status, described.context_length, described.error) == ("loaded", 512, None)
    assert "Paris" in await answer(engine, transport, "What is the capital of France?")


async def test_two_loads_at_once_start_one_child(engine: LlamaCppEngine) -> None:
    await asyncio.gather(engine.load(MODEL), engine.load(MODEL))
    assert children() == [pid_of(engine)]


async def test_a_process_killed_in_the_middle_of_an_answer_is_replaced(
    engine: LlamaCppEngine, transport: HttpTransport
) -> None:
    reply = await ask(engine, transport, "Count from 1 to 1000.", max_tokens=400, stream=True, ignore_eos=True)
    assert await reply.read(30)
    first = pid_of(engine)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(UpstreamError):
        await reply.read_all(1_000_000, 30)
    began = time.monotonic()
    while True:  # its end is noticed a moment later
        try:
            assert await answer(engine, transport, "Say hello.")
            break
        except UpstreamError:
            assert time.monotonic() - began < 60, "it was not replaced"
            await asyncio.sleep(0.05)
    assert pid_of(engine) != first


@pytest.mark.slow
async def test_a_request_that_would_fill_the_memory_fails_alone(
    engine: LlamaCppEngine, transport: HttpTransport
) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 10, "maxItems": 5}
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    reply = await ask(engine, transport, "Count.", response_format=form)
    await reply.read_all(1_000_000, 60)
    assert reply.status == 400
    assert await answer(engine, transport, "Say hello.")


async def test_unloading_ends_the_process_and_closing_removes_the_folder(engine: LlamaCppEngine) -> None:
    folder = Path((await engine.address(MODEL)).origin.socket_path).parent
    first = pid_of(engine)
    assert (await engine.unload(MODEL)).status == "available"
    assert is_gone(first)
    await engine.load(MODEL)
    second = pid_of(engine)
    await engine.close()
    assert is_gone(second)
    assert not folder.exists()


async def test_a_broken_model_file_is_told_in_words(tmp_path: Path) -> None:
    whole = LocalWeights(tmp_path).locate(CARDS[MODEL])
    assert whole is not None
    broken = tmp_path / "broken.gguf"
    with whole.open("rb") as file:
        broken.write_bytes(file.read(5_000_000))
    engine = LlamaCppEngine({"broken": card_of_file("broken", broken)}, LocalWeights(tmp_path), context_length=64)
    with pytest.raises(Overloaded, match=r"does not start: exit status 1: .*not within the file bounds") as refused:
        await engine.load("broken")
    assert engine.models()[0].error in refused.value.message
    await engine.close()


PARENT = """
import asyncio, sys
from pathlib import Path
from wye.catalog.local_models import CARDS
from wye.engines.llama_cpp.engine import LlamaCppEngine
from wye.engines.weights import LocalWeights

async def main():
    engine = LlamaCppEngine(CARDS, LocalWeights(Path(sys.argv[1])), slots=1, context_length=256)
    model = next(iter(CARDS))
    loading = asyncio.create_task(engine.load(model))
    if sys.argv[2] == "loaded":
        await loading
    while not (model in engine._models and engine._models[model].supervisor.pid):
        await asyncio.sleep(0.001)
    print(engine._models[model].supervisor.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["loading", "loaded"])
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path, when: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), when],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not is_gone(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while not is_gone(child):
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.02)
