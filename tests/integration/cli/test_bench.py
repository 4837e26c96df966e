"""`wye bench`: what it measures, tells and ends with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests import wire
from tests.integration.cli.conftest import DEADLINE_S, Run, says
from wye.cli.load import Load, Measured, Question, summary_of
from wye.dialects.registry import DIALECTS
from wye.testing.fake_provider import FakeProvider


def bench(here: Run, provider: FakeProvider, *options: str, status: int = 0) -> dict[str, Any]:
    done = here("bench", "--base-url", provider.url, "--format", "json", *options)
    assert (done.returncode, done.stderr) == (status, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("api", "dialect"), [("chat", "openai_chat"), ("responses", "openai_responses"), ("messages", "anthropic_messages")]
)
def test_every_format_is_measured(api: str, dialect: str, stream: bool, here: Run) -> None:
    with FakeProvider(api_key="sk-1", latency_s=0.05, tokens_per_s=200) as provider:
        options = ("--api", api, "--api-key", "sk-1", "--calls", "6", "--at-once", "3", "--prompt", "one two {n}")
        told = bench(here, provider, *options, "--stream" if stream else "--no-stream")
        asked = [(call.dialect, call.model, call.stream) for call in provider.calls if call.dialect]
        said = {json.dumps(call.body)[-200:] for call in provider.calls if call.dialect}
    assert asked == [(dialect, told["model"], stream)] * 6
    assert len(said) == 6, "the number of the call is in each"
    assert (told["calls"], told["failed"], told["failures"]) == (6, 0, {})
    assert 0.05 < told["latency_s"]["p50"] <= told["latency_s"]["p99"] <= told["latency_s"]["max"] < 20
    assert (told["first_token_s"] is not None) == stream
    assert told["output_tokens"] == 6 * 3, "a word is a token"
    assert told["calls_per_s"] == pytest.approx(6 / told["seconds"], rel=0.05)
    if stream:
        assert told["first_token_s"]["p50"] < told["latency_s"]["p50"]
        assert told["tokens_per_s"]["p50"] < 400


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ("429", "429 rate_limit_error"),
        ("truncated", "502 upstream_stream_cut"),
        ("error-within", "503 overloaded_error"),
        ("silent", "504 upstream_timeout"),
    ],
)
def test_what_fails_is_counted_by_what_it_was(fault: str, failure: str, here: Run) -> None:
    with FakeProvider(fault=fault) as provider:
        told = bench(
            here, provider, "--calls", "3", "--model", "m", "--timeout", "0.5" if fault == "silent" else "60", status=1
        )
    assert (told["calls"], told["failed"]) == (3, 3)
    assert told["failures"] == {failure: 3}
    assert (told["latency_s"], told["output_tokens"], told["calls_per_s"]) == (None, 0, 0.0)


def test_no_call_begins_after_its_time(here: Run) -> None:
    with FakeProvider(latency_s=0.2) as provider:
        told = bench(here, provider, "--calls", "1000", "--at-once", "2", "--seconds", "0.5")
    assert 2 <= told["calls"] <= 8
    assert 0.5 <= told["seconds"] < 20


def test_people_see_a_table(here: Run) -> None:
    with FakeProvider() as provider:
        provider.when("number 3 ", fault="503")
        done = here("bench", "--base-url", f"{provider.url}/v1", "--calls", "5")
    assert done.returncode == 1
    for words in ("5 calls in", "1 failed", "answers/s", "Whole answer", "First content", "503"):
        assert words in done.stdout


def test_what_was_measured_is_told_also_when_it_is_ended(folder: object) -> None:
    with FakeProvider(latency_s=0.02) as provider:
        command = [
            sys.executable,
            "-m",
            "wye",
            "bench",
            "--base-url",
            provider.url,
            "--calls",
            "100000",
            "--format",
            "json",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wire.until(lambda: provider.counters["dialect:openai_chat"] > 20)
            process.send_signal(signal.SIGINT)
            said, logged = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, logged) == (130, "")
    assert json.loads(said)["calls"] >= 10


def test_an_address_that_nobody_answers_is_one_clear_line(here: Run) -> None:
    says(here("bench", "--base-url", "http://127.0.0.1:1"), "127.0.0.1:1")


def test_figures_are_those_of_the_nearest_rank() -> None:
    with FakeProvider() as provider:
        from wye.cli.bench import _provider
        from wye.drivers.http import HttpTransport

        question = Question("m", "Hi", 5, True, 1.0)
        load = Load(_provider(provider.url, None, "chat", HttpTransport()), DIALECTS["openai_chat"], question)
    load.calls += [Measured(n / 100, n / 200, 10) for n in range(1, 101)]
    load.calls += [
        Measured(9.0, failure="429 slow_down"),
        Measured(9.0, failure="500 x"),
        Measured(9.0, failure="500 x"),
    ]
    summary = summary_of(load)
    assert summary.latency_s is not None
    assert (summary.latency_s.p50, summary.latency_s.p90, summary.latency_s.p99, summary.latency_s.max) == (
        0.5,
        0.9,
        0.99,
        1.0,
    )
    assert summary.tokens_per_s is not None
    assert summary.tokens_per_s.max == 2000.0
    assert (summary.calls, summary.failed, summary.output_tokens) == (103, 3, 1000)
    assert list(summary.failures.items()) == [("500 x", 2), ("429 slow_down", 1)]
