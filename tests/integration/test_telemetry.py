"""What is told of calls, as a collector and a reader of the log see it."""

from __future__ import annotations

import json
import logging
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests import wire
from wye.cli.logs import JsonLines
from wye.kernel.errors import ConfigError, MissingExtra
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body
from wye.testing.server import WyeServer
from wye.wiring import create_app

SECRET = "sk-never-to-be-told"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def answer(request: FakeRequest) -> FakeAnswer:
    return event_stream(wire.OPENAI_STREAM) if request.json().get("stream") else json_body(wire.OPENAI_BODY)


def settings(broken: FakeUpstream, working: FakeUpstream, **more: Any) -> dict[str, Any]:
    def provider(upstream: FakeUpstream, kind: str) -> dict[str, Any]:
        return {"kind": kind, "base_url": f"{upstream.url}/v1", "api_key": SECRET}

    deployments = [{"provider": "primary", "model": "first"}, {"provider": "spare", "model": "second", "weight": 0}]
    return {
        "local": {"enabled": False},
        "providers": {"primary": provider(broken, "mistral"), "spare": provider(working, "openai")},
        "routes": {"m": {"deployments": deployments, "retries": 0}},
        **more,
    }


@pytest.fixture
def working() -> Iterator[FakeUpstream]:
    with FakeUpstream(answer) as upstream:
        yield upstream


@pytest.fixture
def broken() -> Iterator[FakeUpstream]:
    with FakeUpstream(lambda _: json_body({"error": {"message": "out of order"}}, 503)) as upstream:
        yield upstream


@pytest.fixture
def collector() -> Iterator[FakeUpstream]:
    with FakeUpstream(lambda _: FakeAnswer([b""])) as collector:
        yield collector


def spans(collector: FakeUpstream) -> list[Span]:
    heard = [ExportTraceServiceRequest.FromString(r.body) for r in collector.requests if r.path == "/v1/traces"]
    return [span for sent in heard for r in sent.resource_spans for scope in r.scope_spans for span in scope.spans]


def metrics(collector: FakeUpstream) -> dict[str, list[Any]]:
    heard = [ExportMetricsServiceRequest.FromString(r.body) for r in collector.requests if r.path == "/v1/metrics"]
    scopes = [scope for sent in heard for r in sent.resource_metrics for scope in r.scope_metrics]
    return {metric.name: list(metric.histogram.data_points) for scope in scopes for metric in scope.metrics}


def about(told: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in told.attributes}


def test_a_call_is_a_trace_with_a_span_for_each_deployment_that_was_asked(
    working: FakeUpstream, broken: FakeUpstream, collector: FakeUpstream
) -> None:
    telemetry = {"endpoint": collector.url, "headers": {"authorization": "Bearer c"}, "service_name": "gateway"}
    with WyeServer(settings(broken, working, telemetry=telemetry)) as wye:
        before_ns = time.time_ns()
        status, _, _ = wire.call(
            wye.url, "/v1/chat/completions", wire.ask(stream=True), headers={"traceparent": PARENT}
        )
        assert status == 200
    assert all(request.headers["authorization"] == "Bearer c" for request in collector.requests)

    server, *attempts = sorted(spans(collector), key=lambda span: span.start_time_unix_nano)
    assert server.name == "chat m"
    assert server.kind == Span.SPAN_KIND_SERVER
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT.split("-")[2])
    assert before_ns <= server.start_time_unix_nano + 1_000_000_000 <= server.end_time_unix_nano + 1_000_000_000
    told = about(server)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == "m"
    assert told["gen_ai.usage.input_tokens"] == wire.OPENAI_USAGE["prompt_tokens"]
    assert told["gen_ai.usage.output_tokens"] == wire.OPENAI_USAGE["completion_tokens"]
    assert "error.type" not in told

    failed, served = attempts
    assert {span.parent_span_id for span in attempts} == {server.span_id}
    assert {span.kind for span in attempts} == {Span.SPAN_KIND_CLIENT}
    assert (about(failed)["gen_ai.provider.name"], about(failed)["gen_ai.request.model"]) == ("mistral_ai", "first")
    assert about(failed)["error.type"] == "upstream_error"
    assert failed.status.code == 2
    assert (about(served)["gen_ai.provider.name"], about(served)["gen_ai.request.model"]) == ("openai", "second")
    assert failed.end_time_unix_nano <= served.start_time_unix_nano + 1_000_000 <= server.end_time_unix_nano + 2_000_000
    assert SECRET.encode() not in b"".join(request.body for request in collector.requests)


