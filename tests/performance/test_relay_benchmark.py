"""The benchmark's own machinery: it counts CPU of the right processes, and takes no wrong answer for a right one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.relay import wire
from benchmarks.relay.floor import floor
from benchmarks.relay.load import Load
from benchmarks.relay.measure import Growth, measure, memory
from benchmarks.relay.processes import (
    RunFailed,
    cpu_s,
    free_port,
    mock_upstream,
    rss_bytes,
    run_load,
    running,
    wait_for,
)
from benchmarks.relay.report import memory_line, report
from benchmarks.relay.scenarios import SCENARIOS, Scenario
from benchmarks.relay.wye_gateway import wye

# Copies bytes between a caller and the upstream; with a third argument it spoils them on the way back.
PASS_THROUGH = """
import asyncio, sys
port, upstream, spoil = int(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3

async def copy(reader, writer, spoiled):
    while data := await reader.read(65536):
        writer.write(data.replace(b"word", b"w0rd").replace(b"gateway", b"gatew4y") if spoiled else data)
    writer.close()

async def serve(reader, writer):
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
    await asyncio.gather(copy(reader, up_writer, False), copy(up_reader, writer, spoil), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def upstream() -> Iterator[int]:
    with mock_upstream() as port:
        yield port


@pytest.fixture
def gateway(upstream: int, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    port = free_port()
    spoil = ["spoil"] if getattr(request, "param", "") == "spoil" else []
    log = tmp_path / "gateway.log"
    with running([sys.executable, "-c", PASS_THROUGH, str(port), str(upstream), *spoil], log, tmp_path) as process:
        wait_for(port, process, log)
        yield port, process.pid


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.by_nginx], ids=lambda each: each.name)
def test_a_gateway_that_passes_bytes_on_is_measured(scenario: Scenario, gateway: tuple[int, int]) -> None:
    rounds = measure([scenario], {"nginx": gateway, "wye": gateway}, rounds=2, requests=20)
    assert [set(figures) for figures in rounds] == [{(scenario.name, "nginx"), (scenario.name, "wye")}] * 2
    assert all(figure > 0 for figures in rounds for figure in figures.values())


@pytest.mark.parametrize("gateway", ["spoil"], indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_answer_ends_the_run(stream: bool, gateway: tuple[int, int]) -> None:
    with pytest.raises(RunFailed, match="5 of 5 answers were wrong"):
        run_load(Load(gateway[0], "bench", 5, 2, stream))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_wye_answers_every_scenario_rightly(scenario: Scenario, upstream: int, tmp_path: Path) -> None:
    with wye(upstream, tmp_path) as gateway:
        assert measure([scenario], {"wye": gateway}, rounds=1, requests=10)[0].keys() == {(scenario.name, "wye")}


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.by_nginx], ids=lambda each: each.name)
def test_the_floor_answers_every_scenario_rightly(scenario: Scenario, upstream: int, tmp_path: Path) -> None:
    with floor(upstream, tmp_path) as gateway:
        assert measure([scenario], {"floor": gateway}, rounds=1, requests=20)[0].keys() == {(scenario.name, "floor")}


def test_memory_is_read_before_and_after_the_requests(gateway: tuple[int, int]) -> None:
    growth = memory(*gateway, requests=50)
    assert growth.requests == 50
    assert 1 < growth.before_mib < 500
    assert growth.after_mib > 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"".join([wire.OPENAI_TEXT_FRAME] * wire.CHUNKS), "DONE"),
        (b"data: [DONE]\n\n", "0 chunks of text"),
        (b"".join([wire.OPENAI_TEXT_FRAME] * wire.CHUNKS) + b"data: [DONE]\n\n", "finish_reason"),
    ],
)
def test_a_stream_that_lacks_something_is_wrong(body: bytes, complaint: str) -> None:
    assert complaint in (wire.wrong_stream(body) or "")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"choices":[]}', wire.ANTHROPIC_BODY])
def test_an_answer_that_is_no_completion_is_wrong(body: bytes) -> None:
    assert "no completion" in (wire.wrong_whole(body) or "")


def test_cpu_counts_children_that_run_and_children_that_have_ended(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys, time\nburn = {burn!r}\n" + (
        "subprocess.run([sys.executable, '-c', burn])\n"
        "subprocess.Popen([sys.executable, '-c', burn + 'time.sleep(60)'])\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while cpu_s(process.pid) < 0.5 and time.monotonic() < deadline:
            time.sleep(0.05)
        # Each burns 0.3 s, told by a clock that rounds down to its ticks.
        assert cpu_s(process.pid) >= 0.5
        assert rss_bytes(process.pid) > 1 << 20
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_who_cannot_translate_has_no_turn_at_it(gateway: tuple[int, int]) -> None:
    streams = [each for each in SCENARIOS if each.stream]
    (figures,) = measure(streams, {"nginx": gateway, "wye": gateway}, rounds=1, requests=2)
    assert set(figures) == {("stream", "nginx"), ("stream", "wye"), ("translated-stream", "wye")}


def test_a_ratio_above_its_bound_breaks_the_promise() -> None:
    small = SCENARIOS[0]
    kept, broken = (report([small], [{("small", "nginx"): 10.0, ("small", "wye"): us}])[0] for us in (40.0, 41.0))
    assert (kept.holds, broken.holds) == (True, False)
    figures = {("small", "nginx"): 10.0, ("small", "floor"): 16.0, ("small", "wye"): 40.0}
    assert report([small], [figures])[0].cells()[1:7] == ["10.0", "16.0", "40.0", "4.00x", "4.00-4.00", "nginx"]
    assert kept.cells()[1:7] == ["10.0", "", "40.0", "4.00x", "4.00-4.00", "nginx"]
    assert memory_line(Growth(100, 50.0, 54.9)).holds
    assert not memory_line(Growth(100, 50.0, 55.1)).holds


def test_a_ratio_is_taken_within_each_round() -> None:
    small = SCENARIOS[0]
    # Where the machine was slow, it was so for both; only one round was disturbed within.
    rounds = [{("small", "nginx"): slow, ("small", "wye"): 3 * slow} for slow in (10.0, 10.0, 20.0, 30.0)]
    (line,) = report([small], [*rounds, {("small", "nginx"): 10.0, ("small", "wye"): 90.0}])
    assert (line.nginx_us, line.wye_us, line.value, line.spread) == (10.0, 60.0, 3.0, (3.0, 3.0))


def test_the_translated_stream_is_judged_by_the_passthrough_one() -> None:
    streams = [each for each in SCENARIOS if each.stream]
    figures = {("stream", "nginx"): 100.0, ("stream", "wye"): 150.0, ("translated-stream", "wye"): 180.0}
    assert [line.value for line in report(streams, [figures])] == [1.5, 1.2]