def test_metrics_have_the_conventions_names(
    working: FakeUpstream, broken: FakeUpstream, collector: FakeUpstream
) -> None:
    with WyeServer(settings(broken, working, telemetry={"endpoint": f"{collector.url}/"})) as wye:
        wire.call(wye.url, "/v1/chat/completions", wire.ask(stream=True))
        wire.call(wye.url, "/v1/chat/completions", wire.ask())
    told = metrics(collector)
    assert [point.count for point in told["gen_ai.server.request.duration"]] == [2]
    assert [point.count for point in told["gen_ai.server.time_to_first_token"]] == [1], "only a stream has one"
    by_error = {about(point).get("error.type"): point.count for point in told["gen_ai.client.operation.duration"]}
    assert by_error == {"upstream_error": 2, None: 2}
    tokens = {about(point)["gen_ai.token.type"]: point.sum for point in told["gen_ai.client.token.usage"]}
    assert tokens == {
        "input": 2 * wire.OPENAI_USAGE["prompt_tokens"],
        "output": 2 * wire.OPENAI_USAGE["completion_tokens"],
    }


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 1)])
def test_a_share_of_the_traces_is_sent(
    working: FakeUpstream, broken: FakeUpstream, collector: FakeUpstream, share: float, count: int
) -> None:
    with WyeServer(settings(broken, working, telemetry={"endpoint": collector.url, "traces": share})) as wye:
        wire.call(wye.url, "/v1/chat/completions", wire.ask())
    assert len({span.trace_id for span in spans(collector)}) == count
    assert metrics(collector), "metrics count every call"


def test_a_collector_that_is_away_costs_no_call(working: FakeUpstream, broken: FakeUpstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = create_app(settings(broken, working, telemetry={"endpoint": f"http://127.0.0.1:{port}"}))
    assert app.pipeline.settlement is not None
    # Never started: what is told before goes nowhere, and breaks nothing.
    with WyeServer(settings(broken, working, telemetry={"endpoint": f"http://127.0.0.1:{port}"})) as wye:
        assert wire.call(wye.url, "/v1/chat/completions", wire.ask())[0] == 200


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"telemetry": {"endpoint": "localhost:4318"}}, "telemetry.endpoint is a URL"),
        ({"telemetry": {"endpoint": "http://c", "traces": 2.0}}, "telemetry.traces is a share from 0 to 1, not 2.0"),
        ({"server": {"log_calls": -1.0}}, "server.log_calls is a share from 0 to 1, not -1.0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        create_app({"local": {"enabled": False}, **section})


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wye.drivers.otel.telemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with pytest.raises(MissingExtra, match=r"pip install 'wye\[otel\]'"):
        create_app({"local": {"enabled": False}, "telemetry": {"endpoint": "http://127.0.0.1:4318"}})


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "wye.calls"]


def test_the_log_tells_of_calls_without_their_content(
    working: FakeUpstream, broken: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    server = {"log_calls": 1.0, "api_key": SECRET}
    with caplog.at_level("INFO", "wye"), WyeServer(settings(broken, working, server=server)) as wye:
        headers = {"authorization": f"Bearer {SECRET}", "x-request-id": "req-1"}
        wire.call(wye.url, "/v1/chat/completions", wire.ask(), headers=headers)
    (record,) = lines(caplog)
    usage = wire.OPENAI_USAGE
    tokens = f"{usage['prompt_tokens']}+{usage['completion_tokens']} tokens"
    assert record.getMessage().startswith("req-1 m answered by spare/second in ")
    assert record.getMessage().endswith(tokens)
    line = json.loads(JsonLines().format(record))
    assert line["level"] == "info"
    assert line["logger"] == "wye.calls"
    assert line["time"].endswith("+00:00")
    call = line["call"]
    assert (call["request_id"], call["deployment"], call["attempts"]) == ("req-1", "spare/second", 2)
    assert (call["principal"], call["dialect"], call["operation"]) == ("server", "openai_chat", "chat")
    assert call["error"] is None
    assert "Hello" not in caplog.text
    assert SECRET not in caplog.text


def test_a_sample_leaves_out_what_went_well_and_never_a_failure(
    working: FakeUpstream, broken: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "wye"), WyeServer(settings(broken, working, server={"log_calls": 1e-9})) as wye:
        wire.call(wye.url, "/v1/chat/completions", wire.ask())
        wire.call(wye.url, "/v1/chat/completions", wire.ask(model="nobody"))
        working.queue.append(event_stream(wire.OPENAI_STREAM[:3], end="cut"))
        wire.call(wye.url, "/v1/chat/completions", wire.ask(stream=True))
    assert [record.__dict__["call"]["error"] for record in lines(caplog)] == ["model_not_found", "upstream_stream_cut"]


def test_a_caller_that_leaves_is_told_as_such(
    working: FakeUpstream, broken: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    working.queue.append(event_stream([*wire.OPENAI_STREAM[:3], 30.0], end="hang"))
    with caplog.at_level("INFO", "wye"), WyeServer(settings(broken, working, server={"log_calls": 1.0})) as wye:
        body = json.dumps(wire.ask(stream=True)).encode()
        with socket.create_connection(("127.0.0.1", wye.port)) as caller:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            caller.sendall(head + body)
            assert caller.recv(1)
        deadline = time.monotonic() + 60
        while not lines(caplog) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [record.__dict__["call"]["error"] for record in lines(caplog)] == ["caller_left"]


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.getLogger("wye").makeRecord("wye", logging.ERROR, "f", 1, "failed: %s", ("x",), sys.exc_info())
    line = json.loads(JsonLines().format(record))
    assert line["message"] == "failed: x"
    assert "ValueError: broken" in line["exception"]
    assert "call" not in line
